//! The binary at its work, from end to end with a tiny model: evaluation, files of prompts, contact sheets, long runs in
//! parts.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not know as such")]

#[path = "work/lesson.rs"]
mod lesson;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use firefall_cli::png_text::read;
use serde_json::{Value, json};

use support::{binary, ended, ends, model, sample, says, text};

/// A model that is not there: whoever complains of something else did so before it was wanted.
const NOWHERE: [&str; 4] = ["--model", "/no/such/model", "--device", "cpu"];

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Arguments of a small evaluation.
fn eval<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["eval", "--prompts", "3", "--seeds", "2", "--model", text(model()), "--device", "cpu"], more].concat()
}

#[test]
fn an_evaluation_is_a_table_a_file_and_sheets() {
    let folder = tempfile::tempdir().unwrap();
    let (file, sheets) = (folder.path().join("a.json"), folder.path().join("new/sheets"));
    let names_of = ["--categories", "single,held-out-pair,single", "--steps", "2,1"];
    let args = [&names_of[..], &["--json", text(&file), "--sheet", text(&sheets)]].concat();
    let output = binary().args(eval(&args)).output().unwrap();
    let said = ended(0, &output);
    for words in ["without text: picture 3 of 3", "single: picture 6 of 6", "held-out pair: 0 of 6 right, 0.00"] {
        assert!(said.contains(words), "{said:?} does not say {words:?}");
    }
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 2 + 2, "{table}");
    assert!(rows[2].starts_with("| single | 0.000 (0 of 6) | 0.000 to 0.390 | 0 of 3 |"), "{table}");
    assert!(table.contains("held against held-out pair"), "{table}");

    let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["rows"].as_array().unwrap().len(), 2);
    assert_eq!(report["rows"][0]["category"], "single");
    assert_eq!(report["rows"][0]["verdicts"].as_array().unwrap().len(), 6);
    assert_eq!(report["hash"].as_str().unwrap().len(), 64);
    assert_eq!(names(&sheets), BTreeSet::from(["held-out-pair.png", "single.png"].map(str::to_owned)));
    let origin = read(&sheets.join("single.png")).unwrap().origin;
    assert_eq!(origin.model.as_deref(), report["hash"].as_str());
    let verdicts = report["rows"][0]["verdicts"].as_array().unwrap();
    let made: Vec<Value> = verdicts.iter().map(|verdict| json!([verdict["prompt"], verdict["seed"]])).collect();
    assert_eq!(origin.settings.unwrap()["pictures"], Value::Array(made));

    // The third prompt alone is the same, under the same seeds.
    let third = folder.path().join("third.json");
    let one = ["eval", "--prompts", "1", "--skip", "2", "--seeds", "2", "--model", text(model()), "--device", "cpu"];
    let more = ["--categories", "single", "--steps", "2,1", "--cond-scale", "1", "--json", text(&third)];
    ends(0, &[&one[..], &more].concat());
    let skipped: Value = serde_json::from_slice(&fs::read(&third).unwrap()).unwrap();
    let asked = |verdict: &Value| [verdict["prompt"].clone(), verdict["seed"].clone()];
    let found: Vec<_> = skipped["rows"][0]["verdicts"].as_array().unwrap().iter().map(asked).collect();
    assert_eq!(found, verdicts[4..].iter().map(asked).collect::<Vec<_>>());

    // Nothing is overwritten unasked, and nothing is begun before that is known.
    let again = [&["eval", "--categories", "single"][..], &NOWHERE].concat();
    says(1, &[&again[..], &["--json", text(&file)]].concat(), &["a.json exists; --force overwrites it"]);
    says(1, &[&again[..], &["--sheet", text(&sheets)]].concat(), &["single.png exists; --force overwrites it"]);
    says(1, &[&again[..], &["--json", "/no/such/a.json"]].concat(), &["cannot write /no/such/a.json"]);
    says(1, &[&again[..], &["--json", text(&file), "--force"]].concat(), &["no model folder"]);
    let forced = ["--categories", "single", "--steps", "1", "--force", "--json", text(&file), "--sheet", text(&sheets)];
    ends(0, &eval(&forced));
    let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["rows"].as_array().unwrap().len(), 1);
    says(2, &eval(&["--steps", "1,2,3"]), &["--steps: 3 values for 2 stages"]);
}

