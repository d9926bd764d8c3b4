//! What ends a run: disks, devices, weights that do not fit, losses that go astray.

use super::checkpoint::CheckpointError;
use super::folder::FolderError;
use super::pictures::PicturesError;
use crate::cascade::ModelError;
use crate::text::TokenizerError;
use crate::weights::SaveError;

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The config makes no sense.
    #[error("{0}")]
    Config(String),
    /// The folder does not do what it should.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The pictures to learn from cannot be read.
    #[error(transparent)]
    Pictures(#[from] PicturesError),
    /// A checkpoint is damaged or of another run. The run could go on from the one before, but hours of training are
    /// not thrown away unasked.
    #[error("{0}; without this file the run goes on from the checkpoint before it")]
    Checkpoint(#[from] CheckpointError),
    /// Weights cannot be saved.
    #[error("{0}; the last checkpoint is kept")]
    Save(#[from] SaveError),
    /// The model cannot be put together.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer cannot be made or read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A model to begin with that is another than the config describes.
    #[error("the model to begin with has another {what} than the config: {difference}")]
    Begin {
        /// Which part.
        what: String,
        /// A key that differs, with both values.
        difference: String,
    },
    /// A run that was killed before the weights it was to begin with were in its folder.
    #[error("the run was stopped before it had taken over the model to begin with; begin it anew in another folder")]
    NotBegun,
    /// A later stage before an earlier one.
    #[error("stage {stage} needs stage {} trained to its end first", stage - 1)]
    Order {
        /// The stage that was asked for.
        stage: usize,
    },
    /// Training went astray.
    #[error("the loss is {loss} after step {step} of stage {stage}; the last checkpoint is kept")]
    Diverged {
        /// The stage, from 1.
        stage: usize,
        /// The step.
        step: u64,
        /// What it is.
        loss: f64,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}
