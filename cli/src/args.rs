//! The command line as data. The doc comments are the help text.

mod eval;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use firefall_core::diffusion::{Resampling, SamplerKind};
use firefall_core::train::Data;

pub use self::eval::{EvalArgs, EvalDigitsArgs, EvalInpaintArgs, EvalTask, OutputArgs};
use crate::device::DeviceChoice;
use crate::values::{self, PerStage};

/// Pictures from prompts: generate, train and evaluate text-to-image cascades.
#[derive(Debug, Parser)]
#[command(name = "firefall", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make pictures from prompts
    Sample(Box<SampleArgs>),
    /// Paint something else into a part of a picture
    Inpaint(Box<InpaintArgs>),
    /// Make a picture larger than it is
    Outpaint(Box<OutpaintArgs>),
    /// Train a model
    Train(TrainArgs),
    /// Measure how often a model's pictures show what their prompts say
    Eval(EvalArgs),
    /// Look at the pictures of the training world
    World(WorldArgs),
    /// Print a commented default configuration (TOML)
    Config(ConfigArgs),
    /// List the devices and say which one would be used
    Devices,
    /// Print the prompt, the seed and the settings stored in a picture
    Show(ShowArgs),
}

/// How the stages of a model sample.
#[derive(Debug, Args)]
pub struct SamplingArgs {
    /// Sampling steps, 1 to 1000: one number for all stages, or one a stage ("50,25") [default: the model's]
    #[arg(long, value_name = "N,…", allow_hyphen_values = true, value_parser = values::steps)]
    pub steps: Option<PerStage<usize>>,

    /// Sampler, one of ddpm, ddim, dpm++2m, heun: one for all stages, or one a stage [default: the model's]
    #[arg(long, value_name = "NAME,…", value_parser = values::samplers)]
    pub sampler: Option<PerStage<SamplerKind>>,

    /// How strongly the prompt steers, 1 to switch the guidance off: one number for the stages that the model itself
    /// guides (the shipped one guides only its first), or one a stage [default: the model's]
    #[arg(long, value_name = "W,…", allow_hyphen_values = true, value_parser = values::cond_scales)]
    pub cond_scale: Option<PerStage<f64>>,
}

/// How pictures are made: what `sample`, `inpaint` and `outpaint` have in common.
#[derive(Debug, Args)]
pub struct MakeArgs {
    /// What the picture does not show
    #[arg(long, value_name = "TEXT")]
    pub negative: Option<String>,

    /// The seed of the first picture, 0 to 18446744073709551615; each further one takes the next [default: random]
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = values::seed)]
    pub seed: Option<u64>,

    /// How each stage samples.
    #[command(flatten)]
    pub sampling: SamplingArgs,

    /// auto, cpu, gpu or gpu:N (see `firefall devices`)
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,

    /// The model's folder [default: the shipped model]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,

    /// Overwrite existing files; without it a named file is left alone and a name of our own is numbered on
    #[arg(long)]
    pub force: bool,
}

/// `firefall sample`
#[derive(Debug, Args)]
pub struct SampleArgs {
    /// What the picture shows, e.g. "three green stars on a blue background"
    #[arg(required_unless_present = "prompts", conflicts_with = "prompts")]
    pub prompt: Option<String>,

    /// A file of prompts: a prompt a line, or JSON lines {"prompt", "seed", "negative", "out"} (all but "prompt" may be
    /// left out)
    #[arg(long, value_name = "FILE", requires = "out")]
    pub prompts: Option<PathBuf>,

    /// Pictures of each prompt
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true, value_parser = values::count)]
    pub count: usize,

    /// Stop after this stage, from 1
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = values::stage)]
    pub stage: Option<usize>,

    /// A file for one picture, or a folder for several, which is made if missing [default: a name made from the prompt]
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,

    /// Also a contact sheet of all pictures
    #[arg(long, value_name = "FILE")]
    pub sheet: Option<PathBuf>,

    /// What it has in common with the other commands that make pictures.
    #[command(flatten)]
    pub make: MakeArgs,
}

/// How pictures are painted into: what `inpaint` and `outpaint` have in common.
#[derive(Debug, Args)]
pub struct PaintArgs {
    /// How much work it is: quick, balanced or thorough. The last two go parts of the way from noise again, which a
    /// model needs that is not told what is known. What it costs is told before it begins [default: quick for a model
    /// that is told what is known, as the shipped one is, and balanced for another]
    #[arg(long, value_name = "NAME", value_parser = Resampling::from_name)]
    pub preset: Option<Resampling>,

    /// How much of what is under the mask may change, above 0 and at most 1; below 1 it is where the work begins
    #[arg(long, value_name = "S", default_value = "1", allow_hyphen_values = true, value_parser = values::strength)]
    pub strength: f64,

