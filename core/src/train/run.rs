//! A training run in a folder: stages one after the other, checkpoints, metrics. The caller owns the loop.
//!
//! | in the folder | what |
//! | --- | --- |
//! | `train.json` | the config; a resumed run must have the same, but for how long it trains and how often it saves |
//! | `tokenizer.json` | made once, at the start |
//! | `checkpoints/stage1-00001000.safetensors` | the last few of each stage |
//! | `metrics.jsonl` | a line for every few steps |
//! | `model/` | what is trained so far, as a model that can be sampled; stages trained earlier stay in it |
//! | `pictures.sha256` | of pictures and captions, where they come from a folder |
//! | `begun.sha256` | of the model it began with, where that was one; its weights are the checkpoints of step 0 |
//! | `lock` | held while a run works here |

mod begin;
mod captions;
mod warnings;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use serde::Serialize;

pub use super::error::TrainError;

use super::checkpoint::{self, CheckpointError};
use super::config::{Data, TrainConfig};
use super::data::{Place, Source};
use super::draft::Drafter;
use super::folder::{Folder, METRICS};
use super::mnist;
use super::pictures::Pictures;
use super::reading::{Reader, ReadingTrainer};
use super::trainer::{Networks, StepReport, Trainer, Words};
use crate::cascade::{Model, ModelConfig, Stage};
use crate::text::{TextEncoder, Tokenizer};
use crate::weights::WeightFile;

/// One thing that happened in a run. Stages and steps count from 1.
#[derive(Debug, Clone)]
pub enum TrainEvent {
    /// A stage begins, or goes on.
    StageStarted {
        /// Which.
        stage: usize,
        /// Of how many.
        stages: usize,
        /// Steps already done.
        done: u64,
        /// Steps in all.
        steps: u64,
        /// Numbers in its networks.
        parameters: usize,
    },
    /// The text encoder of the first stage has read some captions.
    Read {
        /// Steps of reading done.
        step: u64,
        /// Of how many.
        steps: u64,
        /// How well it reads, every few steps.
        metrics: Option<ReadMetrics>,
    },
    /// A step is done.
    Step {
        /// Pictures in the step.
        pictures: usize,
        /// What was measured, every few steps.
        metrics: Option<Metrics>,
    },
    /// A checkpoint is on disk, and with it a model that can be sampled.
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// The model of the stages so far.
        model: Arc<Model>,
        /// The stage.
        stage: usize,
        /// Its steps so far.
        step: u64,
    },
    /// A stage is done.
    StageDone {
        /// Which.
        stage: usize,
    },
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metrics {
    /// The stage, from 1.
    pub stage: usize,
    /// Steps done.
    pub step: u64,
    /// Pictures seen.
    pub pictures: u64,
    /// The mean loss since the last line, or since the stage was taken up.
    pub loss: f64,
    /// The global norm of the last gradient before clipping.
    pub grad_norm: f64,
    /// The learning rate of the last step.
    pub learning_rate: f64,
}

/// How well a text encoder reads, by the captions of one step, which it had never seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadMetrics {
    /// The mean loss: what is in doubt of a caption, in nats.
    pub loss: f64,
    /// The share of captions of which it knows everything.
    pub right: f64,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The stages to train, from 1; all if empty. The others must be there already.
    pub stages: Vec<usize>,
    /// Go on from what the folder has; without it the folder must have nothing.
    pub resume: bool,
    /// A new run begins with this model's tokenizer and weights instead of its own. Stages that it does not train keep
    /// them.
    pub from: Option<Arc<Model>>,
}

/// A run at work.
#[derive(Debug)]
pub struct TrainRun {
    config: TrainConfig,
    json: String,
    folder: Folder,
    device: Device,
    words: Words,
    pictures: Option<Pictures>,
    /// What to begin with, until that has been done.
    from: Option<Arc<Model>>,
    /// What is trained so far: the encoder of the first stage, and the network of each.
    done: Vec<Networks>,
    left: VecDeque<usize>,
    current: Option<(usize, Trainer)>,
    /// The encoder of the current stage, while it learns to read.
    reading: Option<ReadingTrainer>,
    /// Stages after the current one that an earlier part of the run has trained.
    later: Vec<Networks>,
    /// What should be known before the run goes on.
    warnings: Vec<String>,
    /// Losses since the last line of metrics.
    losses: Vec<Tensor<1>>,
}

