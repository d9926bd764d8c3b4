//! The binary under adverse conditions: killed while it trains and saves, interrupted, given wrong values, wrong files,
//! and disks that take nothing.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not know as such")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use firefall_cli::png_text::read;
use firefall_core::train::TrainConfig;
use firefall_core::weights::WeightFile;

use support::{binary, ended, ends, model, sample, says, text};

/// A tiny run's config as a file.
fn config(folder: &Path, steps: u64, checkpoint_every: u64) -> PathBuf {
    let mut config = TrainConfig::preset("tiny").unwrap();
    config.checkpoint_every = checkpoint_every;
    config.keep_checkpoints = 2;
    for stage in &mut config.stages {
        stage.steps = steps;
    }
    let path = folder.join("config.json");
    fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
    path
}

/// The longest wait for a line: a word that was changed must not make the gate hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run at work whose lines are read as they come.
struct Watched {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Watched {
    fn start(args: &[&str]) -> Self {
        let mut child = binary().args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (stderr, (sender, lines)) = (child.stderr.take().unwrap(), channel());
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Reads to the `n`th line with `word`; false if the run ended before.
    fn wait_for(&mut self, word: &str, n: usize) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut found = 0;
        while found < n {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    found += usize::from(line.contains(word));
                    self.seen.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("no line with {word:?} in {PATIENCE:?}: {:?}", self.seen);
                }
            }
        }
        true
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit code, and all lines.
    fn end(mut self) -> (Option<i32>, String) {
        self.seen.extend(self.lines.iter());
        (self.child.wait().unwrap().code(), self.seen.join("\n"))
    }
}

/// Steps of the checkpoints of a stage, all of which are whole.
fn checkpoints(run: &Path, stage: u64) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return Vec::new() };
    let mut steps = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let rest = name.strip_prefix(&format!("stage{stage}-"));
        let Some(step) = rest.and_then(|rest| rest.strip_suffix(".safetensors")) else { continue };
        let file = WeightFile::parse(name, fs::read(&path).unwrap()).unwrap();
        assert_eq!(file.metadata()["step"].parse::<u64>().unwrap(), step.parse::<u64>().unwrap());
        steps.push(step.parse().unwrap());
    }
    steps.sort_unstable();
    steps
}

/// Stage and step of the last line of metrics.
fn measured(run: &Path) -> Option<(u64, u64)> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last()?).unwrap();
    Some((last["stage"].as_u64().unwrap(), last["step"].as_u64().unwrap()))
}

fn scratch(folder: &Path) -> Vec<PathBuf> {
    let folders = [folder.to_owned(), folder.join("checkpoints"), folder.join("model")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    files.map(|entry| entry.unwrap().path()).filter(|path| text(path).ends_with(".scratch")).collect()
}

/// The files of a folder; not what is in folders below it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(file).collect()
}

/// Steps between checkpoints of the run that is killed.
const EVERY: u64 = 2;

/// When a run is killed: some time after the `n`th line with a word.
fn moment(round: u64) -> (&'static str, usize, Duration) {
    let word = match round {
        // Before and after the first words.
        0 | 1 => "training in",
        2..=6 => "stage 1 step",
        7 | 8 => "saved",
        // However long the first stage takes.
        9..=16 => "stage 2 step",
        _ => "saved",
    };
    (word, 1 + (round % 3) as usize, Duration::from_millis(round * 7 % 31))
}

