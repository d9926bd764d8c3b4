//! Pictures as PNG files that know how they were made.
//!
//! A file carries up to six texts: `prompt` and `negative` (iTXt, UTF-8), `seed`, `settings` (JSON) and `model` (the
//! SHA-256 of the weights), and `parameters`, which says the same again for other programs. ASCII texts of the last four
//! are tEXt chunks, which every tool reads. Text of any script survives; only NUL, which the format cannot hold, becomes
//! U+FFFD.

mod parameters;
mod read;

use std::borrow::Cow;
use std::io::{self, Write};

use ::png::text_metadata::{ITXtChunk, TEXtChunk};
use serde_json::Value;

use crate::image::Picture;

pub use read::{Texts, parse};

/// Longest text, bytes; the same for writing and reading, so that what is written can be read.
pub const TEXT_MAX: usize = 64 << 10;
/// All texts of a file together, bytes.
const TEXTS_MAX: usize = 1 << 20;

/// Why a PNG file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// A text that no picture holds.
    #[error("the {key} is {bytes} bytes long; a picture holds at most {TEXT_MAX}")]
    TooLong {
        /// Its keyword.
        key: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A picture without pixels, or with more than the format counts.
    #[error("a picture of {width} x {height} pixels is no PNG")]
    Size {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is wrong with the file.
    #[error("{0}")]
    Bad(String),
}

/// How a picture was made; what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// What it should show.
    pub prompt: Option<String>,
    /// What it should not show.
    pub negative: Option<String>,
    /// Where its noise came from.
    pub seed: Option<u64>,
    /// Everything else that was chosen.
    pub settings: Option<Value>,
    /// SHA-256 of the weights, in hexadecimal.
    pub model: Option<String>,
}

impl Origin {
    /// Keyword and text of each chunk, in the order of the file.
    fn texts(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("prompt", self.prompt.clone()),
            ("negative", self.negative.clone()),
            ("seed", self.seed.map(|seed| seed.to_string())),
            ("settings", self.settings.as_ref().map(Value::to_string)),
            ("model", self.model.clone()),
        ];
        texts.into_iter().filter_map(|(key, text)| Some((key, text?.replace('\0', "\u{fffd}")))).collect()
    }

    /// Whether a picture can hold it.
    ///
    /// # Errors
    /// Names the text of more than 64 KiB.
    pub fn check(&self) -> Result<(), PngError> {
        self.texts().iter().try_for_each(|(key, text)| check(key, text))
    }
}

fn check(key: &'static str, text: &str) -> Result<(), PngError> {
    if text.len() > TEXT_MAX {
        return Err(PngError::TooLong { key, bytes: text.len() });
    }
    Ok(())
}

/// Writes a PNG file with its origin.
///
/// # Errors
/// What `out` says, a picture without pixels, or a text of more than 64 KiB.
pub fn encode(out: &mut dyn Write, picture: &Picture, origin: &Origin) -> Result<(), PngError> {
    encode_with_profile(out, picture, origin, None)
}

/// Writes a PNG file with its origin whose colours are meant in an ICC profile; in sRGB without one. What the profile
/// says is not looked at: it must be one of RGB.
///
/// # Errors
/// Those of [`encode`].
pub fn encode_with_profile(
    out: &mut dyn Write,
    picture: &Picture,
    origin: &Origin,
    profile: Option<&[u8]>,
) -> Result<(), PngError> {
    let texts = origin.texts();
    texts.iter().try_for_each(|(key, text)| check(key, text))?;
    let side = |n: usize| u32::try_from(n).ok().filter(|&n| n > 0);
    let (Some(width), Some(height)) = (side(picture.width), side(picture.height)) else {
        return Err(PngError::Size { width: picture.width, height: picture.height });
    };
    let mut info = ::png::Info::with_size(width, height);
    info.icc_profile = profile.map(Cow::Borrowed);
    let mut encoder = ::png::Encoder::with_info(out, info)?;
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    if profile.is_none() {
        encoder.set_source_srgb(::png::SrgbRenderingIntent::Perceptual);
    }
    let mut writer = encoder.write_header()?;
    let again = parameters::written(origin, [width, height]).map(|text| (parameters::KEY, text));
    for (key, text) in texts.into_iter().chain(again) {
        match key {
            "seed" | "settings" | "model" | parameters::KEY if text.is_ascii() => {
                writer.write_text_chunk(&TEXtChunk::new(key, text))
            }
            _ => writer.write_text_chunk(&ITXtChunk::new(key, text)),
        }?;
    }
    writer.write_image_data(&picture.rgb)?;
    Ok(writer.finish()?)
}

