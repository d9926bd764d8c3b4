//! What a run tells.

use serde::Serialize;

use crate::image::Picture;

/// One thing that happened in a run. Stages and steps count from 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The prompts are encoded.
    Encoded {
        /// Tokens of each prompt.
        tokens: Vec<usize>,
    },
    /// A stage begins.
    StageStarted {
        /// Which.
        stage: usize,
        /// Of how many.
        stages: usize,
        /// Side of its pictures in pixels.
        size: usize,
        /// Its steps.
        steps: usize,
    },
    /// A step is done.
    Step {
        /// In which stage.
        stage: usize,
        /// How many are done.
        step: usize,
        /// Of how many.
        steps: usize,
        /// `x0_hat` of each picture, if the request asks for previews.
        #[serde(skip)]
        preview: Option<Vec<Picture>>,
    },
    /// A stage is done.
    StageDone {
        /// Which.
        stage: usize,
    },
    /// All is done.
    Done {
        /// In the order of the request.
        #[serde(skip)]
        pictures: Vec<Picture>,
    },
    /// Something the user should know; the run goes on. Pictures in it count from 1 in this request.
    Warning {
        /// A sentence.
        message: String,
    },
}
