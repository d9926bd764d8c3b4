//! A configuration as TOML with a comment above every key.

use anyhow::{Result, anyhow};
use serde::Serialize;
use toml::{Table, Value};

/// What a key means: its path ("text.max_len") and a sentence. A path whose value is a table is printed as an inline
/// table, unless there are notes of what is in it.
pub type Note = (&'static str, &'static str);

/// `config` as TOML, in the order of `notes`: plain keys first, then the tables. A key that is not set is named in its
/// comment.
///
/// # Errors
/// The configuration is no TOML table, or has a key without a note: a new field must be explained.
pub fn commented(config: &impl Serialize, notes: &[Note]) -> Result<String> {
    let table = Table::try_from(config)?;
    if let Some(path) = leaves("", &table, notes).into_iter().find(|path| !noted(path, notes)) {
        return Err(anyhow!("{path} has no note"));
    }
    let mut text = String::new();
    section("", &table, notes, &mut text);
    Ok(text)
}

fn noted(path: &str, notes: &[Note]) -> bool {
    notes.iter().any(|(note, _)| *note == path)
}

/// Whether notes tell what is in `path`.
fn opened(path: &str, notes: &[Note]) -> bool {
    notes.iter().any(|(note, _)| note.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The paths of everything that is printed as a value.
fn leaves(path: &str, table: &Table, notes: &[Note]) -> Vec<String> {
    let inside = |(key, value): (&String, &Value)| match (join(path, key), value) {
        (path, Value::Table(table)) if opened(&path, notes) => leaves(&path, table, notes),
        (path, _) => vec![path],
    };
    table.iter().flat_map(inside).collect()
}

/// The keys directly in `path`, then its tables.
fn section(path: &str, table: &Table, notes: &[Note], text: &mut String) {
    let prefix = join(path, "");
    let keys = || notes.iter().filter_map(|(note, what)| Some((note.strip_prefix(prefix.as_str())?, *what)));
    let plain = keys().filter(|(key, _)| !key.contains('.') && !opened(&join(path, key), notes));
    for (key, what) in plain {
        text.push_str(&format!("# {}\n", what.replace('\n', "\n# ")));
        match table.get(key) {
            Some(value) => text.push_str(&format!("{key} = {}\n", inline(value))),
            None => text.push_str(&format!("# {key} is not set\n")),
        }
    }
    let mut done: Vec<&str> = Vec::new();
    for (note, _) in keys().filter(|(key, _)| opened(&join(path, key.split('.').next().unwrap_or(key)), notes)) {
        let key = note.split('.').next().unwrap_or(note);
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let path = join(path, key);
        let what = notes.iter().find(|(note, _)| *note == path).map_or("", |(_, what)| what);
        let comment = if what.is_empty() { String::new() } else { format!("# {what}\n") };
        match table.get(key) {
            Some(Value::Table(table)) => {
                text.push_str(&format!("\n{comment}[{path}]\n"));
                section(&path, table, notes, text);
            }
            _ => text.push_str(&format!("\n{comment}# [{path}] is not set\n")),
        }
    }
}

/// Lists of tables take a line an item.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) if items.iter().any(Value::is_table) => {
            let items: Vec<String> = items.iter().map(|item| format!("    {item},\n")).collect();
            format!("[\n{}]", items.concat())
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Inner {
        a: f64,
        b: Option<u32>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Outer {
        inner: Inner,
        closed: Inner,
        list: Vec<Inner>,
        name: String,
    }

    const NOTES: [Note; 6] = [
        ("name", "What it is called.\nIn two lines."),
        ("list", "Several."),
        ("closed", "In one line."),
        ("inner", "A section."),
        ("inner.a", "A number."),
        ("inner.b", "Left out."),
    ];

    fn outer() -> Outer {
        let inner = |a, b| Inner { a, b };
        Outer {
            inner: inner(1.0, None),
            closed: inner(2.5, Some(3)),
            list: vec![inner(0.0, None); 2],
            name: "x".into(),
        }
    }

    #[test]
    fn every_key_has_its_comment_and_reads_back() {
        let text = commented(&outer(), &NOTES).unwrap();
        assert_eq!(toml::from_str::<Outer>(&text).unwrap(), outer(), "{text}");
        assert!(
            text.starts_with("# What it is called.\n# In two lines.\nname = \"x\"\n# Several.\nlist = [\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\n# A section.\n[inner]\n# A number.\na = 1.0\n# Left out.\n# b is not set\n"),
            "{text}"
        );
    }

    #[test]
    fn a_key_without_a_note_is_an_error() {
        let message = commented(&outer(), &NOTES[..5]).map(|_| ());
        assert!(message.is_ok(), "b is not set");
        let message = commented(&outer(), &NOTES[1..]).unwrap_err().to_string();
        assert_eq!(message, "name has no note");
        let mut set = outer();
        set.inner.b = Some(1);
        assert_eq!(commented(&set, &NOTES[..5]).unwrap_err().to_string(), "inner.b has no note");
    }
}
