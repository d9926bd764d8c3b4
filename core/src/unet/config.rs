//! What a U-Net is made of, as data.

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
    /// Width inside feed-forwards, in units of the width outside.
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
        self.channels * copies + self.cond_images_channels
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

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("dim", self.dim),
            ("channels", self.channels),
            ("levels", self.levels.len()),
            ("attn.heads", self.attn.heads),
            ("attn.dim_head", self.attn.dim_head),
            ("middle_cross.heads", self.middle_cross.heads),
            ("middle_cross.dim_head", self.middle_cross.dim_head),
            ("time_tokens", self.time_tokens),
            ("time_frequencies", self.time_frequencies),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{key} is 0; it must be at least 1"));
        }
        if let Some(i) = self.levels.iter().position(|l| l.mult == 0) {
            return Err(format!("levels[{i}].mult is 0; it must be at least 1"));
        }
        if self.ff_mult.is_nan() || self.ff_mult <= 0.0 {
            return Err(format!("ff_mult is {}; it must be above 0", self.ff_mult));
        }
        let kernels = match &self.stem {
            Stem::CrossEmbed(kernels) => kernels.clone(),
            Stem::Conv(kernel) => vec![*kernel],
        };
        if kernels.is_empty() || kernels.iter().chain([&self.final_conv_kernel]).any(|k| k.is_multiple_of(2)) {
            return Err(format!("stem {kernels:?} and final_conv_kernel {}: kernels are odd", self.final_conv_kernel));
        }
        if self.stem_dim() >> (kernels.len() - 1) == 0 {
            return Err(format!("dim {} is too small for {} kernels in the stem", self.stem_dim(), kernels.len()));
        }
        match &self.text {
            Some(text) if text.embed_dim == 0 || text.max_len == 0 => {
                Err("text.embed_dim and text.max_len must be at least 1".into())
            }
            Some(TextConfig { masked: true, pool: Some(_), .. }) => {
                Err("text.masked and text.pool are both set; pooled tokens have no padding to mask".into())
            }
            Some(TextConfig { max_len, pool: Some(pool), .. }) if pool.max_tokens < *max_len => {
                Err(format!("text.pool.max_tokens {} is below text.max_len {max_len}", pool.max_tokens))
            }
            _ => Ok(()),
        }
    }
}
