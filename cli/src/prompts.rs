//! Files of prompts: a prompt a line, or JSON lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::suggest;

/// Largest file of prompts, bytes.
const FILE_MAX: u64 = 16 << 20;

/// One picture that a file of prompts asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What it shows.
    pub prompt: String,
    /// What it does not show; the command line's where left out.
    #[serde(default)]
    pub negative: Option<String>,
    /// Its seed; counted on from the command line's where left out.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Its file's name in the folder of `--out`; made from the prompt where left out.
    #[serde(default)]
    pub out: Option<String>,
    /// Its line in the file, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// Reads a file of prompts. A line that starts with `{` is JSON (see [`Wish`]), any other is a prompt; empty lines are
/// left out.
///
/// # Errors
/// Names the file and the line: no file, more than 16 MiB, no UTF-8, no prompt at all, JSON that is none, an unknown key
/// (with the nearest known one), or an `out` that is not the plain name of a file.
pub fn read(path: &Path) -> Result<Vec<Wish>> {
    let read = || -> Result<Vec<Wish>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX {
            bail!("more than {FILE_MAX} bytes");
        }
        parse(&bytes)
    };
    read().with_context(|| format!("cannot read prompts from {}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Vec<Wish>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut wishes = Vec::new();
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let wish = parse_line(line).with_context(|| format!("line {}", i + 1))?;
        wishes.extend(wish.map(|wish| Wish { line: i + 1, ..wish }));
    }
    if wishes.is_empty() {
        bail!("there is no prompt in it");
    }
    Ok(wishes)
}

fn parse_line(line: &[u8]) -> Result<Option<Wish>> {
    let line = std::str::from_utf8(line).map_err(|_| anyhow!("not UTF-8"))?.trim();
    if line.is_empty() {
        return Ok(None);
    }
    if !line.starts_with('{') {
        return Ok(Some(Wish { prompt: line.to_owned(), ..Wish::default() }));
    }
    let wish: Wish = serde_json::from_str(line).map_err(|e| {
        // Every line is line 1 to serde.
        let message = e.to_string().replace(&format!(" at line 1 column {}", e.column()), "");
        anyhow!("{}, at column {}", suggest::explain(&message), e.column())
    })?;
    match &wish.out {
        Some(name) if !is_plain_name(name) => bail!("\"out\" is {name:?}, which is not the plain name of a file"),
        _ => Ok(Some(wish)),
    }
}

/// A file of prompts must not write outside the folder of `--out`, on any system.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn lines_and_json_lines_mix() {
        let text =
            "\u{feff}a red circle\r\n\n  {\"prompt\": \"a 7\", \"seed\": 18446744073709551615, \"out\": \"x.png\"}\n星";
        let wishes = parse(text.as_bytes()).unwrap();
        assert_eq!(wishes.len(), 3);
        assert_eq!(wishes[0], Wish { prompt: "a red circle".into(), line: 1, ..Wish::default() });
        assert_eq!((wishes[1].line, wishes[2].line), (3, 4));
        assert_eq!((wishes[1].seed, wishes[1].out.as_deref()), (Some(u64::MAX), Some("x.png")));
        assert_eq!(wishes[2].prompt, "星");
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(
            refused(b"a\n{\"prompt\": \"b\", \"sed\": 1}")
                .contains("line 2: unknown key \"sed\"; did you mean \"seed\"?")
        );
        assert!(refused(b"a\n\xff\n").contains("line 2: not UTF-8"));
        assert!(refused(b"{\"seed\": 1}").contains("missing field `prompt`"));
        assert!(refused(b"{\"prompt\": \"a\", \"seed\": -1}").contains("line 1"));
        assert!(refused(b"{\"prompt\": \"a\", \"seed\": 18446744073709551616}").contains("u64"));
        assert!(refused(b" \n\n").contains("no prompt"));
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        for out in ["../x.png", "/etc/x", "a/b", "a\\\\b", "..", "", "C:x"] {
            let line = format!("{{\"prompt\": \"a\", \"out\": \"{out}\"}}");
            assert!(refused(line.as_bytes()).contains("plain name"), "{out}");
        }
        assert!(parse(b"{\"prompt\": \"a\", \"out\": \"..a.png\"}").is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(format!("{:#}", read(Path::new("/no/such/file")).unwrap_err()).contains("/no/such/file"));
    }
}
