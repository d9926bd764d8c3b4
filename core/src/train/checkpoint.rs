//! A stage being trained, as one file: networks, optimiser, average, step and config.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::balance::BINS;
use super::params::{Flat, Graph, replace, values};
use super::trainer::Trainer;
use crate::weights::save::Tensors;
use crate::weights::{self, LoadError, SaveError, Storage, WeightFile, named};

/// Why a checkpoint could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is damaged or belongs to another network.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// The file is no checkpoint, or one of another run.
    #[error("{file}: {reason}")]
    Metadata {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

/// The lists of a checkpoint, by the prefix of their keys.
const PARTS: [&str; 4] = ["param", "ema", "mean", "square"];

/// What was seen of losses by noise level.
const LEVELS: [&str; 2] = ["level.losses", "level.pictures"];

/// The bytes of a checkpoint; `config` is the run's, as JSON.
///
/// # Errors
/// If a number cannot be read back or is beyond half precision: a run that went astray does not overwrite a good
/// checkpoint.
pub async fn save(trainer: &Trainer, config: &str) -> Result<Vec<u8>, SaveError> {
    // Beyond half precision a network is lost, though its numbers may last a step longer: better seen before an older
    // checkpoint goes.
    weights::save(&trainer.networks, &BTreeMap::new(), Storage::F16, str::to_owned).await?;
    let params = values(&trainer.networks);
    let slots = named(&trainer.networks);
    let mut tensors = Tensors::new(Storage::F32);
    let lists = [&params, &trainer.ema.average, &trainer.optimizer.mean, &trainer.optimizer.square];
    for (part, list) in PARTS.iter().zip(lists) {
        for (slot, tensor) in slots.iter().zip(list) {
            tensors.add(format!("{part}.{}", slot.path), slot.shape.clone(), tensor.clone()).await?;
        }
    }
    for (key, tensor) in LEVELS.into_iter().zip([&trainer.balance.losses, &trainer.balance.pictures]) {
        tensors.add(key.to_owned(), vec![BINS], tensor.clone()).await?;
    }
    let metadata = BTreeMap::from([
        ("step".to_owned(), trainer.step.to_string()),
        ("optimizer_steps".to_owned(), trainer.optimizer.steps.to_string()),
        ("ema_steps".to_owned(), trainer.ema.steps.to_string()),
        ("config".to_owned(), config.to_owned()),
    ]);
    Ok(tensors.assemble(&metadata))
}

/// Brings `trainer`, fresh from the same config, to where the checkpoint was saved.
///
/// # Errors
/// If the file is damaged, or not a checkpoint of this network.
pub fn restore(trainer: &mut Trainer, file: &WeightFile) -> Result<(), CheckpointError> {
    let number = |key: &str| -> Result<u64, CheckpointError> {
        let value = file.metadata().get(key).and_then(|value| value.parse().ok());
        value.ok_or_else(|| metadata(file, format!("no number under {key:?} in its metadata; this is no checkpoint")))
    };
    let [step, optimizer_steps, ema_steps] = ["step", "optimizer_steps", "ema_steps"].map(number);
    let mut lists = Vec::new();
    for part in PARTS {
        lists.push(list(trainer, file, part)?);
    }
    // Checkpoints of before they were kept have none; the run measures them anew.
    if LEVELS.iter().any(|key| file.shape(key).is_some()) {
        let [losses, pictures] = LEVELS.map(|key| flat(file, key, &[BINS], &trainer.device));
        (trainer.balance.losses, trainer.balance.pictures) = (losses?, pictures?);
    }
    let mut lists = lists.into_iter();
    let mut next = || lists.next().unwrap_or_default();
    trainer.networks = replace(trainer.networks.clone(), next(), Graph::None);
    trainer.ema.average = next();
    trainer.optimizer.mean = next();
    trainer.optimizer.square = next();
    (trainer.step, trainer.optimizer.steps, trainer.ema.steps) = (step?, optimizer_steps?, ema_steps?);
    Ok(())
}

fn list(trainer: &Trainer, file: &WeightFile, part: &str) -> Result<Flat, CheckpointError> {
    let mut list = Vec::new();
    for slot in named(&trainer.networks) {
        list.push(flat(file, &format!("{part}.{}", slot.path), &slot.shape, &trainer.device)?);
    }
    Ok(list)
}

fn flat(file: &WeightFile, key: &str, wanted: &[usize], device: &Device) -> Result<Tensor<1>, CheckpointError> {
    let Some(found) = file.shape(key) else { return Err(file.missing(key).into()) };
    if found != wanted {
        let (file, key) = (file.name().to_owned(), key.to_owned());
        return Err(LoadError::Shape { file, key, found: found.to_vec(), wanted: wanted.to_vec() }.into());
    }
    let values = file.values(key)?;
    let n = values.len();
    Ok(Tensor::from_data(TensorData::new(values, [n]), device))
}

pub(super) fn metadata(file: &WeightFile, reason: String) -> CheckpointError {
    CheckpointError::Metadata { file: file.name().to_owned(), reason }
}
