//! `firefall show`: how a picture was made.

use anyhow::Result;

use crate::args::ShowArgs;
use crate::outcome::print;
use crate::png_text::{Texts, read};

pub(super) fn run(args: &ShowArgs) -> Result<()> {
    print(&table(&read(&args.file)?))
}

/// A line a text; what is not known is left out.
fn table(texts: &Texts) -> String {
    let origin = &texts.origin;
    let mut lines = vec![("size".to_owned(), format!("{} x {}", texts.width, texts.height))];
    let known = [
        ("prompt", origin.prompt.clone()),
        ("negative", origin.negative.clone()),
        ("seed", origin.seed.map(|seed| seed.to_string())),
        ("settings", origin.settings.as_ref().map(ToString::to_string)),
        ("model", origin.model.clone()),
    ];
    lines.extend(known.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))));
    lines.extend(texts.other.iter().cloned());
    if lines.len() == 1 {
        lines.push(("texts".to_owned(), "none".to_owned()));
    }
    lines.iter().map(|(key, text)| format!("{:<9} {}\n", harmless(key), harmless(text))).collect()
}

/// The text without anything that moves a terminal's cursor, changes its colours or turns its direction of writing: the
/// file may come from anyone.
fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::png_text::Origin;

    #[test]
    fn texts_cannot_command_the_terminal() {
        assert_eq!(harmless("a\x1b[31m\r\nb\u{9b}\u{202e}c"), "a\\u{1b}[31m\\r\\nb\\u{9b}\\u{202e}c");
        assert_eq!(harmless("größer 🦊 شمس"), "größer 🦊 شمس");
    }

    #[test]
    fn what_is_known_has_its_line() {
        let origin = Origin { prompt: Some("a star".into()), seed: Some(7), ..Origin::default() };
        let mut texts = Texts { width: 128, height: 96, origin, other: vec![("Software".into(), "x".into())] };
        assert_eq!(table(&texts), "size      128 x 96\nprompt    a star\nseed      7\nSoftware  x\n");
        (texts.origin, texts.other) = (Origin::default(), Vec::new());
        assert_eq!(table(&texts), "size      128 x 96\ntexts     none\n");
    }
}