#[test]
fn an_interrupted_evaluation_tells_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let args = ["eval", "--prompts", "32", "--seeds", "2", "--model", text(model()), "--device", "cpu", "--json"];
    let mut child = binary().args(args).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("single: ") && line.contains(" right, ")));
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let rest: Vec<String> = lines.collect();
    let mut table = String::new();
    child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap().len();
    assert!((1..11).contains(&rows), "{rows} categories");
    assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count(), 2 + rows, "{table}");
    assert!(table.contains("| single | "), "{table}");
}

#[test]
fn a_file_of_prompts_becomes_a_folder_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out, sheet) = (folder.path().join("p.jsonl"), folder.path().join("out"), folder.path().join("s.png"));
    let lines = "a red circle\n\n{\"prompt\": \"a star\", \"seed\": 9, \"negative\": \"blue\", \"out\": \"x.png\"}\n\
                 a red circle\na 7\n";
    fs::write(&file, lines).unwrap();
    let args = ["sample", "--prompts", text(&file), "--out", text(&out), "--seed", "3", "--steps", "1"];
    let rest = ["--count", "3", "--sheet", text(&sheet), "--model", text(model()), "--device", "cpu"];
    let said = ends(0, &[&args[..], &rest].concat());
    assert!(said.contains("pictures 9 to 12 of 12"), "{said}");
    let want = ["a_red_circle.png", "a_red_circle-6.png", "x.png", "x-2.png", "x-3.png", "a_7.png", "a_7-3.png"];
    let found = names(&out);
    assert!(want.iter().all(|name| found.contains(*name)) && found.len() == 12, "{found:?}");
    let origin = read(&out.join("x-2.png")).unwrap().origin;
    assert_eq!((origin.prompt.as_deref(), origin.seed), (Some("a star"), Some(10)));
    assert_eq!(origin.negative.as_deref(), Some("blue"));
    assert_eq!(read(&out.join("a_7.png")).unwrap().origin.seed, Some(9), "six pictures without a seed came before");

    // Four columns and three rows of 16 pixels, 2 pixels between them.
    let texts = read(&sheet).unwrap();
    assert_eq!((texts.width, texts.height), (70, 52));
    let settings = texts.origin.settings.unwrap();
    assert_eq!(settings["pictures"].as_array().unwrap().len(), 12);
    assert_eq!(settings["pictures"][4], json!(["a star", 10]));
    assert_eq!(settings["stages"][0]["steps"], 1);
    assert_eq!(texts.origin.model.unwrap().len(), 64);

    // A picture does not depend on the batch that it was in, but for the last bits of rounding.
    let alone = folder.path().join("alone.png");
    let once = ["sample", "a star", "--seed", "10", "--negative", "blue", "--steps", "1", "--out", text(&alone)];
    ends(0, &[&once[..], &["--model", text(model()), "--device", "cpu"]].concat());
    let pixels = |path: PathBuf| image::open(path).unwrap().to_rgb8().into_raw();
    let (one, many) = (pixels(alone), pixels(out.join("x-2.png")));
    assert!(one.iter().zip(&many).all(|(a, b)| a.abs_diff(*b) <= 1));
}

