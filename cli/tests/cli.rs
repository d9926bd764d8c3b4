//! The binary from outside: what it prints, writes and returns.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not know as such")]

use std::path::Path;
use std::process::{Command, Output};

use firefall_cli::files::Existing;
use firefall_cli::png_text::{Origin, read, write};
use firefall_core::image::Picture;

fn firefall(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firefall")).args(args).output().unwrap()
}

/// stdout of a command that must succeed.
#[track_caller]
fn succeed(args: &[&str]) -> String {
    let output = firefall(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// stderr of a command that must end with `code`.
#[track_caller]
fn fail(code: i32, args: &[&str]) -> String {
    let output = firefall(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} printed to stdout");
    stderr
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_mentions_every_command_and_its_options() {
    let help = succeed(&["--help"]);
    for command in ["sample", "train", "eval", "world", "config", "devices", "show"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
    }
    assert!(help.contains("130 interrupted"));
    let help = succeed(&["sample", "--help"]);
    for option in ["--negative", "--seed", "--steps", "--sampler", "--cond-scale", "--stage", "--device", "--sheet"] {
        assert!(help.contains(option), "{option}: {help}");
    }
    assert!(succeed(&["--version"]).starts_with("firefall "));
}

#[test]
fn wrong_usage_is_code_2_and_says_what_is_right() {
    assert!(fail(2, &[]).contains("Usage"));
    assert!(fail(2, &["sampel"]).contains("sample"));
    assert!(fail(2, &["sample"]).contains("PROMPT"));
    assert!(fail(2, &["sample", "x", "--steps", "0"]).contains("1 to 1000"));
    assert!(fail(2, &["sample", "x", "--seed", "99999999999999999999"]).contains("64 bits"));
    assert!(fail(2, &["sample", "x", "--sampler", "magic"]).contains("dpm++2m"));
    assert!(fail(2, &["sample", "x", "--device", "tpu"]).contains("auto, cpu, gpu"));
    assert!(fail(2, &["train", "--out", "d"]).contains("--preset"));
    assert!(fail(2, &["train", "--out", "d", "--preset", "a", "--config", "b"]).contains("cannot be used with"));
    assert!(fail(2, &["eval", "--model", "d", "--categories", "singel"]).contains("held-out-pair"));
    assert!(fail(2, &["world", "--sheet", "x.png", "--count", "10000", "--size", "1024"]).contains("too many"));
}

#[test]
fn show_prints_what_a_picture_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let origin = Origin {
        prompt: Some("a red circle\u{1b}[31m 🦊".into()),
        seed: Some(42),
        settings: Some(serde_json::json!({"steps": [18, 8]})),
        ..Origin::default()
    };
    write(&path, &Picture::filled(128, 128, [9, 8, 7]), &origin, Existing::Refuse).unwrap();
    let shown = succeed(&["show", text(&path)]);
    for line in ["size      128 x 128", "prompt    a red circle\\u{1b}[31m 🦊", "seed      42", "{\"steps\":[18,8]}"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let message = fail(1, &["show", text(&folder.path().join("none.png"))]);
    assert!(message.starts_with("error: cannot read") && message.contains("none.png"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn world_writes_a_sheet_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    let args = ["world", "--sheet", text(&path), "--count", "5", "--size", "16", "--seed", "3", "--captions"];
    let captions = succeed(&args);
    assert_eq!(captions.lines().count(), 5, "{captions}");
    // 3 columns and 2 rows of 16 pixels, 2 pixels between them.
    let texts = read(&path).unwrap();
    assert_eq!((texts.width, texts.height), (52, 34));
    assert_eq!(texts.origin.seed, Some(3));
    let first = std::fs::read(&path).unwrap();
    assert!(fail(1, &args[..9]).contains("exists; --force overwrites it"));
    assert_eq!(succeed(&[&args[..], &["--force"]].concat()), captions);
    assert_eq!(std::fs::read(&path).unwrap(), first, "a seed is a sheet");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no scratch file stays");
    assert!(fail(1, &["world", "--sheet", "/no/such/folder/a.png"]).contains("/no/such/folder/a.png"));
}

#[test]
fn the_parser_reads_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    succeed(&["world", "--sheet", text(&path), "--count", "1", "--size", "128", "--seed", "3"]);
    let told = succeed(&["world", "--read", text(&path)]);
    let mut lines = told.lines();
    assert!(lines.next().unwrap().ends_with(" background"), "{told}");
    assert!(lines.clone().count() > 0 && lines.all(|line| line.contains(", diameter 0.")), "{told}");
    std::fs::write(&path, "no picture").unwrap();
    assert!(fail(1, &["world", "--read", text(&path)]).contains("one.png"));
}

#[test]
fn configs_are_commented_and_parse() {
    for kind in ["train", "model"] {
        let config = succeed(&["config", kind]);
        let table: toml::Table = toml::from_str(&config).unwrap();
        assert!(table.contains_key("stages"), "{config}");
        assert!(config.lines().filter(|line| line.starts_with("# ")).count() > 50, "{config}");
    }
}

#[test]
fn devices_end_with_what_auto_takes() {
    let table = succeed(&["devices"]);
    assert!(table.lines().any(|line| line.starts_with("cpu ")), "{table}");
    assert!(table.lines().last().unwrap().starts_with("auto takes "), "{table}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    // The reader is gone before the first byte.
    let mut child = Command::new("bash")
        .args(["-c", "sleep 0.3; exec \"$0\" config train", env!("CARGO_BIN_EXE_firefall")])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
