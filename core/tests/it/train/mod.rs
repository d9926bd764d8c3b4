//! Training runs of a tiny cascade: that they go on exactly, and fail in an orderly way.

mod faults;
mod reading;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use firefall_core::cascade::Model;
use firefall_core::train::{Data, RunOptions, TrainConfig, TrainError, TrainEvent, TrainRun};
use firefall_core::weights::WeightFile;

use crate::tiny::{config, pictures, request, tokenizer};

/// The preset with `steps` steps a stage, no reading and no checkpoints but those that are asked for.
fn steps(steps: u64) -> TrainConfig {
    let mut config = config();
    config.reading = None;
    config.checkpoint_every = 1000;
    for stage in &mut config.stages {
        stage.steps = steps;
    }
    config
}

fn try_open(folder: &Path, config: &TrainConfig, resume: bool) -> Result<TrainRun, TrainError> {
    let options = RunOptions { resume, ..RunOptions::default() };
    TrainRun::open(config.clone(), folder, &options, &Device::flex())
}

/// A new run, with the tokenizer of these tests.
fn start(folder: &Path, config: &TrainConfig) -> TrainRun {
    fs::write(folder.join("tokenizer.json"), tokenizer()).unwrap();
    try_open(folder, config, false).unwrap()
}

fn resume(folder: &Path, config: &TrainConfig) -> TrainRun {
    try_open(folder, config, true).unwrap()
}

/// Works until `steps` steps are done.
fn advance(run: &mut TrainRun, steps: usize) {
    let mut done = 0;
    while done < steps {
        let event = pollster::block_on(run.next()).unwrap().expect("a run that is not over");
        done += usize::from(matches!(event, TrainEvent::Step { .. }));
    }
}

fn finish(mut run: TrainRun) -> Result<Vec<String>, TrainError> {
    let mut events = Vec::new();
    while let Some(event) = pollster::block_on(run.next())? {
        events.push(match event {
            TrainEvent::StageStarted { stage, stages, done, steps, .. } => {
                format!("stage {stage}/{stages} {done}/{steps}")
            }
            TrainEvent::Read { step, steps, metrics } => {
                assert!(metrics.is_some_and(|m| m.loss.is_finite() && (0.0..=1.0).contains(&m.right)));
                format!("read {step}/{steps}")
            }
            TrainEvent::Step { pictures, metrics } => {
                format!("{pictures}{}", metrics.map_or_else(String::new, |m| format!(" measured {}", m.step)))
            }
            TrainEvent::Checkpoint { stage, step, model, .. } => {
                assert_eq!(model.stages.len(), stage);
                format!("checkpoint {stage} {step}")
            }
            TrainEvent::StageDone { stage } => format!("done {stage}"),
        });
    }
    Ok(events)
}

fn save(run: &mut TrainRun) {
    assert!(pollster::block_on(run.save()).unwrap().is_some());
}

/// The names of all files in a folder of the run.
fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a finished run leaves: its last checkpoints and its model.
fn outcome(folder: &Path, steps: u64) -> BTreeMap<String, Vec<u8>> {
    let checkpoints = (1..=2).map(|stage| format!("checkpoints/stage{stage}-{steps:08}.safetensors"));
    let model = list(&folder.join("model")).into_iter().map(|name| format!("model/{name}"));
    checkpoints.chain(model).map(|name| (name.clone(), fs::read(folder.join(&name)).unwrap())).collect()
}

#[track_caller]
fn same(got: &BTreeMap<String, Vec<u8>>, want: &BTreeMap<String, Vec<u8>>) {
    assert!(got.keys().eq(want.keys()), "{:?} and {:?}", got.keys(), want.keys());
    for (name, bytes) in got {
        assert!(bytes == &want[name], "{name} differs");
    }
}

#[test]
fn events_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig { checkpoint_every: 2, log_every: 3, ..steps(5) };
    let events = finish(start(folder.path(), &config)).unwrap();
    let stage = |stage| {
        let middle = ["4", "4", "c 2", "4 measured 3", "4", "c 4", "4 measured 5", "c 5"];
        let middle = middle.map(|event| event.replace('c', &format!("checkpoint {stage}")));
        [vec![format!("stage {stage}/2 0/5")], middle.to_vec(), vec![format!("done {stage}")]].concat()
    };
    assert_eq!(events, [stage(1), stage(2)].concat());
    let metrics = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| [&line["stage"], &line["step"], &line["pictures"]]).collect();
    assert_eq!(told, [[1, 3, 12], [1, 5, 20], [2, 3, 12], [2, 5, 20]]);
    assert!(lines.iter().all(|line| line["loss"].as_f64().unwrap() > 0.0));
}

