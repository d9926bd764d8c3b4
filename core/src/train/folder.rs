//! The folder of a run. Nothing in it is ever half written: files go to a scratch file, are synced and renamed.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::{Data, TrainConfig};

/// The config of the run.
const CONFIG: &str = "train.json";
/// The file of measurements, a line of JSON each.
pub const METRICS: &str = "metrics.jsonl";
/// The ending of files that are not yet what they will be.
const SCRATCH: &str = "scratch";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder does not do what it should.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another run is at work.
    #[error("{}: another run is at work here", .0.display())]
    Locked(PathBuf),
    /// The folder holds a run already.
    #[error("{}: there is a run here already; go on with it by --resume, or take another folder", .0.display())]
    Occupied(PathBuf),
    /// Nothing to go on with.
    #[error("{}: there is no run here to resume", .0.display())]
    Nothing(PathBuf),
    /// The run has another config.
    #[error("{}: the run here has another config: {difference}", path.display())]
    OtherConfig {
        /// The folder.
        path: PathBuf,
        /// A key that differs, with both values.
        difference: String,
    },
}

/// A run's folder, locked until this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

impl Folder {
    /// Opens `path`, for a new run with `config` or, with `resume`, for the run that is there.
    ///
    /// # Errors
    /// If it cannot be written, is in use, holds a run when none should be there, none when one should, or another.
    pub fn open(path: &Path, config: &str, resume: bool) -> Result<Self, FolderError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        let is_there = || path.join(CONFIG).is_file();
        if resume && !is_there() {
            return Err(FolderError::Nothing(path.to_owned()));
        }
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(failed(&checkpoints))?;
        let model = path.join("model");
        fs::create_dir_all(&model).map_err(failed(&model))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(FolderError::Io { path: lock_path, source }),
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        match (is_there(), resume) {
            (true, false) => return Err(FolderError::Occupied(path.to_owned())),
            (true, true) => folder.take_up(config)?,
            // Checkpoints of a run whose config is lost are no start of another.
            (false, _) if folder.has_checkpoints()? => return Err(FolderError::Occupied(path.to_owned())),
            (false, _) => folder.write(CONFIG, config.as_bytes())?,
        }
        folder.tidy()?;
        Ok(folder)
    }

    /// Removes what a run that was killed left behind: scratch files, and a line of metrics that was cut short.
    fn tidy(&self) -> Result<(), FolderError> {
        for folder in [self.path.clone(), self.path.join("checkpoints"), self.path.join("model")] {
            for path in list(&folder)? {
                if is_scratch(&path) {
                    fs::remove_file(&path).map_err(|source| FolderError::Io { path, source })?;
                }
            }
        }
        let Some(metrics) = self.read_optional(METRICS)? else { return Ok(()) };
        let whole = metrics.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if whole == metrics.len() { Ok(()) } else { self.write(METRICS, &metrics[..whole]) }
    }

    /// Removes the lines of metrics of a stage, from 1, beyond `step`: a run that was killed is taken up from its
    /// checkpoint and measures these steps again.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn forget_metrics(&self, stage: usize, step: u64) -> Result<(), FolderError> {
        let Some(metrics) = self.read_optional(METRICS)? else { return Ok(()) };
        let stays = |line: &&[u8]| match serde_json::from_slice::<Value>(line) {
            Ok(line) => line["stage"] != stage || line["step"].as_u64().is_none_or(|at| at <= step),
            Err(_) => true,
        };
        let kept: Vec<&[u8]> = metrics.split_inclusive(|&byte| byte == b'\n').filter(stays).collect();
        let kept = kept.concat();
        if kept.len() == metrics.len() { Ok(()) } else { self.write(METRICS, &kept) }
    }

    fn has_checkpoints(&self) -> Result<bool, FolderError> {
        let files = list(&self.path.join("checkpoints"))?;
        Ok(files.iter().any(|path| path.extension().is_some_and(|ending| ending == "safetensors")))
    }

    /// By what the two say, not how: a config may be edited by hand, or written by another program. How long to train,
    /// how often to save and where the folder of pictures lies may change between the parts of a run.
    fn take_up(&self, config: &str) -> Result<(), FolderError> {
        let found = self.read_optional(CONFIG)?.unwrap_or_default();
        let [found, wanted] = [&found[..], config.as_bytes()].map(serde_json::from_slice::<TrainConfig>);
        let difference = match (found, wanted) {
            (Ok(found), Ok(wanted)) if found == wanted => return Ok(()),
            (Ok(found), Ok(wanted)) => match difference(&tree(found, &wanted), &tree(wanted.clone(), &wanted), "") {
                Some(difference) => difference,
                None => return self.write(CONFIG, config.as_bytes()),
            },
            (Err(error), _) | (_, Err(error)) => format!("{CONFIG} cannot be read: {error}"),
        };
        Err(FolderError::OtherConfig { path: self.path.clone(), difference })
    }

    /// The bytes of a file, if it is there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_optional(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FolderError::Io { path, source }),
        }
    }

    /// Writes a file whole.
    ///
    /// # Errors
    /// If the disk refuses; the old file, if any, stays.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        write_atomic(&path, bytes).map_err(|source| FolderError::Io { path, source })
    }

    /// Adds a line to a file. A line that a crash cut short is the last one; opening the folder removes it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn append(&self, name: &str, line: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let write = || File::options().create(true).append(true).open(&path)?.write_all(format!("{line}\n").as_bytes());
        write().map_err(|source| FolderError::Io { path: path.clone(), source })
    }

    /// Writes a checkpoint and removes all but the last `keep` of its stage.
    ///
    /// # Errors
    /// If the disk refuses; older checkpoints stay.
    pub fn write_checkpoint(&self, stage: usize, step: u64, bytes: &[u8], keep: usize) -> Result<PathBuf, FolderError> {
        let name = format!("checkpoints/{}{step:08}.safetensors", prefix(stage));
        self.write(&name, bytes)?;
        let all = self.checkpoints(stage)?;
        for (_, old) in &all[..all.len().saturating_sub(keep)] {
            fs::remove_file(old).map_err(|source| FolderError::Io { path: old.clone(), source })?;
        }
        Ok(self.path.join(name))
    }

    /// The newest checkpoint of a stage: its name and its bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn latest_checkpoint(&self, stage: usize) -> Result<Option<(String, Vec<u8>)>, FolderError> {
        let Some((_, path)) = self.checkpoints(stage)?.pop() else { return Ok(None) };
        let bytes = fs::read(&path).map_err(|source| FolderError::Io { path: path.clone(), source })?;
        Ok(Some((path.display().to_string(), bytes)))
    }

    /// Whether there is any checkpoint of a stage.
    #[must_use]
    pub fn has_checkpoint(&self, stage: usize) -> bool {
        self.checkpoints(stage).is_ok_and(|all| !all.is_empty())
    }

    /// Whether the newest checkpoint of a stage is older than `step`.
    #[must_use]
    pub fn is_behind(&self, stage: usize, step: u64) -> bool {
        let newest = self.checkpoints(stage).ok().and_then(|mut all| all.pop());
        newest.is_none_or(|(at, _)| at < step)
    }

    /// Steps and paths, oldest first. Scratch files of a run that was killed have other names.
    fn checkpoints(&self, stage: usize) -> Result<Vec<(u64, PathBuf)>, FolderError> {
        let mut found = Vec::new();
        for path in list(&self.path.join("checkpoints"))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let step = name.strip_prefix(&prefix(stage)).and_then(|rest| rest.strip_suffix(".safetensors"));
            if let Some(step) = step.and_then(|step| step.parse().ok()) {
                found.push((step, path));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A config as a tree, with what may change in a run as in `wanted`.
fn tree(mut config: TrainConfig, wanted: &TrainConfig) -> Value {
    (config.checkpoint_every, config.keep_checkpoints) = (wanted.checkpoint_every, wanted.keep_checkpoints);
    config.log_every = wanted.log_every;
    match (&mut config.data, &wanted.data) {
        (Data::Folder(moved), Data::Folder(folder)) | (Data::Mnist(moved), Data::Mnist(folder)) => {
            moved.clone_from(folder);
        }
        _ => {}
    }
    for (stage, wanted) in config.stages.iter_mut().zip(&wanted.stages) {
        stage.steps = wanted.steps;
    }
    serde_json::to_value(config).unwrap_or_default()
}

/// The first key, in the order of their names, that two configs do not share, and its values.
pub(super) fn difference(found: &Value, wanted: &Value, key: &str) -> Option<String> {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) if found.keys().eq(wanted.keys()) => {
            let dot = if key.is_empty() { "" } else { "." };
            found.iter().find_map(|(name, value)| difference(value, &wanted[name], &format!("{key}{dot}{name}")))
        }
        (Value::Array(found), Value::Array(wanted)) if found.len() == wanted.len() => {
            let mut pairs = found.iter().zip(wanted).enumerate();
            pairs.find_map(|(i, (found, wanted))| difference(found, wanted, &format!("{key}[{i}]")))
        }
        _ => (found != wanted).then(|| format!("{key} is {found} there and {wanted} here")),
    }
}

/// The paths in a folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|source| FolderError::Io { path: folder.to_owned(), source })
}

/// A scratch file of ours, `name.<number>.scratch`, and no other file of that ending.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number =
        name.strip_suffix(SCRATCH).and_then(|rest| rest.strip_suffix('.')).and_then(|rest| rest.rsplit_once('.'));
    number.is_some_and(|(name, digits)| {
        !name.is_empty() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn prefix(stage: usize) -> String {
    format!("stage{}-", stage + 1)
}

/// Writes a file so that a reader, or a crash at any moment, finds the old bytes or the new ones: to a scratch file
/// beside it, synced, renamed.
///
/// # Errors
/// What the system says; the scratch file is removed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut scratch = path.as_os_str().to_owned();
    scratch.push(format!(".{}.{SCRATCH}", std::process::id()));
    let scratch = PathBuf::from(scratch);
    let write = || {
        let mut file = File::create(&scratch)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&scratch, path)?;
        // The name itself is on disk only when its folder is; not every system can sync one.
        if let Some(Ok(folder)) = path.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    write().inspect_err(|_| drop(fs::remove_file(&scratch)))
}
