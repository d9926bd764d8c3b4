//! What a T5 encoder is made of, as data, under the names of Hugging Face's `config.json`.

use serde::{Deserialize, Serialize};

/// The inside of a feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedForwardProj {
    /// T5 1.0.
    Relu,
    /// T5 1.1: one GELU of two projections gates the other.
    GatedGelu,
}

/// A T5 encoder. The defaults are Hugging Face's, T5-small 1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct T5Config {
    /// Tokens; at least those of the tokenizer.
    pub vocab_size: usize,
    /// Width.
    pub d_model: usize,
    /// Features of a head; `num_heads * d_kv` need not be `d_model`.
    pub d_kv: usize,
    /// Width inside a feed-forward.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Heads of attention.
    pub num_heads: usize,
    /// Buckets of relative positions, half for each direction.
    pub relative_attention_num_buckets: usize,
    /// From this distance on all positions share a bucket, in tokens.
    pub relative_attention_max_distance: usize,
    /// Added to a mean square before its root.
    pub layer_norm_epsilon: f64,
    /// The inside of a feed-forward.
    pub feed_forward_proj: FeedForwardProj,
}

impl Default for T5Config {
    fn default() -> Self {
        Self {
            vocab_size: 32128,
            d_model: 512,
            d_kv: 64,
            d_ff: 2048,
            num_layers: 6,
            num_heads: 8,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: FeedForwardProj::Relu,
        }
    }
}

/// The largest width, and the most of anything that there may be many of.
const MOST: usize = 1 << 16;
/// The largest vocabulary.
const MOST_TOKENS: usize = 1 << 24;

impl T5Config {
    /// Width of all heads together.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_heads", self.num_heads),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, v)| *v == 0) {
            return Err(format!("{key} is 0; it must be at least 1"));
        }
        let bounded = [
            ("vocab_size", self.vocab_size, MOST_TOKENS),
            ("d_model", self.d_model, MOST),
            ("d_kv", self.d_kv, MOST),
            ("d_ff", self.d_ff, MOST),
            ("num_layers", self.num_layers, 1024),
            ("num_heads", self.num_heads, MOST),
            ("relative_attention_num_buckets", self.relative_attention_num_buckets, MOST),
            ("relative_attention_max_distance", self.relative_attention_max_distance, MOST_TOKENS),
        ];
        if let Some((key, value, most)) = bounded.iter().find(|(_, value, most)| value > most) {
            return Err(format!("{key} is {value}; it must be at most {most}"));
        }
        let buckets = self.relative_attention_num_buckets;
        if buckets < 4 || !buckets.is_multiple_of(4) {
            return Err(format!("relative_attention_num_buckets is {buckets}; it must be a multiple of 4"));
        }
        let most = self.relative_attention_max_distance;
        if most <= buckets / 4 {
            return Err(format!("relative_attention_max_distance is {most}; it must exceed {} here", buckets / 4));
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon.is_finite()) {
            return Err(format!("layer_norm_epsilon is {}; it must be above 0", self.layer_norm_epsilon));
        }
        Ok(())
    }
}