impl TrainRun {
    /// Opens the folder and locks it.
    ///
    /// # Errors
    /// If the config makes no sense, the model to begin with does not fit it, the folder holds another run, or one is at
    /// work there.
    pub fn open(config: TrainConfig, out: &Path, options: &RunOptions, device: &Device) -> Result<Self, TrainError> {
        config.validate().map_err(TrainError::Config)?;
        let stages = config.stages.len();
        if let Some(stage) = options.stages.iter().find(|stage| !(1..=stages).contains(*stage)) {
            return Err(TrainError::Config(format!("there is no stage {stage}; this model has {stages}")));
        }
        let largest = config.model.stages.iter().map(|stage| stage.size).max().unwrap_or(1);
        if let Some(model) = &options.from {
            begin::fits(&config.model, &model.config)?;
        }
        // Before the folder of the run is made: nothing is begun without pictures.
        let pictures = match &config.data {
            Data::Shapes | Data::Digits => None,
            Data::Mnist(folder) => Some(mnist::read(folder, largest)?),
            Data::Folder(folder) => Some(Pictures::read(folder, largest)?),
        };
        let json = serde_json::to_string_pretty(&config).map_err(|e| TrainError::Config(e.to_string()))?;
        let folder = Folder::open(out, &json, options.resume)?;
        if let Some(model) = &options.from {
            begin::note(&folder, model)?;
        }
        let tokenizer = match folder.read_optional("tokenizer.json")? {
            Some(bytes) => Tokenizer::from_bytes(&bytes)?,
            None => {
                let bytes = match &options.from {
                    Some(model) => model.text.tokenizer.to_bytes()?,
                    None => captions::tokenizer(&config, pictures.as_ref())?,
                };
                folder.write("tokenizer.json", &bytes)?;
                Tokenizer::from_bytes(&bytes)?
            }
        };
        let words = Words { tokenizer, max_len: config.model.text.max_len, frozen: None };
        let left = (1..=stages).filter(|stage| options.stages.is_empty() || options.stages.contains(stage));
        let left: VecDeque<usize> = left.map(|stage| stage - 1).collect();
        let mut warnings = Vec::new();
        if let Some(pictures) = &pictures {
            warnings.extend(warnings::truncated(&words, pictures)?);
            warnings.extend(warnings::changed(&folder, pictures)?);
        }
        warnings.extend(warnings::outdated(&config, &folder, &left));
        let device = device.clone();
        let (done, later, losses) = (Vec::new(), Vec::new(), Vec::new());
        let (from, current, reading) = (options.from.clone(), None, None);
        Ok(Self {
            config,
            json,
            folder,
            device,
            words,
            pictures,
            from,
            done,
            left,
            current,
            reading,
            later,
            warnings,
            losses,
        })
    }