    /// How much of the picture the model sees beside what is painted, 0.5 to 8 times the length of that: the less, the
    /// larger it sees what it paints
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true, value_parser = values::context)]
    pub context: f64,

    /// Pixels by which the mask grows [default: 4, or a 128th of what the model sees if that is more]
    #[arg(long, value_name = "PIXELS", allow_hyphen_values = true, value_parser = values::pixels)]
    pub grow: Option<f32>,

    /// Pixels beyond it over which new goes over into old [default: a tenth of what the model sees, at most 32, or a
    /// twentieth if that is more]
    #[arg(long, value_name = "PIXELS", allow_hyphen_values = true, value_parser = values::pixels)]
    pub feather: Option<f32>,

    /// Leave the colours as the model gave them, also where they are a little off from what is around
    #[arg(long)]
    pub no_colour_match: bool,

    /// Pictures of each input
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true, value_parser = values::count)]
    pub count: usize,

    /// A file for one picture, or a folder for several, which is made if missing [default: beside the input, its name
    /// with "-painted"]
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,
}

/// `firefall inpaint`
#[derive(Debug, Args)]
pub struct InpaintArgs {
    /// The picture (PNG, JPEG or WebP), or a folder of pictures; its colour profile is kept
    #[arg(value_name = "IMAGE|DIR")]
    pub image: PathBuf,

    /// What the picture shows when it is done, e.g. "a red star on a white background"
    pub prompt: String,

    /// What to paint over: a picture of the same size, white where it is to change, or a shape of one colour on a
    /// transparent ground; where it is gray, new and old are mixed; for a folder of pictures a folder of masks with the
    /// same names
    #[arg(long, value_name = "FILE|DIR")]
    pub mask: PathBuf,

    /// Make the mask hard: painted as a whole from so many percent of white on, 1 to 100, and not at all below
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true, value_parser = values::level)]
    pub mask_threshold: Option<u8>,

    /// What it has in common with the other that paints.
    #[command(flatten)]
    pub paint: PaintArgs,

    /// What it has in common with the other commands that make pictures.
    #[command(flatten)]
    pub make: MakeArgs,
}

/// `firefall outpaint`
#[derive(Debug, Args)]
pub struct OutpaintArgs {
    /// The picture (PNG, JPEG or WebP), or a folder of pictures
    #[arg(value_name = "IMAGE|DIR")]
    pub image: PathBuf,

    /// What the picture shows when it is done
    pub prompt: String,

    /// Pixels to add on the left
    #[arg(long, value_name = "PIXELS", default_value = "0", allow_hyphen_values = true, value_parser = values::margin)]
    pub left: usize,

    /// Pixels to add on the right
    #[arg(long, value_name = "PIXELS", default_value = "0", allow_hyphen_values = true, value_parser = values::margin)]
    pub right: usize,

    /// Pixels to add at the top
    #[arg(long, value_name = "PIXELS", default_value = "0", allow_hyphen_values = true, value_parser = values::margin)]
    pub top: usize,

    /// Pixels to add at the bottom
    #[arg(long, value_name = "PIXELS", default_value = "0", allow_hyphen_values = true, value_parser = values::margin)]
    pub bottom: usize,

    /// What it has in common with the other that paints.
    #[command(flatten)]
    pub paint: PaintArgs,

    /// What it has in common with the other commands that make pictures.
    #[command(flatten)]
    pub make: MakeArgs,
}

/// The worlds that training pictures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum World {
    /// Coloured shapes, drawn on the fly
    Shapes,
    /// Digits, white on black, as MNIST has them
    Digits,
}

/// `firefall train`
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Where the pictures come from [default: what the configuration says]
    #[arg(long, value_enum)]
    pub world: Option<World>,

    /// Train on the pictures in this folder instead: a.png (or .jpg, .webp) beside a.txt with a caption a line; or on the
    /// digits in mnist:DIR, in its IDX files
    #[arg(long, value_name = "DIR", conflicts_with = "world", value_parser = values::data)]
    pub data: Option<Data>,

    /// A named configuration: small, which comes of how the shipped model was made, or tiny, for a try
    #[arg(long, value_name = "NAME", required_unless_present_any = ["config", "resume"], conflicts_with = "config")]
    pub preset: Option<String>,

    /// A configuration file (see `firefall config train`), or the lesson's (assets/lesson/imagen.yaml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The folder of the run: checkpoints, log and pictures
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Go on from the last checkpoint in the folder
    #[arg(long)]
    pub resume: bool,

    /// Begin with the weights and words of the model in this folder, which must be of the same networks, or smaller by inner
    /// blocks and layers of attention ("shipped" is the model in the program); with --stages, the parts that are not
    /// trained stay as they are
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub from: Option<PathBuf>,

    /// Only these parts of the model, e.g. "text-and-base,sr" [default: all, in order]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = values::stage_name)]
    pub stages: Vec<String>,

    /// Train each part for N optimiser steps in all, to which its schedule is stretched: one number for all parts, or one
    /// a part ("100000,6000"). A run that is resumed may be made longer; that is not the run that was longer from the
    /// start, whose learning rate fell more slowly
    #[arg(long, value_name = "N,…", allow_hyphen_values = true, value_parser = values::train_steps)]
    pub steps: Option<PerStage<u64>>,

    /// Stop after this many hours
    #[arg(long, value_name = "H", allow_hyphen_values = true, value_parser = values::hours)]
    pub hours: Option<f64>,

    /// auto, cpu, gpu or gpu:N (see `firefall devices`)
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
}

