//! What files and folders are chosen for: by the system's own dialog where there is one, else by typing a path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use firefall_cli::files::{Existing, write_whole};
use firefall_cli::{pictures, png_text};
use firefall_core::image::Mask;
use firefall_core::png::Origin;
use rfd::{AsyncFileDialog, FileHandle};

use super::{Outcome, Safe};
use crate::document::Layers;

/// A dialog that ends sooner without a choice was never seen, unless the system surely has one.
const SEEN: Duration = Duration::from_millis(500);

/// A dialog that is open; nothing if the user closes it.
pub(super) type Dialog = Pin<Box<dyn Future<Output = Option<FileHandle>> + Send>>;

/// What a path is wanted for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// To open the picture there.
    Open,
    /// To read the mask there.
    Mask,
    /// To save the picture of these layers there, with how it was made and its ICC profile.
    Save { layers: Layers, origin: Origin, profile: Option<Arc<[u8]>> },
    /// To write the mask there.
    SaveMask(Arc<Mask>),
    /// To use the folder.
    Folder(Folder),
}

/// What a folder is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    Model,
    Run,
    Pictures,
}

impl Purpose {
    /// What is asked for, and what happens then.
    pub(crate) fn words(&self) -> [&'static str; 2] {
        match self {
            Self::Open => ["The picture to open", "Open"],
            Self::Mask => ["The mask to import", "Import"],
            Self::Save { .. } => ["Where the picture is saved", "Save"],
            Self::SaveMask(_) => ["Where the mask is written", "Export"],
            Self::Folder(Folder::Model) => ["The folder of the model", "Load"],
            Self::Folder(Folder::Run) => ["The folder of the run", "Choose"],
            Self::Folder(Folder::Pictures) => ["The folder of the pictures", "Choose"],
        }
    }

    /// Whether a file comes to be, in place of one that may be there.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Save { .. } | Self::SaveMask(_))
    }

    /// Opens the system's dialog. Some systems want this on the window's thread, and none keeps it waiting.
    pub(super) fn dialog(&self, suggested: &Path) -> Dialog {
        if cfg!(test) {
            // Tests open nothing on anybody's screen.
            return Box::pin(std::future::ready(None));
        }
        let dialog = AsyncFileDialog::new().set_title(self.words()[0]);
        let name = suggested.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match self {
            Self::Open | Self::Mask => Box::pin(dialog.add_filter("Pictures", &pictures::ENDINGS).pick_file()),
            Self::Save { .. } | Self::SaveMask(_) => {
                Box::pin(dialog.add_filter("PNG", &["png"]).set_file_name(name).save_file())
            }
            Self::Folder(_) => Box::pin(dialog.pick_folder()),
        }
    }

    /// Waits for the path, and does what it is wanted for.
    pub(super) fn wait(self, dialog: Dialog, suggested: PathBuf) -> Result<Outcome> {
        let begun = Instant::now();
        let chosen = pollster::block_on(dialog);
        // Tests have no dialog, whatever is installed.
        let programs = std::env::var_os("PATH").filter(|_| !cfg!(test));
        match chosen {
            Some(file) => self.go(file.path()),
            None if was_missing(begun.elapsed(), programs.as_deref()) => {
                Ok(Outcome::NoDialog { purpose: self, suggested })
            }
            None => Ok(Outcome::Unchosen),
        }
    }

    /// Does what the path is wanted for. Whoever named it has said that a file there may be replaced.
    pub(super) fn go(self, path: &Path) -> Result<Outcome> {
        Ok(match self {
            Self::Open => open(path)?,
            Self::Mask => Outcome::Mask(pictures::read_mask(path)?),
            Self::Save { layers, origin, profile } => {
                let (path, existing) = (with_ending(path), Existing::Replace);
                let path = png_text::write_with_profile(&path, &layers.picture, &origin, profile.as_deref(), existing)?;
                Outcome::Saved { path, safe: Safe::All(layers) }
            }
            Self::SaveMask(mask) => Outcome::Wrote(write_mask(&with_ending(path), &mask)?),
            Self::Folder(what) => Outcome::Folder { what, path: path.to_owned() },
        })
    }
}

