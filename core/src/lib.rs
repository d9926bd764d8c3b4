//! Firefall: text to pictures by a cascade of diffusion models, on any device that Burn drives.
//!
//! The modules below stand in the order in which a prompt passes through them; `ARCHITECTURE.md` is the map.

#![recursion_limit = "256"]

pub mod diffusion;
pub mod image;
pub mod nn;
pub mod noise;
pub mod unet;
pub mod world;
