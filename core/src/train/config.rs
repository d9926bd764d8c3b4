//! A training run as data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::draft::Drafts;
use super::ema::EmaConfig;
use super::optim::OptimConfig;
use super::preset;
use super::reading::Reading;
use crate::cascade::{ModelConfig, StageConfig};
use crate::diffusion::{LossKind, Weighting};
use crate::world::Mix;

/// The most pictures in a step.
pub(super) const MOST_PICTURES: usize = 1 << 16;
/// The most steps of a stage.
const MOST_STEPS: u64 = 1_000_000_000;
/// The most that naming counts.
const MOST_NAMING: f64 = 100.0;

/// Where pictures and captions come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// The shapes world, by the mixes of the phases.
    #[default]
    Shapes,
    /// [Digits](crate::world::digits) of the shapes world, white on black; phases do not matter here and below.
    Digits,
    /// A folder with the IDX files of MNIST, in place of these.
    Mnist(PathBuf),
    /// A folder of pictures, each beside a `.txt` with a caption a line.
    Folder(PathBuf),
}

/// Everything of a run; a run and its config give one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// All randomness: parameters, scenes, captions, noise.
    pub seed: u64,
    /// Where pictures and captions come from.
    #[serde(default)]
    pub data: Data,
    /// The model.
    pub model: ModelConfig,
    /// Words and pieces of words in the tokenizer; at most the text encoder's `vocab_size`.
    pub vocabulary: usize,
    /// What the text encoder learns before the first stage. Only captions of the shapes world are known for what they
    /// tell: elsewhere it is passed over.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// One entry for each stage of the model.
    pub stages: Vec<StageTraining>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints of a stage that are kept.
    pub keep_checkpoints: usize,
    /// Steps between lines of metrics.
    pub log_every: u64,
}

/// How one stage is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageTraining {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Pictures in a step.
    pub batch: usize,
    /// Pictures at a time; gradients of the parts of a batch are added up.
    pub micro_batch: usize,
    /// Side of the square that is cut out of each picture; the whole if absent.
    pub crop: Option<usize>,
    /// How the distance counts.
    pub loss: LossKind,
    /// How noise levels count.
    pub weighting: Weighting,
    /// Noise levels count alike: each loss is divided by what losses at its level are expected to be, and `weighting` is
    /// divided out with it.
    #[serde(default)]
    pub balance: bool,
    /// The share of captions that are dropped, so that guidance has something to stand on.
    pub drop_caption: f64,
    /// The share of pictures of which a part is [known](super::known), for a stage whose network is told so.
    #[serde(default)]
    pub inpainting: f64,
    /// What the [second loss](super::naming) counts beside the first, on scenes of the shapes world; 0 is none.
    #[serde(default)]
    pub naming: f64,
    /// Smaller pictures [as the stage before draws them](super::draft), for the second stage.
    #[serde(default)]
    pub drafts: Option<Drafts>,
    /// The optimiser.
    pub optim: OptimConfig,
    /// The moving average.
    pub ema: EmaConfig,
    /// What is shown, in this order.
    pub phases: Vec<Phase>,
}

/// A part of the curriculum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Where it ends, as a share of the stage's steps; the last one goes on to the end.
    pub until: f64,
    /// What it shows.
    pub mix: Mix,
}

impl StageTraining {
    /// What step `step` shows.
    #[must_use]
    pub fn mix(&self, step: u64) -> &Mix {
        let share = step as f64 / self.steps.max(1) as f64;
        let last = self.phases.len() - 1;
        let phase = self.phases.iter().take(last).find(|phase| share < phase.until);
        &phase.unwrap_or(&self.phases[last]).mix
    }
}

