//! Beginning with another model: whether it fits, its weights in the place of fresh ones, and the note that says so.

use serde_json::{Value, json};

use super::TrainRun;
use crate::cascade::{Model, ModelConfig};
use crate::train::checkpoint;
use crate::train::error::TrainError;
use crate::train::folder::{Folder, FolderError, difference};
use crate::train::trainer::Networks;

/// Tells which model a run began with.
const BEGUN: &str = "begun.sha256";

impl TrainRun {
    /// Makes the weights of `model` the checkpoints of step 0.
    pub(super) async fn begin_with(&mut self, model: &Model) -> Result<(), TrainError> {
        for (index, stage) in model.stages.iter().enumerate() {
            let mut trainer = self.fresh(index);
            let t5 = trainer.networks.t5.is_some().then(|| model.text.t5.clone());
            let unet = stage.unet.clone().grown(trainer.networks.unet.clone());
            trainer.begin_with(Networks { t5, unet, namer: trainer.networks.namer.clone() });
            let bytes = checkpoint::save(&trainer, &self.json).await?;
            self.folder.write_checkpoint(index, 0, &bytes, self.config.keep_checkpoints)?;
        }
        Ok(())
    }
}

/// Whether a run of `config` can begin with the weights of a model of `found`.
pub(super) fn fits(config: &ModelConfig, found: &ModelConfig) -> Result<(), TrainError> {
    let same = |what: &str, found: Value, wanted: Value| match difference(&found, &wanted, "") {
        Some(difference) => Err(TrainError::Begin { what: what.to_owned(), difference }),
        None => Ok(()),
    };
    same("text encoder", json!(found.text), json!(config.text))?;
    same("number of stages", json!(found.stages.len()), json!(config.stages.len()))?;
    for (i, (found, wanted)) in found.stages.iter().zip(&config.stages).enumerate() {
        let unet = found.unet.clone().grown(&wanted.unet);
        same(&format!("network in stage {}", i + 1), json!(unet), json!(wanted.unet))?;
    }
    Ok(())
}

/// Notes that the run in a folder begins with `model`, whose weights are not there yet.
pub(super) fn note(folder: &Folder, model: &Model) -> Result<(), FolderError> {
    folder.write(BEGUN, model.hash.as_bytes())
}

/// Whether the run in a folder was to begin with a model.
pub(super) fn is_noted(folder: &Folder) -> Result<bool, FolderError> {
    Ok(folder.read_optional(BEGUN)?.is_some())
}
