//! A model: one folder of files.
//!
//! | file | what |
//! | --- | --- |
//! | `model.json` | [`ModelConfig`] |
//! | `tokenizer.json` | the tokenizer, as the `tokenizers` crate writes it |
//! | `text.safetensors` | the text encoder, under Hugging Face's names |
//! | `stage1.safetensors`, … | the network of each stage |
//! | `LICENSE.txt` | where the weights come from, if that is known; not part of the hash |
//!
//! Every weight file carries the config of its network in its metadata, and what it was trained for, so a file that went
//! astray says whose it is.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{ModelConfig, StageConfig, check_format};
use super::size;
use super::stage::Stage;
use crate::nn::Init;
use crate::text::{T5Encoder, TextEncoder, Tokenizer, TokenizerError};
use crate::unet::unet2d::Unet;
use crate::weights::{Leftover, LoadError, SaveError, Storage, WeightFile, load, same, save};

/// The config's file.
pub const CONFIG_FILE: &str = "model.json";
/// The tokenizer's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The text encoder's file.
pub const TEXT_FILE: &str = "text.safetensors";
/// The note of where the weights come from.
pub const LICENCE_FILE: &str = "LICENSE.txt";
/// The entry of a weight file's metadata that holds the config of its network.
const METADATA_KEY: &str = "firefall";
/// The entry that holds the whole stage but for how it samples, which may change. Older files have none.
const STAGE_KEY: &str = "firefall.stage";

/// The weight file of a stage, from 1.
#[must_use]
pub fn stage_file(stage: usize) -> String {
    format!("stage{stage}.safetensors")
}

/// Why a model could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// Its name in the folder.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The config is no config.
    #[error("{CONFIG_FILE}: {0}")]
    Config(String),
    /// The tokenizer is no tokenizer.
    #[error("{TOKENIZER_FILE}: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// A weight file is damaged or belongs elsewhere.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// A weight file was saved for another network.
    #[error("{file} was saved for another network than {CONFIG_FILE} describes")]
    Astray {
        /// The file.
        file: String,
    },
    /// A config of a network that the file cannot fill.
    #[error("{CONFIG_FILE} describes a network of more than {least:.0} weights; {file} has {bytes} bytes")]
    TooLarge {
        /// The weight file.
        file: String,
        /// Weights that the network has at least.
        least: f64,
        /// Bytes of the file.
        bytes: usize,
    },
    /// Weights cannot be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// A text encoder and stages, ready on a device.
#[derive(Debug)]
pub struct Model {
    /// What it is made of.
    pub config: ModelConfig,
    /// Prompts to vectors.
    pub text: TextEncoder,
    /// From the smallest picture to the largest.
    pub stages: Vec<Stage>,
    /// Where its weights are.
    pub device: Device,
    /// SHA-256 over all files but the licence note, as hex; empty for a model that never was in files.
    pub hash: String,
    /// Where the weights come from and what may be done with them; empty if nobody says.
    pub licence: String,
}

/// The parts of [`ModelConfig`] that a text encoder's weights depend on.
fn text_metadata(config: &ModelConfig) -> BTreeMap<String, String> {
    metadata(&config.text.t5)
}

fn metadata(config: &impl Serialize) -> BTreeMap<String, String> {
    let json = serde_json::to_string(config).expect("configs are plain data");
    BTreeMap::from([(METADATA_KEY.to_owned(), json)])
}

fn stage_metadata(stage: &StageConfig) -> BTreeMap<String, String> {
    let json = serde_json::to_string(&trained_for(stage)).expect("configs are plain data");
    let mut entries = metadata(&stage.unet);
    entries.insert(STAGE_KEY.to_owned(), json);
    entries
}

/// A stage but for how it samples.
fn trained_for(stage: &StageConfig) -> StageConfig {
    StageConfig { sampling: super::SamplingConfig::default(), ..stage.clone() }
}

/// What a config of any version says of itself.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

impl ModelConfig {
    /// From the bytes of `model.json`.
    ///
    /// # Errors
    /// If they are no config, or one that makes no sense.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        // First of all: the keys of another format are no mistakes.
        if let Ok(Versioned { format }) = serde_json::from_slice(bytes) {
            check_format(format).map_err(ModelError::Config)?;
        }
        let config: Self = serde_json::from_slice(bytes).map_err(|e| ModelError::Config(e.to_string()))?;
        config.validate().map_err(ModelError::Config)?;
        Ok(config)
    }
}

