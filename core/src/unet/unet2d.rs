//! The U-Net of Imagen: down, middle, up.

use burn::module::Module;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};
use firefall_shaders::silu;

use super::condition::{Conditioning, LevelTold, TextEmbedding, TimeEmbedding, Told};
use super::config::{Stem, UnetConfig};
use super::level::{Condition, Down, Up};
use crate::nn::Init;
use crate::nn::attention::Context;
use crate::nn::conv::{Conv2d, CrossEmbed};
use crate::nn::norm::LayerNorm;
use crate::nn::resample::enlarge_nearest;
use crate::nn::resnet::{Block, ResnetBlock, ResnetOptions};
use crate::nn::transformer::Transformer;

/// The U-Net of Imagen (<https://arxiv.org/abs/2205.11487>, appendices B and F), as imagen-pytorch 2.1 builds it.
#[derive(Module, Debug)]
pub struct Unet {
    stem: CrossEmbed,
    time: TimeEmbedding,
    lowres_time: Option<TimeEmbedding>,
    text: Option<TextEmbedding>,
    norm_cond: LayerNorm,
    init_block: Option<ResnetBlock>,
    downs: Vec<Down>,
    mid_block1: ResnetBlock,
    mid_attn: Option<Transformer>,
    mid_block2: ResnetBlock,
    ups: Vec<Up>,
    combine: Vec<Block>,
    final_block: Option<ResnetBlock>,
    final_conv: Conv2d,
    #[module(skip)]
    config: UnetConfig,
}

impl Unet {
    /// A network of `config`, its last convolution zero.
    pub fn new(init: &mut Init<'_>, config: &UnetConfig) -> Self {
        let widths = config.widths();
        let pairs: Vec<[usize; 2]> = widths.windows(2).map(|w| [w[0], w[1]]).collect();
        let count = pairs.len();
        let (dim, stem_dim, time) = (config.dim, config.stem_dim(), Some(config.time_dim()));
        let kernels = match &config.stem {
            Stem::CrossEmbed(kernels) => kernels.clone(),
            Stem::Conv(kernel) => vec![*kernel],
        };
        let mid = widths[count];
        let mid_options =
            ResnetOptions { time, cross: Some((config.token_dim(), config.middle_cross)), global_context: false };
        let combined = if config.combine_upsample_maps { count * dim } else { 0 };
        let before_end = dim_before_end(config, &widths) + combined + if config.stem_to_end { stem_dim } else { 0 };
        let end = if config.final_resnet_block { dim } else { before_end };
        let end_options = ResnetOptions { time, cross: None, global_context: true };
        Self {
            stem: CrossEmbed::new(init, [config.input_channels(), stem_dim], &kernels, 1),
            time: TimeEmbedding::new(init, config),
            lowres_time: config.lowres_cond.then(|| TimeEmbedding::new(init, config)),
            text: TextEmbedding::new(init, config),
            norm_cond: LayerNorm::affine(init, config.token_dim()),
            init_block: config.memory_efficient.then(|| {
                let options = ResnetOptions { time, cross: None, global_context: config.global_context };
                ResnetBlock::new(init, stem_dim, stem_dim, options)
            }),
            downs: (0..count).map(|i| Down::new(init, config, &config.levels[i], pairs[i], i + 1 == count)).collect(),
            mid_block1: ResnetBlock::new(init, mid, mid, mid_options),
            mid_attn: (config.middle_attention > 0)
                .then(|| Transformer::new(init, mid, config.middle_attention, config.attn, 2.0, None)),
            mid_block2: ResnetBlock::new(init, mid, mid, mid_options),
            ups: (0..count).rev().map(|i| Up::new(init, config, &config.levels[i], pairs[i], i == 0)).collect(),
            combine: if config.combine_upsample_maps {
                (0..count).rev().map(|i| Block::new(init, widths[i + 1], dim)).collect()
            } else {
                Vec::new()
            },
            final_block: config.final_resnet_block.then(|| ResnetBlock::new(init, before_end, dim, end_options)),
            final_conv: Conv2d::zeros(
                init,
                end + if config.lowres_cond { config.channels } else { 0 },
                config.channels_out.unwrap_or(config.channels),
                config.final_conv_kernel,
            ),
            config: config.clone(),
        }
    }

