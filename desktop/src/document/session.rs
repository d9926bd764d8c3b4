//! What a session keeps on the disk: `session.json` and the files that it names.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use firefall_core::image::{Mask, Picture};
use firefall_core::png::Origin;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stored::{Entry, Kind, check_size};

/// The file that makes a folder a session; whatever it does not name does not count.
pub(super) const SESSION: &str = "session.json";
/// Of its length at most, in bytes.
pub(super) const SESSION_MAX: u64 = 4 << 20;
/// The form of it that this program writes and reads.
pub(super) const VERSION: u32 = 1;

/// Everything that a session is, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The picture as it is.
    pub picture: Arc<Picture>,
    /// The picture as it was opened, of the same size.
    pub original: Arc<Picture>,
    /// What is marked to be painted anew, of the same size.
    pub mask: Arc<Mask>,
    /// The prompt and whatever else was chosen.
    pub settings: Value,
    /// The file that the picture came from.
    pub source: Option<PathBuf>,
    /// How the picture was made.
    pub origin: Origin,
    /// The ICC profile in which its colours are meant; it is in the files of the pictures.
    pub profile: Option<Arc<[u8]>>,
    /// Whether the user has all of it in a file: it is as it was opened, or saved.
    pub is_saved: bool,
    /// Whether the picture, without the mask, is safe in a file.
    pub is_kept: bool,
}

impl Saved {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Names what is wrong: a picture too large, sizes that differ, or bytes that are not those of the size.
    pub fn check(&self) -> Result<()> {
        let Picture { width, height, .. } = *self.picture;
        check_size(width, height)?;
        let same = |w: usize, h: usize| [w, h] == [width, height];
        ensure!(same(self.original.width, self.original.height), "picture and original are of different sizes");
        ensure!(same(self.mask.width, self.mask.height), "picture and mask are of different sizes");
        let n = width * height;
        let lengths = [self.picture.rgb.len(), self.original.rgb.len(), self.mask.alpha.len()];
        ensure!(lengths == [3 * n, 3 * n, n], "{lengths:?} bytes are not those of {width} x {height} pixels");
        Ok(())
    }
}

/// `session.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// The form of this file.
    pub(super) version: u32,
    /// The picture as it is.
    pub(super) picture: Entry,
    /// The picture as it was opened; before the first change both are one file.
    pub(super) original: Entry,
    /// What is marked.
    pub(super) mask: Entry,
    /// As in [`Saved`].
    pub(super) settings: Value,
    /// As in [`Saved`], in the system's own letters: not every path is text.
    pub(super) source: Option<OsString>,
    /// As in [`Saved`]; sessions of earlier programs do not say.
    #[serde(default)]
    pub(super) origin: Made,
    /// As in [`Saved`]; of sessions that do not say, nothing is in a file.
    #[serde(default)]
    pub(super) is_saved: bool,
    /// The same.
    #[serde(default)]
    pub(super) is_kept: bool,
}

/// How a picture was made, as in [`Origin`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Made {
    prompt: Option<String>,
    negative: Option<String>,
    seed: Option<u64>,
    /// As JSON within a text: however deep a picture's settings are, the session can be read.
    settings: Option<String>,
    model: Option<String>,
}

impl From<&Origin> for Made {
    fn from(origin: &Origin) -> Self {
        let Origin { prompt, negative, seed, settings, model } = origin.clone();
        Self { prompt, negative, seed, settings: settings.map(|settings| settings.to_string()), model }
    }
}

impl From<Made> for Origin {
    fn from(made: Made) -> Self {
        let Made { prompt, negative, seed, settings, model } = made;
        let settings = settings.and_then(|text| serde_json::from_str(&text).ok());
        Self { prompt, negative, seed, settings, model }
    }
}

impl Session {
    /// Reads the session of a folder and checks everything that costs little; the pixels are read later.
    ///
    /// # Errors
    /// Says what is damaged.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let cannot = || format!("cannot read {SESSION}");
        let file = File::open(folder.join(SESSION)).with_context(cannot)?;
        let mut text = Vec::new();
        file.take(SESSION_MAX + 1).read_to_end(&mut text).with_context(cannot)?;
        ensure!(text.len() as u64 <= SESSION_MAX, "{SESSION} is longer than {SESSION_MAX} bytes");
        let session: Self = serde_json::from_slice(&text).with_context(|| format!("{SESSION} is damaged"))?;
        ensure!(session.version == VERSION, "{SESSION} is of version {}, not {VERSION}", session.version);
        for (entry, kind) in session.entries() {
            let Entry { width, height, .. } = session.picture;
            ensure!([entry.width, entry.height] == [width, height], "{SESSION} has pictures of different sizes");
            entry.check(folder, kind)?;
        }
        Ok(session)
    }

    /// All of it, with the pixels.
    ///
    /// # Errors
    /// Says what is damaged.
    pub(super) fn read(&self, folder: &Path) -> Result<Saved> {
        let Entry { width, height, .. } = self.picture;
        let picture = |entry: &Entry| {
            let rgb = entry.read(folder, Kind::Picture)?;
            anyhow::Ok(Arc::new(Picture { width, height, rgb }))
        };
        let first = picture(&self.picture)?;
        let original = if self.original == self.picture { Arc::clone(&first) } else { picture(&self.original)? };
        let mask = Arc::new(Mask { width, height, alpha: self.mask.read(folder, Kind::Mask)? });
        let source = self.source.clone().map(PathBuf::from);
        let (settings, origin) = (self.settings.clone(), self.origin.clone().into());
        let profile = self.original.profile(folder)?.map(Into::into);
        let (is_saved, is_kept) = (self.is_saved, self.is_kept);
        Ok(Saved { picture: first, original, mask, settings, source, origin, profile, is_saved, is_kept })
    }

    /// The files that it names.
    pub(super) fn entries(&self) -> [(&Entry, Kind); 3] {
        [(&self.picture, Kind::Picture), (&self.original, Kind::Picture), (&self.mask, Kind::Mask)]
    }

    /// Whether it names a file.
    pub(super) fn names(&self, file: &str) -> bool {
        self.entries().iter().any(|(entry, _)| entry.file == file)
    }
}
