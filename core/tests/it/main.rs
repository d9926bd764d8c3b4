//! The crate against the reference, outputs of imagen-pytorch that lie in `tests/golden`, and against itself.
//!
//! | module | what |
//! | --- | --- |
//! | `support` | reading goldens, the weight formula, tolerances |
//! | `nn` | every layer that the networks are made of |
//! | `unet` | three whole networks, and the gradients of one |
//! | `fresh` | the first values of a network |
//! | `growth` | networks that grow |
//! | `t5` | the text encoder, against transformers |
//! | `diffusion` | schedules, posteriors, preconditioning, samplers, thresholds |
//! | `tiny` | a cascade small enough to run and train in a test |
//! | `cascade` | runs of it |
//! | `painting` | runs of it that paint into a picture |
//! | `model_files` | its folder |
//! | `train` | its training, in a folder |
//! | `trainer` | its training, step by step |

#![recursion_limit = "256"]

// `cfg(test)` is always true here, but clippy lets helpers unwrap only in modules that say just that.
#[cfg(test)]
#[cfg(feature = "train")]
mod cascade;
#[cfg(test)]
mod diffusion;
#[cfg(test)]
mod fresh;
#[cfg(test)]
#[cfg(feature = "train")]
mod growth;
#[cfg(test)]
#[cfg(feature = "train")]
mod model_files;
#[cfg(test)]
mod nn;
#[cfg(test)]
#[cfg(feature = "train")]
mod painting;
#[cfg(test)]
mod support;
#[cfg(test)]
mod t5;
#[cfg(test)]
#[cfg(feature = "train")]
mod tiny;
#[cfg(test)]
#[cfg(feature = "train")]
mod train;
#[cfg(test)]
#[cfg(feature = "train")]
mod trainer;
#[cfg(test)]
mod unet;