    /// What the network is made of.
    #[must_use]
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// This network, grown to the config of `fresh`, which [`UnetConfig::grown`] allows: what it has more than this one
    /// makes nothing yet, so that both give the same pictures (as in `Net2Net`, <https://arxiv.org/abs/1511.05641>).
    #[must_use]
    pub fn grown(self, fresh: Self) -> Self {
        let channels = fresh.config.cond_images_channels - self.config.cond_images_channels;
        Self {
            stem: self.stem.with_more_inputs(channels),
            downs: self.downs.into_iter().zip(fresh.downs).map(|(down, fresh)| down.grown(fresh)).collect(),
            mid_attn: Transformer::grown(self.mid_attn, fresh.mid_attn),
            ups: self.ups.into_iter().zip(fresh.ups).map(|(up, fresh)| up.grown(fresh)).collect(),
            config: fresh.config,
            ..self
        }
    }

    /// # Shapes
    /// - x: `[b, c, h, w]`, sizes multiples of [`UnetConfig::size_multiple`]
    /// - level: `[b]`, the noise level as the network sees it
    /// - output: `[b, c_out, h, w]`
    pub fn forward(&self, x: Tensor<4>, level: Tensor<1>, conditioning: &Conditioning) -> Tensor<4> {
        let [b, _, h, w] = x.dims();
        self.step(x, level, &self.read(conditioning, [b, h, w]))
    }

    /// [`forward`](Self::forward), and the first map on the way up, the last that has looked at all of the text at the
    /// coarsest level.
    ///
    /// # Shapes
    /// - output: `[b, c_out, h, w]`, `[b, c', h', w']`
    pub fn forward_with_map(
        &self,
        x: Tensor<4>,
        level: Tensor<1>,
        conditioning: &Conditioning,
    ) -> (Tensor<4>, Tensor<4>) {
        let [b, _, h, w] = x.dims();
        let told = self.read(conditioning, [b, h, w]);
        self.conditioned(x, &self.condition(level, &told), &told)
    }

    /// Channels of the map of [`forward_with_map`](Self::forward_with_map).
    #[must_use]
    pub fn map_width(&self) -> usize {
        self.config.widths().last().copied().unwrap_or_default()
    }

    /// Reads what is the same at every step of a run, for batches of `b` pictures of `h` by `w`.
    #[must_use]
    pub fn read(&self, conditioning: &Conditioning, [b, h, w]: [usize; 3]) -> Told {
        let token_dim = self.config.token_dim();
        let (mut vector, mut tokens, mut mask) = (None, Vec::new(), None);
        if let (Some(embedding), Some(lowres)) = (&self.lowres_time, &conditioning.lowres) {
            let (more, level) = embedding.forward(lowres.level.clone(), token_dim);
            vector = Some(more);
            tokens.push(level);
        }
        if let (Some(embedding), Some(text)) = (&self.text, &conditioning.text) {
            let (more, context) = embedding.forward(text);
            vector = Some(vector.map_or_else(|| more.clone(), |vector| vector + more.clone()));
            // The tokens of noise levels are always there.
            let before = self.config.time_tokens + tokens.iter().map(|t| t.dims()[1]).sum::<usize>();
            let there = |mask: &Tensor<2>| Tensor::ones([mask.dims()[0], before], &mask.device());
            mask = context.mask.map(|mask| Tensor::cat(vec![there(&mask), mask], 1));
            tokens.push(context.tokens);
        }
        let device = self.norm_cond.weight.val().device();
        let normed = |tokens: Vec<Tensor<3>>| self.norm_cond.forward(Tensor::cat(tokens, 1));
        let channels = self.config.cond_images_channels;
        let nothing = (channels > 0).then(|| Tensor::zeros([b, channels, h, w], &device));
        Told {
            vector,
            tokens: (!tokens.is_empty()).then(|| normed(tokens)),
            mask,
            images: conditioning.cond_images.clone().map(|images| resize_nearest(images, [h, w])).or(nothing),
            self_cond: conditioning.self_cond.clone(),
            lowres: conditioning.lowres.as_ref().map(|lowres| lowres.image.clone()),
            places: self.config.coordinates.then(|| coordinates([b, h, w], &device)),
            levels: Vec::new(),
        }
    }

