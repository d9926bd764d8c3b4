//! What a U-Net is told: noise levels, text, a smaller picture.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::silu;

use super::config::UnetConfig;
use crate::nn::Init;
use crate::nn::attention::Context;
use crate::nn::attention::perceiver::PerceiverResampler;
use crate::nn::embedding::LearnedSinusoidal;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;

/// Encoded text of a batch.
#[derive(Debug, Clone)]
pub struct TextInput {
    /// `[b, n, d]`, the encoder's output.
    pub tokens: Tensor<3>,
    /// `[b, n]`, 1 for a token and 0 for padding.
    pub mask: Tensor<2>,
    /// `[b]`, 1 where the text counts and 0 where it is dropped for guidance.
    pub keep: Tensor<1>,
}

/// The smaller picture of a super-resolution stage.
#[derive(Debug, Clone)]
pub struct Lowres {
    /// `[b, c, h, w]`, already enlarged to the size of the input, and noised.
    pub image: Tensor<4>,
    /// `[b]`, the noise level it was given, as the network sees levels.
    pub level: Tensor<1>,
}

/// Everything a U-Net is told besides its input and the input's noise level.
#[derive(Debug, Clone, Default)]
pub struct Conditioning {
    /// Text; a network with text that gets none works on its noise levels alone.
    pub text: Option<TextInput>,
    /// The smaller picture; a network built for one must get it.
    pub lowres: Option<Lowres>,
    /// `[b, c, h, w]`, the last estimate; zeros if absent.
    pub self_cond: Option<Tensor<4>>,
    /// `[b, c', h', w']`, a picture to follow; zeros if absent.
    pub cond_images: Option<Tensor<4>>,
}

/// A [`Conditioning`] as a network reads it, once for all steps of a run.
#[derive(Debug, Clone)]
pub struct Told {
    /// `[b, d_time]`, what text and the smaller picture's noise level add to the vector of the noise level.
    pub(super) vector: Option<Tensor<2>>,
    /// `[b, n, d_cond]`, normed, to come after the tokens of the noise level.
    pub(super) tokens: Option<Tensor<3>>,
    /// `[b, time_tokens + n]`, 1 for a token that counts; all count if there is none.
    pub(super) mask: Option<Tensor<2>>,
    /// A picture to follow, of the input's size.
    pub(super) images: Option<Tensor<4>>,
    /// The last estimate.
    pub(super) self_cond: Option<Tensor<4>>,
    /// The smaller picture, of the input's size.
    pub(super) lowres: Option<Tensor<4>>,
    /// `[b, 2, h, w]`, the place of each pixel.
    pub(super) places: Option<Tensor<4>>,
    /// What the noise levels of the run come to, as far as they are known before it.
    pub(super) levels: Vec<LevelTold>,
}

/// What a noise level, the same for a whole batch, comes to in a network that is told something else besides.
#[derive(Debug, Clone)]
pub(super) struct LevelTold {
    /// The level as the network sees it.
    pub(super) level: f32,
    /// `[b, d_time]`, or one row for all.
    pub(super) vector: Tensor<2>,
    /// `[1, time_tokens, d_cond]`, normed.
    pub(super) tokens: Tensor<3>,
}

impl Told {
    /// What the first `b` rows of the batch are told.
    #[must_use]
    pub(crate) fn first(&self, b: usize) -> Self {
        fn of<const D: usize>(tensor: &Option<Tensor<D>>, b: usize) -> Option<Tensor<D>> {
            tensor.as_ref().map(|tensor| tensor.clone().narrow(0, 0, b))
        }
        Self {
            vector: of(&self.vector, b),
            tokens: of(&self.tokens, b),
            mask: of(&self.mask, b),
            images: of(&self.images, b),
            self_cond: of(&self.self_cond, b),
            lowres: of(&self.lowres, b),
            places: of(&self.places, b),
            levels: self.levels.iter().map(|level| level.first(b)).collect(),
        }
    }

    /// Rows of a batch that is told this, if it is told a text.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Option<usize> {
        self.tokens.as_ref().map(|tokens| tokens.dims()[0])
    }
}

impl LevelTold {
    fn first(&self, b: usize) -> Self {
        let rows = self.vector.dims()[0].min(b);
        Self { vector: self.vector.clone().narrow(0, 0, rows), ..self.clone() }
    }
}

/// One noise level into a vector and a few tokens.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    features: LearnedSinusoidal,
    hidden: Linear,
    cond: Linear,
    tokens: Linear,
}