    /// What should be known before the run goes on, each a sentence without its full stop: captions that are cut,
    /// pictures that have changed, later stages that will not fit what is trained now.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What this run learns from.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.config.data
    }

    /// The pictures this run learns from, if it does not draw them.
    #[must_use]
    pub fn pictures(&self) -> Option<&Pictures> {
        self.pictures.as_ref()
    }

    /// Works until there is something to tell: at most one step. Nothing when all is done.
    ///
    /// # Errors
    /// If the disk, the device or the training itself fails; what was saved stays.
    pub async fn next(&mut self) -> Result<Option<TrainEvent>, TrainError> {
        if self.reading.is_some() {
            return self.read().await.map(Some);
        }
        let Some((index, trainer)) = &mut self.current else { return self.start().await };
        let index = *index;
        let training = &self.config.stages[index];
        let over = trainer.step >= training.steps;
        let due = over || (trainer.step > 0 && trainer.step.is_multiple_of(self.config.checkpoint_every));
        // A stage ends on a checkpoint.
        if due && self.folder.is_behind(index, trainer.step) {
            return self.checkpoint().await.map(Some);
        }
        if over {
            let networks = trainer.averaged();
            self.finish(index, networks);
            return Ok(Some(TrainEvent::StageDone { stage: index + 1 }));
        }
        let place = place(&self.config, self.pictures.as_ref(), index);
        let report = trainer.step(self.config.seed, &place, &self.words)?;
        let pictures = training.batch;
        let last = trainer.step == training.steps;
        let log = trainer.step.is_multiple_of(self.config.log_every) || last;
        self.losses.push(report.loss.clone());
        let metrics = if log { Some(self.measure(&report).await?) } else { None };
        Ok(Some(TrainEvent::Step { pictures, metrics }))
    }

    /// Saves where the run is; what it has to be resumed from. Nothing between stages.
    ///
    /// # Errors
    /// If the disk or the device fails, or a number is not finite.
    pub async fn save(&mut self) -> Result<Option<PathBuf>, TrainError> {
        let Some((index, trainer)) = &self.current else { return Ok(None) };
        let bytes = checkpoint::save(trainer, &self.json).await?;
        // The model first: a kill in between costs the steps since the last checkpoint, and these write the model again,
        // while a checkpoint without its model would never be made up for.
        self.write_model().await?;
        let path = self.folder.write_checkpoint(*index, trainer.step, &bytes, self.config.keep_checkpoints)?;
        Ok(Some(path))
    }

    /// Writes the model's files, also of later stages that are there already. The config comes last, so that it never
    /// names a stage whose weights are not there.
    async fn write_model(&self) -> Result<(), TrainError> {
        for (name, bytes) in self.model(&self.later)?.files().await?.into_iter().rev() {
            self.folder.write(&format!("model/{name}"), &bytes)?;
        }
        Ok(())
    }

    /// The stages so far as a model, and then `later`.
    fn model(&self, later: &[Networks]) -> Result<Model, TrainError> {
        let current = self.current.as_ref().map(|(_, trainer)| trainer.averaged());
        let networks: Vec<&Networks> = self.done.iter().chain(&current).chain(later).collect();
        let t5 = networks.iter().find_map(|n| n.t5.clone()).ok_or(TrainError::Order { stage: 2 })?;
        let config =
            ModelConfig { stages: self.config.model.stages[..networks.len()].to_vec(), ..self.config.model.clone() };
        let text = TextEncoder::new(self.words.tokenizer.clone(), t5, self.words.max_len)?;
        let stages = networks.iter().zip(&config.stages);
        let stages = stages.map(|(n, config)| Stage { config: config.clone(), unet: n.unet.clone() }).collect();
        let licence = licence(&self.config.data).to_owned();
        Ok(Model { config, text, stages, device: self.device.clone(), hash: String::new(), licence })
    }

    async fn checkpoint(&mut self) -> Result<TrainEvent, TrainError> {
        let path = self.save().await?.unwrap_or_default();
        let model = Arc::new(self.model(&[])?);
        let Some((index, trainer)) = &self.current else { return Err(TrainError::Order { stage: 1 }) };
        Ok(TrainEvent::Checkpoint { path, model, stage: index + 1, step: trainer.step })
    }

    /// Begins the next stage, or takes it up; stages that need no training are read and passed over.
    async fn start(&mut self) -> Result<Option<TrainEvent>, TrainError> {
        if let Some(model) = self.from.take() {
            self.begin_with(&model).await?;
        }
        let Some(index) = self.left.pop_front() else { return Ok(None) };
        while self.done.len() < index {
            let stage = self.done.len();
            let trainer = self.trainer(stage)?;
            // A stage that began with a model's weights may keep them.
            let kept = trainer.step == 0 && self.folder.has_checkpoint(stage) && begin::is_noted(&self.folder)?;
            if trainer.step < self.config.stages[stage].steps && !kept {
                return Err(TrainError::Order { stage: index + 1 });
            }
            self.finish(stage, trainer.averaged());
        }
        let mut trainer = self.trainer(index)?;
        trainer.drafter = self.drafter(index);
        let event = TrainEvent::StageStarted {
            stage: index + 1,
            stages: self.config.stages.len(),
            done: trainer.step,
            steps: self.config.stages[index].steps,
            parameters: trainer.ema.average.iter().map(|t| t.dims()[0]).sum(),
        };
        self.folder.forget_metrics(index + 1, trainer.step)?;
        self.later.clear();
        for stage in index + 1..self.config.stages.len() {
            if !self.folder.has_checkpoint(stage) {
                break;
            }
            self.later.push(self.trainer(stage)?.averaged());
        }
        let complete = trainer.step >= self.config.stages[index].steps;
        self.reading = self.begin_to_read(&trainer);
        self.current = Some((index, trainer));
        if complete {
            // Nothing will be saved of it, and what is in the model's folder may be of a shorter run.
            self.write_model().await?;
        }
        Ok(Some(event))
    }

    /// Who draws the smaller pictures of a stage again, where that is asked.
    fn drafter(&self, index: usize) -> Option<Drafter> {
        let drafts = self.config.stages[index].drafts?;
        let before = index.checked_sub(1)?;
        let (config, unet) = (self.config.model.stages[before].clone(), self.done.get(before)?.unet.clone());
        Some(Drafter { stage: Stage { config, unet }, drafts, seed: self.config.seed })
    }

    /// The text encoder of a stage that has one, before its first step, if it is to read.
    fn begin_to_read(&self, trainer: &Trainer) -> Option<ReadingTrainer> {
        let t5 = trainer.networks.t5.clone().filter(|_| trainer.step == 0)?;
        let reading = self.config.reading.filter(|_| self.config.data == Data::Shapes)?;
        let t5 = Some(t5).filter(|_| !reading.anew);
        let reader = Reader::new(self.config.seed, &self.config.model.text.t5, t5, &self.device);
        Some(ReadingTrainer::new(reader, reading, self.config.stages[0].optim, &self.device))
    }

    /// One step of reading; after the last the stage goes on with the encoder that has read. A run that is stopped before
    /// reads again from the beginning.
    async fn read(&mut self) -> Result<TrainEvent, TrainError> {
        let (Some(reading), Some((_, trainer)), Some(config)) =
            (&mut self.reading, &mut self.current, &self.config.reading)
        else {
            return Err(TrainError::Order { stage: 1 });
        };
        let read = reading.step(self.config.seed, &self.words)?;
        let (step, steps) = (reading.step, config.steps);
        let over = step >= steps;
        let metrics = if over || step.is_multiple_of(self.config.log_every) {
            let metrics = ReadMetrics { loss: scalar(read.loss).await?, right: scalar(read.right).await? };
            if !metrics.loss.is_finite() {
                return Err(TrainError::Diverged { stage: 1, step: 0, loss: metrics.loss });
            }
            Some(metrics)
        } else {
            None
        };
        if over {
            trainer.begin_with(Networks { t5: Some(reading.encoder()), ..trainer.networks.clone() });
            self.reading = None;
        }
        Ok(TrainEvent::Read { step, steps, metrics })
    }

    /// A stage as the folder has it.
    fn trainer(&self, index: usize) -> Result<Trainer, TrainError> {
        let mut trainer = self.fresh(index);
        if let Some((name, bytes)) = self.folder.latest_checkpoint(index)? {
            let file = WeightFile::parse(name, bytes).map_err(CheckpointError::from)?;
            checkpoint::restore(&mut trainer, &file)?;
        } else if begin::is_noted(&self.folder)? {
            return Err(TrainError::NotBegun);
        }
        Ok(trainer)
    }

    /// A stage before its first step.
    fn fresh(&self, index: usize) -> Trainer {
        let text = (index == 0).then_some(&self.config.model.text);
        let seed = self.config.seed.wrapping_add(index as u64);
        Trainer::new(seed, &self.config.model.stages[index], text, &self.config.stages[index], &self.device)
    }

    fn finish(&mut self, index: usize, networks: Networks) {
        if index == 0 {
            self.words.frozen.clone_from(&networks.t5);
        }
        self.done.push(networks);
        self.current = None;
        self.losses.clear();
    }

    async fn measure(&mut self, report: &StepReport) -> Result<Metrics, TrainError> {
        let losses = std::mem::take(&mut self.losses);
        let count = losses.len();
        let loss = scalar(Tensor::cat(losses, 0).sum()).await? / count as f64;
        let grad_norm = scalar(report.grad_norm.clone()).await?;
        let Some((index, trainer)) = &self.current else { return Err(TrainError::Order { stage: 1 }) };
        let (stage, step) = (index + 1, trainer.step);
        if !loss.is_finite() || !grad_norm.is_finite() {
            return Err(TrainError::Diverged { stage, step, loss });
        }
        let training = &self.config.stages[*index];
        let metrics = Metrics {
            stage,
            step,
            pictures: step * training.batch as u64,
            loss,
            grad_norm,
            learning_rate: training.optim.rate(step - 1, training.steps),
        };
        let line = serde_json::to_string(&metrics).map_err(|e| TrainError::Config(e.to_string()))?;
        self.folder.append(METRICS, &line)?;
        Ok(metrics)
    }
}

