//! `firefall sample`: pictures from prompts.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use firefall_core::cascade::{Event, Model, PictureRequest, Request, StageSettings};
use firefall_core::image::Picture;
use firefall_core::world::sheet;
use serde_json::{Value, json};

use crate::args::SampleArgs;
use crate::files::Existing;
use crate::outcome::{Usage, catch_interrupts};
use crate::png_text::{Origin, write};
use crate::progress::Progress;
use crate::prompts::{self, Wish};
use crate::{device, model, naming};

/// Pictures in a batch: enough to keep the cores busy, few enough for a small memory.
const BATCH: usize = 8;

/// One picture to make, and the name of its file.
struct Job {
    picture: PictureRequest,
    /// The file's name if the user gave one.
    out: Option<String>,
}

pub(super) fn run(args: &SampleArgs) -> Result<()> {
    let jobs = jobs(args)?;
    let mut place = Place::new(args, jobs.len())?;
    let (device, description) = device::open(args.device)?;
    let model = model::load(args.model.as_deref(), &device)?;
    let stages = settings(args, &model)?;
    let stop_after = args.stage;
    // A wrong request is told before the first step.
    let all =
        Request { pictures: jobs.iter().map(|j| j.picture.clone()).collect(), stages, stop_after, previews: false };
    all.validate(&model.config).map_err(|e| Usage(e.to_string()))?;

    catch_interrupts()?;
    let mut progress = Progress::stderr();
    progress.note(&format!("on {description}"));
    let mut made = Vec::new();
    for (i, batch) in jobs.chunks(BATCH).enumerate() {
        if jobs.len() > BATCH {
            progress.note(&format!("pictures {} to {} of {}", i * BATCH + 1, i * BATCH + batch.len(), jobs.len()));
        }
        let request = Request { pictures: batch.iter().map(|job| job.picture.clone()).collect(), ..all.clone() };
        let pictures = model::pictures(&model, request, |event| follow(&mut progress, event))?;
        for (job, picture) in batch.iter().zip(pictures) {
            let path = place.write(job, &picture, &origin(job, &model, &all))?;
            progress.note(&format!("{}  seed {}", path.display(), job.picture.seed));
            made.push(picture);
        }
    }
    progress.done();
    if let Some(file) = &args.sheet {
        let columns = (1..=made.len()).find(|n| n * n >= made.len()).unwrap_or(1);
        let existing = if args.force { Existing::Replace } else { Existing::Refuse };
        let path = write(file, &sheet(&made, columns), &Origin::default(), existing)?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

/// Draws the progress of a run.
pub(super) fn follow(progress: &mut Progress, event: &Event) {
    match event {
        Event::StageStarted { stage, stages, size, steps } => progress.stage_started(*stage, *stages, *size, *steps),
        Event::Step { step, .. } => progress.step(*step),
        Event::Warning { message } => progress.note(&format!("warning: {message}")),
        Event::Encoded { .. } | Event::StageDone { .. } | Event::Done { .. } => {}
    }
}

fn jobs(args: &SampleArgs) -> Result<Vec<Job>> {
    let wishes = match (&args.prompts, &args.prompt) {
        (Some(file), _) => prompts::read(file)?,
        (None, prompt) => vec![Wish { prompt: prompt.clone().unwrap_or_default(), ..Wish::default() }],
    };
    // Any seed is as good; the one taken is printed and stored in the picture.
    let mut next = args.seed.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    let mut jobs = Vec::new();
    for wish in wishes {
        for i in 0..args.count as u64 {
            let seed = match wish.seed {
                Some(seed) => seed.wrapping_add(i),
                None => {
                    next = next.wrapping_add(1);
                    next.wrapping_sub(1)
                }
            };
            let negative = wish.negative.clone().or_else(|| args.negative.clone());
            jobs.push(Job {
                picture: PictureRequest { prompt: wish.prompt.clone(), negative, seed },
                out: wish.out.clone(),
            });
        }
    }
    Ok(jobs)
}

/// The settings of every stage, as far as the user gave any.
fn settings(args: &SampleArgs, model: &Model) -> Result<Vec<StageSettings>> {
    let stages = model.config.stages.len();
    let mut settings = vec![StageSettings::default(); stages];
    let usage = |flag: &str| {
        let flag = flag.to_owned();
        move |e: String| Usage(format!("{flag}: {e}"))
    };
    if let Some(steps) = &args.steps {
        for (s, steps) in settings.iter_mut().zip(steps.of(stages).map_err(usage("--steps"))?) {
            s.steps = Some(steps);
        }
    }
    if let Some(samplers) = &args.sampler {
        for (s, sampler) in settings.iter_mut().zip(samplers.of(stages).map_err(usage("--sampler"))?) {
            s.sampler = Some(sampler);
        }
    }
    if let Some(scales) = &args.cond_scale {
        // One number is for the stages that the model itself guides.
        let one = scales.given().len() == 1;
        for (i, scale) in scales.of(stages).map_err(usage("--cond-scale"))?.into_iter().enumerate() {
            if !one || model.config.stages[i].sampling.cond_scale != 1.0 {
                settings[i].cond_scale = Some(scale);
            }
        }
    }
    Ok(settings)
}

fn origin(job: &Job, model: &Arc<Model>, request: &Request) -> Origin {
    let stages: Vec<Value> = model.config.stages[..request.stages_of(&model.config)]
        .iter()
        .zip(&request.stages)
        .map(|(stage, asked)| {
            let sampling = &stage.sampling;
            json!({
                "size": stage.size,
                "sampler": asked.sampler.unwrap_or(sampling.sampler).name(),
                "steps": asked.steps.unwrap_or(sampling.steps),
                "cond_scale": asked.cond_scale.unwrap_or(sampling.cond_scale),
            })
        })
        .collect();
    Origin {
        prompt: Some(job.picture.prompt.clone()),
        negative: job.picture.negative.clone(),
        seed: Some(job.picture.seed),
        settings: Some(json!({ "model": model.config.name, "stages": stages })),
        model: Some(model.hash.clone()),
    }
}

/// Where pictures go.
struct Place {
    folder: PathBuf,
    /// The file of the only picture.
    file: Option<PathBuf>,
    force: bool,
    /// By this run.
    written: HashSet<PathBuf>,
}

impl Place {
    fn new(args: &SampleArgs, jobs: usize) -> Result<Self> {
        let (force, written) = (args.force, HashSet::new());
        let here = PathBuf::from(".");
        let Some(out) = &args.out else { return Ok(Self { folder: here, file: None, force, written }) };
        if jobs == 1 && args.prompts.is_none() && !out.is_dir() {
            return Ok(Self { folder: here, file: Some(out.clone()), force, written });
        }
        std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        Ok(Self { folder: out.clone(), file: None, force, written })
    }

    fn write(&mut self, job: &Job, picture: &Picture, origin: &Origin) -> Result<PathBuf> {
        let named = self.file.clone().or_else(|| job.out.as_ref().map(|name| self.folder.join(name)));
        let ours = named.is_none();
        let path = named.unwrap_or_else(|| in_folder(&self.folder, &naming::file_name(&job.picture.prompt)));
        // Even by force no picture of this run replaces another.
        let existing = match (self.force && !self.written.contains(&path), ours) {
            (true, _) => Existing::Replace,
            (false, false) => Existing::Refuse,
            (false, true) => Existing::Number,
        };
        let path = write(&path, picture, origin, existing)?;
        self.written.insert(path.clone());
        Ok(path)
    }
}

/// A path in the current folder is the bare name.
fn in_folder(folder: &Path, name: &str) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) }
}