impl TrainConfig {
    /// The names of the presets.
    pub const PRESETS: [&'static str; 2] = ["small", "tiny"];

    /// A preset by its name.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn preset(name: &str) -> Result<Self, String> {
        match name {
            "small" => Ok(preset::small()),
            "tiny" => Ok(preset::tiny()),
            _ => Err(format!("no preset is called {name:?}; there are {}", Self::PRESETS.join(", "))),
        }
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        self.model.validate().map_err(|e| format!("model.{e}"))?;
        if self.stages.len() != self.model.stages.len() {
            let (got, want) = (self.stages.len(), self.model.stages.len());
            return Err(format!("stages has {got} entries and model.stages {want}"));
        }
        let known = self.model.text.t5.vocab_size;
        if self.vocabulary > known {
            return Err(format!("vocabulary is {}; the text encoder knows {known}", self.vocabulary));
        }
        if self.checkpoint_every == 0 || self.keep_checkpoints == 0 || self.log_every == 0 {
            return Err("checkpoint_every, keep_checkpoints and log_every must be at least 1".into());
        }
        if let Some(reading) = &self.reading {
            reading.validate().map_err(|e| format!("reading.{e}"))?;
        }
        let mut below = None;
        for (i, (training, stage)) in self.stages.iter().zip(&self.model.stages).enumerate() {
            training.validate(stage, below).map_err(|e| format!("stages[{i}].{e}"))?;
            if let Some(drafts) = &training.drafts {
                drafts.validate().map_err(|e| format!("stages[{i}].drafts.{e}"))?;
                if i != 1 {
                    return Err(format!("stages[{i}].drafts is given; only the second stage, stages[1], can have it"));
                }
            }
            below = Some(stage.size);
        }
        Ok(())
    }
}

impl StageTraining {
    fn validate(&self, stage: &StageConfig, below: Option<usize>) -> Result<(), String> {
        if self.steps == 0 || self.batch == 0 || self.micro_batch == 0 {
            return Err("steps, batch and micro_batch must be at least 1".into());
        }
        if self.steps > MOST_STEPS {
            return Err(format!("steps is {}; it must be at most {MOST_STEPS}", self.steps));
        }
        if self.batch > MOST_PICTURES {
            return Err(format!("batch is {}; it must be at most {MOST_PICTURES}", self.batch));
        }
        self.weighting.validate()?;
        for (key, share) in [("drop_caption", self.drop_caption), ("inpainting", self.inpainting)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{key} is {share}; it must be from 0 to 1"));
            }
        }
        if self.inpainting > 0.0 && stage.unet.cond_images_channels == 0 {
            let want = stage.unet.channels + 1;
            return Err(format!(
                "inpainting is {}; the network must have cond_images_channels {want}",
                self.inpainting
            ));
        }
        if !(0.0..=MOST_NAMING).contains(&self.naming) || (self.naming > 0.0 && self.crop.is_some()) {
            return Err(format!("naming is {}; it must be from 0 to {MOST_NAMING}, and 0 with a crop", self.naming));
        }
        self.optim.validate().map_err(|e| format!("optim.{e}"))?;
        self.ema.validate().map_err(|e| format!("ema.{e}"))?;
        if let Some(crop) = self.crop {
            // On the grid of the smaller picture, of which the same square is cut.
            let factor = below.map_or(1, |below| stage.size / below);
            let multiple = least_common_multiple(stage.unet.size_multiple(), factor);
            if crop == 0 || crop > stage.size || !crop.is_multiple_of(multiple) {
                let size = stage.size;
                return Err(format!("crop is {crop}; it must be a multiple of {multiple} up to {size}"));
            }
            if crop < stage.size && stage.unet.coordinates {
                return Err(format!("crop is {crop}; a network with coordinates must see whole pictures"));
            }
        }
        if self.phases.is_empty() {
            return Err("phases is empty".into());
        }
        let mut before = 0.0;
        for (i, phase) in self.phases.iter().enumerate() {
            let until = phase.until;
            if !(until > before && until.is_finite()) {
                return Err(format!("phases[{i}].until is {until}; it must be above {before}"));
            }
            before = until;
            phase.mix.check().map_err(|e| format!("phases[{i}].mix: {e}"))?;
        }
        Ok(())
    }
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    (a..=a * b).step_by(a).find(|n| n.is_multiple_of(b)).unwrap_or(a * b)
}

#[cfg(test)]
mod tests {
    use super::TrainConfig;

    #[test]
    fn presets_are_valid_and_survive_json() {
        for name in TrainConfig::PRESETS {
            let config = TrainConfig::preset(name).unwrap();
            assert_eq!(config.validate(), Ok(()), "{name}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TrainConfig>(&json).unwrap(), config);
        }
        assert!(TrainConfig::preset("huge").unwrap_err().contains("small, tiny"));
    }

    #[test]
    fn phases_follow_each_other() {
        let training = &TrainConfig::preset("small").unwrap().stages[0];
        let at = |share: f64| training.mix((share * training.steps as f64) as u64);
        let mut begin = 0.0;
        for phase in &training.phases {
            assert_eq!((at(begin + 0.01), at(phase.until - 0.01)), (&phase.mix, &phase.mix));
            begin = phase.until;
        }
        assert_eq!((at(0.0), at(2.0)), (&training.phases[0].mix, &training.phases.last().unwrap().mix));
    }
}
