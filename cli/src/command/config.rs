//! `firefall config`: a commented default configuration.

use anyhow::{Result, anyhow};
use firefall_core::train::TrainConfig;

use crate::args::{ConfigArgs, ConfigKind};
use crate::config_file::{Note, commented};
use crate::outcome::print;

/// The preset that is printed.
const PRESET: &str = "small";

pub(super) fn run(args: &ConfigArgs) -> Result<()> {
    print(&text(args.kind)?)
}

fn text(kind: ConfigKind) -> Result<String> {
    let config = TrainConfig::preset(PRESET).map_err(|e| anyhow!(e))?;
    let (title, text) = match kind {
        ConfigKind::Train => ("A training run: firefall train --config FILE", commented("train", &config, &NOTES)?),
        ConfigKind::Model => {
            ("A model, the part [model] of a training run", commented("model", &config.model, &NOTES)?)
        }
    };
    Ok(format!("# {title}. \"null\" stands for none.\n\n{text}"))
}

/// What the keys mean, in the order in which they are written.
#[rustfmt::skip]
const NOTES: [Note; 129] = [
    ("train", "seed", "All randomness: parameters, scenes, captions, noise."),
    ("train", "data", "What to learn from: shapes, digits, { mnist = \"path\" }, or { folder = \"path\" }, a.png beside a.txt with a caption a line."),
    ("train", "vocabulary", "Words and pieces of words in the tokenizer; at most the text encoder's vocab_size."),
    ("train", "reading", "What the text encoder learns before the first stage: to tell from its vectors alone what a caption says."),
    ("train", "checkpoint_every", "Steps between checkpoints."),
    ("train", "keep_checkpoints", "Checkpoints of a stage that are kept."),
    ("train", "log_every", "Steps between lines of metrics."),
    ("train", "model", "The model."),
    ("train", "stages", "How a stage is trained; one of these for each stage of the model."),

    ("model", "format", "The layout of a model's folder."),
    ("model", "name", "A name for people."),
    ("model", "text", "The text encoder, and how the U-Net takes its tokens."),
    ("model", "stages", "A stage, from the smallest picture to the largest."),
    ("text", "max_len", "Tokens beyond this are cut."),
    ("text", "embed_dim", "Width of the text encoder's output; its d_model."),
    ("text", "masked", "Padding is left out of attention; else learned null tokens stand there, as in imagen-pytorch."),
    ("text", "pool", "Pool the tokens to a fixed number: latents, mean_latents, depth, max_tokens."),
    ("text", "t5", "The encoder, under the names of Hugging Face."),
    ("t5", "vocab_size", "Tokens it knows."),
    ("t5", "d_model", "Width."),
    ("t5", "d_kv", "Features of a head."),
    ("t5", "d_ff", "Width inside a feed-forward."),
    ("t5", "num_layers", "Blocks."),
    ("t5", "num_heads", "Heads of attention."),
    ("t5", "relative_attention_num_buckets", "Buckets of relative positions, half for each direction."),
    ("t5", "relative_attention_max_distance", "From this distance on all positions share a bucket, in tokens."),
    ("t5", "layer_norm_epsilon", "Added to a mean square before its root."),
    ("t5", "feed_forward_proj", "The inside of a feed-forward: relu or gated-gelu."),

    ("stages", "size", "Side of the picture in pixels."),
    ("stages", "lowres", "Noise on the smaller picture, as a standard deviation: the range in training, and in sampling."),
    ("stages", "process", "Noise and objective: elucidated (EDM), or gaussian with a schedule and an objective."),
    ("process", "elucidated", "EDM (Karras et al. 2022)."),
    ("elucidated", "sigma_min", "Smallest level of sampling."),
    ("elucidated", "sigma_max", "Largest level of sampling."),
    ("elucidated", "sigma_data", "Standard deviation of the pictures."),
    ("elucidated", "rho", "Exponent of the spacing of levels."),
    ("elucidated", "p_mean", "Mean of ln sigma in training."),
    ("elucidated", "p_std", "Standard deviation of ln sigma in training."),

    ("stages", "unet", "The network."),
    ("unet", "dim", "Base width."),
    ("unet", "channels", "Channels of the picture."),
    ("unet", "channels_out", "Channels of the output if not those of the picture."),
    ("unet", "stem", "The first convolution: conv = kernel, or cross_embed = kernels, all odd."),
    ("unet", "init_dim", "Width after the stem if not dim."),
    ("unet", "levels", "From the finest resolution to the coarsest: mult is the width in units of dim, resnet_blocks those after the first, attention transformer layers, cross_attention to the text."),
    ("unet", "middle_attention", "Transformer layers in the middle."),
    ("unet", "attn", "Heads of attention and their width."),
    ("unet", "middle_cross", "Heads of the cross attention in the middle."),
    ("unet", "ff_mult", "Width inside feed-forwards, in units of the width outside."),
    ("unet", "cond_dim", "Width of the condition's tokens if not dim."),
    ("unet", "time_tokens", "Tokens made from each noise level."),
    ("unet", "time_frequencies", "Learned frequencies of a noise level."),
    ("unet", "lowres_cond", "A smaller picture, enlarged and noised, is part of the condition: all stages but the first."),
    ("unet", "self_cond", "The network sees its own last estimate."),
    ("unet", "cond_images_channels", "4 for a stage that is told which pixels are known, and their colours, when it paints into a picture; else 0."),
    ("unet", "coordinates", "Two more channels tell each pixel its place."),
    ("unet", "memory_efficient", "Halve first in each level: less work and memory at the fine resolutions."),
    ("unet", "global_context", "Gates in the inner blocks."),
    ("unet", "scale_skips", "Skips are multiplied by 1 / sqrt(2)."),
    ("unet", "stem_to_end", "The stem's output joins the last block's input."),
    ("unet", "combine_upsample_maps", "All maps of the way up join the last block's input."),
    ("unet", "final_resnet_block", "A block before the last convolution."),
    ("unet", "final_conv_kernel", "Kernel of the last convolution."),
    ("unet", "upsampling", "How maps grow: pixel_shuffle or nearest."),
    ("unet", "text", "How the text enters."),

    ("stages", "sampling", "What sampling does if nothing else is asked."),
    ("sampling", "sampler", "ddpm, ddim = { eta = 0 }, dpm++2m or heun = { s_churn = 0 }."),
    ("sampling", "steps", "Its steps, 1 to 1000."),
    ("sampling", "cond_scale", "Guidance; 1 is off and half as dear."),
    ("sampling", "guidance_interval", "Only between these two sigmas is there guidance: the other steps are half as dear."),
    ("sampling", "threshold", "What keeps estimates in range: none, static or dynamic = { quantile = 0.95 }."),

    ("reading", "steps", "Steps, by the optimiser of the first stage at its full rate."),
    ("reading", "batch", "Captions in a step."),
    ("reading", "anew", "With a fresh encoder, also where the run begins with a model that has one."),

    ("stages", "steps", "Steps of the optimiser."),
    ("stages", "batch", "Pictures in a step."),
    ("stages", "micro_batch", "Pictures at a time; the gradients of the parts of a batch are added up."),
    ("stages", "crop", "Side of the square that is cut out of each picture."),
    ("stages", "loss", "How the distance counts: l2, l1 or huber."),
    ("stages", "weighting", "How noise levels count: uniform or min_snr; EDM has its own."),
    ("stages", "balance", "Noise levels count alike, instead of by weighting: each loss is divided by its running mean."),
    ("stages", "drop_caption", "The share of captions that are dropped, so that guidance has something to stand on."),
    ("stages", "inpainting", "The share of pictures of which a part is known, for a stage with cond_images_channels."),
    ("stages", "naming", "What a second loss counts, which asks what is where; on the shapes world, without a crop. 0 is none."),
    ("stages", "drafts", "Smaller pictures as the stage before draws them: the share, and the range of noise they are drawn from, e.g. { share = 0.5, sigma = [0.1, 0.4] }."),
    ("stages", "optim", "The optimiser, under a warm-up and a cosine."),
    ("optim", "method", "adamw, or muon for the matrices within and AdamW for the rest."),
    ("optim", "learning_rate", "The learning rate after the warm-up."),
    ("optim", "text_share", "The share of it for the text encoder, which is trained with the first stage; 0 leaves it as it is."),
    ("optim", "final_share", "The share of it that is left at the end."),
    ("optim", "warmup", "Steps until it is reached."),
    ("optim", "momentum", "Decay of Muon's mean of gradients."),
    ("optim", "beta1", "Decay of AdamW's mean of gradients."),
    ("optim", "beta2", "Decay of AdamW's mean of squared gradients."),
    ("optim", "eps", "Added to the root of the mean of squares."),
    ("optim", "weight_decay", "Share of a parameter that is lost at learning rate 1; matrices and convolutions only."),
    ("optim", "clip_norm", "Gradients of a greater global norm are shortened to it."),
    ("stages", "ema", "The moving average of parameters, which is what a model ships."),
    ("ema", "beta", "The largest share of itself that it keeps."),
    ("ema", "update_after_step", "Until this step it is a copy."),
    ("ema", "update_every", "Steps between updates."),
    ("ema", "inv_gamma", "Steps after which the warm-up counts as one."),
    ("ema", "power", "How fast the warm-up ends: the share kept is 1 - (1 + steps / inv_gamma)^-power."),
    ("stages", "phases", "A part of the curriculum; the next one goes on where it ends."),
    ("phases", "until", "Where it ends, as a share of the stage's steps."),
    ("phases", "mix", "What it shows."),
    ("mix", "monochrome", "The share of scenes in black on white, from which forms and places are soonest learnt."),
    ("mix", "on_white", "The share of the other scenes on white, objects in all colours but that."),
    ("mix", "grays", "The share of what is left in black, gray and white, each on each."),
    ("mix", "digits", "The share of digits among the shapes."),
    ("mix", "backgrounds", "The probability that a caption names the background."),
    ("mix", "unnamed_white", "The share of white among backgrounds that no caption names, beyond those that are so anyway."),
    ("mix", "other_sizes", "The share of small and big where a caption names a size."),
    ("mix", "big", "The share of big among these others."),
    ("mix", "synonyms", "The probability that a free choice of wording departs from the plain form."),
    ("mix", "left_out", "The probability that a caption leaves out one of the things that it would name."),
    ("mix", "kinds", "Weights of the kinds of caption; what counts is their ratio."),
    ("kinds", "single", "a red circle"),
    ("kinds", "background", "a red circle on a blue background"),
    ("kinds", "size", "a small red circle"),
    ("kinds", "position", "a red circle in the top left"),
    ("kinds", "pair", "a red circle and a blue star"),
    ("kinds", "relation", "a red circle above a blue star"),
    ("kinds", "counting", "four green squares"),
    ("kinds", "digit", "a red 7"),
    ("kinds", "detailed", "a small red circle in the top left on a blue background"),
    ("kinds", "detailed_pair", "a small red circle and a big blue star on a white background"),
    ("kinds", "gathering", "two small red circles and a blue star"),
    ("kinds", "empty", "on a white background, and nothing on it"),
];

