//! `firefall eval digits`: how often a model of the lesson draws the digit that its prompt names.

use std::sync::Arc;

use anyhow::{Result, bail};
use firefall_core::cascade::{Model, PictureRequest, Request};
use firefall_core::image::Picture;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::train::digit_reader::{DigitReader, SIDE, drawn};
use firefall_core::train::{Data, mnist};
use firefall_core::world::{digit_captions, wilson};
use serde::Serialize;
use serde_json::json;

use super::{SEED, check_output};
use crate::args::EvalDigitsArgs;
use crate::files::write_whole;
use crate::outcome::{Usage, catch_interrupts, check_interrupt, print};
use crate::progress::Progress;
use crate::{contact, device, model};

/// Steps in which the judge learns to read.
const LESSONS: u64 = 600;
/// Pictures in a batch.
const BATCH: usize = 64;
/// Digits of MNIST at least: fewer teach nothing.
const FEWEST: usize = 1000;
/// Draws by which the judge is judged.
const CLEAN: usize = 1000;
/// Most pictures on the sheet.
const SHEET: usize = 100;

#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    hash: &'a str,
    device: &'a str,
    seed: u64,
    right: usize,
    pictures: usize,
    interval: (f64, f64),
    /// Of pictures that other captions are held against.
    shuffled: f64,
    /// Of other draws that the judge reads rightly.
    judge: f64,
    /// `[asked][read]`.
    confusion: [[usize; 10]; 10],
}

pub(super) fn run(args: &EvalDigitsArgs) -> Result<()> {
    let existing = check_output(&args.output)?;
    let known = known(args.data.as_ref())?;
    let (device, description) = device::open(args.output.device)?;
    let model = model::load(Some(&args.model), &device)?;
    catch_interrupts()?;
    let mut progress = Progress::stderr();
    progress.note(&format!("on {description}"));
    // Other draws try the judge than teach it; models learn from streams of another purpose.
    let (teach, test) = known.split_at(known.len() / 6 * 5);
    let draw = |from: &[(Picture, usize)], stream: &mut Stream| match from {
        [] => drawn(stream),
        digits => stream.pick(digits).clone(),
    };
    progress.begin("the judge learns to read".to_owned(), "step", LESSONS as usize);
    let reader =
        DigitReader::learn(SEED, LESSONS, |stream| draw(teach, stream), &device, |step| progress.step(step as usize));
    let mut stream = Stream::new(SEED ^ 1, Purpose::Evaluation, 0);
    let (clean, digits): (Vec<Picture>, Vec<usize>) = (0..CLEAN).map(|_| draw(test, &mut stream)).unzip();
    let judge = share(&pollster::block_on(reader.read(&clean))?, &digits);

    let asked: Vec<usize> = (0..args.pictures).map(|i| i % 10).collect();
    let wish = |(i, &digit): (usize, &usize)| {
        let prompt = digit_captions(digit)[i / 10 % 2].clone();
        PictureRequest { prompt, negative: None, seed: SEED ^ i as u64 }
    };
    let wishes: Vec<PictureRequest> = asked.iter().enumerate().map(wish).collect();
    let pictures = make(&model, &wishes, &mut progress)?;
    progress.done();
    let read = pollster::block_on(reader.read(&pictures))?;
    let mut confusion = [[0; 10]; 10];
    asked.iter().zip(&read).for_each(|(&asked, &read)| confusion[asked][read] += 1);
    let right = (0..10).map(|digit| confusion[digit][digit]).sum();
    let others: Vec<usize> = asked.iter().map(|digit| (digit + 3) % 10).collect();
    let report = Report {
        model: &model.config.name,
        hash: &model.hash,
        device: &description,
        seed: SEED,
        right,
        pictures: pictures.len(),
        interval: wilson(right, pictures.len()),
        shuffled: share(&read, &others),
        judge,
        confusion,
    };
    print(&table(&report))?;
    if let Some(file) = &args.output.json {
        let json = serde_json::to_vec_pretty(&report)?;
        write_whole(file, existing, |out| Ok(out.write_all(&json)?))?;
    }
    if let Some(file) = &args.output.sheet {
        let shown = pictures.len().min(SHEET);
        let origin = contact::origin(&model, json!({ "eval": "digits" }), &wishes[..shown]);
        contact::write_sheet(file, &pictures[..shown], 10, &origin, existing)?;
    }
    Ok(())
}

/// MNIST's digits, if the judge is to learn from them.
fn known(data: Option<&Data>) -> Result<Vec<(Picture, usize)>> {
    let folder = match data {
        None => return Ok(Vec::new()),
        Some(Data::Mnist(folder)) => folder,
        Some(_) => return Err(Usage("--data: the judge learns from mnist:DIR".into()).into()),
    };
    let digits = mnist::digits(folder, SIDE)?;
    if digits.len() < FEWEST {
        bail!("{}: {} digits; the judge needs {FEWEST} to learn from and be tried on", folder.display(), digits.len());
    }
    Ok(digits)
}

fn make(model: &Arc<Model>, wishes: &[PictureRequest], progress: &mut Progress) -> Result<Vec<Picture>> {
    progress.begin("digits".to_owned(), "picture", wishes.len());
    let mut pictures = Vec::new();
    for batch in wishes.chunks(BATCH) {
        check_interrupt()?;
        let asked = Request { pictures: batch.to_vec(), ..Request::default() };
        pictures.extend(model::pictures(model, asked, |_| ())?);
        progress.step(pictures.len());
    }
    Ok(pictures)
}

fn share(read: &[usize], wanted: &[usize]) -> f64 {
    read.iter().zip(wanted).filter(|(a, b)| a == b).count() as f64 / read.len().max(1) as f64
}

fn table(report: &Report<'_>) -> String {
    let (low, high) = report.interval;
    let mut text = format!(
        "| digits | right | 95 % | shuffled captions | the judge, on other draws |\n| --- | --- | --- | --- | --- |\n\
         | all | {} of {} | {low:.3} to {high:.3} | {:.3} | {:.3} |\n",
        report.right, report.pictures, report.shuffled, report.judge
    );
    for (digit, row) in report.confusion.iter().enumerate() {
        let all: usize = row.iter().sum();
        let mistaken: Vec<String> = (0..10)
            .filter(|&other| other != digit && row[other] > 0)
            .map(|other| format!("{} times for {other}", row[other]))
            .collect();
        text += &format!("| {digit} | {} of {all} | {} | | |\n", row[digit], mistaken.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_was_taken_for_what() {
        let mut confusion = [[0; 10]; 10];
        (0..10).for_each(|digit| confusion[digit][digit] = 5);
        (confusion[7][7], confusion[7][1]) = (3, 2);
        let report = Report {
            model: "lesson",
            hash: "",
            device: "CPU",
            seed: 1,
            right: 48,
            pictures: 50,
            interval: wilson(48, 50),
            shuffled: 0.1,
            judge: 0.999,
            confusion,
        };
        let text = table(&report);
        assert!(text.contains("| all | 48 of 50 | 0.865 to 0.989 | 0.100 | 0.999 |"), "{text}");
        assert!(text.contains("| 7 | 3 of 5 | 2 times for 1 | | |"), "{text}");
        assert_eq!(share(&[1, 2, 3], &[1, 2, 4]), 2.0 / 3.0);
    }
}
