//! `firefall eval`: how often pictures show what their prompts say.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use firefall_core::cascade::{Model, PictureRequest, Request, StageSettings};
use firefall_core::image::Picture;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::world::{Category, EvalPrompt, ceiling, judge_picture, prompts, sheet, wilson};
use image::imageops::FilterType;
use serde::Serialize;

use crate::args::EvalArgs;
use crate::files::{Existing, write_whole};
use crate::outcome::{Usage, catch_interrupts, print};
use crate::png_text::{Origin, write};
use crate::progress::Progress;
use crate::values::category_name;
use crate::{device, model};

/// The seed of prompts and pictures: training never uses it.
const SEED: u64 = 0x5EED_E7A1;
/// Side of the pictures that are judged.
const SIDE: usize = 128;
/// Pictures in a batch.
const BATCH: usize = 16;

/// What was measured of one category.
#[derive(Debug, Clone, Serialize)]
struct Row {
    category: Category,
    right: usize,
    pictures: usize,
    /// Of the rate, 95 %, after Wilson.
    interval: (f64, f64),
    /// Prompts of which every picture is right.
    all_right: usize,
    prompts: usize,
    /// The parser on clean renders of the same kind of prompt.
    parser: f64,
    /// The same pictures judged by other prompts of the category.
    shuffled: f64,
    /// Pictures made without text, judged by the category's prompts.
    no_text: f64,
    verdicts: Vec<Answer>,
}

/// One picture.
#[derive(Debug, Clone, Serialize)]
struct Answer {
    prompt: String,
    seed: u64,
    /// What is wrong with it; absent if nothing is.
    fault: Option<String>,
}

/// Everything that is measured, as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    hash: &'a str,
    device: &'a str,
    seed: u64,
    rows: &'a [Row],
}

