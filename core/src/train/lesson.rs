//! The configurations of the lesson on Imagen and MNIST
//! (<https://github.com/swookey-thinky/mindiffusion>, lessons 18 and 19, and xdiffusion after them), key by key.
//!
//! One file names a file for each stage. What a stage says of its process, guidance, thresholding and network is taken
//! over; what this program always does, or never, must be said so or not at all; what makes no difference here is told as
//! such. A section of our own, `training`, holds what the lesson gives on its command line.
//!
//! The text encoder is ours, and trained with the first stage: `model_name: "trained"`. Pictures have three channels.

mod keys;

use serde::Deserialize;
use serde_json::Value;

use self::keys::Keys;
use super::config::{Data, Phase, StageTraining, TrainConfig};
use super::ema::EmaConfig;
use super::optim::{Method, OptimConfig};
use crate::cascade::config::FORMAT;
use crate::cascade::{LowresConfig, ModelConfig, SamplingConfig, StageConfig, TextModelConfig};
use crate::diffusion::{LogSnrSchedule, LossKind, Objective, Process, SamplerKind, Threshold, Weighting};
use crate::nn::attention::AttentionSize;
use crate::text::{FeedForwardProj, T5Config};
use crate::unet::config::{LevelConfig, Stem, TextConfig, UnetConfig};
use crate::world::Mix;

/// Tokens the encoder knows: bytes, and the words of the digits.
const VOCABULARY: usize = 320;

/// A lesson as a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// The run.
    pub config: TrainConfig,
    /// Keys that count for nothing here, each with its value.
    pub ignored: Vec<String>,
}

/// What the lesson gives on its command line, and what its text encoder is made of.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Training {
    batch_size: usize,
    num_training_steps: u64,
    learning_rate: f64,
    /// Blocks of the text encoder.
    text_layers: usize,
}

impl Default for Training {
    fn default() -> Self {
        Self { batch_size: 64, num_training_steps: 10_000, learning_rate: 2e-4, text_layers: 2 }
    }
}

/// Whether a file is a lesson, by its first key.
#[must_use]
pub fn is_lesson(tree: &Value) -> bool {
    tree.get("diffusion_cascade").is_some()
}

/// Reads a lesson; `read` gives the file of a stage by the name that stands for it.
///
/// # Errors
/// A sentence that names the file and its key: one that is missing, unknown, of the wrong type, or asks for what there is
/// not.
pub fn lesson(tree: Value, read: impl Fn(&str) -> Result<Value, String>) -> Result<Lesson, String> {
    let mut main = Keys::new("the lesson", tree);
    let mut stages = Vec::new();
    while let Some(name) =
        main.may::<String>(&format!("diffusion_cascade.cascade_layer_{}.config", stages.len() + 1))?
    {
        let below = stages.last().map(|(stage, _): &(Stage, _)| stage.config.size);
        let mut keys = Keys::new(&name, read(&name)?);
        let stage = stage(&mut keys, below)?;
        stages.push((stage, keys.end()?));
    }
    let Some((last, _)) = stages.last() else { return Err("the lesson: diffusion_cascade names no stage".into()) };
    main.only("data.image_size", &[last.config.size.into()])?;
    main.only("data.num_channels", &[1.into(), 3.into()])?;
    main.ignored("data.num_classes");
    let training = main.may::<Training>("training")?.unwrap_or_default();
    let mut ignored = main.end()?;
    let first = &stages[0].0;
    let (width, max_len) = (first.text_width, first.max_len);
    if let Some((other, _)) = stages.iter().find(|(stage, _)| (stage.max_len) != max_len) {
        return Err(format!(
            "stages have prompts of {max_len} and of {} tokens; they share one encoder",
            other.max_len
        ));
    }
    let Some(width) = width else {
        return Err("the first stage: text_embedding_dim is missing from PooledTextEmbeddingsToTimestep".into());
    };
    let text = TextModelConfig { t5: text_encoder(width, training.text_layers), max_len };
    let (mut configs, mut trainings) = (Vec::new(), Vec::new());
    for (stage, told) in stages {
        ignored.extend(told);
        let text = TextConfig { embed_dim: width, max_len, masked: true, pool: None };
        let unet = UnetConfig { text: Some(text), ..stage.config.unet };
        configs.push(StageConfig { unet, ..stage.config });
        trainings.push(stage_training(&training, stage.drop_caption));
    }
    let model = ModelConfig { format: FORMAT, name: "lesson".into(), text, stages: configs };
    let config = TrainConfig {
        seed: 1,
        data: Data::Digits,
        model,
        vocabulary: VOCABULARY,
        reading: None,
        stages: trainings,
        checkpoint_every: 1000,
        keep_checkpoints: 3,
        log_every: 50,
    };
    config.validate()?;
    Ok(Lesson { config, ignored })
}

