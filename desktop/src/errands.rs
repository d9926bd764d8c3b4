//! Work that would keep the window waiting: files, dialogs, thumbnails. Each runs on a thread of its own and leaves an
//! outcome.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context as _, Result};
use eframe::egui;
use firefall_cli::files::{Existing, write_whole};
use firefall_cli::{pictures, png_text};
use firefall_core::image::{Mask, Picture, resized};
use firefall_core::png::Origin;

/// The longer side of a thumbnail, pixels.
pub(crate) const THUMBNAIL: usize = 96;

/// What an errand brought.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A picture was read, with what it says of itself.
    Opened { path: PathBuf, picture: Picture, origin: Origin },
    /// A mask was read.
    Mask(Mask),
    /// The picture was saved as it was at a revision of its document; one of the history has none.
    Saved { path: PathBuf, revision: Option<u64> },
    /// Something else was written.
    Wrote(PathBuf),
    /// A picture of the gallery, small.
    Thumbnail { path: PathBuf, picture: Picture },
    /// A folder was chosen.
    Folder { what: Folder, path: PathBuf },
    /// It did not work, in a sentence.
    Failed(String),
    /// The user thought better of it.
    Nothing,
}

/// What a folder was chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    Model,
    Run,
    Pictures,
}

/// What a file is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Open,
    Mask,
}

/// The errands that are under way.
#[derive(Debug)]
pub(crate) struct Errands {
    send: Sender<Outcome>,
    done: Receiver<Outcome>,
    context: egui::Context,
}

impl Errands {
    pub(crate) fn new(context: egui::Context) -> Self {
        let (send, done) = channel();
        Self { send, done, context }
    }

    /// What was brought since this was last asked.
    pub(crate) fn done(&self) -> Vec<Outcome> {
        self.done.try_iter().collect()
    }

    fn run(&self, work: impl FnOnce() -> Result<Outcome> + Send + 'static) {
        let (send, context) = (self.send.clone(), self.context.clone());
        let errand = move || {
            let outcome = work().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
            // A window that has gone needs no outcome.
            let _ = send.send(outcome);
            context.request_repaint();
        };
        if let Err(error) = std::thread::Builder::new().name("errand".into()).spawn(errand) {
            let _ = self.send.send(Outcome::Failed(format!("the system has no thread to give: {error}")));
        }
    }

    pub(crate) fn open(&self, path: PathBuf) {
        self.run(move || open(path));
    }

    pub(crate) fn open_mask(&self, path: PathBuf) {
        self.run(move || Ok(Outcome::Mask(pictures::read_mask(&path)?)));
    }

    pub(crate) fn thumbnail(&self, path: PathBuf) {
        self.run(move || {
            let picture = pictures::read(&path)?;
            let scale = THUMBNAIL as f64 / picture.width.max(picture.height) as f64;
            let side = |n: usize| ((n as f64 * scale).round() as usize).clamp(1, THUMBNAIL);
            let small = resized(&picture, side(picture.width), side(picture.height));
            Ok(Outcome::Thumbnail { path, picture: small })
        });
    }

    pub(crate) fn save(&self, path: PathBuf, picture: std::sync::Arc<Picture>, origin: Origin, existing: Existing) {
        self.run(move || {
            let path = png_text::write(&path, &picture, &origin, existing)?;
            Ok(Outcome::Saved { path, revision: None })
        });
    }

    /// Asks for a file to open.
    pub(crate) fn choose(&self, choice: Choice) {
        let dialog = rfd::AsyncFileDialog::new().add_filter("Pictures", &pictures::ENDINGS).pick_file();
        self.run(move || match (pollster::block_on(dialog), choice) {
            (None, _) => Ok(Outcome::Nothing),
            (Some(file), Choice::Open) => open(file.path().to_owned()),
            (Some(file), Choice::Mask) => Ok(Outcome::Mask(pictures::read_mask(file.path())?)),
        });
    }

    /// Asks for a place and saves the picture there; the dialog has asked whether a file may be replaced.
    pub(crate) fn save_as(&self, name: &str, picture: std::sync::Arc<Picture>, origin: Origin, revision: u64) {
        let dialog = rfd::AsyncFileDialog::new().add_filter("PNG", &["png"]).set_file_name(name).save_file();
        self.run(move || {
            let Some(file) = pollster::block_on(dialog) else { return Ok(Outcome::Nothing) };
            let path = with_ending(file.path());
            let path = png_text::write(&path, &picture, &origin, Existing::Replace)?;
            Ok(Outcome::Saved { path, revision: Some(revision) })
        });
    }

    /// Asks for a place and writes the mask there, white where it is painted.
    pub(crate) fn save_mask(&self, mask: std::sync::Arc<Mask>) {
        let dialog = rfd::AsyncFileDialog::new().add_filter("PNG", &["png"]).set_file_name("mask.png").save_file();
        self.run(move || {
            let Some(file) = pollster::block_on(dialog) else { return Ok(Outcome::Nothing) };
            let path = with_ending(file.path());
            Ok(Outcome::Wrote(write_mask(&path, &mask)?))
        });
    }

    pub(crate) fn choose_folder(&self, what: Folder) {
        let dialog = rfd::AsyncFileDialog::new().pick_folder();
        self.run(move || match pollster::block_on(dialog) {
            None => Ok(Outcome::Nothing),
            Some(folder) => Ok(Outcome::Folder { what, path: folder.path().to_owned() }),
        });
    }
}

fn open(path: PathBuf) -> Result<Outcome> {
    let picture = pictures::read(&path)?;
    // Any picture may be opened; those of ours say how they were made, and what others say is left alone.
    let origin = png_text::read(&path).map(|texts| texts.origin).unwrap_or_default();
    Ok(Outcome::Opened { path, picture, origin })
}

fn with_ending(path: &Path) -> PathBuf {
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
    use super::*;

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
