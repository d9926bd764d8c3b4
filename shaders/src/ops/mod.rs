//! One file per op.

pub mod activation;
pub mod attend;
pub mod conv3x3;
pub mod global_context;
pub mod layer_norm;
pub mod linear;
pub mod pointwise;
pub mod rms_norm_silu;

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

/// `y`, and what it is added to where there is something.
fn plus<B: Backend>(y: FloatTensor<B>, onto: Option<FloatTensor<B>>) -> FloatTensor<B> {
    match onto {
        Some(onto) => B::float_add(y, onto),
        None => y,
    }
}
