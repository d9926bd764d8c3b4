//! What is to be painted: pictures with their masks.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use firefall_core::image::{Mask, Picture};
use firefall_core::inpaint::InpaintError;

use crate::outcome::Usage;
use crate::pictures::{self, Photo, read_mask, read_photo, widened};

/// A picture that is to be painted, by its files: only the one at work is held.
#[derive(Debug)]
pub(super) struct Source {
    /// Where the picture comes from.
    pub(super) path: PathBuf,
    what: What,
    /// From which value on the mask is painted as a whole; its values count if absent.
    threshold: Option<u8>,
}

/// What of a picture is to be painted.
#[derive(Debug)]
enum What {
    /// What the mask in this file says.
    Masked(PathBuf),
    /// So many pixels around it: left, right, top, bottom.
    Around([usize; 4]),
}

/// A picture with its mask.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) picture: Picture,
    pub(super) mask: Mask,
    /// The ICC profile of the picture.
    pub(super) profile: Option<Vec<u8>>,
    /// What of the picture's file is not kept.
    pub(super) lost: Vec<&'static str>,
    /// What is odd about that file.
    pub(super) remark: Option<&'static str>,
}

impl Source {
    pub(super) fn masked(path: PathBuf, mask: PathBuf) -> Self {
        Self { path, what: What::Masked(mask), threshold: None }
    }

    /// With a mask that is made hard at a value.
    pub(super) fn hardened(self, threshold: Option<u8>) -> Self {
        Self { threshold, ..self }
    }

    pub(super) fn around(path: PathBuf, margins: [usize; 4]) -> Self {
        Self { path, what: What::Around(margins), threshold: None }
    }

    /// What is read of it.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let mask = match &self.what {
            What::Masked(mask) => Some(mask.as_path()),
            What::Around(_) => None,
        };
        std::iter::once(self.path.as_path()).chain(mask)
    }

    pub(super) fn read(&self) -> Result<Input> {
        let mut input = match &self.what {
            What::Masked(mask) => masked(&self.path, mask)?,
            What::Around(margins) => extended(&self.path, *margins)?,
        };
        if let Some(threshold) = self.threshold {
            input.mask = input.mask.hardened(threshold);
        }
        Ok(input)
    }

    /// Whether it can be painted: read, looked at and let go.
    pub(super) fn check(&self) -> Result<()> {
        match self.read()?.mask.bounds() {
            Some(_) => Ok(()),
            None => Err(Usage(format!("{}: {}", self.path.display(), InpaintError::EmptyMask)).into()),
        }
    }
}

/// A picture and a mask of the same size.
fn masked(image: &Path, mask: &Path) -> Result<Input> {
    let (Photo { picture, profile, lost, remark }, read) = (read_photo(image)?, read_mask(mask)?);
    if (picture.width, picture.height) != (read.width, read.height) {
        bail!(
            "{} has {} x {} pixels and {} {} x {}; a mask is as large as its picture",
            mask.display(),
            read.width,
            read.height,
            image.display(),
            picture.width,
            picture.height
        );
    }
    Ok(Input { picture, mask: read, profile, lost, remark })
}

/// The mask in `folder` that has the picture's name, whatever its ending.
pub(super) fn beside(folder: &Path, image: &Path) -> Result<PathBuf> {
    let found = pictures::list(folder)?.into_iter().find(|mask| mask.file_stem() == image.file_stem());
    match found {
        Some(mask) => Ok(mask),
        None => bail!("{} has no mask of the same name in {}", image.display(), folder.display()),
    }
}

/// A picture with room around it, which is to be painted: left, right, top, bottom.
fn extended(image: &Path, margins: [usize; 4]) -> Result<Input> {
    let Photo { picture, profile, lost, remark } = read_photo(image)?;
    let (picture, mask) = widened(&picture, margins);
    Ok(Input { picture, mask, profile, lost, remark })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_found_by_name_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let [image, mask, other] = ["a.jpg", "masks/a.png", "masks/b.png"].map(|name| folder.path().join(name));
        std::fs::create_dir(folder.path().join("masks")).unwrap();
        image::RgbImage::new(4, 4).save(&image).unwrap();
        image::GrayImage::new(4, 4).save(&mask).unwrap();
        image::GrayImage::new(4, 5).save(&other).unwrap();
        assert_eq!(beside(&folder.path().join("masks"), &image).unwrap(), mask);
        assert!(beside(&folder.path().join("masks"), Path::new("c.png")).unwrap_err().to_string().contains("no mask"));
        assert!(masked(&image, &mask).is_ok());
        assert!(masked(&image, &other).unwrap_err().to_string().contains("b.png has 4 x 5 pixels"));
        let error = Source::masked(image.clone(), mask).check().unwrap_err();
        assert!(error.to_string().contains("a.jpg: the mask is empty") && error.is::<Usage>(), "{error}");
        image::GrayImage::from_pixel(4, 4, image::Luma([99])).save(&other).unwrap();
        let gray = |threshold| Source::masked(image.clone(), other.clone()).hardened(threshold);
        let alpha = |threshold| gray(threshold).read().unwrap().mask.alpha;
        assert_eq!([alpha(None), alpha(Some(99))], [[99; 16], [255; 16]]);
        assert!(gray(Some(100)).check().unwrap_err().to_string().contains("the mask is empty"));
        assert!(Source::around(image, [1, 0, 0, 0]).check().is_ok());
        assert!(Source::around("none.png".into(), [1, 0, 0, 0]).check().is_err());
    }
}
