//! The texts of a PNG file, without its pixels.
//!
//! Only the frames of the chunks are walked here; the text chunks go, under a harmless header, to the `png` crate. So
//! a file from anywhere costs a bounded amount of memory, whatever sizes it claims.

use std::io::{Cursor, ErrorKind, Read};

use super::{Origin, PngError, TEXT_MAX, TEXTS_MAX, parameters};

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// Bytes of signature and IHDR chunk.
const HEAD: usize = 33;
/// Bytes of a chunk around its data: length, type, checksum.
const FRAME: usize = 12;
/// Longest text chunk: the text with a keyword of 79 bytes, a language, a translated keyword and their separators.
const CHUNK_MAX: usize = TEXT_MAX + 1024;

/// What a PNG file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Texts {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What Firefall wrote, or something that looks like it. Where there is nothing of the kind, what the text
    /// `parameters` of other programs says, as far as it is understood.
    pub origin: Origin,
    /// Other keywords and their texts.
    pub other: Vec<(String, String)>,
}

/// Reads the texts of a PNG file.
///
/// # Errors
/// No PNG, a text of more than 64 KiB, compressed or not, more than 1 MiB of texts, or a chunk that is cut off or damaged.
/// A text that is no UTF-8 where it must be is left out.
pub fn parse(mut file: impl Read) -> Result<Texts, PngError> {
    let mut head = [0; HEAD];
    let whole = fill(&mut file, &mut head).is_ok();
    if !whole || head[..8] != SIGNATURE || head[8..16] != *b"\0\0\0\x0dIHDR" {
        return Err(bad("not a PNG file"));
    }
    let chunks = text_chunks(&mut file)?;
    let pairs = decode(&chunks)?;
    let (width, height) = (number(&head[16..20]), number(&head[20..24]));
    let mut texts = Texts { width, height, origin: Origin::default(), other: Vec::new() };
    for (key, text) in pairs {
        if let Some(stranger) = known(&mut texts.origin, &key, text) {
            texts.other.push((key, stranger));
        }
    }
    understand(&mut texts);
    Ok(texts)
}

/// Takes from the text `parameters` what is not known otherwise; the one that Firefall writes says nothing new and goes.
fn understand(texts: &mut Texts) {
    let Some(at) = texts.other.iter().position(|(key, _)| key == parameters::KEY) else { return };
    if texts.origin == Origin::default() {
        texts.origin = parameters::read(&texts.other[at].1);
    } else if parameters::written(&texts.origin, [texts.width, texts.height]).as_ref() == Some(&texts.other[at].1) {
        texts.other.remove(at);
    }
}

/// Puts a text in its place, or returns it: a keyword of someone else, a second text of one keyword, or one that is not
/// what Firefall writes there.
fn known(origin: &mut Origin, key: &str, text: String) -> Option<String> {
    fn put<T>(place: &mut Option<T>, value: Option<T>, text: String) -> Option<String> {
        match value {
            Some(value) if place.is_none() => {
                *place = Some(value);
                None
            }
            _ => Some(text),
        }
    }
    let whole = || Some(text.clone());
    match key {
        "prompt" => put(&mut origin.prompt, whole(), text),
        "negative" => put(&mut origin.negative, whole(), text),
        "seed" => put(&mut origin.seed, text.parse().ok(), text),
        "settings" => put(&mut origin.settings, serde_json::from_str(&text).ok(), text),
        "model" => put(&mut origin.model, whole(), text),
        _ => Some(text),
    }
}

