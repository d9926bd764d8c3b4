//! A step of the trainer itself.

use anyhow::Result;
use burn::tensor::Device;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::text::Tokenizer;
use firefall_core::text::tokenizer_training::train_tokenizer;
use firefall_core::train::TrainConfig;
use firefall_core::train::trainer::{Trainer, Words};
use firefall_core::world::draw;

use super::base;
use crate::{Run, Side, number, timed};

/// Captions the tokenizer is made from.
const CAPTIONS: u64 = 2_000;

/// The trainer itself on the preset as it is.
pub(crate) struct WholeSide {
    config: TrainConfig,
    words: Words,
    trainer: Trainer,
}

impl WholeSide {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let config = TrainConfig::preset("small").map_err(anyhow::Error::msg)?;
        let place = base(&config);
        let mix = place.training.mix(place.training.steps);
        let caption = |i| draw(&mut Stream::new(config.seed, Purpose::Caption, i), mix).caption;
        let tokenizer = Tokenizer::from_bytes(&train_tokenizer((0..CAPTIONS).map(caption), config.vocabulary)?)?;
        let words = Words { tokenizer, max_len: config.model.text.max_len, frozen: None };
        let method = place.training.optim.method;
        let trainer = Trainer::new(config.seed, place.config, Some(&config.model.text), method, device);
        Ok(Self { config, words, trainer })
    }
}

impl Side for WholeSide {
    fn name(&self) -> String {
        "firefall: the trainer, with text encoder, data and Muon".to_owned()
    }

    fn is_compared(&self) -> bool {
        false
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        let Self { config, words, trainer } = self;
        timed(count, || number(trainer.step(config.seed, &base(config), words)?.loss), Ok)
    }
}