/// Stopped in the first stage, in the second, between them, and again and again.
#[test]
fn a_run_that_was_stopped_goes_on_to_the_last_bit() {
    const STEPS: u64 = 4;
    let config = steps(STEPS);
    let whole = tempfile::tempdir().unwrap();
    finish(start(whole.path(), &config)).unwrap();
    let want = outcome(whole.path(), STEPS);
    assert_eq!(want.len(), 8, "{:?}", want.keys());
    for stops in [&[2][..], &[6], &[4], &[1, 1, 3, 1]] {
        let folder = tempfile::tempdir().unwrap();
        let mut run = start(folder.path(), &config);
        for &stop in stops {
            advance(&mut run, stop);
            save(&mut run);
            drop(run);
            run = resume(folder.path(), &config);
        }
        finish(run).unwrap();
        same(&outcome(folder.path(), STEPS), &want);
    }
}

/// The model is written before the checkpoint, so no kill leaves a run that is over with a model that is not.
#[test]
fn a_run_killed_before_its_last_checkpoint_makes_up_for_it() {
    let config = steps(2);
    let folder = tempfile::tempdir().unwrap();
    finish(start(folder.path(), &config)).unwrap();
    let want = outcome(folder.path(), 2);
    fs::remove_file(folder.path().join("checkpoints/stage2-00000002.safetensors")).unwrap();
    for lost in ["model.json", "stage2.safetensors"] {
        fs::remove_file(folder.path().join("model").join(lost)).unwrap();
    }
    finish(resume(folder.path(), &config)).unwrap();
    same(&outcome(folder.path(), 2), &want);
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let folder = tempfile::tempdir().unwrap();
    finish(start(folder.path(), &steps(1))).unwrap();
    let want = outcome(folder.path(), 1);
    let again = finish(resume(folder.path(), &steps(1))).unwrap();
    assert_eq!(again, ["stage 1/2 1/1", "done 1", "stage 2/2 1/1", "done 2"]);
    same(&outcome(folder.path(), 1), &want);
    let read = |name: &str| fs::read(folder.path().join("model").join(name));
    let model = Arc::new(Model::load(read, &Device::flex()).unwrap());
    assert_eq!(pictures(&model, request(&[("a red circle", 1)]))[0].width, 16);
}

fn model(folder: &Path) -> Arc<Model> {
    let read = |name: &str| fs::read(folder.join("model").join(name));
    Arc::new(Model::load(read, &Device::flex()).unwrap())
}

/// Whatever is trained again, and however it ends, what was trained before stays in the model.
#[test]
fn a_first_stage_made_longer_keeps_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    finish(start(path, &steps(1))).unwrap();
    let first = model(path);
    let mut longer = steps(1);
    longer.stages[0].steps = 3;
    // Stopped on the way.
    let mut run = resume(path, &longer);
    advance(&mut run, 1);
    save(&mut run);
    drop(run);
    assert_eq!(model(path).stages.len(), 2);
    // The first stage alone.
    let options = RunOptions { stages: vec![1], resume: true, from: None };
    let events = finish(TrainRun::open(longer.clone(), path, &options, &Device::flex()).unwrap()).unwrap();
    assert_eq!(events.last().unwrap(), "done 1");
    let second = model(path);
    assert_eq!(second.stages.len(), 2);
    assert_ne!(first.hash, second.hash, "the first stage went on");
    // All: a second stage that is complete is passed over.
    assert_eq!(finish(resume(path, &longer)).unwrap(), ["stage 1/2 3/3", "done 1", "stage 2/2 1/1", "done 2"]);
    assert_eq!(model(path).hash, second.hash);
    // A model that lost its second stage gets it back.
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("model/model.json")).unwrap()).unwrap();
    config["stages"].as_array_mut().unwrap().truncate(1);
    fs::write(path.join("model/model.json"), config.to_string()).unwrap();
    assert_eq!(model(path).stages.len(), 1);
    finish(resume(path, &longer)).unwrap();
    assert_eq!(model(path).hash, second.hash);
    assert_eq!(pictures(&second, request(&[("a red circle", 1)]))[0].width, 16);
}