/// Forwards and backwards through whole networks: our kernels and Burn's own operations make the same picture and have
/// the same losses.
#[test]
fn kernels_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let run = |kernels: &str, args: &[&str]| {
        ended(0, &binary().env("FIREFALL_KERNELS", kernels).args(args).output().unwrap())
    };
    let picture = |kernels| {
        let out = folder.path().join(kernels).with_extension("png");
        let said = run(kernels, &sample(&["--seed", "4", "--out", text(&out)]));
        assert_eq!(said.contains(", kernels off"), kernels == "off", "{said}");
        image::open(out).unwrap().to_rgb8().into_raw()
    };
    let (on, off) = (picture("on"), picture("off"));
    assert!(on.iter().zip(&off).all(|(a, b)| a.abs_diff(*b) <= 2));

    let losses = |kernels: &str| {
        let out = folder.path().join(kernels);
        run(kernels, &["train", "--preset", "tiny", "--stages", "base", "--out", text(&out), "--device", "cpu"]);
        let lines = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let loss = |line: &str| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
        lines.lines().map(loss).collect::<Vec<_>>()
    };
    let (on, off) = (losses("on"), losses("off"));
    assert!(!on.is_empty() && on.len() == off.len());
    assert!(on.iter().zip(&off).all(|(a, b)| (a - b).abs() < 1e-3 * b), "{on:?} {off:?}");

    let wrong = binary().env("FIREFALL_KERNELS", "no").args(sample(&[])).output().unwrap();
    assert!(ended(1, &wrong).contains("FIREFALL_KERNELS is no; it can be on or off"));
}

#[test]
fn names_that_clash_are_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out, there) = (folder.path().join("p.jsonl"), folder.path().join("out"), folder.path().join("a.png"));
    fs::write(&there, b"mine").unwrap();
    let one = [&["sample", "a star", "--out", text(&there)][..], &NOWHERE].concat();
    says(1, &one, &["a.png exists; --force overwrites it"]);
    says(1, &[&one[..], &["--force"]].concat(), &["no model folder"]);
    let sheet = [&["sample", "a star", "--sheet", text(&there)][..], &NOWHERE].concat();
    says(1, &sheet, &["a.png exists; --force overwrites it"]);
    let both = folder.path().join("b.png");
    let same = [&["sample", "a star", "--out", text(&both), "--sheet", text(&both)][..], &NOWHERE].concat();
    says(2, &same, &["b.png is the file of --sheet already"]);

    let lines = "{\"prompt\": \"a\", \"out\": \"x.png\"}\nb\n{\"prompt\": \"c\", \"out\": \"x.png\"}";
    fs::write(&file, lines).unwrap();
    let many = [&["sample", "--prompts", text(&file), "--out", text(&out)][..], &NOWHERE].concat();
    says(2, &many, &["p.jsonl, line 3", "x.png is the file of line 1 already"]);
    fs::write(&file, format!("a\n{}", "x".repeat(70_000))).unwrap();
    says(2, &many, &["p.jsonl, line 2", "the prompt is 70000 bytes long"]);
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    assert!(names(&out).is_empty());
}

#[test]
fn a_sheet_that_no_viewer_opens_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out, sheet) = (folder.path().join("p.txt"), folder.path().join("out"), folder.path().join("s.png"));
    // 270,000 pictures of 16 x 16 pixels are more than 64 Mi pixels.
    fs::write(&file, "a\n".repeat(27)).unwrap();
    let args = ["sample", "--prompts", text(&file), "--count", "10000", "--out", text(&out), "--sheet", text(&sheet)];
    says(2, &[&args[..], &["--model", text(model()), "--device", "cpu"]].concat(), &["too many for a sheet"]);
    assert!(names(&out).is_empty());
}

#[test]
fn odd_prompts_make_pictures_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = "green star 🌟 ".repeat(800);
    assert!(long.chars().count() > 10_000);
    let prompts = [&long, "🦊", "نجمة حمراء فوق دائرة زرقاء", "\u{202e}abc", "赤い星", "a\tb\r\nc"];
    for (i, prompt) in prompts.into_iter().enumerate() {
        let path = folder.path().join(format!("{i}.png"));
        let args =
            ["sample", prompt, "--steps", "1", "--out", text(&path), "--model", text(model()), "--device", "cpu"];
        let said = ends(0, &args);
        assert_eq!(read(&path).unwrap().origin.prompt.as_deref(), Some(prompt));
        assert!(i > 0 || said.contains("warning: the prompt of picture 1 is longer than"), "{said}");
    }
    for blank in ["", "  \t", "\u{200b}\u{feff}"] {
        let args = ["sample", blank, "--model", text(model()), "--device", "cpu"];
        says(2, &args, &["the prompt is empty"]);
    }
    // An argument cannot hold NUL; a file of prompts can.
    let (file, out) = (folder.path().join("p.txt"), folder.path().join("out"));
    fs::write(&file, b"a\0b\n\0\n").unwrap();
    let args = ["sample", "--prompts", text(&file), "--out", text(&out), "--model", text(model()), "--device", "cpu"];
    says(2, &args, &["the prompt 2 is empty"]);
    fs::write(&file, b"a\0b\n").unwrap();
    ends(0, &args);
    assert_eq!(read(&out.join("a_b.png")).unwrap().origin.prompt.as_deref(), Some("a\u{fffd}b"));
}

