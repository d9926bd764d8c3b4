//! What a user can ask for.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::canvas::{Canvas, walked};
use super::config::{MAX_STD, ModelConfig, StageConfig, is_number};
use crate::diffusion::{Resampling, SamplerKind};

/// The most steps of a stage: beyond it nothing gets better and a typing error runs for days.
pub const MAX_STEPS: usize = 1000;

/// Pictures to make in one batch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// One entry for each picture.
    pub pictures: Vec<PictureRequest>,
    /// One entry for each stage, fewer leave the others as the model has them.
    pub stages: Vec<StageSettings>,
    /// Stop after this many stages; all if absent.
    pub stop_after: Option<usize>,
    /// Send the estimate of every step as pictures.
    pub previews: bool,
    /// What to start from or to paint in; nothing gives pictures of noise alone.
    #[serde(skip)]
    pub canvas: Option<Canvas>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PictureRequest {
    /// What it should show.
    pub prompt: String,
    /// What it should not show; takes the place of the unconditioned half of guidance.
    pub negative: Option<String>,
    /// All of its randomness.
    pub seed: u64,
}

/// What to change in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageSettings {
    /// Steps of the sampler, 1 to [`MAX_STEPS`].
    pub steps: Option<usize>,
    /// Guidance; 1 is off.
    pub cond_scale: Option<f64>,
    /// The sampler.
    pub sampler: Option<SamplerKind>,
    /// Noise on the smaller picture, as a standard deviation; stages after the first.
    pub lowres_std: Option<f64>,
}

/// Why a request cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// No picture is asked for.
    #[error("the request asks for no picture")]
    NoPictures,
    /// A prompt of nothing but white space.
    #[error("the prompt{} is empty; say what the picture should show", number(*.index, *.of))]
    EmptyPrompt {
        /// Which picture, from 0.
        index: usize,
        /// Of how many.
        of: usize,
    },
    /// Too few or too many steps.
    #[error("{steps} steps in stage {stage}; it must be from 1 to {MAX_STEPS}")]
    Steps {
        /// The stage, from 1.
        stage: usize,
        /// What was asked.
        steps: usize,
    },
    /// Guidance that is no number.
    #[error("cond_scale {value} in stage {stage}; it must be a finite number")]
    CondScale {
        /// The stage, from 1.
        stage: usize,
        /// What was asked.
        value: f64,
    },
    /// Noise that is no standard deviation.
    #[error("lowres_std {value} in stage {stage}; it must be from 0 to {MAX_STD}")]
    LowresStd {
        /// The stage, from 1.
        stage: usize,
        /// What was asked.
        value: f64,
    },
    /// A sampler with numbers that make no sense.
    #[error("{reason} in stage {stage}")]
    Sampler {
        /// The stage, from 1.
        stage: usize,
        /// Which number, and what it must be.
        reason: String,
    },
    /// A picture to paint in that makes no sense.
    #[error("{0}")]
    Canvas(String),
    /// A stage that the model does not have.
    #[error("stage {stage}; this model has {stages}")]
    Stage {
        /// What was asked, from 1.
        stage: usize,
        /// How many there are.
        stages: usize,
    },
}

/// " 3" for the third of several.
fn number(index: usize, of: usize) -> String {
    if of == 1 { String::new() } else { format!(" {}", index + 1) }
}

impl Request {
    /// One picture with everything else as the model has it.
    #[must_use]
    pub fn one(prompt: impl Into<String>, seed: u64) -> Self {
        let picture = PictureRequest { prompt: prompt.into(), negative: None, seed };
        Self { pictures: vec![picture], ..Self::default() }
    }

    /// The stages that will run.
    #[must_use]
    pub fn stages_of(&self, config: &ModelConfig) -> usize {
        self.stop_after.unwrap_or(config.stages.len())
    }