#[test]
fn a_trained_model_says_where_its_weights_come_from() {
    let folder = tempfile::tempdir().unwrap();
    finish(start(folder.path(), &steps(1))).unwrap();
    let note = folder.path().join("model/LICENSE.txt");
    assert!(fs::read_to_string(&note).unwrap().contains("trained from scratch by Firefall"));
    let with = model(folder.path());
    assert!(with.licence.contains("MIT or Apache-2.0"));
    fs::remove_file(note).unwrap();
    let without = model(folder.path());
    assert!(without.licence.is_empty() && without.hash == with.hash);
}

#[test]
fn metrics_rise_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let config = steps(4);
    let mut run = start(folder.path(), &config);
    for killed_after in [2, 1] {
        advance(&mut run, 1);
        save(&mut run);
        // Measured, but not saved.
        advance(&mut run, killed_after);
        drop(run);
        run = resume(folder.path(), &config);
    }
    finish(run).unwrap();
    let metrics = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told: Vec<_> = lines.map(|line| [&line["stage"], &line["step"]].map(|v| v.as_u64().unwrap())).collect();
    let want: Vec<_> = [1, 2].into_iter().flat_map(|stage| (1..=4).map(move |step| [stage, step])).collect();
    assert_eq!(told, want);
}

#[test]
fn what_should_be_known_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, out) = (at("data"), at("out"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&out).unwrap();
    image::RgbImage::new(16, 16).save(data.join("a.png")).unwrap();
    let long = "a red circle ".repeat(20);
    fs::write(data.join("a.txt"), format!("a red circle\n{long}\na blue star\n")).unwrap();
    let learns = |data: &Path, count| TrainConfig { data: Data::Folder(data.to_owned()), ..steps(count) };
    let run = start(&out, &learns(&data, 1));
    assert!(matches!(run.warnings(), [cut] if cut.starts_with("1 of 3 captions")), "{:?}", run.warnings());
    finish(run).unwrap();

    // Moved, they are the same pictures; with other words they are not, until the run has taken them.
    let moved = at("moved");
    fs::rename(&data, &moved).unwrap();
    fs::write(moved.join("a.txt"), "a red circle\na blue star\n").unwrap();
    let run = resume(&out, &learns(&moved, 1));
    assert!(matches!(run.warnings(), [changed] if changed.contains("not those")), "{:?}", run.warnings());
    drop(run);
    assert_eq!(resume(&out, &learns(&moved, 1)).warnings(), [""; 0]);
    let again = at("again");
    fs::rename(&moved, &again).unwrap();
    assert_eq!(resume(&out, &learns(&again, 1)).warnings(), [""; 0]);
    // A longer first stage leaves the second behind, unless that is made longer too.
    assert_eq!(resume(&out, &learns(&again, 2)).warnings(), [""; 0]);
    let mut longer = learns(&again, 2);
    longer.stages[1].steps = 1;
    let run = resume(&out, &longer);
    assert!(matches!(run.warnings(), [outdated] if outdated.starts_with("stage 2 knows")), "{:?}", run.warnings());
    drop(run);
    // Nor does one that leaves the text encoder as it is.
    let apart = tempfile::tempdir().unwrap();
    let mut frozen = steps(1);
    frozen.stages[0].optim.text_share = 0.0;
    finish(start(apart.path(), &frozen)).unwrap();
    frozen.stages[0].steps = 2;
    assert_eq!(resume(apart.path(), &frozen).warnings(), [""; 0]);
    let only = RunOptions { stages: vec![2], resume: true, from: None };
    let run = TrainRun::open(learns(&again, 2), &out, &only, &Device::flex()).unwrap();
    assert_eq!(run.warnings(), [""; 0]);

    let shapes = tempfile::tempdir().unwrap();
    assert_eq!(start(shapes.path(), &steps(1)).warnings(), [""; 0]);
    assert!(!shapes.path().join("pictures.sha256").exists());
}

#[test]
fn a_later_stage_waits_for_the_earlier() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), tokenizer()).unwrap();
    let only = |stage, resume| {
        let options = RunOptions { stages: vec![stage], resume, from: None };
        TrainRun::open(steps(1), folder.path(), &options, &Device::flex())
    };
    let error = finish(only(2, false).unwrap()).unwrap_err();
    assert!(matches!(error, TrainError::Order { stage: 2 }), "{error}");
    assert_eq!(finish(only(1, true).unwrap()).unwrap().last().unwrap(), "done 1");
    assert_eq!(finish(only(2, true).unwrap()).unwrap()[0], "stage 2/2 0/1");
    let error = only(3, true).unwrap_err().to_string();
    assert!(error.contains("no stage 3; this model has 2"), "{error}");
}

