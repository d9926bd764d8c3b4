//! The crate against the reference: outputs of imagen-pytorch that lie in `tests/golden`.
//!
//! | module | what |
//! | --- | --- |
//! | `support` | reading goldens, the weight formula, tolerances |
//! | `nn` | every layer that the networks are made of |
//! | `unet` | three whole networks, and the gradients of one |
//! | `diffusion` | schedules, posteriors, preconditioning, samplers, thresholds |

#![recursion_limit = "256"]

// Always true here, but clippy lets helpers unwrap only in modules that say so.
#[cfg(test)]
mod diffusion;
#[cfg(test)]
mod nn;
#[cfg(test)]
mod support;
#[cfg(test)]
mod unet;
