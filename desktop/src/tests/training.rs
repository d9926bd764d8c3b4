//! Training in the window: begun by a button, watched, stopped, gone on with, and the model that comes of it. All runs are tiny,
//! on the CPU.

use std::fs;
use std::path::PathBuf;

use firefall_core::train::TrainConfig;
use serde_json::Value;

use super::*;

/// Writes the config of a tiny run of so many steps, or of the same run with other steps.
fn plan(run: &Path, steps: [u64; 2]) {
    let mut config = TrainConfig::preset("tiny").unwrap();
    config.stages.iter_mut().zip(steps).for_each(|(stage, steps)| stage.steps = steps);
    fs::create_dir_all(run).unwrap();
    fs::write(run.join("train.json"), serde_json::to_vec(&config).unwrap()).unwrap();
}

/// What the panel says of a stage, once it says all: its steps so far, the loss, pictures a second.
fn told(window: &Window, stage: usize) -> Option<(u64, f64, f64)> {
    let text = window.query_by_label_contains(" pictures/s")?.value()?;
    let rest = text.strip_prefix(&format!("Stage {stage} of 2, step "))?;
    let (step, rest) = rest.split_once(" of ")?;
    let (steps, rest) = rest.split_once(", loss ")?;
    let (loss, speed) = rest.split_once(", ")?;
    let [step, steps] = [step, steps].map(|number| number.parse::<u64>().unwrap());
    assert!(step <= steps, "{text}");
    Some((step, loss.parse().ok()?, speed.strip_suffix(" pictures/s")?.parse().ok()?))
}

/// Steps of the checkpoints of a stage.
fn checkpoints(run: &Path, stage: usize) -> Vec<u64> {
    let step = |name: &str| -> Option<u64> {
        name.strip_prefix(&format!("stage{stage}-"))?.strip_suffix(".safetensors")?.parse().ok()
    };
    let names = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut steps: Vec<u64> = names.filter_map(|entry| step(entry.unwrap().file_name().to_str().unwrap())).collect();
    steps.sort_unstable();
    steps
}

/// Steps of a stage in the order in which they were measured.
fn measured(run: &Path, stage: usize) -> Vec<u64> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["stage"] == stage).map(|line| line["step"].as_u64().unwrap()).collect()
}

/// No run is at work in the window.
#[track_caller]
fn until_stopped(window: &mut Window) {
    until(window, |window| is_disabled(window, "Stop"));
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}

#[test]
fn a_run_is_watched_stopped_and_gone_on_with() {
    let data = tempfile::tempdir().unwrap();
    let run = data.path().join("training");
    plan(&run, [100_000; 2]);
    let mut window = window(data.path(), None);
    click(&mut window, "Training");
    assert!(is_disabled(&window, "Stop"));
    click(&mut window, "Go on");
    until(&mut window, |window| told(window, 1).is_some_and(|(step, ..)| step >= 3));
    until(&mut window, |window| says(window, "Samples of the model in training"));
    let (step, loss, speed) = told(&window, 1).unwrap();
    assert!(loss > 0.0 && loss.is_finite() && speed > 0.0, "{loss} {speed}");
    assert!(is_disabled(&window, "Go on") && !is_disabled(&window, "Stop"));
    // Pictures come between two steps, and it goes on.
    make(&mut window, "a red star");
    until(&mut window, |window| told(window, 1).is_some_and(|(now, ..)| now > step + 1));
    click(&mut window, "Stop");
    until_stopped(&mut window);
    let stopped = *measured(&run, 1).last().unwrap();
    assert_eq!(checkpoints(&run, 1).last(), Some(&stopped), "it is saved where it stopped");

    // A window that closes saves as well.
    click(&mut window, "Go on");
    until(&mut window, |window| told(window, 1).is_some_and(|(step, ..)| step > stopped));
    drop(window);
    let closed = *measured(&run, 1).last().unwrap();
    assert!(closed > stopped && checkpoints(&run, 1).last() == Some(&closed), "{stopped} {closed}");

    plan(&run, [closed + 2, 3]);
    let mut window = super::window(data.path(), None);
    window.state_mut().notices.clear();
    click(&mut window, "Training");
    click(&mut window, "Go on");
    until(&mut window, |window| told(window, 2).is_some_and(|(step, ..)| step == 3));
    until_stopped(&mut window);
    assert_eq!(checkpoints(&run, 1).last(), Some(&(closed + 2)));
    assert_eq!(checkpoints(&run, 2).last(), Some(&3));
    assert_eq!(measured(&run, 1), (1..=closed + 2).collect::<Vec<_>>(), "no step twice, and none is missing");
    assert_eq!(measured(&run, 2), [1, 2, 3]);
}

