//! `firefall eval inpaint`: how often what is painted into a picture is what was asked for, and whether one sees where.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use firefall_core::cascade::{Event, Model, PictureRequest, Request};
use firefall_core::diffusion::Resampling;
use firefall_core::image::Picture;
use firefall_core::inpaint::{Blend, Job, seam_ratio};
use firefall_core::noise::{Purpose, Stream};
use firefall_core::world::{Category, Edit, EditTask, judge_picture, wilson};
use serde::Serialize;
use serde_json::json;

use super::{BATCH, SEED, SHEET, check_output, enlarge, seed};
use crate::args::EvalInpaintArgs;
use crate::files::{Existing, write_whole};
use crate::outcome::{catch_interrupts, print};
use crate::progress::Progress;
use crate::{contact, device, model};

/// What was measured of one kind of task.
#[derive(Debug, Serialize)]
struct Row {
    edit: Edit,
    right: usize,
    tasks: usize,
    interval: (f64, f64),
    /// The model's own accuracy on the same prompts without a picture to paint in; absent where there is no prompt.
    own: Option<Share>,
    /// Median of the seam ratio over all tasks.
    seam_ratio: f64,
    /// Bytes changed where the feathered mask is 0, in all tasks together.
    bytes_changed: usize,
    verdicts: Vec<Answer>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Share {
    right: usize,
    pictures: usize,
}

#[derive(Debug, Serialize)]
struct Answer {
    prompt: String,
    seed: u64,
    /// What is wrong; absent if nothing is.
    fault: Option<String>,
    seam_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    hash: &'a str,
    device: &'a str,
    seed: u64,
    preset: String,
    rows: &'a [Row],
}

pub(super) fn run(args: &EvalInpaintArgs) -> Result<()> {
    let existing = check_output(&args.output)?;
    let (device, description) = device::open(args.output.device)?;
    let model = model::load(args.model.as_deref(), &device)?;
    catch_interrupts()?;
    let mut eval = Eval { args, model, progress: Progress::stderr(), shown: Vec::new() };
    eval.progress.note(&format!("on {description}"));
    let mut rows = Vec::new();
    let outcome = Edit::ALL.into_iter().try_for_each(|edit| {
        let row = eval.measure(edit)?;
        eval.progress.note(&format!("{edit}: {} of {} right", row.right, row.tasks));
        rows.push(row);
        Ok(())
    });
    eval.progress.done();
    if rows.is_empty() {
        return outcome;
    }
    // Whatever came in between, Ctrl-C or a full disk: what was measured is told, and files come first, because nobody may
    // be listening.
    let written = eval.write(&rows, &description, existing);
    outcome.and(written).and(print(&table(&rows)))
}

struct Eval<'a> {
    args: &'a EvalInpaintArgs,
    model: Arc<Model>,
    progress: Progress,
    /// Before and after, for the sheet.
    shown: Vec<Picture>,
}

