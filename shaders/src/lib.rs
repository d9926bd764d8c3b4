//! Fused operations of Firefall.
//!
//! An op is up to four things under one stem: a plain body in `src/ops/<op>.rs`, made of ordinary Burn operations, which
//! is the specification, the fallback and the oracle of its tests; a WGSL kernel in `wgsl/<op>*.wgsl` for wgpu devices
//! that compile WGSL; a CPU kernel in `src/ops/<op>.rs` or `src/ops/<op>/kernels.rs` for Burn's flex device; and a hand-written backward, checked against autodiff or finite differences.
//!
//! | op | what it fuses | who calls it |
//! | --- | --- | --- |
//! | [`block_norm`], [`rms_norm_silu`] | channel RMS norm, gain, scale and shift, SiLU | every block of the U-Net |
//! | [`conv3x3`], [`conv3x3_onto`] | zero padding and bias of a 3x3 convolution, without im2col on the CPU; what it is added to | every block of the U-Net |
//! | [`pointwise`], [`pointwise_onto`] | a 1x1 convolution and its bias; what it is added to | where widths or sizes of maps change |
//! | [`linear`], [`linear_onto`] | a product with transposed weights and its bias; what it is added to | every other layer with weights |
//! | [`layer_norm`], [`layer_norm_onto`], [`layer_norm_onto_map`] | mean, variance, gain, offset; what it is added to | around attention and feed-forwards |
//! | [`global_context`] | softmax over pixels, their mean, two layers, SiLU, sigmoid | the gates of blocks |
//! | [`silu`], [`gelu`] | nothing: without subnormal tails on the CPU, with an exact gradient on a GPU | wherever there is an activation |
//! | [`attend`](ops::attend::attend) | unit queries and keys, their scales, null key, mask, softmax, values | every attention |
//!
//! No kernel runs on a wgpu device before [`self_test`] has seen it agree with its plain body there; on the CPU they run, and
//! the test leaves an op whose kernel is wrong there to its plain body. None runs at all while they are
//! [switched off](switch_kernels).

#![recursion_limit = "256"]

mod cpu;
mod kept;
mod kernel;
mod launch;
pub mod ops;
mod product;
mod proof;
mod scratch;
mod vector;

pub use kernel::{ALL, Kernel};
pub use ops::activation::{gelu, silu};
pub use ops::attend::{Keys, attend};
pub use ops::conv3x3::{conv3x3, conv3x3_onto};
pub use ops::global_context::global_context;
pub use ops::layer_norm::{layer_norm, layer_norm_onto, layer_norm_onto_map};
pub use ops::linear::{linear, linear_onto};
pub use ops::pointwise::{pointwise, pointwise_onto};
pub use ops::rms_norm_silu::{block_norm, rms_norm_silu};
pub use proof::{self_test, switch_kernels};
