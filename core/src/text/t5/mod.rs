//! The T5 encoder, <https://arxiv.org/abs/1910.10683>: tokens in, one vector per token out.
//!
//! Version 1.0 has `relu` inside its feed-forward, version 1.1 a gated GELU. Neither has biases, positions beyond the
//! relative ones, or a scale on the attention logits: the initial values of the queries stand in for it.

mod attention;
mod config;
mod feed_forward;
mod keys;
#[cfg(test)]
mod tests;

pub use attention::{PositionBias, T5Attention};
pub use config::{FeedForwardProj, T5Config};
pub use feed_forward::{Gated, Inner, Single, T5FeedForward};

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, module};

use crate::nn::Init;

/// Added to the logits of padded keys; its exponential is 0 in f32, and unlike minus infinity it never makes NaN.
const MASKED: f32 = -1e9;

/// RMS norm over the last axis: no mean, no bias.
#[derive(Module, Debug)]
pub struct T5Norm {
    /// `[d]`.
    pub weight: Param<Tensor<1>>,
    epsilon: f64,
}

impl T5Norm {
    /// Gains of one.
    pub fn new(init: &mut Init<'_>, config: &T5Config) -> Self {
        Self { weight: init.constant([config.d_model], 1.0), epsilon: config.layer_norm_epsilon }
    }

    /// # Shapes
    /// - x, output: `[.., d]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mean_square = (x.clone() * x.clone()).mean_dim(D - 1);
        x / (mean_square + self.epsilon).sqrt() * self.weight.val().unsqueeze()
    }
}

/// Self-attention and feed-forward, each with a residual.
#[derive(Module, Debug)]
pub struct T5Block {
    attn: T5Attention,
    ff: T5FeedForward,
}

/// The encoder half of T5.
#[derive(Module, Debug)]
pub struct T5Encoder {
    /// The embedding of each token, `[vocab_size, d]`.
    shared: Param<Tensor<2>>,
    /// All blocks share it, though the files of Hugging Face keep it in block 0.
    relative_attention_bias: PositionBias,
    blocks: Vec<T5Block>,
    norm: T5Norm,
}

impl T5Encoder {
    /// With T5's own initial values but for louder position biases; `config` has passed [`T5Config::validate`].
    pub fn new(init: &mut Init<'_>, config: &T5Config) -> Self {
        Self {
            shared: init.normal([config.vocab_size, config.d_model], 1.0),
            relative_attention_bias: PositionBias::new(init, config),
            blocks: (0..config.num_layers)
                .map(|_| T5Block { attn: T5Attention::new(init, config), ff: T5FeedForward::new(init, config) })
                .collect(),
            norm: T5Norm::new(init, config),
        }
    }

    /// Rows of ids: how many different tokens the encoder knows.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.shared.dims()[0]
    }

    /// Width of the output.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shared.dims()[1]
    }

    /// The last hidden state after the final norm, zero where `mask` is.
    ///
    /// # Shapes
    /// - ids: `[b, n]`, each in `0..vocab_size`
    /// - mask: `[b, n]`, 1 at tokens and 0 at padding
    /// - output: `[b, n, d]`
    pub fn forward(&self, ids: Tensor<2, Int>, mask: Tensor<2>) -> Tensor<3> {
        let [b, n] = ids.dims();
        let hidden_keys = (mask.clone() - 1.0) * -MASKED;
        let bias = self.relative_attention_bias.forward(n) + hidden_keys.reshape([b, 1, 1, n]);
        let mut x = module::embedding(self.shared.val(), ids);
        for block in &self.blocks {
            x = block.attn.forward(x.clone(), &bias) + x;
            x = block.ff.forward(x.clone()) + x;
        }
        self.norm.forward(x) * mask.unsqueeze_dim::<3>(2)
    }
}
