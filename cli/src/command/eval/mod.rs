//! `firefall eval`: how often pictures show what their prompts say.

mod digits;
mod inpaint;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use firefall_core::cascade::{Event, Model, PictureRequest, Request, StageSettings};
use firefall_core::image::Picture;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::world::{Category, EvalPrompt, Fault, Marginals, Parsed, Unreadable, ceiling, parse, prompts};
use image::imageops::FilterType;
use serde_json::json;

use self::report::{Answer, Report, Row};
use crate::args::{EvalArgs, EvalTask, OutputArgs};
use crate::files::{self, Existing};
use crate::outcome::{catch_interrupts, print};
use crate::progress::Progress;
use crate::values::category_name;
use crate::{contact, device, model};

/// The seed of prompts and pictures: training never uses it.
const SEED: u64 = 0x5EED_E7A1;
/// Side of the pictures that are judged.
const SIDE: usize = 128;
/// Pictures in a batch.
const BATCH: usize = 16;
/// Most pictures of a category on its sheet.
const SHEET: usize = 64;
/// Most pictures without text.
const BLIND: usize = 64;

/// A picture as the parser read it.
type Reading = Result<Parsed, Unreadable>;

pub(super) fn run(args: &EvalArgs) -> Result<()> {
    match &args.task {
        Some(EvalTask::Inpaint(args)) => return inpaint::run(args),
        Some(EvalTask::Digits(args)) => return digits::run(args),
        None => {}
    }
    let mut categories: Vec<Category> = Vec::new();
    for &category in if args.categories.is_empty() { &Category::ALL[..] } else { &args.categories } {
        if !categories.contains(&category) {
            categories.push(category);
        }
    }
    check_places(args, &categories)?;
    let (device, description) = device::open(args.device)?;
    let model = model::load(args.model.as_deref(), &device)?;
    let asked = Request { stages: super::sample::stages(&args.sampling, &model)?, ..Request::default() };
    catch_interrupts()?;
    let progress = Progress::stderr();
    let report = Report {
        model: model.config.name.clone(),
        hash: model.hash.clone(),
        device: description,
        seed: SEED,
        held_out_product: None,
        rows: Vec::new(),
    };
    let mut eval = Eval { args, model, asked, progress, report, marginals: Marginals::default(), written: false };
    let outcome = eval.all(&categories);
    eval.progress.done();
    // Whatever came in between, Ctrl-C or a full disk: what was measured is told.
    let told = if eval.report.rows.is_empty() { Ok(()) } else { print(&eval.report.table()) };
    outcome.and(told)
}

/// Hours of work are not begun for files that cannot be written.
fn check_places(args: &EvalArgs, categories: &[Category]) -> Result<()> {
    let existing = Existing::named(args.force);
    if let Some(file) = &args.json {
        files::check(file, existing)?;
    }
    let Some(folder) = &args.sheet else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    categories.iter().try_for_each(|&category| files::check(&sheet_path(folder, category), existing))
}

/// The same for the other measurements; what they may do with files.
fn check_output(output: &OutputArgs) -> Result<Existing> {
    let existing = Existing::named(output.force);
    output.json.iter().chain(&output.sheet).try_for_each(|file| files::check(file, existing))?;
    Ok(existing)
}

fn sheet_path(folder: &Path, category: Category) -> PathBuf {
    folder.join(format!("{}.png", category_name(category)))
}

/// An evaluation at work.
struct Eval<'a> {
    args: &'a EvalArgs,
    model: Arc<Model>,
    asked: Request,
    progress: Progress,
    report: Report,
    marginals: Marginals,
    /// Whether the JSON is that of this evaluation.
    written: bool,
}

