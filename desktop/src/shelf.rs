//! The models that can be chosen, and what each of them knows, in plain words: the shipped one, those of training runs, and folders
//! that were opened before.

mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use firefall_cli::{config_file, model};
use firefall_core::cascade::Survey;
use firefall_core::train::TrainConfig;

use crate::habits::absolute;

/// The most runs that are looked for within a folder of runs.
const RUNS: usize = 50;
/// The longest licence that is looked at, bytes.
const LICENCE_MAX: u64 = 1 << 16;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the program.
    Shipped,
    /// In a folder.
    Folder(PathBuf),
    /// In the folder of a run, where it is written with every checkpoint.
    Run(PathBuf),
}

/// A model that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// What it knows, or why it cannot be loaded.
    pub(crate) told: Result<String, String>,
}

/// All of them, as far as they were looked at.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) entries: Vec<Entry>,
    /// Whether they may have changed since.
    is_stale: bool,
    /// Whether they are being looked at.
    is_asking: bool,
}

impl Default for Shelf {
    fn default() -> Self {
        let entries = vec![Entry { place: Place::Shipped, told: Ok(String::new()) }];
        Self { entries, is_stale: true, is_asking: false }
    }
}

impl Shelf {
    /// Something was opened, or a run went on: they are looked at again when they are shown.
    pub(crate) fn refresh(&mut self) {
        self.is_stale = true;
    }

    /// Whether they are to be looked at now; whoever asks does it.
    pub(crate) fn wants(&mut self) -> bool {
        let wants = self.is_stale && !self.is_asking;
        (self.is_stale, self.is_asking) = (self.is_stale && !wants, self.is_asking || wants);
        wants
    }

    /// They were looked at; nothing if that failed.
    pub(crate) fn take(&mut self, entries: Vec<Entry>) {
        self.is_asking = false;
        if !entries.is_empty() {
            self.entries = entries;
        }
    }
}

impl Place {
    /// The folder of the model itself; none of the shipped one.
    pub(crate) fn model(&self) -> Option<PathBuf> {
        match self {
            Self::Shipped => None,
            Self::Folder(folder) => Some(folder.clone()),
            Self::Run(run) => Some(run.join("model")),
        }
    }

    /// What was opened or chosen.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Shipped => None,
            Self::Folder(folder) | Self::Run(folder) => Some(folder),
        }
    }

    /// A short name.
    pub(crate) fn name(&self) -> String {
        let short = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        match self {
            Self::Shipped => "Shipped model".into(),
            Self::Folder(folder) => format!("Folder {}", short(folder)),
            Self::Run(run) => format!("Run {}", short(run)),
        }
    }

    /// What the model there knows.
    fn look(&self) -> Result<String> {
        let folder = self.model();
        let config = match self {
            Self::Run(run) => Some(run_config(run)?),
            _ => None,
        };
        if let Some(missing) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            bail!("there is no model folder {}", missing.display());
        }
        let survey = Survey::of(|file, most| model::beginning(folder.as_deref(), file, most));
        let survey = survey.with_context(|| format!("{} cannot be loaded", self.name()))?;
        let mut told = vec![words::size(&survey)];
        let known = words::known(&survey.words);
        match &config {
            Some(config) => told.push(words::learnt(config)),
            None if known.is_none() => told.extend(origin(folder.as_deref())),
            None => {}
        }
        told.push(known.unwrap_or_else(|| words::vocabulary(&survey.words)));
        if let (Some(config), Self::Run(run)) = (&config, self) {
            told.extend(progress(config, run));
        }
        Ok(told.join("\n"))
    }
}

/// The config of a run that has a model.
fn run_config(run: &Path) -> Result<TrainConfig> {
    let file = run.join("train.json");
    if !file.is_file() {
        bail!("there is no run in {} any more", run.display());
    }
    if !run.join("model/model.json").is_file() {
        bail!("the run has no model yet; its first checkpoint brings one");
    }
    config_file::read(&file)
}

/// Where the weights of a folder come from: the first sentence of its licence.
fn origin(folder: Option<&Path>) -> Option<String> {
    let licence = model::beginning(folder, "LICENSE.txt", LICENCE_MAX).ok()?;
    let licence = String::from_utf8_lossy(&licence).split_whitespace().collect::<Vec<_>>().join(" ");
    let (first, _) = licence.split_once(". ")?;
    Some(format!("{first}."))
}

/// How far a run is, by the newest of its checkpoints.
fn progress(config: &TrainConfig, run: &Path) -> Option<String> {
    let numbers = |name: &str| -> Option<(usize, u64)> {
        let (stage, step) = name.strip_prefix("stage")?.strip_suffix(".safetensors")?.split_once('-')?;
        Some((stage.parse().ok()?, step.parse().ok()?))
    };
    let files = std::fs::read_dir(run.join("checkpoints")).ok()?;
    let (stage, step) = files.filter_map(|file| numbers(file.ok()?.file_name().to_str()?)).max()?;
    let steps = config.stages.get(stage.checked_sub(1)?)?.steps;
    Some(format!("Its last checkpoint is step {step} of {steps} in stage {stage} of {}.", config.stages.len()))
}

