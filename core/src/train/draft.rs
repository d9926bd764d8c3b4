//! Drafts: smaller pictures as the stage before would have drawn them.
//!
//! A super-resolution that learns from true pictures, shrunk, takes every flaw of the stage before for the truth and
//! sharpens it. A draft is the true small picture, noised to a level at which its things can still be told but their
//! outlines cannot, and drawn again from there by the stage before, under the caption (`SDEdit`,
//! <https://arxiv.org/abs/2108.01073>). Its outlines have the flaws of that stage; the true large picture goes with it.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::data::{Examples, Whole};
use crate::cascade::stage::Guided;
use crate::cascade::{Stage, StageConfig};
use crate::diffusion::Level;
use crate::diffusion::sampler::Sampler;
use crate::nn::resample::enlarge_nearest;
use crate::noise::{Purpose, Stream};
use crate::text::TextEmbedding;
use crate::unet::condition::TextInput;

/// Which small pictures are drawn again, and how far back they go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drafts {
    /// The share of pictures.
    pub share: f64,
    /// The least and the greatest noise from which they are drawn, `sigma / alpha`; its logarithm is uniform.
    pub sigma: [f64; 2],
}

impl Drafts {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        let Self { share, sigma: [low, high] } = *self;
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("share is {share}; it must be from 0 to 1"));
        }
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Err(format!("sigma is [{low}, {high}]; it must rise from above 0"));
        }
        Ok(())
    }
}

/// Draws them.
#[derive(Debug, Clone)]
pub struct Drafter {
    /// The stage before, a cascade's first.
    pub stage: Stage,
    /// What is asked of it.
    pub drafts: Drafts,
    /// The run's.
    pub seed: u64,
}

impl Drafter {
    /// What drafts change in the enlarged small pictures of a batch; nothing if none of them is drawn again.
    ///
    /// # Shapes
    /// - output: `[b, 3, side, side]`
    #[must_use]
    pub fn change(&self, batch: &Examples, text: &TextEmbedding, device: &Device) -> Option<Tensor<4>> {
        let whole = batch.lowres.as_ref()?.whole.as_ref()?;
        let mut streams: Vec<(usize, Stream)> = Vec::new();
        for (i, number) in whole.numbers.iter().enumerate() {
            let mut stream = Stream::new(self.seed, Purpose::Draft, *number);
            if stream.chance(self.drafts.share) {
                streams.push((i, stream));
            }
        }
        if streams.is_empty() {
            return None;
        }
        let chosen: Vec<usize> = streams.iter().map(|(i, _)| *i).collect();
        let small = self.small(whole, &chosen, device);
        let levels = self.levels(batch.step);
        let drawn = self.draw(small.clone(), &levels, rows(text, &chosen), &mut streams);
        let change = drawn - small;
        let side = batch.side / whole.factor;
        let squares = whole.corners.iter().zip(&whole.alphas).enumerate().map(|(i, ([x, y], alpha))| {
            match chosen.iter().position(|chosen| *chosen == i) {
                Some(k) => change.clone().slice([k..k + 1, 0..3, *y..y + side, *x..x + side]) * *alpha,
                None => Tensor::zeros([1, 3, side, side], device),
            }
        });
        Some(enlarge_nearest(Tensor::cat(squares.collect(), 0), whole.factor))
    }

    fn small(&self, whole: &Whole, chosen: &[usize], device: &Device) -> Tensor<4> {
        let side = self.stage.config.size;
        let len = 3 * side * side;
        let values: Vec<f32> = chosen.iter().flat_map(|i| &whole.image[i * len..(i + 1) * len]).copied().collect();
        Tensor::from_data(TensorData::new(values, [chosen.len(), 3, side, side]), device)
    }

    /// The stage's own levels, from the first that is below the one drawn for a step of the run.
    fn levels(&self, step: u64) -> Vec<Level> {
        let StageConfig { process, sampling, .. } = &self.stage.config;
        let levels = sampling.sampler.levels(process, sampling.steps);
        let [low, high] = self.drafts.sigma.map(f64::ln);
        let sigma = Stream::new(self.seed, Purpose::Draft, STEPS | step).range(low, high).exp();
        let last = levels.len() - 2;
        let first = levels.iter().position(|level| level.sigma_edm() <= sigma).unwrap_or(last).min(last);
        levels[first..].to_vec()
    }

    fn draw(&self, small: Tensor<4>, levels: &[Level], text: TextInput, streams: &mut [(usize, Stream)]) -> Tensor<4> {
        let (shape, device) = (small.dims(), small.device());
        let len = shape[1..].iter().product();
        let mut noise = |_: usize| {
            let values: Vec<f32> = streams.iter_mut().flat_map(|(_, stream)| stream.normals(len)).collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        };
        let told = self.stage.read_levels(self.stage.read(1.0, text, None, None), levels);
        let denoiser = Guided { stage: &self.stage, cond_scale: 1.0, told: &told, interval: None };
        let mut sampler = Sampler::from_picture(self.stage.config.sampling.sampler, levels, 1.0, small, noise(0));
        while sampler.step(&denoiser, &mut noise).is_some() {}
        sampler.x_t().clone().clamp(-1.0, 1.0)
    }
}

