//! Captioned pictures, from a folder with `a.png` beside `a.txt`, a caption a line, or from [`mnist`](super::mnist).
//!
//! All are read at the start, so that a damaged file is known before hours of training and not after, and kept at the
//! size of the model's largest picture.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgba, RgbaImage};
use sha2::{Digest, Sha256};

use crate::image::Picture;
use crate::noise::Stream;

/// Endings of pictures.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Longest side of a picture that is read.
const SIDE_MAX: u32 = 16_384;
/// Most memory to decode one.
const DECODED_MAX: u64 = 1 << 30;
/// Most memory for all of them.
const KEPT_MAX: u64 = 4 << 30;
/// Longest file of captions.
const CAPTIONS_MAX: u64 = 1 << 20;

/// Why a folder is no training set.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No picture in it.
    #[error(
        "{}: no pictures here; a picture is a .png, .jpg or .webp beside a .txt of the same name with a caption a line",
        .0.display()
    )]
    Empty(PathBuf),
    /// No MNIST in it.
    #[error(
        "{}: no MNIST here; it is train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or with .gz", .0.display()
    )]
    NoMnist(PathBuf),
    /// A picture without words.
    #[error("{}: a picture without a caption; write one a line to {}", .0.display(), .0.with_extension("txt").display())]
    NoCaption(PathBuf),
    /// A file that is no picture.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// More than memory should hold.
    #[error("{}: {count} pictures of {side} x {side} take more than {} GiB", path.display(), KEPT_MAX >> 30)]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// Pictures in it.
        count: usize,
        /// Their side in the model.
        side: usize,
    },
}

/// Pictures in memory.
#[derive(Debug)]
pub struct Pictures {
    captioned: Vec<(Picture, Vec<String>)>,
    hash: String,
}

impl Pictures {
    /// Reads all pictures in `folder`, not in folders below it: the square in the middle of each, at `side` x `side`.
    ///
    /// # Errors
    /// Names the file that is no picture or has no caption, or the folder that has no pictures or too many.
    pub fn read(folder: &Path, side: usize) -> Result<Self, PicturesError> {
        let paths = list(folder)?;
        if paths.is_empty() {
            return Err(PicturesError::Empty(folder.to_owned()));
        }
        check_room(folder, paths.len(), side)?;
        let captioned = paths.iter().map(|path| Ok((picture(path, side)?, captions(path)?)));
        Ok(Self::new(captioned.collect::<Result<_, PicturesError>>()?))
    }

    /// Pictures at `side` x `side` with their captions, from somewhere in `folder`.
    ///
    /// # Errors
    /// If they are too many.
    pub(super) fn of(
        folder: &Path,
        side: usize,
        captioned: impl ExactSizeIterator<Item = (Picture, Vec<String>)>,
    ) -> Result<Self, PicturesError> {
        check_room(folder, captioned.len(), side)?;
        Ok(Self::new(captioned.collect()))
    }

    fn new(captioned: Vec<(Picture, Vec<String>)>) -> Self {
        let hash = hash(&captioned);
        Self { captioned, hash }
    }

    /// SHA-256 of all that is learnt, in hexadecimal: pixels and captions, not where they lie.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// All captions, picture by picture.
    pub fn captions(&self) -> impl Iterator<Item = &str> {
        self.captioned.iter().flat_map(|(_, captions)| captions.iter().map(String::as_str))
    }

    /// One of the pictures, with one of its captions.
    pub fn draw(&self, stream: &mut Stream) -> (&Picture, &str) {
        let (picture, captions) = stream.pick(&self.captioned);
        (picture, stream.pick::<String>(captions))
    }
}

fn check_room(folder: &Path, count: usize, side: usize) -> Result<(), PicturesError> {
    let each = 3 * (side as u64).saturating_mul(side as u64);
    if (count as u64).saturating_mul(each) > KEPT_MAX {
        return Err(PicturesError::TooMany { path: folder.to_owned(), count, side });
    }
    Ok(())
}

