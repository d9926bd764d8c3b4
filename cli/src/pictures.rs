//! Pictures and masks from files.

mod remark;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firefall_core::image::{Mask, Picture};
use image::{DynamicImage, GrayAlphaImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Pixels of a side of the largest picture that is read.
const LARGEST: u32 = 16_384;
/// Bytes of the largest picture once it is decoded: four a pixel of the largest.
const DECODED_MAX: u64 = 1 << 30;
/// Bytes of the largest ICC profile that is kept; those of printers have a megabyte or two.
const PROFILE_MAX: usize = 4 << 20;
/// Bytes before the tables of an ICC profile.
const PROFILE_HEAD: usize = 128;
/// Endings of the files that are taken for pictures.
pub const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// A picture, and what its file says beside the pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// The pixels.
    pub picture: Picture,
    /// The ICC profile in which its colours are meant; sRGB without one.
    pub profile: Option<Vec<u8>>,
    /// What of the file is not kept, a few words each.
    pub lost: Vec<&'static str>,
    /// What is odd about the file, as the rest of a sentence about it.
    pub remark: Option<&'static str>,
}

/// A file as it was decoded.
struct Decoded {
    image: DynamicImage,
    profile: Option<Vec<u8>>,
    format: Option<ImageFormat>,
}

/// Reads a picture, turned as its camera says; what shows through is white.
///
/// # Errors
/// Names the file: missing, no picture, larger than 16384 pixels a side, or of more than a gibibyte once it is decoded.
pub fn read(path: &Path) -> Result<Picture> {
    Ok(read_photo(path)?.picture)
}

/// Reads a picture as [`read`] does, with its ICC profile, what is lost of it and what is odd about its file.
///
/// # Errors
/// As [`read`].
pub fn read_photo(path: &Path) -> Result<Photo> {
    let cannot = || format!("cannot read {}", path.display());
    let Decoded { image, profile, format } = decode(path).with_context(cannot)?;
    let remark = remark::of(path, format).with_context(cannot)?;
    let colour = image.color();
    let (found, profile) = (profile.is_some(), profile.filter(|profile| colour.has_color() && is_rgb(profile)));
    let pixels = image.into_rgba8();
    let lost = [
        (found && profile.is_none(), "its colour profile"),
        (colour.bytes_per_pixel() > colour.channel_count(), "more than 8 bits a channel"),
        (pixels.pixels().any(|p| p.0[3] < 255), "its transparency, which is now white"),
    ];
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let over_white = |value: u8, alpha: u8| 255 - ((255 - u32::from(value)) * u32::from(alpha) / 255) as u8;
    let rgb = pixels.pixels().flat_map(|p| [0, 1, 2].map(|c| over_white(p.0[c], p.0[3]))).collect();
    let lost = lost.into_iter().filter_map(|(is_lost, what)| is_lost.then_some(what)).collect();
    Ok(Photo { picture: Picture { width, height, rgb }, profile, lost, remark })
}

/// Whether an ICC profile is one of RGB, as a PNG file of colours must have it.
fn is_rgb(profile: &[u8]) -> bool {
    (PROFILE_HEAD..=PROFILE_MAX).contains(&profile.len()) && profile[16..20] == *b"RGB " && profile[36..40] == *b"acsp"
}

/// Reads a mask: what is white, and not transparent, is painted. Where everything that can be seen has one lightness,
/// and not everything can be seen alike, the shape is in the transparency: then what is not transparent is painted,
/// whatever its colour.
///
/// # Errors
/// As [`read`].
pub fn read_mask(path: &Path) -> Result<Mask> {
    let image = decode(path).with_context(|| format!("cannot read {}", path.display()))?.image;
    let pixels = image.into_luma_alpha8();
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let light = |p: &image::LumaA<u8>| (u32::from(p.0[0]) * u32::from(p.0[1]) / 255) as u8;
    let alpha = match is_shape(&pixels) {
        true => pixels.pixels().map(|p| p.0[1]).collect(),
        false => pixels.pixels().map(light).collect(),
    };
    Ok(Mask { width, height, alpha })
}

/// One lightness wherever there is anything, and more than one transparency.
fn is_shape(pixels: &GrayAlphaImage) -> bool {
    let mut seen = pixels.pixels().filter(|p| p.0[1] > 0).map(|p| p.0[0]);
    let Some(first) = seen.next() else { return false };
    let mut alphas = pixels.pixels().map(|p| p.0[1]);
    let opacity = alphas.next();
    seen.all(|luma| luma == first) && alphas.any(|alpha| Some(alpha) != opacity)
}