/// A run on pictures of one's own, begun and ended in the window. The folder of its model.
fn trained(window: &mut Window, folder: &Path) -> PathBuf {
    let (pictures, run) = (folder.join("pictures"), folder.join("run"));
    fs::create_dir(&pictures).unwrap();
    click(window, "Training");
    answer(window, "Run folder…", "The folder of the run", &run);
    until(window, |window| window.state().classroom.lesson.out == run);
    for _ in 0..2 {
        click(window, "The shapes world");
        assert_eq!(window.state().classroom.lesson.data, None);
        answer(window, "Pictures…", "The folder of the pictures", &pictures);
        until(window, |window| window.state().classroom.lesson.data.is_some());
    }
    click(window, "Start");
    until(window, |window| says(window, "no pictures here"));
    assert!(!run.exists() && is_disabled(window, "Stop"), "nothing is begun without pictures");
    window.state_mut().notices.clear();
    for (name, colour) in [("zebra", [0, 0, 0]), ("walrus", [90, 60, 30])] {
        image::RgbImage::from_pixel(20, 30, image::Rgb(colour)).save(pictures.join(format!("{name}.png"))).unwrap();
        fs::write(pictures.join(format!("{name}.txt")), format!("a {name}\nthe {name} sleeps")).unwrap();
    }
    for preset in ["small", "tiny"] {
        // A choice that was not made by the pointer leaves the list open.
        if window.query_by_role_and_label(Role::Button, preset).is_none() {
            window.get_by_role_and_label(Role::ComboBox, "Preset").click_accesskit();
            window.run_steps(3);
        }
        window.get_by_role_and_label(Role::Button, preset).click_accesskit();
        window.run_steps(3);
        assert_eq!(window.state().classroom.lesson.preset, preset);
    }
    click(window, "Start");
    until(window, |_| run.join("model/stage2.safetensors").is_file());
    until_stopped(window);
    assert!(checkpoints(&run, 1).last() == Some(&6) && checkpoints(&run, 2).last() == Some(&6));
    assert!(says(window, "Go on") && says(window, "Samples of the model in training"));
    run.join("model")
}

