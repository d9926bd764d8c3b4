//! File names from prompts.

use std::path::{Path, PathBuf};

/// Bytes of a name without its ending: room for a number and the ending in the 255 of common file systems, and in a
/// path of 260 characters.
const STEM_MAX: usize = 80;

/// Names that Windows keeps for devices, with any ending.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The name of a picture's file: `three_green_stars_on_a_blue_background.png`.
///
/// Lower-case ASCII letters and digits, an underscore for every run of anything else. At most 80 bytes and the ending,
/// cut after a whole word where that leaves at least half. A prompt without such letters gives `picture.png`.
#[must_use]
pub fn file_name(prompt: &str) -> String {
    format!("{}.png", stem(prompt))
}

fn stem(prompt: &str) -> String {
    let mut stem = String::new();
    for c in prompt.chars() {
        if c.is_ascii_alphanumeric() {
            stem.push(c.to_ascii_lowercase());
        } else if !stem.is_empty() && !stem.ends_with('_') {
            stem.push('_');
        }
        if stem.len() > STEM_MAX {
            let end = stem.rfind('_').filter(|&at| at >= STEM_MAX / 2).unwrap_or(STEM_MAX);
            stem.truncate(end.min(STEM_MAX));
            break;
        }
    }
    stem.truncate(stem.trim_end_matches('_').len());
    if stem.is_empty() {
        return "picture".to_owned();
    }
    if is_reserved(&stem) {
        stem.push('_');
    }
    stem
}

fn is_reserved(stem: &str) -> bool {
    let numbered =
        |prefix| stem.strip_prefix(prefix).is_some_and(|n: &str| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
    RESERVED.contains(&stem) || numbered("com") || numbered("lpt")
}

/// The path with a number before its ending: the `n`th of its name is `star-n.png`, the first is `star.png`.
#[must_use]
pub fn numbered(path: &Path, n: u32) -> PathBuf {
    if n <= 1 {
        return path.to_owned();
    }
    let part = |part: Option<&std::ffi::OsStr>| part.map(|s| s.to_string_lossy().into_owned());
    let stem = part(path.file_stem()).unwrap_or_else(|| "picture".to_owned());
    match part(path.extension()) {
        Some(ending) => path.with_file_name(format!("{stem}-{n}.{ending}")),
        None => path.with_file_name(format!("{stem}-{n}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_name() {
        let name = file_name("Three green stars on a blue background");
        assert_eq!(name, "three_green_stars_on_a_blue_background.png");
        assert_eq!(file_name("  a red \"7\", please!  "), "a_red_7_please.png");
        assert_eq!(file_name("../../etc/passwd"), "etc_passwd.png");
        assert_eq!(file_name("-rf .hidden"), "rf_hidden.png");
    }

    #[test]
    fn nothing_to_write_is_a_picture() {
        for prompt in ["", "   ", "…", "🦊🌟", "\0\n", "نجمة حمراء", "___"] {
            assert_eq!(file_name(prompt), "picture.png", "{prompt:?}");
        }
    }

    #[test]
    fn long_names_end_after_a_word() {
        let name = file_name(&"green stars ".repeat(1000));
        assert!(name.len() <= 84 && (name.ends_with("_stars.png") || name.ends_with("_green.png")), "{name}");
        assert_eq!(file_name(&"x".repeat(10_000)).len(), 84);
        assert_eq!(file_name(&format!("a {}", "x".repeat(10_000))), format!("a_{}.png", "x".repeat(78)));
        assert_eq!(file_name(&"x".repeat(80)).len(), 84);
        let exact = format!("{} yy", "x".repeat(77));
        assert_eq!(file_name(&exact), format!("{}_yy.png", "x".repeat(77)));
    }

    #[test]
    fn devices_of_windows_are_no_names() {
        for (prompt, name) in [
            ("CON", "con_.png"),
            ("nul", "nul_.png"),
            ("com1", "com1_.png"),
            ("LPT9", "lpt9_.png"),
            ("com10", "com10.png"),
        ] {
            assert_eq!(file_name(prompt), name);
        }
    }

    #[test]
    fn any_text_gives_a_safe_name() {
        for i in 0..2000u32 {
            let prompt: String = (0..i % 97)
                .filter_map(|j| char::from_u32((i.wrapping_mul(2_654_435_761) ^ j.wrapping_mul(40503)) % 0x11000))
                .collect();
            let name = file_name(&prompt);
            let stem = name.strip_suffix(".png").unwrap();
            assert!(!stem.is_empty() && stem.len() <= 81, "{name}");
            assert!(stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        }
    }

    #[test]
    fn the_second_of_a_name_is_numbered() {
        assert_eq!(numbered(Path::new("a/star.png"), 1), Path::new("a/star.png"));
        assert_eq!(numbered(Path::new("a/star.png"), 2), Path::new("a/star-2.png"));
        assert_eq!(numbered(Path::new("a.b/star"), 3), Path::new("a.b/star-3"));
    }
}