fn place<'a>(config: &'a TrainConfig, pictures: Option<&'a Pictures>, index: usize) -> Place<'a> {
    Place {
        index,
        config: &config.model.stages[index],
        training: &config.stages[index],
        below: index.checked_sub(1).map(|below| config.model.stages[below].size),
        source: match (pictures, &config.data) {
            (Some(pictures), _) => Source::Pictures(pictures),
            (None, Data::Digits) => Source::Digits,
            (None, _) => Source::Shapes,
        },
    }
}

/// What may be done with the weights of a run.
fn licence(data: &Data) -> &'static str {
    match data {
        Data::Shapes | Data::Digits => {
            "The weights in this folder were trained from scratch by Firefall, on pictures and captions of its shapes\n\
             world, which it draws and writes itself; the digits in it have the outlines of three free fonts. No other\n\
             weights, pictures or texts went into them.\n\n\
             They may be used under the licence of Firefall: MIT or Apache-2.0, as you choose.\n"
        }
        Data::Folder(_) | Data::Mnist(_) => {
            "The weights in this folder were trained from scratch by Firefall, on a folder of captioned pictures. No\n\
             weights of others went into them.\n\n\
             Whoever trained them says what may be done with them; the rights in the pictures are to be minded. The\n\
             licence of Firefall does not cover them.\n"
        }
    }
}

async fn scalar(tensor: Tensor<1>) -> Result<f64, TrainError> {
    let device = |e: &dyn std::fmt::Debug| TrainError::Device(format!("{e:?}"));
    let data = tensor.into_data_async().await.map_err(|e| device(&e))?;
    let values: Vec<f32> = data.try_into_vec_as().map_err(|e| device(&e))?;
    Ok(f64::from(values[0]))
}
