//! Cross attention from pixels to tokens.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::Keys;

use super::{AttentionSize, Context, QkScale};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;
use crate::nn::transformer::to_tokens;

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
        }
    }

    /// With its residual.
    ///
    /// # Shapes
    /// - x, output: `[b, d, h, w]`
    /// - context: `[b, m, d_context]`
    pub fn forward(&self, x: Tensor<4>, context: &Context) -> Tensor<4> {
        let q = self.to_q.forward(self.norm.forward(to_tokens(x.clone())));
        let keys = Keys {
            kv: self.to_kv.forward(context.tokens.clone()),
            null: Some(self.null_kv.val()),
            mask: context.mask.clone(),
        };
        self.norm_out.forward_onto_map(self.to_out.forward(self.scale.attend(q, keys)), x)
    }
}
