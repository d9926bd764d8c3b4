//! `firefall sample`: pictures from prompts.

mod plan;

use std::sync::Arc;

use anyhow::Result;
use firefall_core::cascade::{Event, Model, PictureRequest, Request, StageSettings};

use self::plan::Job;
use crate::args::{SampleArgs, SamplingArgs};
use crate::files::Existing;
use crate::outcome::{Usage, catch_interrupts, say};
use crate::png_text::{Origin, write};
use crate::progress::Progress;
use crate::{contact, device, model};

/// Pictures in a batch: enough to keep the cores busy, few enough for a small memory.
pub(super) const BATCH: usize = 8;

pub(super) fn run(args: &SampleArgs) -> Result<()> {
    let jobs = plan::jobs(args)?;
    let (device, description) = device::open(args.make.device)?;
    let model = model::load(args.make.model.as_deref(), &device)?;
    let asked = asked(args, &model, &jobs)?;
    let last = &model.config.stages[asked.stages_of(&model.config) - 1];
    if args.sheet.is_some() {
        contact::check(jobs.len(), last.size)?;
    }

    catch_interrupts()?;
    let mut progress = Progress::stderr();
    progress.note(&format!("on {description}"));
    let mut made = Vec::new();
    for (i, batch) in jobs.chunks(BATCH).enumerate() {
        if jobs.len() > BATCH {
            progress.note(&format!("pictures {} to {} of {}", i * BATCH + 1, i * BATCH + batch.len(), jobs.len()));
        }
        let request = Request { pictures: batch.iter().map(|job| job.picture.clone()).collect(), ..asked.clone() };
        let pictures = model::pictures(&model, request, |event| follow(&mut progress, event))?;
        for (job, picture) in batch.iter().zip(pictures) {
            let path = write(&job.path, &picture, &origin(job, &model, &asked), job.existing)?;
            progress.note(&format!("{}  seed {}", path.display(), job.picture.seed));
            if args.sheet.is_some() {
                made.push(picture);
            }
        }
    }
    progress.done();
    if let Some(file) = &args.sheet {
        let wishes: Vec<PictureRequest> = jobs.iter().map(|job| job.picture.clone()).collect();
        let origin = contact::origin(&model, asked.described(&model.config), &wishes);
        let columns = contact::columns(made.len());
        let path = contact::write_sheet(file, &made, columns, &origin, Existing::named(args.make.force))?;
        say(&path.display().to_string());
    }
    Ok(())
}

/// What is asked of every batch, without its pictures. A wrong request is told before the first step.
fn asked(args: &SampleArgs, model: &Model, jobs: &[Job]) -> Result<Request> {
    let pictures = jobs.iter().map(|job| job.picture.clone()).collect();
    let all =
        Request { pictures, stages: stages(&args.make.sampling, model)?, stop_after: args.stage, ..Request::default() };
    all.validate(&model.config).map_err(|e| Usage(e.to_string()))?;
    Ok(Request { pictures: Vec::new(), ..all })
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

/// The settings of every stage, as far as the user gave any.
pub(super) fn stages(args: &SamplingArgs, model: &Model) -> Result<Vec<StageSettings>> {
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
    Origin {
        prompt: Some(job.picture.prompt.clone()),
        negative: job.picture.negative.clone(),
        seed: Some(job.picture.seed),
        settings: Some(request.described(&model.config)),
        model: Some(model.hash.clone()),
    }
}
