//! A training run as data, and the presets.

use serde::{Deserialize, Serialize};

use super::ema::EmaConfig;
use super::optim::OptimConfig;
use crate::cascade::config::FORMAT;
use crate::cascade::{LowresConfig, ModelConfig, SamplingConfig, StageConfig, TextModelConfig};
use crate::diffusion::{Elucidated, LossKind, Process, SamplerKind, Threshold, Weighting};
use crate::nn::attention::AttentionSize;
use crate::text::{FeedForwardProj, T5Config};
use crate::unet::config::{LevelConfig, Stem, TextConfig, UnetConfig};
use crate::world::{Kinds, Mix};

/// Everything of a run; a run and its config give one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// All randomness: parameters, scenes, captions, noise.
    pub seed: u64,
    /// The model.
    pub model: ModelConfig,
    /// Words and pieces of words in the tokenizer; at most the text encoder's `vocab_size`.
    pub vocabulary: usize,
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
    /// The share of captions that are dropped, so that guidance has something to stand on.
    pub drop_caption: f64,
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
            "small" => Ok(small()),
            "tiny" => Ok(tiny()),
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
        let mut below = None;
        for (i, (training, stage)) in self.stages.iter().zip(&self.model.stages).enumerate() {
            training.validate(stage, below).map_err(|e| format!("stages[{i}].{e}"))?;
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
        if !(0.0..=1.0).contains(&self.drop_caption) {
            return Err(format!("drop_caption is {}; it must be from 0 to 1", self.drop_caption));
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
        }
        if self.phases.is_empty() {
            return Err("phases is empty".into());
        }
        for (i, phase) in self.phases.iter().enumerate() {
            phase.mix.check().map_err(|e| format!("phases[{i}].mix: {e}"))?;
        }
        Ok(())
    }
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    (a..=a * b).step_by(a).find(|n| n.is_multiple_of(b)).unwrap_or(a * b)
}

/// The model that is shipped: 32 then 128 pixels, for a CPU's patience.
fn small() -> TrainConfig {
    let text = TextModelConfig { t5: text_encoder(128, 3), max_len: 40 };
    let unet_text = TextConfig { embed_dim: 128, max_len: 40, pool: None };
    let attn = AttentionSize { heads: 4, dim_head: 32 };
    let base = UnetConfig {
        dim: 16,
        stem: Stem::Conv(3),
        levels: vec![level(4, false, 0), level(6, true, 1)],
        attn,
        middle_cross: attn,
        cond_dim: Some(96),
        text: Some(unet_text.clone()),
        memory_efficient: true,
        stem_to_end: true,
        ..UnetConfig::default()
    };
    let finer = UnetConfig {
        dim: 16,
        stem: Stem::Conv(3),
        levels: vec![level(2, false, 0), level(4, false, 0)],
        middle_attention: 0,
        attn,
        middle_cross: attn,
        cond_dim: Some(64),
        text: Some(unet_text),
        lowres_cond: true,
        memory_efficient: true,
        stem_to_end: true,
        ..UnetConfig::default()
    };
    let model = ModelConfig {
        format: FORMAT,
        name: "shapes-small".into(),
        text,
        stages: vec![
            StageConfig {
                size: 32,
                process: elucidated(0.0, 1.3),
                unet: base,
                lowres: None,
                sampling: sampling(18, 3.0),
            },
            StageConfig {
                size: 128,
                process: elucidated(-0.8, 1.4),
                unet: finer,
                lowres: Some(LowresConfig::default()),
                sampling: sampling(8, 1.0),
            },
        ],
    };
    let first = StageTraining {
        steps: 28_000,
        batch: 16,
        micro_batch: 8,
        crop: None,
        loss: LossKind::L2,
        weighting: Weighting::default(),
        drop_caption: 0.1,
        optim: OptimConfig { learning_rate: 8e-4, warmup: 500, ..OptimConfig::default() },
        ema: EmaConfig { beta: 0.998, update_every: 4, ..EmaConfig::default() },
        phases: vec![
            Phase { until: 0.12, mix: Mix::first_steps() },
            Phase { until: 0.6, mix: one_object() },
            Phase { until: 1.0, mix: Mix { kinds: mostly_one(), ..Mix::default() } },
        ],
    };
    let second = StageTraining {
        steps: 6_000,
        batch: 16,
        crop: Some(64),
        phases: vec![Phase { until: 1.0, mix: Mix::default() }],
        ..first.clone()
    };
    TrainConfig {
        seed: 1,
        model,
        vocabulary: 512,
        stages: vec![first, second],
        checkpoint_every: 500,
        keep_checkpoints: 3,
        log_every: 50,
    }
}