fn hash(captioned: &[(Picture, Vec<String>)]) -> String {
    let mut hash = Sha256::new();
    for (picture, captions) in captioned {
        hash.update(&picture.rgb);
        hash.update(captions.join("\n"));
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pictures in a folder by name, so that every system sees the same order.
fn list(folder: &Path) -> Result<Vec<PathBuf>, PicturesError> {
    let failed = |source| PicturesError::Io { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|ending| ENDINGS.contains(&&*ending)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn captions(picture: &Path) -> Result<Vec<String>, PicturesError> {
    let path = picture.with_extension("txt");
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => PicturesError::NoCaption(picture.to_owned()),
        _ => PicturesError::Io { path: path.clone(), source },
    };
    if fs::metadata(&path).map_err(failed)?.len() > CAPTIONS_MAX {
        let reason = format!("captions of more than {CAPTIONS_MAX} bytes");
        return Err(PicturesError::Unreadable { path, reason });
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() { Err(PicturesError::NoCaption(picture.to_owned())) } else { Ok(lines) }
}

/// The square in the middle, upright, on white where the picture is transparent.
fn picture(path: &Path, side: usize) -> Result<Picture, PicturesError> {
    let unreadable = |e: &dyn std::fmt::Display| {
        let reason = format!("cannot be read as a picture: {e}");
        PicturesError::Unreadable { path: path.to_owned(), reason }
    };
    let file = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut reader = file.map_err(|source| PicturesError::Io { path: path.to_owned(), source })?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(DECODED_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| unreadable(&e))?;
    let orientation = decoder.orientation().map_err(|e| unreadable(&e))?;
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(|e| unreadable(&e))?;
    decoded.apply_orientation(orientation);
    let (width, height) = (decoded.width(), decoded.height());
    let least = width.min(height);
    let square = decoded.crop_imm((width - least) / 2, (height - least) / 2, least, least);
    let pixels = u32::try_from(side).map_err(|e| unreadable(&e))?;
    // Of its own size, a picture stays what it is to the last byte.
    let scaled = if least == pixels { square } else { square.resize_exact(pixels, pixels, FilterType::Lanczos3) };
    Ok(Picture { width: side, height: side, rgb: on_white(&scaled.to_rgba8()) })
}

fn on_white(picture: &RgbaImage) -> Vec<u8> {
    let blend = |Rgba([r, g, b, a]): &Rgba<u8>| {
        let a = u32::from(*a);
        [*r, *g, *b].map(|v| ((u32::from(v) * a + 255 * (255 - a) + 127) / 255) as u8)
    };
    picture.pixels().flat_map(blend).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use image::{Rgba, RgbaImage};

    use super::{Pictures, PicturesError};
    use crate::noise::{Purpose, Stream};

    /// Red on the left, blue on the right, green outside the square in the middle.
    fn save(path: &Path) {
        let pixel = |x: u32, _| match x {
            0..4 | 12.. => Rgba([0, 255, 0, 255]),
            4..8 => Rgba([255, 0, 0, 255]),
            _ => Rgba([0, 0, 255, 255]),
        };
        RgbaImage::from_fn(16, 8, pixel).save(path).unwrap();
    }

    #[test]
    fn the_square_in_the_middle_with_its_captions() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        save(&at("b.png"));
        fs::write(at("b.txt"), "red and blue\n\n  two colours \r\n").unwrap();
        RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 51])).save(at("a.PNG")).unwrap();
        fs::write(at("a.txt"), "a veil").unwrap();
        fs::write(at("notes.md"), "no picture").unwrap();
        let pictures = Pictures::read(folder.path(), 8).unwrap();
        assert_eq!(pictures.captions().collect::<Vec<_>>(), ["a veil", "red and blue", "two colours"]);
        assert_eq!(pictures.captioned.len(), 2);
        let (veil, two) = (&pictures.captioned[0].0, &pictures.captioned[1].0);
        assert!(veil.rgb.iter().all(|&v| v == 204), "{:?}", veil.pixel(0, 0));
        assert_eq!([two.pixel(0, 0), two.pixel(3, 7), two.pixel(4, 0)], [[255, 0, 0], [255, 0, 0], [0, 0, 255]]);
        // Known by what they are, wherever they are.
        let elsewhere = tempfile::tempdir().unwrap();
        for name in ["a.PNG", "a.txt", "b.png", "b.txt"] {
            fs::copy(at(name), elsewhere.path().join(name)).unwrap();
        }
        let moved = |side| Pictures::read(elsewhere.path(), side).unwrap();
        assert_eq!(moved(8).hash(), pictures.hash());
        fs::write(elsewhere.path().join("a.txt"), "a shroud").unwrap();
        assert_ne!(moved(8).hash(), pictures.hash());
        // Smaller, and every picture and caption comes up.
        let small = Pictures::read(folder.path(), 2).unwrap();
        let mut stream = Stream::new(1, Purpose::Scene, 0);
        let drawn: Vec<_> = (0..64).map(|_| small.draw(&mut stream)).collect();
        for caption in small.captions() {
            let (picture, _) = drawn.iter().find(|(_, c)| *c == caption).expect(caption);
            assert_eq!((picture.width, picture.pixel(0, 0)[1]), (2, if caption == "a veil" { 204 } else { 0 }));
        }
    }

    #[test]
    fn a_folder_that_is_no_training_set_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let refused = |side| Pictures::read(folder.path(), side).unwrap_err();
        let missing = Pictures::read(&at("missing"), 8).unwrap_err();
        assert!(matches!(missing, PicturesError::Io { .. }) && missing.to_string().contains("missing"), "{missing}");
        let empty = refused(8);
        assert!(matches!(empty, PicturesError::Empty(_)) && empty.to_string().contains(".txt"), "{empty}");
        save(&at("a.png"));
        for text in [None, Some(""), Some(" \n\t\n")] {
            if let Some(text) = text {
                fs::write(at("a.txt"), text).unwrap();
            }
            let error = refused(8);
            assert!(matches!(error, PicturesError::NoCaption(_)) && error.to_string().contains("a.png"), "{error}");
        }
        fs::write(at("a.txt"), "fine").unwrap();
        let many = refused(100_000);
        assert!(matches!(many, PicturesError::TooMany { count: 1, .. }), "{many}");
        let whole = fs::read(at("a.png")).unwrap();
        for damage in [&b""[..], b"no picture", &whole[..whole.len() / 2]] {
            fs::write(at("a.png"), damage).unwrap();
            let error = refused(8);
            assert!(matches!(error, PicturesError::Unreadable { .. }), "{error}");
            assert!(error.to_string().contains("a.png"), "{error}");
        }
    }
}
