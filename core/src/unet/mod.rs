//! The networks.
//!
//! A U-Net takes a noised map, a number that says how noisy it is, and what the picture should show; it returns a map
//! of the same size. What that map means (noise, picture, velocity) is the affair of [`crate::diffusion`].

pub mod condition;
pub mod config;
pub mod level;
pub mod unet2d;

pub use condition::{Conditioning, Lowres, TextInput, Told};
pub use config::{LevelConfig, Stem, TextConfig, UnetConfig, Upsampling};
pub use unet2d::Unet;
