//! One file per op.

pub mod conv3x3;
pub mod rms_norm_silu;
