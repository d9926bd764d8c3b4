//! Pictures a second in training, on the CPU: `cargo bench --workspace --bench train`.
//!
//! | case | what a step is |
//! | --- | --- |
//! | `unet` | the base U-Net of the preset `small` on a fixed batch with fixed text: loss, backward, clip, AdamW, average |
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

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor};
use firefall_core::nn::attention::AttentionSize;
use firefall_core::train::TrainConfig;
use firefall_core::train::data::Place;
use serde::Deserialize;

use peer::Peer;
use unet::UnetSide;
use whole::WholeSide;

/// Steps before the first round: caches, thread pools and torch's choice of kernels.
const WARM_UP: usize = 2;
/// How far losses may be apart, as a share, in the first steps; after more, rounding has grown too far to tell.
const TOLERANCE: f64 = 1e-3;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let device = Device::flex();
    let config = config()?;
    let folder = tempfile::tempdir()?;
    let unet = UnetSide::new(&config, &device)?;
    let mut sides: Vec<(&str, Box<dyn Side>)> = Vec::new();
    let mut peer_versions = None;
    if options.takes("peer") {
        unet.write(folder.path())?;
        match Peer::start(folder.path())? {
            Ok((peer, versions)) => {
                let parameters = unet.parameters();
                ensure!(peer.parameters == parameters, "{parameters} parameters here, {} there", peer.parameters);
                sides.push(("peer", Box::new(peer)));
                peer_versions = Some(versions);
            }
            Err(reason) => println!("our side alone, for the other cannot run: {reason}"),
        }
    }
    let (batch, side, threads) = (unet.batch(), unet.side(), unet.threads());
    println!("base U-Net of {}: {} parameters", config.model.name, unet.parameters());
    println!("batch {batch} of {side}x{side}, {threads} threads, {} rounds of {} steps", options.rounds, options.steps);
    if options.takes("unet") {
        sides.insert(0, ("unet", Box::new(unet)));
    }
    if options.takes("whole") {
        sides.push(("whole", Box::new(WholeSide::new(&device)?)));
    }
    let runs = measure(sides, &options)?;
    report(&runs, batch, peer_versions.as_deref())
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

/// The preset with what both sides can have: the reference's middle has 8 heads of 64, and a constant learning rate.
fn config() -> Result<TrainConfig> {
    let mut config = TrainConfig::preset("small").map_err(anyhow::Error::msg)?;
    config.model.stages[0].unet.middle_cross = AttentionSize { heads: 8, dim_head: 64 };
    let optim = &mut config.stages[0].optim;
    (optim.warmup, optim.final_share) = (1, 1.0);
    Ok(config)
}

/// The base stage of a run.
fn base(config: &TrainConfig) -> Place<'_> {
    Place { index: 0, config: &config.model.stages[0], training: &config.stages[0], below: None }
}

/// Something whose steps take time.
trait Side {
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

/// A case with the losses of all its steps and the medians of its rounds.
struct Measured {
    case: &'static str,
    losses: Vec<f64>,
    seconds: Vec<f64>,
    rounds: Vec<f64>,
}

fn measure(sides: Vec<(&'static str, Box<dyn Side>)>, options: &Options) -> Result<Vec<Measured>> {
    let mut runs = Vec::new();
    let mut working = Vec::new();
    for (case, mut side) in sides {
        let losses = side.steps(WARM_UP)?.losses;
        runs.push(Measured { case, losses, seconds: Vec::new(), rounds: Vec::new() });
        working.push(side);
    }
    for _ in 0..options.rounds {
        for (side, measured) in working.iter_mut().zip(&mut runs) {
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

fn report(runs: &[Measured], batch: usize, peer: Option<&str>) -> Result<()> {
    println!("\n{:<52} {:>10} {:>9} {:>6}", "", "pictures/s", "ms a step", "steps");
    for run in runs {
        let name = match run.case {
            "unet" => "firefall: U-Net".to_owned(),
            "peer" => format!("{}: U-Net", peer.unwrap_or_default()),
            _ => "firefall: U-Net, text encoder and data".to_owned(),
        };
        let seconds = median(&run.seconds);
        println!("{name:<52} {:>10.2} {:>9.1} {:>6}", batch as f64 / seconds, seconds * 1e3, run.seconds.len());
    }
    let find = |case| runs.iter().find(|run| run.case == case);
    let mut ratio = None;
    if let (Some(ours), Some(theirs)) = (find("unet"), find("peer")) {
        let apart = largest_difference(&ours.losses, &theirs.losses);
        println!("losses of the first {WARM_UP} steps, and the 3rd, differ by at most {apart:.1e} of their size");
        ensure!(apart < TOLERANCE, "losses {:?} here and {:?} there: not the same network", ours.losses, theirs.losses);
        let rounds: Vec<f64> = ours.rounds.iter().zip(&theirs.rounds).map(|(ours, theirs)| theirs / ours).collect();
        let low = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rounds.iter().copied().fold(0.0, f64::max);
        let median = median(&rounds);
        println!(
            "ratio firefall / imagen-pytorch in pictures/s: {median:.2} (median of rounds, {low:.2} to {high:.2})"
        );
        ratio = Some(median);
    }
    for run in runs {
        let pictures_per_second = batch as f64 / median(&run.seconds);
        let (case, steps) = (run.case, run.seconds.len());
        println!(
            "{}",
            serde_json::json!({ "bench": "train", "case": case, "pictures_per_second": pictures_per_second, "steps": steps })
        );
    }
    if let Some(ratio) = ratio {
        println!("{}", serde_json::json!({ "bench": "train", "case": "ratio", "firefall_to_imagen_pytorch": ratio }));
    }
    Ok(())
}

/// Over the warm-up and the step after it: the last has seen two updates of every parameter.
fn largest_difference(ours: &[f64], theirs: &[f64]) -> f64 {
    ours.iter().zip(theirs).take(WARM_UP + 1).map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max)
}

/// The number in a tensor of one.
fn number(tensor: Tensor<1>) -> Result<f64> {
    let values: Vec<f32> = tensor.into_data().try_into_vec_as().map_err(|e| anyhow::anyhow!("{e:?}"))?;
    Ok(f64::from(values[0]))
}