fn text_encoder(width: usize, num_layers: usize) -> T5Config {
    T5Config {
        vocab_size: VOCABULARY,
        d_model: width,
        d_kv: (width / 4).max(1),
        d_ff: 2 * width,
        num_layers,
        num_heads: 4,
        feed_forward_proj: FeedForwardProj::GatedGelu,
        ..T5Config::default()
    }
}

/// Adam at a constant rate and the plain loss on what the network predicts, as the lesson; and an average, which it lacks.
fn stage_training(training: &Training, drop_caption: f64) -> StageTraining {
    StageTraining {
        steps: training.num_training_steps,
        batch: training.batch_size,
        micro_batch: training.batch_size.div_ceil(2),
        crop: None,
        loss: LossKind::L2,
        weighting: Weighting::Uniform,
        balance: false,
        drop_caption,
        inpainting: 0.0,
        naming: 0.0,
        drafts: None,
        optim: OptimConfig {
            method: Method::Adamw,
            learning_rate: training.learning_rate,
            final_share: 1.0,
            warmup: 100,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.0,
            clip_norm: 1.0,
            ..OptimConfig::default()
        },
        ema: EmaConfig { beta: 0.998, ..EmaConfig::default() },
        phases: vec![Phase { until: 1.0, mix: Mix::default() }],
    }
}

/// What a stage's file says.
struct Stage {
    config: StageConfig,
    drop_caption: f64,
    /// Width of the text encoder, where it is said.
    text_width: Option<usize>,
    max_len: usize,
}

fn stage(keys: &mut Keys, below: Option<usize>) -> Result<Stage, String> {
    let size: usize = keys.need("diffusion.sampling.params.output_spatial_size")?;
    let channels: usize = keys.need("data.num_channels")?;
    keys.only("data.num_channels", &[1.into(), 3.into()])?;
    keys.only("data.image_size", &[size.into()])?;
    keys.ignored("data.num_classes");
    keys.only("diffusion.sampling.params.output_channels", &[channels.into()])?;
    let objective = match keys.may::<String>("diffusion.parameterization")?.as_deref() {
        None | Some("epsilon") => Objective::Noise,
        Some("v") => Objective::V,
        Some(other) => return Err(keys.refuse("diffusion.parameterization", &format!("is {other}, not epsilon or v"))),
    };
    let schedule = match keys.need::<String>("diffusion.noise_scheduler.schedule")?.as_str() {
        "linear" => LogSnrSchedule::Linear,
        "cosine" => LogSnrSchedule::Cosine,
        other => {
            return Err(keys.refuse("diffusion.noise_scheduler.schedule", &format!("is {other}, not linear or cosine")));
        }
    };
    let sampling = sampling(keys)?;
    let lowres = super_resolution(keys, size, below, schedule)?;
    let (max_len, drop_caption) = prompts(keys)?;
    let (unet, text_width) = network(keys, [size, channels], below.is_some())?;
    let process = Process::Gaussian { schedule, objective };
    let config = StageConfig { size, process, unet, lowres, sampling };
    Ok(Stage { config, drop_caption, text_width, max_len })
}

