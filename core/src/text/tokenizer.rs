//! Text to token ids, by any `tokenizer.json` of Hugging Face's `tokenizers`.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// What ends every text.
pub const END: &str = "</s>";
/// What fills the shorter texts of a batch; its vectors are masked.
pub const PAD_ID: i32 = 0;

/// What `tokenizers` has in the place of the space before a word.
const MARK: char = '▁';

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The bytes are no `tokenizer.json`.
    #[error("not a tokenizer.json: {0}")]
    Unreadable(String),
    /// A tokenizer of another family than T5's.
    #[error("the tokenizer has no token {END:?}")]
    NoEnd,
    /// The model has neither a token nor a substitute for something in the text.
    #[error("cannot encode {text:?}: {reason}")]
    Unencodable {
        /// The beginning of the text.
        text: String,
        /// What `tokenizers` says.
        reason: String,
    },
    /// Ids without a decoder for them.
    #[error("cannot decode: {0}")]
    Undecodable(String),
    /// The tokens that no vocabulary goes without need more room.
    #[error("a vocabulary of {vocab_size} is too small; bytes and special tokens alone are {least}")]
    TooSmall {
        /// The room asked for.
        vocab_size: usize,
        /// The least possible.
        least: usize,
    },
    /// An encoder of another tokenizer.
    #[error("the tokenizer has {tokens} tokens, the encoder's vocab_size is {vocab_size}")]
    Mismatch {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the encoder's embedding.
        vocab_size: usize,
    },
}

/// The ids of a batch of texts, row-major `[b, n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Each text's tokens, `</s>`, then padding.
    pub ids: Vec<i32>,
    /// 1 at tokens and `</s>`, 0 at padding.
    pub mask: Vec<f32>,
    /// Texts, `b`.
    pub batch: usize,
    /// The longest text with its `</s>`, `n`.
    pub len: usize,
    /// Per text, whether its end is missing.
    pub truncated: Vec<bool>,
}

impl Tokens {
    /// Ids and mask on a device.
    ///
    /// # Shapes
    /// - output: `[b, n]`, `[b, n]`
    #[must_use]
    pub fn tensors(&self, device: &Device) -> (Tensor<2, Int>, Tensor<2>) {
        let shape = [self.batch, self.len];
        let ids = Tensor::from_data(TensorData::new(self.ids.clone(), shape), device);
        (ids, Tensor::from_data(TensorData::new(self.mask.clone(), shape), device))
    }
}

