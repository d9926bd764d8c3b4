//! Ancestral sampling.

use burn::tensor::Tensor;

use crate::diffusion::Level;

/// Mean coefficients and variance of `q(x_to | x_from, x0)`: `mean = a * x_from + b * x0`.
///
/// Holds for any pair of levels: with `r = alpha_from / alpha_to` and `v = sigma_from² - r² sigma_to²`,
/// `a = r sigma_to² / sigma_from²`, `b = alpha_to v / sigma_from²`, `variance = v sigma_to² / sigma_from²`.
/// For variance-preserving levels this is VDM's equation 33 (<https://arxiv.org/abs/2107.00630>).
#[must_use]
pub fn posterior([from, to]: [Level; 2]) -> (f64, f64, f64) {
    let ratio = from.alpha / to.alpha;
    let variance = from.sigma.powi(2) - ratio * ratio * to.sigma.powi(2);
    let share = to.sigma.powi(2) / from.sigma.powi(2);
    (ratio * share, to.alpha * variance / from.sigma.powi(2), variance * share)
}

/// # Shapes
/// - `x_t`, `x0_hat`, z, output: `[b, c, h, w]`; without `z` the mean
#[must_use]
pub fn step(x_t: Tensor<4>, x0_hat: Tensor<4>, levels: [Level; 2], z: Option<Tensor<4>>) -> Tensor<4> {
    let (a, b, variance) = posterior(levels);
    let mean = x_t * a as f32 + x0_hat * b as f32;
    match z {
        Some(z) => mean + z * variance.max(0.0).sqrt() as f32,
        None => mean,
    }
}
