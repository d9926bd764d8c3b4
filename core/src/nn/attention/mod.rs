//! Attention with cosine similarity and a learned null key and value.

pub mod cross;
pub mod perceiver;
pub mod self_attn;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::Init;

/// Queries and keys have unit length, so logits lie in [-8, 8] before the learned scales.
pub(crate) const LOGIT_SCALE: f32 = 8.0;

/// Taken from the logit of a token that is not there; no other comes near.
const ABSENT: f32 = 1e9;

/// Heads and their width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSize {
    /// Number of heads.
    pub heads: usize,
    /// Features of a head.
    pub dim_head: usize,
}

impl AttentionSize {
    /// Width of all heads together.
    #[must_use]
    pub fn inner(self) -> usize {
        self.heads * self.dim_head
    }
}

/// Tokens to attend to.
#[derive(Debug, Clone)]
pub struct Context {
    /// `[b, n, d]`.
    pub tokens: Tensor<3>,
    /// `[b, n]`, 1 for a token that counts and 0 for one that is not there; all count if there is none.
    pub mask: Option<Tensor<2>>,
}

impl Context {
    /// What to add to the logits of `before` other keys, these tokens and `after` more: 0, or minus infinity as far as
    /// softmax goes.
    ///
    /// # Shapes
    /// - output: `[b, before + n + after]`
    pub(crate) fn bias(&self, before: usize, after: usize) -> Option<Tensor<2>> {
        let mask = self.mask.clone()?;
        let ([b, _], device) = (mask.dims(), mask.device());
        let mut parts = vec![mask];
        if before > 0 {
            parts.insert(0, Tensor::ones([b, before], &device));
        }
        if after > 0 {
            parts.push(Tensor::ones([b, after], &device));
        }
        Some((Tensor::cat(parts, 1) - 1.0) * ABSENT)
    }
}

impl From<Tensor<3>> for Context {
    fn from(tokens: Tensor<3>) -> Self {
        Self { tokens, mask: None }
    }
}

/// The learned per-feature scales of unit queries and keys.
#[derive(Module, Debug)]
pub struct QkScale {
    /// `[dh]`.
    pub q: Param<Tensor<1>>,
    /// `[dh]`.
    pub k: Param<Tensor<1>>,
}

impl QkScale {
    /// Ones.
    pub fn new(init: &mut Init<'_>, dim_head: usize) -> Self {
        Self { q: init.constant([dim_head], 1.0), k: init.constant([dim_head], 1.0) }
    }

    /// `softmax(8 q k^T + bias) v` of queries and keys brought to unit length and scaled, softmax over keys.
    ///
    /// # Shapes
    /// - q: `[.., n, dh]`
    /// - k, v: `[.., m, dh]`
    /// - bias: `[.., n or 1, m]`
    /// - output: `[.., n, dh]`
    pub fn attend<const D: usize>(&self, q: Tensor<D>, [k, v]: [Tensor<D>; 2], bias: Option<Tensor<D>>) -> Tensor<D> {
        let q = unit(q) * (self.q.val() * LOGIT_SCALE).unsqueeze();
        let k = unit(k) * self.k.val().unsqueeze();
        let mut logits = q.matmul(k.transpose());
        if let Some(bias) = bias {
            logits = logits + bias;
        }
        activation::softmax(logits, D - 1).matmul(v)
    }
}

/// Vectors along the last axis brought to unit length, as `F.normalize` does: never divided by less than 1e-12.
///
/// # Shapes
/// - x, output: `[.., d]`
#[must_use]
pub fn unit<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let length = (x.clone() * x.clone()).sum_dim(D - 1).sqrt().clamp_min(1e-12);
    x * length.recip()
}

/// `[b, n, nh dh]` as `[b, nh, n, dh]`.
pub(crate) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [b, n, d] = x.dims();
    x.reshape([b, n, heads, d / heads]).swap_dims(1, 2)
}

/// `[b, nh, n, dh]` as `[b, n, nh dh]`.
pub(crate) fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [b, heads, n, d] = x.dims();
    x.swap_dims(1, 2).reshape([b, n, heads * d])
}

/// `[b, n, 2 d]` as two `[b, n, d]`: keys and values of one projection.
pub(crate) fn halves(x: Tensor<3>) -> [Tensor<3>; 2] {
    let [b, n, d] = x.dims();
    [x.clone().slice([0..b, 0..n, 0..d / 2]), x.slice([0..b, 0..n, d / 2..d])]
}
