//! Classifier-free guidance.

use burn::tensor::Tensor;

/// `null + cond_scale * (cond - null)`, on estimates of the picture (<https://arxiv.org/abs/2207.12598>).
///
/// Both halves come from one pass over a batch of twice the size; `both` holds the conditioned estimates first and the
/// unconditioned, or negatively conditioned, ones second.
///
/// # Shapes
/// - both: `[2 b, c, h, w]`
/// - output: `[b, c, h, w]`
#[must_use]
pub fn guide(both: Tensor<4>, cond_scale: f64) -> Tensor<4> {
    let b = both.dims()[0] / 2;
    let cond = both.clone().slice([0..b]);
    let null = both.slice([b..2 * b]);
    null.clone() + (cond - null) * cond_scale as f32
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::guide;

    #[test]
    fn guidance_by_hand() {
        let both = Tensor::<4>::from_data([[[[0.5f32]]], [[[0.2]]]], &Device::flex());
        for (scale, want) in [(0.0, 0.2), (1.0, 0.5), (3.0, 1.1)] {
            let got: f32 = guide(both.clone(), scale).into_scalar();
            assert!((got - want).abs() < 1e-6, "{scale}: {got}");
        }
    }
}