/// A model for tests: everything the small one has, at sizes that take a second.
fn tiny() -> TrainConfig {
    let mut config = small();
    config.model.name = "shapes-tiny".into();
    config.model.text = TextModelConfig { t5: text_encoder(16, 1), max_len: 24 };
    for (stage, size) in config.model.stages.iter_mut().zip([8, 16]) {
        stage.size = size;
        stage.sampling.steps = 3;
        stage.unet.dim = 8;
        stage.unet.cond_dim = Some(16);
        stage.unet.text = Some(TextConfig { embed_dim: 16, max_len: 24, pool: None });
        stage.unet.attn = AttentionSize { heads: 2, dim_head: 8 };
        stage.unet.middle_cross = stage.unet.attn;
        for level in &mut stage.unet.levels {
            level.mult = 1;
        }
    }
    for training in &mut config.stages {
        training.steps = 6;
        training.batch = 4;
        training.micro_batch = 2;
        training.crop = training.crop.map(|_| 8);
        training.optim.warmup = 2;
    }
    config.checkpoint_every = 2;
    config.log_every = 1;
    config
}

fn text_encoder(width: usize, layers: usize) -> T5Config {
    T5Config {
        vocab_size: 512,
        d_model: width,
        d_kv: width / 4,
        d_ff: width * 2,
        num_layers: layers,
        num_heads: 4,
        feed_forward_proj: FeedForwardProj::GatedGelu,
        ..T5Config::default()
    }
}

fn level(mult: usize, cross_attention: bool, attention: usize) -> LevelConfig {
    LevelConfig { mult, resnet_blocks: 0, attention, cross_attention }
}

/// EDM with training levels about the noise at which the shapes of this world take form.
fn elucidated(p_mean: f64, p_std: f64) -> Process {
    Process::Elucidated(Elucidated {
        sigma_min: 0.01,
        sigma_max: 50.0,
        sigma_data: 0.7,
        p_mean,
        p_std,
        ..Elucidated::default()
    })
}

fn sampling(steps: usize, cond_scale: f64) -> SamplingConfig {
    SamplingConfig { sampler: SamplerKind::DpmSolver2m, steps, cond_scale, threshold: Threshold::Static }
}

/// One object, with all that can be said of one.
fn one_object() -> Mix {
    let kinds = Kinds { single: 2.0, background: 1.0, size: 1.0, position: 1.0, digit: 0.5, ..Kinds::NONE };
    Mix { kinds, backgrounds: 0.15, digits: 0.2, synonyms: 0.2, left_out: 0.0, ..Mix::default() }
}

/// All kinds, one object in most.
fn mostly_one() -> Kinds {
    Kinds {
        single: 3.0,
        background: 2.0,
        size: 2.0,
        position: 2.0,
        digit: 1.0,
        detailed: 1.0,
        pair: 1.0,
        relation: 0.7,
        counting: 0.7,
        detailed_pair: 0.3,
        gathering: 0.2,
    }
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
        assert_eq!(at(0.0), &training.phases[0].mix);
        assert_eq!(at(0.2), &training.phases[1].mix);
        assert_eq!(at(0.9), &training.phases[2].mix);
        assert_eq!(at(2.0), &training.phases[2].mix);
    }
}