/// A `tokenizer.json`, used as T5 does: each text ends with `</s>`, and a batch is as long as its longest text.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    end_id: u32,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`; its own truncation, padding and post-processing are left aside.
    ///
    /// # Errors
    /// If the bytes are none, or if it does not know `</s>`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let unreadable = |error: tokenizers::Error| TokenizerError::Unreadable(error.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(unreadable)?;
        inner.with_truncation(None).map_err(unreadable)?;
        inner.with_padding(None);
        // A prompt that spells a special token means the letters.
        inner.set_encode_special_tokens(true);
        let end_id = inner.token_to_id(END).ok_or(TokenizerError::NoEnd)?;
        Ok(Self { inner, end_id })
    }

    /// The `tokenizer.json` of this tokenizer.
    ///
    /// # Errors
    /// If `tokenizers` cannot write what it has read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TokenizerError> {
        let json = self.inner.to_string(false).map_err(|error| TokenizerError::Unreadable(error.to_string()))?;
        Ok(json.into_bytes())
    }

    /// One more than the largest id.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |largest| (largest as usize).saturating_add(1))
    }

    /// The words that it knows as a whole, from the least id on; pieces of words are none.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let vocabulary = self.inner.get_vocab(false);
        // Where words begin with a mark, what has none stands within a word.
        let is_marked = vocabulary.keys().any(|token| token.strip_prefix(MARK).is_some_and(is_word));
        let word = |token: &str| {
            let word = if is_marked { token.strip_prefix(MARK)? } else { token };
            is_word(word).then(|| word.to_owned())
        };
        let mut found: Vec<(u32, String)> =
            vocabulary.iter().filter_map(|(token, &id)| Some((id, word(token)?))).collect();
        found.sort();
        found.into_iter().map(|(_, word)| word).collect()
    }

    /// The ids of a batch. Of a text with more than `max_len` tokens, `</s>` among them, the end is cut off. An empty
    /// or blank text is `</s>` alone.
    ///
    /// # Errors
    /// If the tokenizer has neither bytes nor an unknown token for a character that it lacks.
    pub fn encode(&self, texts: &[&str], max_len: usize) -> Result<Tokens, TokenizerError> {
        let rows = texts.iter().map(|text| self.ids(text)).collect::<Result<Vec<_>, _>>()?;
        let room = max_len.saturating_sub(1);
        let len = rows.iter().map(|row| row.len().min(room) + 1).max().unwrap_or(0);
        let mut tokens = Tokens {
            ids: Vec::with_capacity(rows.len() * len),
            mask: Vec::with_capacity(rows.len() * len),
            batch: rows.len(),
            len,
            truncated: rows.iter().map(|row| row.len() > room).collect(),
        };
        for (index, row) in rows.iter().enumerate() {
            tokens.ids.extend(row.iter().take(room).map(|&id| id as i32));
            tokens.ids.push(self.end_id as i32);
            tokens.mask.resize(tokens.ids.len(), 1.0);
            tokens.ids.resize((index + 1) * len, PAD_ID);
            tokens.mask.resize((index + 1) * len, 0.0);
        }
        Ok(tokens)
    }

    /// The text of the ids, without `</s>` and padding, as the tokenizer's normalisation left it.
    ///
    /// # Errors
    /// If the tokenizer's decoder refuses them.
    pub fn decode(&self, ids: &[i32]) -> Result<String, TokenizerError> {
        let special = [PAD_ID, self.end_id as i32];
        let ids: Vec<_> = ids.iter().filter(|id| !special.contains(id)).map(|&id| id as u32).collect();
        self.inner.decode(&ids, true).map_err(|error| TokenizerError::Undecodable(error.to_string()))
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self.inner.encode_fast(text, false).map_err(|error| TokenizerError::Unencodable {
            text: text.chars().take(40).collect(),
            reason: error.to_string(),
        })?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// Letters and digits alone.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use serde_json::json;

    use super::{Tokenizer, TokenizerError};

    /// Six words and no bytes, with everything switched on that the encoder has to leave aside.
    fn words(unknown: &str) -> Result<Tokenizer, TokenizerError> {
        let special = |id: u32, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        };
        let document = json!({
            "version": "1.0",
            "truncation": {"direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 4,
                        "pad_type_id": 0, "pad_token": "red"},
            "added_tokens": [special(0, "<pad>"), special(1, "</s>"), special(6, "<extra_id_0>")],
            "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": null,
            "decoder": null,
            "model": {"type": "WordLevel", "unk_token": unknown,
                      "vocab": {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "dot": 5}}
        });
        Tokenizer::from_bytes(document.to_string().as_bytes())
    }

    #[test]
    fn whole_words_are_told_from_pieces() {
        assert_eq!(words("<unk>").unwrap().words(), ["a", "red", "dot"]);
        let vocab = json!({"<pad>": 0, "</s>": 1, "<unk>": 2, "▁": 3, "es": 4, "▁star": 5, "s": 6, "▁a": 7, ",": 8});
        let model = json!({"type": "WordLevel", "unk_token": "<unk>", "vocab": vocab});
        let document = json!({"version": "1.0", "added_tokens": [], "model": model});
        let tokenizer = Tokenizer::from_bytes(document.to_string().as_bytes()).unwrap();
        assert_eq!(tokenizer.words(), ["star", "a"]);
    }

    #[test]
    fn a_batch_is_padded_to_its_longest_text_and_ends_each() {
        let tokens = words("<unk>").unwrap().encode(&["dot", "a red dot", "", " \n"], 8).unwrap();
        assert_eq!((tokens.batch, tokens.len), (4, 4));
        assert_eq!(tokens.ids, [5, 1, 0, 0, 3, 4, 5, 1, 1, 0, 0, 0, 1, 0, 0, 0]);
        let mask = tokens.ids.iter().map(|&id| if id == 0 { 0.0 } else { 1.0 });
        assert!(tokens.mask.iter().copied().eq(mask));
        assert_eq!(tokens.truncated, [false; 4]);
        let (ids, mask) = tokens.tensors(&Device::flex());
        assert_eq!((ids.dims(), mask.dims()), ([4, 4], [4, 4]));
    }

    #[test]
    fn a_cut_text_keeps_its_end_token() {
        let tokenizer = words("<unk>").unwrap();
        let tokens = tokenizer.encode(&["a red dot", "a red"], 3).unwrap();
        assert_eq!(tokens.ids, [3, 4, 1, 3, 4, 1]);
        assert_eq!(tokens.truncated, [true, false]);
        // There is always room for the end.
        assert_eq!(tokenizer.encode(&["dot"], 0).unwrap().ids, [1]);
    }

    #[test]
    fn no_text_is_no_row() {
        let tokens = words("<unk>").unwrap().encode(&[], 8).unwrap();
        assert_eq!((tokens.batch, tokens.len, tokens.ids.len()), (0, 0, 0));
    }

    #[test]
    fn spelled_special_tokens_are_text() {
        let tokenizer = words("<unk>").unwrap();
        assert_eq!(tokenizer.encode(&["a<extra_id_0> dot"], 8).unwrap().ids, [2, 5, 1]);
        assert_eq!(tokenizer.vocab_size(), 7);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        assert!(matches!(Tokenizer::from_bytes(b"{}"), Err(TokenizerError::Unreadable(_))));
        let endless =
            br#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0}}}"#;
        assert_eq!(Tokenizer::from_bytes(endless).unwrap_err(), TokenizerError::NoEnd);
        let message = words("missing").unwrap().encode(&["a blue dot"], 8).unwrap_err().to_string();
        assert!(message.contains("a blue dot"), "{message}");
    }
}
