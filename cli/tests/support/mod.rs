//! Running the binary, and a tiny model to run it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_firefall"))
}

/// stderr of a command that must end with `code`.
#[track_caller]
pub(crate) fn ends(code: i32, args: &[&str]) -> String {
    ended(code, &binary().args(args).output().unwrap())
}

#[track_caller]
pub(crate) fn ended(code: i32, output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

/// The message of a command that must end with `code` says all of `words`.
#[track_caller]
pub(crate) fn says(code: i32, args: &[&str], words: &[&str]) {
    let stderr = ends(code, args);
    for word in words {
        assert!(stderr.contains(word), "{args:?}: {stderr:?} does not say {word:?}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A tiny model, trained once for all tests of a program.
pub(crate) fn model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let run = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!(env!("CARGO_CRATE_NAME"), "-model"));
        let _ = fs::remove_dir_all(&run);
        let stderr = ends(0, &["train", "--preset", "tiny", "--out", text(&run), "--device", "cpu"]);
        assert!(stderr.contains("done; try: firefall sample --model"), "{stderr}");
        run.join("model")
    })
}

/// Arguments of a picture by the tiny model on the CPU, and more.
pub(crate) fn sample<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sample", "a red circle", "--model", text(model()), "--device", "cpu"], more].concat()
}
