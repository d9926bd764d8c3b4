//! Samplers: from noise to a picture, one step at a time. The caller owns the loop.

pub mod ancestral;
pub mod ddim;
pub mod dpm;
pub mod heun;

use std::collections::VecDeque;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use heun::Churn;

use super::repaint::{Known, Move, Resampling};
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

/// What one step leaves. With something known, `x0_hat` shows it in place.
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

/// The noise on known pixels has its move's number plus this one where the sampler's own has the number alone.
const KNOWN: usize = 1 << 24;

/// A sampler at work. The last step ends on the estimate itself, whatever level the schedule ends on.
#[derive(Debug, Clone)]
pub struct Sampler {
    kind: SamplerKind,
    levels: Vec<Level>,
    /// Of the level at which `x_t` stands.
    at: usize,
    x_t: Tensor<4>,
    /// The last estimate and its level, for the two-step method.
    last: Option<(Level, Tensor<4>)>,
    /// What is left to do.
    moves: VecDeque<Move>,
    /// Moves made, steps made, steps in all.
    made: usize,
    done: usize,
    total: usize,
    known: Option<Known>,
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
        let total = levels.len() - 1;
        let moves = Resampling::QUICK.moves(total);
        Self { kind, levels, at: 0, x_t, last: None, moves, made: 0, done: 0, total, known: None }
    }

    /// From the picture `x0` with the noise `eps` at the level where `strength` of the steps, at least one, are left
    /// (`SDEdit`, <https://arxiv.org/abs/2108.01073>); 1 keeps of the picture what the first level does.
    ///
    /// # Shapes
    /// - x0, eps: `[b, c, h, w]`
    ///
    /// # Panics
    /// With fewer than two levels.
    #[must_use]
    pub fn from_picture(kind: SamplerKind, levels: &[Level], strength: f64, x0: Tensor<4>, eps: Tensor<4>) -> Self {
        let steps = levels.len() - 1;
        let left = ((strength * steps as f64).round() as usize).clamp(1, steps);
        let levels = levels[steps - left..].to_vec();
        let x_t = levels[0].noise(x0, eps.clone());
        Self { x_t, ..Self::new(kind, levels, eps) }
    }

    /// Paints where nothing is known, and turns back on the way as `resampling` says.
    #[must_use]
    pub fn painting(mut self, known: Known, resampling: Resampling) -> Self {
        self.moves = resampling.moves(self.levels.len() - 1);
        self.total = self.moves.iter().filter(|m| **m == Move::Step).count();
        self.known = Some(known);
        self
    }

    /// Steps in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// `[b, c, h, w]`, the picture as it stands.
    #[must_use]
    pub fn x_t(&self) -> &Tensor<4> {
        &self.x_t
    }

    /// The level at which it stands: clean at the end of the way.
    #[must_use]
    pub fn level(&self) -> Level {
        if self.at + 1 == self.levels.len() { Level::CLEAN } else { self.levels[self.at] }
    }

    /// One step; nothing when all are done. `noise(i)` draws standard normal noise, the same for the same number, and is
    /// called only by samplers that add some, with the number of the step from 1, and where something is known.
    pub fn step(&mut self, denoiser: &impl Denoiser, noise: &mut dyn FnMut(usize) -> Tensor<4>) -> Option<Step> {
        while let Some(Move::Back(count)) = self.moves.front().copied() {
            self.moves.pop_front();
            self.made += 1;
            let (from, to) = (self.level(), self.at - count);
            self.x_t = from.renoise(self.levels[to], self.x_t.clone(), noise(self.made));
            self.at = to;
            self.last = None;
        }
        self.moves.pop_front()?;
        self.made += 1;
        self.done += 1;
        let (from, to) = (self.levels[self.at], self.levels[self.at + 1]);
        self.at += 1;
        let mut x_t = self.x_t.clone();
        if let Some(known) = &self.known {
            x_t = known.paste_noised(x_t, from, noise(KNOWN + self.made));
        }
        let (level, mut x0_hat, next) = self.walk(denoiser, x_t, [from, to], noise);
        // EDM's levels end without noise, and so on the estimate by themselves.
        let cut = self.is_at_end() && (to.sigma > 0.0 || from.alpha < 1.0);
        self.x_t = if cut { x0_hat.clone() } else { next };
        if let Some(known) = &self.known {
            x0_hat = known.paste(x0_hat);
            if self.is_at_end() {
                self.x_t = known.paste(self.x_t.clone());
            }
        }
        Some(Step { done: self.done, total: self.total, level, x0_hat })
    }

    fn is_at_end(&self) -> bool {
        self.at + 1 == self.levels.len()
    }

    /// From one level to the next: the level of the estimate, the estimate, and the new `x_t`.
    fn walk(
        &mut self,
        denoiser: &impl Denoiser,
        x_t: Tensor<4>,
        [from, to]: [Level; 2],
        noise: &mut dyn FnMut(usize) -> Tensor<4>,
    ) -> (Level, Tensor<4>, Tensor<4>) {
        let (number, end) = (self.made, self.is_at_end());
        match self.kind {
            SamplerKind::Heun(churn) => {
                let churn = churn.amount(self.levels.len() - 1);
                heun::step(denoiser, x_t, [from, to], churn, &mut || noise(number))
            }
            SamplerKind::Ddpm => {
                let x0_hat = denoiser.denoise(x_t.clone(), from);
                let z = (!end).then(|| noise(number));
                (from, x0_hat.clone(), ancestral::step(x_t, x0_hat, [from, to], z))
            }
            SamplerKind::Ddim { eta } => {
                let x0_hat = denoiser.denoise(x_t.clone(), from);
                let z = (eta > 0.0 && !end).then(|| noise(number));
                (from, x0_hat.clone(), ddim::step(x_t, x0_hat, [from, to], eta, z))
            }
            SamplerKind::DpmSolver2m => {
                let x0_hat = denoiser.denoise(x_t.clone(), from);
                let last = self.last.replace((from, x0_hat.clone()));
                (from, x0_hat.clone(), dpm::step(x_t, x0_hat, [from, to], last))
            }
        }
    }
}

#[cfg(test)]
mod tests;
