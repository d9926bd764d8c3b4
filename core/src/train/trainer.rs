//! One stage being trained: network, optimiser, average, and what a step does to them.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::balance::{Balance, shares};
use super::config::StageTraining;
use super::data::{Examples, Place, examples};
use super::draft::Drafter;
use super::ema::Ema;
use super::muon::Matrix;
use super::naming::Namer;
use super::optim::{Method, Optimizer, Rule, Step, clip};
use super::params::{Flat, Graph, gradients, replace, values};
use super::parts::Parts;
use crate::cascade::{StageConfig, TextModelConfig};
use crate::nn::Init;
use crate::text::{T5Encoder, TextEmbedding, Tokenizer, TokenizerError};
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
    /// What asks it, if something does.
    pub namer: Option<Namer>,
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
    /// The networks as they are, outside any graph.
    pub networks: Networks,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The average.
    pub ema: Ema,
    /// Losses by noise level.
    pub balance: Balance,
    /// Steps done.
    pub step: u64,
    /// Draws some of the smaller pictures again, if that is asked.
    pub drafter: Option<Drafter>,
    /// The device without gradients.
    pub device: Device,
    parts: Parts,
}

impl Trainer {
    /// Fresh networks from `seed`, a text encoder among them if `text` is given, to be trained as `training` says.
    #[must_use]
    pub fn new(
        seed: u64,
        stage: &StageConfig,
        text: Option<&TextModelConfig>,
        training: &StageTraining,
        device: &Device,
    ) -> Self {
        let method = training.optim.method;
        let autodiff = device.clone().autodiff();
        let mut init = Init::seeded(&autodiff, seed);
        let t5 = text.map(|text| T5Encoder::new(&mut init, &text.t5));
        let unet = Unet::new(&mut init, &stage.unet);
        let namer = (training.naming > 0.0).then(|| Namer::new(&mut init, unet.map_width()));
        let networks = Networks { t5, unet, namer };
        let params = values(&networks);
        let rules = named(&networks).iter().map(|p| rule(method, &p.path, &p.shape)).collect();
        let optimizer = Optimizer::new(&params, rules);
        let networks = replace(networks, params.clone(), Graph::None);
        Self {
            networks,
            optimizer,
            ema: Ema::new(params),
            balance: Balance::new(device),
            step: 0,
            drafter: None,
            device: device.clone(),
            parts: Parts::new(device),
        }
    }

    /// Takes the weights of `networks` for its own and for the average's, before the first step.
    pub fn begin_with(&mut self, networks: Networks) {
        self.networks = networks;
        self.ema = Ema::new(values(&self.networks));
    }

    /// The averaged networks, outside any graph.
    #[must_use]
    pub fn averaged(&self) -> Networks {
        replace(self.networks.clone(), self.ema.average.clone(), Graph::None)
    }

    /// One step of the optimiser on the next batch.
    ///
    /// # Errors
    /// If a caption cannot be written in tokens.
    pub fn step(&mut self, seed: u64, place: &Place<'_>, words: &Words) -> Result<StepReport, TokenizerError> {
        let training = place.training;
        let batch = training.batch;
        let params = values(&self.networks);
        let parts = self.parts.map(batch, training.micro_batch, |range| {
            // Its own leaves, so that the graphs of two parts never meet.
            let networks = replace(self.networks.clone(), params.clone(), Graph::Tracked);
            let examples = examples(seed, place, self.step, range);
            let share = examples.count as f32 / batch as f32;
            let (losses, naming) = self.losses(&networks, &examples, training, words)?;
            let shares = shares(&examples.log_snr, &self.device);
            let seen = (shares.clone(), losses.clone().inner());
            let losses = match training.balance {
                true => losses * Tensor::from_inner(self.balance.factors(shares)),
                false => losses,
            };
            let loss = losses.mean() * share;
            let asked = naming.map_or_else(|| loss.clone(), |naming| loss.clone() + naming * share);
            let grads = gradients(&networks, asked.backward());
            Ok((grads, loss.inner(), seen))
        });
        let mut sum: Option<(Flat, Tensor<1>)> = None;
        let mut seen = Vec::new();
        for part in parts {
            let (grads, loss, part) = part?;
            seen.push(part);
            sum = Some(match sum {
                Some((sum, total)) => (sum.into_iter().zip(grads).map(|(a, b)| a + b).collect(), total + loss),
                None => (grads, loss),
            });
        }
        let Some((sum, loss)) = sum else { unreachable!("a batch has at least one example") };
        let (shares, losses): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        self.balance.update(Tensor::cat(shares, 0), Tensor::cat(losses, 0));
        let (grads, grad_norm) = clip(sum, training.optim.clip_norm);
        let rate = training.optim.rate(self.step, training.steps);
        let params = self.optimizer.step(&training.optim, rate, params, grads);
        self.ema.update(&training.ema, &params);
        self.networks = replace(self.networks.clone(), params, Graph::None);
        self.step += 1;
        Ok(StepReport { loss, grad_norm })
    }