#[test]
fn a_run_in_parts_gives_the_model_of_a_whole_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let begin = ["train", "--preset", "tiny", "--out", text(&run), "--device", "cpu"];
    // The second stage cannot come first.
    says(1, &[&begin[..], &["--stages", "sr"]].concat(), &["stage 2 needs stage 1"]);
    let on = ["train", "--out", text(&run), "--device", "cpu", "--resume"];
    let said = ends(0, &[&on[..], &["--stages", "text-and-base"]].concat());
    assert!(said.contains("stage 1 step 6 of 6: loss") && !said.contains("stage 2 of 2"), "{said}");
    assert!(run.join("model/stage1.safetensors").exists() && !run.join("model/stage2.safetensors").exists());
    // So little time that not one step is made.
    let said = ends(0, &[&on[..], &["--stages", "sr", "--hours", "1e-12"]].concat());
    assert!(said.contains("go on with: firefall train --out") && !said.contains("stage 2 step"), "{said}");
    let said = ends(0, &[&on[..], &["--stages", "sr"]].concat());
    assert!(said.contains("stage 2 step 6 of 6: loss") && !said.contains("stage 1 of 2"), "{said}");
    for name in ["model.json", "tokenizer.json", "text.safetensors", "stage1.safetensors", "stage2.safetensors"] {
        let [parts, whole] = [&run.join("model"), model()].map(|folder| fs::read(folder.join(name)).unwrap());
        assert!(parts == whole, "{name}");
    }
    let origin = read(&run.join("sheets/stage1-00000002.png")).unwrap().origin;
    let settings = origin.settings.unwrap();
    assert_eq!((&settings["stage"], &settings["step"]), (&json!(1), &json!(2)));
    assert_eq!(settings["pictures"][0], json!(["a red circle", 1]));

    says(2, &[&on[..], &["--steps", "5"]].concat(), &["stage 1 has 6 steps already, more than 5"]);
    says(2, &[&on[..], &["--steps", "7,8,9"]].concat(), &["--steps: 3 values for 2 stages"]);
    let said = ends(0, &[&on[..], &["--steps", "6,7"]].concat());
    assert!(said.contains("stage 2 is now 7 steps long and was 6") && !said.contains("stage 1 is now"), "{said}");
    let nowhere = folder.path().join("nowhere");
    let said = ends(1, &["train", "--out", text(&nowhere), "--resume"]);
    assert!(said.contains("there is no run here to resume") && said.contains(text(&nowhere)), "{said}");
}

#[test]
fn work_goes_on_when_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let (run, path) = (folder.path().join("run"), folder.path().join("a.png"));
    let train = vec!["train", "--preset", "tiny", "--out", text(&run), "--device", "cpu"];
    for args in [train, sample(&["--out", text(&path)])] {
        let mut child = binary().args(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
    assert!(run.join("model/stage2.safetensors").exists() && path.exists());
}

#[test]
fn the_parser_is_calibrated() {
    let output = binary().args(["world", "--calibrate", "20", "--seed", "5"]).output().unwrap();
    ended(0, &output);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.matches(" of 20 pictures read exactly").count(), 2, "{table}");
    for words in ["clean: ", "degraded: ", "circle", "unread"] {
        assert!(table.contains(words), "{table}");
    }
}