#[cfg(test)]
mod tests {
    use firefall_core::cascade::ModelConfig;

    use super::*;
    use crate::config_file::{parse_toml, unexplained};

    #[test]
    fn the_default_reads_back() {
        let config = TrainConfig::preset(PRESET).unwrap();
        assert_eq!(parse_toml::<TrainConfig>(&text(ConfigKind::Train).unwrap()).unwrap(), config);
        assert_eq!(parse_toml::<ModelConfig>(&text(ConfigKind::Model).unwrap()).unwrap(), config.model);
    }

    /// Why null has a word: without it the network would get the default pooling, and nobody would be told.
    #[test]
    fn toml_alone_would_lose_what_is_switched_off() {
        let config = TrainConfig::preset(PRESET).unwrap();
        let read: TrainConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_ne!(read, config);
        assert!(read.model.stages[0].unet.text.as_ref().unwrap().pool.is_some());
    }

    #[test]
    fn every_key_is_explained_and_every_note_is_used() {
        for preset in TrainConfig::PRESETS {
            let config = TrainConfig::preset(preset).unwrap();
            assert_eq!(unexplained("train", &config, &NOTES).unwrap(), [""; 0], "{preset}");
        }
        let text = text(ConfigKind::Train).unwrap();
        for (table, key, note) in NOTES {
            assert!(text.contains(note), "{table}.{key} is no key");
        }
    }
}