#[test]
fn only_the_last_checkpoints_stay() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig { checkpoint_every: 1, keep_checkpoints: 2, ..steps(5) };
    finish(start(folder.path(), &config)).unwrap();
    let names = list(&folder.path().join("checkpoints"));
    let want = [(1, 4), (1, 5), (2, 4), (2, 5)].map(|(stage, step)| format!("stage{stage}-{step:08}.safetensors"));
    assert_eq!(names, want);
}

#[test]
fn a_checkpoint_holds_the_whole_trainer() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), &steps(3));
    advance(&mut run, 2);
    save(&mut run);
    let path = folder.path().join("checkpoints/stage1-00000002.safetensors");
    let file = WeightFile::parse("a", fs::read(path).unwrap()).unwrap();
    assert_eq!(file.metadata()["step"], "2");
    assert!(file.metadata()["config"].contains("shapes-tiny"));
    let parts: Vec<usize> = ["param.", "ema.", "mean.", "square."]
        .map(|part| file.keys().filter(|key| key.starts_with(part)).count())
        .to_vec();
    assert!(parts[0] > 100 && parts.iter().all(|&n| n == parts[0]), "{parts:?}");
    assert_eq!(file.keys().count(), 4 * parts[0] + 2);
    // Two batches of four, the first of them a step ago.
    let seen: f32 = file.values("level.pictures").unwrap().iter().sum();
    assert!((seen - (4.0 * 0.995 + 4.0)).abs() < 1e-3, "{seen}");
    assert!(file.values("level.losses").unwrap().iter().any(|&loss| loss > 0.0));
    // The average lags behind, and moments are not zero where there is a gradient.
    let last = "unet.final_conv.weight";
    let [param, ema, mean, square] =
        ["param", "ema", "mean", "square"].map(|part| file.values(&format!("{part}.{last}")).unwrap());
    assert!(param != ema && mean.iter().any(|&v| v != 0.0) && square.iter().all(|&v| v >= 0.0));
}

/// The model of a run, as a folder has it.
fn model_in(folder: &Path) -> Arc<Model> {
    Arc::new(Model::load(|name| fs::read(folder.join(name)), &Device::flex()).unwrap())
}

