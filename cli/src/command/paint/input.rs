//! What is to be painted: a picture with its mask.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use firefall_core::image::{Mask, Picture};

use crate::pictures::{self, read, read_mask, widened};

/// A picture with its mask.
#[derive(Debug)]
pub(super) struct Input {
    /// Where the picture came from.
    pub(super) path: PathBuf,
    pub(super) picture: Picture,
    pub(super) mask: Mask,
}

/// A picture and a mask of the same size.
pub(super) fn masked(image: &Path, mask: &Path) -> Result<Input> {
    let (picture, read) = (read(image)?, read_mask(mask)?);
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
    Ok(Input { path: image.to_owned(), picture, mask: read })
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
pub(super) fn extended(image: &Path, margins: [usize; 4]) -> Result<Input> {
    let (picture, mask) = widened(&read(image)?, margins);
    Ok(Input { path: image.to_owned(), picture, mask })
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
    }
}
