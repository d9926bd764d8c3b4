//! From a prompt to the vectors that condition a picture.
//!
//! Text becomes token ids ([`tokenizer`]) and these one vector each ([`t5`]). The tokenizer is a `tokenizer.json` beside
//! the weights: T5's own, or one trained on the captions of a closed grammar ([`tokenizer_training`]).

pub mod t5;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod tokenizer_training;

pub use t5::{FeedForwardProj, T5Config, T5Encoder};
pub use tokenizer::{Tokenizer, TokenizerError, Tokens};

use burn::tensor::{Device, Tensor};

/// A batch of encoded texts.
#[derive(Debug, Clone)]
pub struct TextEmbedding {
    /// `[b, n, d]`, zero at padding.
    pub tokens: Tensor<3>,
    /// `[b, n]`, 1 at tokens and 0 at padding.
    pub mask: Tensor<2>,
}

/// A tokenizer and the encoder that knows its tokens.
#[derive(Debug, Clone)]
pub struct TextEncoder {
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Ids to vectors.
    pub t5: T5Encoder,
    /// Texts are cut at this many tokens, the end token among them.
    pub max_len: usize,
}

impl TextEncoder {
    /// Of two that fit each other.
    ///
    /// # Errors
    /// If the tokenizer has ids that the encoder has no vector for.
    pub fn new(tokenizer: Tokenizer, t5: T5Encoder, max_len: usize) -> Result<Self, TokenizerError> {
        let (tokens, vocab_size) = (tokenizer.vocab_size(), t5.vocab_size());
        if tokens > vocab_size {
            return Err(TokenizerError::Mismatch { tokens, vocab_size });
        }
        Ok(Self { tokenizer, t5, max_len })
    }

    /// Encodes at least one text. The encoder's parameters are on `device`.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn encode(&self, texts: &[&str], device: &Device) -> Result<Encoded, TokenizerError> {
        let tokens = self.tokenizer.encode(texts, self.max_len)?;
        let (ids, mask) = tokens.tensors(device);
        let embedding = TextEmbedding { tokens: self.t5.forward(ids, mask.clone()), mask };
        let lengths = tokens.mask.chunks(tokens.len.max(1)).map(|row| row.iter().filter(|&&m| m > 0.0).count());
        Ok(Encoded { embedding, lengths: lengths.collect(), truncated: tokens.truncated })
    }
}

/// What became of a batch of texts.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Its vectors.
    pub embedding: TextEmbedding,
    /// Tokens of each text, the end token among them.
    pub lengths: Vec<usize>,
    /// Per text, whether its end is missing.
    pub truncated: Vec<bool>,
}