#[test]
fn a_run_may_begin_with_a_model_and_keep_parts_of_it() {
    let first = tempfile::tempdir().unwrap();
    finish(start(first.path(), &steps(2))).unwrap();
    let model = model_in(&first.path().join("model"));
    let begin = |stages: &[usize], config: &TrainConfig| {
        let folder = tempfile::tempdir().unwrap();
        let options = RunOptions { stages: stages.to_vec(), resume: false, from: Some(model.clone()) };
        let events = finish(TrainRun::open(config.clone(), folder.path(), &options, &Device::flex())?)?;
        Ok::<_, TrainError>((events, folder))
    };
    // As numbers: a step that is all but none may turn the sign of a zero.
    let file = |folder: &Path, name: &str| {
        let bytes = fs::read(folder.join("model").join(name)).unwrap();
        let file = WeightFile::parse(name, bytes).unwrap();
        file.keys().map(|key| (key.to_owned(), file.values(key).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let same = |folder: &Path, name: &str| file(folder, name) == file(first.path(), name);
    // So small a rate changes nothing, and rounding to half precision was done before.
    let mut still = steps(1);
    still.stages.iter_mut().for_each(|stage| stage.optim.learning_rate = 1e-40);
    let (_, unmoved) = begin(&[], &still).unwrap();
    // One part is trained, the others stay as they are.
    let (events, later) = begin(&[2], &steps(1)).unwrap();
    assert_eq!(events[0], "stage 2/2 0/1");
    let (_, earlier) = begin(&[1], &steps(1)).unwrap();
    for (file, kept) in [
        ("text.safetensors", [true, true, false]),
        ("stage1.safetensors", [true, true, false]),
        ("stage2.safetensors", [true, false, true]),
    ] {
        assert_eq!([&unmoved, &later, &earlier].map(|folder| same(folder.path(), file)), kept, "{file}");
    }
    let words = |folder: &Path| fs::read(folder.join("tokenizer.json")).unwrap();
    assert_eq!(words(later.path()), words(first.path()));
    let mut other = steps(1);
    other.model.stages[1].unet.dim = 4;
    let error = begin(&[], &other).unwrap_err().to_string();
    assert!(error.contains("network in stage 2 than the config: dim is 8 there and 4 here"), "{error}");
}

/// A network that was not told what is known begins with zeros for it; one that was told cannot forget it.
#[test]
fn a_run_may_begin_with_a_model_that_was_not_told_what_is_known() {
    let (first, second, third) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut deaf = steps(1);
    (deaf.model.stages[0].unet.cond_images_channels, deaf.stages[0].inpainting) = (0, 0.0);
    finish(start(first.path(), &deaf)).unwrap();
    let mut still = steps(1);
    still.stages.iter_mut().for_each(|stage| stage.optim.learning_rate = 1e-40);
    let begin = |from: &Path, folder: &Path, config: &TrainConfig| {
        let options = RunOptions { from: Some(model_in(&from.join("model"))), ..RunOptions::default() };
        finish(TrainRun::open(config.clone(), folder, &options, &Device::flex())?)
    };
    begin(first.path(), second.path(), &still).unwrap();
    let stem = |folder: &Path| {
        let bytes = fs::read(folder.join("model/stage1.safetensors")).unwrap();
        WeightFile::parse("stage1", bytes).unwrap().values("stem.convs.0.weight").unwrap()
    };
    let (before, after) = (stem(first.path()), stem(second.path()));
    let inputs = steps(1).model.stages[0].unet.input_channels();
    for (before, after) in before.chunks(9 * (inputs - 4)).zip(after.chunks(9 * inputs)) {
        let (told, own) = after.split_at(9 * 4);
        assert!(told.iter().all(|&v| v.abs() < 1e-30) && own == before, "{told:?}, {own:?} against {before:?}");
    }
    let error = begin(second.path(), third.path(), &deaf).unwrap_err().to_string();
    assert!(error.contains("cond_images_channels is 4 there and 0 here"), "{error}");
}

/// What the deeper network has more is there and says nothing yet; what it had is as it was.
#[test]
fn a_run_may_begin_with_a_smaller_model() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [first, second, third] = folders.each_ref().map(|folder| folder.path());
    finish(start(first, &steps(1))).unwrap();
    let mut deeper = steps(1);
    deeper.stages.iter_mut().for_each(|stage| stage.optim.learning_rate = 1e-40);
    deeper.model.stages[0].unet.levels[0].resnet_blocks += 1;
    let begin = |from: &Path, folder: &Path, config: &TrainConfig| {
        let options = RunOptions { from: Some(model_in(&from.join("model"))), ..RunOptions::default() };
        finish(TrainRun::open(config.clone(), folder, &options, &Device::flex())?)
    };
    begin(first, second, &deeper).unwrap();
    let [before, after] = [first, second].map(|folder| {
        let bytes = fs::read(folder.join("model/stage1.safetensors")).unwrap();
        let file = WeightFile::parse("stage1", bytes).unwrap();
        file.keys().map(|key| (key.to_owned(), file.values(key).unwrap())).collect::<BTreeMap<_, _>>()
    });
    assert!(before.iter().all(|(key, values)| key.starts_with("ups.") || after.get(key) == Some(values)));
    let new: Vec<_> =
        after.keys().filter(|key| !before.contains_key(*key) && key.ends_with("block2.conv.weight")).collect();
    assert_eq!(new.len(), 2, "one on the way down and one on the way up: {new:?}");
    assert!(after.len() > before.len());
    let error = begin(second, third, &steps(1)).unwrap_err().to_string();
    assert!(error.contains("resnet_blocks"), "{error}");
}

#[test]
fn a_run_that_was_stopped_before_it_had_its_weights_is_not_taken_up() {
    let first = tempfile::tempdir().unwrap();
    finish(start(first.path(), &steps(1))).unwrap();
    let from = Some(model_in(&first.path().join("model")));
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions { from, ..RunOptions::default() };
    drop(TrainRun::open(steps(1), folder.path(), &options, &Device::flex()).unwrap());
    let error = finish(resume(folder.path(), &steps(1))).unwrap_err();
    assert!(matches!(error, TrainError::NotBegun), "{error}");
}