    /// Reads the noise levels of a run as well, all at once: what [`step_at`](Self::step_at) one of them needs not read.
    #[must_use]
    pub fn read_levels(&self, told: Told, levels: &[f32]) -> Told {
        if levels.is_empty() {
            return told;
        }
        let n = levels.len();
        let device = self.norm_cond.weight.val().device();
        let seen = Tensor::from_data(TensorData::new(levels.to_vec(), [n]), &device);
        let (vector, tokens) = self.time.forward(seen, self.config.token_dim());
        let mut vector = vector.unsqueeze_dim::<3>(1);
        if let Some(more) = &told.vector {
            vector = vector + more.clone().unsqueeze::<3>();
        }
        let (vector, tokens) = (silu(vector), self.norm_cond.forward(tokens));
        let of = |(i, level): (usize, &f32)| LevelTold {
            level: *level,
            vector: vector.clone().narrow(0, i, 1).squeeze_dim(0),
            tokens: tokens.clone().narrow(0, i, 1),
        };
        Told { levels: levels.iter().enumerate().map(of).collect(), ..told }
    }

    /// [`forward`](Self::forward) of what was told once.
    ///
    /// # Shapes
    /// - x: `[b, c, h, w]`
    /// - level: `[b]`
    /// - output: `[b, c_out, h, w]`
    pub fn step(&self, x: Tensor<4>, level: Tensor<1>, told: &Told) -> Tensor<4> {
        let cond = self.condition(level, told);
        self.conditioned(x, &cond, told).0
    }

    /// [`step`](Self::step) at the same noise level for the whole batch, which may be one of those that were
    /// [read](Self::read_levels).
    ///
    /// # Shapes
    /// - x: `[b, c, h, w]`
    /// - output: `[b, c_out, h, w]`
    pub fn step_at(&self, x: Tensor<4>, level: f32, told: &Told) -> Tensor<4> {
        let b = x.dims()[0];
        let Some(known) = told.levels.iter().find(|known| known.level.to_bits() == level.to_bits()) else {
            let level = Tensor::full([b], level, &x.device());
            return self.step(x, level, told);
        };
        let ([_, width], [_, n, token_dim]) = (known.vector.dims(), known.tokens.dims());
        let tokens = Self::tokens(known.tokens.clone().expand([b, n, token_dim]), told);
        let cond = Condition { time: known.vector.clone().expand([b, width]), tokens };
        self.conditioned(x, &cond, told).0
    }

    /// The output, and the first map on the way up.
    fn conditioned(&self, x: Tensor<4>, cond: &Condition, told: &Told) -> (Tensor<4>, Tensor<4>) {
        let mut x = self.stem.forward(self.input(x, told));
        let stem = x.clone();
        if let Some(block) = &self.init_block {
            x = block.forward(x, Some(&cond.time), None);
        }

        let mut skips = Vec::new();
        for down in &self.downs {
            x = down.forward(x, cond, &mut skips);
        }
        if self.config.scale_skips {
            skips = skips.into_iter().map(|skip| skip * std::f32::consts::FRAC_1_SQRT_2).collect();
        }

        x = self.mid_block1.forward(x, Some(&cond.time), Some(&cond.tokens));
        if let Some(attn) = &self.mid_attn {
            x = attn.forward(x, None);
        }
        x = self.mid_block2.forward(x, Some(&cond.time), Some(&cond.tokens));

        let mut maps = Vec::new();
        for up in &self.ups {
            let (map, grown) = up.forward(x, cond, &mut skips);
            maps.push(map);
            x = grown;
        }
        let first = maps.first().unwrap_or(&x).clone();
        x = self.gather(x, maps, stem);
        if let Some(block) = &self.final_block {
            x = block.forward(x, Some(&cond.time), None);
        }
        if let Some(lowres) = &told.lowres {
            x = Tensor::cat(vec![x, lowres.clone()], 1);
        }
        (self.final_conv.forward(x), first)
    }

