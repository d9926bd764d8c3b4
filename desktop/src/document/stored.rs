//! Pictures and masks as PNG files of a session.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail, ensure};
use firefall_cli::files::{Existing, write_whole};
use png::{BitDepth, ColorType, Compression};
use serde::{Deserialize, Serialize};

/// Pixels of a side at most.
const SIDE_MAX: usize = 16_384;
/// Pixels of a picture at most.
const PIXELS_MAX: usize = 256_000_000;
/// Deflate makes at most that many bytes from one: 258 of two bits.
const EXPANSION_MAX: usize = 1032;

/// What the bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Red, green and blue.
    Picture,
    /// One byte a pixel.
    Mask,
}

impl Kind {
    fn colour(self) -> ColorType {
        match self {
            Self::Picture => ColorType::Rgb,
            Self::Mask => ColorType::Grayscale,
        }
    }

    /// Bytes of a pixel.
    pub(super) fn channels(self) -> usize {
        self.colour().samples()
    }
}

/// A file of a session, as `session.json` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its name in the session's folder.
    pub(super) file: String,
    /// Its length.
    pub(super) bytes: u64,
    /// Pixels in a row.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
}

/// Whether a picture of that size can be kept.
pub(super) fn check_size(width: usize, height: usize) -> Result<()> {
    if width == 0 || height == 0 {
        bail!("a picture of {width} x {height} pixels has none");
    }
    // The sides first: a product of lies overflows.
    if width > SIDE_MAX || height > SIDE_MAX || width * height > PIXELS_MAX {
        bail!(
            "a picture of {width} x {height} pixels is too large: at most {SIDE_MAX} a side and {} million in all",
            PIXELS_MAX / 1_000_000
        );
    }
    Ok(())
}

/// Writes a file of a session.
///
/// # Errors
/// Names the path; or the size if it is not to be kept, or is not that of `bytes`.
pub(super) fn write(folder: &Path, file: String, kind: Kind, size: [usize; 2], bytes: &[u8]) -> Result<Entry> {
    write_with_profile(folder, file, kind, size, bytes, None)
}

