//! A model as data: its text encoder and its stages.

use serde::{Deserialize, Serialize};

use crate::diffusion::{Elucidated, Process, Resampling, SamplerKind, Threshold};
use crate::text::T5Config;
use crate::unet::UnetConfig;

/// The largest side of a picture in pixels: beyond it a typing error asks for more memory than there is.
pub const MAX_SIZE: usize = 4096;
/// The most tokens of a text.
pub const MAX_TOKENS: usize = 1 << 16;
/// The most noise on a smaller picture, which hides it altogether.
pub const MAX_STD: f64 = 1e3;
/// The version of the folder's layout that this build reads and writes.
pub const FORMAT: u32 = 1;

/// A whole model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The layout of the folder, [`FORMAT`].
    pub format: u32,
    /// A name for people.
    pub name: String,
    /// The text encoder.
    pub text: TextModelConfig,
    /// From the smallest picture to the largest.
    pub stages: Vec<StageConfig>,
}

/// The text encoder and how much text it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextModelConfig {
    /// The encoder.
    pub t5: T5Config,
    /// Tokens beyond this are cut, with a warning.
    pub max_len: usize,
}

impl Default for TextModelConfig {
    fn default() -> Self {
        Self { t5: T5Config::default(), max_len: 256 }
    }
}

/// One stage: a network, the process it was trained on, the picture it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageConfig {
    /// Side of the picture in pixels.
    pub size: usize,
    /// Noise and objective.
    pub process: Process,
    /// The network.
    pub unet: UnetConfig,
    /// How the smaller picture enters; none in a first stage.
    pub lowres: Option<LowresConfig>,
    /// What sampling does if nothing else is asked.
    pub sampling: SamplingConfig,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            size: 64,
            process: Process::Elucidated(Elucidated::default()),
            unet: UnetConfig::default(),
            lowres: None,
            sampling: SamplingConfig::default(),
        }
    }
}

/// Noise on the smaller picture (Imagen, section 2.5), as the standard deviation beside a picture in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowresConfig {
    /// Training draws its logarithm uniformly between these.
    pub train_std: [f64; 2],
    /// What sampling adds.
    pub sample_std: f64,
}

impl Default for LowresConfig {
    fn default() -> Self {
        Self { train_std: [0.01, 0.6], sample_std: 0.1 }
    }
}

/// How a stage samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// The sampler.
    pub sampler: SamplerKind,
    /// Its steps.
    pub steps: usize,
    /// Guidance; 1 is off and half as dear.
    pub cond_scale: f64,
    /// The noise levels with guidance above 1, as `sigma / alpha` from the smallest to the largest; there is none at the
    /// others, which are half as dear (Kynkäänniemi et al. 2024, <https://arxiv.org/abs/2404.07724>). All levels if absent.
    pub guidance_interval: Option<[f64; 2]>,
    /// What keeps estimates in range.
    pub threshold: Threshold,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            sampler: SamplerKind::DpmSolver2m,
            steps: 18,
            cond_scale: 3.0,
            guidance_interval: None,
            threshold: Threshold::Static,
        }
    }
}

impl ModelConfig {
    /// Side of its largest pictures in pixels.
    #[must_use]
    pub fn size(&self) -> usize {
        self.stages.last().map_or(0, |stage| stage.size)
    }

    /// How often the way from noise is walked again in painting, if nothing else is asked for: a base that is told what is
    /// known (`cond_images_channels`) agrees with it by itself.
    #[must_use]
    pub fn resampling(&self) -> Resampling {
        let told = self.stages.first().is_some_and(|base| base.unet.cond_images_channels > 0);
        if told { Resampling::QUICK } else { Resampling::BALANCED }
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        check_format(self.format)?;
        if self.stages.is_empty() {
            return Err("stages is empty; a model needs at least one".into());
        }
        self.text.t5.validate().map_err(|e| format!("text.t5.{e}"))?;
        let max_len = self.text.max_len;
        if !(1..=MAX_TOKENS).contains(&max_len) {
            return Err(format!("text.max_len is {max_len}; it must be from 1 to {MAX_TOKENS}"));
        }
        let mut below = None;
        for (i, stage) in self.stages.iter().enumerate() {
            stage.validate(below, &self.text).map_err(|e| format!("stages[{i}].{e}"))?;
            below = Some(stage.size);
        }
        Ok(())
    }
}