/// `firefall world`
#[derive(Debug, Args)]
pub struct WorldArgs {
    /// The contact sheet to write (PNG)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["calibrate", "read"])]
    pub sheet: Option<PathBuf>,

    /// Print what the parser, the judge of `firefall eval`, reads in a picture: the background, then an object a line
    #[arg(long, value_name = "FILE")]
    pub read: Option<PathBuf>,

    /// Print how the parser reads N scenes, clean and degraded like a model's output
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = values::count)]
    pub calibrate: Option<usize>,

    /// Pictures on the sheet
    #[arg(long, value_name = "N", default_value = "64", allow_hyphen_values = true, value_parser = values::count)]
    pub count: usize,

    /// Pixels of a picture's side, 8 to 1024
    #[arg(long, value_name = "PIXELS", default_value = "64", allow_hyphen_values = true, value_parser = values::size)]
    pub size: usize,

    /// The seed of the drawing
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true, value_parser = values::seed)]
    pub seed: u64,

    /// Print the captions, in the sheet's order
    #[arg(long)]
    pub captions: bool,

    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// `firefall config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Which configuration
    #[arg(value_enum)]
    pub kind: ConfigKind,
}

/// The configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConfigKind {
    /// What a training run does
    Train,
    /// What a network is made of
    Model,
}

/// `firefall show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The picture (PNG)
    #[arg(value_name = "PNG")]
    pub file: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(args: &[&str]) -> Result<SampleArgs, String> {
        let all = ["firefall", "sample"].iter().chain(args);
        match Cli::try_parse_from(all).map_err(|e| e.to_string())?.command {
            Command::Sample(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn one_value_or_one_a_stage() {
        let args = sample(&["x", "--steps", "50,25", "--cond-scale", "3", "--sampler", "heun,ddim"]).unwrap();
        assert_eq!(args.make.sampling.steps.unwrap().of(2).unwrap(), [50, 25]);
        assert_eq!(args.make.sampling.cond_scale.unwrap().of(2).unwrap(), [3.0, 3.0]);
        let names: Vec<_> = args.make.sampling.sampler.unwrap().given().iter().map(|s| s.name()).collect();
        assert_eq!(names, ["heun", "ddim"]);
        assert_eq!(sample(&["x"]).unwrap().count, 1);
    }

    #[test]
    fn a_prompt_or_a_file_of_prompts() {
        assert!(sample(&[]).unwrap_err().contains("PROMPT"));
        assert!(sample(&["x", "--prompts", "f", "--out", "d"]).unwrap_err().contains("cannot be used with"));
        assert!(sample(&["--prompts", "f"]).unwrap_err().contains("--out"));
        assert!(sample(&["--prompts", "f", "--out", "d"]).is_ok());
    }

    #[test]
    fn the_world_is_looked_at_or_calibrated() {
        let world = |args: &[&str]| Cli::try_parse_from(["firefall", "world"].iter().chain(args));
        assert!(world(&[]).unwrap_err().to_string().contains("--sheet"));
        assert!(world(&["--sheet", "a.png"]).is_ok() && world(&["--calibrate", "5"]).is_ok());
        assert!(world(&["--calibrate", "0"]).unwrap_err().to_string().contains("1 to 10000"));
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        for (args, words) in [
            (["--steps", "0"], "0 steps; there are 1 to 1000"),
            (["--steps", "-5"], "-5 steps; there are 1 to 1000"),
            (["--steps", "1000000000"], "1000000000 steps; there are 1 to 1000"),
            (["--steps", "10,,5"], "\"\" is no whole number"),
            (["--steps", "2.5"], "\"2.5\" is no whole number"),
            (["--seed", "18446744073709551616"], "64 bits"),
            (["--seed", "-1"], "-1 is below 0"),
            (["--seed", "abc"], "\"abc\" is no whole number"),
            (["--cond-scale", "nan"], "\"nan\" is no finite number"),
            (["--cond-scale", "3,inf"], "\"inf\" is no finite number"),
            (["--cond-scale", "-2"], "-2 is outside 0 to 1000"),
            (["--sampler", "euler"], "there are ddpm, ddim, dpm++2m, heun"),
            (["--stage", "0"], "stages count from 1"),
            (["--count", "0"], "0 is outside 1 to 10000"),
            (["--device", "tpu"], "auto, cpu, gpu, gpu:N"),
        ] {
            let message = sample(&["x", args[0], args[1]]).unwrap_err();
            assert!(message.contains(words), "{args:?}: {message}");
        }
    }
}