/// The text chunks up to the end of the picture, as they stand in the file.
fn text_chunks(file: &mut impl Read) -> Result<Vec<u8>, PngError> {
    let mut chunks = Vec::new();
    loop {
        let mut frame = [0; 8];
        fill(file, &mut frame)?;
        let (length, kind) = (number(&frame[..4]) as usize, &frame[4..]);
        match kind {
            b"IEND" => return Ok(chunks),
            b"tEXt" | b"zTXt" | b"iTXt" => {
                if length > CHUNK_MAX {
                    return Err(bad(format!("a text of {length} bytes; at most {TEXT_MAX} are read")));
                }
                if chunks.len() + length + FRAME > TEXTS_MAX {
                    return Err(bad(format!("more than {TEXTS_MAX} bytes of texts")));
                }
                let start = chunks.len();
                chunks.extend_from_slice(&frame);
                chunks.resize(start + length + FRAME, 0);
                fill(file, &mut chunks[start + 8..])?;
            }
            _ if !kind.iter().all(u8::is_ascii_alphabetic) => return Err(bad("a damaged chunk")),
            _ => {
                let skipped = std::io::copy(&mut file.take(length as u64 + 4), &mut std::io::sink())?;
                if skipped != length as u64 + 4 {
                    return Err(bad("the file is cut off"));
                }
            }
        }
    }
}

/// Keywords and texts of the chunks, decoded by the `png` crate around a picture of one pixel.
fn decode(chunks: &[u8]) -> Result<Vec<(String, String)>, PngError> {
    let mut pixel = Vec::new();
    let mut writer = ::png::Encoder::new(&mut pixel, 1, 1).write_header()?;
    writer.write_image_data(&[0])?;
    writer.finish()?;
    let file = [&pixel[..HEAD], chunks, &pixel[HEAD..]].concat();
    let reader = ::png::Decoder::new(Cursor::new(file)).read_info().map_err(|e| bad(format!("a damaged text: {e}")))?;
    let info = reader.info();
    let mut texts = Vec::new();
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(TEXT_MAX).map_err(|_| too_long(&chunk.keyword))?;
        texts.push((chunk.keyword.clone(), chunk.get_text().map_err(|_| too_long(&chunk.keyword))?));
    }
    for chunk in &info.uncompressed_latin1_text {
        texts.push((chunk.keyword.clone(), chunk.text.clone()));
    }
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(TEXT_MAX).map_err(|_| too_long(&chunk.keyword))?;
        texts.push((chunk.keyword.clone(), chunk.get_text().map_err(|_| too_long(&chunk.keyword))?));
    }
    if let Some((key, text)) = texts.iter().find(|(_, text)| text.chars().count() > TEXT_MAX) {
        return Err(bad(format!("the text {key:?} is {} bytes long; at most {TEXT_MAX} are read", text.len())));
    }
    if texts.iter().map(|(key, text)| key.len() + text.len()).sum::<usize>() > TEXTS_MAX {
        return Err(bad(format!("more than {TEXTS_MAX} bytes of texts")));
    }
    Ok(texts)
}

fn too_long(key: &str) -> PngError {
    bad(format!("the compressed text {key:?} is damaged or longer than {TEXT_MAX} bytes"))
}

fn bad(message: impl Into<String>) -> PngError {
    PngError::Bad(message.into())
}

fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), PngError> {
    file.read_exact(bytes).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => bad("the file is cut off"),
        _ => e.into(),
    })
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, &b| n << 8 | u32::from(b))
}

#[cfg(test)]
mod tests {
    use ::png::text_metadata::{ITXtChunk, TEXtChunk, ZTXtChunk};

    use super::*;

