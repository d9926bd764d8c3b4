//! The crate against the reference, outputs of imagen-pytorch that lie in `tests/golden`, and against itself.
//!
//! | module | what |
//! | --- | --- |
//! | `support` | reading goldens, the weight formula, tolerances |
//! | `nn` | every layer that the networks are made of |
//! | `unet` | three whole networks, and the gradients of one |
//! | `diffusion` | schedules, posteriors, preconditioning, samplers, thresholds |
//! | `tiny` | a cascade small enough to run and train in a test |
//! | `cascade` | runs of it |
//! | `model_files` | its folder |
//! | `train` | its training, in a folder |
//! | `trainer` | its training, step by step |

#![recursion_limit = "256"]

// Always true here, but clippy lets helpers unwrap only in modules that say so.
#[cfg(all(test, feature = "train"))]
mod cascade;
#[cfg(test)]
mod diffusion;
#[cfg(all(test, feature = "train"))]
mod model_files;
#[cfg(test)]
mod nn;
#[cfg(test)]
mod support;
#[cfg(all(test, feature = "train"))]
mod tiny;
#[cfg(all(test, feature = "train"))]
mod train;
#[cfg(all(test, feature = "train"))]
mod trainer;
#[cfg(test)]
mod unet;