impl TimeEmbedding {
    /// By the widths of `config`.
    pub fn new(init: &mut Init<'_>, config: &UnetConfig) -> Self {
        let width = config.time_dim();
        Self {
            features: LearnedSinusoidal::new(init, config.time_frequencies),
            hidden: Linear::new(init, config.time_frequencies * 2 + 1, width),
            cond: Linear::new(init, width, width),
            tokens: Linear::new(init, width, config.token_dim() * config.time_tokens),
        }
    }

    /// # Shapes
    /// - level: `[b]`
    /// - output: vector `[b, d_time]`, tokens `[b, time_tokens, d_cond]`
    pub fn forward(&self, level: Tensor<1>, token_dim: usize) -> (Tensor<2>, Tensor<3>) {
        let hidden = silu(self.hidden.forward(self.features.forward(level)));
        let tokens = self.tokens.forward(hidden.clone());
        let [b, width] = tokens.dims();
        (self.cond.forward(hidden), tokens.reshape([b, width / token_dim, token_dim]))
    }
}

/// Text tokens to the width of the condition, null tokens or a mask where there is no text, pooling, and a vector for all
/// blocks.
#[derive(Module, Debug)]
pub struct TextEmbedding {
    to_cond: Linear,
    null_embed: Option<Param<Tensor<2>>>,
    null_hidden: Param<Tensor<1>>,
    pool: Option<PerceiverResampler>,
    norm: LayerNorm,
    hidden: Linear,
    out: Linear,
    max_len: usize,
}

impl TextEmbedding {
    /// By the widths of `config`, if it has text.
    pub fn new(init: &mut Init<'_>, config: &UnetConfig) -> Option<Self> {
        let text = config.text.as_ref()?;
        let (token_dim, time_dim) = (config.token_dim(), config.time_dim());
        Some(Self {
            to_cond: Linear::new(init, text.embed_dim, token_dim),
            null_embed: (!text.masked).then(|| init.normal([text.max_len, token_dim], 1.0)),
            null_hidden: init.normal([time_dim], 1.0),
            pool: text.pool.map(|pool| PerceiverResampler::new(init, token_dim, &pool, config.attn)),
            norm: LayerNorm::affine(init, token_dim),
            hidden: Linear::new(init, token_dim, time_dim),
            // Silent at first: a text encoder that is trained along would else learn to say nothing, because what it
            // says means nothing yet.
            out: Linear::zeros(init, time_dim, time_dim),
            max_len: text.max_len,
        })
    }

    /// # Shapes
    /// - output: vector `[b, d_time]`, tokens `[b, n', d_cond]`
    pub fn forward(&self, text: &TextInput) -> (Tensor<2>, Context) {
        let [b, given, _] = text.tokens.dims();
        let n = given.min(self.max_len);
        let tokens = self.to_cond.forward(text.tokens.clone().slice([0..b, 0..n]));
        let mask = text.mask.clone().slice([0..b, 0..n]) * text.keep.clone().unsqueeze_dim::<2>(1);
        let (mean, context) = match &self.null_embed {
            Some(null) => self.filled(tokens, mask, null.val()),
            None => masked(tokens, mask),
        };
        let hidden = self.out.forward(silu(self.hidden.forward(self.norm.forward(mean))));
        let keep = text.keep.clone().unsqueeze_dim::<2>(1);
        let null_hidden = self.null_hidden.val().unsqueeze::<2>();
        (hidden * keep.clone() + null_hidden * (-keep + 1.0), context)
    }

    /// With learned null tokens, one for each position, for padding and dropped text.
    fn filled(&self, tokens: Tensor<3>, mask: Tensor<2>, null: Tensor<2>) -> (Tensor<2>, Context) {
        let [b, n, width] = tokens.dims();
        let keep = mask.unsqueeze_dim::<3>(2);
        let null = null.unsqueeze::<3>();
        let present = tokens * keep.clone() + null.clone().slice([0..1, 0..n]) * (-keep + 1.0);
        let mut parts = vec![present];
        if n < self.max_len {
            parts.push(null.slice([0..1, n..self.max_len]).expand([b, self.max_len - n, width]));
        }
        let mut tokens = Tensor::cat(parts, 1);
        if let Some(pool) = &self.pool {
            tokens = pool.forward(tokens);
        }
        (tokens.clone().mean_dim(1).reshape([b, width]), tokens.into())
    }
}

/// The mean of the tokens that are there, and all of them with their mask.
fn masked(tokens: Tensor<3>, mask: Tensor<2>) -> (Tensor<2>, Context) {
    let [b, _, width] = tokens.dims();
    let count = mask.clone().sum_dim(1).clamp_min(1.0);
    let sum = (tokens.clone() * mask.clone().unsqueeze_dim::<3>(2)).sum_dim(1).reshape([b, width]);
    (sum / count, Context { tokens, mask: Some(mask) })
}
