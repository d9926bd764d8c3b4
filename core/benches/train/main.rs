//! Pictures a second in training, on the CPU: `cargo bench --workspace --bench train`.
//!
//! | case | what a step is |
//! | --- | --- |
//! | `unet` | the base U-Net of the preset `small` on a fixed batch and text: loss, backward, clip, optimiser, average |
//! | `peer` | the same U-Net, from the same parameters on the same batch, in imagen-pytorch (`peer.py`) |
//! | `whole` | a step of the trainer itself: scenes, captions and the text encoder too |
//!
//! The cases take turns, round after round, so that whatever else the machine does falls on all of them. Before a ratio
//! is printed, `unet` and `peer` must have the same number of parameters and the same losses, so it compares one thing.
//! Lines that start with `{` are for machines.
//!
//! `-- unet whole --rounds 3 --steps 10` picks cases, rounds and the steps of a round. PYTHON names the Python of
//! `peer`; where it has no imagen-pytorch, our side runs alone.

#![recursion_limit = "256"]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod peer;
mod unet;
mod whole;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor};
use firefall_core::nn::attention::AttentionSize;
use firefall_core::train::TrainConfig;
use firefall_core::train::data::Place;
use serde::Deserialize;
use serde_json::json;

use peer::Peer;
use unet::UnetSide;
use whole::WholeSide;

/// Steps before the first round: caches, thread pools and torch's choice of kernels.
const WARM_UP: usize = 2;
/// Steps whose losses both sides must share. The last convolution starts at zero, so the first step moves only it and
/// the second the whole network; the third loss has seen both. Rounding grows with every further step.
const COMPARED: usize = WARM_UP + 1;
/// How far those losses may be apart, as a share.
const TOLERANCE: f64 = 1e-4;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let device = Device::flex();
    let config = config()?;
    let folder = tempfile::tempdir()?;
    let unet = UnetSide::new(&config, &device)?;
    let (batch, side, threads) = (unet.batch(), unet.side(), unet.threads());
    println!("base U-Net of {}: {} parameters", config.model.name, unet.parameters());
    let peer = if options.takes("peer") { peer(&unet, folder.path())? } else { None };
    println!("batch {batch} of {side}x{side}, {threads} threads, {} rounds of {} steps", options.rounds, options.steps);

    let mut sides: Vec<Box<dyn Side>> = Vec::new();
    if options.takes("unet") {
        sides.push(Box::new(unet));
    }
    if let Some(peer) = peer {
        sides.push(Box::new(peer));
    }
    if options.takes("whole") {
        sides.push(Box::new(WholeSide::new(&device)?));
    }
    let runs = measure(sides, &options)?;
    table(&runs, batch);
    let ratio = ratio(&runs)?;
    for run in &runs {
        let (rate, steps) = (batch as f64 / median(&run.seconds), run.seconds.len());
        println!("{}", json!({ "bench": "train", "case": run.case, "pictures_per_second": rate, "steps": steps }));
    }
    if let Some(ratio) = ratio {
        println!("{}", json!({ "bench": "train", "case": "ratio", "firefall_to_imagen_pytorch": ratio }));
    }
    Ok(())
}

/// The other side, if this machine has it.
fn peer(unet: &UnetSide, folder: &Path) -> Result<Option<Peer>> {
    unet.write(folder)?;
    match Peer::start(folder)? {
        Ok(peer) => {
            println!("{}: {} parameters, {} threads", peer.versions, peer.parameters, peer.threads);
            let parameters = unet.parameters();
            ensure!(peer.parameters == parameters, "{parameters} parameters here, {} there", peer.parameters);
            Ok(Some(peer))
        }
        Err(reason) => {
            println!("Our side runs alone, for the other cannot: {reason}.");
            Ok(None)
        }
    }
}

/// What the command line asks for.
struct Options {
    cases: Vec<String>,
    rounds: usize,
    steps: usize,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut cases, mut rounds, mut steps) = (Vec::new(), None, None);
        // Cargo says `--bench` when it measures; without it this is a test of the program, and one step will do.
        let mut measured = false;
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            match arg.as_str() {
                "--bench" => measured = true,
                "--rounds" => rounds = Some(number().context("--rounds needs a number above 0")?),
                "--steps" => steps = Some(number().context("--steps needs a number above 0")?),
                "unet" | "peer" | "whole" => cases.push(arg),
                _ => bail!("{arg}: neither unet, peer, whole nor --rounds n, --steps n"),
            }
        }
        let or = |given: Option<usize>, usual| given.unwrap_or(if measured { usual } else { 1 });
        Ok(Self { cases, rounds: or(rounds, 5), steps: or(steps, 8) })
    }

    fn takes(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|c| c == case)
    }
}

