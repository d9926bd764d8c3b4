//! `firefall eval` and what else it measures.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use firefall_core::diffusion::Resampling;
use firefall_core::train::Data;
use firefall_core::world::Category;

use super::SamplingArgs;
use crate::device::DeviceChoice;
use crate::values;

/// `firefall eval`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EvalArgs {
    /// Something else than pictures from prompts.
    #[command(subcommand)]
    pub task: Option<EvalTask>,

    /// The model's folder [default: the shipped model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,

    /// Prompts of each category
    #[arg(long, value_name = "N", default_value = "100", allow_hyphen_values = true, value_parser = values::count)]
    pub prompts: usize,

    /// Pictures of each prompt
    #[arg(long, value_name = "N", default_value = "4", allow_hyphen_values = true, value_parser = values::count)]
    pub seeds: usize,

    /// Pass over the first N prompts of each category: settings are chosen on others than are published
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true, value_parser = values::skipped)]
    pub skip: usize,

    /// Only these categories, e.g. "single,counting,held-out-pair" [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = values::category)]
    pub categories: Vec<Category>,

    /// Write the table and every verdict to this file (JSON), anew after each category
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write a contact sheet of each category to this folder
    #[arg(long, value_name = "DIR")]
    pub sheet: Option<PathBuf>,

    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,

    /// How each stage samples.
    #[command(flatten)]
    pub sampling: SamplingArgs,

    /// auto, cpu, gpu or gpu:N (see `firefall devices`)
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
}

/// What else can be measured.
#[derive(Debug, Subcommand)]
pub enum EvalTask {
    /// Remove, put in and replace objects in pictures of which everything is known
    Inpaint(EvalInpaintArgs),
    /// Digits of a model of the lesson (see assets/lesson), by a judge that learns to read them first
    Digits(EvalDigitsArgs),
}

/// `firefall eval inpaint`
#[derive(Debug, Args)]
pub struct EvalInpaintArgs {
    /// The model's folder [default: the shipped model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,

    /// Tasks of each kind
    #[arg(long, value_name = "N", default_value = "100", allow_hyphen_values = true, value_parser = values::count)]
    pub tasks: usize,

    /// How much work a task is: quick, balanced or thorough [default: that of `firefall inpaint`]
    #[arg(long, value_name = "NAME", value_parser = Resampling::from_name)]
    pub preset: Option<Resampling>,

    /// Where it is measured, and what is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `firefall eval digits`
#[derive(Debug, Args)]
pub struct EvalDigitsArgs {
    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,

    /// The judge learns from the MNIST in mnist:DIR, and not from digits of the shapes world
    #[arg(long, value_name = "mnist:DIR", value_parser = values::data)]
    pub data: Option<Data>,

    /// Pictures, each digit as often as the others, half by its name and half by its numeral
    #[arg(long, value_name = "N", default_value = "1000", allow_hyphen_values = true, value_parser = values::count)]
    pub pictures: usize,

    /// Where it is measured, and what is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What the other measurements have in common.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Write what was measured to this file (JSON)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write a contact sheet of the first pictures; of painting, before and after
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,

    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,

    /// auto, cpu, gpu or gpu:N (see `firefall devices`)
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
}
