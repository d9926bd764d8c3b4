//! What a model is, by the beginnings of its files: nothing is put on a device.

use std::io;

use super::config::ModelConfig;
use super::model::{CONFIG_FILE, ModelError, TEXT_FILE, TOKENIZER_FILE, stage_file};
use crate::text::Tokenizer;
use crate::weights::{MAX_HEADER, numbers};

/// The longest config and the longest tokenizer that are looked at, bytes.
const TEXT_MAX: u64 = 64 << 20;

/// What there is to know of a model that is not loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Its config.
    pub config: ModelConfig,
    /// The numbers in its weight files.
    pub parameters: u64,
    /// The words that its tokenizer knows as a whole, from the least id on.
    pub words: Vec<String>,
}

impl Survey {
    /// Looks at the files of a model; `read` gives the beginning of one by its name, of so many bytes at most. Whether the
    /// weights fit the config shows when they are loaded.
    ///
    /// # Errors
    /// If a file is missing, or damaged where it is looked at.
    pub fn of(read: impl Fn(&str, u64) -> io::Result<Vec<u8>>) -> Result<Self, ModelError> {
        let beginning = |file: &str, most: u64| {
            read(file, most).map_err(|source| ModelError::Read { file: file.to_owned(), source })
        };
        let config = ModelConfig::from_json(&beginning(CONFIG_FILE, TEXT_MAX)?)?;
        let words = Tokenizer::from_bytes(&beginning(TOKENIZER_FILE, TEXT_MAX)?)?.words();
        let stages = (1..=config.stages.len()).map(stage_file);
        let mut parameters = 0u64;
        for file in std::iter::once(TEXT_FILE.to_owned()).chain(stages) {
            let header = to_header(|most| beginning(&file, most))?;
            parameters = parameters.saturating_add(numbers(&file, &header)?);
        }
        Ok(Self { config, parameters, words })
    }
}

/// A weight file up to the end of its header: its first eight bytes say how long that is, and no more is read than may be.
fn to_header(beginning: impl Fn(u64) -> Result<Vec<u8>, ModelError>) -> Result<Vec<u8>, ModelError> {
    let first = beginning(8)?;
    match first.first_chunk::<8>() {
        Some(length) => beginning(8 + u64::from_le_bytes(*length).min(MAX_HEADER)),
        None => Ok(first),
    }
}