#[test]
fn a_run_killed_at_any_moment_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (run, whole) = (folder.path().join("run"), folder.path().join("whole"));
    let config = config(folder.path(), 16, EVERY);
    let mut kills = 0;
    for round in 0..20 {
        let resume = ["train", "--out", text(&run), "--device", "cpu", "--resume"];
        let anew = ["train", "--out", text(&run), "--device", "cpu", "--config", text(&config)];
        let there = run.join("train.json").exists();
        let mut watched = Watched::start(if there { &resume } else { &anew });
        let (word, n, pause) = moment(round);
        let n = if word == "training in" { 1 } else { n };
        let reached = watched.wait_for(word, n);
        std::thread::sleep(pause);
        if reached {
            kills += 1;
        }
        watched.signal("-KILL");
        let (_, said) = watched.end();
        assert!(!said.contains("error") && !said.contains("panicked"), "round {round}: {said}");

        let Some((stage, step)) = measured(&run) else { continue };
        let newest = checkpoints(&run, stage).last().copied().unwrap_or(0);
        assert!(newest + EVERY >= step, "round {round}: {step} steps of stage {stage}, checkpoint {newest}");
        if run.join("model/model.json").exists() {
            let read = |name: &str| fs::read(run.join("model").join(name));
            let device = burn::tensor::Device::flex();
            firefall_core::cascade::Model::load(read, &device).unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
    }
    assert!(kills >= 15, "only {kills} runs lived long enough to be killed");
    fs::write(run.join("checkpoints/stage1-00000099.safetensors.1.scratch"), b"half").unwrap();
    ends(0, &["train", "--out", text(&run), "--device", "cpu", "--resume"]);
    assert_eq!((checkpoints(&run, 1).last(), checkpoints(&run, 2).last()), (Some(&16), Some(&16)));
    assert_eq!(scratch(&run), Vec::<PathBuf>::new());

    ends(0, &["train", "--out", text(&whole), "--device", "cpu", "--config", text(&config)]);
    let (got, want) = (contents(&run.join("model")), contents(&whole.join("model")));
    assert!(got == want, "the model is not that of a run that was left alone");
}

#[test]
fn an_interrupted_run_saves_and_says_how_to_go_on() {
    // The key, and what a system sends that wants its machine back.
    for signal in ["-INT", "-TERM"] {
        interrupt(signal);
    }
}

fn interrupt(signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(folder.path(), 100_000, 100_000);
    let mut watched = Watched::start(&["train", "--out", text(&run), "--device", "cpu", "--config", text(&config)]);
    assert!(watched.wait_for("stage 1 step", 3));
    // A second run finds the folder taken.
    let again = ["train", "--out", text(&run), "--device", "cpu", "--resume"];
    says(1, &again, &["another run is at work", text(&run)]);
    watched.signal(signal);
    let (code, said) = watched.end();
    assert_eq!(code, Some(130), "{said}");
    let (_, step) = measured(&run).unwrap();
    assert_eq!(checkpoints(&run, 1), [step], "{said}");
    for words in [format!("saved {}", text(&run)), format!("go on with: firefall train --out {} --resume", text(&run))]
    {
        assert!(said.contains(&words), "{said:?} does not say {words:?}");
    }

    let mut watched = Watched::start(&again);
    assert!(watched.wait_for(&format!("step {step} of 100000"), 1), "{:?}", watched.seen);
    assert!(watched.wait_for(&format!("stage 1 step {} of", step + 1), 1), "{:?}", watched.seen);
    watched.signal("-KILL");
    watched.end();
    let anew = ["train", "--out", text(&run), "--device", "cpu", "--config", text(&config)];
    says(1, &anew, &["there is a run here already", "--resume"]);
    says(1, &[&again[..], &["--preset", "small"]].concat(), &["another config", "model.name", "shapes-small"]);
    let nowhere = folder.path().join("nowhere");
    says(1, &["train", "--out", text(&nowhere), "--preset", "tiny", "--resume"], &["no run here", text(&nowhere)]);
}

#[test]
fn a_trained_model_makes_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    ends(0, &sample(&["--seed", "3", "--out", text(&path)]));
    let texts = read(&path).unwrap();
    assert_eq!((texts.width, texts.height), (16, 16));
    assert_eq!((texts.origin.prompt.as_deref(), texts.origin.seed), (Some("a red circle"), Some(3)));
    let first = fs::read(&path).unwrap();
    says(1, &sample(&["--seed", "3", "--out", text(&path)]), &["a.png exists", "--force"]);
    ends(0, &sample(&["--seed", "3", "--out", text(&path), "--force"]));
    assert_eq!(fs::read(&path).unwrap(), first, "a seed is a picture");
    ends(0, &sample(&["--seed", "4", "--out", text(&path), "--force"]));
    assert_ne!(fs::read(&path).unwrap(), first);
    // Several go to a folder that is made.
    let several = folder.path().join("new/folder");
    ends(0, &sample(&["--count", "3", "--seed", "3", "--out", text(&several)]));
    assert_eq!(fs::read_dir(&several).unwrap().count(), 3);
    assert_eq!(contents(folder.path()).len(), 1, "no scratch file stays");
}

