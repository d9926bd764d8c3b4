//! Pictures and masks from files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firefall_core::image::{Mask, Picture};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

/// Pixels of a side of the largest picture that is read.
const LARGEST: u32 = 16_384;
/// Endings of the files that are taken for pictures.
pub const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Reads a picture, turned as its camera says; what shows through is white.
///
/// # Errors
/// Names the file: missing, no picture, or larger than 16384 pixels a side.
pub fn read(path: &Path) -> Result<Picture> {
    let image = decode(path).with_context(|| format!("cannot read {}", path.display()))?;
    let pixels = image.into_rgba8();
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let over_white = |value: u8, alpha: u8| 255 - ((255 - u32::from(value)) * u32::from(alpha) / 255) as u8;
    let rgb = pixels.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p.0[c], p.0[3]))).collect();
    Ok(Picture { width, height, rgb })
}

/// Reads a mask: what is white, and not transparent, is painted.
///
/// # Errors
/// As [`read`].
pub fn read_mask(path: &Path) -> Result<Mask> {
    let image = decode(path).with_context(|| format!("cannot read {}", path.display()))?;
    let pixels = image.into_luma_alpha8();
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let alpha = pixels.pixels().map(|p| (u32::from(p.0[0]) * u32::from(p.0[1]) / 255) as u8).collect();
    Ok(Mask { width, height, alpha })
}

fn decode(path: &Path) -> Result<DynamicImage> {
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    if image.width() == 0 || image.height() == 0 {
        bail!("it has no pixels");
    }
    Ok(image)
}

/// A picture with room around it, at the left, the right, the top and the bottom, where its edges go on; and the mask of
/// what is to be painted there.
#[must_use]
pub fn widened(picture: &Picture, [left, right, top, bottom]: [usize; 4]) -> (Picture, Mask) {
    let (width, height) = (picture.width + left + right, picture.height + top + bottom);
    let inside = |at: usize, from: usize, of: usize| (from..from + of).contains(&at);
    let nearest = |at: usize, from: usize, of: usize| at.saturating_sub(from).min(of - 1);
    let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgb = places()
        .flat_map(|(x, y)| picture.pixel(nearest(x, left, picture.width), nearest(y, top, picture.height)))
        .collect();
    let known = |x, y| inside(x, left, picture.width) && inside(y, top, picture.height);
    let alpha = places().map(|(x, y)| if known(x, y) { 0 } else { 255 }).collect();
    (Picture { width, height, rgb }, Mask { width, height, alpha })
}

/// The pictures in a folder by name, or the one file.
///
/// # Errors
/// There is no such folder, or no picture in it.
pub fn list(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        ENDINGS.contains(&ending.as_str()) && path.is_file()
    };
    files.retain(is_picture);
    files.sort();
    if files.is_empty() {
        bail!("there is no picture in {}", path.display());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_through_is_white_and_masks_count_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut image = image::RgbaImage::from_pixel(3, 1, image::Rgba([200, 100, 0, 255]));
        image.put_pixel(1, 0, image::Rgba([0, 0, 0, 0]));
        image.put_pixel(2, 0, image::Rgba([255, 255, 255, 255]));
        image.save(&path).unwrap();
        let picture = read(&path).unwrap();
        assert_eq!(picture.rgb, [200, 100, 0, 255, 255, 255, 255, 255, 255]);
        let mask = read_mask(&path).unwrap();
        assert!(!mask.is_painted(0, 0) && !mask.is_painted(1, 0) && mask.is_painted(2, 0));
    }

    #[test]
    fn what_is_added_is_painted_and_the_rest_stays() {
        let rgb = (0..2).flat_map(|y| (0..3).flat_map(move |x| [x, y, 9])).collect();
        let (picture, mask) = widened(&Picture { width: 3, height: 2, rgb }, [1, 2, 0, 3]);
        assert_eq!((picture.width, picture.height, mask.width, mask.height), (6, 5, 6, 5));
        for (x, y) in (0..5).flat_map(|y| (0..6).map(move |x| (x, y))) {
            let known = (1..4).contains(&x) && y < 2;
            assert_eq!(mask.is_painted(x, y), !known);
            assert!(!known || picture.pixel(x, y) == [x as u8 - 1, y as u8, 9]);
        }
        assert_eq!(picture.pixel(5, 4), [2, 1, 9], "edges go on");
    }

    #[test]
    fn a_folder_gives_its_pictures_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert!(list(folder.path()).unwrap_err().to_string().contains("no picture in"));
        for name in ["b.PNG", "a.jpg", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = list(folder.path()).unwrap().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.jpg", "b.PNG"]);
        let message = format!("{:#}", read(&folder.path().join("a.jpg")).unwrap_err());
        assert!(message.contains("cannot read") && message.contains("a.jpg"), "{message}");
    }
}