pub(super) fn run(args: &EvalArgs) -> Result<()> {
    let (device, description) = device::open(args.device)?;
    let model = model::load(args.model.as_deref(), &device)?;
    let stages = match &args.steps {
        Some(steps) => steps.of(model.config.stages.len()).map_err(|e| Usage(format!("--steps: {e}")))?,
        None => Vec::new(),
    };
    let stages = stages.into_iter().map(|steps| StageSettings { steps: Some(steps), ..StageSettings::default() });
    let asked = Request { stages: stages.collect(), ..Request::default() };
    if let Some(folder) = &args.sheet {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    catch_interrupts()?;
    let mut progress = Progress::stderr();
    progress.note(&format!("on {description}"));
    let categories = if args.categories.is_empty() { Category::ALL.to_vec() } else { args.categories.clone() };
    let blind = blind_pictures(&model, &asked, args.prompts.min(64), &mut progress)?;
    let mut rows = Vec::new();
    for category in categories {
        progress.note(&format!("{category}"));
        let (row, pictures) = measure(&model, &asked, category, args, &blind)?;
        progress.note(&line(&row));
        if let Some(folder) = &args.sheet {
            write_sheet(folder, category, &pictures, args.seeds)?;
        }
        rows.push(row);
    }
    progress.done();
    if let Some(file) = &args.json {
        let (name, hash) = (&model.config.name, &model.hash);
        let report = Report { model: name, hash, device: &description, seed: SEED, rows: &rows };
        let json = serde_json::to_vec_pretty(&report)?;
        write_whole(file, Existing::Replace, |out| Ok(out.write_all(&json)?))?;
    }
    print(&table(&rows))
}

fn measure(
    model: &Arc<Model>,
    asked: &Request,
    category: Category,
    args: &EvalArgs,
    blind: &[Picture],
) -> Result<(Row, Vec<Picture>)> {
    let mut stream = Stream::new(SEED, Purpose::Evaluation, category as u64);
    let prompts = prompts(category, args.prompts, &mut stream);
    let jobs: Vec<(&EvalPrompt, u64)> =
        prompts.iter().enumerate().flat_map(|(i, p)| (0..args.seeds).map(move |s| (p, seed(category, i, s)))).collect();
    let wishes =
        jobs.iter().map(|(prompt, seed)| PictureRequest { prompt: prompt.text.clone(), negative: None, seed: *seed });
    let pictures = make(model, asked, wishes.collect())?;

    let mut verdicts = Vec::new();
    for ((prompt, seed), picture) in jobs.iter().zip(&pictures) {
        let fault = judge_picture(&prompt.wanted, picture).err().map(|fault| fault.to_string());
        verdicts.push(Answer { prompt: prompt.text.clone(), seed: *seed, fault });
    }
    let is_right = |answer: &Answer| answer.fault.is_none();
    let right = verdicts.iter().filter(|answer| is_right(answer)).count();
    let all_right = verdicts.chunks(args.seeds).filter(|answers| answers.iter().all(is_right)).count();
    // Every picture by the prompt half a round further on.
    let other = |i: usize| &prompts[(i / args.seeds + prompts.len().div_ceil(2)) % prompts.len()];
    let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
    let shuffled = pictures.iter().enumerate().filter(|(i, p)| judge_picture(&other(*i).wanted, p).is_ok()).count();
    let no_text = prompts.iter().zip(blind.iter().cycle()).filter(|(p, b)| judge_picture(&p.wanted, b).is_ok()).count();
    let row = Row {
        category,
        right,
        pictures: pictures.len(),
        interval: wilson(right, pictures.len()),
        all_right,
        prompts: prompts.len(),
        parser: share(ceiling(category, prompts.len(), SEED), prompts.len()),
        shuffled: share(shuffled, pictures.len()),
        no_text: share(no_text, prompts.len()),
        verdicts,
    };
    Ok((row, pictures))
}

/// The seed of a picture: its own, whatever is measured beside it.
fn seed(category: Category, prompt: usize, seed: usize) -> u64 {
    ((category as u64) << 40) | ((prompt as u64) << 16) | seed as u64
}

/// Pictures at the size that is judged.
fn make(model: &Arc<Model>, asked: &Request, wishes: Vec<PictureRequest>) -> Result<Vec<Picture>> {
    let mut all = Vec::new();
    for batch in wishes.chunks(BATCH) {
        let request = Request { pictures: batch.to_vec(), ..asked.clone() };
        all.extend(model::pictures(model, request, |_| {})?.into_iter().map(|picture| enlarge(&picture)));
    }
    Ok(all)
}

/// Pictures of nothing that was said: guidance off and a prompt that the model takes for none.
fn blind_pictures(model: &Arc<Model>, asked: &Request, count: usize, progress: &mut Progress) -> Result<Vec<Picture>> {
    progress.note("without text");
    let unguided =
        |i: usize| StageSettings { cond_scale: Some(0.0), ..asked.stages.get(i).copied().unwrap_or_default() };
    let asked = Request { stages: (0..model.config.stages.len()).map(unguided).collect(), ..asked.clone() };
    let wish = |i: usize| PictureRequest { prompt: "a".into(), negative: None, seed: seed(Category::Single, i, 0) };
    make(model, &asked, (0..count).map(wish).collect())
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

fn write_sheet(folder: &Path, category: Category, pictures: &[Picture], columns: usize) -> Result<()> {
    let columns = if columns > 1 { columns * 2 } else { 8 };
    let path = folder.join(format!("{}.png", category_name(category)));
    write(&path, &sheet(&pictures[..pictures.len().min(64)], columns), &Origin::default(), Existing::Replace)?;
    Ok(())
}

fn line(row: &Row) -> String {
    let rate = row.right as f64 / row.pictures.max(1) as f64;
    format!("{}: {} of {} right, {:.2}", row.category, row.right, row.pictures, rate)
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| category | right | 95 % | all of a prompt right | parser | shuffled captions | no text |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let rate = row.right as f64 / row.pictures.max(1) as f64;
        let (low, high) = row.interval;
        text.push_str(&format!(
            "| {} | {:.3} ({} of {}) | {:.3} to {:.3} | {} of {} | {:.3} | {:.3} | {:.3} |\n",
            row.category,
            rate,
            row.right,
            row.pictures,
            low,
            high,
            row.all_right,
            row.prompts,
            row.parser,
            row.shuffled,
            row.no_text
        ));
    }
    text
}