/// The system's own error where there is one: "no space left on device" says more than that encoding failed.
impl From<::png::EncodingError> for PngError {
    fn from(error: ::png::EncodingError) -> Self {
        match error {
            ::png::EncodingError::IoError(error) => Self::Io(error),
            other => Self::Bad(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(origin: &Origin) -> Origin {
        let mut file = Vec::new();
        let picture = Picture::filled(128, 128, [200, 30, 60]);
        encode(&mut file, &picture, origin).unwrap();
        let texts = parse(&file[..]).unwrap();
        assert_eq!((texts.width, texts.height), (128, 128));
        let mut decoded = vec![0; picture.rgb.len()];
        let mut reader = ::png::Decoder::new(io::Cursor::new(&file)).read_info().unwrap();
        reader.next_frame(&mut decoded).unwrap();
        assert_eq!(decoded, picture.rgb);
        assert!(texts.other.is_empty());
        texts.origin
    }

    fn prompted(prompt: &str) -> Origin {
        Origin { prompt: Some(prompt.to_owned()), ..Origin::default() }
    }

    #[test]
    fn everything_reads_back() {
        let origin = Origin {
            prompt: Some("three green stars".into()),
            negative: Some("blurry\nor gray".into()),
            seed: Some(u64::MAX),
            settings: Some(serde_json::json!({"steps": [50, 25], "sampler": "ddim", "note": "größer", "w": 3.5})),
            model: Some("ab".repeat(32)),
        };
        assert_eq!(round_trip(&origin), origin);
        assert_eq!(round_trip(&Origin::default()), Origin::default());
    }

    #[test]
    fn prompts_of_any_script_survive() {
        for prompt in [
            "🦊 vor 🏳️‍🌈 über den Fluß",
            "نجمة حمراء فوق دائرة زرقاء",
            "שלום \u{202e}abc",
            "赤い星",
            "",
            " ",
            "a\tb\r\n",
            "\u{feff}\u{1}\u{7f}",
            &"green star 🌟".repeat(770),
        ] {
            assert_eq!(round_trip(&prompted(prompt)).prompt.unwrap(), prompt);
        }
        assert!("green star 🌟".repeat(770).chars().count() >= 9_000);
        let long: String = "星x".chars().cycle().take(10_000).collect();
        assert_eq!(round_trip(&prompted(&long)).prompt.unwrap(), long);
    }

    #[test]
    fn other_programs_are_told_as_well() {
        let stage = serde_json::json!({ "steps": 18, "sampler": "ddpm", "cond_scale": 1.5 });
        for prompt in ["a red star", "赤い星"] {
            let origin = Origin {
                seed: Some(7),
                settings: Some(serde_json::json!({ "model": "a", "stages": [stage] })),
                ..prompted(prompt)
            };
            let mut file = Vec::new();
            encode(&mut file, &Picture::filled(2, 3, [0; 3]), &origin).unwrap();
            let reader = ::png::Decoder::new(io::Cursor::new(&file)).read_info().unwrap();
            let (latin, utf8) = (&reader.info().uncompressed_latin1_text, &reader.info().utf8_text);
            let latin = latin.iter().find(|chunk| chunk.keyword == "parameters").map(|chunk| chunk.text.clone());
            let utf8 = utf8.iter().find(|chunk| chunk.keyword == "parameters").map(|chunk| chunk.get_text().unwrap());
            assert_eq!(latin.is_some(), prompt.is_ascii());
            let line = "Steps: 18, Sampler: DDPM, CFG scale: 1.5, Seed: 7, Size: 2x3, Model: a";
            assert_eq!(latin.or(utf8).unwrap(), format!("{prompt}\n{line}"));
            assert_eq!(round_trip(&origin), origin, "ours, and nothing of others");
        }
    }

    #[test]
    fn a_profile_takes_the_place_of_srgb() {
        let picture = Picture::filled(2, 3, [9, 8, 7]);
        for profile in [None, Some(&b"what a profile says"[..])] {
            let mut file = Vec::new();
            encode_with_profile(&mut file, &picture, &prompted("a"), profile).unwrap();
            let reader = ::png::Decoder::new(io::Cursor::new(&file)).read_info().unwrap();
            assert_eq!(reader.info().icc_profile.as_deref(), profile);
            assert_eq!(reader.info().srgb.is_some(), profile.is_none());
            assert_eq!(parse(&file[..]).unwrap().origin, prompted("a"));
        }
    }

    #[test]
    fn nul_becomes_the_replacement_character() {
        assert_eq!(round_trip(&prompted("a\0b")).prompt.unwrap(), "a\u{fffd}b");
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let written = |picture: &Picture, origin: &Origin| {
            let mut file = Vec::new();
            let error = encode(&mut file, picture, origin).unwrap_err();
            assert!(file.is_empty());
            error.to_string()
        };
        let message = written(&Picture::filled(1, 1, [0; 3]), &prompted(&"x".repeat(TEXT_MAX + 1)));
        assert!(message.contains("prompt") && message.contains("65537 bytes"), "{message}");
        assert!(written(&Picture::filled(0, 4, [0; 3]), &Origin::default()).contains("0 x 4"));
        assert_eq!(round_trip(&prompted(&"x".repeat(TEXT_MAX))).prompt.unwrap().len(), TEXT_MAX);
    }
}
