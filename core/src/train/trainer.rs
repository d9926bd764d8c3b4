//! One stage being trained: network, optimiser, average, and what a step does to them.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::config::StageTraining;
use super::data::{Examples, Place, examples};
use super::ema::Ema;
use super::optim::{Adamw, clip};
use super::params::{Flat, Graph, gradients, replace, values};
use crate::cascade::{StageConfig, TextModelConfig};
use crate::nn::Init;
use crate::text::{T5Encoder, TextEmbedding, Tokenizer};
use crate::unet::condition::{Conditioning, Lowres, TextInput};
use crate::unet::unet2d::Unet;
use crate::weights::named;

/// What is trained in a stage: its network, and in the first stage the text encoder with it.
#[derive(Module, Debug)]
pub struct Networks {
    /// The text encoder of a first stage.
    pub t5: Option<T5Encoder>,
    /// The stage's network.
    pub unet: Unet,
}

/// The text side of training: a tokenizer, and the frozen encoder of stages after the first.
#[derive(Debug, Clone)]
pub struct Words {
    /// Captions to tokens.
    pub tokenizer: Tokenizer,
    /// The longest caption in tokens.
    pub max_len: usize,
    /// The encoder, where it is not trained.
    pub frozen: Option<T5Encoder>,
}

/// What a step measured; both stay on the device.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// `[1]`, the mean loss of the batch.
    pub loss: Tensor<1>,
    /// `[1]`, the global norm of the gradient before clipping.
    pub grad_norm: Tensor<1>,
}

/// A stage being trained.
#[derive(Debug)]
pub struct Trainer {
    /// The networks as they are; their parameters join a graph.
    pub networks: Networks,
    /// The optimiser.
    pub adamw: Adamw,
    /// The average.
    pub ema: Ema,
    /// Steps done.
    pub step: u64,
    /// The device without gradients.
    pub device: Device,
}

impl Trainer {
    /// Fresh networks from `seed`, a text encoder among them if `text` is given.
    #[must_use]
    pub fn new(seed: u64, stage: &StageConfig, text: Option<&TextModelConfig>, device: &Device) -> Self {
        let autodiff = device.clone().autodiff();
        let mut init = Init::seeded(&autodiff, seed);
        let networks =
            Networks { t5: text.map(|text| T5Encoder::new(&mut init, &text.t5)), unet: Unet::new(&mut init, &stage.unet) };
        let params = values(&networks);
        let decays = named(&networks).iter().map(|p| decays(&p.path, p.shape.len())).collect();
        let adamw = Adamw::new(&params, decays);
        let networks = replace(networks, params.clone(), Graph::Tracked);
        Self { networks, adamw, ema: Ema::new(params), step: 0, device: device.clone() }
    }

    /// The averaged networks, outside any graph.
    #[must_use]
    pub fn averaged(&self) -> Networks {
        replace(self.networks.clone(), self.ema.average.clone(), Graph::None)
    }

    /// One step of the optimiser on the next batch.
    pub fn step(&mut self, seed: u64, place: &Place<'_>, words: &Words) -> StepReport {
        let training = place.training;
        let mut sum: Option<Flat> = None;
        let mut total: Option<Tensor<1>> = None;
        for start in (0..training.batch).step_by(training.micro_batch) {
            let range = start..(start + training.micro_batch).min(training.batch);
            let batch = examples(seed, place, self.step, range);
            let share = batch.count as f32 / training.batch as f32;
            let loss = self.loss(&batch, training, words) * share;
            let grads = gradients(&self.networks, loss.backward());
            let loss = loss.inner();
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
            sum = Some(match sum {
                Some(sum) => sum.into_iter().zip(grads).map(|(a, b)| a + b).collect(),
                None => grads,
            });
        }
        let (Some(sum), Some(loss)) = (sum, total) else { unreachable!("a batch has at least one example") };
        let (grads, grad_norm) = clip(sum, training.optim.clip_norm);
        let rate = training.optim.rate(self.step, training.steps);
        let params = self.adamw.step(&training.optim, rate, values(&self.networks), grads);
        self.ema.update(&training.ema, &params);
        self.networks = replace(self.networks.clone(), params, Graph::Tracked);
        self.step += 1;
        StepReport { loss, grad_norm }
    }

    /// The mean loss of a batch.
    ///
    /// # Shapes
    /// - output: `[1]`
    pub fn loss(&self, batch: &Examples, training: &StageTraining, words: &Words) -> Tensor<1> {
        let device = &self.device.clone().autodiff();
        let (b, side) = (batch.count, batch.side);
        let maps = |values: &Vec<f32>| Tensor::<4>::from_data(TensorData::new(values.clone(), [b, 3, side, side]), device);
        let each = |values: &Vec<f32>| Tensor::<1>::from_data(TensorData::new(values.clone(), [b]), device);
        let TextEmbedding { tokens, mask } = self.encode(&batch.captions, words, device);
        let conditioning = Conditioning {
            text: Some(TextInput { tokens, mask, keep: each(&batch.keep) }),
            lowres: batch.lowres.as_ref().map(|small| Lowres { image: maps(&small.image), level: each(&small.level) }),
            ..Conditioning::default()
        };
        let output = self.networks.unet.forward(maps(&batch.input), each(&batch.c_noise), &conditioning);
        let losses = training.loss.per_picture(output, maps(&batch.target));
        (losses * each(&batch.weight)).mean()
    }

    fn encode(&self, captions: &[String], words: &Words, device: &Device) -> TextEmbedding {
        let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
        let tokens = words.tokenizer.encode(&captions, words.max_len);
        match (&self.networks.t5, &words.frozen) {
            (Some(t5), _) => {
                let (ids, mask) = tokens.tensors(device);
                TextEmbedding { tokens: t5.forward(ids, mask.clone()), mask }
            }
            (None, Some(t5)) => {
                let (ids, mask) = tokens.tensors(&self.device);
                let encoded = t5.forward(ids, mask.clone());
                TextEmbedding { tokens: Tensor::from_inner(encoded), mask: Tensor::from_inner(mask) }
            }
            (None, None) => unreachable!("a stage has a text encoder, its own or a frozen one"),
        }
    }
}

/// Matrices and convolutions lose weight; gains, biases and whatever stands for a token do not.
fn decays(path: &str, axes: usize) -> bool {
    axes >= 2 && !["null", "shared", "pos_emb", "latents", "relative_attention_bias"].iter().any(|word| path.contains(word))
}
