//! `firefall train`: a model from scratch.

mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use firefall_core::cascade::{Model, PictureRequest, Request};
use firefall_core::train::{Data, RunOptions, TrainConfig, TrainEvent, TrainRun, lesson};
use firefall_core::world::digit_captions;
use serde_json::json;

use self::show::Show;
use crate::args::{TrainArgs, World};
use crate::files::Existing;
use crate::outcome::{Interrupted, Usage, catch_interrupts, interrupted, say};
use crate::{config_file, contact, device, model};

/// The prompts of the contact sheet where the shapes world is learnt; two seeds each.
const SHEET: [&str; 12] = [
    "a red circle",
    "a green star",
    "a blue square",
    "a yellow triangle on a purple background",
    "a small black heart",
    "a big orange cross",
    "a pink ring in the top left",
    "a brown diamond at the bottom",
    "a red circle and a blue star",
    "a green square above a yellow hexagon",
    "three green stars",
    "a blue 5",
];

/// What `--from` calls the model in the program.
const SHIPPED: &str = "shipped";

pub(super) fn run(args: &TrainArgs) -> Result<()> {
    let config = config(args)?;
    let stages = stages(args, &config)?;
    let lengths = lengths(args, &config)?;
    let (device, description) = device::open(args.device)?;
    let from =
        args.from.as_deref().map(|from| model::load(Some(from).filter(|from| *from != Path::new(SHIPPED)), &device));
    let options = RunOptions { stages, resume: args.resume, from: from.transpose()? };
    let mut run = TrainRun::open(config, &args.out, &options, &device)?;
    let prompts = prompts(&run);
    let sheets = args.out.join("sheets");
    std::fs::create_dir_all(&sheets).with_context(|| format!("cannot make the folder {}", sheets.display()))?;
    catch_interrupts()?;
    say(&format!("training in {} on {description}", args.out.display()));
    lengths.iter().for_each(|length| say(length));
    run.warnings().iter().for_each(|warning| say(&format!("warning: {warning}")));

    let started = Instant::now();
    let limit = args.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
    let mut show = Show::new();
    loop {
        if interrupted() || limit.is_some_and(|limit| started.elapsed() >= limit) {
            show.finish();
            let saved = pollster::block_on(run.save())?;
            let at = saved.map_or_else(String::new, |path| format!("saved {}; ", path.display()));
            say(&format!("{at}go on with: firefall train --out {} --resume", args.out.display()));
            return if interrupted() { Err(Interrupted.into()) } else { Ok(()) };
        }
        let Some(event) = pollster::block_on(run.next())? else { break };
        show.event(&event);
        if let TrainEvent::Checkpoint { model, stage, step, .. } = event {
            let file = sheets.join(format!("stage{stage}-{step:08}.png"));
            match write_sheet(&file, &model, &prompts, (stage, step)) {
                // The next round saves and says how to go on.
                Err(error) if error.is::<Interrupted>() => {}
                Err(error) => show.note(&format!("warning: no contact sheet of this checkpoint: {error:#}")),
                Ok(()) => {}
            }
            show.restart();
        }
    }
    show.finish();
    say(&format!("done; try: firefall sample --model {} {:?}", args.out.join("model").display(), prompts[0]));
    Ok(())
}

/// The config of a file, a preset, or the run that is resumed.
fn config(args: &TrainArgs) -> Result<TrainConfig> {
    let kept = args.out.join("train.json");
    let mut config = match (&args.config, &args.preset) {
        (Some(file), _) => config_of(file)?,
        (None, Some(name)) => TrainConfig::preset(name).map_err(Usage)?,
        (None, None) if !kept.is_file() => bail!("{}: there is no run here to resume", args.out.display()),
        (None, None) => config_file::read(&kept)?,
    };
    // As seen from everywhere: the run may be resumed from another folder.
    let absolute =
        |folder: &PathBuf| std::path::absolute(folder).with_context(|| format!("no folder {}", folder.display()));
    match (&args.data, args.world) {
        (Some(Data::Folder(folder)), _) => config.data = Data::Folder(absolute(folder)?),
        (Some(Data::Mnist(folder)), _) => config.data = Data::Mnist(absolute(folder)?),
        (Some(data), _) => config.data = data.clone(),
        (None, Some(World::Shapes)) => config.data = Data::Shapes,
        (None, Some(World::Digits)) => config.data = Data::Digits,
        (None, None) => {}
    }
    if let Some(steps) = &args.steps {
        let steps = steps.of(config.stages.len()).map_err(|e| Usage(format!("--steps: {e}")))?;
        for (stage, steps) in config.stages.iter_mut().zip(steps) {
            stage.steps = steps;
        }
    }
    Ok(config)
}

