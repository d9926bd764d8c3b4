//! What is to be said of the file of a picture though it was read: that it ends early, or that it is animated.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Result, copy, sink};
use std::path::Path;

use image::ImageFormat;

const ENDS_EARLY: &str = "ends early; what is missing is gray or blurred";
const ANIMATED: &str = "is animated; its first picture is taken";

/// Bytes before the chunks of a PNG file, and bytes of a chunk's checksum.
const SIGNATURE: usize = 8;
const CHECKSUM: u64 = 4;

/// Markers of JPEG: the end of the image and the start of a scan.
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// The rest of a sentence about the file, if there is one to say.
///
/// # Errors
/// The file cannot be read.
pub(super) fn of(path: &Path, format: Option<ImageFormat>) -> Result<Option<&'static str>> {
    let mut file = BufReader::new(File::open(path)?);
    let (applies, remark) = match format {
        Some(ImageFormat::Jpeg) => (ends_early(&mut file)?, ENDS_EARLY),
        Some(ImageFormat::Png) => (is_animated_png(&mut file)?, ANIMATED),
        Some(ImageFormat::WebP) => (is_animated_webp(&mut file)?, ANIMATED),
        _ => return Ok(None),
    };
    Ok(applies.then_some(remark))
}

/// Whether no end of the image comes after its first scan. Segments are passed over by their lengths: one of them may hold a
/// small picture with an end of its own.
fn ends_early(file: &mut impl BufRead) -> Result<bool> {
    let mut has_scan = false;
    while let Some(marker) = next_marker(file)? {
        match marker {
            END if has_scan => return Ok(false),
            // No length follows: a reserved one, as damaged scans may hold, a restart, or the beginning or end of an image.
            0..0xc0 | 0xd0..=END => {}
            _ => {
                has_scan |= marker == SCAN;
                let Some(length) = read::<2>(file)? else { break };
                skip(file, u64::from(u16::from_be_bytes(length)).saturating_sub(2))?;
            }
        }
    }
    Ok(true)
}

/// The byte after the next 0xff that is a marker: a zero there makes a number of it, and more of its kind only fill.
fn next_marker(file: &mut impl BufRead) -> Result<Option<u8>> {
    loop {
        file.skip_until(0xff)?;
        let next = file.by_ref().bytes().find(|byte| !matches!(byte, Ok(0xff))).transpose()?;
        if next != Some(0) {
            return Ok(next);
        }
    }
}

/// Whether a PNG file says before its pixels that more pictures follow.
fn is_animated_png(file: &mut impl Read) -> Result<bool> {
    read::<SIGNATURE>(file)?;
    while let Some([a, b, c, d, kind @ ..]) = read::<8>(file)? {
        match &kind {
            b"acTL" => return Ok(true),
            b"IDAT" => break,
            _ => skip(file, u64::from(u32::from_be_bytes([a, b, c, d])) + CHECKSUM)?,
        }
    }
    Ok(false)
}

/// Whether the extended header of a WebP file, if it has one, has the flag of an animation.
fn is_animated_webp(file: &mut impl Read) -> Result<bool> {
    Ok(read::<21>(file)?.is_some_and(|head| head[12..16] == *b"VP8X" && head[20] & 2 != 0))
}

