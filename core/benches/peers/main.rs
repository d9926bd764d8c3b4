//! Ours against what a user would take instead, in one run: `cargo bench --workspace --exclude xtask --bench peers`.
//!
//! | group | what is done | against |
//! | --- | --- | --- |
//! | `train` | a step of training of the base U-Net of the preset `small`: loss, backward, clip, optimiser, average | imagen-pytorch, stock Burn |
//! | `train` | a step of the trainer itself at the shipped model: scenes, captions, text encoder and Muon too | stock Burn |
//! | `block` | norm, SiLU and convolution 3x3 of a map: forward, and forward with all gradients | imagen-pytorch, stock Burn |
//! | `denoise` | a guided step of `unet1` in the README of imagen-pytorch | imagen-pytorch |
//! | `wgpu` | a convolution 3x3 on the default GPU, lavapipe where there is none: forward, and with its gradients | stock Burn |
//!
//! The sides of a comparison take turns, round after round, so that whatever else the machine does falls on all of them.
//! Before a ratio is printed they must have computed the same numbers, so it compares one thing. Stock Burn is the same
//! code with our kernels switched off. imagen-pytorch is `peer.py` under the Python that PYTHON names; where that has no
//! imagen-pytorch, our side runs alone.
//!
//! Lines that start with `{` are rows for machines: what, ours and other in milliseconds (medians), and ratio, the median
//! over the rounds of how many times faster ours is. `-- train block --rounds 3 --steps 10` picks groups, rounds and the
//! steps of a round.

#![recursion_limit = "256"]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod block;
mod conv;
mod denoise;
mod peer;
mod stock;
mod train;

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Tensor;
use serde::Deserialize;
use serde_json::json;

/// Steps before the first round: caches, thread pools and torch's choice of kernels.
const WARM_UP: usize = 2;
/// Steps whose numbers all sides must share. Where networks are trained, the last convolution starts at zero, so the
/// first step moves only it and the second the whole network; the third loss has seen both. Rounding grows with every
/// further step.
const COMPARED: usize = WARM_UP + 1;
/// How far those numbers may be apart, as a share.
const TOLERANCE: f64 = 1e-4;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let groups: [(&str, Group); 4] = [
        ("train", train::comparisons),
        ("block", block::comparisons),
        ("denoise", denoise::comparisons),
        ("wgpu", conv::comparisons),
    ];
    for (_, comparisons) in groups.into_iter().filter(|(name, _)| options.takes(name)) {
        for comparison in comparisons()? {
            compare(comparison, &options)?;
        }
    }
    Ok(())
}

type Group = fn() -> Result<Vec<Comparison>>;

/// The sides of one thing that is done, ours first.
struct Comparison {
    /// What is done.
    what: String,
    /// Steps of a round.
    steps: usize,
    /// Pictures in a step, where that is of interest.
    pictures: Option<usize>,
    sides: Vec<Box<dyn Side>>,
}

/// Something whose steps take time.
trait Side {
    /// For people.
    fn name(&self) -> String;

    /// The seconds of each of `count` steps, and what each computed.
    fn steps(&mut self, count: usize) -> Result<Run>;
}

/// What steps took and gave.
#[derive(Debug, Default, Clone, Deserialize)]
struct Run {
    seconds: Vec<f64>,
    /// One number of each step, by which the sides are known to do the same.
    numbers: Vec<f64>,
}

/// `step` as often as asked; only what it does itself is timed, and not how a number is made of its result.
fn timed<T>(
    count: usize,
    mut step: impl FnMut() -> Result<T>,
    mut number: impl FnMut(T) -> Result<f64>,
) -> Result<Run> {
    let mut run = Run::default();
    for _ in 0..count {
        let start = Instant::now();
        let done = step()?;
        run.seconds.push(start.elapsed().as_secs_f64());
        run.numbers.push(number(done)?);
    }
    Ok(run)
}

/// The number in a tensor of one.
fn number(tensor: Tensor<1>) -> Result<f64> {
    let values: Vec<f32> = tensor.into_data().try_into_vec_as().map_err(|e| anyhow::anyhow!("{e:?}"))?;
    Ok(f64::from(values[0]))
}

