//! The linear layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::{linear, linear_onto};

use super::Init;

/// `y = x W^T + b`, weights `[d_out, d_in]` as PyTorch keeps them, so that its files load as they are.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_out, d_in]`.
    pub weight: Param<Tensor<2>>,
    /// `[d_out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// With bias; both drawn uniformly within `1 / sqrt(d_in)`, as PyTorch does.
    pub fn new(init: &mut Init<'_>, d_in: usize, d_out: usize) -> Self {
        let bound = (d_in as f64).powf(-0.5);
        Self { weight: init.uniform([d_out, d_in], bound), bias: Some(init.uniform([d_out], bound)) }
    }

    /// With bias, all zero: a layer that has no say at first.
    pub fn zeros(init: &mut Init<'_>, d_in: usize, d_out: usize) -> Self {
        Self { weight: init.constant([d_out, d_in], 0.0), bias: Some(init.constant([d_out], 0.0)) }
    }

    /// Without bias.
    pub fn no_bias(init: &mut Init<'_>, d_in: usize, d_out: usize) -> Self {
        Self { weight: init.uniform([d_out, d_in], (d_in as f64).powf(-0.5)), bias: None }
    }

    /// Without bias, weights normal with standard deviation `std`.
    pub fn normal(init: &mut Init<'_>, d_in: usize, d_out: usize, std: f32) -> Self {
        Self { weight: init.normal([d_out, d_in], std), bias: None }
    }

    /// # Shapes
    /// - x: `[.., d_in]`
    /// - output: `[.., d_out]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }

    /// [`forward`](Self::forward) plus `onto`, the end of a branch beside it.
    ///
    /// # Shapes
    /// - x: `[.., d_in]`
    /// - onto, output: `[.., d_out]`
    pub fn forward_onto<const D: usize>(&self, x: Tensor<D>, onto: Tensor<D>) -> Tensor<D> {
        match self.bias {
            Some(_) => self.forward(x) + onto,
            None => linear_onto(x, self.weight.val(), onto),
        }
    }
}