impl Model {
    /// Loads a model from its files; `read` gives the bytes of one by its name.
    ///
    /// # Errors
    /// If a file is missing, damaged, or does not fit the others.
    pub fn load(
        mut read: impl FnMut(&str) -> Result<Vec<u8>, std::io::Error>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let mut hash = Sha256::new();
        let mut fetch = |file: &str| -> Result<Vec<u8>, ModelError> {
            let bytes = read(file).map_err(|source| ModelError::Read { file: file.to_owned(), source })?;
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
            Ok(bytes)
        };
        let config = ModelConfig::from_json(&fetch(CONFIG_FILE)?)?;
        let tokenizer = Tokenizer::from_bytes(&fetch(TOKENIZER_FILE)?)?;
        let bytes = fetch(TEXT_FILE)?;
        fits(TEXT_FILE, size::least_of_t5(&config.text.t5), bytes.len())?;
        let file = WeightFile::parse(TEXT_FILE, bytes)?;
        check(&file, METADATA_KEY, &config.text.t5)?;
        let t5 = T5Encoder::new(&mut Init::blank(device), &config.text.t5);
        let t5 = load(t5, &file, T5Encoder::hf_keys, T5Encoder::LEFTOVER)?;
        let text = TextEncoder::new(tokenizer, t5, config.text.max_len)?;
        let mut stages = Vec::new();
        for (i, stage) in config.stages.iter().enumerate() {
            let name = stage_file(i + 1);
            let bytes = fetch(&name)?;
            fits(&name, size::least_of_unet(&stage.unet), bytes.len())?;
            let file = WeightFile::parse(name, bytes)?;
            check(&file, METADATA_KEY, &stage.unet)?;
            check(&file, STAGE_KEY, &trained_for(stage))?;
            let unet = load(Unet::new(&mut Init::blank(device), &stage.unet), &file, same, Leftover::Refuse)?;
            stages.push(Stage { config: stage.clone(), unet });
        }
        let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let licence = read(LICENCE_FILE).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        Ok(Self { config, text, stages, device: device.clone(), hash, licence })
    }

    /// The files of the model, weights in half precision.
    ///
    /// # Errors
    /// If weights cannot be read back or are not finite.
    pub async fn files(&self) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        let json = serde_json::to_vec_pretty(&self.config).map_err(|e| ModelError::Config(e.to_string()))?;
        let mut files = vec![
            (CONFIG_FILE.to_owned(), json),
            (TOKENIZER_FILE.to_owned(), self.text.tokenizer.to_bytes()?),
            (
                TEXT_FILE.to_owned(),
                save(&self.text.t5, &text_metadata(&self.config), Storage::F16, T5Encoder::hf_key).await?,
            ),
        ];
        for (i, stage) in self.stages.iter().enumerate() {
            let bytes = save(&stage.unet, &stage_metadata(&stage.config), Storage::F16, str::to_owned).await?;
            files.push((stage_file(i + 1), bytes));
        }
        if !self.licence.is_empty() {
            files.push((LICENCE_FILE.to_owned(), self.licence.clone().into_bytes()));
        }
        Ok(files)
    }
}

/// Refuses a config whose blank network alone could take all memory, while its file is small.
fn fits(file: &str, least: f64, bytes: usize) -> Result<(), ModelError> {
    // A number in half precision takes two bytes. An empty file and the like have errors of their own.
    if least * 2.0 > bytes as f64 && least > size::SMALL {
        return Err(ModelError::TooLarge { file: file.to_owned(), least, bytes });
    }
    Ok(())
}

/// Refuses a file whose metadata has another config than `expected` under `key`. By what it says, not how: a number may
/// be written in several ways, and a key that an older file lacks has its default.
fn check<C: DeserializeOwned + PartialEq>(file: &WeightFile, key: &str, expected: &C) -> Result<(), ModelError> {
    let Some(json) = file.metadata().get(key) else { return Ok(()) };
    match serde_json::from_str::<C>(json) {
        Ok(found) if found == *expected => Ok(()),
        _ => Err(ModelError::Astray { file: file.name().to_owned() }),
    }
}