    /// The channels that enter the stem, in the reference's order: picture to follow, input, last estimate, smaller
    /// picture, and our own last: places.
    fn input(&self, x: Tensor<4>, told: &Told) -> Tensor<4> {
        let mut parts = vec![x.clone()];
        if self.config.self_cond {
            parts.push(told.self_cond.clone().unwrap_or_else(|| x.zeros_like()));
        }
        parts.extend(told.lowres.clone());
        parts.extend(told.places.clone());
        if let Some(images) = &told.images {
            parts.insert(0, images.clone());
        }
        if parts.len() == 1 { x } else { Tensor::cat(parts, 1) }
    }

    fn condition(&self, level: Tensor<1>, told: &Told) -> Condition {
        let (mut time, tokens) = self.time.forward(level, self.config.token_dim());
        if let Some(vector) = &told.vector {
            time = time + vector.clone();
        }
        Condition { time: silu(time), tokens: Self::tokens(self.norm_cond.forward(tokens), told) }
    }

    /// The tokens of a noise level, normed, and all others.
    fn tokens(mut tokens: Tensor<3>, told: &Told) -> Context {
        if let Some(more) = &told.tokens {
            tokens = Tensor::cat(vec![tokens, more.clone()], 1);
        }
        Context { tokens, mask: told.mask.clone() }
    }

    /// The last map beside the maps of all levels and the stem's, as far as the config asks.
    fn gather(&self, x: Tensor<4>, maps: Vec<Tensor<4>>, stem: Tensor<4>) -> Tensor<4> {
        let size = x.dims()[2];
        let mut parts = vec![x.clone()];
        for (block, map) in self.combine.iter().zip(maps) {
            let factor = size / map.dims()[2];
            parts.push(block.forward(enlarge_nearest(map, factor), None));
        }
        if self.config.stem_to_end {
            parts.push(stem);
        }
        if parts.len() == 1 { x } else { Tensor::cat(parts, 1) }
    }
}

/// The place of each pixel's centre: columns, then rows, from -1 to 1 across the picture.
///
/// # Shapes
/// - output: `[b, 2, h, w]`
fn coordinates([b, h, w]: [usize; 3], device: &Device) -> Tensor<4> {
    let axis = |n: usize| -> Tensor<1> {
        let places: Vec<f32> = (0..n).map(|i| (2 * i + 1) as f32 / n as f32 - 1.0).collect();
        Tensor::from_data(TensorData::new(places, [n]), device)
    };
    let columns = axis(w).reshape([1, 1, 1, w]).expand([b, 1, h, w]);
    let rows = axis(h).reshape([1, 1, h, 1]).expand([b, 1, h, w]);
    Tensor::cat(vec![columns, rows], 1)
}

/// Width of the map that leaves the finest level: that of the stem where it is enlarged, else the level's own.
fn dim_before_end(config: &UnetConfig, widths: &[usize]) -> usize {
    if config.memory_efficient { widths[0] } else { widths[1] }
}

fn resize_nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    if x.dims()[2..] == size {
        return x;
    }
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_align_corners(false).with_output_size(size);
    interpolate(x, options)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::coordinates;

    #[test]
    fn places_by_hand() {
        let places: Vec<f32> = coordinates([2, 2, 4], &Device::flex()).into_data().try_to_vec().unwrap();
        let columns = [-0.75, -0.25, 0.25, 0.75];
        let rows = [-0.5, 0.5].map(|row| [row; 4]).concat();
        let one = [&columns[..], &columns, &rows].concat();
        assert_eq!(places, [&one[..], &one].concat());
    }
}