/// Looks at all models: the shipped one, that of the run of the training panel and of runs within its folder, and those of folders
/// that are remembered.
pub(crate) fn survey(run: &Path, runs: &[PathBuf], models: &[PathBuf]) -> Vec<Entry> {
    let is_run = |folder: &PathBuf| folder.join("train.json").is_file();
    // Those that are remembered are absolute.
    let run = &absolute(run);
    let within = std::fs::read_dir(run).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut within: Vec<PathBuf> = within.filter(is_run).take(RUNS).collect();
    within.sort();
    let own = Some(run.clone()).filter(is_run);
    let mut places = vec![Place::Shipped];
    let all = own.into_iter().chain(runs.iter().cloned()).chain(within).map(Place::Run);
    for place in all.chain(models.iter().cloned().map(Place::Folder)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let look = |place: Place| Entry { told: place.look().map_err(|error| format!("{error:#}")), place };
    places.into_iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder of the shipped model, but for what is changed in one of its files.
    fn folder(at: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        fs::create_dir_all(at).unwrap();
        let names = ["model.json", "tokenizer.json", "text.safetensors", "stage1.safetensors", "stage2.safetensors"];
        for name in names {
            fs::write(at.join(name), model::beginning(None, name, u64::MAX).unwrap()).unwrap();
        }
        match change(fs::read(at.join(file)).unwrap()) {
            Some(bytes) => fs::write(at.join(file), bytes).unwrap(),
            None => fs::remove_file(at.join(file)).unwrap(),
        }
    }

    #[test]
    fn the_shipped_model_says_what_it_knows() {
        let told = Place::Shipped.look().unwrap();
        for part in
            ["128 x 128 pixels", "32 x 32", "2.8 million parameters", "colours red, orange", "star", "digits 0 to 9"]
        {
            assert!(told.contains(part), "{told} does not say {part}");
        }
    }

    #[test]
    fn what_cannot_be_loaded_says_why() {
        let data = tempfile::tempdir().unwrap();
        let at = |name: &str| data.path().join(name);
        folder(&at("whole"), "model.json", Some);
        folder(&at("newer"), "model.json", |bytes| {
            Some(String::from_utf8(bytes).unwrap().replacen("\"format\": 1", "\"format\": 2", 1).into_bytes())
        });
        folder(&at("lacking"), "stage2.safetensors", |_| None);
        folder(&at("cut"), "stage1.safetensors", |bytes| Some(bytes[..200].to_vec()));
        let names = ["whole", "newer", "lacking", "cut", "gone"];
        let entries = survey(&at("no run"), &[at("a run")], &names.map(at));
        assert_eq!(entries.len(), 2 + names.len());
        let why = |i: usize| entries[i].told.clone().unwrap_err();
        assert_eq!(entries[2].told, entries[0].told, "the same model");
        for (i, part) in [
            (1, "there is no run in "),
            (3, "a newer Firefall wrote it"),
            (4, "stage2.safetensors"),
            (5, "stage1.safetensors: a header of"),
            (6, "there is no model folder "),
        ] {
            assert!(why(i).contains(part), "{} does not say {part}", why(i));
        }
    }

    #[test]
    fn runs_are_found_and_say_what_they_learn_and_how_far_they_are() {
        let data = tempfile::tempdir().unwrap();
        let config = TrainConfig::preset("tiny").unwrap();
        let run = |name: &str| {
            let at = data.path().join(name);
            folder(&at.join("model"), "model.json", Some);
            fs::create_dir_all(at.join("checkpoints")).unwrap();
            fs::write(at.join("train.json"), serde_json::to_vec(&config).unwrap()).unwrap();
            at
        };
        let (training, inner) = (run("training"), run("training/inner"));
        for name in ["stage1-00000006.safetensors", "stage2-00000004.safetensors", "stage2-00000002.safetensors", "odd"]
        {
            fs::write(training.join("checkpoints").join(name), "").unwrap();
        }
        fs::remove_file(inner.join("model/model.json")).unwrap();
        let entries = survey(&training, std::slice::from_ref(&training), &[]);
        let places: Vec<Place> = entries.iter().map(|entry| entry.place.clone()).collect();
        assert_eq!(places, [Place::Shipped, Place::Run(training.clone()), Place::Run(inner)]);
        let told = entries[1].told.clone().unwrap();
        for part in ["shapes world", "one object", "step 4 of 6 in stage 2 of 2", "colours red"] {
            assert!(told.contains(part), "{told} does not say {part}");
        }
        assert!(entries[2].told.clone().unwrap_err().contains("its first checkpoint brings one"));
        assert_eq!(entries[1].place.model(), Some(training.join("model")));
    }

    #[test]
    fn they_are_looked_at_once_until_something_changes() {
        let mut shelf = Shelf::default();
        assert!(shelf.wants() && !shelf.wants());
        shelf.refresh();
        assert!(!shelf.wants(), "one look at a time");
        shelf.take(Vec::new());
        assert!(shelf.wants() && shelf.entries.len() == 1, "a look that failed takes nothing away");
        shelf.take(vec![Entry { place: Place::Shipped, told: Ok("all".into()) }]);
        assert!(!shelf.wants() && shelf.entries[0].told == Ok("all".into()));
    }
}
