//! DDIM.

use burn::tensor::Tensor;

use super::ancestral::posterior;
use crate::diffusion::Level;

/// `x_to = alpha_to x0_hat + sqrt(sigma_to² - eta² variance) eps_hat + eta sqrt(variance) z`
/// (<https://arxiv.org/abs/2010.02502>, equation 12), `variance` that of the posterior.
///
/// # Shapes
/// - `x_t`, `x0_hat`, z, output: `[b, c, h, w]`
#[must_use]
pub fn step(x_t: Tensor<4>, x0_hat: Tensor<4>, levels: [Level; 2], eta: f64, z: Option<Tensor<4>>) -> Tensor<4> {
    let [from, to] = levels;
    let (.., variance) = posterior(levels);
    let variance = variance.max(0.0) * eta * eta;
    let direction = (to.sigma.powi(2) - variance).max(0.0).sqrt();
    let eps_hat = from.eps(x_t, x0_hat.clone());
    let mean = x0_hat * to.alpha as f32 + eps_hat * direction as f32;
    match z {
        Some(z) => mean + z * variance.sqrt() as f32,
        None => mean,
    }
}
