//! The stochastic Heun sampler of EDM.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::diffusion::{Denoiser, Level};

/// Noise added between steps (Karras et al. 2022, algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Churn {
    /// Amount over the whole run; 0 is deterministic.
    pub s_churn: f64,
    /// No noise below this level.
    pub s_tmin: f64,
    /// No noise above this level.
    pub s_tmax: f64,
    /// Standard deviation of the noise, slightly above 1 to keep detail.
    pub s_noise: f64,
}

impl Default for Churn {
    fn default() -> Self {
        Self { s_churn: 0.0, s_tmin: 0.05, s_tmax: 50.0, s_noise: 1.003 }
    }
}

/// The churn of one step.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    gamma: f64,
    churn: Churn,
}

impl Churn {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(self) -> Result<(), String> {
        let sizes = [("s_churn", self.s_churn), ("s_tmin", self.s_tmin), ("s_tmax", self.s_tmax)];
        if let Some((key, value)) = sizes.iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            return Err(format!("{key} is {value}; it must be at least 0"));
        }
        if !(0.0..=2.0).contains(&self.s_noise) {
            return Err(format!("s_noise is {}; it must be from 0 to 2", self.s_noise));
        }
        Ok(())
    }

    /// The churn of each of `steps` steps: at most doubles the variance.
    #[must_use]
    pub fn amount(self, steps: usize) -> Amount {
        Amount { gamma: (self.s_churn / steps as f64).min(std::f64::consts::SQRT_2 - 1.0), churn: self }
    }
}

impl Amount {
    /// `sigma_hat / sigma - 1` at a level.
    #[must_use]
    pub fn gamma(self, sigma: f64) -> f64 {
        if (self.churn.s_tmin..=self.churn.s_tmax).contains(&sigma) { self.gamma } else { 0.0 }
    }
}

/// The level of `sigma_edm` in the process that `level` belongs to.
fn at_sigma(level: Level, sigma_edm: f64) -> Level {
    let preserving = level.alpha < 1.0;
    if preserving {
        let alpha = (1.0 + sigma_edm * sigma_edm).powf(-0.5);
        Level { alpha, sigma: alpha * sigma_edm }
    } else {
        Level::variance_exploding(sigma_edm)
    }
}

/// One step in EDM's coordinates `x / alpha`, `sigma / alpha`, in which every process is variance-exploding: churn up,
/// Euler down, Heun's correction unless the step ends without noise. Returns the level of the first evaluation, its
/// estimate, and the new `x_t`.
///
/// # Shapes
/// - `x_t`, noise, outputs: `[b, c, h, w]`
pub fn step(
    denoiser: &impl Denoiser,
    x_t: Tensor<4>,
    [from, to]: [Level; 2],
    churn: Amount,
    noise: &mut dyn FnMut() -> Tensor<4>,
) -> (Level, Tensor<4>, Tensor<4>) {
    let (sigma, sigma_to) = (from.sigma_edm(), to.sigma_edm());
    let gamma = churn.gamma(sigma);
    let hat = if gamma > 0.0 { at_sigma(from, sigma * (1.0 + gamma)) } else { from };
    let mut x = x_t * (1.0 / from.alpha) as f32;
    if gamma > 0.0 {
        let std = churn.churn.s_noise * (hat.sigma_edm().powi(2) - sigma * sigma).sqrt();
        x = x + noise() * std as f32;
    }
    let sigma_hat = hat.sigma_edm();
    let slope = |x: Tensor<4>, x0_hat: Tensor<4>, sigma: f64| (x - x0_hat) * (1.0 / sigma) as f32;
    let x0_hat = denoiser.denoise(x.clone() * hat.alpha as f32, hat);
    let d = slope(x.clone(), x0_hat.clone(), sigma_hat);
    let length = (sigma_to - sigma_hat) as f32;
    let mut next = x.clone() + d.clone() * length;
    if sigma_to > 0.0 {
        let second = denoiser.denoise(next.clone() * to.alpha as f32, to);
        let d_to = slope(next, second, sigma_to);
        next = x + (d + d_to) * (0.5 * length);
    }
    (hat, x0_hat, next * to.alpha as f32)
}
