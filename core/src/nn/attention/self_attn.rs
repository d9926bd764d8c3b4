//! Multi-query self-attention.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{AttentionSize, Context, QkScale, halves, merge_heads, split_heads};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;

/// Keys and values from tokens beside the sequence.
#[derive(Module, Debug)]
pub struct ContextKeys {
    norm: LayerNorm,
    linear: Linear,
}

/// Self-attention whose heads share one key and one value (<https://arxiv.org/abs/1911.02150>); context tokens and a
/// learned null token join the keys.
#[derive(Module, Debug)]
pub struct SelfAttention {
    norm: LayerNorm,
    null_kv: Param<Tensor<2>>,
    to_q: Linear,
    to_kv: Linear,
    scale: QkScale,
    context: Option<ContextKeys>,
    to_out: Linear,
    norm_out: LayerNorm,
    heads: usize,
}

impl SelfAttention {
    /// Over tokens of `width`, optionally with context tokens of `context_width`.
    pub fn new(init: &mut Init<'_>, width: usize, size: AttentionSize, context_width: Option<usize>) -> Self {
        let dh = size.dim_head;
        Self {
            norm: LayerNorm::gain(init, width),
            null_kv: init.normal([2, dh], 1.0),
            to_q: Linear::no_bias(init, width, size.inner()),
            to_kv: Linear::no_bias(init, width, dh * 2),
            scale: QkScale::new(init, dh),
            context: context_width.map(|width| ContextKeys {
                norm: LayerNorm::affine(init, width),
                linear: Linear::new(init, width, dh * 2),
            }),
            to_out: Linear::no_bias(init, size.inner(), width),
            norm_out: LayerNorm::gain(init, width),
            heads: size.heads,
        }
    }

    /// # Shapes
    /// - x, output: `[b, n, d]`
    /// - context: `[b, m, d_context]`
    pub fn forward(&self, x: Tensor<3>, context: Option<&Context>) -> Tensor<3> {
        let [b, n, _] = x.dims();
        let x = self.norm.forward(x);
        let q = split_heads(self.to_q.forward(x.clone()), self.heads);
        let dh = q.dims()[3];

        // Rows of keys beside values: context, null, positions.
        let null = self.null_kv.val().reshape([1, 1, 2 * dh]).expand([b, 1, 2 * dh]);
        let mut rows = vec![null, self.to_kv.forward(x)];
        let mut bias = None;
        if let (Some(keys), Some(context)) = (&self.context, context) {
            rows.insert(0, keys.linear.forward(keys.norm.forward(context.tokens.clone())));
            bias = context.bias(0, 1 + n).map(|bias| bias.unsqueeze_dim(1));
        }
        let [k, v] = halves(Tensor::cat(rows, 1));

        // All heads share k and v, so they are only more rows of queries.
        let q = q.reshape([b, self.heads * n, dh]);
        let out = self.scale.attend(q, [k, v], bias).reshape([b, self.heads, n, dh]);
        self.norm_out.forward(self.to_out.forward(merge_heads(out)))
    }
}
