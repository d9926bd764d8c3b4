//! What is remembered from one window to the next: how it looks, which models were opened, where runs are. It is in one file,
//! `window.json`; what makes no sense there is as usual.

mod looks;

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Result;
use firefall_cli::files::{Existing, write_whole};
use serde_json::{Value, json};

pub(crate) use looks::Looks;

/// The file, in the folder of data.
const FILE: &str = "window.json";
/// Of its length at most, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// The most folders of a kind that are remembered.
const MOST: usize = 12;

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Habits {
    file: PathBuf,
    pub(crate) looks: Looks,
    /// Folders of models, the last opened first.
    models: Vec<PathBuf>,
    /// Folders of runs, the last chosen first.
    runs: Vec<PathBuf>,
    /// What the file has.
    kept: Value,
}

impl Habits {
    /// As the last window left them in a folder of data.
    pub(crate) fn open(data: &Path) -> Self {
        let file = data.join(FILE);
        let said: Value = File::open(&file)
            .ok()
            .and_then(|file| serde_json::from_reader(BufReader::new(file.take(FILE_MAX))).ok())
            .unwrap_or_default();
        let folders = |key: &str| {
            let names: Vec<String> = serde_json::from_value(said[key].clone()).unwrap_or_default();
            names.into_iter().take(MOST).map(PathBuf::from).collect::<Vec<_>>()
        };
        let (models, runs) = (folders("models"), folders("runs"));
        let mut habits = Self { file, looks: Looks::of(&said["looks"]), models, runs, kept: Value::Null };
        habits.kept = habits.said();
        habits
    }

    /// Writes what is others than the file has, if anything.
    ///
    /// # Errors
    /// The file cannot be written. It is not tried again before something changes.
    pub(crate) fn keep(&mut self) -> Result<()> {
        let said = self.said();
        if said == self.kept {
            return Ok(());
        }
        self.kept = said;
        // Small, and seldom: nobody waits for it.
        let text = serde_json::to_vec_pretty(&self.kept)?;
        write_whole(&self.file, Existing::Replace, |out| Ok(out.write_all(&text)?)).map(drop)
    }

    /// Folders of models, the last opened first.
    pub(crate) fn models(&self) -> &[PathBuf] {
        &self.models
    }

    /// Folders of runs, the last chosen first.
    pub(crate) fn runs(&self) -> &[PathBuf] {
        &self.runs
    }

    /// The model of a folder was opened; that of a run is known by its run.
    pub(crate) fn opened(&mut self, folder: &Path) {
        match run_of(folder) {
            Some(run) => first(&mut self.runs, run),
            None => first(&mut self.models, folder),
        }
    }

    /// A run was begun or chosen.
    pub(crate) fn trained(&mut self, run: &Path) {
        first(&mut self.runs, run);
    }

    /// A folder is not offered any more.
    pub(crate) fn forget(&mut self, folder: &Path) {
        self.models.retain(|known| known != folder);
        self.runs.retain(|known| known != folder);
    }

    fn said(&self) -> Value {
        json!({ "looks": self.looks.said(), "models": names(&self.models), "runs": names(&self.runs) })
    }
}

/// What is no text cannot be remembered.
fn names(folders: &[PathBuf]) -> Vec<&str> {
    folders.iter().filter_map(|path| path.to_str()).collect()
}

/// The run that a folder of a model belongs to.
fn run_of(folder: &Path) -> Option<&Path> {
    let run = folder.parent()?;
    (folder.file_name()? == "model" && run.join("train.json").is_file()).then_some(run)
}

/// Puts a folder before all others.
fn first(folders: &mut Vec<PathBuf>, folder: &Path) {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folders.retain(|known| *known != folder);
    folders.insert(0, folder);
    folders.truncate(MOST);
}

#[cfg(test)]
mod tests {
    use eframe::egui::ThemePreference;

    use super::*;

    #[test]
    fn they_come_back_and_nonsense_is_as_usual() {
        let data = tempfile::tempdir().unwrap();
        let mut habits = Habits::open(data.path());
        habits.keep().unwrap();
        assert!(!data.path().join(FILE).exists(), "nothing has changed");
        habits.looks = Looks { theme: ThemePreference::Light, contrast: true, still: true };
        let run = data.path().join("a run");
        std::fs::create_dir_all(run.join("model")).unwrap();
        std::fs::write(run.join("train.json"), "{}").unwrap();
        for folder in [&data.path().join("one"), &data.path().join("two"), &run.join("model"), &data.path().join("one")]
        {
            habits.opened(folder);
        }
        habits.keep().unwrap();
        let again = Habits::open(data.path());
        assert_eq!(again.looks, habits.looks);
        assert_eq!(again.models(), [data.path().join("one"), data.path().join("two")]);
        assert_eq!(again.runs(), [run]);
        for odd in ["", "[[", r#"{"looks": 7, "models": "a", "runs": [1]}"#] {
            std::fs::write(data.path().join(FILE), odd).unwrap();
            let odd = Habits::open(data.path());
            assert!(odd.looks == Looks::default() && odd.models().is_empty() && odd.runs().is_empty());
        }
        (0..20).for_each(|i| habits.trained(&data.path().join(i.to_string())));
        assert_eq!((habits.runs().len(), &habits.runs()[0]), (MOST, &data.path().join("19")));
        habits.forget(&data.path().join("19"));
        assert_eq!(habits.runs()[0], data.path().join("18"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once() {
        let mut habits = Habits::open(Path::new("/proc"));
        habits.looks.still = true;
        assert!(format!("{:#}", habits.keep().unwrap_err()).contains("/proc/window.json"));
        habits.keep().unwrap();
    }
}
