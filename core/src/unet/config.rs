//! What a U-Net is made of, as data.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::nn::attention::AttentionSize;
use crate::nn::attention::perceiver::PerceiverConfig;

/// The first convolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stem {
    /// Parallel convolutions of these odd kernels (`init_cross_embed`).
    CrossEmbed(Vec<usize>),
    /// One convolution of this odd kernel (`init_conv_kernel_size`).
    Conv(usize),
}

/// How maps grow on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upsampling {
    /// 1x1 convolution, SiLU, depth to space (`pixel_shuffle_upsample`).
    PixelShuffle,
    /// Nearest neighbour, 3x3 convolution.
    Nearest,
}

/// One resolution of the U-Net, down and up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelConfig {
    /// Width of the level's output in units of `dim` (`dim_mults`).
    pub mult: usize,
    /// Residual blocks after the first (`num_resnet_blocks`).
    pub resnet_blocks: usize,
    /// Transformer layers after the blocks, 0 for none (`layer_attns`, `layer_attns_depth`).
    pub attention: usize,
    /// Cross attention to the condition in the first block (`layer_cross_attns`).
    pub cross_attention: bool,
}

impl Default for LevelConfig {
    fn default() -> Self {
        Self { mult: 1, resnet_blocks: 1, attention: 1, cross_attention: true }
    }
}

/// How text enters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextConfig {
    /// Width of the text encoder's output (`text_embed_dim`).
    pub embed_dim: usize,
    /// Tokens beyond this are cut (`max_text_len`).
    pub max_len: usize,
    /// Padding and dropped text are left out of attention and of the mean. Else, as in the reference, learned null tokens
    /// stand in their place, up to `max_len`, among which the words of a short text are easily lost.
    pub masked: bool,
    /// Pool the tokens to a fixed number (`attn_pool_text`); null passes them all.
    pub pool: Option<PerceiverConfig>,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self { embed_dim: 768, max_len: 256, masked: false, pool: Some(PerceiverConfig::default()) }
    }
}

/// A U-Net. Names of imagen-pytorch's options stand in brackets; every default is the reference's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetConfig {
    /// Base width.
    pub dim: usize,
    /// Channels of the picture.
    pub channels: usize,
    /// Channels of the output if not those of the picture.
    pub channels_out: Option<usize>,
    /// The first convolution.
    pub stem: Stem,
    /// Width after the stem if not `dim`.
    pub init_dim: Option<usize>,
    /// From the finest resolution to the coarsest.
    pub levels: Vec<LevelConfig>,
    /// Transformer layers in the middle, 0 for none (`attend_at_middle`, `layer_mid_attns_depth`).
    pub middle_attention: usize,
    /// Heads of all attention but the middle's cross attention (`attn_heads`, `attn_dim_head`).
    pub attn: AttentionSize,
    /// Heads of the cross attention in the middle blocks; always 8 of 64 in the reference.
    pub middle_cross: AttentionSize,
    /// Width inside the feed-forwards of the levels, in units of the width outside; always 2 in the middle and 4 in a
    /// pool, as in the reference.
    pub ff_mult: f64,
    /// Width of the condition's tokens if not `dim`.
    pub cond_dim: Option<usize>,
    /// Tokens made from each noise level (`num_time_tokens`).
    pub time_tokens: usize,
    /// Learned frequencies of a noise level, half of `learned_sinu_pos_emb_dim`.
    pub time_frequencies: usize,
    /// Text, or null for a network without (`cond_on_text`).
    pub text: Option<TextConfig>,
    /// A smaller picture, enlarged and noised, is part of the condition.
    pub lowres_cond: bool,
    /// The network sees its own last estimate.
    pub self_cond: bool,
    /// Channels of a picture to be followed, 0 for none.
    pub cond_images_channels: usize,
    /// Two more channels tell each pixel its place, from -1 to 1 across the picture, for captions that speak of places
    /// (`CoordConv`, <https://arxiv.org/abs/1807.03247>); not in the reference, whose pixels know the borders alone.
    pub coordinates: bool,
    /// Halve first in each level: less work and memory at the fine resolutions.
    pub memory_efficient: bool,
    /// Gates in the inner blocks (`use_global_context_attn`).
    pub global_context: bool,
    /// Skips are multiplied by `1 / sqrt(2)` (`scale_skip_connection`).
    pub scale_skips: bool,
    /// The stem's output joins the last block's input (`init_conv_to_final_conv_residual`).
    pub stem_to_end: bool,
    /// All maps of the way up join the last block's input (`combine_upsample_fmaps`).
    pub combine_upsample_maps: bool,
    /// A block before the last convolution.
    pub final_resnet_block: bool,
    /// Kernel of the last convolution (`final_conv_kernel_size`).
    pub final_conv_kernel: usize,
    /// How maps grow.
    pub upsampling: Upsampling,
}

