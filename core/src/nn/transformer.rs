//! Transformer blocks over the pixels of a map.

use burn::module::Module;
use burn::tensor::Tensor;
use firefall_shaders::gelu;

use super::Init;
use super::attention::self_attn::SelfAttention;
use super::attention::{AttentionSize, Context};
use super::linear::Linear;
use super::norm::LayerNorm;

/// Norm, linear, GELU, norm, linear; no biases (NormFormer, <https://arxiv.org/abs/2110.09456>).
#[derive(Module, Debug)]
pub struct FeedForward {
    norm_in: LayerNorm,
    linear_in: Linear,
    norm_out: LayerNorm,
    linear_out: Linear,
}

impl FeedForward {
    /// With `mult` times the width inside.
    pub fn new(init: &mut Init<'_>, width: usize, mult: f64) -> Self {
        let hidden = (width as f64 * mult) as usize;
        Self {
            norm_in: LayerNorm::gain(init, width),
            linear_in: Linear::no_bias(init, width, hidden),
            norm_out: LayerNorm::gain(init, hidden),
            linear_out: Linear::no_bias(init, hidden, width),
        }
    }

    /// The same layer, which adds nothing to its residual yet.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.norm_out = self.norm_out.silenced();
        self
    }

    /// With its residual.
    ///
    /// # Shapes
    /// - x, output: `[b, n, d]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = gelu(self.linear_in.forward(self.norm_in.forward(x.clone())));
        self.linear_out.forward_onto(self.norm_out.forward(hidden), x)
    }
}

/// One layer of a [`Transformer`].
#[derive(Module, Debug)]
pub struct TransformerLayer {
    attn: SelfAttention,
    ff: FeedForward,
}

/// Self-attention over pixels, with text among the keys, and feed-forward, each with a residual.
#[derive(Module, Debug)]
pub struct Transformer {
    layers: Vec<TransformerLayer>,
}

impl Transformer {
    /// `depth` layers; `context_width` is that of the tokens that join the keys, if any do.
    pub fn new(
        init: &mut Init<'_>,
        width: usize,
        depth: usize,
        size: AttentionSize,
        ff_mult: f64,
        context_width: Option<usize>,
    ) -> Self {
        let layers = (0..depth)
            .map(|_| TransformerLayer {
                attn: SelfAttention::new(init, width, size, context_width),
                ff: FeedForward::new(init, width, ff_mult),
            })
            .collect();
        Self { layers }
    }

    /// `self`, if any, under the layers that `fresh` has more, which do nothing yet.
    #[must_use]
    pub fn grown(this: Option<Self>, fresh: Option<Self>) -> Option<Self> {
        let mut layers = this.map_or_else(Vec::new, |this| this.layers);
        let more = fresh.into_iter().flat_map(|fresh| fresh.layers).skip(layers.len());
        layers.extend(more.map(|TransformerLayer { attn, ff }| TransformerLayer { attn: attn.idle(), ff: ff.idle() }));
        (!layers.is_empty()).then_some(Self { layers })
    }

    /// # Shapes
    /// - x, output: `[b, c, h, w]`
    /// - context: `[b, n, d]`
    pub fn forward(&self, x: Tensor<4>, context: Option<&Context>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let mut x = to_tokens(x);
        for layer in &self.layers {
            x = layer.ff.forward(layer.attn.forward(x, context));
        }
        to_map(x, [h, w])
    }
}

/// `[b, c, h, w]` as `[b, h w, c]`.
#[must_use]
pub fn to_tokens(x: Tensor<4>) -> Tensor<3> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h * w]).swap_dims(1, 2)
}

/// `[b, h w, c]` as `[b, c, h, w]`.
#[must_use]
pub fn to_map(x: Tensor<3>, [h, w]: [usize; 2]) -> Tensor<4> {
    let [b, _, c] = x.dims();
    x.swap_dims(1, 2).reshape([b, c, h, w])
}
