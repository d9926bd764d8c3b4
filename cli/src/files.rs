//! Files written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::naming::numbered;

/// Numbers tried for a name of our own before giving up.
const NUMBERS_MAX: u32 = 100_000;

/// What to do about a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Overwrite it: `--force`.
    Replace,
    /// Fail: the user gave this name.
    Refuse,
    /// Leave it and take the next free of `name-2`, `name-3`, …: the name is our own.
    Number,
}

/// Removes the scratch file unless it got its place.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing more can be done where removing fails too, and the first error is the one to tell.
        let _ = fs::remove_file(&self.0);
    }
}

impl Existing {
    /// What to do about a file that the user named.
    #[must_use]
    pub fn named(force: bool) -> Self {
        if force { Self::Replace } else { Self::Refuse }
    }
}

/// Whether [`write_whole`] could write to `path` now: asked before long work, so that it is not done in vain.
///
/// # Errors
/// Those of [`write_whole`].
pub fn check(path: &Path, existing: Existing) -> Result<()> {
    begin(path, existing).map(drop)
}

/// Writes a file by `write`, into a scratch file in the same folder that is synced and then takes its place; whatever
/// goes wrong, no part of it stays. Returns the path it got.
///
/// # Errors
/// Names the path: a missing or read-only folder, a full disk, an existing file where `existing` refuses it, or the
/// error of `write`.
pub fn write_whole(
    path: &Path,
    existing: Existing,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<PathBuf> {
    let (scratch, file) = begin(path, existing)?;
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(file);
    write(&mut file).and_then(|()| Ok(file.flush()?)).with_context(cannot)?;
    file.get_ref().sync_all().with_context(cannot)?;
    drop(file);
    let path = place(&scratch.0, path, existing)?;
    // A rename is only as lasting as its folder; where a folder cannot be opened or synced (Windows), it is anyway.
    let _ = File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
    Ok(path)
}

/// The scratch file that is to become `path`.
fn begin(path: &Path, existing: Existing) -> Result<(Scratch, File)> {
    // Placing it looks again: that look is the one that cannot be raced.
    if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
        return Err(refusal(path));
    }
    if path.is_dir() {
        bail!("{} is a folder, not a file", path.display());
    }
    open_scratch(folder_of(path)).with_context(|| format!("cannot write {}", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn refusal(path: &Path) -> anyhow::Error {
    anyhow::anyhow!("{} exists; --force overwrites it", path.display())
}

fn open_scratch(folder: &Path) -> io::Result<(Scratch, File)> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".firefall-{}-{n}.part", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((Scratch(path), file)),
            // Left by a killed process of the same number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// Moves `scratch` to `path`, or to the next free name.
fn place(scratch: &Path, path: &Path, existing: Existing) -> Result<PathBuf> {
    if existing == Existing::Replace {
        fs::rename(scratch, path).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(path.to_owned());
    }
    for n in 1..=NUMBERS_MAX {
        let name = numbered(path, n);
        match rename_new(scratch, &name) {
            Ok(()) => return Ok(name),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && existing == Existing::Number => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(refusal(path)),
            Err(e) => return Err(e).with_context(|| format!("cannot write {}", name.display())),
        }
    }
    bail!("cannot write {}: {NUMBERS_MAX} numbered names are taken", path.display())
}

/// Renames, but never onto an existing file: by a hard link, which the system makes or refuses in one go, or where
/// there are none (FAT), by looking first.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        // The scratch name goes with its guard.
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn put(path: &Path, existing: Existing, text: &str) -> Result<PathBuf> {
        write_whole(path, existing, |w| Ok(w.write_all(text.as_bytes())?))
    }

    #[test]
    fn existing_files_are_kept_numbered_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        assert_eq!(put(&path, Existing::Refuse, "1").unwrap(), path);
        let message = format!("{:#}", put(&path, Existing::Refuse, "2").unwrap_err());
        assert!(message.contains("a.png exists") && message.contains("--force"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        assert_eq!(put(&path, Existing::Number, "3").unwrap(), folder.path().join("a-2.png"));
        assert_eq!(put(&path, Existing::Number, "4").unwrap(), folder.path().join("a-3.png"));
        assert_eq!(put(&path, Existing::Replace, "5").unwrap(), path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "5");
        assert_eq!(names(folder.path()), ["a-2.png", "a-3.png", "a.png"]);
    }

    #[test]
    fn a_failure_leaves_nothing_and_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let message = format!(
            "{:#}",
            write_whole(&path, Existing::Replace, |w| {
                w.write_all(b"half")?;
                bail!("no space left on device")
            })
            .unwrap_err()
        );
        assert!(message.contains("a.png") && message.contains("no space left"), "{message}");
        assert!(names(folder.path()).is_empty());
        let missing = folder.path().join("no/such/a.png");
        assert!(format!("{:#}", put(&missing, Existing::Refuse, "").unwrap_err()).contains("no/such/a.png"));
        assert!(format!("{:#}", put(folder.path(), Existing::Replace, "").unwrap_err()).contains("is a folder"));
    }

    #[test]
    fn what_could_not_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        check(&path, Existing::Refuse).unwrap();
        assert!(names(folder.path()).is_empty(), "asking leaves nothing");
        put(&path, Existing::Refuse, "1").unwrap();
        assert!(check(&path, Existing::named(false)).unwrap_err().to_string().contains("--force"));
        check(&path, Existing::named(true)).unwrap();
        assert!(check(folder.path(), Existing::Replace).unwrap_err().to_string().contains("is a folder"));
        let missing = folder.path().join("no/a.json");
        assert!(format!("{:#}", check(&missing, Existing::Refuse).unwrap_err()).contains("no/a.json"));
        assert_eq!((names(folder.path()), fs::read_to_string(&path).unwrap()), (vec!["a.json".into()], "1".into()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_files_is_named() {
        // Unlike a read-only mode, /proc refuses root as well.
        let message = format!("{:#}", put(Path::new("/proc/a.png"), Existing::Number, "").unwrap_err());
        assert!(message.contains("cannot write /proc/a.png"), "{message}");
    }
}
