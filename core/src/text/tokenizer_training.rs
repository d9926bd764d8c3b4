//! A tokenizer for the captions at hand.
//!
//! Ids: `<pad>`, `</s>`, `<unk>`, the 256 bytes, letters, then words and parts of words. Text is brought to NFKC and
//! lower case, spaces collapse, punctuation stands alone, and a letter outside the vocabulary becomes its bytes, so
//! `<unk>` never occurs.
//!
//! The vocabulary grows by whatever saves most tokens on the sentences: a whole word, which need not be built from
//! parts, or a merge of two neighbouring parts wherever they meet, as in byte-pair encoding
//! (<https://arxiv.org/abs/1508.07909>). So a closed grammar soon has a token for each word, and open text gets
//! subwords. Not the trainer of `tokenizers`: it spends entries on the way to each word, and the order of its hash maps
//! can decide between equal merges.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    Tokenizer as Pipeline,
};

use super::TokenizerError;
use super::tokenizer::END;

/// What stands for a space before a word.
const SPACE: char = '▁';
const PAD: &str = "<pad>";
const UNKNOWN: &str = "<unk>";

/// The special tokens and the bytes.
fn base() -> Vec<String> {
    let special = [PAD, END, UNKNOWN].map(str::to_owned);
    special.into_iter().chain((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"))).collect()
}

/// The `tokenizer.json` of a vocabulary of at most `vocab_size` tokens, the same for the same sentences in any order.
///
/// The time grows with the tokens times the distinct words.
///
/// # Errors
/// If `vocab_size` has no room for bytes and special tokens.
pub fn train_tokenizer(
    sentences: impl Iterator<Item = String> + Send,
    vocab_size: usize,
) -> Result<Vec<u8>, TokenizerError> {
    let base = base();
    // The space is the one letter that is never spelled in bytes.
    let least = base.len() + 1;
    if vocab_size < least {
        return Err(TokenizerError::TooSmall { vocab_size, least });
    }
    let words = count_words(sentences, &pipeline(&base, &[])?)?;
    let mut vocabulary = Vocabulary::new(base, words, vocab_size);
    while vocabulary.tokens.len() < vocab_size && vocabulary.grow() {}
    let trained = pipeline(&vocabulary.tokens, &vocabulary.merges)?;
    // Written by `tokenizers` itself, which sorts the vocabulary by id.
    trained.to_string(false).map(String::into_bytes).map_err(unreadable)
}

fn unreadable(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Unreadable(error.to_string())
}

/// A whole tokenizer. Special tokens are no `added_tokens`: no text shall ever turn into them.
fn pipeline(tokens: &[String], merges: &[[String; 2]]) -> Result<Pipeline, TokenizerError> {
    let vocab: Value = tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let metaspace = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true});
    let spaces = json!({"type": "Replace", "pattern": {"Regex": format!("[\\s{SPACE}]+")}, "content": " "});
    let document = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFKC"},
            {"type": "Lowercase"},
            spaces,
            {"type": "Strip", "strip_left": true, "strip_right": true},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            metaspace,
            {"type": "Punctuation", "behavior": "Isolated"},
        ]},
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [metaspace, {"type": "ByteFallback"}]},
        // `ignore_merges`: a word that is a token needs no merges that lead to it.
        "model": {"type": "BPE", "dropout": null, "unk_token": UNKNOWN, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": true, "ignore_merges": true,
                  "vocab": vocab, "merges": merges},
    });
    Pipeline::from_bytes(document.to_string()).map_err(unreadable)
}

/// How often each word occurs, as the pipeline splits it off.
fn count_words(
    sentences: impl Iterator<Item = String>,
    pipeline: &Pipeline,
) -> Result<BTreeMap<String, u64>, TokenizerError> {
    let mut words = BTreeMap::new();
    for sentence in sentences {
        let mut normal = NormalizedString::from(sentence);
        if let Some(normalizer) = pipeline.get_normalizer() {
            normalizer.normalize(&mut normal).map_err(unreadable)?;
        }
        let mut split = PreTokenizedString::from(normal);
        if let Some(pre_tokenizer) = pipeline.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut split).map_err(unreadable)?;
        }
        for (word, ..) in split.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    Ok(words)
}

