//! Schedules: from a time or a step to a noise level.

use serde::{Deserialize, Serialize};

/// Where log-SNR is clipped. The cosine schedule runs to -33.9 at t = 1, where alpha is 4e-8 in single precision and a
/// noise objective multiplies its error by 2e7.
pub const LOG_SNR_LIMIT: f64 = 20.0;

/// Continuous-time schedules of log-SNR, as in imagen-pytorch but clipped to `±20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSnrSchedule {
    /// `-log(cos((t + s) / (1 + s) * pi / 2)^-2 - 1)`, s = 0.008 (<https://arxiv.org/abs/2102.09672>).
    Cosine,
    /// `-log(expm1(1e-4 + 10 t²))` (<https://arxiv.org/abs/2006.11239> in continuous time).
    Linear,
}

impl LogSnrSchedule {
    /// Log-SNR at time `t`, 0 for a clean picture and 1 for noise.
    #[must_use]
    pub fn log_snr(self, t: f64) -> f64 {
        let log_snr = match self {
            Self::Cosine => {
                const S: f64 = 0.008;
                let cos = ((t + S) / (1.0 + S) * std::f64::consts::FRAC_PI_2).cos();
                -(cos.powi(-2) - 1.0).max(1e-5).ln()
            }
            Self::Linear => -(1e-4 + 10.0 * t * t).exp_m1().ln(),
        };
        log_snr.clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT)
    }

    /// `steps + 1` log-SNRs at equal steps of time from 1 to 0.
    #[must_use]
    pub fn sampling(self, steps: usize) -> Vec<f64> {
        (0..=steps).map(|i| self.log_snr(1.0 - i as f64 / steps as f64)).collect()
    }
}

/// The noise levels of Karras et al. 2022, equation 5: `steps` values from `max` to `min`, equally spaced in the
/// `rho`-th root.
#[must_use]
pub fn karras_sigmas(steps: usize, [min, max]: [f64; 2], rho: f64) -> Vec<f64> {
    let root = |sigma: f64| sigma.powf(1.0 / rho);
    // One step has no spacing; it takes the largest level.
    let spacing = 1.0 / (steps.max(2) - 1) as f64;
    (0..steps).map(|i| (root(max) + i as f64 * spacing * (root(min) - root(max))).powf(rho)).collect()
}

#[cfg(test)]
mod tests {
    use super::{LogSnrSchedule, karras_sigmas};

    #[test]
    fn values_of_the_reference() {
        // t, linear, cosine; computed with imagen-pytorch 2.1.
        for (t, linear, cosine) in
            [(0.0, 9.210, 8.769), (0.1, 2.251, 3.545), (0.2, 0.709, 2.181), (0.5, -2.414, -0.025), (1.0, -10.0, -20.0)]
        {
            assert!((LogSnrSchedule::Linear.log_snr(t) - linear).abs() < 1e-3, "linear at {t}");
            assert!((LogSnrSchedule::Cosine.log_snr(t) - cosine).abs() < 1e-3, "cosine at {t}");
        }
    }

    #[test]
    fn karras_sigmas_end_where_they_should() {
        let sigmas = karras_sigmas(18, [0.002, 80.0], 7.0);
        assert!((sigmas[0] - 80.0).abs() < 1e-9 && (sigmas[17] - 0.002).abs() < 1e-9);
        assert!(sigmas.windows(2).all(|w| w[0] > w[1]));
        assert_eq!(karras_sigmas(1, [0.002, 80.0], 7.0).len(), 1);
        assert!(karras_sigmas(1, [0.002, 80.0], 7.0)[0].is_finite());
    }
}