impl Eval<'_> {
    fn all(&mut self, categories: &[Category]) -> Result<()> {
        self.progress.note(&format!("on {}", self.report.device));
        let blind = self.blind()?;
        // A file that cannot be written is no reason to stop measuring; it is one to fail in the end.
        let mut failure = Ok(());
        for &category in categories {
            let (row, jobs, pictures) = self.measure(category, &blind)?;
            self.progress.note(&row.line());
            self.report.rows.push(row);
            self.report.held_out_product = self.marginals.held_out();
            for outcome in [self.write_json(), self.write_sheet(category, &jobs, &pictures)] {
                if let Err(error) = outcome {
                    self.progress.note(&format!("warning: {error:#}"));
                    failure = Err(error);
                }
            }
        }
        failure
    }

    fn measure(&mut self, category: Category, blind: &[Reading]) -> Result<(Row, Vec<PictureRequest>, Vec<Picture>)> {
        let seeds = self.args.seeds;
        let mut stream = Stream::new(SEED, Purpose::Evaluation, category as u64);
        let skip = self.args.skip;
        let prompts = prompts(category, skip + self.args.prompts, &mut stream).split_off(skip);
        let job = |i: usize| {
            let (prompt, seed) = (prompts[i / seeds].text.clone(), seed(category, skip + i / seeds, i % seeds));
            PictureRequest { prompt, negative: None, seed }
        };
        let jobs: Vec<PictureRequest> = (0..prompts.len() * seeds).map(job).collect();
        let begin = Instant::now();
        let pictures = self.make(&category.to_string(), &self.asked.clone(), &jobs)?;
        let seconds = begin.elapsed().as_secs_f64();
        let readings: Vec<Reading> = pictures.iter().map(parse).collect();

        let mut verdicts = Vec::new();
        for (i, (job, reading)) in jobs.iter().zip(&readings).enumerate() {
            let wanted = &prompts[i / seeds].wanted;
            self.marginals.add(wanted, reading.as_ref().ok());
            let fault = judge(&prompts[i / seeds], reading).err().map(|fault| fault.to_string());
            verdicts.push(Answer { prompt: job.prompt.clone(), seed: job.seed, fault });
        }
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        let others: Vec<(&EvalPrompt, &Reading)> =
            readings.iter().enumerate().filter_map(|(i, read)| Some((other(&prompts, i / seeds)?, read))).collect();
        let right = |(prompt, reading): &(&EvalPrompt, &Reading)| judge(prompt, reading).is_ok();
        let shuffled = others.iter().filter(|pair| right(pair)).count();
        let no_text = prompts.iter().zip(blind.iter().cycle()).filter(right).count();
        let row = Row {
            seconds,
            parser: share(ceiling(category, prompts.len(), SEED), prompts.len()),
            shuffled: (!others.is_empty()).then(|| share(shuffled, others.len())),
            no_text: share(no_text, prompts.len()),
            ..Row::new(category, verdicts, seeds)
        };
        Ok((row, jobs, pictures))
    }

    /// Pictures at the size that is judged.
    fn make(&mut self, title: &str, asked: &Request, wishes: &[PictureRequest]) -> Result<Vec<Picture>> {
        self.progress.begin(title.to_owned(), "picture", wishes.len());
        let stages = asked.stages_of(&self.model.config);
        let mut all = Vec::new();
        for batch in wishes.chunks(BATCH) {
            let request = Request { pictures: batch.to_vec(), ..asked.clone() };
            let (before, progress) = (all.len(), &mut self.progress);
            let made = model::pictures(&self.model, request, |event| match event {
                Event::Step { stage, step, steps, .. } => {
                    // As if every stage took as long as any other: it is about how far a batch is, not when it ends.
                    let share = ((stage - 1) * steps + step) as f64 / (stages * steps) as f64;
                    progress.step(before + (share * batch.len() as f64) as usize);
                }
                Event::Warning { message } => progress.note(&format!("warning: {message}")),
                _ => {}
            })?;
            all.extend(made.iter().map(enlarge));
            self.progress.step(all.len());
        }
        Ok(all)
    }

    /// Pictures of nothing that was said: guidance off and a prompt that the model takes for none.
    fn blind(&mut self) -> Result<Vec<Reading>> {
        let given = |i: usize| self.asked.stages.get(i).copied().unwrap_or_default();
        let unguided = |i: usize| StageSettings { cond_scale: Some(0.0), ..given(i) };
        let stages = (0..self.model.config.stages.len()).map(unguided).collect();
        let asked = Request { stages, ..self.asked.clone() };
        let wish = |i: usize| PictureRequest { prompt: "a".into(), negative: None, seed: seed(Category::Single, i, 0) };
        let wishes: Vec<PictureRequest> = (0..self.args.prompts.min(BLIND)).map(wish).collect();
        Ok(self.make("without text", &asked, &wishes)?.iter().map(parse).collect())
    }

    /// What is measured so far.
    fn write_json(&mut self) -> Result<()> {
        let Some(file) = &self.args.json else { return Ok(()) };
        self.report.write(file, Existing::named(self.args.force || self.written))?;
        self.written = true;
        Ok(())
    }

    fn write_sheet(&self, category: Category, jobs: &[PictureRequest], pictures: &[Picture]) -> Result<()> {
        let Some(folder) = &self.args.sheet else { return Ok(()) };
        let shown = pictures.len().min(SHEET);
        let columns = if self.args.seeds > 1 { self.args.seeds * 2 } else { 8 };
        let origin = contact::origin(&self.model, json!({ "category": category }), &jobs[..shown]);
        let existing = Existing::named(self.args.force);
        contact::write_sheet(&sheet_path(folder, category), &pictures[..shown], columns, &origin, existing)?;
        Ok(())
    }
}

fn judge(prompt: &EvalPrompt, reading: &Reading) -> Result<(), Fault> {
    match reading {
        Ok(parsed) => prompt.wanted.judge(parsed),
        Err(unreadable) => Err(unreadable.clone().into()),
    }
}

/// The prompt that picture of prompt `i` is judged by when captions are shuffled: the first that says something else,
/// from half a round further on; none if all say the same.
fn other(prompts: &[EvalPrompt], i: usize) -> Option<&EvalPrompt> {
    let half = prompts.len().div_ceil(2);
    let further = (0..prompts.len()).map(|n| &prompts[(i + half + n) % prompts.len()]);
    further.into_iter().find(|other| other.wanted != prompts[i].wanted)
}

/// The seed of a picture: its own, whatever is measured beside it.
fn seed(category: Category, prompt: usize, seed: usize) -> u64 {
    ((category as u64) << 40) | ((prompt as u64) << 16) | seed as u64
}

/// A model of one stage is judged by its small pictures, enlarged.
fn enlarge(picture: &Picture) -> Picture {
    if picture.width == SIDE {
        return picture.clone();
    }
    let (width, height) = (picture.width as u32, picture.height as u32);
    let Some(small) = image::RgbImage::from_raw(width, height, picture.rgb.clone()) else { return picture.clone() };
    let big = image::imageops::resize(&small, SIDE as u32, SIDE as u32, FilterType::Lanczos3);
    Picture { width: SIDE, height: SIDE, rgb: big.into_raw() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_captions_say_something_else() {
        for (category, count) in [(Category::HeldOutPair, 100), (Category::Single, 100), (Category::Single, 2)] {
            let prompts = prompts(category, count, &mut Stream::new(SEED, Purpose::Evaluation, 0));
            for (i, prompt) in prompts.iter().enumerate() {
                assert_ne!(other(&prompts, i).unwrap().wanted, prompt.wanted, "{category} {i}");
            }
        }
        let one = prompts(Category::Single, 1, &mut Stream::new(SEED, Purpose::Evaluation, 0));
        assert_eq!(other(&one, 0), None);
    }
}
