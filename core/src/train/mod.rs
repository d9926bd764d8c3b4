//! Training: from scenes of the shapes world, or a folder of pictures, to a model.
//!
//! ```text
//! config ─► data: scene ─► picture, caption, noise ─► trainer: loss ─► gradients ─► clip ─► AdamW or Muon ─► average
//!                                                        │
//!                                          run: checkpoint, metrics, model ─► folder
//! ```
//!
//! Before its first picture a text encoder may learn to [read](reading). Nothing random is kept: step 70 draws from the streams of step 70, so a run that was stopped goes on exactly.

pub mod balance;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod digit_reader;
pub mod draft;
pub mod ema;
mod error;
pub mod folder;
pub mod known;
pub mod lesson;
pub mod mnist;
pub mod muon;
pub mod naming;
pub mod optim;
pub mod params;
mod parts;
pub mod pictures;
mod preset;
pub mod reading;
pub mod run;
pub mod trainer;

pub use config::{Data, Phase, StageTraining, TrainConfig};
pub use error::TrainError;
pub use reading::Reading;
pub use run::{Metrics, ReadMetrics, RunOptions, TrainEvent, TrainRun};
