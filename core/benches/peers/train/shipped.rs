//! The trainer itself, at the shipped model: scenes, captions and text encoder too, and Muon. Trained weights and not fresh
//! ones, because what they compute is slower where nobody cares for its tails.

use std::path::Path;

use anyhow::{Result, bail};
use burn::tensor::Device;
use firefall_core::cascade::Model;
use firefall_core::train::TrainConfig;
use firefall_core::train::trainer::{Networks, Trainer, Words};

use super::base;
use crate::{Run, Side, number, timed};

/// The base of the shipped model being trained on.
pub(crate) struct ShippedSide {
    config: TrainConfig,
    words: Words,
    trainer: Trainer,
}

impl ShippedSide {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/model");
        let model = Model::load(|name| std::fs::read(folder.join(name)), device)?;
        let mut config = TrainConfig::preset("small").map_err(anyhow::Error::msg)?;
        // The end of a run, where all it shows is shown, and steps are small.
        let optim = &mut config.stages[0].optim;
        (optim.warmup, optim.final_share, optim.learning_rate) = (1, 1.0, 1e-4);
        let Some(stage) = model.stages.into_iter().next() else { bail!("the shipped model has no stage") };
        let (tokenizer, max_len) = (model.text.tokenizer, config.model.text.max_len);
        let (shape, training) = (base(&config).config, &config.stages[0]);
        let mut trainer = Trainer::new(config.seed, shape, Some(&config.model.text), training, device);
        trainer.begin_with(Networks {
            t5: Some(model.text.t5),
            unet: stage.unet,
            namer: trainer.networks.namer.clone(),
        });
        trainer.step = config.stages[0].steps;
        Ok(Self { config, words: Words { tokenizer, max_len, frozen: None }, trainer })
    }

    pub(crate) fn batch(&self) -> usize {
        base(&self.config).training.batch
    }
}

impl Side for ShippedSide {
    fn name(&self) -> String {
        "firefall".to_owned()
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        let Self { config, words, trainer } = self;
        timed(count, || number(trainer.step(config.seed, &base(config), words)?.loss), Ok)
    }
}