/// Steps of the run have their own streams, beside those of examples, whose stage stands in the highest byte.
const STEPS: u64 = 0xff << 56;

fn rows(text: &TextEmbedding, chosen: &[usize]) -> TextInput {
    fn pick<const D: usize>(t: &Tensor<D>, chosen: &[usize]) -> Tensor<D> {
        Tensor::cat(chosen.iter().map(|i| t.clone().narrow(0, *i, 1)).collect(), 0)
    }
    let tokens = pick(&text.tokens, chosen);
    let keep = Tensor::ones([chosen.len()], &tokens.device());
    TextInput { tokens, mask: pick(&text.mask, chosen), keep }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::{Drafter, Drafts};
    use crate::cascade::Stage;
    use crate::nn::Init;
    use crate::text::TextEmbedding;
    use crate::train::TrainConfig;
    use crate::train::data::{Examples, Place, Source, examples};
    use crate::unet::unet2d::Unet;

    fn config() -> TrainConfig {
        let mut config = TrainConfig::preset("tiny").unwrap();
        config.stages[1].drafts = Some(Drafts { share: 0.5, sigma: [0.3, 1.5] });
        config
    }

    fn batch(config: &TrainConfig, range: std::ops::Range<usize>) -> Examples {
        let below = Some(config.model.stages[0].size);
        let (stage, training) = (&config.model.stages[1], &config.stages[1]);
        let place = Place { index: 1, config: stage, training, below, source: Source::Shapes };
        examples(5, &place, 3, range)
    }

    fn drafter(config: &TrainConfig, drafts: Drafts) -> Drafter {
        let stage = &config.model.stages[0];
        let unet = Unet::new(&mut Init::seeded(&Device::flex(), 2), &stage.unet);
        Drafter { stage: Stage { config: stage.clone(), unet }, drafts, seed: 5 }
    }

    fn change(drafter: &Drafter, batch: &Examples) -> Option<Vec<f32>> {
        let width = drafter.stage.config.unet.text.as_ref().unwrap().embed_dim;
        let device = Device::flex();
        let tokens = Tensor::ones([batch.count, 4, width], &device);
        let text = TextEmbedding { tokens, mask: Tensor::ones([batch.count, 4], &device) };
        let change = drafter.change(batch, &text, &device)?;
        assert_eq!(change.dims(), [batch.count, 3, batch.side, batch.side]);
        Some(change.into_data().try_to_vec().unwrap())
    }

    #[test]
    fn a_draft_does_not_depend_on_its_batch() {
        let config = config();
        let drafter = drafter(&config, config.stages[1].drafts.unwrap());
        let all = batch(&config, 0..16);
        let of_all = change(&drafter, &all).unwrap();
        let each = of_all.len() / 16;
        let changed = |values: &[f32]| values.iter().any(|v| *v != 0.0);
        let drawn: Vec<usize> = (0..16).filter(|i| changed(&of_all[i * each..(i + 1) * each])).collect();
        assert!((3..14).contains(&drawn.len()), "{drawn:?}, of 16 by a share of a half");
        let (first, last) = (drawn[0], drawn[drawn.len() - 1] + 1);
        let part = change(&drafter, &batch(&config, first..last)).unwrap();
        let same = &of_all[first * each..last * each];
        assert!(part.iter().zip(same).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    /// In blocks as large as an enlarged pixel, and no further off than the noise that it began with, of which little is
    /// left in any case.
    #[test]
    fn more_noise_changes_more() {
        let config = config();
        let batch = batch(&config, 0..8);
        let spread = |sigma: f64| {
            let values = change(&drafter(&config, Drafts { share: 1.0, sigma: [sigma; 2] }), &batch).unwrap();
            let (side, factor) = (batch.side, batch.lowres.as_ref().unwrap().whole.as_ref().unwrap().factor);
            for (i, v) in values.iter().enumerate() {
                let (x, row) = (i % side, i / side);
                assert_eq!(*v, values[(row - row % side % factor) * side + x - x % factor], "{i}");
            }
            (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let (little, much) = (spread(0.011), spread(20.0));
        assert!(little < 0.03, "{little}");
        assert!(much > 0.2, "{much}");
    }

    #[test]
    fn nothing_is_drawn_where_nothing_is_asked() {
        let mut config = config();
        let none = Drafts { share: 0.0, sigma: [0.5, 0.5] };
        assert_eq!(change(&drafter(&config, none), &batch(&config, 0..4)), None);
        let with = batch(&config, 0..4);
        config.stages[1].drafts = None;
        let without = batch(&config, 0..4);
        assert_eq!(without.lowres.as_ref().unwrap().whole, None);
        assert_eq!((with.input, with.lowres.unwrap().image), (without.input, without.lowres.unwrap().image));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (share, sigma, key) in [(1.5, [0.3, 1.0], "share"), (0.5, [0.0, 1.0], "sigma"), (0.5, [1.0, 0.5], "sigma")]
        {
            let error = Drafts { share, sigma }.validate().unwrap_err();
            assert!(error.starts_with(key), "{error}");
        }
        let mut config = config();
        assert_eq!(config.validate(), Ok(()));
        config.stages[0].drafts = config.stages[1].drafts;
        assert!(config.validate().unwrap_err().contains("stages[0].drafts"));
    }
}
