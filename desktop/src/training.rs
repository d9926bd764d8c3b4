//! Training as the window sees it: what is to be learnt, and what is told of it. The work is that of
//! `firefall_core::train`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use firefall_cli::{config_file, model};
use firefall_core::cascade::{Model, PictureRequest, Request};
use firefall_core::image::Picture;
use firefall_core::train::{Data, Metrics, RunOptions, TrainConfig, TrainEvent, TrainRun};
use firefall_core::world::sheet;

/// The prompts of a sample sheet where the run learns the shapes world.
const SHEET: [&str; 6] = [
    "a red circle",
    "a green star",
    "a blue square on a yellow background",
    "a big orange cross",
    "a red circle and a blue star",
    "three green stars",
];

/// What is to be learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// The folder of the run.
    pub out: PathBuf,
    /// A folder of pictures with captions; the shapes world if absent.
    pub data: Option<PathBuf>,
    /// The name of a preset; what the run has where it is resumed.
    pub preset: String,
}

/// What is told of it.
#[derive(Debug)]
pub enum Taught {
    /// A run has begun.
    Begun,
    /// A stage begins, or goes on.
    Stage {
        /// Which, from 1.
        stage: usize,
        /// Of how many.
        stages: usize,
        /// Its steps.
        steps: u64,
    },
    /// The text encoder learns to read.
    Reading {
        /// Steps done.
        step: u64,
        /// Of how many.
        steps: u64,
        /// The share of captions that it understands.
        right: f64,
    },
    /// What was measured.
    Measured(Metrics),
    /// A sheet of samples of the model as it is.
    Sheet(Picture),
    /// No run is at work any more.
    Ended {
        /// Why, if not because it was done or stopped.
        failure: Option<String>,
    },
}

impl Lesson {
    /// Whether its folder has a run to go on with.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.out.join("train.json").is_file()
    }

    /// Opens the run, with what should be known before it goes on.
    ///
    /// # Errors
    /// The folder or the pictures are not what they should be.
    pub fn open(&self, device: &Device) -> Result<(TrainRun, Vec<String>)> {
        if self.out.as_os_str().is_empty() {
            bail!("choose a folder for the run first");
        }
        let resume = self.is_begun();
        let mut config = match resume {
            true => config_file::read(&self.out.join("train.json"))?,
            false => TrainConfig::preset(&self.preset).map_err(anyhow::Error::msg)?,
        };
        if let Some(folder) = &self.data {
            let folder = std::path::absolute(folder).with_context(|| format!("no folder {}", folder.display()))?;
            config.data = Data::Folder(folder);
        }
        let run = TrainRun::open(config, &self.out, &RunOptions { resume, ..RunOptions::default() }, device)?;
        let warnings = run.warnings().to_vec();
        Ok((run, warnings))
    }
}

impl Taught {
    /// What the window shows of an event, if anything.
    ///
    /// # Errors
    /// The samples cannot be made.
    pub(crate) fn of(event: TrainEvent) -> Result<Option<Self>> {
        Ok(match event {
            TrainEvent::StageStarted { stage, stages, steps, .. } => Some(Self::Stage { stage, stages, steps }),
            TrainEvent::Read { step, steps, metrics } => {
                metrics.map(|metrics| Self::Reading { step, steps, right: metrics.right })
            }
            TrainEvent::Step { metrics, .. } => metrics.map(Self::Measured),
            TrainEvent::Checkpoint { model, .. } => Some(Self::Sheet(samples(&model)?)),
            TrainEvent::StageDone { .. } => None,
        })
    }
}

fn samples(model: &Arc<Model>) -> Result<Picture> {
    let wish = |prompt: &&str| PictureRequest { prompt: (*prompt).to_owned(), negative: None, seed: 1 };
    let request = Request { pictures: SHEET.iter().map(wish).collect(), ..Request::default() };
    Ok(sheet(&model::pictures(model, request, |_| ())?, 3))
}