/// Whether this build knows the layout.
///
/// # Errors
/// A sentence that names both versions.
pub(super) fn check_format(format: u32) -> Result<(), String> {
    match format {
        FORMAT => Ok(()),
        newer if newer > FORMAT => {
            Err(format!("format is {newer}; this build reads {FORMAT}: a newer Firefall wrote it, and can load it"))
        }
        other => Err(format!("format is {other}; this build reads {FORMAT}")),
    }
}

impl StageConfig {
    fn validate(&self, below: Option<usize>, text: &TextModelConfig) -> Result<(), String> {
        self.unet.validate().map_err(|e| format!("unet.{e}"))?;
        self.process.validate()?;
        self.sampling.validate()?;
        self.validate_picture()?;
        if let Some(wanted) = self.unet.text.as_ref().filter(|wanted| wanted.embed_dim != text.t5.d_model) {
            let (got, want) = (wanted.embed_dim, text.t5.d_model);
            return Err(format!("unet.text.embed_dim is {got} and the text encoder's d_model {want}"));
        }
        // A shorter one would cut the end of a prompt without a word.
        if let Some(shorter) = self.unet.text.as_ref().filter(|wanted| wanted.max_len < text.max_len) {
            let (got, want) = (shorter.max_len, text.max_len);
            return Err(format!("unet.text.max_len is {got}; it must be at least text.max_len, {want}"));
        }
        match (below, &self.lowres, self.unet.lowres_cond) {
            (None, None, false) => Ok(()),
            (None, ..) => Err("lowres and unet.lowres_cond are for a stage after another".into()),
            (Some(_), None, _) | (Some(_), _, false) => {
                Err("lowres and unet.lowres_cond must be set after another stage".into())
            }
            (Some(below), Some(lowres), true) => {
                if !self.size.is_multiple_of(below) {
                    return Err(format!("size is {}; it must be a multiple of the stage before, {below}", self.size));
                }
                lowres.validate()
            }
        }
    }

    /// What comes in and goes out.
    fn validate_picture(&self) -> Result<(), String> {
        let (unet, multiple) = (&self.unet, self.unet.size_multiple());
        if !(1..=MAX_SIZE).contains(&self.size) || !self.size.is_multiple_of(multiple) {
            return Err(format!("size is {}; this network needs a multiple of {multiple} up to {MAX_SIZE}", self.size));
        }
        if unet.channels != 3 {
            return Err(format!("unet.channels is {}; pictures have 3", unet.channels));
        }
        if let Some(out) = unet.channels_out.filter(|&out| out != unet.channels) {
            return Err(format!("unet.channels_out is {out}; a stage's output has the 3 of its picture"));
        }
        if unet.self_cond {
            return Err("unet.self_cond is true; a stage does not show the network its last estimate".into());
        }
        let known = unet.channels + 1;
        match unet.cond_images_channels {
            0 => Ok(()),
            told if told == known => Ok(()),
            told => Err(format!(
                "unet.cond_images_channels is {told}; it must be 0, or {known} for the pixels that are known and which"
            )),
        }
    }
}

impl LowresConfig {
    fn validate(&self) -> Result<(), String> {
        let [low, high] = self.train_std;
        if !(low > 0.0 && low <= high && high <= MAX_STD) {
            return Err(format!("lowres.train_std is [{low}, {high}]; it must rise and lie above 0, up to {MAX_STD}"));
        }
        if !(0.0..=MAX_STD).contains(&self.sample_std) {
            return Err(format!("lowres.sample_std is {}; it must be from 0 to {MAX_STD}", self.sample_std));
        }
        Ok(())
    }
}

impl SamplingConfig {
    fn validate(&self) -> Result<(), String> {
        if !(1..=super::request::MAX_STEPS).contains(&self.steps) {
            return Err(format!(
                "sampling.steps is {}; it must be from 1 to {}",
                self.steps,
                super::request::MAX_STEPS
            ));
        }
        if !is_number(self.cond_scale) {
            return Err(format!("sampling.cond_scale is {}; it must be a finite number", self.cond_scale));
        }
        if let Some([low, high]) = self.guidance_interval
            && !(low >= 0.0 && low <= high && high.is_finite())
        {
            return Err(format!("sampling.guidance_interval is [{low}, {high}]; it must rise, from 0 or more"));
        }
        self.sampler.validate().map_err(|e| format!("sampling.{e}"))?;
        self.threshold.validate().map_err(|e| format!("sampling.{e}"))
    }
}

/// Whether it is a number in single precision, in which networks work.
pub(super) fn is_number(value: f64) -> bool {
    (value as f32).is_finite()
}