    /// What a picture of this request says of how it was made: the name of the model and, for each stage that runs, what
    /// the request or the model chose.
    #[must_use]
    pub fn described(&self, config: &ModelConfig) -> Value {
        let asked = |i: usize| self.stages.get(i).copied().unwrap_or_default();
        let stages: Vec<Value> = config.stages[..self.stages_of(config)]
            .iter()
            .enumerate()
            .map(|(i, stage)| {
                let (asked, own) = (asked(i), &stage.sampling);
                json!({
                    "size": stage.size,
                    "sampler": asked.sampler.unwrap_or(own.sampler).name(),
                    "steps": asked.steps.unwrap_or(own.steps),
                    "cond_scale": asked.cond_scale.unwrap_or(own.cond_scale),
                })
            })
            .collect();
        json!({ "model": config.name, "stages": stages })
    }

    /// How often a denoiser is called for one batch, at most; guidance, which takes both its halves at once, counts
    /// once.
    #[must_use]
    pub fn calls(&self, config: &ModelConfig) -> usize {
        self.calls_walking(config, |steps| self.canvas.as_ref().map_or(steps, |canvas| canvas.steps(steps)))
    }

    /// The same for a canvas that is yet to be made.
    #[must_use]
    pub fn calls_painting(&self, config: &ModelConfig, resampling: Resampling, strength: f64) -> usize {
        self.calls_walking(config, |steps| resampling.steps(walked(strength, steps)))
    }

    fn calls_walking(&self, config: &ModelConfig, walked: impl Fn(usize) -> usize) -> usize {
        let stage = |(i, stage): (usize, &StageConfig)| {
            let settings = self.stages.get(i).copied().unwrap_or_default();
            let steps = walked(settings.steps.unwrap_or(stage.sampling.steps));
            match settings.sampler.unwrap_or(stage.sampling.sampler) {
                SamplerKind::Heun(_) => 2 * steps - 1,
                _ => steps,
            }
        };
        config.stages.iter().enumerate().take(self.stages_of(config)).map(stage).sum()
    }

    /// Checks the request against a model.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self, config: &ModelConfig) -> Result<(), RequestError> {
        if self.pictures.is_empty() {
            return Err(RequestError::NoPictures);
        }
        if let Some(index) = self.pictures.iter().position(|p| is_blank(&p.prompt)) {
            return Err(RequestError::EmptyPrompt { index, of: self.pictures.len() });
        }
        self.canvas.as_ref().map_or(Ok(()), Canvas::validate).map_err(RequestError::Canvas)?;
        let stages = config.stages.len();
        for stage in [self.stop_after.unwrap_or(stages), self.stages.len().max(1)] {
            if !(1..=stages).contains(&stage) {
                return Err(RequestError::Stage { stage, stages });
            }
        }
        for (i, settings) in self.stages.iter().enumerate() {
            settings.validate(i + 1)?;
        }
        Ok(())
    }
}

impl StageSettings {
    fn validate(&self, stage: usize) -> Result<(), RequestError> {
        if let Some(steps) = self.steps.filter(|steps| !(1..=MAX_STEPS).contains(steps)) {
            return Err(RequestError::Steps { stage, steps });
        }
        if let Some(value) = self.cond_scale.filter(|value| !is_number(*value)) {
            return Err(RequestError::CondScale { stage, value });
        }
        if let Some(value) = self.lowres_std.filter(|value| !(0.0..=MAX_STD).contains(value)) {
            return Err(RequestError::LowresStd { stage, value });
        }
        let sampler = self.sampler.map_or(Ok(()), SamplerKind::validate);
        sampler.map_err(|reason| RequestError::Sampler { stage, reason })
    }
}

/// Nothing that could be seen: white space, control characters, or marks of direction and width.
pub(super) fn is_blank(prompt: &str) -> bool {
    let invisible =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    prompt.chars().all(|c| c.is_whitespace() || c.is_control() || invisible(c))
}

#[cfg(test)]
mod tests {
    use super::is_blank;

    #[test]
    fn blank_is_what_nobody_sees() {
        for blank in ["", "  ", "\t\n", "\0\0", "\u{200b}\u{feff}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for text in ["a", "🔥", "\0a", "\u{202e}abc"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }
}