impl Default for UnetConfig {
    fn default() -> Self {
        Self {
            dim: 128,
            channels: 3,
            channels_out: None,
            stem: Stem::CrossEmbed(vec![3, 7, 15]),
            init_dim: None,
            levels: [1, 2, 4, 8].map(|mult| LevelConfig { mult, ..LevelConfig::default() }).to_vec(),
            middle_attention: 1,
            attn: AttentionSize { heads: 8, dim_head: 64 },
            middle_cross: AttentionSize { heads: 8, dim_head: 64 },
            ff_mult: 2.0,
            cond_dim: None,
            time_tokens: 2,
            time_frequencies: 8,
            text: Some(TextConfig::default()),
            lowres_cond: false,
            self_cond: false,
            cond_images_channels: 0,
            coordinates: false,
            memory_efficient: false,
            global_context: true,
            scale_skips: true,
            stem_to_end: false,
            combine_upsample_maps: false,
            final_resnet_block: true,
            final_conv_kernel: 3,
            upsampling: Upsampling::PixelShuffle,
        }
    }
}

impl UnetConfig {
    /// Width after the stem.
    #[must_use]
    pub fn stem_dim(&self) -> usize {
        self.init_dim.unwrap_or(self.dim)
    }

    /// Width of the condition's tokens.
    #[must_use]
    pub fn token_dim(&self) -> usize {
        self.cond_dim.unwrap_or(self.dim)
    }

    /// Width of the time embedding: twice as wide where a second noise level, that of the smaller picture, is added.
    #[must_use]
    pub fn time_dim(&self) -> usize {
        self.dim * 4 * if self.lowres_cond { 2 } else { 1 }
    }

    /// Channels that enter the stem.
    #[must_use]
    pub fn input_channels(&self) -> usize {
        let copies = 1 + usize::from(self.lowres_cond) + usize::from(self.self_cond);
        self.channels * copies + self.cond_images_channels + if self.coordinates { 2 } else { 0 }
    }