/// Time is continuous here: the number of scales is that of the sampler's steps.
fn sampling(keys: &mut Keys) -> Result<SamplingConfig, String> {
    let sampler = match keys.target("diffusion.sampling.target")?.as_str() {
        "AncestralSampler" => SamplerKind::Ddpm,
        "DDIMSampler" => SamplerKind::Ddim { eta: 0.0 },
        other => {
            let reason = format!("is {other}; there are AncestralSampler and DDIMSampler");
            return Err(keys.refuse("diffusion.sampling.target", &reason));
        }
    };
    let steps: usize = keys.need("diffusion.noise_scheduler.num_scales")?;
    keys.only("diffusion.noise_scheduler.loss_type", &["l2".into()])?;
    keys.only_target("diffusion.noise_scheduler.sampler.target", "UniformSampler")?;
    keys.only("diffusion.noise_scheduler.sampler.params.num_timesteps", &[steps.into()])?;
    let threshold = match keys.may("diffusion.dynamic_thresholding.enable")? {
        Some(true) => {
            let quantile = keys.need("diffusion.dynamic_thresholding.p")?;
            Threshold::Dynamic { quantile, most: Some(keys.need("diffusion.dynamic_thresholding.c")?) }
        }
        _ => {
            keys.ignored("diffusion.dynamic_thresholding.p");
            keys.ignored("diffusion.dynamic_thresholding.c");
            Threshold::Static
        }
    };
    let cond_scale = keys.need("diffusion.classifier_free_guidance.classifier_free_guidance")?;
    Ok(SamplingConfig { sampler, steps, cond_scale, guidance_interval: None, threshold })
}

/// The smaller picture of a stage that has one.
fn super_resolution(
    keys: &mut Keys,
    size: usize,
    below: Option<usize>,
    schedule: LogSnrSchedule,
) -> Result<Option<LowresConfig>, String> {
    let Some(below) = below else {
        keys.only_target("diffusion.input_preprocessing.target", "IgnoreInputPreprocessor")?;
        return Ok(None);
    };
    for place in ["super_resolution", "diffusion.input_preprocessing.params"] {
        keys.only(&format!("{place}.low_resolution_spatial_size"), &[below.into()])?;
        keys.only(&format!("{place}.super_resolution_spatial_size"), &[size.into()])?;
    }
    keys.ignored("super_resolution.conditioning_key");
    keys.ignored("diffusion.input_preprocessing.params.context_input_key");
    keys.only_target("diffusion.input_preprocessing.target", "InputPreprocessor")?;
    keys.only("diffusion.input_preprocessing.params.apply_gaussian_conditioning_augmentation", &[true.into()])?;
    let time: f64 = keys.need("super_resolution.sampling_augmentation_level")?;
    if !(time > 0.0 && time < 1.0) {
        let reason = format!("is {time}; it is a time between 0 and 1");
        return Err(keys.refuse("super_resolution.sampling_augmentation_level", &reason));
    }
    // As a standard deviation beside the picture; training takes twice as much at most.
    let sample_std = (-schedule.log_snr(time) / 2.0).exp();
    Ok(Some(LowresConfig { train_std: [0.01, 2.0 * sample_std], sample_std }))
}

/// The longest prompt in tokens, and the share that is dropped.
fn prompts(keys: &mut Keys) -> Result<(usize, f64), String> {
    let at = "diffusion.context_preprocessing";
    keys.only_target(&format!("{at}.0.target"), "T5TextPromptsPreprocessor")?;
    let max_len = keys.need(&format!("{at}.0.params.max_length"))?;
    own_encoder(keys, &format!("{at}.0.params.model_name"))?;
    let at = "diffusion.classifier_free_guidance";
    let drop_caption = keys.need(&format!("{at}.unconditional_guidance_probability"))?;
    keys.only(&format!("{at}.signals.0"), &["text_prompts".into()])?;
    keys.only_target(&format!("{at}.unconditional_context.target"), "UnconditionalTextPromptsAdapter")?;
    Ok((max_len, drop_caption))
}

/// No text encoder is fetched from anywhere.
fn own_encoder(keys: &mut Keys, path: &str) -> Result<(), String> {
    match keys.may::<String>(path)?.as_deref() {
        None | Some("trained") => Ok(()),
        Some(other) => {
            let reason = format!("is {other}; its weights are not here, \"trained\" is an encoder that learns along");
            Err(keys.refuse(path, &reason))
        }
    }
}

