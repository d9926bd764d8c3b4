//! Embeddings of numbers.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::Init;

/// `[x, sin(2 pi w x), cos(2 pi w x)]` with learned frequencies `w`.
#[derive(Module, Debug)]
pub struct LearnedSinusoidal {
    /// `[frequencies]`.
    pub weights: Param<Tensor<1>>,
}

impl LearnedSinusoidal {
    /// Frequencies drawn from a standard normal; the output has `2 * frequencies + 1` features.
    pub fn new(init: &mut Init<'_>, frequencies: usize) -> Self {
        Self { weights: init.normal([frequencies], 1.0) }
    }

    /// # Shapes
    /// - x: `[b]`
    /// - output: `[b, 2 frequencies + 1]`
    pub fn forward(&self, x: Tensor<1>) -> Tensor<2> {
        let x = x.unsqueeze_dim::<2>(1);
        let angle = x.clone() * self.weights.val().unsqueeze::<2>() * std::f32::consts::TAU;
        Tensor::cat(vec![x, angle.clone().sin(), angle.cos()], 1)
    }
}