    /// Widths before the first level and after each.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        std::iter::once(self.stem_dim()).chain(self.levels.iter().map(|l| l.mult * self.dim)).collect()
    }

    /// The size of a picture must be a multiple of this.
    #[must_use]
    pub fn size_multiple(&self) -> usize {
        let halvings = if self.memory_efficient { self.levels.len() } else { self.levels.len().saturating_sub(1) };
        1 << halvings
    }

    /// This config, with what `wanted` has more of the things that [`Unet::grown`](super::Unet::grown) can add: a picture
    /// to follow, inner blocks, layers of attention.
    #[must_use]
    pub fn grown(mut self, wanted: &Self) -> Self {
        if self.cond_images_channels == 0 {
            self.cond_images_channels = wanted.cond_images_channels;
        }
        self.middle_attention = self.middle_attention.max(wanted.middle_attention);
        for (level, wanted) in self.levels.iter_mut().zip(&wanted.levels) {
            level.resnet_blocks = level.resnet_blocks.max(wanted.resnet_blocks);
            level.attention = level.attention.max(wanted.attention);
        }
        self
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_numbers()?;
        self.validate_levels()?;
        self.validate_kernels()?;
        self.text.as_ref().map_or(Ok(()), TextConfig::validate)
    }

    fn validate_numbers(&self) -> Result<(), String> {
        let bounded = [
            ("dim", self.dim, 1..=WIDEST),
            ("channels", self.channels, 1..=WIDEST),
            ("channels_out", self.channels_out.unwrap_or(1), 1..=WIDEST),
            ("init_dim", self.stem_dim(), 1..=WIDEST),
            ("cond_dim", self.token_dim(), 1..=WIDEST),
            ("levels", self.levels.len(), 1..=16),
            ("middle_attention", self.middle_attention, 0..=64),
            ("attn.heads", self.attn.heads, 1..=1024),
            ("attn.dim_head", self.attn.dim_head, 1..=4096),
            ("middle_cross.heads", self.middle_cross.heads, 1..=1024),
            ("middle_cross.dim_head", self.middle_cross.dim_head, 1..=4096),
            ("time_tokens", self.time_tokens, 1..=1024),
            ("time_frequencies", self.time_frequencies, 1..=WIDEST),
            ("cond_images_channels", self.cond_images_channels, 0..=WIDEST),
        ];
        within(&bounded)?;
        if !(self.ff_mult > 0.0 && self.ff_mult <= 64.0) {
            return Err(format!("ff_mult is {}; it must be above 0, up to 64", self.ff_mult));
        }
        Ok(())
    }

    fn validate_levels(&self) -> Result<(), String> {
        for (i, level) in self.levels.iter().enumerate() {
            let bounded = [
                ("mult", level.mult, 1..=1024),
                ("resnet_blocks", level.resnet_blocks, 0..=256),
                ("attention", level.attention, 0..=64),
            ];
            within(&bounded).map_err(|e| format!("levels[{i}].{e}"))?;
            let width = level.mult * self.dim;
            if width > WIDEST {
                return Err(format!("levels[{i}].mult is {}; {width} channels are above {WIDEST}", level.mult));
            }
            if level.attention > 0 && (width as f64 * self.ff_mult) < 1.0 {
                return Err(format!("ff_mult is {}; nothing is left of {width} channels", self.ff_mult));
            }
        }
        Ok(())
    }

    fn validate_kernels(&self) -> Result<(), String> {
        let kernels = match &self.stem {
            Stem::CrossEmbed(kernels) => kernels.clone(),
            Stem::Conv(kernel) => vec![*kernel],
        };
        if kernels.is_empty() || kernels.iter().chain([&self.final_conv_kernel]).any(|k| k.is_multiple_of(2)) {
            return Err(format!("stem {kernels:?} and final_conv_kernel {}: kernels are odd", self.final_conv_kernel));
        }
        if let Some(kernel) = kernels.iter().chain([&self.final_conv_kernel]).find(|kernel| **kernel > LARGEST_KERNEL) {
            return Err(format!(
                "stem or final_conv_kernel has a kernel of {kernel}; it must be up to {LARGEST_KERNEL}"
            ));
        }
        if kernels.len() > 16 || self.stem_dim() >> (kernels.len() - 1) == 0 {
            return Err(format!("dim {} is too small for {} kernels in the stem", self.stem_dim(), kernels.len()));
        }
        Ok(())
    }
}

/// The most channels, tokens and the like.
const WIDEST: usize = 1 << 16;
/// The largest side of a kernel.
const LARGEST_KERNEL: usize = 255;

