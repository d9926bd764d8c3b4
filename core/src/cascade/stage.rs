//! One stage: a network made a denoiser by its process, guided, kept in range.

use burn::tensor::Tensor;

use super::config::StageConfig;
use crate::diffusion::{Denoiser, Level, Process, Threshold, guidance};
use crate::unet::condition::{Conditioning, Lowres, TextInput};
use crate::unet::unet2d::Unet;

/// A network and what it was trained for.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What it makes, and how.
    pub config: StageConfig,
    /// The network.
    pub unet: Unet,
}

/// The network of a stage as a [`Denoiser`] of one batch.
#[derive(Debug)]
pub(crate) struct Guided<'a> {
    pub(crate) unet: &'a Unet,
    pub(crate) process: &'a Process,
    pub(crate) threshold: Threshold,
    pub(crate) cond_scale: f64,
    /// For the batch, or for twice the batch if there is guidance.
    pub(crate) conditioning: Conditioning,
}

impl<'a> Guided<'a> {
    /// `text` holds the prompts first and what stands against them second, unless `cond_scale` is 1.
    pub(crate) fn new(stage: &'a Stage, cond_scale: f64, text: TextInput, lowres: Option<Lowres>) -> Self {
        let twice = |t: Tensor<4>| Tensor::cat(vec![t.clone(), t], 0);
        let lowres = lowres.map(|lowres| {
            if cond_scale == 1.0 {
                return lowres;
            }
            Lowres { image: twice(lowres.image), level: Tensor::cat(vec![lowres.level.clone(), lowres.level], 0) }
        });
        Self {
            unet: &stage.unet,
            process: &stage.config.process,
            threshold: stage.config.sampling.threshold,
            cond_scale,
            conditioning: Conditioning { text: Some(text), lowres, ..Conditioning::default() },
        }
    }
}

impl Denoiser for Guided<'_> {
    fn denoise(&self, x_t: Tensor<4>, level: Level) -> Tensor<4> {
        let s = self.process.scalings(level);
        let guided = self.cond_scale != 1.0;
        let x = if guided { Tensor::cat(vec![x_t.clone(), x_t], 0) } else { x_t };
        let seen = Tensor::full([x.dims()[0]], s.c_noise as f32, &x.device());
        let output = self.unet.forward(x.clone() * s.c_in as f32, seen, &self.conditioning);
        let x0_hat = x * s.c_skip as f32 + output * s.c_out as f32;
        let x0_hat = if guided { guidance::guide(x0_hat, self.cond_scale) } else { x0_hat };
        self.threshold.apply(x0_hat)
    }
}
