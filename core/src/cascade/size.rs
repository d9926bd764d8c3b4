//! How many weights a network has at least, from its config alone: a config can ask for more memory than there is, so it
//! is held against its file before anything is built.
//!
//! Only the large parts are counted, each of them below its true size, and in floating point, which does not overflow.

use crate::text::{FeedForwardProj, T5Config};
use crate::unet::config::{Stem, TextConfig, UnetConfig};

/// Networks up to this many weights are built without a look at their file: they do no harm, and a file that does not
/// fit them is refused with a better word.
pub(super) const SMALL: f64 = 1e7;

/// The weights of an encoder.
pub(super) fn least_of_t5(config: &T5Config) -> f64 {
    let [vocabulary, width, hidden, inner, layers] = [
        config.vocab_size as f64,
        config.d_model as f64,
        config.d_ff as f64,
        config.num_heads as f64 * config.d_kv as f64,
        config.num_layers as f64,
    ];
    let projections = match config.feed_forward_proj {
        FeedForwardProj::Relu => 2.0,
        FeedForwardProj::GatedGelu => 3.0,
    };
    let positions = config.relative_attention_num_buckets as f64 * config.num_heads as f64;
    vocabulary * width + positions + layers * (4.0 * width * inner + projections * width * hidden)
}

/// The weights of a U-Net.
pub(super) fn least_of_unet(config: &UnetConfig) -> f64 {
    let (dim, token, channels) = (config.dim as f64, config.token_dim() as f64, config.input_channels() as f64);
    let time = 4.0 * dim;
    let stem = stem_weights(config) * channels;
    let embedding =
        time * time + time * token * config.time_tokens as f64 + 2.0 * time * config.time_frequencies as f64;
    let text = config.text.as_ref().map_or(0.0, |text| text_weights(text, token, time));
    let mut levels = 0.0;
    let mut above = config.stem_dim() as f64;
    for level in &config.levels {
        let width = level.mult as f64 * dim;
        // Down and up; blocks on the way up are at least as wide as `width`, on the way down as the narrower of the two.
        let blocks = 1.0 + level.resnet_blocks as f64;
        let block = |width: f64| 18.0 * width * width + 2.0 * time * width;
        let attention = level.attention as f64 * attention_weights(config, width.min(above));
        levels += blocks * (block(width) + block(width.min(above))) + 2.0 * attention;
        above = width;
    }
    let middle = 2.0 * (18.0 * above * above + 2.0 * time * above) + 2.0 * cross_weights(config, above, token);
    let middle = middle + config.middle_attention as f64 * attention_weights(config, above);
    let kernel = (config.final_conv_kernel as f64).powi(2);
    let last = if config.final_resnet_block { kernel * dim + 9.0 * dim * dim } else { kernel };
    stem + embedding + text + levels + middle + last
}

/// For each channel that comes in.
fn stem_weights(config: &UnetConfig) -> f64 {
    let width = config.stem_dim() as f64;
    match &config.stem {
        Stem::Conv(kernel) => width * (*kernel as f64).powi(2),
        Stem::CrossEmbed(kernels) => {
            // Every kernel has a channel at least, the smallest half of them.
            let squares = kernels.iter().map(|&kernel| (kernel as f64).powi(2));
            let smallest = squares.clone().fold(f64::INFINITY, f64::min);
            squares.sum::<f64>().max(0.5 * (width - 1.0) * smallest)
        }
    }
}

fn text_weights(text: &TextConfig, token: f64, time: f64) -> f64 {
    let null = if text.masked { 0.0 } else { text.max_len as f64 * token };
    let pool = text.pool.map_or(0.0, |pool| {
        let tokens = pool.max_tokens as f64 + pool.latents as f64;
        token * (tokens + token * (pool.mean_latents as f64 + 8.0 * pool.depth as f64))
    });
    text.embed_dim as f64 * token + token * time + time * time + null + pool
}

/// One layer of a transformer.
fn attention_weights(config: &UnetConfig, width: f64) -> f64 {
    2.0 * width * config.attn.heads as f64 * config.attn.dim_head as f64
}

