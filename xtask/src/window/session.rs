//! What the program keeps of its session on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::display::Image;

/// The sessions below a folder of data, of which there is one, or for a moment none.
pub(super) struct Session {
    root: PathBuf,
}

impl Session {
    pub(super) fn of(data: &Path) -> Self {
        Self { root: data.join("sessions") }
    }

    /// The folder and what its `session.json` says. What is being replaced at this moment is not there.
    fn now(&self) -> Option<(PathBuf, Value)> {
        let folders = fs::read_dir(&self.root).ok()?.flatten().map(|entry| entry.path());
        let read = |folder: PathBuf| {
            let text = fs::read(folder.join("session.json")).ok()?;
            Some((folder, serde_json::from_slice(&text).ok()?))
        };
        folders.filter_map(read).last()
    }

    /// The mask, white where it is marked.
    pub(super) fn mask(&self) -> Result<Image> {
        let Some((folder, session)) = self.now() else {
            anyhow::bail!("there is no session in {}", self.root.display())
        };
        Image::open(&folder.join(session["mask"]["file"].as_str().unwrap_or_default()))
    }

    /// How many pixels are marked; none without a session.
    pub(super) fn marked(&self) -> Result<usize> {
        // Between the look at its name and the look at it, a mask may give way to the next.
        Ok(self.mask().map_or(0, |mask| mask.count(|pixel| pixel[0] >= 128)))
    }

    /// The prompt.
    pub(super) fn prompt(&self) -> Result<Option<String>> {
        Ok(self.now().and_then(|(_, session)| Some(session["settings"]["prompt"].as_str()?.to_owned())))
    }
}
