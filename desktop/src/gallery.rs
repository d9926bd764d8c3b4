//! The history: accepted pictures in a folder on the disk, the newest first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use eframe::egui::{ColorImage, Context, TextureHandle, TextureOptions};
use firefall_core::image::Picture;

use crate::errands::Errands;

/// The most pictures that are shown; older ones stay in the folder.
const MOST: usize = 200;

/// The folder and what is shown of it.
pub(crate) struct Gallery {
    folder: PathBuf,
    /// The newest first.
    pub(crate) entries: Vec<PathBuf>,
    /// Of the pictures that were looked at; nothing in place of those that are not made yet, or cannot be.
    pub(crate) thumbnails: HashMap<PathBuf, Option<TextureHandle>>,
}

impl Gallery {
    /// # Errors
    /// The folder cannot be made or read; names it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut gallery = Self { folder: folder.to_owned(), entries: Vec::new(), thumbnails: HashMap::new() };
        gallery.refresh()?;
        Ok(gallery)
    }

    /// Where the next picture goes.
    pub(crate) fn place(&self, prompt: &str) -> PathBuf {
        self.folder.join(firefall_cli::naming::file_name(prompt))
    }

    /// Looks again: another window may have saved here too.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let cannot = || format!("cannot read the history in {}", self.folder.display());
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.folder).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let path = entry.path();
            let ours = path.extension().is_some_and(|ending| ending == "png");
            let Some(meta) = entry.metadata().ok().filter(|meta| ours && meta.is_file()) else { continue };
            found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
        found.sort_by(|a, b| b.cmp(a));
        found.truncate(MOST);
        self.entries = found.into_iter().map(|(_, path)| path).collect();
        self.thumbnails.retain(|path, _| self.entries.contains(path));
        Ok(())
    }

    /// The thumbnail of a picture, once it is there.
    pub(crate) fn thumbnail(&self, path: &Path) -> Option<TextureHandle> {
        self.thumbnails.get(path).cloned().flatten()
    }

    /// Asks for the thumbnail of a picture that is in sight, once; where enough are under way, another frame asks
    /// again.
    pub(crate) fn ask(&mut self, path: PathBuf, errands: &Errands) {
        if !self.thumbnails.contains_key(&path) && errands.thumbnail(path.clone()) {
            self.thumbnails.insert(path, None);
        }
    }

    pub(crate) fn keep_thumbnail(&mut self, ctx: &Context, path: PathBuf, picture: &Picture) {
        let image = ColorImage::from_rgb([picture.width, picture.height], &picture.rgb);
        let texture = ctx.load_texture(path.to_string_lossy(), image, TextureOptions::LINEAR);
        self.thumbnails.insert(path, Some(texture));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_first_and_other_files_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut gallery = Gallery::open(&folder.path().join("a/b")).unwrap();
        assert!(gallery.entries.is_empty());
        let times = [("old.png", 1000), ("new.png", 3000), ("middle.png", 2000), ("x.txt", 4000)];
        for (name, seconds) in times {
            let path = folder.path().join("a/b").join(name);
            let file = std::fs::File::create(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        }
        gallery.refresh().unwrap();
        let names: Vec<_> = gallery.entries.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["new.png", "middle.png", "old.png"]);
        assert_eq!(gallery.place("A red star!").file_name().unwrap(), "a_red_star.png");
    }
}
