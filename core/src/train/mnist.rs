//! MNIST from its IDX files, plain or with gzip: digits with their words.
//!
//! The format is a magic number, the size of each axis (big-endian, 32 bits each), and the bytes
//! (<http://yann.lecun.com/exdb/mnist/>).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::pictures::{Pictures, PicturesError};
use crate::image::{Picture, resized};
use crate::world::digit_captions;

/// Names that the two files go by.
const FILES: [[&str; 2]; 2] =
    [["train-images-idx3-ubyte", "train-images.idx3-ubyte"], ["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"]];
/// Largest file, unpacked.
const FILE_MAX: u64 = 1 << 30;
/// Longest side of a picture.
const SIDE_MAX: usize = 1024;

/// The digits in `folder` at `side` x `side`, in gray, each with its name and its numeral.
///
/// # Errors
/// Names the folder without MNIST, or the file that is damaged.
pub fn read(folder: &Path, side: usize) -> Result<Pictures, PicturesError> {
    let digits = digits(folder, side)?;
    Pictures::of(folder, side, digits.into_iter().map(|(picture, digit)| (picture, digit_captions(digit).to_vec())))
}

/// The same with the value of each.
///
/// # Errors
/// As [`read`].
pub fn digits(folder: &Path, side: usize) -> Result<Vec<(Picture, usize)>, PicturesError> {
    let [images, labels] = FILES.map(|names| find(folder, names));
    let (Some(images), Some(labels)) = (images, labels) else { return Err(PicturesError::NoMnist(folder.to_owned())) };
    let (sizes, pixels) = idx::<3>(&images)?;
    let ([count], values) = idx::<1>(&labels)?;
    let [pictures, height, width] = sizes;
    let refuse = |path: &Path, reason: String| Err(PicturesError::Unreadable { path: path.to_owned(), reason });
    if pictures != count || count == 0 {
        return refuse(&labels, format!("{count} labels for {pictures} pictures"));
    }
    if !(1..=SIDE_MAX).contains(&width) || !(1..=SIDE_MAX).contains(&height) {
        return refuse(&images, format!("pictures of {width} x {height}; a side has 1 to {SIDE_MAX} pixels"));
    }
    if let Some(value) = values.iter().find(|value| **value > 9) {
        return refuse(&labels, format!("label {value}; a digit is 0 to 9"));
    }
    let picture = |gray: &[u8]| {
        let rgb = gray.iter().flat_map(|&v| [v; 3]).collect();
        resized(&Picture { width, height, rgb }, side, side)
    };
    Ok(pixels.chunks_exact(width * height).map(picture).zip(values.iter().map(|&v| usize::from(v))).collect())
}

fn find(folder: &Path, names: [&str; 2]) -> Option<PathBuf> {
    let paths = names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    paths.into_iter().find(|path| path.is_file())
}

/// The sizes of the axes, and the bytes.
fn idx<const D: usize>(path: &Path) -> Result<([usize; D], Vec<u8>), PicturesError> {
    let failed = |source| PicturesError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    let mut reader: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    reader.by_ref().take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let refuse = |reason: String| PicturesError::Unreadable { path: path.to_owned(), reason };
    let header = 4 * (D + 1);
    if bytes.len() as u64 > FILE_MAX || bytes.len() < header {
        return Err(refuse(format!("{} bytes; an IDX file has {header} to {FILE_MAX}", bytes.len())));
    }
    let word = |i: usize| u32::from_be_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
    // Two zeros, 8 for bytes, and the number of axes.
    let magic = 0x0800 + D as u32;
    if word(0) != magic {
        return Err(refuse(format!("begins with {:#010x}, an IDX file of {D} axes with {magic:#010x}", word(0))));
    }
    let sizes: [usize; D] = std::array::from_fn(|i| word(i + 1) as usize);
    let wanted = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let data = bytes.split_off(header);
    if wanted != Some(data.len()) {
        return Err(refuse(format!("{} bytes after its header, which says {sizes:?}", data.len())));
    }
    Ok((sizes, data))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{digits, read};

    fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let magic = 0x0800 + sizes.len() as u32;
        let header = [magic].iter().chain(sizes).flat_map(|v| v.to_be_bytes()).collect::<Vec<_>>();
        [&header[..], data].concat()
    }

    fn write(folder: &Path, images: &[u8], labels: &[u8]) {
        fs::write(folder.join("train-images-idx3-ubyte"), images).unwrap();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(labels).unwrap();
        fs::write(folder.join("train-labels-idx1-ubyte.gz"), packed.finish().unwrap()).unwrap();
    }

    #[test]
    fn digits_with_their_words() {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<u8> = (0..2 * 4 * 4).map(|v| v * 8).collect();
        write(folder.path(), &idx(&[2, 4, 4], &images), &idx(&[2], &[7, 0]));
        let read_back = digits(folder.path(), 4).unwrap();
        assert_eq!(read_back.iter().map(|(_, digit)| *digit).collect::<Vec<_>>(), [7, 0]);
        assert_eq!(read_back[1].0.pixel(1, 0), [17 * 8; 3]);
        let pictures = read(folder.path(), 8).unwrap();
        assert_eq!(pictures.captions().collect::<Vec<_>>(), ["seven", "7", "zero", "0"]);
    }

    #[test]
    fn what_is_no_mnist_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || digits(folder.path(), 4).unwrap_err().to_string();
        assert!(refused().contains("train-images-idx3-ubyte"), "{}", refused());
        let (images, labels) = (idx(&[1, 2, 2], &[0; 4]), idx(&[1], &[3]));
        for (images, labels, says) in [
            (&images[..], &idx(&[2], &[3, 4])[..], "2 labels for 1 pictures"),
            (&images, &idx(&[1], &[12]), "label 12"),
            (&images, &idx(&[1], &[]), "0 bytes after its header"),
            (&images[..18], &labels, "2 bytes after its header, which says [1, 2, 2]"),
            (&images[..7], &labels, "7 bytes"),
            (&idx(&[12], &[0; 12]), &labels, "0x00000801"),
            (&idx(&[1, 0, 2], &[]), &labels, "pictures of 2 x 0"),
            (&idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), &labels, "0 bytes after its header"),
            (&idx(&[0, 2, 2], &[]), &idx(&[0], &[]), "0 labels for 0 pictures"),
        ] {
            write(folder.path(), images, labels);
            assert!(refused().contains(says), "{} is not {says}", refused());
        }
        fs::write(folder.path().join("train-labels-idx1-ubyte.gz"), b"no gzip").unwrap();
        assert!(refused().contains("train-labels-idx1-ubyte.gz"), "{}", refused());
    }
}
