//! A display without a screen, and what is on it.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::shell::succeeds;

/// Of the screen, which the window fills.
pub(super) const SIZE: [usize; 2] = [1280, 820];

/// An X server of our own; it ends with this.
pub(super) struct Display {
    server: Child,
    /// What programs call it.
    pub(super) name: String,
    /// Where the server keeps what is on the screen.
    buffer: PathBuf,
    /// Where tests keep theirs.
    pub(super) folder: PathBuf,
}

impl Display {
    /// Starts the server and waits until it listens.
    pub(super) fn open(scratch: &Path) -> Result<Self> {
        let [width, height] = SIZE;
        let mut command = Command::new("Xvfb");
        // The server says on stdout which number was free, and does not begin anew whenever the last program has gone.
        command.args([
            "-displayfd",
            "1",
            "-noreset",
            "-nolisten",
            "tcp",
            "-screen",
            "0",
            &format!("{width}x{height}x24"),
        ]);
        command.arg("-fbdir").arg(scratch).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = File::create(scratch.join("xvfb.log"))?;
        let mut server = command.stderr(log).spawn().context("cannot start Xvfb")?;
        let mut number = String::new();
        let mut said = server.stdout.take().context("Xvfb has no output")?;
        let mut byte = [0];
        while said.read(&mut byte)? == 1 && byte[0] != b'\n' {
            number.push(char::from(byte[0]));
        }
        let display = Self {
            server,
            name: format!(":{number}"),
            buffer: scratch.join("Xvfb_screen0"),
            folder: scratch.to_owned(),
        };
        ensure!(!number.is_empty(), "Xvfb did not start; see {}", scratch.join("xvfb.log").display());
        Ok(display)
    }

    /// What is on the screen now.
    pub(super) fn look(&self) -> Result<Image> {
        let dump = fs::read(&self.buffer).with_context(|| format!("cannot read {}", self.buffer.display()))?;
        Image::from_dump(&dump).context("the screen is not kept as it should be")
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Asked to end, it gives its number back; it may have gone by itself.
        let asked = succeeds(Command::new("kill").arg(self.server.id().to_string()));
        if !asked {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}

/// Pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Width and height.
    pub(super) size: [usize; 2],
    rgb: Vec<u8>,
}

impl Image {
    /// A picture of what `pixel` says of each place.
    pub(super) fn of(size: [usize; 2], pixel: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let rgb = (0..size[1]).flat_map(|y| (0..size[0]).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y)).collect();
        Self { size, rgb }
    }

    /// Reads a PNG file of colours or grays.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
            decoder.set_transformations(png::Transformations::normalize_to_color8());
            let mut reader = decoder.read_info()?;
            let mut bytes = vec![0; reader.output_buffer_size().context("it is too large")?];
            let info = reader.next_frame(&mut bytes)?;
            let channels = info.color_type.samples();
            let pixel = |pixel: &[u8]| if channels < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
            let rgb = bytes.chunks_exact(channels).flat_map(pixel).collect();
            Ok(Self { size: [info.width as usize, info.height as usize], rgb })
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }

    /// A dump of an X window, 32 bits a pixel, the form in which Xvfb keeps its screen.
    fn from_dump(dump: &[u8]) -> Option<Self> {
        let word = |n: usize| Some(u32::from_be_bytes(dump.get(4 * n..4 * n + 4)?.try_into().ok()?) as usize);
        let (head, size, line, colours) = (word(0)?, [word(4)?, word(5)?], word(12)?, word(19)?);
        let pixels = dump.get(head + 12 * colours..)?;
        if word(11)? != 32 || pixels.len() < line * size[1] {
            return None;
        }
        // Blue comes first.
        let at = |x: usize, y: usize| &pixels[y * line + 4 * x..][..3];
        Some(Self::of(size, |x, y| [at(x, y)[2], at(x, y)[1], at(x, y)[0]]))
    }

    /// Writes a PNG file.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let write = || -> Result<()> {
            let [width, height] = self.size.map(|side| side as u32);
            let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.rgb)?;
            Ok(writer.finish()?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The pixel at a place.
    pub(super) fn at(&self, [x, y]: [usize; 2]) -> [u8; 3] {
        let i = 3 * (y * self.size[0] + x);
        [self.rgb[i], self.rgb[i + 1], self.rgb[i + 2]]
    }

    /// What lies between two corners.
    pub(super) fn part(&self, from: [usize; 2], to: [usize; 2]) -> Self {
        Self::of([to[0] - from[0], to[1] - from[1]], |x, y| self.at([from[0] + x, from[1] + y]))
    }

    /// All places.
    pub(super) fn places(&self) -> impl Iterator<Item = [usize; 2]> {
        let [width, height] = self.size;
        (0..height).flat_map(move |y| (0..width).map(move |x| [x, y]))
    }

    /// How many pixels are so.
    pub(super) fn count(&self, is_so: impl Fn([u8; 3]) -> bool) -> usize {
        self.places().filter(|at| is_so(self.at(*at))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_read_and_nonsense_is_not() {
        let mut dump: Vec<u8> = vec![0; 104];
        for (n, value) in [(0, 104u32), (4, 2), (5, 1), (11, 32), (12, 8), (19, 1)] {
            dump[4 * n..4 * n + 4].copy_from_slice(&value.to_be_bytes());
        }
        dump.extend([0; 12]);
        dump.extend([3, 2, 1, 0, 6, 5, 4, 0]);
        let image = Image::from_dump(&dump).unwrap();
        assert_eq!((image.size, image.rgb), ([2, 1], vec![1, 2, 3, 4, 5, 6]));
        assert!(Image::from_dump(&dump[..dump.len() - 1]).is_none() && Image::from_dump(&[]).is_none());
    }
}