/// A configuration of ours, or a lesson's.
fn config_of(file: &Path) -> Result<TrainConfig> {
    if !config_file::is_yaml(file) {
        return config_file::read(file);
    }
    let tree: serde_json::Value = config_file::read(file)?;
    if !lesson::is_lesson(&tree) {
        return config_file::read(file);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let read = |name: &str| config_file::read(&folder.join(name)).map_err(|error| format!("{error:#}"));
    let lesson = lesson::lesson(tree, read).map_err(|error| anyhow!("cannot read {}: {error}", file.display()))?;
    if !lesson.ignored.is_empty() {
        say(&format!("what makes no difference here: {}", lesson.ignored.join("; ")));
    }
    Ok(lesson.config)
}

/// What to say of the stages that a run which is resumed makes longer or shorter.
///
/// # Errors
/// A stage is to be shorter than what is done of it: its last steps cannot be taken back.
fn lengths(args: &TrainArgs, config: &TrainConfig) -> Result<Vec<String>> {
    let kept = args.out.join("train.json");
    if !args.resume || !kept.is_file() {
        return Ok(Vec::new());
    }
    let before: TrainConfig = config_file::read(&kept)?;
    let mut said = Vec::new();
    for (i, (before, now)) in before.stages.iter().zip(&config.stages).enumerate() {
        let (stage, before, now) = (i + 1, before.steps, now.steps);
        let done = steps_done(&args.out, stage);
        if now < done {
            let message = format!("stage {stage} has {done} steps already, more than {now}; --steps makes it longer");
            return Err(Usage(message).into());
        }
        if before != now {
            said.push(format!(
                "stage {stage} is now {now} steps long and was {before}: its learning rate is that of the new length"
            ));
        }
    }
    Ok(said)
}

/// The steps of a stage's last checkpoint, by its name.
fn steps_done(out: &Path, stage: usize) -> u64 {
    let files = std::fs::read_dir(out.join("checkpoints")).into_iter().flatten().flatten();
    let step =
        |name: &str| name.strip_prefix(&format!("stage{stage}-"))?.strip_suffix(".safetensors")?.parse::<u64>().ok();
    files.filter_map(|file| step(file.file_name().to_str()?)).max().unwrap_or(0)
}

/// The numbers of the stages that the user named: `text-and-base` is the first, `sr` the last, `sr2` the second
/// super-resolution stage; a number is a number.
fn stages(args: &TrainArgs, config: &TrainConfig) -> Result<Vec<usize>> {
    let count = config.stages.len();
    let number = |name: &str| match (name, name.strip_prefix("sr")) {
        ("text-and-base" | "base", _) => Some(1),
        ("sr", _) => Some(count).filter(|&n| n > 1),
        // The first super-resolution stage is the second of all.
        (_, Some(n)) => n.parse().ok().filter(|&n: &usize| n > 0).and_then(|n| n.checked_add(1)),
        (n, None) => n.parse().ok(),
    };
    let stage = |name: &String| {
        number(name).filter(|n| (1..=count).contains(n)).ok_or_else(|| {
            let names: Vec<String> = (1..count).map(|n| format!(", sr{n}")).collect();
            Usage(format!("no stage is called {name:?}; there are text-and-base{}", names.concat())).into()
        })
    };
    args.stages.iter().map(stage).collect()
}

/// The prompts of the contact sheet: of pictures that there are, captions from all over them.
fn prompts(run: &TrainRun) -> Vec<String> {
    let Some(pictures) = run.pictures() else {
        return match run.data() {
            Data::Digits => (0..SHEET.len()).map(|i| digit_captions(i % 10)[i / 10].clone()).collect(),
            _ => SHEET.map(str::to_owned).to_vec(),
        };
    };
    let captions: Vec<&str> = pictures.captions().collect();
    let count = SHEET.len().min(captions.len());
    (0..count).map(|i| captions[i * captions.len() / count].to_owned()).collect()
}

/// The prompts of the sheet by the model as it is, after step `at.1` of stage `at.0`.
fn write_sheet(file: &Path, model: &Arc<Model>, prompts: &[String], at: (usize, u64)) -> Result<()> {
    let wish = |prompt: &String, seed: u64| PictureRequest { prompt: prompt.clone(), negative: None, seed };
    let wishes = [1, 2].iter().flat_map(|&seed| prompts.iter().map(move |prompt| wish(prompt, seed)));
    let wishes: Vec<PictureRequest> = wishes.collect();
    let origin = contact::origin(model, json!({ "stage": at.0, "step": at.1 }), &wishes);
    let pictures = model::pictures(model, Request { pictures: wishes, ..Request::default() }, |_| {})?;
    contact::write_sheet(file, &pictures, 6, &origin, Existing::Replace)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(out: &Path, more: &[&str]) -> TrainArgs {
        let all = ["firefall", "train", "--preset", "tiny", "--out", out.to_str().unwrap()];
        let Command::Train(args) = Cli::try_parse_from(all.iter().chain(more)).unwrap().command else { panic!() };
        args
    }

    #[test]
    fn stages_have_their_names() {
        let tiny = TrainConfig::preset("tiny").unwrap();
        let named = |names: &str, config: &TrainConfig| {
            stages(&args(Path::new("a"), &["--stages", names]), config).map_err(|e| e.to_string())
        };
        assert_eq!(named("text-and-base,sr", &tiny).unwrap(), [1, 2]);
        assert_eq!(named("sr1", &tiny).unwrap(), [2]);
        assert_eq!(named("1,2", &tiny).unwrap(), [1, 2]);
        for wrong in ["sr0", "sr2", "0", "3", "srx", "-1", "sr18446744073709551615"] {
            let message = named(&format!("base,{wrong}"), &tiny).unwrap_err();
            assert!(message.ends_with("there are text-and-base, sr1"), "{message}");
        }
        let mut one = tiny;
        one.stages.truncate(1);
        assert!(named("sr", &one).unwrap_err().ends_with("there are text-and-base"));
    }

    #[test]
    fn lengths_are_given_once_or_for_each_stage() {
        let steps = |text: &str| {
            let config = config(&args(Path::new("a"), &["--steps", text])).map_err(|e| e.to_string())?;
            Ok::<_, String>(config.stages.iter().map(|stage| stage.steps).collect::<Vec<_>>())
        };
        assert_eq!(steps("9").unwrap(), [9, 9]);
        assert_eq!(steps("90, 7").unwrap(), [90, 7]);
        assert!(steps("1,2,3").unwrap_err().contains("--steps: 3 values for 2 stages"));
    }

    #[test]
    fn what_is_done_cannot_be_undone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let resumed = |steps: &str| {
            let args = args(out, &["--resume", "--steps", steps]);
            lengths(&args, &config(&args).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(resumed("3").unwrap(), [""; 0], "no run is there");
        std::fs::write(out.join("train.json"), serde_json::to_vec(&TrainConfig::preset("tiny").unwrap()).unwrap())
            .unwrap();
        std::fs::create_dir(out.join("checkpoints")).unwrap();
        for name in
            ["stage1-00000004.safetensors", "stage1-00000005.safetensors", "stage1-00000099.safetensors.1.scratch"]
        {
            std::fs::write(out.join("checkpoints").join(name), "").unwrap();
        }
        assert_eq!((steps_done(out, 1), steps_done(out, 2)), (5, 0));
        assert_eq!(resumed("6").unwrap(), [""; 0]);
        let said = resumed("8,6").unwrap();
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("stage 1 is now 8 steps long and was 6"), "{said:?}");
        let message = resumed("4,9").unwrap_err();
        assert!(message.contains("stage 1 has 5 steps already, more than 4"), "{message}");
        assert_eq!(resumed("5,6").unwrap().len(), 1);
    }
}
