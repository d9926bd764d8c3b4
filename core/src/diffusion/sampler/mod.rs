//! Samplers: from noise to a picture, one step at a time. The caller owns the loop.

pub mod ancestral;
pub mod ddim;
pub mod dpm;
pub mod heun;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use heun::Churn;

use super::schedule::karras_sigmas;
use super::{Denoiser, Elucidated, Level, Process};

/// Which sampler, and its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SamplerKind {
    /// Ancestral sampling (DDPM, <https://arxiv.org/abs/2006.11239>; in continuous time as VDM, equation 33).
    Ddpm,
    /// DDIM (<https://arxiv.org/abs/2010.02502>); `eta` 0 is deterministic, 1 is DDPM.
    Ddim {
        /// Share of fresh noise.
        eta: f64,
    },
    /// DPM-Solver++(2M) (<https://arxiv.org/abs/2211.01095>): second order, one evaluation a step, deterministic.
    #[default]
    #[serde(rename = "dpm++2m")]
    DpmSolver2m,
    /// Heun's method of EDM (Karras et al. 2022, algorithm 2): second order, two evaluations a step.
    Heun(Churn),
}

impl SamplerKind {
    /// The names a user can type.
    pub const NAMES: [&'static str; 4] = ["ddpm", "ddim", "dpm++2m", "heun"];

    /// The sampler of a name, with its usual numbers.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn from_name(name: &str) -> Result<Self, String> {
        match name {
            "ddpm" => Ok(Self::Ddpm),
            "ddim" => Ok(Self::Ddim { eta: 0.0 }),
            "dpm++2m" => Ok(Self::DpmSolver2m),
            "heun" => Ok(Self::Heun(Churn::default())),
            _ => Err(format!("no sampler is called {name:?}; there are {}", Self::NAMES.join(", "))),
        }
    }

    /// The name a user would type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "ddpm",
            Self::Ddim { .. } => "ddim",
            Self::DpmSolver2m => "dpm++2m",
            Self::Heun(_) => "heun",
        }
    }

    /// The levels of `steps` steps: the process's own, except that Heun's method, which works in `sigma / alpha`, walks
    /// a variance-preserving process by Karras's spacing from at most 80 to no noise, where equal steps of time would be
    /// far too long at first.
    #[must_use]
    pub fn levels(self, process: &Process, steps: usize) -> Vec<Level> {
        let levels = process.sampling_levels(steps);
        let (Self::Heun(_), Process::Gaussian { .. }) = (self, process) else { return levels };
        let [first, last] = [levels[0], levels[steps]].map(Level::sigma_edm);
        let sigmas = karras_sigmas(steps, [last, first.min(80.0)], Elucidated::default().rho);
        let preserving = |sigma: f64| Level::variance_preserving(-2.0 * sigma.ln());
        sigmas.into_iter().map(preserving).chain([Level::CLEAN]).collect()
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(self) -> Result<(), String> {
        match self {
            Self::Ddim { eta } if !(0.0..=1.0).contains(&eta) => {
                Err(format!("sampler.ddim.eta is {eta}; it must be from 0 to 1"))
            }
            Self::Heun(churn) => churn.validate().map_err(|e| format!("sampler.heun.{e}")),
            _ => Ok(()),
        }
    }
}

/// What one step leaves.
#[derive(Debug, Clone)]
pub struct Step {
    /// Steps done, from 1.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// The level at which the estimate was made.
    pub level: Level,
    /// `[b, c, h, w]`, the estimate of the picture.
    pub x0_hat: Tensor<4>,
}

/// A sampler at work. The last step ends on the estimate itself, whatever level the schedule ends on.
#[derive(Debug, Clone)]
pub struct Sampler {
    kind: SamplerKind,
    levels: Vec<Level>,
    done: usize,
    x_t: Tensor<4>,
    /// The last estimate and its level, for the two-step method.
    last: Option<(Level, Tensor<4>)>,
}

impl Sampler {
    /// From the noise `eps` through `levels`, as [`SamplerKind::levels`] gives them.
    ///
    /// # Shapes
    /// - eps: `[b, c, h, w]`, standard normal
    ///
    /// # Panics
    /// With fewer than two levels.
    #[must_use]
    pub fn new(kind: SamplerKind, levels: Vec<Level>, eps: Tensor<4>) -> Self {
        assert!(levels.len() >= 2, "a sampler needs a level to start from and one to reach");
        let x_t = eps * levels[0].sigma as f32;
        Self { kind, levels, done: 0, x_t, last: None }
    }

    /// Steps in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.levels.len() - 1
    }

    /// `[b, c, h, w]`, the picture as it stands.
    #[must_use]
    pub fn x_t(&self) -> &Tensor<4> {
        &self.x_t
    }

    /// One step; nothing when all are done. `noise(i)` draws standard normal noise for step `i`, from 1, and is called
    /// only by samplers that add some.
    pub fn step(&mut self, denoiser: &impl Denoiser, noise: &mut dyn FnMut(usize) -> Tensor<4>) -> Option<Step> {
        let (&from, &to) = (self.levels.get(self.done)?, self.levels.get(self.done + 1)?);
        self.done += 1;
        let x_t = self.x_t.clone();
        let (level, x0_hat, next) = match self.kind {
            SamplerKind::Heun(churn) => {
                let churn = churn.amount(self.total());
                heun::step(denoiser, x_t, [from, to], churn, &mut || noise(self.done))
            }
            SamplerKind::Ddpm => {
                let x0_hat = denoiser.denoise(x_t.clone(), from);
                let z = (self.done < self.total()).then(|| noise(self.done));
                (from, x0_hat.clone(), ancestral::step(x_t, x0_hat, [from, to], z))
            }
            SamplerKind::Ddim { eta } => {
                let x0_hat = denoiser.denoise(x_t.clone(), from);
                let z = (eta > 0.0 && self.done < self.total()).then(|| noise(self.done));
                (from, x0_hat.clone(), ddim::step(x_t, x0_hat, [from, to], eta, z))
            }
            SamplerKind::DpmSolver2m => {
                let x0_hat = denoiser.denoise(x_t.clone(), from);
                let last = self.last.replace((from, x0_hat.clone()));
                (from, x0_hat.clone(), dpm::step(x_t, x0_hat, [from, to], last))
            }
        };
        // EDM's levels end without noise, and so on the estimate by themselves.
        let cut = self.done == self.total() && (to.sigma > 0.0 || from.alpha < 1.0);
        self.x_t = if cut { x0_hat.clone() } else { next };
        Some(Step { done: self.done, total: self.total(), level, x0_hat })
    }
}

#[cfg(test)]
mod tests;