    fn with(write: impl Fn(&mut ::png::Writer<&mut Vec<u8>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = ::png::Encoder::new(&mut bytes, 3, 2).write_header().unwrap();
        write(&mut writer);
        writer.write_image_data(&[7; 6]).unwrap();
        writer.write_text_chunk(&TEXtChunk::new("after", "the pixels")).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        format!("{:#}", parse(bytes).unwrap_err())
    }

    #[test]
    fn texts_of_other_programs_are_listed() {
        let bytes = with(|w| {
            w.write_text_chunk(&ZTXtChunk::new("Comment", "é compressed")).unwrap();
            w.write_text_chunk(&TEXtChunk::new("seed", "not a number")).unwrap();
            w.write_text_chunk(&ITXtChunk::new("prompt", "first")).unwrap();
            w.write_text_chunk(&ITXtChunk::new("prompt", "second")).unwrap();
        });
        let texts = parse(&bytes[..]).unwrap();
        assert_eq!((texts.width, texts.height), (3, 2));
        assert_eq!(texts.origin, Origin { prompt: Some("first".into()), ..Origin::default() });
        let other: Vec<_> = texts.other.iter().map(|(k, t)| (k.as_str(), t.as_str())).collect();
        assert_eq!(
            other,
            [("prompt", "second"), ("seed", "not a number"), ("after", "the pixels"), ("Comment", "é compressed")]
        );
    }

    /// A chunk as it is, right or wrong.
    fn raw(kind: [u8; 4], data: &[u8]) -> impl Fn(&mut ::png::Writer<&mut Vec<u8>>) {
        move |writer: &mut ::png::Writer<&mut Vec<u8>>| writer.write_chunk(::png::chunk::ChunkType(kind), data).unwrap()
    }

    #[test]
    fn what_other_programs_say_is_understood_where_nothing_of_ours_is() {
        let said = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 3x2";
        let write = |writer: &mut ::png::Writer<&mut Vec<u8>>| {
            writer.write_text_chunk(&TEXtChunk::new("parameters", said)).unwrap();
        };
        let texts = parse(&with(write)[..]).unwrap();
        let (prompt, negative) = (texts.origin.prompt.as_deref(), texts.origin.negative.as_deref());
        assert_eq!((prompt, negative, texts.origin.seed), (Some("a cat"), Some("a dog"), Some(5)));
        let stage = serde_json::json!({ "stages": [{ "steps": 20, "cond_scale": 7.0 }] });
        assert_eq!(texts.origin.settings, Some(stage));
        assert_eq!(texts.other[0], ("parameters".to_owned(), said.to_owned()), "not all of it is understood");
        let both = with(|w| {
            write(w);
            w.write_text_chunk(&ITXtChunk::new("prompt", "ours")).unwrap();
        });
        let texts = parse(&both[..]).unwrap();
        assert_eq!(texts.origin, Origin { prompt: Some("ours".into()), ..Origin::default() });
        assert_eq!(texts.other[0].1, said);
    }

    #[test]
    fn settings_that_are_odd_are_texts_like_any() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        let open = "{\"a\":".repeat(10_000);
        for odd in [deep.as_str(), &open, "", "{", "nul", "[1,]", "\"\\ud800\"", "\u{7f}"] {
            let bytes = with(|w| w.write_text_chunk(&ITXtChunk::new("settings", odd)).unwrap());
            let texts = parse(&bytes[..]).unwrap();
            assert_eq!(texts.origin, Origin::default(), "{odd:.20}");
            assert!(texts.other.contains(&("settings".to_owned(), odd.to_owned())), "{odd:.20}");
        }
        // What is JSON but says nothing of a stage is kept as it is.
        for odd in ["null", "7", "{\"stages\": [{\"steps\": -7, \"sampler\": 9}], \"seed\": []}"] {
            let bytes = with(|w| {
                w.write_text_chunk(&ITXtChunk::new("settings", odd)).unwrap();
                w.write_text_chunk(&ITXtChunk::new("prompt", "a")).unwrap();
            });
            let origin = parse(&bytes[..]).unwrap().origin;
            assert_eq!(origin.settings, Some(serde_json::from_str::<serde_json::Value>(odd).unwrap()));
            let mut file = Vec::new();
            crate::png::encode(&mut file, &crate::image::Picture::filled(1, 1, [0; 3]), &origin).unwrap();
            assert_eq!(parse(&file[..]).unwrap().origin, origin);
        }
    }

    #[test]
    fn many_small_chunks_are_read_or_refused() {
        let many = |n: usize, kind: [u8; 4], data: &[u8]| with(|w| (0..n).for_each(|_| raw(kind, data)(w)));
        let texts = parse(&many(100_000, *b"abCd", b"")[..]).unwrap();
        assert_eq!(texts.other.len(), 1, "the one after the pixels");
        let texts = parse(&many(60_000, *b"tEXt", b"a\0")[..]).unwrap();
        assert_eq!(texts.other.len(), 60_001);
        for kind in [*b"tEXt", *b"zTXt", *b"iTXt"] {
            let bytes = many(100_000, kind, b"a\0");
            assert!(refused(&bytes).contains("1048576 bytes of texts"), "{}", refused(&bytes));
        }
    }