#[test]
fn a_folder_of_pictures_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    let train = ["train", "--preset", "tiny", "--device", "cpu", "--out", text(&run), "--data", text(&data)];
    says(1, &train, &[text(&data)]);
    fs::create_dir(&data).unwrap();
    says(1, &train, &[text(&data), "no pictures here", ".txt"]);
    says(2, &[&train[..], &["--world", "shapes"]].concat(), &["--world"]);
    for (name, colour) in [("zebra", [0, 0, 0]), ("walrus", [90, 60, 30])] {
        image::RgbImage::from_pixel(20, 30, image::Rgb(colour)).save(data.join(format!("{name}.jpg"))).unwrap();
        fs::write(data.join(format!("{name}.txt")), format!("a {name}\nthe {name} sleeps")).unwrap();
    }
    fs::write(data.join("yak.png"), b"a horse").unwrap();
    fs::write(data.join("yak.txt"), b"a yak").unwrap();
    says(1, &train, &["yak.png", "cannot be read as a picture"]);
    assert!(!run.exists(), "nothing is begun without pictures");
    fs::remove_file(data.join("yak.png")).unwrap();
    let said = ends(0, &train);
    assert!(said.contains("\"a walrus\""), "{said}");
    let tokenizer = fs::read_to_string(run.join("model/tokenizer.json")).unwrap();
    assert!(tokenizer.contains("walrus") && !tokenizer.contains("circle"), "its own words");
    assert!(run.join("sheets/stage2-00000002.png").exists());
    // The config knows the folder, wherever the run goes on.
    ends(0, &["train", "--device", "cpu", "--out", text(&run), "--resume", "--steps", "7"]);
    assert_eq!((checkpoints(&run, 1).last(), checkpoints(&run, 2).last()), (Some(&7), Some(&7)));
    let path = folder.path().join("a.png");
    let model = run.join("model");
    ends(0, &["sample", "a zebra", "--device", "cpu", "--model", text(&model), "--out", text(&path)]);
    assert_eq!(read(&path).unwrap().width, 16);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/a.png");
    says(1, &sample(&["--out", text(&missing)]), &["cannot write", text(&missing)]);
    says(1, &sample(&["--out", "/proc/a.png"]), &["cannot write /proc/a.png"]);
    says(1, &sample(&["--count", "2", "--out", "/proc/pictures"]), &["/proc/pictures"]);
    let file = folder.path().join("file");
    fs::write(&file, b"mine").unwrap();
    says(1, &sample(&["--out", text(&file)]), &["file exists"]);
    let below = file.join("a.png");
    says(1, &sample(&["--out", text(&below)]), &["cannot write", text(&below)]);
    says(1, &sample(&["--count", "2", "--out", text(&file)]), &[text(&file)]);
    says(1, &["train", "--preset", "tiny", "--out", "/proc/run"], &["/proc/run"]);
    says(1, &["train", "--preset", "tiny", "--out", text(&file)], &[text(&file)]);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

/// No file may grow beyond a few kilobytes, as on a full disk: the signal that would end the process is ignored, so that
/// the write itself fails.
fn under_a_limit(kilobytes: u32, args: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
    Command::new("bash").args(["-c", &script, env!("CARGO_BIN_EXE_firefall")]).args(args).output().unwrap()
}

