//! Sessions that a crash left behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::autosave::Autosaver;
use super::journal::{EMPTY, Journal, LOCK, Lock, PREFIX, erase};
use super::session::{SESSION, Saved, Session};

/// What lay below a root.
#[derive(Debug, Default)]
pub struct Found {
    /// Sessions to recover, the last saved first.
    pub sessions: Vec<Abandoned>,
    /// Such that cannot be.
    pub damaged: Vec<Damaged>,
}

/// A session whose program is gone. As long as this lives, it is locked: no other program finds it.
#[derive(Debug)]
pub struct Abandoned {
    folder: PathBuf,
    lock: Lock,
    session: Session,
    saved_at: Option<SystemTime>,
}

/// A folder of a session that cannot be recovered. It stays until somebody discards it.
#[derive(Debug)]
pub struct Damaged {
    /// Where it is.
    pub folder: PathBuf,
    /// What is wrong with it, in a sentence.
    pub reason: String,
}

impl Journal {
    /// Looks for sessions below `root` that no living program has; those that live are left alone, and folders that
    /// say that they are empty are removed. A root that is not there has none.
    ///
    /// # Errors
    /// If the root cannot be read; names it.
    pub fn abandoned(root: &Path) -> Result<Found> {
        let cannot = || format!("cannot look for sessions in {}", root.display());
        let mut found = Found::default();
        let entries = match fs::read_dir(root) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            entries => entries.with_context(cannot)?,
        };
        for entry in entries {
            let entry = entry.with_context(cannot)?;
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let folder = entry.path();
            match look(&folder) {
                Ok(session) => found.sessions.extend(session),
                Err(e) => found.damaged.push(Damaged { reason: format!("{}: {e:#}", folder.display()), folder }),
            }
        }
        found.sessions.sort_by_key(|session| std::cmp::Reverse(session.saved_at));
        Ok(found)
    }
}

/// The session in a folder; nothing if it lives, or there is none.
fn look(folder: &Path) -> Result<Option<Abandoned>> {
    let Some(lock) = take(folder)? else { return Ok(None) };
    let file = folder.join(SESSION);
    if file.symlink_metadata().is_err() {
        if !is_empty(folder)? {
            bail!("there are pictures, but no {SESSION}");
        }
        // Another program may just be doing the same; whatever stays is found again.
        let _ = erase(folder, lock);
        return Ok(None);
    }
    let session = Session::open(folder)?;
    let saved_at = fs::metadata(&file).and_then(|data| data.modified()).ok();
    Ok(Some(Abandoned { folder: folder.to_owned(), lock, session, saved_at }))
}

/// The lock of a folder; nothing if another has it or there is none. A folder that has nothing else either goes: a program
/// was killed as it removed it, or is just making it and will take another.
fn take(folder: &Path) -> Result<Option<Lock>> {
    let lock = match File::options().read(true).write(true).open(folder.join(LOCK)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(folder)?.next().is_none();
            // It may have got its lock in between, and stays.
            let _ = fs::remove_dir(folder);
            return if is_empty { Ok(None) } else { bail!("there is no {LOCK}") };
        }
        lock => lock.with_context(|| format!("cannot open {LOCK}"))?,
    };
    Lock::take(lock)
}

/// Whether a folder without a session says that it is empty, or is.
fn is_empty(folder: &Path) -> Result<bool> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    Ok(names.iter().any(|name| name == EMPTY) || names.iter().all(|name| name == LOCK))
}

impl Abandoned {
    /// Where it is kept.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// When it was saved last, where the system tells.
    #[must_use]
    pub fn saved_at(&self) -> Option<SystemTime> {
        self.saved_at
    }

    /// Pixels in a row of its picture, and rows.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        [self.session.picture.width, self.session.picture.height]
    }

    /// The file that its picture came from.
    #[must_use]
    pub fn source(&self) -> Option<&Path> {
        self.session.source.as_deref().map(Path::new)
    }

    /// The prompt and whatever else was chosen.
    #[must_use]
    pub fn settings(&self) -> &Value {
        &self.session.settings
    }

    /// All of it. It stays on the disk: save it to a journal of this program first, then discard it.
    ///
    /// # Errors
    /// Names the file that is damaged.
    pub fn read(&self) -> Result<Saved> {
        self.session.read(&self.folder).with_context(|| format!("cannot recover {}", self.folder.display()))
    }

    /// Removes it from the disk once `keeper`, which was given all of it, has that there. Until then it stays.
    ///
    /// # Errors
    /// If nobody keeps it, it could not be saved, or something cannot be removed; names the path.
    pub fn hand_over(self, keeper: Option<&Autosaver>) -> Result<()> {
        let Some(keeper) = keeper else {
            bail!("the last session stays in {}, as nothing else keeps it", self.folder.display());
        };
        keeper.flush()?;
        self.discard()
    }

    /// Removes it from the disk.
    ///
    /// # Errors
    /// If something cannot be removed; names the path.
    pub fn discard(self) -> Result<()> {
        erase(&self.folder, self.lock)
    }
}

impl Damaged {
    /// Removes it from the disk.
    ///
    /// # Errors
    /// If something cannot be removed, or a program has it by now; names the path.
    pub fn discard(self) -> Result<()> {
        let path = self.folder.join(LOCK);
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
        match Lock::take(lock)? {
            Some(lock) => erase(&self.folder, lock),
            None => bail!("{} belongs to a program that runs", self.folder.display()),
        }
    }
}