/// The root of the mean square.
fn rms<const D: usize>(tensor: Tensor<D>) -> Result<f64> {
    number((tensor.clone() * tensor).mean().sqrt())
}

/// A side with the numbers of its first steps, the seconds of the others, and the medians of rounds.
struct Measured {
    name: String,
    numbers: Vec<f64>,
    seconds: Vec<f64>,
    rounds: Vec<f64>,
}

/// Measures, and prints a table and the rows.
fn compare(comparison: Comparison, options: &Options) -> Result<()> {
    let Comparison { what, steps, pictures, mut sides } = comparison;
    let steps = options.steps.unwrap_or(steps);
    let mut runs = Vec::new();
    for side in &mut sides {
        let numbers = side.steps(WARM_UP)?.numbers;
        let (seconds, rounds) = (Vec::new(), Vec::new());
        runs.push(Measured { name: side.name(), numbers, seconds, rounds });
    }
    for _ in 0..options.rounds {
        for (side, measured) in sides.iter_mut().zip(&mut runs) {
            let run = side.steps(steps)?;
            measured.numbers.extend(run.numbers);
            measured.rounds.push(median(&run.seconds));
            measured.seconds.extend(run.seconds);
        }
    }
    println!("\n{what}: {} rounds of {steps} steps", options.rounds);
    for Measured { name, seconds, .. } in &runs {
        let middle = median(seconds);
        let rate = pictures.map_or_else(String::new, |n| format!(" {:>9.1} pictures/s", n as f64 / middle));
        println!("  {name:<56} {:>9.2} ms a step{rate}", middle * 1e3);
    }
    let (ours, others) = runs.split_first().context("a comparison has our side")?;
    for other in others {
        row(&what, ours, other)?;
    }
    Ok(())
}

/// # Errors
/// If the numbers differ: then the two do not do the same.
fn row(what: &str, ours: &Measured, other: &Measured) -> Result<()> {
    let pairs = ours.numbers.iter().zip(&other.numbers).take(COMPARED);
    // Not by `f64::max`, which drops what is no number: that must fail.
    let apart = pairs.map(|(a, b)| ((a - b) / b).abs()).max_by(f64::total_cmp).unwrap_or(f64::NAN);
    let name = &other.name;
    ensure!(apart < TOLERANCE, "{what}: {:?} here and {:?} by {name}: not the same", ours.numbers, other.numbers);
    let mut rounds: Vec<f64> = ours.rounds.iter().zip(&other.rounds).map(|(ours, other)| other / ours).collect();
    rounds.sort_by(f64::total_cmp);
    let (low, ratio, high) = (rounds[0], median(&rounds), rounds[rounds.len() - 1]);
    println!("  {ratio:.2} times as fast as {name} (rounds from {low:.2} to {high:.2}); numbers differ by {apart:.0e}");
    let (here, there) = (median(&ours.seconds) * 1e3, median(&other.seconds) * 1e3);
    println!("{}", json!({ "what": format!("{what}, against {name}"), "ours": here, "other": there, "ratio": ratio }));
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

/// What the command line asks for.
struct Options {
    groups: Vec<String>,
    rounds: usize,
    /// Steps of a round if not those that a comparison likes.
    steps: Option<usize>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut groups, mut rounds, mut steps) = (Vec::new(), None, None);
        // Cargo says `--bench` when it measures; without it this is a test of the program, and one step will do.
        let mut measured = false;
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            match arg.as_str() {
                "--bench" => measured = true,
                "--rounds" => rounds = Some(number().context("--rounds needs a number above 0")?),
                "--steps" => steps = Some(number().context("--steps needs a number above 0")?),
                "train" | "block" | "denoise" | "wgpu" => groups.push(arg),
                _ => bail!("{arg}: neither train, block, denoise, wgpu nor --rounds n, --steps n"),
            }
        }
        let rounds = rounds.unwrap_or(if measured { 5 } else { 1 });
        Ok(Self { groups, rounds, steps: steps.or((!measured).then_some(1)) })
    }

    fn takes(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|g| g == group)
    }
}