#[test]
fn a_disk_that_takes_no_more_costs_nothing_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let said = ended(1, &under_a_limit(0, &sample(&["--out", text(&path)])));
    assert!(said.contains("cannot write") && said.contains("a.png"), "{said}");
    assert!(contents(folder.path()).is_empty(), "no part of a file stays");

    let run = folder.path().join("run");
    let config = config(folder.path(), 4, 2);
    let train = ["train", "--out", text(&run), "--device", "cpu"];
    let said = ended(1, &under_a_limit(64, &[&train[..], &["--config", text(&config)]].concat()));
    assert!(said.contains("error: ") && said.contains(text(&run)), "{said}");
    assert!(checkpoints(&run, 1).is_empty() && scratch(&run).is_empty(), "{said}");
    ends(0, &[&train[..], &["--resume"]].concat());
}

/// A real file system of a few pages, in a mount namespace of its own; needs rights that not every machine gives.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    fs::create_dir(&at).unwrap();
    let mount = format!("mount -t tmpfs -o size=8k tmpfs {0} && head -c 8192 /dev/zero > {0}/full", text(&at));
    let inside = |script: &str| Command::new("unshare").args(["-m", "bash", "-c", script]).output();
    if !inside(&mount).is_ok_and(|output| output.status.success()) {
        let _ = writeln!(std::io::stderr(), "SKIPPED a_full_disk_is_named: nothing can be mounted here");
        return;
    }
    let path = at.join("a.png");
    let args: Vec<String> = sample(&["--out", text(&path)]).iter().map(|arg| format!("'{arg}'")).collect();
    let script = format!(
        "{mount}; '{}' {}; code=$?; ls -A {}; exit $code",
        env!("CARGO_BIN_EXE_firefall"),
        args.join(" "),
        text(&at)
    );
    let output = inside(&script).unwrap();
    let said = ended(1, &output);
    assert!(said.contains("cannot write") && said.contains("a.png") && said.contains("No space left"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "full\n", "no scratch file stays");
}

#[test]
fn a_model_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, none) = (folder.path().join("model"), folder.path().join("none.png"));
    let with = |more: &[&'static str]| -> Vec<String> {
        let args = ["sample", "a red circle", "--out", text(&none), "--model", text(&copy), "--device", "cpu"];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    };
    let args = with(&[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    says(1, &args, &["no model folder", text(&copy)]);
    fs::create_dir(&copy).unwrap();
    says(1, &args, &[text(&copy), "model.json"]);
    let files = contents(model());
    for (name, bytes) in &files {
        fs::write(copy.join(name), bytes).unwrap();
    }
    // But for the licence, which is for people.
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "LICENSE.txt") {
        fs::write(copy.join(name), &bytes[..bytes.len() / 2]).unwrap();
        says(1, &args, &[text(&copy), name]);
        fs::remove_file(copy.join(name)).unwrap();
        says(1, &args, &[text(&copy), name]);
        fs::write(copy.join(name), bytes).unwrap();
    }
    says(1, &["eval", "--model", "/no/such/model"], &["no model folder /no/such/model"]);
}

#[test]
fn a_models_file_that_goes_round_or_has_no_end_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, none) = (folder.path().join("model"), folder.path().join("none.png"));
    fs::create_dir(&copy).unwrap();
    for (name, bytes) in contents(model()) {
        fs::write(copy.join(name), bytes).unwrap();
    }
    let args = ["sample", "a red circle", "--out", text(&none), "--model", text(&copy), "--device", "cpu"];
    let path = copy.join("stage1.safetensors");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    says(1, &args, &[text(&copy), "stage1.safetensors: ", "symbolic links"]);
    fs::remove_file(&path).unwrap();
    // Five gibibytes of nothing, which take no room.
    fs::File::create(&path).unwrap().set_len(5 << 30).unwrap();
    says(1, &args, &[text(&copy), "stage1.safetensors: 5368709120 bytes; a model's files have at most"]);
    assert!(!none.exists());
}

