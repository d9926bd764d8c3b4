//! Firefall: text to pictures by a cascade of diffusion models, on any device that Burn drives.
//!
//! A prompt passes through `text`, `cascade`, `unet` and `diffusion` to an `image`; `ARCHITECTURE.md` is the map.

#![recursion_limit = "256"]

pub mod cascade;
pub mod diffusion;
pub mod image;
pub mod inpaint;
pub mod nn;
pub mod noise;
#[cfg(feature = "png")]
pub mod png;
#[cfg(test)]
mod testing;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
pub mod unet;
pub mod weights;
pub mod world;
