//! The rules of the house that text can show. Each is one function over the files of the repository, with its own test.
//!
//! What a compiler or clippy can tell (docs, parameters, unwrap) is left to them.

mod code;
mod files;
mod imports;
mod kernels;
mod purity;
mod sizes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::output;

/// Largest file whose text is looked at; larger ones are data.
const TEXT_MAX: u64 = 1 << 20;

/// The files of the repository, by their paths with `/`.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Entry>);

#[derive(Debug, Default)]
struct Entry {
    /// Empty for what is no text.
    text: String,
    bytes: u64,
}

/// A breach of a rule.
#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [(&str, Rule); 14] = [
    ("rooms import only what the map allows", imports::rooms),
    ("front ends know no network", imports::front_ends),
    ("burn's internals stay in launch.rs", imports::internals),
    ("the core prints nothing", purity::prints),
    ("the core reads no clock", purity::clocks),
    ("the core opens files only in weights and train", purity::opens_files),
    ("the core never waits for a device", purity::blocks),
    ("all randomness comes from noise.rs", purity::randomness),
    ("files start with what they are", files::headers),
    ("every forward has its shapes", files::shapes),
    ("goldens are small and have their script", files::goldens),
    ("assets are listed", files::assets),
    ("kernels have an op and a parity test", kernels::complete),
    ("files and functions are short", sizes::short),
];

/// Checks every rule and prints what breaks one.
///
/// # Errors
/// Something breaks one, or git does not list the files.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = read(root)?;
    let mut count = 0;
    let mut report = |rule: &str, findings: Vec<Finding>| {
        count += findings.len();
        for finding in findings {
            eprintln!("{finding} ({rule})");
        }
    };
    for (name, rule) in RULES {
        report(name, rule(&tree));
    }
    if count > 0 {
        bail!("tidy: {count} to put right");
    }
    eprintln!("tidy: {} files, {} rules", tree.0.len(), RULES.len());
    Ok(())
}

/// What git tracks or would track.
fn read(root: &Path) -> Result<Tree> {
    let list = output(Command::new("git").args(["ls-files", "-coz", "--exclude-standard"]).current_dir(root))?;
    let mut tree = Tree::default();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // A file that was removed but is still in the index.
        let Ok(meta) = std::fs::metadata(root.join(path)) else { continue };
        let text = if meta.len() <= TEXT_MAX { std::fs::read_to_string(root.join(path)).ok() } else { None };
        tree.0.insert(path.to_owned(), Entry { text: text.unwrap_or_default(), bytes: meta.len() });
    }
    Ok(tree)
}

impl Tree {
    /// Files under `folder` with this ending: path, text.
    fn under<'a>(&'a self, folder: &'a str, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let inside = move |path: &str| path.starts_with(folder) && path.ends_with(ending);
        self.0.iter().filter(move |(path, _)| inside(path)).map(|(path, entry)| (path.as_str(), entry.text.as_str()))
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(|entry| entry.text.as_str())
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let entry = |text: &str| Entry { text: text.to_owned(), bytes: text.len() as u64 };
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect())
    }
}

/// The findings as "path:line" for tests.
#[cfg(test)]
fn places(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{}:{}", f.path, f.line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_place() {
        let finding = Finding { path: "a.rs".into(), line: 3, what: "x".into() };
        assert_eq!(finding.to_string(), "a.rs:3: x");
        assert_eq!(Finding { line: 0, ..finding }.to_string(), "a.rs: x");
    }
}
