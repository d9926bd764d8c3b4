//! One stage: a network made a denoiser by its process, guided, kept in range.

use burn::tensor::Tensor;

use super::config::StageConfig;
use crate::diffusion::{Denoiser, Known, Level, guidance};
use crate::unet::condition::{Conditioning, Lowres, TextInput, Told};
use crate::unet::unet2d::Unet;

/// A network and what it was trained for.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What it makes, and how.
    pub config: StageConfig,
    /// The network.
    pub unet: Unet,
}

impl Stage {
    /// What the network is told of a run of `cond_scale`. `text` holds the prompts first and what stands against them
    /// second, unless `cond_scale` is 1; `lowres` and `known` are for the prompts alone. A network that was not trained to
    /// be told what is known is not.
    pub(crate) fn read(&self, cond_scale: f64, text: TextInput, lowres: Option<Lowres>, known: Option<&Known>) -> Told {
        fn twice<const D: usize>(t: Tensor<D>) -> Tensor<D> {
            Tensor::cat(vec![t.clone(), t], 0)
        }
        let ([b, ..], size) = (text.tokens.dims(), self.config.size);
        let mut cond_images = known.filter(|_| self.config.unet.cond_images_channels > 0).map(Known::told);
        let mut lowres = lowres;
        if cond_scale != 1.0 {
            cond_images = cond_images.map(twice);
            lowres = lowres.map(|Lowres { image, level }| Lowres { image: twice(image), level: twice(level) });
        }
        let told = Conditioning { text: Some(text), lowres, cond_images, ..Conditioning::default() };
        self.unet.read(&told, [b, size, size])
    }

    /// What the network sees of the levels that a sampler will pass, read at once; a clean one is never seen.
    pub(crate) fn read_levels(&self, told: Told, levels: &[Level]) -> Told {
        let seen = levels.iter().map(|level| self.config.process.scalings(*level).c_noise as f32);
        self.unet.read_levels(told, &seen.filter(|seen| seen.is_finite()).collect::<Vec<_>>())
    }
}

/// The network of a stage as a [`Denoiser`] of one batch.
#[derive(Debug)]
pub(crate) struct Guided<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) cond_scale: f64,
    /// For the batch, or for twice the batch if there is guidance.
    pub(crate) told: &'a Told,
    /// Where there is guidance, and what the batch is told elsewhere; guidance is everywhere if this is absent.
    pub(crate) interval: Option<&'a Interval>,
}

/// The noise levels with guidance, `sigma / alpha`.
#[derive(Debug)]
pub(crate) struct Interval {
    pub(crate) sigma: [f64; 2],
    /// What the batch is told without guidance.
    pub(crate) told: Told,
}

impl Interval {
    /// Levels are powers of powers, so the last bits of them do not count.
    fn contains(&self, level: Level) -> bool {
        let [low, high] = self.sigma;
        (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&level.sigma_edm())
    }
}

impl Guided<'_> {
    /// What there is to be told at a level, and whether there is guidance.
    fn at(&self, level: Level) -> (&Told, bool) {
        match self.interval {
            Some(interval) if !interval.contains(level) => (&interval.told, false),
            _ => (self.told, self.cond_scale != 1.0),
        }
    }
}

impl Denoiser for Guided<'_> {
    fn denoise(&self, x_t: Tensor<4>, level: Level) -> Tensor<4> {
        let StageConfig { process, sampling, .. } = &self.stage.config;
        let s = process.scalings(level);
        let (told, guided) = self.at(level);
        let x = if guided { Tensor::cat(vec![x_t.clone(), x_t], 0) } else { x_t };
        let output = self.stage.unet.step_at(x.clone() * s.c_in as f32, s.c_noise as f32, told);
        let x0_hat = x * s.c_skip as f32 + output * s.c_out as f32;
        let x0_hat = if guided { guidance::guide(x0_hat, self.cond_scale) } else { x0_hat };
        sampling.threshold.apply(x0_hat)
    }
}