/// As [`write`], colours meant in an ICC profile.
///
/// # Errors
/// Those of [`write`].
pub(super) fn write_with_profile(
    folder: &Path,
    file: String,
    kind: Kind,
    size: [usize; 2],
    bytes: &[u8],
    profile: Option<&[u8]>,
) -> Result<Entry> {
    let [width, height] = size;
    check_size(width, height)?;
    ensure!(bytes.len() == kind.channels() * width * height, "{file} would not have the bytes that its size says");
    let path = folder.join(&file);
    write_whole(&path, Existing::Replace, |out| {
        let mut info = png::Info::with_size(width as u32, height as u32);
        info.icc_profile = profile.map(Cow::Borrowed);
        let mut encoder = png::Encoder::with_info(out, info)?;
        encoder.set_color(kind.colour());
        encoder.set_depth(BitDepth::Eight);
        // It is read back once at most; the user waits for the disk often.
        encoder.set_compression(Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(bytes)?;
        Ok(writer.finish()?)
    })?;
    let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(Entry { file, bytes, width, height })
}

impl Entry {
    /// Whether the file is there, of its length, and of its size as far as its head tells. Costs next to nothing.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(super) fn check(&self, folder: &Path, kind: Kind) -> Result<()> {
        self.open(folder, kind).map(drop)
    }

    /// The bytes of all pixels.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(super) fn read(&self, folder: &Path, kind: Kind) -> Result<Vec<u8>> {
        let mut reader = self.open(folder, kind)?.read_info().with_context(|| self.damaged())?;
        let mut bytes = vec![0; kind.channels() * self.width * self.height];
        ensure!(reader.output_buffer_size() == Some(bytes.len()), "{}", self.damaged());
        reader.next_frame(&mut bytes).and_then(|_| reader.finish()).with_context(|| self.damaged())?;
        Ok(bytes)
    }

    /// The ICC profile of a picture, if it has one that is whole.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), as far as the file's head tells.
    pub(super) fn profile(&self, folder: &Path) -> Result<Option<Vec<u8>>> {
        let reader = self.open(folder, Kind::Picture)?.read_info().with_context(|| self.damaged())?;
        Ok(reader.info().icc_profile.as_ref().map(|profile| profile.to_vec()))
    }

    fn damaged(&self) -> String {
        format!("{} is damaged", self.file)
    }

    fn open(&self, folder: &Path, kind: Kind) -> Result<png::Decoder<BufReader<File>>> {
        check_size(self.width, self.height)?;
        // A name only: what a session names must not lie elsewhere.
        let mut parts = Path::new(&self.file).components();
        let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        ensure!(is_name, "{:?} is no name of a file", self.file);
        let path = folder.join(&self.file);
        let found = fs::symlink_metadata(&path).with_context(|| format!("{} is missing", self.file))?;
        ensure!(found.is_file(), "{} is no file", self.file);
        ensure!(found.len() == self.bytes, "{} has {} bytes instead of {}", self.file, found.len(), self.bytes);
        // So many pixels need so many bytes, whatever they show: no head makes a small file take much memory.
        let rows = self.height * (1 + kind.channels() * self.width);
        let possible = usize::try_from(self.bytes).is_ok_and(|n| n.saturating_mul(EXPANSION_MAX) >= rows);
        ensure!(possible, "{} is too short for {} x {} pixels", self.file, self.width, self.height);
        let file = File::open(&path).with_context(|| format!("cannot read {}", self.file))?;
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_ignore_text_chunk(true);
        let head = decoder.read_header_info().with_context(|| self.damaged())?;
        let agrees = head.size() == (self.width as u32, self.height as u32)
            && (head.color_type, head.bit_depth) == (kind.colour(), BitDepth::Eight);
        ensure!(agrees, "{} is not what the session says it is", self.file);
        Ok(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::random::Random;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(7);
        for (kind, [w, h]) in [(Kind::Picture, [33, 20]), (Kind::Mask, [1, 70]), (Kind::Mask, [900, 800])] {
            let noise: Vec<u8> = (0..w * h * kind.channels()).map(|_| random.below(256) as u8).collect();
            for bytes in [noise, vec![0; w * h * kind.channels()]] {
                let entry = write(folder.path(), "a.png".into(), kind, [w, h], &bytes).unwrap();
                entry.check(folder.path(), kind).unwrap();
                assert!(entry.read(folder.path(), kind).unwrap() == bytes);
                let other = if kind == Kind::Mask { Kind::Picture } else { Kind::Mask };
                assert!(entry.check(folder.path(), other).is_err());
            }
        }
        assert!(write(folder.path(), "b.png".into(), Kind::Mask, [2, 2], &[0; 5]).is_err());
        assert!(!folder.path().join("b.png").exists());
    }

    #[test]
    fn a_picture_keeps_its_profile() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, said) = (vec![7; 3 * 4 * 5], (0..3000u32).map(|i| (i * i % 251) as u8).collect::<Vec<_>>());
        for profile in [Some(&said[..]), None] {
            let kind = Kind::Picture;
            let entry = write_with_profile(folder.path(), "a.png".into(), kind, [4, 5], &bytes, profile).unwrap();
            entry.check(folder.path(), kind).unwrap();
            assert_eq!(entry.read(folder.path(), kind).unwrap(), bytes);
            assert_eq!(entry.profile(folder.path()).unwrap().as_deref(), profile);
        }
    }

    #[test]
    fn sizes_are_bounded() {
        check_size(16_384, 15_625).unwrap();
        for [w, h] in [[16_385, 1], [1, 16_385], [16_384, 16_384], [0, 3], [usize::MAX, usize::MAX]] {
            assert!(check_size(w, h).unwrap_err().to_string().contains(&format!("{w} x {h} pixels")));
        }
    }

    #[test]
    fn a_lying_head_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut head = Vec::new();
        png::Encoder::new(&mut head, 15_000, 15_000).write_header().unwrap();
        let path = folder.path().join("a.png");
        fs::write(&path, &head).unwrap();
        let bytes = head.len() as u64;
        let entry = Entry { file: "a.png".into(), bytes, width: 15_000, height: 15_000 };
        let message = format!("{:#}", entry.read(folder.path(), Kind::Mask).unwrap_err());
        assert!(message.contains("too short for 15000 x 15000 pixels"), "{message}");
        let message =
            format!("{:#}", Entry { width: 2, height: 2, ..entry }.check(folder.path(), Kind::Mask).unwrap_err());
        assert!(message.contains("not what the session says"), "{message}");
    }

    #[test]
    fn damage_is_told_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let pixels: Vec<u8> = (0..12 * 12).map(|i| (i * i % 253) as u8).collect();
        let entry = write(folder.path(), "a.png".into(), Kind::Mask, [12, 12], &pixels).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            match entry.read(folder.path(), Kind::Mask) {
                Err(e) => assert!(format!("{e:#}").contains("a.png"), "{e:#}"),
                Ok(read) => panic!("a flipped bit at {at} was not seen: {}", read == pixels),
            }
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(entry.check(folder.path(), Kind::Mask).unwrap_err().to_string().contains("bytes instead of"));
        fs::remove_file(&path).unwrap();
        assert!(entry.check(folder.path(), Kind::Mask).unwrap_err().to_string().contains("is missing"));
        for file in ["../a.png", "/etc/passwd", "", "..", "x/y.png"] {
            let entry = Entry { file: file.into(), ..entry.clone() };
            assert!(entry.check(folder.path(), Kind::Mask).unwrap_err().to_string().contains("no name"), "{file}");
        }
    }
}
