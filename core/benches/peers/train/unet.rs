//! The base U-Net alone, and the files from which `peer.py` makes the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::cascade::StageConfig;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::train::data::{Examples, examples};
use firefall_core::train::ema::EmaConfig;
use firefall_core::train::optim::{Method, OptimConfig, clip};
use firefall_core::train::params::{Flat, Graph, gradients, replace, values};
use firefall_core::train::trainer::{Networks, Trainer};
use firefall_core::train::{StageTraining, TrainConfig};
use firefall_core::unet::{Conditioning, TextInput, UnetConfig};
use serde::Serialize;

use super::base;
use crate::peer::{self, Peer, threads};
use crate::{Run, Side, number, timed};

/// The U-Net alone, in the way in which the trainer trains it.
pub(crate) struct UnetSide {
    trainer: Trainer,
    training: StageTraining,
    stage: StageConfig,
    examples: Examples,
    /// `[batch, n, d]`, row-major.
    tokens: Vec<f32>,
    parts: Vec<Part>,
    pools: Vec<rayon::ThreadPool>,
}

/// A micro-batch on the device.
struct Part {
    input: Tensor<4>,
    target: Tensor<4>,
    c_noise: Tensor<1>,
    weight: Tensor<1>,
    text: TextInput,
    /// Of the batch.
    share: f32,
}

impl UnetSide {
    pub(crate) fn new(config: &TrainConfig, device: &Device) -> Result<Self> {
        let place = base(config);
        let (stage, mut training) = (place.config.clone(), place.training.clone());
        // What the peer has too.
        training.optim.method = Method::Adamw;
        let examples = examples(config.seed, &place, 0, 0..training.batch);
        let text = stage.unet.text.as_ref().context("the base stage has text")?;
        let tokens =
            Stream::new(config.seed, Purpose::Evaluation, 0).normals(training.batch * text.max_len * text.embed_dim);
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let mut side = Self {
            trainer: Trainer::new(config.seed, &stage, None, &training, device),
            training,
            stage,
            examples,
            tokens,
            parts: Vec::new(),
            pools: (0..threads()).map(pool).collect::<Result<_, _>>()?,
        };
        let (batch, micro) = (side.batch(), side.training.micro_batch);
        let ranges = (0..batch).step_by(micro).map(|start| start..(start + micro).min(batch));
        side.parts = ranges.map(|range| side.part(range)).collect();
        Ok(side)
    }

    fn part(&self, range: Range<usize>) -> Part {
        let device = self.trainer.device.clone().autodiff();
        let count = range.len();
        let rows = |all: &[f32]| {
            let width = all.len() / self.batch();
            all[range.start * width..range.end * width].to_vec()
        };
        let maps =
            |all: &[f32]| Tensor::from_data(TensorData::new(rows(all), [count, 3, self.side(), self.side()]), &device);
        let each = |all: &[f32]| Tensor::from_data(TensorData::new(rows(all), [count]), &device);
        let [n, d] = self.token_dims();
        Part {
            input: maps(&self.examples.input),
            target: maps(&self.examples.target),
            c_noise: each(&self.examples.c_noise),
            weight: each(&self.examples.weight),
            text: TextInput {
                tokens: Tensor::from_data(TensorData::new(rows(&self.tokens), [count, n, d]), &device),
                mask: Tensor::ones([count, n], &device),
                keep: Tensor::ones([count], &device),
            },
            share: count as f32 / self.batch() as f32,
        }
    }

    pub(crate) fn batch(&self) -> usize {
        self.examples.count
    }

    pub(crate) fn side(&self) -> usize {
        self.examples.side
    }

    fn token_dims(&self) -> [usize; 2] {
        self.stage.unet.text.as_ref().map_or([0, 0], |text| [text.max_len, text.embed_dim])
    }

    /// `Trainer::step` without data and text encoder.
    fn step(&mut self) -> Result<f64> {
        let params = values(&self.trainer.networks);
        let mut parts = self.side_by_side(&params)?.into_iter();
        let (mut sum, mut loss) = parts.next().context("a batch has at least one example")?;
        for (grads, more) in parts {
            sum = sum.into_iter().zip(grads).map(|(a, b)| a + b).collect();
            loss = loss + more;
        }
        let trainer = &mut self.trainer;
        let (grads, _) = clip(sum, self.training.optim.clip_norm);
        let rate = self.training.optim.rate(trainer.step, self.training.steps);
        let params = trainer.optimizer.step(&self.training.optim, rate, params, grads);
        trainer.ema.update(&self.training.ema, &params);
        trainer.networks = replace(trainer.networks.clone(), params, Graph::None);
        trainer.step += 1;
        number(loss)
    }

    /// Gradients and loss of each micro-batch, each on a core of its own, as in the trainer.
    fn side_by_side(&self, params: &Flat) -> Result<Vec<(Flat, Tensor<1>)>> {
        let (networks, training) = (&self.trainer.networks, &self.training);
        let work = |part| backward(networks, params, training, part);
        let mut done = Vec::new();
        for together in self.parts.chunks(self.pools.len()) {
            std::thread::scope(|scope| {
                let work = &work;
                let pools = self.pools.iter().zip(together);
                let workers: Vec<_> =
                    pools.map(|(pool, part)| scope.spawn(move || pool.install(|| work(part)))).collect();
                done.extend(workers.into_iter().map(std::thread::ScopedJoinHandle::join));
            });
        }
        done.into_iter().map(|part| part.map_err(|_| anyhow::anyhow!("a micro-batch panicked"))).collect()
    }

    /// The same in imagen-pytorch, before the first step.
    pub(crate) fn peer(&self) -> Result<Option<Peer>> {
        let networks = &self.trainer.networks;
        let more = Task {
            unet: &self.stage.unet,
            optim: &self.training.optim,
            ema: &self.training.ema,
            keys: peer::keys(&networks.unet),
        };
        Peer::start("train", more, peer::parameters(&networks.unet), |folder| self.write(folder))
    }

    fn write(&self, folder: &Path) -> Result<()> {
        peer::write_weights(&self.trainer.networks.unet, folder)?;
        let (b, side, [n, d]) = (self.batch(), self.side(), self.token_dims());
        let lists = [
            ("input", vec![b, 3, side, side], &self.examples.input),
            ("target", vec![b, 3, side, side], &self.examples.target),
            ("c_noise", vec![b], &self.examples.c_noise),
            ("weight", vec![b], &self.examples.weight),
            ("tokens", vec![b, n, d], &self.tokens),
        ];
        peer::write_batch(lists, folder)
    }
}

impl Side for UnetSide {
    fn name(&self) -> String {
        "firefall".to_owned()
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        timed(count, || self.step(), Ok)
    }
}

/// Gradients and loss of a micro-batch, weighed by its share.
fn backward(networks: &Networks, params: &Flat, training: &StageTraining, part: &Part) -> (Flat, Tensor<1>) {
    let networks = replace(networks.clone(), params.clone(), Graph::Tracked);
    let conditioning = Conditioning { text: Some(part.text.clone()), ..Conditioning::default() };
    let output = networks.unet.forward(part.input.clone(), part.c_noise.clone(), &conditioning);
    let losses = training.loss.per_picture(output, part.target.clone());
    let loss = (losses * part.weight.clone()).mean() * part.share;
    (gradients(&networks, loss.backward()), loss.inner())
}

/// The description both sides are made from.
#[derive(Serialize)]
struct Task<'a> {
    unet: &'a UnetConfig,
    optim: &'a OptimConfig,
    ema: &'a EmaConfig,
    keys: BTreeMap<String, Vec<String>>,
}