impl Eval<'_> {
    fn resampling(&self) -> Resampling {
        self.args.preset.unwrap_or_else(|| self.model.config.resampling())
    }

    fn write(&self, rows: &[Row], device: &str, existing: Existing) -> Result<()> {
        if let Some(file) = &self.args.output.json {
            let (model, hash) = (&self.model.config.name, &self.model.hash);
            let preset = serde_json::to_string(&self.resampling())?;
            let report = Report { model, hash, device, seed: SEED, preset, rows };
            let json = serde_json::to_vec_pretty(&report)?;
            write_whole(file, existing, |out| Ok(out.write_all(&json)?))?;
        }
        self.args.output.sheet.as_ref().map_or(Ok(()), |file| self.write_sheet(file, existing))
    }

    fn measure(&mut self, edit: Edit) -> Result<Row> {
        let mut stream = Stream::new(SEED, Purpose::Evaluation, (1 << 32) | edit as u64);
        let tasks = (0..self.args.tasks).map(|_| EditTask::draw(edit, &mut stream)).collect::<Result<Vec<_>, _>>()?;
        let (mut verdicts, mut bytes_changed) = (Vec::new(), 0);
        self.progress.begin(edit.to_string(), "task", tasks.len());
        for (i, task) in tasks.iter().enumerate() {
            let job = Job::new(task.picture.clone(), task.mask.clone(), Blend::default(), &self.model.config)?;
            let canvas = job.canvas(&self.model.config, self.resampling(), 1.0);
            let asked = Request { canvas: Some(canvas), pictures: vec![wish(task, i)], ..Request::default() };
            let painted = model::pictures(&self.model, asked, |_| ())?;
            let result = job.finish(&painted[0]);
            let weights = job.weights();
            bytes_changed += changed(&task.picture, &result, &weights.alpha);
            let ratio = seam_ratio(&result, weights);
            let fault = task.judge(&result).err().map(|fault| fault.to_string());
            verdicts.push(Answer { prompt: task.prompt.clone(), seed: wish(task, i).seed, fault, seam_ratio: ratio });
            if i < SHEET / 4 {
                self.shown.extend([task.picture.clone(), result]);
            }
            self.progress.step(i + 1);
        }
        let right = verdicts.iter().filter(|answer| answer.fault.is_none()).count();
        let mut ratios: Vec<f64> = verdicts.iter().map(|answer| answer.seam_ratio).collect();
        ratios.sort_by(f64::total_cmp);
        Ok(Row {
            edit,
            right,
            tasks: tasks.len(),
            interval: wilson(right, tasks.len()),
            own: self.own(edit, &tasks)?,
            seam_ratio: ratios[ratios.len() / 2],
            bytes_changed,
            verdicts,
        })
    }

    /// The same prompts and seeds without a picture to paint in.
    fn own(&mut self, edit: Edit, tasks: &[EditTask]) -> Result<Option<Share>> {
        if tasks.iter().any(|task| task.wanted.is_none()) {
            return Ok(None);
        }
        self.progress.begin(format!("{edit}, without a picture"), "picture", tasks.len());
        let mut right = 0;
        for (n, batch) in tasks.chunks(BATCH).enumerate() {
            let pictures = batch.iter().enumerate().map(|(i, task)| wish(task, n * BATCH + i)).collect();
            let asked = Request { pictures, ..Request::default() };
            let made = model::pictures(&self.model, asked, |event| {
                if let Event::Warning { message } = event {
                    self.progress.note(&format!("warning: {message}"));
                }
            })?;
            let wanted = batch.iter().filter_map(|task| task.wanted.as_ref());
            right +=
                made.iter().zip(wanted).filter(|(made, wanted)| judge_picture(wanted, &enlarge(made)).is_ok()).count();
            self.progress.step((n * BATCH + batch.len()).min(tasks.len()));
        }
        Ok(Some(Share { right, pictures: tasks.len() }))
    }

    fn write_sheet(&self, file: &Path, existing: Existing) -> Result<()> {
        let origin = contact::origin(&self.model, json!({ "inpaint": self.resampling() }), &[]);
        contact::write_sheet(file, &self.shown, 8, &origin, existing)?;
        Ok(())
    }
}

fn wish(task: &EditTask, i: usize) -> PictureRequest {
    PictureRequest { prompt: task.prompt.clone(), negative: None, seed: seed(Category::Single, i, 1) }
}

fn changed(before: &Picture, after: &Picture, weights: &[u8]) -> usize {
    let pairs = before.rgb.iter().zip(&after.rgb).enumerate();
    pairs.filter(|(i, (before, after))| weights[i / 3] == 0 && before != after).count()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| task | right | 95 % | the model's own | seam ratio | bytes changed outside |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let (low, high) = row.interval;
        let own = row.own.map_or_else(|| "-".to_owned(), |own| format!("{} of {}", own.right, own.pictures));
        text += &format!(
            "| {} | {} of {} | {low:.3} to {high:.3} | {own} | {:.2} | {} |\n",
            row.edit, row.right, row.tasks, row.seam_ratio, row.bytes_changed
        );
    }
    text
}
