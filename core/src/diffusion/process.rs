//! The two processes: what levels there are, and how a network's output becomes an estimate.

use serde::{Deserialize, Serialize};

use super::level::Level;
use super::schedule::{LogSnrSchedule, karras_sigmas};
use crate::noise::Stream;

/// What a network of the variance-preserving process predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// `eps`.
    Noise,
    /// `x0`.
    XStart,
    /// `v = alpha * eps - sigma * x0` (<https://arxiv.org/abs/2202.00512>).
    V,
}

/// The numbers of EDM (Karras et al. 2022, <https://arxiv.org/abs/2206.00364>, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elucidated {
    /// Smallest level of sampling.
    pub sigma_min: f64,
    /// Largest level of sampling.
    pub sigma_max: f64,
    /// Standard deviation of the pictures.
    pub sigma_data: f64,
    /// Exponent of the spacing of levels.
    pub rho: f64,
    /// Mean of `ln sigma` in training.
    pub p_mean: f64,
    /// Standard deviation of `ln sigma` in training.
    pub p_std: f64,
}

impl Default for Elucidated {
    fn default() -> Self {
        Self { sigma_min: 0.002, sigma_max: 80.0, sigma_data: 0.5, rho: 7.0, p_mean: -1.2, p_std: 1.2 }
    }
}

/// How pictures are noised and what the network learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Process {
    /// Continuous-time variance-preserving diffusion, as `Imagen`.
    Gaussian {
        /// Log-SNR over time.
        schedule: LogSnrSchedule,
        /// What the network predicts.
        objective: Objective,
    },
    /// EDM preconditioning and levels, as `ElucidatedImagen`.
    Elucidated(Elucidated),
}

/// How a network is wrapped at one level: `x0_hat = c_skip * x_t + c_out * F(c_in * x_t, c_noise)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalings {
    /// Share of the input in the estimate.
    pub c_skip: f64,
    /// Factor of the network's output.
    pub c_out: f64,
    /// Factor of the network's input.
    pub c_in: f64,
    /// The level as the network sees it.
    pub c_noise: f64,
}

impl Process {
    /// The wrapping at `level`.
    #[must_use]
    pub fn scalings(&self, level: Level) -> Scalings {
        let Level { alpha, sigma } = level;
        match self {
            Self::Gaussian { objective, .. } => {
                let (c_skip, c_out) = match objective {
                    Objective::Noise => (1.0 / alpha, -sigma / alpha),
                    Objective::XStart => (0.0, 1.0),
                    Objective::V => (alpha, -sigma),
                };
                Scalings { c_skip, c_out, c_in: 1.0, c_noise: level.log_snr() }
            }
            Self::Elucidated(edm) => {
                let data = edm.sigma_data;
                let total = sigma * sigma + data * data;
                Scalings {
                    c_skip: data * data / total,
                    c_out: sigma * data / total.sqrt(),
                    c_in: 1.0 / total.sqrt(),
                    c_noise: sigma.ln() / 4.0,
                }
            }
        }
    }

    /// Coefficients `(a, b)` of what the network's output should be, `a * x0 + b * eps`.
    #[must_use]
    pub fn target(&self, level: Level) -> (f64, f64) {
        match self {
            Self::Gaussian { objective: Objective::Noise, .. } => (0.0, 1.0),
            Self::Gaussian { objective: Objective::XStart, .. } => (1.0, 0.0),
            Self::Gaussian { objective: Objective::V, .. } => (-level.sigma, level.alpha),
            Self::Elucidated(edm) => {
                // (x0 - c_skip x_t) / c_out with x_t = x0 + sigma eps.
                let root = (level.sigma * level.sigma + edm.sigma_data * edm.sigma_data).sqrt();
                (level.sigma / (edm.sigma_data * root), -edm.sigma_data / root)
            }
        }
    }

