//! Ready-made runs.

use super::config::{Data, Phase, StageTraining, TrainConfig};
use super::ema::EmaConfig;
use super::optim::{Method, OptimConfig};
use super::reading::Reading;
use crate::cascade::config::FORMAT;
use crate::cascade::{LowresConfig, ModelConfig, SamplingConfig, StageConfig, TextModelConfig};
use crate::diffusion::{Elucidated, LossKind, Process, SamplerKind, Weighting};
use crate::nn::attention::AttentionSize;
use crate::text::{FeedForwardProj, T5Config};
use crate::unet::config::{LevelConfig, Stem, TextConfig, UnetConfig};
use crate::world::{Kinds, Mix};

/// Tokens of the longest caption, with room.
const MAX_LEN: usize = 32;
/// Width of the small text encoder.
const TEXT_WIDTH: usize = 128;
/// Heads of the small networks.
const ATTN: AttentionSize = AttentionSize { heads: 4, dim_head: 32 };

/// The model that is shipped: 32 then 128 pixels, for a CPU's patience.
pub(super) fn small() -> TrainConfig {
    let model = ModelConfig {
        format: FORMAT,
        name: "shapes-small".into(),
        text: TextModelConfig { t5: text_encoder(TEXT_WIDTH, 3), max_len: MAX_LEN },
        stages: vec![
            StageConfig {
                size: 32,
                process: elucidated(0.8, 1.2),
                unet: base(),
                lowres: None,
                // Ancestral: its fresh noise makes good what went wrong at the levels before.
                sampling: SamplingConfig { sampler: SamplerKind::Ddpm, ..sampling(18, 2.0) },
            },
            StageConfig {
                size: 128,
                process: elucidated(-0.8, 1.4),
                unet: finer(),
                lowres: Some(LowresConfig::default()),
                sampling: sampling(8, 1.0),
            },
        ],
    };
    TrainConfig {
        seed: 1,
        data: Data::Shapes,
        model,
        vocabulary: 512,
        reading: Some(Reading { steps: 1500, batch: 64, anew: false }),
        stages: vec![base_training(), finer_training()],
        checkpoint_every: 1000,
        keep_checkpoints: 3,
        log_every: 50,
    }
}

/// The network of 32 x 32.
fn base() -> UnetConfig {
    UnetConfig {
        dim: 16,
        stem: Stem::Conv(3),
        levels: vec![level(4, false, 0), level(6, true, 1)],
        attn: ATTN,
        middle_cross: ATTN,
        cond_dim: Some(96),
        text: Some(unet_text()),
        // Pixels that are known, and which: it paints into pictures too.
        cond_images_channels: 4,
        coordinates: true,
        memory_efficient: true,
        stem_to_end: true,
        ..UnetConfig::default()
    }
}

/// The network of 32 to 128.
fn finer() -> UnetConfig {
    UnetConfig {
        dim: 16,
        stem: Stem::Conv(3),
        levels: vec![level(2, false, 0), level(4, false, 0)],
        middle_attention: 0,
        attn: ATTN,
        middle_cross: ATTN,
        cond_dim: Some(64),
        text: Some(unet_text()),
        lowres_cond: true,
        memory_efficient: true,
        stem_to_end: true,
        ..UnetConfig::default()
    }
}

fn unet_text() -> TextConfig {
    TextConfig { embed_dim: TEXT_WIDTH, max_len: MAX_LEN, masked: true, pool: None }
}

fn base_training() -> StageTraining {
    StageTraining {
        steps: 18_000,
        batch: 32,
        micro_batch: 8,
        crop: None,
        loss: LossKind::L2,
        weighting: Weighting::default(),
        balance: true,
        drop_caption: 0.1,
        inpainting: 0.3,
        naming: 0.1,
        drafts: None,
        optim: OptimConfig {
            method: Method::Muon,
            learning_rate: 3e-3,
            text_share: 0.05,
            warmup: 300,
            ..OptimConfig::default()
        },
        ema: EmaConfig { beta: 0.998, update_every: 4, ..EmaConfig::default() },
        phases: vec![
            Phase { until: 0.17, mix: black_on_white() },
            Phase { until: 0.4, mix: colours_on_white() },
            Phase { until: 1.0, mix: all_on_white() },
        ],
    }
}

fn finer_training() -> StageTraining {
    StageTraining {
        steps: 6_000,
        batch: 16,
        crop: Some(64),
        balance: false,
        inpainting: 0.0,
        naming: 0.0,
        phases: vec![Phase { until: 1.0, mix: Mix::default() }],
        ..base_training()
    }
}

/// A model for tests: everything the small one has, at sizes that take a second.
pub(super) fn tiny() -> TrainConfig {
    let mut config = small();
    config.model.name = "shapes-tiny".into();
    config.model.text = TextModelConfig { t5: text_encoder(16, 1), max_len: 24 };
    for (stage, size) in config.model.stages.iter_mut().zip([8, 16]) {
        stage.size = size;
        stage.sampling.steps = 3;
        stage.unet.dim = 8;
        stage.unet.cond_dim = Some(16);
        stage.unet.text = Some(TextConfig { embed_dim: 16, max_len: 24, masked: true, pool: None });
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
        if training.crop.is_none() {
            training.naming = 0.1;
        }
        // From the first step on, so that an average of few steps is one.
        training.ema = EmaConfig { update_after_step: 0, update_every: 1, ..training.ema };
    }
    config.reading = Some(Reading { steps: 3, batch: 4, anew: false });
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
    SamplingConfig { steps, cond_scale, ..SamplingConfig::default() }
}

/// One object, black on white. Colours are most of a picture's variance and none of its form: with all of them from the
/// first step forms and places did not come for hundreds of thousands of pictures, without they came within about one.
fn black_on_white() -> Mix {
    let kinds = Kinds { single: 1.0, size: 2.0, position: 3.0, detailed: 1.0, ..Kinds::NONE };
    Mix { kinds, monochrome: 1.0, digits: 0.0, backgrounds: 0.0, synonyms: 0.0, left_out: 0.0, ..Mix::default() }
}

/// One object in any colour, nearly always on white.
fn colours_on_white() -> Mix {
    let kinds = Kinds { single: 2.0, background: 1.0, size: 1.5, position: 2.0, detailed: 1.0, ..Kinds::NONE };
    Mix { kinds, monochrome: 0.1, on_white: 0.8, backgrounds: 0.3, ..black_on_white() }
}

/// Everything that captions can say, nearly always on white, in words that vary: forms on many backgrounds want a longer run
/// than this one.
fn all_on_white() -> Mix {
    let kinds = Kinds {
        single: 2.0,
        background: 0.5,
        size: 1.5,
        position: 2.0,
        pair: 2.0,
        relation: 1.5,
        counting: 2.0,
        digit: 1.2,
        detailed: 1.0,
        detailed_pair: 0.3,
        gathering: 0.3,
        // What is never shown is not drawn, and that goes for nothing as well.
        empty: 1.2,
    };
    let words = Mix { backgrounds: 0.15, synonyms: 0.15, left_out: 0.03, other_sizes: 0.7, ..black_on_white() };
    Mix { kinds, monochrome: 0.05, on_white: 0.9, ..words }
}
