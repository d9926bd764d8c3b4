//! The mathematics: no networks, no files, no randomness of its own.
//!
//! | paper | code | meaning | note |
//! | --- | --- | --- | --- |
//! | x₀, x̂₀ | `x0`, `x0_hat` | clean picture, its estimate | in [-1, 1] |
//! | `x_t` | `x_t` | noised picture | `alpha * x0 + sigma * eps` |
//! | ε | `eps` | noise | |
//! | v | `v` | `alpha * eps - sigma * x0` | |
//! | t | `t` | time of a variance-preserving process | 0 clean, 1 noise |
//! | α, σ | [`Level`] | magnitudes of picture and noise in `x_t` | `alpha² + sigma² = 1` or `alpha = 1` |
//! | λ | `log_snr` | `log(alpha² / sigma²)` | the currency between processes |
//! | σ (Karras) | `sigma_edm` | `sigma / alpha`, noise beside a picture of magnitude 1 | `exp(-log_snr / 2)` |
//! | `c_skip` … | [`Scalings`] | how a network's output becomes `x0_hat` | |
//! | w | `cond_scale` | guidance scale | 1 is off |
//!
//! After preconditioning every network is a [`Denoiser`]. A [`Level`] carries both magnitudes, so one sampler serves
//! the variance-preserving process of Imagen and the variance-exploding one of EDM, and neither `sigma` can be taken
//! for the other.

pub mod guidance;
pub mod level;
pub mod loss;
pub mod process;
pub mod repaint;
pub mod sampler;
pub mod schedule;
pub mod threshold;

use burn::tensor::Tensor;

pub use level::Level;
pub use loss::{LossKind, Weighting};
pub use process::{Elucidated, Objective, Process, Scalings};
pub use repaint::{Known, Resampling};
pub use sampler::{Sampler, SamplerKind};
pub use schedule::LogSnrSchedule;
pub use threshold::Threshold;

/// Anything that estimates the clean picture from a noised one.
pub trait Denoiser {
    /// # Shapes
    /// - `x_t`, output `x0_hat`: `[b, c, h, w]`, the whole batch at one level
    fn denoise(&self, x_t: Tensor<4>, level: Level) -> Tensor<4>;
}

impl<F: Fn(Tensor<4>, Level) -> Tensor<4>> Denoiser for F {
    fn denoise(&self, x_t: Tensor<4>, level: Level) -> Tensor<4> {
        self(x_t, level)
    }
}