fn decode(path: &Path) -> Result<Decoded> {
    // A pipe may never end.
    if !std::fs::metadata(path)?.is_file() {
        bail!("it is no file");
    }
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    limits.max_alloc = Some(DECODED_MAX);
    reader.limits(limits.clone());
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    // A small file may unfold to any size, and reading it does not look.
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    // A damaged profile is none.
    let profile = decoder.icc_profile().ok().flatten();
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    if image.width() == 0 || image.height() == 0 {
        bail!("it has no pixels");
    }
    Ok(Decoded { image, profile, format })
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
    fn a_shape_on_nothing_is_a_mask_whatever_its_colour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mask = |of: &dyn Fn(u32) -> [u8; 4]| {
            image::RgbaImage::from_fn(4, 1, |x, _| image::Rgba(of(x))).save(&path).unwrap();
            read_mask(&path).unwrap().alpha
        };
        let alphas = [255, 0, 200, 0];
        for colour in [[0; 3], [255; 3], [10, 200, 30]] {
            let [r, g, b] = colour;
            // What cannot be seen has any colour.
            let pixel = |x: u32| if x == 1 { [90, 9, 200, 0] } else { [r, g, b, alphas[x as usize]] };
            assert_eq!(mask(&pixel), alphas, "{colour:?}");
        }
        assert_eq!(mask(&|_| [0, 0, 0, 255]), [0; 4], "black alone is nothing");
        assert_eq!(mask(&|_| [255, 255, 255, 128]), [128; 4]);
        assert_eq!(mask(&|_| [0, 0, 0, 0]), [0; 4]);
        // Two lightnesses: white is painted, as far as it can be seen.
        let grey = |x: u32| [[0, 0, 0, 255], [255, 255, 255, 255], [255, 255, 255, 0], [0, 0, 0, 100]][x as usize];
        assert_eq!(mask(&grey), [0, 255, 0, 0]);
    }

    #[test]
    fn a_small_file_that_unfolds_to_gigabytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.png");
        let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 16_000, 16_000);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Sixteen);
        let mut writer = encoder.write_header().unwrap();
        writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c]).unwrap();
        drop(writer);
        for message in [format!("{:#}", read(&path).unwrap_err()), format!("{:#}", read_mask(&path).unwrap_err())] {
            assert!(message.contains("bomb.png") && message.contains("Memory limit exceeded"), "{message}");
        }
    }

    /// The head of an ICC profile of `space`, and something after it.
    fn profile(space: [u8; 4]) -> Vec<u8> {
        let mut profile = vec![7; PROFILE_HEAD + 9];
        profile[16..20].copy_from_slice(&space);
        profile[36..40].copy_from_slice(b"acsp");
        profile
    }

    #[test]
    fn a_profile_is_kept_and_what_is_not_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let photo = |colour: png::ColorType, depth: png::BitDepth, profile: Option<Vec<u8>>, pixels: &[u8]| {
            let mut info = png::Info::with_size(1, 1);
            info.icc_profile = profile.map(std::borrow::Cow::Owned);
            let mut encoder = png::Encoder::with_info(std::fs::File::create(&path).unwrap(), info).unwrap();
            encoder.set_color(colour);
            encoder.set_depth(depth);
            encoder.write_header().unwrap().write_image_data(pixels).unwrap();
            read_photo(&path).unwrap()
        };
        let (rgb, eight) = (png::ColorType::Rgb, png::BitDepth::Eight);
        let kept = photo(rgb, eight, Some(profile(*b"RGB ")), &[1, 2, 3]);
        let picture = Picture { width: 1, height: 1, rgb: vec![1, 2, 3] };
        let want = Photo { picture, profile: Some(profile(*b"RGB ")), lost: vec![], remark: None };
        assert_eq!(kept, want);
        assert_eq!(photo(rgb, eight, None, &[1, 2, 3]), Photo { profile: None, ..want });
        for odd in [profile(*b"CMYK"), vec![0; 3], profile(*b"RGB ")[..PROFILE_HEAD - 1].to_vec()] {
            let photo = photo(rgb, eight, Some(odd), &[1, 2, 3]);
            assert_eq!((photo.profile, photo.lost), (None, vec!["its colour profile"]));
        }
        let grey = photo(png::ColorType::Grayscale, eight, Some(profile(*b"GRAY")), &[9]);
        assert_eq!((grey.profile, grey.lost), (None, vec!["its colour profile"]));
        let deep = photo(rgb, png::BitDepth::Sixteen, None, &[1, 1, 2, 2, 3, 3]);
        assert_eq!(deep.lost, ["more than 8 bits a channel"]);
        let clear = photo(png::ColorType::Rgba, eight, None, &[1, 2, 3, 0]);
        assert_eq!((clear.picture.rgb, clear.lost), (vec![255; 3], vec!["its transparency, which is now white"]));
        assert!(photo(png::ColorType::Rgba, eight, None, &[1, 2, 3, 255]).lost.is_empty());
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
