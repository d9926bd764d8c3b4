//! Attention with cosine similarity and a learned null key and value.

pub mod cross;
pub mod perceiver;
pub mod self_attn;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::{Keys, attend};
use serde::{Deserialize, Serialize};

use super::Init;

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

    /// Queries to keys; see [`attend`].
    ///
    /// # Shapes
    /// - q, output: `[b, n, nh dh]`
    pub fn attend(&self, q: Tensor<3>, keys: Keys) -> Tensor<3> {
        attend(q, keys, [self.q.val(), self.k.val()])
    }
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
