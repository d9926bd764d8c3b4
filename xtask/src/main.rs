//! `cargo xtask`: the gate, the goldens and the benchmarks of the workspace.

#![allow(clippy::print_stderr, reason = "a program of the house: whoever closes its stderr may stop it")]

mod bench;
mod curves;
mod goldens;
mod shell;
mod system;
mod test;
mod tidy;
mod web;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, goldens and benchmarks of the workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything a change must pass, the cheapest first: format, tidy, clippy, wasm32, tests, the window, the ops in a
    /// browser, the page
    Test,
    /// The rules of the house that text can show
    Tidy,
    /// Write the goldens anew with $PYTHON (or python3) and say what changed
    Goldens {
        /// Only these scripts, by their names without ending
        scripts: Vec<String>,
    },
    /// The benchmarks, or with `web` those of the page
    Bench {
        /// Which; all that need no browser if it is left out
        #[arg(value_enum)]
        which: Option<bench::Which>,
        /// Write the rows there: what, ours, other, ratio
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// How often the shipped model is right by steps, time and guidance of its base: assets/curves.json and curves.svg;
    /// and by the pictures that it had been trained on, which stand in assets/history.json: history.svg
    Curves {
        /// Prompts of each category, none of them among those of the published table
        #[arg(long, value_name = "N", default_value_t = 35)]
        prompts: usize,
        /// Measure nothing: draw what was measured again
        #[arg(long)]
        draw: bool,
    },
    /// The desktop app's window, on a display of its own
    Window,
    /// The ops in Chromium against their plain formulas, on the CPU and on WebGPU
    Parity,
    /// The web demo: build it and serve it here, or write it to web/dist
    Web(web::WebArgs),
}

fn main() -> ExitCode {
    let result = root().and_then(|root| match Cli::parse().task {
        Task::Test => test::gate(&root),
        Task::Tidy => tidy::run(&root),
        Task::Goldens { scripts } => goldens::run_scripts(&root, &scripts),
        Task::Bench { which, json } => bench::run(&root, which, json.as_deref()),
        Task::Curves { draw: true, .. } => curves::draw(&root),
        Task::Curves { prompts, .. } => curves::run(&root, prompts),
        Task::Window => window::test(&root),
        Task::Parity => web::parity(&root),
        Task::Web(args) => web::run(&root, &args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace that this program was built from.
fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Ok(PathBuf::from(here).parent().context("xtask stands in no workspace")?.to_owned())
}
