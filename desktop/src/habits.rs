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
    /// Folders of runs, the last begun or opened first.
    runs: Vec<PathBuf>,
    /// What the file has of these three.
    kept: (Looks, Vec<PathBuf>, Vec<PathBuf>),
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
        let (looks, models, runs) = (Looks::of(&said["looks"]), folders("models"), folders("runs"));
        Self { file, looks, kept: (looks, models.clone(), runs.clone()), models, runs }
    }

    /// Writes what is others than the file has, if anything.
    ///
    /// # Errors
    /// The file cannot be written. It is not tried again before something changes.
    pub(crate) fn keep(&mut self) -> Result<()> {
        let (looks, models, runs) = &self.kept;
        if (*looks, models, runs) == (self.looks, &self.models, &self.runs) {
            return Ok(());
        }
        self.kept = (self.looks, self.models.clone(), self.runs.clone());
        // Small, and seldom: nobody waits for it.
        let text = serde_json::to_vec_pretty(&self.said())?;
        write_whole(&self.file, Existing::Replace, |out| Ok(out.write_all(&text)?)).map(drop)
    }

    /// Folders of models, the last opened first.
    pub(crate) fn models(&self) -> &[PathBuf] {
        &self.models
    }

    /// Folders of runs, the last begun or opened first.
    pub(crate) fn runs(&self) -> &[PathBuf] {
        &self.runs
    }

    /// The model of a folder was opened; that of a run is known by its run.
    pub(crate) fn opened(&mut self, folder: &Path) {
        // A bare name has no parent that says whose it is.
        let folder = absolute(folder);
        match run_of(&folder) {
            Some(run) => first(&mut self.runs, run.to_owned()),
            None => first(&mut self.models, folder),
        }
    }

    /// A run was begun.
    pub(crate) fn trained(&mut self, run: &Path) {
        first(&mut self.runs, absolute(run));
    }

    /// Whether a folder is among those that are remembered.
    pub(crate) fn has(&self, folder: &Path) -> bool {
        self.models.iter().chain(&self.runs).any(|known| known == folder)
    }

    /// A folder is not remembered any more.
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

/// A folder by a name that means the same wherever the next window is opened; a link stays one.
pub(crate) fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Puts a folder before all others.
fn first(folders: &mut Vec<PathBuf>, folder: PathBuf) {
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
        assert!(habits.has(&data.path().join("19")) && habits.has(&data.path().join("two")));
        habits.forget(&data.path().join("19"));
        assert_eq!(habits.runs()[0], data.path().join("18"));
        assert!(!habits.has(&data.path().join("19")) && !habits.has(&data.path().join("never")));
    }

    /// Where a child process finds a run in its working folder; the test is that child where it is set.
    const CHILD: &str = "FIREFALL_TEST_HABITS";

    #[test]
    fn a_folder_is_remembered_by_its_whole_name() {
        if let Some(data) = std::env::var_os(CHILD) {
            let mut habits = Habits::open(Path::new(&data));
            habits.opened(Path::new("model"));
            habits.opened(Path::new("other"));
            return habits.keep().unwrap();
        }
        let (data, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(run.path().join("model")).unwrap();
        std::fs::write(run.path().join("train.json"), "{}").unwrap();
        let here = module_path!().split_once("::").unwrap().1;
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([&format!("{here}::a_folder_is_remembered_by_its_whole_name"), "--exact"])
            .env(CHILD, data.path())
            .current_dir(run.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        // The child knows its working folder as the system names it, behind all links.
        let run = run.path().canonicalize().unwrap();
        let habits = Habits::open(data.path());
        assert_eq!(habits.runs(), std::slice::from_ref(&run));
        assert_eq!(habits.models(), [run.join("other")]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once() {
        let mut habits = Habits::open(Path::new("/proc"));
        habits.looks.still = true;
        assert!(format!("{:#}", habits.keep().unwrap_err()).contains("/proc/window.json"));
        habits.keep().unwrap();
    }
}