    /// `steps + 1` levels from noise to the end of sampling. The last is clean for EDM and the end of the schedule,
    /// nearly clean, for the variance-preserving process; samplers end on `x0_hat` in either case.
    #[must_use]
    pub fn sampling_levels(&self, steps: usize) -> Vec<Level> {
        match self {
            Self::Gaussian { schedule, .. } => {
                schedule.sampling(steps).into_iter().map(Level::variance_preserving).collect()
            }
            Self::Elucidated(edm) => {
                let sigmas = karras_sigmas(steps, [edm.sigma_min, edm.sigma_max], edm.rho);
                sigmas.into_iter().map(Level::variance_exploding).chain([Level::CLEAN]).collect()
            }
        }
    }

    /// A level for one picture in training.
    pub fn training_level(&self, stream: &mut Stream) -> Level {
        match self {
            Self::Gaussian { schedule, .. } => Level::variance_preserving(schedule.log_snr(stream.uniform())),
            Self::Elucidated(edm) => {
                Level::variance_exploding((edm.p_mean + edm.p_std * f64::from(stream.normal())).exp())
            }
        }
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        let Self::Elucidated(edm) = self else { return Ok(()) };
        let positive = [
            ("sigma_min", edm.sigma_min),
            ("sigma_max", edm.sigma_max),
            ("sigma_data", edm.sigma_data),
            ("rho", edm.rho),
            ("p_std", edm.p_std),
        ];
        match positive.iter().find(|(_, v)| !(v.is_finite() && *v > 0.0)) {
            Some((key, value)) => Err(format!("process.{key} is {value}; it must be above 0")),
            None if !edm.p_mean.is_finite() => Err(format!("process.p_mean is {}; it must be a number", edm.p_mean)),
            None if edm.sigma_min >= edm.sigma_max => {
                Err(format!("process.sigma_min {} is not below sigma_max {}", edm.sigma_min, edm.sigma_max))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Elucidated, Level, LogSnrSchedule, Objective, Process};

    fn all() -> Vec<(Process, Vec<Level>)> {
        let vp = [-9.0, -1.0, 0.3, 6.0].map(Level::variance_preserving).to_vec();
        let ve = [0.01, 0.5, 3.0, 60.0].map(Level::variance_exploding).to_vec();
        let gaussian = |objective| Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective };
        vec![
            (gaussian(Objective::Noise), vp.clone()),
            (gaussian(Objective::XStart), vp.clone()),
            (gaussian(Objective::V), vp),
            (Process::Elucidated(Elucidated::default()), ve),
        ]
    }

    /// A network that hits its target makes the wrapped estimate exact, whatever picture and noise.
    #[test]
    fn the_target_is_the_inverse_of_the_wrapping() {
        for (process, levels) in all() {
            for level in levels {
                for (x0, eps) in [(0.7, -1.1), (-1.0, 0.4)] {
                    let x_t = level.alpha * x0 + level.sigma * eps;
                    let (a, b) = process.target(level);
                    let s = process.scalings(level);
                    let x0_hat = s.c_skip * x_t + s.c_out * (a * x0 + b * eps);
                    assert!((x0_hat - x0).abs() < 1e-9, "{process:?} at {level:?}: {x0_hat} for {x0}");
                }
            }
        }
    }

    /// EDM's promise: input and target have unit variance at every level if the data has `sigma_data`.
    #[test]
    fn edm_inputs_and_targets_have_unit_variance() {
        let edm = Elucidated::default();
        let process = Process::Elucidated(edm);
        for sigma in [0.01, 0.5, 3.0, 60.0] {
            let level = Level::variance_exploding(sigma);
            let s = process.scalings(level);
            let variance_in = s.c_in.powi(2) * (edm.sigma_data.powi(2) + sigma * sigma);
            let (a, b) = process.target(level);
            let variance_out = a * a * edm.sigma_data.powi(2) + b * b;
            assert!((variance_in - 1.0).abs() < 1e-12 && (variance_out - 1.0).abs() < 1e-12, "at {sigma}");
        }
    }
}
