//! How noisy a picture is.

use burn::tensor::{Device, Tensor, TensorData};

/// The magnitudes of picture and noise in `x_t = alpha * x0 + sigma * eps`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Magnitude of the picture.
    pub alpha: f64,
    /// Standard deviation of the noise.
    pub sigma: f64,
}

impl Level {
    /// No noise.
    pub const CLEAN: Self = Self { alpha: 1.0, sigma: 0.0 };

    /// The variance-preserving level of `log_snr`: `alpha² = sigmoid(log_snr)`, `sigma² = sigmoid(-log_snr)`
    /// (Kingma et al. 2021, <https://arxiv.org/abs/2107.00630>).
    #[must_use]
    pub fn variance_preserving(log_snr: f64) -> Self {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        Self { alpha: sigmoid(log_snr).sqrt(), sigma: sigmoid(-log_snr).sqrt() }
    }

    /// The level of Karras et al. (<https://arxiv.org/abs/2206.00364>): the picture as it is, plus noise.
    #[must_use]
    pub fn variance_exploding(sigma_edm: f64) -> Self {
        Self { alpha: 1.0, sigma: sigma_edm }
    }

    /// `log(alpha² / sigma²)`; infinite without noise.
    #[must_use]
    pub fn log_snr(self) -> f64 {
        2.0 * (self.alpha.ln() - self.sigma.ln())
    }

    /// `sigma / alpha`.
    #[must_use]
    pub fn sigma_edm(self) -> f64 {
        self.sigma / self.alpha
    }

    /// `alpha * x0 + sigma * eps`.
    ///
    /// # Shapes
    /// - x0, eps, output: `[b, c, h, w]`
    #[must_use]
    pub fn noise(self, x0: Tensor<4>, eps: Tensor<4>) -> Tensor<4> {
        x0 * self.alpha as f32 + eps * self.sigma as f32
    }

    /// Back to a noisier level `to`: a sample of `q(x_to | x_t)`, which has the variance that is missing,
    /// `sigma_to² - (alpha_to / alpha)² sigma²`, and not the difference of the standard deviations.
    ///
    /// # Shapes
    /// - `x_t`, eps, output: `[b, c, h, w]`
    #[must_use]
    pub fn renoise(self, to: Self, x_t: Tensor<4>, eps: Tensor<4>) -> Tensor<4> {
        let ratio = to.alpha / self.alpha;
        let variance = to.sigma.powi(2) - (ratio * self.sigma).powi(2);
        x_t * ratio as f32 + eps * variance.max(0.0).sqrt() as f32
    }

    /// The noise in `x_t` if the picture is `x0_hat`.
    ///
    /// # Shapes
    /// - `x_t`, `x0_hat`, output: `[b, c, h, w]`
    #[must_use]
    pub fn eps(self, x_t: Tensor<4>, x0_hat: Tensor<4>) -> Tensor<4> {
        (x_t - x0_hat * self.alpha as f32) * (1.0 / self.sigma) as f32
    }
}

/// One value for each picture of a batch, from its level.
///
/// # Shapes
/// - output: `[b]`
#[must_use]
pub fn per_picture(levels: &[Level], value: impl Fn(Level) -> f64, device: &Device) -> Tensor<1> {
    let values: Vec<f32> = levels.iter().map(|&level| value(level) as f32).collect();
    Tensor::from_data(TensorData::new(values, [levels.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn log_snr_and_magnitudes_are_inverse() {
        for log_snr in [-20.0, -3.0, 0.0, 0.7, 12.0] {
            let level = Level::variance_preserving(log_snr);
            assert!((level.log_snr() - log_snr).abs() < 1e-9, "{log_snr}");
            assert!((level.alpha.powi(2) + level.sigma.powi(2) - 1.0).abs() < 1e-12);
            assert!((level.sigma_edm() - (-log_snr / 2.0).exp()).abs() < 1e-9 * level.sigma_edm());
        }
    }
}
