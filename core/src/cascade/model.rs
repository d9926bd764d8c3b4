//! A model: one folder of files.
//!
//! | file | what |
//! | --- | --- |
//! | `model.json` | [`ModelConfig`] |
//! | `tokenizer.json` | the tokenizer, as the `tokenizers` crate writes it |
//! | `text.safetensors` | the text encoder, under Hugging Face's names |
//! | `stage1.safetensors`, … | the network of each stage |
//!
//! Every weight file carries the config of its network in its metadata, so a file that went astray says whose it is.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::config::ModelConfig;
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
/// The entry of a weight file's metadata that holds the config.
const METADATA_KEY: &str = "firefall";

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
    /// SHA-256 over all files, as hex; empty for a model that never was in files.
    pub hash: String,
}

/// The parts of [`ModelConfig`] that a text encoder's weights depend on.
fn text_metadata(config: &ModelConfig) -> BTreeMap<String, String> {
    metadata(&config.text.t5)
}

fn metadata(config: &impl Serialize) -> BTreeMap<String, String> {
    let json = serde_json::to_string(config).expect("configs are plain data");
    BTreeMap::from([(METADATA_KEY.to_owned(), json)])
}

impl ModelConfig {
    /// From the bytes of `model.json`.
    ///
    /// # Errors
    /// If they are no config, or one that makes no sense.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
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
        let file = parse(TEXT_FILE, fetch(TEXT_FILE)?, &text_metadata(&config))?;
        let t5 = T5Encoder::new(&mut Init::blank(device), &config.text.t5);
        let t5 = load(t5, &file, |path| vec![T5Encoder::hf_key(path)], Leftover::Refuse)?;
        let text = TextEncoder::new(tokenizer, t5, config.text.max_len)?;
        let mut stages = Vec::new();
        for (i, stage) in config.stages.iter().enumerate() {
            let name = stage_file(i + 1);
            let file = parse(&name, fetch(&name)?, &metadata(&stage.unet))?;
            let unet = load(Unet::new(&mut Init::blank(device), &stage.unet), &file, same, Leftover::Refuse)?;
            stages.push(Stage { config: stage.clone(), unet });
        }
        let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { config, text, stages, device: device.clone(), hash })
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
            let bytes = save(&stage.unet, &metadata(&stage.config.unet), Storage::F16, str::to_owned).await?;
            files.push((stage_file(i + 1), bytes));
        }
        Ok(files)
    }
}

/// A weight file, refused if its metadata names another config.
fn parse(name: &str, bytes: Vec<u8>, expected: &BTreeMap<String, String>) -> Result<WeightFile, ModelError> {
    let file = WeightFile::parse(name, bytes)?;
    match file.metadata().get(METADATA_KEY) {
        Some(found) if Some(found) != expected.get(METADATA_KEY) => Err(ModelError::Astray { file: name.to_owned() }),
        _ => Ok(file),
    }
}
