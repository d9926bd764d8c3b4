//! What is to be painted: a picture with its mask.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use firefall_core::image::{Mask, Picture};

use crate::pictures::{self, read, read_mask};

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
pub(super) fn widened(image: &Path, margins: [usize; 4]) -> Result<Input> {
    let picture = read(image)?;
    let [left, right, top, bottom] = margins;
    let (width, height) = (picture.width + left + right, picture.height + top + bottom);
    let inside = |at: usize, from: usize, of: usize| (from..from + of).contains(&at);
    let nearest = |at: usize, from: usize, of: usize| at.saturating_sub(from).min(of - 1);
    let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb = places()
        .flat_map(|(x, y)| picture.pixel(nearest(x, left, picture.width), nearest(y, top, picture.height)))
        .collect();
    let known = |x, y| inside(x, left, picture.width) && inside(y, top, picture.height);
    let alpha = places().map(|(x, y)| if known(x, y) { 0 } else { 255 }).collect();
    let mask = Mask { width, height, alpha };
    Ok(Input { path: image.to_owned(), picture: Picture { width, height, rgb }, mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_painted_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let image = image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 9]));
        image.save(&path).unwrap();
        let Input { picture, mask, .. } = widened(&path, [1, 2, 0, 3]).unwrap();
        assert_eq!((picture.width, picture.height, mask.width, mask.height), (6, 5, 6, 5));
        for (x, y) in (0..5).flat_map(|y| (0..6).map(move |x| (x, y))) {
            let known = (1..4).contains(&x) && y < 2;
            assert_eq!(mask.is_painted(x, y), !known);
            assert!(!known || picture.pixel(x, y) == [x as u8 - 1, y as u8, 9]);
        }
        assert_eq!(picture.pixel(5, 4), [2, 1, 9], "edges go on");
    }

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
