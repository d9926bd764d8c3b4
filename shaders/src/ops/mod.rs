//! One file per op.

pub mod activation;
pub mod attend;
pub mod conv3x3;
pub mod global_context;
pub mod layer_norm;
pub mod linear;
pub mod pointwise;
pub mod rms_norm_silu;