/// The first value out of its bounds, in a sentence.
fn within(bounded: &[(&str, usize, RangeInclusive<usize>)]) -> Result<(), String> {
    match bounded.iter().find(|(_, value, bounds)| !bounds.contains(value)) {
        Some((key, value, bounds)) if value < bounds.start() => {
            Err(format!("{key} is {value}; it must be at least {}", bounds.start()))
        }
        Some((key, value, bounds)) => Err(format!("{key} is {value}; it must be at most {}", bounds.end())),
        None => Ok(()),
    }
}

impl TextConfig {
    fn validate(&self) -> Result<(), String> {
        within(&[("text.embed_dim", self.embed_dim, 1..=WIDEST), ("text.max_len", self.max_len, 1..=WIDEST)])?;
        let Some(pool) = &self.pool else { return Ok(()) };
        if self.masked {
            return Err("text.masked and text.pool are both set; pooled tokens have no padding to mask".into());
        }
        if pool.max_tokens < self.max_len {
            return Err(format!("text.pool.max_tokens {} is below text.max_len {}", pool.max_tokens, self.max_len));
        }
        if pool.latents == 0 {
            return Err("text.pool.latents is 0; it must be at least 1".into());
        }
        within(&[
            ("text.pool.max_tokens", pool.max_tokens, 1..=WIDEST),
            ("text.pool.latents", pool.latents, 1..=WIDEST),
            ("text.pool.mean_latents", pool.mean_latents, 0..=WIDEST),
            ("text.pool.depth", pool.depth, 0..=64),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::{LevelConfig, PerceiverConfig, Stem, TextConfig, UnetConfig};

    #[test]
    fn a_config_that_cannot_work_names_its_key() {
        let text = |text| UnetConfig { text: Some(text), ..UnetConfig::default() };
        let pool = |pool| text(TextConfig { pool: Some(pool), ..TextConfig::default() });
        let level = |level| UnetConfig { levels: vec![level], ..UnetConfig::default() };
        let many = vec![LevelConfig::default(); 65];
        for (config, words) in [
            (UnetConfig { dim: 0, ..UnetConfig::default() }, "dim is 0"),
            (UnetConfig { dim: 1_000_000_000, ..UnetConfig::default() }, "dim is 1000000000"),
            (UnetConfig { cond_dim: Some(0), ..UnetConfig::default() }, "cond_dim is 0"),
            (UnetConfig { ff_mult: 0.001, ..UnetConfig::default() }, "ff_mult is 0.001"),
            (UnetConfig { ff_mult: 1e30, ..UnetConfig::default() }, "ff_mult is 1"),
            (UnetConfig { ff_mult: f64::NAN, ..UnetConfig::default() }, "ff_mult is NaN"),
            (UnetConfig { levels: many, ..UnetConfig::default() }, "levels is 65"),
            (level(LevelConfig { mult: 0, ..LevelConfig::default() }), "levels[0].mult is 0"),
            (level(LevelConfig { mult: 1024, ..LevelConfig::default() }), "levels[0].mult is 1024"),
            (level(LevelConfig { attention: 65, ..LevelConfig::default() }), "levels[0].attention is 65"),
            (UnetConfig { stem: Stem::Conv(257), ..UnetConfig::default() }, "a kernel of 257"),
            (UnetConfig { stem: Stem::CrossEmbed(vec![3; 70]), ..UnetConfig::default() }, "70 kernels"),
            (text(TextConfig { max_len: 0, ..TextConfig::default() }), "text.max_len is 0"),
            (text(TextConfig { max_len: 1 << 40, ..TextConfig::default() }), "text.max_len is 1099511627776"),
            (pool(PerceiverConfig { latents: 0, ..PerceiverConfig::default() }), "text.pool.latents is 0"),
            (pool(PerceiverConfig { depth: 1 << 40, ..PerceiverConfig::default() }), "text.pool.depth is"),
        ] {
            let error = config.validate().unwrap_err();
            assert!(error.contains(words), "{error:?} does not say {words:?}");
        }
        assert_eq!(UnetConfig::default().validate(), Ok(()));
    }
}
