//! Norms.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::{block_norm, layer_norm};

use super::Init;

/// RMS norm over channels: `x / max(|x|, 1e-12) * sqrt(c) * gamma` at every pixel.
#[derive(Module, Debug)]
pub struct ChanRmsNorm {
    /// `[c]`; `[c, 1, 1]` in the files of imagen-pytorch.
    pub gamma: Param<Tensor<1>>,
}

impl ChanRmsNorm {
    /// Gains of one.
    pub fn new(init: &mut Init<'_>, channels: usize) -> Self {
        Self { gamma: init.constant([channels], 1.0) }
    }

    /// Norm, scale-shift `x (1 + scale) + shift` and SiLU in one fused operation.
    ///
    /// # Shapes
    /// - x, output: `[b, c, h, w]`
    /// - `scale_shift`: `[b, 2 c]`, scales then shifts
    pub fn forward_silu(&self, x: Tensor<4>, scale_shift: Option<Tensor<2>>) -> Tensor<4> {
        block_norm(x, self.gamma.val(), scale_shift)
    }
}

/// Layer norm over the last axis, eps 1e-5, gain only or gain and bias.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    /// `[d]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl LayerNorm {
    /// Gain only, as imagen-pytorch's own `LayerNorm`.
    pub fn gain(init: &mut Init<'_>, width: usize) -> Self {
        Self { weight: init.constant([width], 1.0), bias: None }
    }

    /// Gain only, zero: the last layer of a branch that has no say at first.
    pub fn silent(init: &mut Init<'_>, width: usize) -> Self {
        Self { weight: init.constant([width], 0.0), bias: None }
    }

    /// Gain and bias, as PyTorch's `nn.LayerNorm`.
    pub fn affine(init: &mut Init<'_>, width: usize) -> Self {
        Self { weight: init.constant([width], 1.0), bias: Some(init.constant([width], 0.0)) }
    }

    /// # Shapes
    /// - x, output: `[.., d]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}
