//! `firefall train`: a model from scratch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use firefall_core::cascade::{Model, PictureRequest, Request};
use firefall_core::image::Picture;
use firefall_core::train::{Data, Metrics, RunOptions, TrainConfig, TrainEvent, TrainRun};
use firefall_core::world::sheet;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::TrainArgs;
use crate::files::Existing;
use crate::outcome::{Interrupted, Usage, catch_interrupts, interrupted};
use crate::png_text::{Origin, write};
use crate::{config_file, device, model};

/// The prompts of the contact sheet where the shapes world is learnt; two seeds each.
const SHEET: [&str; 12] = [
    "a red circle",
    "a green star",
    "a blue square",
    "a yellow triangle on a purple background",
    "a small black heart",
    "a big orange cross",
    "a pink ring in the top left",
    "a brown diamond at the bottom",
    "a red circle and a blue star",
    "a green square above a yellow hexagon",
    "three green stars",
    "a blue 5",
];

pub(super) fn run(args: &TrainArgs) -> Result<()> {
    let config = config(args)?;
    let stages = stages(args, &config)?;
    let (device, description) = device::open(args.device)?;
    let options = RunOptions { stages, resume: args.resume };
    let mut run = TrainRun::open(config, &args.out, &options, &device)?;
    let prompts = prompts(&run);
    let sheets = args.out.join("sheets");
    std::fs::create_dir_all(&sheets).with_context(|| format!("cannot make the folder {}", sheets.display()))?;
    catch_interrupts()?;
    eprintln!("training in {} on {description}", args.out.display());

    let started = Instant::now();
    let limit = args.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
    let mut show = Show::new();
    loop {
        if interrupted() || limit.is_some_and(|limit| started.elapsed() >= limit) {
            show.finish();
            let saved = pollster::block_on(run.save())?;
            let at = saved.map_or_else(String::new, |path| format!("saved {}; ", path.display()));
            eprintln!("{at}go on with: firefall train --out {} --resume", args.out.display());
            return if interrupted() { Err(Interrupted.into()) } else { Ok(()) };
        }
        let Some(event) = pollster::block_on(run.next())? else { break };
        show.event(&event);
        if let TrainEvent::Checkpoint { model, stage, step, .. } = event {
            let pictures = contact_sheet(&model, &prompts)?;
            let file = sheets.join(format!("stage{stage}-{step:08}.png"));
            write(&file, &sheet(&pictures, 6), &Origin::default(), Existing::Replace)?;
        }
    }
    show.finish();
    eprintln!("done; try: firefall sample --model {} {:?}", args.out.join("model").display(), prompts[0]);
    Ok(())
}

/// The config of a file, a preset, or the run that is resumed.
fn config(args: &TrainArgs) -> Result<TrainConfig> {
    let kept = args.out.join("train.json");
    let mut config = match (&args.config, &args.preset) {
        (Some(file), _) => config_file::read(file)?,
        (None, Some(name)) => TrainConfig::preset(name).map_err(Usage)?,
        (None, None) => config_file::read(&kept)?,
    };
    if let Some(folder) = &args.data {
        // As seen from everywhere: the run may be resumed from another folder.
        let folder = std::path::absolute(folder).with_context(|| format!("no folder {}", folder.display()))?;
        config.data = Data::Folder(folder);
    }
    if let Some(steps) = args.steps {
        for stage in &mut config.stages {
            stage.steps = steps;
        }
    }
    Ok(config)
}

/// The numbers of the stages that the user named: `text-and-base` is the first, `sr` the last, `sr2` the second
/// super-resolution stage; a number is a number.
fn stages(args: &TrainArgs, config: &TrainConfig) -> Result<Vec<usize>> {
    let count = config.stages.len();
    let number = |name: &String| match name.as_str() {
        "text-and-base" | "base" => Some(1),
        "sr" => Some(count).filter(|&n| n > 1),
        name => {
            name.strip_prefix("sr").unwrap_or(name).parse().ok().map(|n: usize| n + usize::from(name.starts_with("sr")))
        }
    };
    let stage = |name: &String| {
        number(name).filter(|n| (1..=count).contains(n)).ok_or_else(|| {
            let names: Vec<String> = (1..count).map(|n| format!("sr{n}")).collect();
            Usage(format!("no stage is called {name:?}; there are text-and-base, {}", names.join(", "))).into()
        })
    };
    args.stages.iter().map(stage).collect()
}

/// The prompts of the contact sheet: of a folder, captions from all over it.
fn prompts(run: &TrainRun) -> Vec<String> {
    let Some(pictures) = run.pictures() else { return SHEET.map(str::to_owned).to_vec() };
    let captions: Vec<&str> = pictures.captions().collect();
    let count = SHEET.len().min(captions.len());
    (0..count).map(|i| captions[i * captions.len() / count].to_owned()).collect()
}

/// The prompts of the sheet by the model as it is.
fn contact_sheet(model: &Arc<Model>, prompts: &[String]) -> Result<Vec<Picture>> {
    let wish = |prompt: &String, seed: u64| PictureRequest { prompt: prompt.clone(), negative: None, seed };
    let pictures = [1, 2].iter().flat_map(|&seed| prompts.iter().map(move |prompt| wish(prompt, seed)));
    model::pictures(model, Request { pictures: pictures.collect(), ..Request::default() }, |_| {})
}

/// A bar with loss, speed and time left; a line for every measurement where there is no terminal.
struct Show {
    bar: ProgressBar,
    since: Instant,
    pictures: usize,
}

impl Show {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, since: Instant::now(), pictures: 0 }
    }

    fn event(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::StageStarted { stage, stages, done, steps, parameters } => {
                self.bar.set_prefix(format!("stage {stage} of {stages}"));
                self.bar.set_length(*steps);
                self.bar.set_position(*done);
                self.bar.reset_eta();
                self.note(&format!("stage {stage} of {stages}: {parameters} parameters, step {done} of {steps}"));
                self.restart();
            }
            TrainEvent::Step { pictures, metrics } => {
                self.pictures += pictures;
                self.bar.inc(1);
                if let Some(metrics) = metrics {
                    self.measured(metrics);
                }
            }
            TrainEvent::Checkpoint { path, .. } => {
                self.note(&format!("saved {}", path.display()));
                self.restart();
            }
            TrainEvent::StageDone { stage } => self.note(&format!("stage {stage} is done")),
        }
    }

    fn measured(&mut self, metrics: &Metrics) {
        let speed = self.pictures as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_message(format!("loss {:.4}, {speed:.0} pictures/s", metrics.loss));
        if self.bar.is_hidden() {
            let Metrics { stage, step, loss, grad_norm, .. } = metrics;
            eprintln!("stage {stage} step {step}: loss {loss:.4}, gradient {grad_norm:.2}, {speed:.0} pictures/s");
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.since = Instant::now();
        self.pictures = 0;
    }

    fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