#[test]
fn a_run_on_ones_own_pictures_ends_with_a_model_to_use() {
    let (data, mut window) = opened();
    let model = trained(&mut window, data.path());
    let name = |window: &Window| window.state().about.as_ref().unwrap().config.name.clone();
    click(&mut window, "Models");
    assert_eq!(name(&window), "shapes-small");
    answer(&mut window, "Model folder…", "The folder of the model", &model);
    until(&mut window, |window| name(window) == "shapes-tiny");
    window.run_steps(2);
    assert!(says(&window, "Stage 2: 16 x 16 pixels"));

    // A damaged one is named, and the one that was there stays.
    let bad = data.path().join("bad");
    fs::create_dir(&bad).unwrap();
    let files = ["model.json", "tokenizer.json", "text.safetensors", "stage1.safetensors", "stage2.safetensors"];
    let restore = |file: &str| {
        fs::copy(model.join(file), bad.join(file)).unwrap();
    };
    files.iter().for_each(|file| restore(file));
    let whole = |file: &str| fs::read(model.join(file)).unwrap();
    let config = String::from_utf8(whole("model.json")).unwrap();
    let [newer, other] = [("\"format\": 1", "\"format\": 2"), ("\"dim\": 8", "\"dim\": 16")].map(|(from, to)| {
        assert!(config.contains(from), "{from} is not in {config}");
        config.replacen(from, to, 1).into_bytes()
    });
    let half = |file: &str| whole(file)[..whole(file).len() / 2].to_vec();
    let damages = [
        ("model.json", b"{".to_vec(), "model.json: "),
        ("model.json", newer, "model.json: format is 2; this build reads 1"),
        ("model.json", other, "stage1.safetensors was saved for another network"),
        ("tokenizer.json", half("tokenizer.json"), "tokenizer.json: "),
        ("text.safetensors", b"PK\x03\x04archive/data.pkl".to_vec(), "text.safetensors: this is a PyTorch pickle"),
        ("stage2.safetensors", half("stage2.safetensors"), "stage2.safetensors: "),
    ];
    for (file, bytes, words) in damages {
        fs::write(bad.join(file), bytes).unwrap();
        answer(&mut window, "Model folder…", "The folder of the model", &bad);
        until(&mut window, |window| window.state().notices.iter().any(|notice| notice.contains(words)));
        let notice = &window.state().notices[0];
        assert!(notice.contains(bad.to_str().unwrap()) && name(&window) == "shapes-tiny", "{notice}");
        window.state_mut().notices.clear();
        restore(file);
    }
    click(&mut window, "New");
    until(&mut window, |window| picture(window).width == 16);
    make(&mut window, "a zebra");
    accept(&mut window);
    click(&mut window, "Shipped model");
    until(&mut window, |window| name(window) == "shapes-small");
}

#[test]
fn a_run_that_cannot_begin_is_said_and_loses_nothing() {
    let (data, mut window) = opened();
    let run = data.path().join("training");
    plan(&run, [2, 2]);
    let path = run.join("train.json");
    let whole = fs::read_to_string(&path).unwrap();
    click(&mut window, "Training");
    let newer = whole.replacen("\"format\":1", "\"format\":2", 1);
    let slip = whole.replacen("\"checkpoint_every\"", "\"checkpoint_evry\"", 1);
    let damages = [
        ("", "train.json"),
        (&whole[..whole.len() / 2], "train.json"),
        (newer.as_str(), "format is 2; this build reads 1"),
        (slip.as_str(), "did you mean \"checkpoint_every\"?"),
    ];
    for (text, words) in damages {
        assert_ne!(text, whole);
        fs::write(&path, text).unwrap();
        click(&mut window, "Go on");
        until(&mut window, |window| says(window, words));
        assert!(is_disabled(&window, "Stop") && fs::read_to_string(&path).unwrap() == text);
        window.state_mut().notices.clear();
    }
    fs::write(&path, &whole).unwrap();
    // Another program is at work there.
    let lock = fs::File::create(run.join("lock")).unwrap();
    lock.lock().unwrap();
    click(&mut window, "Go on");
    until(&mut window, |window| says(window, "nother run is at work here"));
    window.state_mut().notices.clear();
    drop(lock);
    answer(&mut window, "Run folder…", "The folder of the run", Path::new("/proc/run"));
    until(&mut window, |window| window.query_by_label("Start").is_some());
    click(&mut window, "Start");
    until(&mut window, |window| says(window, "/proc/run/checkpoints"));
    window.state_mut().notices.clear();
    // The run that was refused is as it was.
    answer(&mut window, "Run folder…", "The folder of the run", &run);
    until(&mut window, |window| window.query_by_label("Go on").is_some());
    click(&mut window, "Go on");
    until(&mut window, |window| told(window, 2).is_some_and(|(step, ..)| step == 2));
    until_stopped(&mut window);
    assert_eq!((measured(&run, 1), measured(&run, 2)), (vec![1, 2], vec![1, 2]));
}
