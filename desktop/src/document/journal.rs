//! The session on the disk as it goes on: whatever kills the program, the last state saved is whole.
//!
//! Every session has a folder of its own with a file `lock` that it keeps locked as long as it lives; the system lets
//! go of it whatever way the program ends. A save first writes the pictures that changed under new names, then puts
//! `session.json`, which names them, in its place in one go, and only then removes those of before. So there is always
//! either the old state or the new one. A folder in which there is nothing to find (again) has a file `empty`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use firefall_cli::files::{Existing, write_whole};
use firefall_core::image::{Mask, Picture};

use super::session::{SESSION, SESSION_MAX, Saved, Session, VERSION};
use super::stored::{self, Entry, Kind};

/// What the names of all sessions' folders begin with; other folders are left alone.
pub(super) const PREFIX: &str = "session-";
/// The file that a living session holds locked.
pub(super) const LOCK: &str = "lock";
/// The file that says that there is nothing to recover: no save was finished yet, or the session is being removed.
pub(super) const EMPTY: &str = "empty";
/// Names tried for a folder before giving up.
const NAMES_MAX: u32 = 1000;

/// The session of this program, on the disk.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    lock: Lock,
    /// The number of the next file.
    next: u32,
    /// What is in a file already. A state that is gone from memory cannot come back, and none takes its place while
    /// this remembers it.
    pictures: Vec<(Weak<Picture>, Entry)>,
    masks: Vec<(Weak<Mask>, Entry)>,
    last: Option<Session>,
}

impl Journal {
    /// A new session in a folder of its own below `root`, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be made, or files in it cannot be locked; names the path.
    pub fn open(root: &Path) -> Result<Self> {
        let cannot = |path: &Path| format!("cannot keep a session in {}", path.display());
        fs::create_dir_all(root).with_context(|| cannot(root))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis());
        for n in 0..NAMES_MAX {
            let folder = root.join(format!("{PREFIX}{now}-{}-{n}", std::process::id()));
            match fs::create_dir(&folder) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.with_context(|| cannot(&folder))?,
            }
            if let Some(lock) = lock_new(&folder).with_context(|| cannot(&folder))? {
                let (pictures, masks) = (Vec::new(), Vec::new());
                return Ok(Self { folder, lock, next: 1, pictures, masks, last: None });
            }
        }
        bail!("{}: {NAMES_MAX} names are taken", cannot(root))
    }

    /// Where the session is kept.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a state in place of the one before. Pictures and masks are only written if they are others than those
    /// saved last, shared or not: an equal copy counts as another.
    ///
    /// # Errors
    /// Names the path, or what cannot be kept; the state before stays.
    pub fn save(&mut self, saved: &Saved) -> Result<()> {
        saved.check()?;
        let outcome = self.replace(saved);
        let last = self.last.as_ref();
        forget(&mut self.pictures, last, &self.folder);
        forget(&mut self.masks, last, &self.folder);
        outcome
    }

    /// Writes what changed, then the session that names it.
    fn replace(&mut self, saved: &Saved) -> Result<()> {
        if self.last.is_none() {
            let path = self.folder.join(EMPTY);
            fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
        }
        let profile = saved.profile.as_deref();
        let session = Session {
            version: VERSION,
            picture: self.picture("picture", &saved.picture, profile)?,
            original: self.picture("original", &saved.original, profile)?,
            mask: self.mask(&saved.mask)?,
            settings: saved.settings.clone(),
            source: saved.source.clone().map(PathBuf::into_os_string),
            origin: (&saved.origin).into(),
            is_saved: saved.is_saved,
            is_kept: saved.is_kept,
        };
        if self.last.as_ref() == Some(&session) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&session)?;
        ensure!(text.len() as u64 <= SESSION_MAX, "the settings are too long to keep: {} bytes", text.len());
        write_whole(&self.folder.join(SESSION), Existing::Replace, |out| Ok(out.write_all(&text)?))?;
        if self.last.is_none() {
            // Beside a session it says nothing.
            let _ = fs::remove_file(self.folder.join(EMPTY));
        }
        self.last = Some(session);
        Ok(())
    }

    /// Ends the session and removes it from the disk: there is nothing to recover.
    ///
    /// # Errors
    /// If something cannot be removed; names the path.
    pub fn close(self) -> Result<()> {
        erase(&self.folder, self.lock)
    }

    fn picture(&mut self, name: &str, picture: &Arc<Picture>, profile: Option<&[u8]>) -> Result<Entry> {
        if let Some(entry) = known(&self.pictures, picture) {
            return Ok(entry);
        }
        let (size, file) = ([picture.width, picture.height], self.file(name));
        let kind = Kind::Picture;
        let entry = stored::write_with_profile(&self.folder, file, kind, size, &picture.rgb, profile)?;
        self.pictures.push((Arc::downgrade(picture), entry.clone()));
        Ok(entry)
    }

    fn mask(&mut self, mask: &Arc<Mask>) -> Result<Entry> {
        if let Some(entry) = known(&self.masks, mask) {
            return Ok(entry);
        }
        let (size, file) = ([mask.width, mask.height], self.file("mask"));
        let entry = stored::write(&self.folder, file, Kind::Mask, size, &mask.alpha)?;
        self.masks.push((Arc::downgrade(mask), entry.clone()));
        Ok(entry)
    }

    /// A name that no file of this session ever had.
    fn file(&mut self, name: &str) -> String {
        let n = self.next;
        self.next += 1;
        format!("{name}-{n}.png")
    }
}

/// The file that has a state in it.
fn known<T>(entries: &[(Weak<T>, Entry)], state: &Arc<T>) -> Option<Entry> {
    let same = |weak: &Weak<T>| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(state));
    entries.iter().find(|(weak, _)| same(weak)).map(|(_, entry)| entry.clone())
}

/// Removes the files that the session does not name: those of the state before, or of one that could not be saved.
fn forget<T>(entries: &mut Vec<(Weak<T>, Entry)>, session: Option<&Session>, folder: &Path) {
    entries.retain(|(_, entry)| {
        let named = session.is_some_and(|session| session.names(&entry.file));
        if !named {
            // One left over does no harm: it goes with the folder.
            let _ = fs::remove_file(folder.join(&entry.file));
        }
        named
    });
}

/// Makes and takes the lock of a folder just made; nothing if another program was quicker, and has it or removed it.
fn lock_new(folder: &Path) -> Result<Option<Lock>> {
    let path = folder.join(LOCK);
    match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        lock => Ok(Lock::take(lock?)?.filter(|_| path.exists())),
    }
}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of a file; nothing if another has it.
    pub(super) fn take(file: File) -> Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e).context("files cannot be locked there"),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a program that is just being started from here has the file too.
        let _ = self.0.unlock();
    }
}

/// Removes a session whose lock is held; killed on the way, it leaves a folder that says it is empty.
pub(super) fn erase(folder: &Path, lock: Lock) -> Result<()> {
    let cannot = || format!("cannot remove {}", folder.display());
    let session = folder.join(SESSION);
    if session.symlink_metadata().is_ok() {
        fs::rename(&session, folder.join(EMPTY)).with_context(cannot)?;
    }
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let stays = entry.file_name() == LOCK || entry.file_name() == EMPTY;
        if !stays && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            fs::remove_file(entry.path()).with_context(cannot)?;
        }
    }
    // Before the lock, so that whatever is left at any moment is still known for what it is.
    let _ = fs::remove_file(folder.join(EMPTY));
    if fs::remove_dir_all(folder).is_ok() {
        return Ok(());
    }
    // Some systems keep an open file.
    drop(lock);
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).with_context(cannot),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