    /// The loss of each picture of a batch, and what naming adds to their mean.
    ///
    /// # Errors
    /// If a caption cannot be written in tokens.
    ///
    /// # Shapes
    /// - output: `[b]`, `[1]`
    pub fn losses(
        &self,
        networks: &Networks,
        batch: &Examples,
        training: &StageTraining,
        words: &Words,
    ) -> Result<(Tensor<1>, Option<Tensor<1>>), TokenizerError> {
        let device = &self.device.clone().autodiff();
        let (b, side) = (batch.count, batch.side);
        let maps = |values: &Vec<f32>| {
            let channels = values.len() / (b * side * side);
            Tensor::<4>::from_data(TensorData::new(values.clone(), [b, channels, side, side]), device)
        };
        let each = |values: &Vec<f32>| Tensor::<1>::from_data(TensorData::new(values.clone(), [b]), device);
        let learns = training.optim.text_share > 0.0;
        let TextEmbedding { tokens, mask } = match networks.t5.as_ref().filter(|_| learns) {
            Some(t5) => encode(t5, &batch.captions, words, device)?,
            None => {
                let Some(t5) = self.networks.t5.as_ref().or(words.frozen.as_ref()) else {
                    unreachable!("a stage has a text encoder, its own or a frozen one")
                };
                let TextEmbedding { tokens, mask } = encode(t5, &batch.captions, words, &self.device)?;
                TextEmbedding { tokens: Tensor::from_inner(tokens), mask: Tensor::from_inner(mask) }
            }
        };
        let change = self.drafter.as_ref().and_then(|drafter| {
            let text = TextEmbedding { tokens: tokens.clone().inner(), mask: mask.clone().inner() };
            drafter.change(batch, &text, &self.device)
        });
        let lowres = batch.lowres.as_ref().map(|small| {
            let image = maps(&small.image);
            let image = match change {
                Some(change) => image + Tensor::from_inner(change),
                None => image,
            };
            Lowres { image, level: each(&small.level) }
        });
        let conditioning = Conditioning {
            text: Some(TextInput { tokens, mask, keep: each(&batch.keep) }),
            lowres,
            cond_images: batch.known.as_ref().map(maps),
            ..Conditioning::default()
        };
        let (input, level) = (maps(&batch.input), each(&batch.c_noise));
        let (output, map) = networks.unet.forward_with_map(input, level, &conditioning);
        let losses = training.loss.per_picture(output, maps(&batch.target));
        let namer = networks.namer.as_ref().filter(|_| batch.scenes.len() == b);
        let naming = namer.map(|namer| namer.loss(map, &batch.scenes) * training.naming);
        Ok((losses * each(&batch.weight), naming))
    }
}

fn encode(
    t5: &T5Encoder,
    captions: &[String],
    words: &Words,
    device: &Device,
) -> Result<TextEmbedding, TokenizerError> {
    let captions: Vec<&str> = captions.iter().map(String::as_str).collect();
    let (ids, mask) = words.tokenizer.encode(&captions, words.max_len)?.tensors(device);
    Ok(TextEmbedding { tokens: t5.forward(ids, mask.clone()), mask })
}

/// Matrices and convolutions lose weight and may be Muon's; gains, biases and whatever stands for a token do not. What
/// reads pixels and what writes them is AdamW's under both methods.
pub(super) fn rule(method: Method, path: &str, shape: &[usize]) -> Rule {
    let tokens = ["null", "shared", "pos_emb", "latents", "relative_attention_bias"];
    let decays = shape.len() > 1 && !tokens.iter().any(|word| path.contains(word));
    let outer = ["unet.stem.", "unet.final_conv."].iter().any(|start| path.starts_with(start));
    let step = match method {
        Method::Muon if decays && !outer => Step::Muon(Matrix { rows: shape[0], cols: shape[1..].iter().product() }),
        _ => Step::Adamw { decays },
    };
    Rule { step, text: path.starts_with("t5.") }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, Method, Step, rule};

    #[test]
    fn muon_is_for_the_matrices_within() {
        let decays = |decays| Step::Adamw { decays };
        for (path, shape, adamw, muon) in [
            ("t5.shared", &[512, 128][..], decays(false), decays(false)),
            ("t5.blocks.0.attention.q.weight", &[128, 96], decays(true), Step::Muon(Matrix { rows: 128, cols: 96 })),
            ("unet.stem.convs.0.weight", &[16, 5, 3, 3], decays(true), decays(true)),
            ("unet.final_conv.weight", &[3, 16, 3, 3], decays(true), decays(true)),
            ("unet.final_block.b.weight", &[16, 32, 3, 3], decays(true), Step::Muon(Matrix { rows: 16, cols: 288 })),
            ("unet.mid.g", &[64], decays(false), decays(false)),
        ] {
            assert_eq!(rule(Method::Adamw, path, shape).step, adamw, "{path}");
            assert_eq!(rule(Method::Muon, path, shape).step, muon, "{path}");
            assert_eq!(rule(Method::Muon, path, shape).text, path.starts_with("t5"), "{path}");
        }
    }
}