/// A word of more than one token.
struct Spelling {
    word: String,
    count: u64,
    ids: Vec<usize>,
}

/// A vocabulary that grows.
struct Vocabulary {
    tokens: Vec<String>,
    ids: HashMap<String, usize>,
    merges: Vec<[String; 2]>,
    open: Vec<Spelling>,
    /// Ids below this are special or bytes; a merge of bytes would not be decoded.
    first_letter: usize,
}

impl Vocabulary {
    /// `base` and, as far as there is room, the letters of `words`.
    fn new(base: Vec<String>, words: BTreeMap<String, u64>, vocab_size: usize) -> Self {
        let mut letters = BTreeMap::from([(SPACE, u64::MAX)]);
        for (word, count) in &words {
            for letter in word.chars().filter(|&letter| letter != SPACE) {
                *letters.entry(letter).or_default() += count;
            }
        }
        let mut kept: Vec<_> = letters.into_iter().collect();
        // Stable, so letters of equal count stay in order.
        kept.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        kept.truncate(vocab_size - base.len());
        kept.sort();

        let first_letter = base.len();
        let mut vocabulary =
            Self { tokens: Vec::new(), ids: HashMap::new(), merges: Vec::new(), open: Vec::new(), first_letter };
        for token in base.into_iter().chain(kept.into_iter().map(|(letter, _)| letter.to_string())) {
            vocabulary.add(token);
        }
        let open = words.into_iter().map(|(word, count)| Spelling { ids: vocabulary.spell(&word), word, count });
        vocabulary.open = open.filter(|spelling| spelling.ids.len() > 1).collect();
        vocabulary
    }

    fn add(&mut self, token: String) -> usize {
        let next = self.tokens.len();
        let id = *self.ids.entry(token.clone()).or_insert(next);
        if id == next {
            self.tokens.push(token);
        }
        id
    }

    /// Letters, or their bytes.
    fn spell(&self, word: &str) -> Vec<usize> {
        let bytes_start = self.first_letter - 256;
        let mut ids = Vec::new();
        for letter in word.chars() {
            let mut buffer = [0; 4];
            let text: &str = letter.encode_utf8(&mut buffer);
            match self.ids.get(text) {
                Some(&id) => ids.push(id),
                None => ids.extend(text.bytes().map(|byte| bytes_start + usize::from(byte))),
            }
        }
        ids
    }

    /// Adds the word or the merge that saves most tokens; false if nothing saves any.
    fn grow(&mut self) -> bool {
        // Ties go to the first word in order; a pair has to save more than a word.
        let saved = |spelling: &Spelling| spelling.count * (spelling.ids.len() as u64 - 1);
        let Some(word) = (0..self.open.len()).rev().max_by_key(|&i| saved(&self.open[i])) else {
            return false;
        };
        match self.best_pair() {
            Some((pair, count)) if count > saved(&self.open[word]) => self.merge(pair),
            _ => {
                let spelling = self.open.remove(word);
                self.add(spelling.word);
            }
        }
        true
    }

    /// The commonest neighbours and their number, the lowest ids among equals.
    fn best_pair(&self) -> Option<([usize; 2], u64)> {
        let mut counts = HashMap::new();
        for spelling in &self.open {
            for pair in spelling.ids.windows(2).filter(|pair| pair.iter().all(|&id| id >= self.first_letter)) {
                *counts.entry([pair[0], pair[1]]).or_insert(0u64) += spelling.count;
            }
        }
        counts.into_iter().max_by_key(|&(pair, count)| (count, std::cmp::Reverse(pair)))
    }

    fn merge(&mut self, pair: [usize; 2]) {
        let parts = pair.map(|id| self.tokens[id].clone());
        let merged = self.add(parts.concat());
        self.merges.push(parts);
        for spelling in &mut self.open {
            let ids = &mut spelling.ids;
            let mut i = 0;
            while i + 1 < ids.len() {
                if [ids[i], ids[i + 1]] == pair {
                    ids[i] = merged;
                    ids.remove(i + 1);
                }
                i += 1;
            }
        }
        self.open.retain(|spelling| spelling.ids.len() > 1);
    }
}

#[cfg(test)]
mod tests;
