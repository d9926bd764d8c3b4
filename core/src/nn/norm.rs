//! Norms.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::{block_norm, layer_norm, layer_norm_onto, layer_norm_onto_map};

use super::Init;
use super::transformer::to_map;

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

    /// The same norm with gains of zero.
    #[must_use]
    pub fn silenced(mut self) -> Self {
        self.weight = self.weight.map(|weight| weight.zeros_like());
        self
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

    /// [`forward`](Self::forward) plus `onto`, the end of a branch beside it.
    ///
    /// # Shapes
    /// - x, onto, output: `[b, n, d]`
    pub fn forward_onto(&self, x: Tensor<3>, onto: Tensor<3>) -> Tensor<3> {
        match self.bias {
            Some(_) => self.forward(x) + onto,
            None => layer_norm_onto(x, self.weight.val(), onto),
        }
    }

    /// The same where `onto` is a map, of whose pixels the tokens are.
    ///
    /// # Shapes
    /// - x: `[b, h w, d]`
    /// - onto, output: `[b, d, h, w]`
    pub fn forward_onto_map(&self, x: Tensor<3>, onto: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = onto.dims();
        match self.bias {
            Some(_) => onto + to_map(self.forward(x), [h, w]),
            None => layer_norm_onto_map(x, self.weight.val(), onto),
        }
    }
}
