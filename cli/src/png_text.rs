//! PNG files at a path; what is inside them is [`firefall_core::png`]'s.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firefall_core::image::Picture;
use firefall_core::png::{encode_with_profile, parse};

use crate::files::{Existing, write_whole};

pub(crate) use firefall_core::png::TEXT_MAX;
pub use firefall_core::png::{Origin, Texts};

/// Largest file that is read, bytes: more than any picture that is written has. Its pixels are passed over, and what is
/// kept of it is bounded in [`parse`].
const FILE_MAX: u64 = 4 << 30;

/// Writes `picture` to `path` with its origin, whole or not at all; returns the path it got, see [`Existing`].
///
/// # Errors
/// Names the path: what [`write_whole`] says, a picture without pixels, or a text of more than 64 KiB.
pub fn write(path: &Path, picture: &Picture, origin: &Origin, existing: Existing) -> Result<PathBuf> {
    write_with_profile(path, picture, origin, None, existing)
}

/// As [`write`], colours meant in an ICC profile of RGB; in sRGB without one.
///
/// # Errors
/// Those of [`write`].
pub fn write_with_profile(
    path: &Path,
    picture: &Picture,
    origin: &Origin,
    profile: Option<&[u8]>,
    existing: Existing,
) -> Result<PathBuf> {
    write_whole(path, existing, |out| Ok(encode_with_profile(out, picture, origin, profile)?))
}

/// Reads the texts of the PNG file at `path`.
///
/// # Errors
/// Names the path: no file, no PNG, a file of more than 4 GiB, a text of more than 64 KiB, compressed or not, more than
/// 1 MiB of texts, or a chunk that is cut off or damaged.
pub fn read(path: &Path) -> Result<Texts> {
    let read = || -> Result<Texts> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            bail!("not a file");
        }
        if meta.len() > FILE_MAX {
            bail!("{} bytes; at most {FILE_MAX} are read", meta.len());
        }
        Ok(parse(BufReader::new(file.take(FILE_MAX)))?)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let picture = Picture::filled(128, 128, [200, 30, 60]);
        let origin = Origin { prompt: Some("赤い星".into()), seed: Some(u64::MAX), ..Origin::default() };
        write(&path, &picture, &origin, Existing::Refuse).unwrap();
        assert_eq!(read(&path).unwrap().origin, origin);
        assert_eq!(image::open(&path).unwrap().to_rgb8().as_raw(), &picture.rgb);
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let origin = Origin { prompt: Some("x".repeat(TEXT_MAX + 1)), ..Origin::default() };
        let error = write(&path, &Picture::filled(1, 1, [0; 3]), &origin, Existing::Refuse).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("a.png") && message.contains("65537 bytes"), "{message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_png_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("a.png"));
        std::fs::write(&path, "not a picture at all, but long enough to hold a header").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("not a PNG file"));
        assert!(format!("{:#}", read(folder.path()).unwrap_err()).contains("cannot read"));
        File::create(&path).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("at most 4294967296"));
    }

    #[test]
    fn a_file_of_many_pixels_says_how_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let origin = Origin { prompt: Some("a star".into()), seed: Some(7), ..Origin::default() };
        write(&path, &Picture::filled(2, 2, [9; 3]), &origin, Existing::Refuse).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Pixels before the texts: a hole of a file that takes no room.
        let (head, rest) = whole.split_at(33);
        let pixels = 200u32 << 20;
        let mut file = File::create(&path).unwrap();
        file.write_all(&[head, &pixels.to_be_bytes(), b"IDAT"].concat()).unwrap();
        file.seek(SeekFrom::Current(i64::from(pixels) + 4)).unwrap();
        file.write_all(rest).unwrap();
        assert!(file.metadata().unwrap().len() > u64::from(pixels));
        assert_eq!(read(&path).unwrap().origin, origin);
    }
}