/// The network, and the width of the text encoder if it says so.
fn network(
    keys: &mut Keys,
    [size, channels]: [usize; 2],
    follows: bool,
) -> Result<(UnetConfig, Option<usize>), String> {
    let at = |key: &str| format!("diffusion.score_network.params.{key}");
    keys.only_target("diffusion.score_network.target", "Unet")?;
    keys.only(&at("input_channels"), &[(channels * if follows { 2 } else { 1 }).into()])?;
    keys.only(&at("output_channels"), &[channels.into()])?;
    keys.only(&at("input_spatial_size"), &[size.into()])?;
    let dim: usize = keys.need(&at("num_features"))?;
    let mults: Vec<usize> = keys.need(&at("channel_multipliers"))?;
    let blocks = match keys.need::<Value>(&at("num_resnet_blocks"))? {
        Value::Array(each) => each.iter().filter_map(Value::as_u64).map(|n| n as usize).collect(),
        all => vec![all.as_u64().unwrap_or_default() as usize; mults.len()],
    };
    if blocks.len() != mults.len() || blocks.contains(&0) {
        return Err(keys.refuse(&at("num_resnet_blocks"), "is not a number above 0 for each channel multiplier"));
    }
    keys.only(&at("use_scale_shift_norm"), &[true.into()])?;
    for key in ["is_learned_sigma", "is_class_conditional"] {
        keys.only(&at(key), &[false.into()])?;
    }
    for key in ["resamp_with_conv", "resblock_updown", "resnet_block_type", "dropout", "num_classes"] {
        keys.ignored(&at(key));
    }
    let resolutions: Vec<usize> = keys.need(&at("attention.attention_resolutions"))?;
    let heads = keys.need(&at("attention.attention_heads"))?;
    let dim_head = keys.need(&at("attention.attention_channels"))?;
    keys.only(&at("attention.is_causal"), &[false.into()])?;
    let (cross, text_width) = conditioning(keys, &at("conditioning"), dim, follows)?;
    let level = |(i, (&mult, &blocks)): (usize, (&usize, &usize))| {
        // The Efficient U-Net of super-resolution halves first.
        let attends = resolutions.contains(&(size >> (i + usize::from(follows))));
        LevelConfig { mult, resnet_blocks: blocks - 1, attention: usize::from(attends), cross_attention: attends }
    };
    let unet = UnetConfig {
        dim,
        stem: Stem::Conv(3),
        levels: mults.iter().zip(&blocks).enumerate().map(level).collect(),
        attn: AttentionSize { heads, dim_head },
        middle_cross: cross,
        lowres_cond: follows,
        memory_efficient: follows,
        ..UnetConfig::default()
    };
    Ok((unet, text_width))
}

/// The size of cross attention, and the width of the text encoder if it is said.
fn conditioning(
    keys: &mut Keys,
    at: &str,
    dim: usize,
    follows: bool,
) -> Result<(AttentionSize, Option<usize>), String> {
    keys.only(&format!("{at}.signals.0"), &["timestep".into()])?;
    keys.only(&format!("{at}.signals.1"), &["text_tokens".into()])?;
    let time = format!("{at}.projections.timestep");
    keys.only_target(&format!("{time}.target"), "TimestepEmbeddingProjection")?;
    keys.only(&format!("{time}.params.num_features"), &[dim.into()])?;
    keys.only(&format!("{time}.params.time_embedding_mult"), &[4.into()])?;
    let tokens = format!("{at}.projections.text_tokens");
    keys.only_target(&format!("{tokens}.target"), "T5TextTokensToEmbedding")?;
    own_encoder(keys, &format!("{tokens}.params.model_name"))?;
    let head = format!("{at}.context_transformer_head");
    keys.only_target(&format!("{head}.0.target"), "TextTokenProjectionAdapter")?;
    let second = if follows { "GaussianConditioningAugmentationToTimestep" } else { "PooledTextEmbeddingsToTimestep" };
    keys.only_target(&format!("{head}.1.target"), second)?;
    let text_width = keys.may(&format!("{head}.1.params.text_embedding_dim"))?;
    for key in ["num_features", "time_embedding_mult", "time_embedding_dim", "attention_pooling_heads"] {
        keys.ignored(&format!("{head}.1.params.{key}"));
    }
    let layer = format!("{at}.context_transformer_layer");
    keys.only_target(&format!("{layer}.target"), "SpatialCrossAttention")?;
    let heads = keys.need(&format!("{layer}.params.heads"))?;
    let dim_head = keys.need(&format!("{layer}.params.dim_head"))?;
    for key in ["context_dim", "dropout", "pre_layer_norm", "post_layer_norm", "context_layer_norm"] {
        keys.ignored(&format!("{layer}.params.{key}"));
    }
    keys.ignored(&format!("{layer}.params.swap_context_channels"));
    keys.only_target(&format!("{layer}.params.context_adapter.target"), "TextEmbeddingsAdapter")?;
    Ok((AttentionSize { heads, dim_head }, text_width))
}

#[cfg(test)]
mod tests;
