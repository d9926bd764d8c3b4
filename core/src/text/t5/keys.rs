//! The names of T5's parameters in Hugging Face's files.

use super::T5Encoder;
use crate::weights::Leftover;

impl T5Encoder {
    /// A checkpoint of a whole T5 has a decoder and a head beside its encoder; of the encoder's blocks none may be left.
    pub const LEFTOVER: Leftover = Leftover::RefuseUnder("encoder.block.");

    /// All keys under which Hugging Face may keep the parameter at `path`: [`hf_key`](Self::hf_key), and for the
    /// embedding of tokens its other name.
    #[must_use]
    pub fn hf_keys(path: &str) -> Vec<String> {
        let mut keys = vec![Self::hf_key(path)];
        if path == "shared" {
            keys.push("encoder.embed_tokens.weight".to_owned());
        }
        keys
    }

    /// Hugging Face's key of the parameter at `path`, the dotted path of fields of a [`T5Encoder`] to it, with or
    /// without the names of enum variants. A path that no encoder has comes back as it is.
    ///
    /// ```
    /// # use firefall_core::text::t5::T5Encoder;
    /// let key = T5Encoder::hf_key("blocks.3.attn.q.weight");
    /// assert_eq!(key, "encoder.block.3.layer.0.SelfAttention.q.weight");
    /// ```
    #[must_use]
    pub fn hf_key(path: &str) -> String {
        let parts: Vec<_> = path.split('.').collect();
        match parts[..] {
            ["shared"] => "shared.weight".to_owned(),
            ["relative_attention_bias", "weight"] => {
                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight".to_owned()
            }
            ["norm", "weight"] => "encoder.final_layer_norm.weight".to_owned(),
            ["blocks", i, "attn", "norm", "weight"] => format!("encoder.block.{i}.layer.0.layer_norm.weight"),
            ["blocks", i, "attn", name, "weight"] => format!("encoder.block.{i}.layer.0.SelfAttention.{name}.weight"),
            ["blocks", i, "ff", "norm", "weight"] => format!("encoder.block.{i}.layer.1.layer_norm.weight"),
            ["blocks", i, "ff", .., name, "weight"] => {
                format!("encoder.block.{i}.layer.1.DenseReluDense.{name}.weight")
            }
            _ => path.to_owned(),
        }
    }
}