/// Whether a dialog that ended without a choice was never there. Only systems with a portal may have none, and not where
/// zenity, which is in one of the folders of `programs`, takes its place.
fn was_missing(after: Duration, programs: Option<&OsStr>) -> bool {
    let has_zenity = |folder: PathBuf| folder.join("zenity").is_file();
    let is_there = programs.is_some_and(|programs| std::env::split_paths(programs).any(has_zenity));
    after < SEEN && !is_there && cfg!(any(test, not(any(windows, target_os = "macos"))))
}

pub(super) fn open(path: &Path) -> Result<Outcome> {
    let photo = pictures::read_photo(path)?;
    // Any picture may be opened; those of ours say how they were made, and what others say is left alone.
    let origin = png_text::read(path).map(|texts| texts.origin).unwrap_or_default();
    Ok(Outcome::Opened { path: path.to_owned(), photo, origin })
}

/// As it will be called.
pub(crate) fn with_ending(path: &Path) -> PathBuf {
    let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if is_png { path.to_owned() } else { path.with_added_extension("png") }
}

fn write_mask(path: &Path, mask: &Mask) -> Result<PathBuf> {
    let gray = image::GrayImage::from_raw(mask.width as u32, mask.height as u32, mask.alpha.clone());
    let gray = gray.context("the mask has not the bytes that its size says")?;
    write_whole(path, Existing::Replace, |out| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        gray.write_to(&mut bytes, image::ImageFormat::Png)?;
        Ok(out.write_all(bytes.get_ref())?)
    })
}

#[cfg(test)]
mod tests {
    use firefall_core::image::Picture;

    use super::*;

    #[test]
    fn a_dialog_that_is_cancelled_at_once_is_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (programs, soon) = (Some(folder.path().as_os_str()), Duration::from_millis(20));
        assert!(was_missing(soon, None) && was_missing(soon, programs));
        assert!(!was_missing(Duration::from_millis(700), programs), "it was seen");
        std::fs::write(folder.path().join("zenity"), "").unwrap();
        assert!(!was_missing(soon, programs), "there is one");
    }

    #[test]
    fn what_is_opened_and_saved_keeps_its_profile() {
        let folder = tempfile::tempdir().unwrap();
        let (path, again) = (folder.path().join("photo.png"), folder.path().join("again.png"));
        let mut profile = vec![7; 700];
        profile[16..20].copy_from_slice(b"RGB ");
        profile[36..40].copy_from_slice(b"acsp");
        let picture = Picture::filled(3, 2, [200, 100, 50]);
        for profile in [Some(&profile[..]), None] {
            let (origin, existing) = (Origin::default(), Existing::Replace);
            png_text::write_with_profile(&path, &picture, &origin, profile, existing).unwrap();
            let Outcome::Opened { photo, .. } = open(&path).unwrap() else { panic!("the picture was not opened") };
            assert_eq!((&photo.picture, photo.profile.as_deref(), photo.lost.len()), (&picture, profile, 0));
            let layers = crate::document::Document::new(photo.picture).layers();
            let purpose = Purpose::Save { layers, origin, profile: photo.profile.map(Into::into) };
            purpose.go(&again).unwrap();
            assert_eq!(pictures::read_photo(&again).unwrap().profile.as_deref(), profile);
        }
    }

    #[test]
    fn masks_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut mask = Mask::filled(5, 4, 0);
        mask.alpha[7] = 255;
        mask.alpha[8] = 100;
        let path = write_mask(&folder.path().join("m.png"), &mask).unwrap();
        assert_eq!(pictures::read_mask(&path).unwrap(), mask);
    }

    #[test]
    fn a_name_gets_its_ending_once() {
        assert_eq!(with_ending(Path::new("a/b")), Path::new("a/b.png"));
        assert_eq!(with_ending(Path::new("a/b.PNG")), Path::new("a/b.PNG"));
        assert_eq!(with_ending(Path::new("a/v1.5")), Path::new("a/v1.5.png"));
    }
}
