//! Losses on a network's output, and their weights.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::level::Level;
use super::process::{Objective, Process};

/// How the distance of output and target counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Squared error.
    L2,
    /// Absolute error.
    L1,
    /// Squared below 1, absolute above (smooth L1).
    Huber,
}

impl LossKind {
    /// The mean over each picture.
    ///
    /// # Shapes
    /// - output, target: `[b, c, h, w]`
    /// - returned: `[b]`
    #[must_use]
    pub fn per_picture(self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let [b, ..] = output.dims();
        let error = output - target;
        let loss = match self {
            Self::L2 => error.clone() * error,
            Self::L1 => error.abs(),
            Self::Huber => {
                // With m = min(|e|, 1): m²/2 + |e| - m is e²/2 below 1 and |e| - 1/2 above.
                let size = error.abs();
                let inner = size.clone().clamp_max(1.0);
                inner.clone() * inner.clone() * 0.5 + (size - inner)
            }
        };
        let n = loss.dims()[1..].iter().product::<usize>();
        loss.reshape([b, n]).mean_dim(1).reshape([b])
    }
}

/// How much each noise level counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Weighting {
    /// Errors of `x0_hat` count `min(snr, gamma)` (<https://arxiv.org/abs/2303.09556>); EDM keeps its own weight.
    MinSnr {
        /// Where the weight stops growing.
        gamma: f64,
    },
    /// The process's own weight: 1 on `eps`, `snr` on `x0`, EDM's lambda.
    Uniform,
}

impl Default for Weighting {
    fn default() -> Self {
        Self::MinSnr { gamma: 5.0 }
    }
}

impl Weighting {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(self) -> Result<(), String> {
        match self {
            Self::MinSnr { gamma } if !(gamma > 0.0 && gamma.is_finite()) => {
                Err(format!("weighting.min_snr.gamma is {gamma}; it must be above 0"))
            }
            _ => Ok(()),
        }
    }

    /// The factor of the loss on the network's output at `level`.
    #[must_use]
    pub fn weight(self, process: &Process, level: Level) -> f64 {
        let Process::Gaussian { objective, .. } = process else {
            // lambda(sigma) c_out² = 1 (Karras et al. 2022, equation 8).
            return 1.0;
        };
        let snr = level.log_snr().exp();
        let clipped = match self {
            Self::MinSnr { gamma } => snr.min(gamma),
            Self::Uniform => snr,
        };
        match objective {
            Objective::Noise => clipped / snr,
            Objective::XStart => clipped,
            Objective::V => clipped / (snr + 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::{Level, LossKind, Objective, Process, Weighting};
    use crate::diffusion::LogSnrSchedule;

    #[test]
    fn losses_by_hand() {
        let device = Device::flex();
        let output = Tensor::<4>::from_data([[[[0.5f32, -3.0]]], [[[0.0, 0.25]]]], &device);
        let target = output.zeros_like();
        for (kind, want) in [
            (LossKind::L2, [(0.25 + 9.0) / 2.0, 0.0625 / 2.0]),
            (LossKind::L1, [1.75, 0.125]),
            (LossKind::Huber, [(0.125 + 2.5) / 2.0, 0.03125 / 2.0]),
        ] {
            let got: Vec<f32> = kind.per_picture(output.clone(), target.clone()).into_data().try_to_vec().unwrap();
            assert!(got.iter().zip(want).all(|(g, w): (&f32, f32)| (g - w).abs() < 1e-6), "{kind:?}: {got:?}");
        }
    }

    /// All objectives weigh the error of the estimate alike: `weight / c_out²` is `min(snr, gamma)`.
    #[test]
    fn the_objectives_agree_on_the_weight_of_the_estimate() {
        for log_snr in [-6.0, 0.0, 1.0, 4.0] {
            let level = Level::variance_preserving(log_snr);
            for objective in [Objective::Noise, Objective::XStart, Objective::V] {
                let process = Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective };
                let c_out = process.scalings(level).c_out;
                let on_x0 = Weighting::default().weight(&process, level) / (c_out * c_out);
                let want = log_snr.exp().min(5.0);
                assert!((on_x0 - want).abs() < 1e-9 * want, "{objective:?} at {log_snr}: {on_x0} not {want}");
            }
        }
    }
}
