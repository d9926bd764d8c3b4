//! Multi-query self-attention.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::Keys;

use super::{AttentionSize, Context, QkScale};
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
    /// - context: `[b, m, d_context]`
    pub fn forward(&self, x: Tensor<3>, context: Option<&Context>) -> Tensor<3> {
        let normed = self.norm.forward(x.clone());
        let q = self.to_q.forward(normed.clone());
        let mut keys = Keys { kv: self.to_kv.forward(normed), null: Some(self.null_kv.val()), mask: None };
        if let (Some(beside), Some(context)) = (&self.context, context) {
            let kv = beside.linear.forward(beside.norm.forward(context.tokens.clone()));
            // The mask speaks of the first keys.
            keys = Keys { kv: Tensor::cat(vec![kv, keys.kv], 1), mask: context.mask.clone(), ..keys };
        }
        self.norm_out.forward_onto(self.to_out.forward(self.scale.attend(q, keys)), x)
    }
}