/// The preset with what both sides can have: the reference's middle has 8 heads of 64, its padding is null tokens, and a constant learning rate.
fn config() -> Result<TrainConfig> {
    let mut config = TrainConfig::preset("small").map_err(anyhow::Error::msg)?;
    config.model.stages[0].unet.middle_cross = AttentionSize { heads: 8, dim_head: 64 };
    config.model.stages[0].unet.coordinates = false;
    let text = config.model.stages[0].unet.text.as_mut().context("a preset with text")?;
    text.masked = false;
    let optim = &mut config.stages[0].optim;
    (optim.warmup, optim.final_share) = (1, 1.0);
    Ok(config)
}

/// The base stage of a run.
fn base(config: &TrainConfig) -> Place<'_> {
    Place { index: 0, config: &config.model.stages[0], training: &config.stages[0], below: None, pictures: None }
}

/// Something whose steps take time.
trait Side {
    /// The case's name for machines and for people.
    fn names(&self) -> (&'static str, String);

    /// The seconds and the loss of each of `count` steps.
    fn steps(&mut self, count: usize) -> Result<Run>;
}

/// What steps took and gave.
#[derive(Debug, Default, Clone, Deserialize)]
struct Run {
    seconds: Vec<f64>,
    losses: Vec<f64>,
}

/// `step` as often as asked; it returns a loss.
fn timed(count: usize, mut step: impl FnMut() -> Result<f64>) -> Result<Run> {
    let mut run = Run::default();
    for _ in 0..count {
        let start = Instant::now();
        run.losses.push(step()?);
        run.seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(run)
}

/// A case with the losses of all its steps, warm-up included, the seconds of the others, and the medians of rounds.
struct Measured {
    case: &'static str,
    name: String,
    losses: Vec<f64>,
    seconds: Vec<f64>,
    rounds: Vec<f64>,
}

fn measure(mut sides: Vec<Box<dyn Side>>, options: &Options) -> Result<Vec<Measured>> {
    let mut runs = Vec::new();
    for side in &mut sides {
        let ((case, name), losses) = (side.names(), side.steps(WARM_UP)?.losses);
        runs.push(Measured { case, name, losses, seconds: Vec::new(), rounds: Vec::new() });
    }
    for _ in 0..options.rounds {
        for (side, measured) in sides.iter_mut().zip(&mut runs) {
            let run = side.steps(options.steps)?;
            measured.losses.extend(run.losses);
            measured.rounds.push(median(&run.seconds));
            measured.seconds.extend(run.seconds);
        }
    }
    Ok(runs)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

fn table(runs: &[Measured], batch: usize) {
    println!("\n{:<52} {:>10} {:>9} {:>6}", "", "pictures/s", "ms a step", "steps");
    for Measured { name, seconds, .. } in runs {
        let (middle, steps) = (median(seconds), seconds.len());
        println!("{name:<52} {:>10.1} {:>9.1} {steps:>6}", batch as f64 / middle, middle * 1e3);
    }
}

/// Our pictures a second over theirs, if both ran.
///
/// # Errors
/// If the losses differ: then it is not the same network.
fn ratio(runs: &[Measured]) -> Result<Option<f64>> {
    let find = |case| runs.iter().find(|run| run.case == case);
    let (Some(ours), Some(theirs)) = (find("unet"), find("peer")) else { return Ok(None) };
    let pairs = ours.losses.iter().zip(&theirs.losses).take(COMPARED);
    let apart = pairs.map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max);
    ensure!(apart < TOLERANCE, "losses {:?} here and {:?} there: not the same network", ours.losses, theirs.losses);
    println!("the losses of the first {COMPARED} steps differ by at most {apart:.0e} of their size");
    let mut rounds: Vec<f64> = ours.rounds.iter().zip(&theirs.rounds).map(|(ours, theirs)| theirs / ours).collect();
    rounds.sort_by(f64::total_cmp);
    let (low, middle, high) = (rounds[0], median(&rounds), rounds[rounds.len() - 1]);
    println!(
        "pictures/s, firefall over imagen-pytorch: {middle:.2} (median of the rounds, from {low:.2} to {high:.2})"
    );
    Ok(Some(middle))
}

/// The number in a tensor of one.
fn number(tensor: Tensor<1>) -> Result<f64> {
    let values: Vec<f32> = tensor.into_data().try_into_vec_as().map_err(|e| anyhow::anyhow!("{e:?}"))?;
    Ok(f64::from(values[0]))
}