/// So many bytes; nothing where the file ends before.
fn read<const N: usize>(file: &mut impl Read) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn skip(file: &mut impl Read, bytes: u64) -> Result<()> {
    copy(&mut file.by_ref().take(bytes), &mut sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{Rgb, RgbImage};

    use super::super::read_photo;
    use super::*;

    fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A JPEG file of so many pixels a side, hardly two of them alike.
    fn jpeg(side: u32) -> Vec<u8> {
        let noise = |x: u32, y: u32| Rgb([97, 57, 31].map(|n: u32| ((x * n) ^ (y * (n + 6))) as u8));
        encoded(&RgbImage::from_fn(side, side, noise), ImageFormat::Jpeg)
    }

    /// What is said of a file, and its first and last pixel.
    fn said(name: &str, bytes: &[u8]) -> (Option<&'static str>, [[u8; 3]; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let photo = read_photo(&path).unwrap();
        let picture = photo.picture;
        (photo.remark, [picture.pixel(0, 0), picture.pixel(picture.width - 1, picture.height - 1)])
    }

    #[test]
    fn a_jpeg_that_was_cut_off_says_so() {
        let whole = jpeg(96);
        let (remark, [_, last]) = said("a.jpg", &whole);
        assert!(remark.is_none() && last != [128; 3]);
        let (remark, [_, last]) = said("a.jpg", &whole[..whole.len() / 2]);
        assert_eq!((remark, last), (Some(ENDS_EARLY), [128; 3]));
        // A small picture in front of it has an end as well; what comes after the end is nobody's.
        let small = jpeg(8);
        let length = (small.len() as u16 + 2).to_be_bytes();
        let mut framed = [&whole[..2], &[0xff, 0xe1], &length[..], &small[..], &whole[2..]].concat();
        let cut = framed.len() - whole.len() / 2;
        assert_eq!(said("a.jpg", &framed[..cut]).0, Some(ENDS_EARLY));
        framed.resize(framed.len() + 99, 0);
        assert_eq!(said("a.jpg", &framed).0, None);
        framed.extend_from_slice(&small);
        assert_eq!(said("a.jpg", &framed).0, None);
    }

    #[test]
    fn within_a_scan_only_the_end_is_one() {
        let ends = |scan: &[u8]| {
            !ends_early(&mut &[&[0xff, 0xd8, 0xff, SCAN, 0, 4, 0xff, END][..], scan].concat()[..]).unwrap()
        };
        let end = [0xff, END];
        assert!(ends(&end) && ends(&[0xff, 0xff, 0xff, END]));
        assert!(!ends(&[]) && !ends(&[7, END]) && !ends(&[0xff, 0, END]) && !ends(&[1, 2, 0xff]));
        for between in [&[0xff, 0xd3][..], &[0xff, 0], &[0xff, 0xc4, 0, 3, 9], &[0xff, SCAN, 0, 2, 8], &[0xff, 5]] {
            assert!(ends(&[between, &end].concat()), "{between:?}");
            assert!(!ends(between), "{between:?}");
        }
        assert!(!ends(&[0xff, 0xc4, 0, 9, 0xff, END]), "it is within a table");
    }

    #[test]
    fn an_animated_png_gives_its_first_picture_and_says_so() {
        for animated in [true, false] {
            let mut file = Vec::new();
            let mut encoder = png::Encoder::new(&mut file, 2, 1);
            encoder.set_color(png::ColorType::Rgb);
            // Something to pass over.
            encoder.add_text_chunk("a".into(), "acTL".into()).unwrap();
            if animated {
                encoder.set_animated(2, 0).unwrap();
            }
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&[1; 6]).unwrap();
            if animated {
                writer.write_image_data(&[9; 6]).unwrap();
            }
            writer.finish().unwrap();
            assert_eq!(said("a.png", &file), (animated.then_some(ANIMATED), [[1; 3]; 2]));
        }
    }

    #[test]
    fn an_animated_webp_gives_its_first_picture_and_says_so() {
        let still = |colour: [u8; 3]| encoded(&RgbImage::from_pixel(4, 2, Rgb(colour)), ImageFormat::WebP);
        assert_eq!(said("a.webp", &still([200, 30, 60])), (None, [[200, 30, 60]; 2]));
        let chunk = |kind: &[u8; 4], data: &[u8]| [&kind[..], &(data.len() as u32).to_le_bytes(), data].concat();
        // At the origin, of 4 x 2 pixels, for a tenth of a second, in place of what was there.
        let frame =
            |colour: [u8; 3]| [&[0, 0, 0, 0, 0, 0, 3, 0, 0, 1, 0, 0, 100, 0, 0, 2][..], &still(colour)[12..]].concat();
        let parts = [
            b"WEBP".to_vec(),
            chunk(b"VP8X", &[2, 0, 0, 0, 3, 0, 0, 1, 0, 0]),
            chunk(b"ANIM", &[0; 6]),
            chunk(b"ANMF", &frame([200, 30, 60])),
            chunk(b"ANMF", &frame([0, 90, 250])),
        ];
        assert_eq!(said("a.webp", &chunk(b"RIFF", &parts.concat())), (Some(ANIMATED), [[200, 30, 60]; 2]));
    }
}