#[test]
fn a_run_whose_config_is_damaged_is_named_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = config(folder.path(), 2, 2);
    ends(0, &["train", "--out", text(&run), "--device", "cpu", "--config", text(&config)]);
    let kept = || [run.join("checkpoints"), run.join("model")].map(|folder| contents(&folder));
    let (before, path) = (kept(), run.join("train.json"));
    let whole = fs::read_to_string(&path).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from} is not in {whole}");
        whole.replacen(from, to, 1)
    };
    let damages = [
        (String::new(), "train.json"),
        (whole[..whole.len() / 2].to_owned(), "train.json"),
        ("\0".repeat(whole.len()), "train.json"),
        (changed("\"format\": 1", "\"format\": 2"), "format is 2; this build reads 1"),
        (changed("\"keep_checkpoints\"", "\"keep_checkpoint\""), "did you mean \"keep_checkpoints\"?"),
        (changed("\"seed\": 1", "\"seed\": -1"), "train.json"),
    ];
    let resume = ["train", "--out", text(&run), "--device", "cpu", "--resume"];
    for (text, words) in damages {
        fs::write(&path, &text).unwrap();
        says(1, &resume, &[words]);
        assert!(kept() == before && fs::read_to_string(&path).unwrap() == text, "{words}");
    }
    fs::write(&path, &whole).unwrap();
    ends(0, &resume);
    assert!(kept() == before, "there was nothing more to do");
}

#[test]
fn a_wrong_value_is_code_2_and_names_the_choices() {
    let wrong: [(&[&str], &str); 12] = [
        (&["--seed", "-1"], "0 to 18446744073709551615"),
        (&["--seed", "18446744073709551616"], "0 to 18446744073709551615"),
        (&["--seed", "1.5"], "no whole number"),
        (&["--steps", "0"], "1 to 1000"),
        (&["--steps", "1001"], "1 to 1000"),
        (&["--steps", "1,2,3"], "3 values for 2 stages"),
        (&["--cond-scale", "-1"], "0 to 1000"),
        (&["--cond-scale", "3,nan"], "no finite number"),
        (&["--cond-scale", "1,2,3"], "3 values for 2 stages"),
        (&["--sampler", "euler"], "ddpm, ddim, dpm++2m, heun"),
        (&["--sampler", "ddim,ddim,ddim"], "3 values for 2 stages"),
        (&["--stage", "3"], "stage 3; this model has 2"),
    ];
    for (args, words) in wrong {
        says(2, &sample(args), &[words]);
    }
    says(2, &["sample", "", "--model", text(model()), "--device", "cpu"], &["the prompt is empty"]);
    says(2, &["sample", "x", "--device", "tpu"], &["auto, cpu, gpu, gpu:N"]);
    let absent = binary().args(["sample", "x", "--device", "gpu:99"]).output().unwrap();
    let said = String::from_utf8_lossy(&absent.stderr);
    assert!(!absent.status.success() && said.contains("there is no gpu:99"), "{said}");
    assert!(said.contains("gpu:0 ") || said.contains("--device cpu"), "{said}");
    says(2, &["train", "--preset", "huge", "--out", "d"], &["small, tiny"]);
    says(2, &["train", "--preset", "tiny", "--out", "d", "--stages", "tex"], &["text-and-base, sr1"]);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let preset = TrainConfig::preset("tiny").unwrap();
    let json = serde_json::to_string_pretty(&preset).unwrap();
    let toml = toml::to_string(&preset).unwrap();
    for (key, slip) in [("checkpoint_every", "checkpoint_evry"), ("drop_caption", "drop_captions"), ("d_kv", "d_vk")] {
        for (file, text_of, key, slip) in [
            ("a.json", &json, format!("\"{key}\":"), format!("\"{slip}\":")),
            ("a.toml", &toml, format!("{key} ="), format!("{slip} =")),
        ] {
            assert!(text_of.contains(&key), "{key} is not in {text_of}");
            let path = folder.path().join(file);
            fs::write(&path, text_of.replacen(&key, &slip, 1)).unwrap();
            let args = ["train", "--config", text(&path), "--out", text(&run)];
            let word = |quoted: &str| quoted.trim_matches(|c: char| !c.is_alphanumeric() && c != '_').to_owned();
            let said = ends(1, &args);
            let want = format!("unknown key {:?}; did you mean {:?}?", word(&slip), word(&key));
            assert!(said.contains(&want) && said.contains(file), "{said:?} does not say {want:?}");
        }
    }
    assert!(!run.exists(), "nothing is begun with a wrong config");
}