    #[test]
    fn texts_that_are_no_utf8_are_left_out() {
        let bytes = with(|w| {
            raw(*b"iTXt", b"prompt\0\0\0\0\0a \xff\xfe star")(w);
            raw(*b"iTXt", b"negative\0\0\0\0\0blue")(w);
            raw(*b"tEXt", b"settings\0\xff\xfe")(w);
            raw(*b"tEXt", b"seed\0\xb2")(w);
        });
        let texts = parse(&bytes[..]).unwrap();
        assert_eq!(texts.origin, Origin { negative: Some("blue".into()), ..Origin::default() });
        let other: Vec<_> = texts.other.iter().map(|(k, t)| (k.as_str(), t.as_str())).collect();
        assert_eq!(other, [("settings", "\u{ff}\u{fe}"), ("seed", "\u{b2}"), ("after", "the pixels")]);
    }

    #[test]
    fn a_chunk_of_no_kind_ends_the_reading() {
        let mut bytes = with(|_| ());
        bytes.truncate(HEAD);
        bytes.resize(HEAD + 1_000_000, 0);
        assert_eq!(refused(&bytes), "a damaged chunk");
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = "0".repeat(8 << 20);
        let bomb = with(|w| w.write_text_chunk(&ZTXtChunk::new("prompt", zeros.as_str())).unwrap());
        assert!(bomb.len() < CHUNK_MAX, "{} bytes are refused too soon", bomb.len());
        assert!(refused(&bomb).contains("65536 bytes"), "{}", refused(&bomb));
        let bomb = with(|w| {
            let mut chunk = ITXtChunk::new("prompt", "0".repeat(8 << 20));
            chunk.compressed = true;
            w.write_text_chunk(&chunk).unwrap();
        });
        assert!(refused(&bomb).contains("65536 bytes"), "{}", refused(&bomb));
        let many = with(|w| {
            for _ in 0..40 {
                w.write_text_chunk(&ZTXtChunk::new("a", "0".repeat(60_000))).unwrap();
            }
        });
        assert!(refused(&many).contains("1048576 bytes of texts"), "{}", refused(&many));
        let long = with(|w| w.write_text_chunk(&TEXtChunk::new("a", "0".repeat(70_000))).unwrap());
        assert!(refused(&long).contains("at most 65536"), "{}", refused(&long));
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error_and_no_panic() {
        let whole = with(|w| {
            w.write_text_chunk(&ITXtChunk::new("prompt", "🦊")).unwrap();
            w.write_text_chunk(&ZTXtChunk::new("Comment", "abc")).unwrap();
        });
        let end = whole.len() - FRAME;
        for n in 0..end + 8 {
            assert!(parse(&whole[..n]).is_err(), "{n} bytes");
        }
        assert!(parse(&whole[..]).is_ok());
        for i in 0..end {
            let mut damaged = whole.clone();
            damaged[i] ^= 0x55;
            // Damage to the pixels is none of our business; all else is found or harmless.
            let _ = parse(&damaged[..]);
        }
    }

    #[test]
    fn a_header_of_any_size_costs_nothing() {
        let mut bytes = with(|_| ());
        bytes[16..24].fill(0x7f);
        assert_eq!(parse(&bytes[..]).unwrap().width, 0x7f7f_7f7f);
        let mut bytes = with(|_| ());
        bytes[HEAD..HEAD + 4].fill(0xff);
        assert!(refused(&bytes).contains("cut off"));
    }

    #[test]
    fn what_is_no_png_is_named() {
        assert_eq!(refused(b"not a picture at all, but long enough to hold a header"), "not a PNG file");
        assert_eq!(refused(b""), "not a PNG file");
    }
}
