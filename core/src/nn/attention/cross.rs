//! Cross attention from pixels to tokens.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{AttentionSize, Context, QkScale, halves, merge_heads, split_heads};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;

/// Multi-head attention to context tokens and a learned null token, which all heads share.
#[derive(Module, Debug)]
pub struct CrossAttention {
    norm: LayerNorm,
    null_kv: Param<Tensor<2>>,
    to_q: Linear,
    to_kv: Linear,
    scale: QkScale,
    to_out: Linear,
    norm_out: LayerNorm,
    heads: usize,
}

impl CrossAttention {
    /// From tokens of `width` to context tokens of `context_width`.
    pub fn new(init: &mut Init<'_>, width: usize, context_width: usize, size: AttentionSize) -> Self {
        Self {
            norm: LayerNorm::gain(init, width),
            null_kv: init.normal([2, size.dim_head], 1.0),
            to_q: Linear::no_bias(init, width, size.inner()),
            to_kv: Linear::no_bias(init, context_width, size.inner() * 2),
            scale: QkScale::new(init, size.dim_head),
            to_out: Linear::no_bias(init, size.inner(), width),
            norm_out: LayerNorm::silent(init, width),
            heads: size.heads,
        }
    }

    /// # Shapes
    /// - x, output: `[b, n, d]`
    /// - context: `[b, m, d_context]`
    pub fn forward(&self, x: Tensor<3>, context: &Context) -> Tensor<3> {
        let [b, ..] = x.dims();
        let x = self.norm.forward(x);
        let q = split_heads(self.to_q.forward(x), self.heads);
        let [k, v] = halves(self.to_kv.forward(context.tokens.clone())).map(|t| split_heads(t, self.heads));
        let dh = q.dims()[3];
        let null = |i: usize| {
            let row = self.null_kv.val().slice([i..i + 1]).reshape([1, 1, 1, dh]);
            row.expand([b, self.heads, 1, dh])
        };
        let k = Tensor::cat(vec![null(0), k], 2);
        let v = Tensor::cat(vec![null(1), v], 2);
        let bias = context.bias(1, 0).map(|bias| bias.unsqueeze_dims(&[1, 1]));
        let out = merge_heads(self.scale.attend(q, [k, v], bias));
        self.norm_out.forward(self.to_out.forward(out))
    }
}
