//! The perceiver resampler: any number of text tokens into a fixed number of latents.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::Keys;
use serde::{Deserialize, Serialize};

use super::{AttentionSize, QkScale};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::nn::norm::LayerNorm;
use crate::nn::transformer::FeedForward;

/// The longest sequence that has position embeddings; fixed in the reference.
pub const MAX_TOKENS: usize = 512;

/// The sizes of a [`PerceiverResampler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PerceiverConfig {
    /// Learned latents.
    pub latents: usize,
    /// Latents made from the mean of the tokens.
    pub mean_latents: usize,
    /// Layers.
    pub depth: usize,
    /// Position embeddings: the longest sequence.
    pub max_tokens: usize,
}

impl Default for PerceiverConfig {
    fn default() -> Self {
        Self { latents: 32, mean_latents: 4, depth: 2, max_tokens: MAX_TOKENS }
    }
}

/// Latents attend to tokens and to themselves.
#[derive(Module, Debug)]
pub struct PerceiverAttention {
    norm: LayerNorm,
    norm_latents: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    scale: QkScale,
    to_out: Linear,
    norm_out: LayerNorm,
}

impl PerceiverAttention {
    /// Over tokens and latents of `width`.
    pub fn new(init: &mut Init<'_>, width: usize, size: AttentionSize) -> Self {
        Self {
            norm: LayerNorm::affine(init, width),
            norm_latents: LayerNorm::affine(init, width),
            to_q: Linear::no_bias(init, width, size.inner()),
            to_kv: Linear::no_bias(init, width, size.inner() * 2),
            scale: QkScale::new(init, size.dim_head),
            to_out: Linear::no_bias(init, size.inner(), width),
            norm_out: LayerNorm::affine(init, width),
        }
    }

    /// # Shapes
    /// - x: `[b, n, d]`
    /// - latents, output: `[b, m, d]`
    pub fn forward(&self, x: Tensor<3>, latents: Tensor<3>) -> Tensor<3> {
        let x = self.norm.forward(x);
        let latents = self.norm_latents.forward(latents);
        let q = self.to_q.forward(latents.clone());
        let kv = self.to_kv.forward(Tensor::cat(vec![x, latents], 1));
        let out = self.scale.attend(q, Keys { kv, null: None, mask: None });
        self.norm_out.forward(self.to_out.forward(out))
    }
}

/// Latents from the mean of the tokens.
#[derive(Module, Debug)]
pub struct MeanLatents {
    norm: LayerNorm,
    linear: Linear,
}

/// One layer of a [`PerceiverResampler`].
#[derive(Module, Debug)]
pub struct PerceiverLayer {
    attn: PerceiverAttention,
    ff: FeedForward,
}

/// Text tokens into `mean_latents + latents` tokens (Flamingo's resampler, <https://arxiv.org/abs/2204.14198>).
#[derive(Module, Debug)]
pub struct PerceiverResampler {
    pos_emb: Param<Tensor<2>>,
    latents: Param<Tensor<2>>,
    mean: Option<MeanLatents>,
    layers: Vec<PerceiverLayer>,
}

impl PerceiverResampler {
    /// Over tokens of `width`.
    pub fn new(init: &mut Init<'_>, width: usize, config: &PerceiverConfig, size: AttentionSize) -> Self {
        Self {
            pos_emb: init.normal([config.max_tokens, width], 1.0),
            latents: init.normal([config.latents, width], 1.0),
            mean: (config.mean_latents > 0).then(|| MeanLatents {
                norm: LayerNorm::gain(init, width),
                linear: Linear::new(init, width, width * config.mean_latents),
            }),
            layers: (0..config.depth)
                .map(|_| PerceiverLayer {
                    attn: PerceiverAttention::new(init, width, size),
                    ff: FeedForward::new(init, width, 4.0),
                })
                .collect(),
        }
    }

    /// # Shapes
    /// - x: `[b, n, d]`
    /// - output: `[b, mean_latents + latents, d]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [b, n, d] = x.dims();
        let with_pos = x.clone() + self.pos_emb.val().slice([0..n]).unsqueeze();
        let mut latents = self.latents.val().unsqueeze::<3>().repeat(&[b, 1, 1]);
        if let Some(mean) = &self.mean {
            let pooled = mean.linear.forward(mean.norm.forward(x.mean_dim(1)));
            let count = pooled.dims()[2] / d;
            latents = Tensor::cat(vec![pooled.reshape([b, count, d]), latents], 1);
        }
        for layer in &self.layers {
            latents = layer.attn.forward(with_pos.clone(), latents.clone()) + latents;
            latents = layer.ff.forward(latents);
        }
        latents
    }
}