/// The cross attention of a middle block.
fn cross_weights(config: &UnetConfig, width: f64, token: f64) -> f64 {
    let inner = config.middle_cross.heads as f64 * config.middle_cross.dim_head as f64;
    2.0 * width * inner + 2.0 * token * inner
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::Device;

    use super::{least_of_t5, least_of_unet};
    use crate::nn::Init;
    use crate::nn::attention::AttentionSize;
    use crate::text::{FeedForwardProj, T5Config, T5Encoder};
    use crate::unet::config::{LevelConfig, Stem, TextConfig, UnetConfig, Upsampling};
    use crate::unet::unet2d::Unet;

    fn networks() -> Vec<UnetConfig> {
        let level = |mult, resnet_blocks, attention, cross_attention| LevelConfig {
            mult,
            resnet_blocks,
            attention,
            cross_attention,
        };
        let attn = AttentionSize { heads: 2, dim_head: 8 };
        let plain = UnetConfig {
            dim: 16,
            levels: vec![level(1, 1, 0, false), level(2, 2, 1, true), level(4, 0, 2, false)],
            attn,
            middle_cross: attn,
            text: Some(TextConfig { embed_dim: 24, max_len: 12, ..TextConfig::default() }),
            ..UnetConfig::default()
        };
        vec![
            UnetConfig { memory_efficient: true, lowres_cond: true, combine_upsample_maps: true, ..plain.clone() },
            UnetConfig { text: None, final_resnet_block: false, stem: Stem::Conv(7), ..plain.clone() },
            // Narrower and narrower.
            UnetConfig {
                levels: vec![level(4, 1, 1, true), level(1, 1, 1, true)],
                init_dim: Some(80),
                upsampling: Upsampling::Nearest,
                ..plain.clone()
            },
            UnetConfig { init_dim: Some(8), stem: Stem::CrossEmbed(vec![15, 3]), ..plain.clone() },
            plain,
        ]
    }

    #[test]
    fn no_network_has_less_than_its_least_nor_many_times_more() {
        for config in networks() {
            config.validate().unwrap();
            let unet = Unet::new(&mut Init::blank(&Device::flex()), &config);
            let (least, all) = (least_of_unet(&config), unet.num_params() as f64);
            assert!(least <= all && all < 4.0 * least, "{least} and {all}: {config:?}");
        }
        for feed_forward_proj in [FeedForwardProj::Relu, FeedForwardProj::GatedGelu] {
            let config =
                T5Config { vocab_size: 50, d_model: 16, d_kv: 4, d_ff: 40, feed_forward_proj, ..T5Config::default() };
            let encoder = T5Encoder::new(&mut Init::blank(&Device::flex()), &config);
            let (least, all) = (least_of_t5(&config), encoder.num_params() as f64);
            assert!(least <= all && all < 1.1 * least, "{least} and {all}");
        }
    }

    /// The sizes of the networks that imagen-pytorch's README builds, counted there.
    #[test]
    fn the_references_networks_have_their_sizes() {
        let attends = |blocks: [usize; 4], attention: [bool; 4], cross: [bool; 4]| {
            let levels = [1, 2, 4, 8].into_iter().enumerate().map(|(i, mult)| LevelConfig {
                mult,
                resnet_blocks: blocks[i],
                attention: usize::from(attention[i]),
                cross_attention: cross[i],
            });
            levels.collect::<Vec<_>>()
        };
        let but_the_first = [false, true, true, true];
        let last = [false, false, false, true];
        let first = UnetConfig {
            dim: 32,
            cond_dim: Some(512),
            levels: attends([3; 4], but_the_first, but_the_first),
            ..UnetConfig::default()
        };
        let second = UnetConfig {
            dim: 32,
            cond_dim: Some(512),
            levels: attends([2, 4, 8, 8], last, last),
            ..UnetConfig::default()
        };
        for (config, want) in [
            (first, 30_154_212),
            (second.clone(), 40_087_592),
            (UnetConfig { lowres_cond: true, ..second }, 42_364_385),
        ] {
            config.validate().unwrap();
            let unet = Unet::new(&mut Init::blank(&Device::flex()), &config);
            assert_eq!(unet.num_params(), want);
            let least = least_of_unet(&config);
            assert!(least <= want as f64 && (want as f64) < 4.0 * least, "{least} and {want}");
        }
    }
}
