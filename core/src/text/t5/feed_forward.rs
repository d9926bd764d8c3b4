//! T5's feed-forward.

use burn::module::Module;
use burn::tensor::{Tensor, activation};

use super::attention::deviation;
use super::{FeedForwardProj, T5Config, T5Norm};
use crate::nn::Init;
use crate::nn::linear::Linear;

/// The projection of version 1.0.
#[derive(Module, Debug)]
pub struct Single {
    wi: Linear,
}

/// The projections of version 1.1: `gelu(wi_0 x) * wi_1 x`.
#[derive(Module, Debug)]
pub struct Gated {
    wi_0: Linear,
    wi_1: Linear,
}

/// The inside of a feed-forward.
#[derive(Module, Debug)]
pub enum Inner {
    /// [`FeedForwardProj::Relu`].
    Relu(Single),
    /// [`FeedForwardProj::GatedGelu`].
    GatedGelu(Gated),
}

/// Norm, projection to `d_ff`, activation, projection back; the residual is the caller's.
#[derive(Module, Debug)]
pub struct T5FeedForward {
    norm: T5Norm,
    inner: Inner,
    pub(super) wo: Linear,
}

impl T5FeedForward {
    /// Drawn as T5 does.
    pub fn new(init: &mut Init<'_>, config: &T5Config) -> Self {
        let (d, d_ff) = (config.d_model, config.d_ff);
        let norm = T5Norm::new(init, config);
        let mut wi = || Linear::normal(init, d, d_ff, deviation(d));
        let inner = match config.feed_forward_proj {
            FeedForwardProj::Relu => Inner::Relu(Single { wi: wi() }),
            FeedForwardProj::GatedGelu => Inner::GatedGelu(Gated { wi_0: wi(), wi_1: wi() }),
        };
        Self { norm, inner, wo: Linear::normal(init, d_ff, d, deviation(d_ff)) }
    }

    /// # Shapes
    /// - x, output: `[b, n, d]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.norm.forward(x);
        let hidden = match &self.inner {
            Inner::Relu(single) => activation::relu(single.wi.forward(x)),
            Inner::GatedGelu(gated) => gelu_tanh(gated.wi_0.forward(x.clone())) * gated.wi_1.forward(x),
        };
        self.wo.forward(hidden)
    }
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
///
/// Not Burn's `gelu_approximate`: its `powf` of a negative number and its `tanh` of a large one are NaN on some GPUs.
fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    const SQRT_2_OVER_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    let inner = (x.clone() + x.clone() * x.clone() * x.clone() * 0.044715) * SQRT_2_OVER_PI;
    // tanh(10) is 1 in f32.
    x * (inner.clamp(-10.0, 10.0).tanh() + 1.0) * 0.5
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::gelu_tanh;

    #[test]
    fn gelu_is_finite_where_its_cube_is_not() {
        let x = Tensor::<3>::from_data([[[-1e20f32, -1.0, 0.0, 1.0, 1e20]]], &Device::flex());
        let y: Vec<f32> = pollster::block_on(gelu_tanh(x).into_data_async()).unwrap().try_to_vec().unwrap();
        // From x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) by hand.
        for (y, expected) in y.iter().zip([0.0, -0.158_808, 0.0, 0.841_192, 1e20]) {
            assert!((y - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{y} for {expected}");
        }
    }
}
