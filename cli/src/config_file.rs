//! Configurations as files: JSON, YAML, or TOML with a comment above every key.
//!
//! TOML has no null, and a key that is left out takes its default, which for some keys is not "none". So a TOML file
//! says `"null"` where JSON says `null`.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::suggest;

/// What TOML writes for null.
const NULL: &str = "null";

/// What a key means: the key of the table it is in, the key, a sentence. In a list of tables all have the list's key.
pub type Note = (&'static str, &'static str, &'static str);

/// Reads a configuration: JSON from a file that ends in `.json`, YAML from `.yaml` or `.yml`, TOML from any other.
///
/// # Errors
/// Names the file and, where it is known, the line: no file, no JSON, YAML or TOML, an unknown key (with the nearest known
/// one), a value of the wrong type.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let json = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let parsed = if json {
        serde_json::from_str(&text).map_err(|e| anyhow!(suggest::explain(&e.to_string())))
    } else if is_yaml(file) {
        serde_saphyr::from_str(&text).map_err(|e| anyhow!(suggest::explain(&e.to_string())))
    } else {
        parse_toml(&text)
    };
    parsed.with_context(|| format!("cannot read {}", file.display()))
}

/// Whether a file is YAML, by its name.
#[must_use]
pub fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ["yaml", "yml"].iter().any(|yaml| ending.eq_ignore_ascii_case(yaml)))
}

/// A configuration from TOML as [`commented`] writes it.
///
/// # Errors
/// Names the line where it is known.
pub fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T> {
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        anyhow!("line {line}: {}", e.message())
    })?;
    let value = with_nulls(serde_json::to_value(table)?);
    serde_json::from_value(value).map_err(|e| {
        let message = e.to_string();
        // The values have lost their places; an unknown key is found by its name.
        let key = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let names = |line: &str, key: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| !part_of_key(rest));
        let line = key.and_then(|key| text.lines().position(|line| names(line, key)));
        let place = line.map_or_else(String::new, |line| format!("line {}: ", line + 1));
        anyhow!("{place}{}", suggest::explain(&message))
    })
}

fn part_of_key(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-')
}

fn with_nulls(value: Value) -> Value {
    match value {
        Value::String(text) if text == NULL => Value::Null,
        Value::Array(items) => items.into_iter().map(with_nulls).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, with_nulls(value))).collect(),
        other => other,
    }
}

/// The configuration as TOML, a comment above the first of each key. `root` is what `notes` call the outermost table. A
/// table with notes of its own becomes a section, any other a line.
///
/// # Errors
/// The configuration is no table.
pub fn commented(root: &str, config: &impl Serialize, notes: &[Note]) -> Result<String> {
    let Value::Object(map) = serde_json::to_value(config)? else { return Err(anyhow!("{root} is no table")) };
    let mut writer = Writer { notes, said: HashSet::new(), text: String::new() };
    writer.table(root, "", &map);
    Ok(writer.text)
}

/// The keys of the configuration that no note explains.
///
/// # Errors
/// The configuration is no table.
pub fn unexplained(root: &str, config: &impl Serialize, notes: &[Note]) -> Result<Vec<String>> {
    let Value::Object(map) = serde_json::to_value(config)? else { return Err(anyhow!("{root} is no table")) };
    let mut writer = Writer { notes, said: HashSet::new(), text: String::new() };
    writer.table(root, "", &map);
    let missing = writer.said.iter().filter(|(table, key)| writer.note(table, key).is_none());
    Ok(missing.map(|(table, key)| format!("{table}.{key}")).collect())
}

struct Writer<'a> {
    notes: &'a [Note],
    /// Table and key of what was already explained.
    said: HashSet<(String, String)>,
    text: String,
}

impl Writer<'_> {
    fn note(&self, table: &str, key: &str) -> Option<usize> {
        self.notes.iter().position(|(t, k, _)| *t == table && *k == key)
    }

    /// Whether a value is written as a section, or several.
    fn is_section(&self, key: &str, value: &Value) -> bool {
        let table = match value {
            Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_object),
            value => value.is_object(),
        };
        table && self.notes.iter().any(|(table, ..)| *table == key)
    }

    /// Lines first, then sections, each in the order of the notes.
    fn table(&mut self, name: &str, path: &str, map: &Map<String, Value>) {
        let mut entries: Vec<(&String, &Value)> = map.iter().collect();
        entries.sort_by_key(|(key, value)| (self.is_section(key, value), self.note(name, key).unwrap_or(usize::MAX)));
        for (key, value) in entries {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if !self.is_section(key, value) {
                self.comment(name, key);
                self.text.push_str(&format!("{key} = {}\n", line(value)));
                continue;
            }
            let (items, open, close) = match value {
                Value::Array(items) => (items.as_slice(), "[[", "]]"),
                value => (std::slice::from_ref(value), "[", "]"),
            };
            for item in items.iter().filter_map(Value::as_object) {
                self.text.push('\n');
                self.comment(name, key);
                self.text.push_str(&format!("{open}{inner}{close}\n"));
                self.table(key, &inner, item);
            }
        }
    }

    fn comment(&mut self, table: &str, key: &str) {
        let first = self.said.insert((table.to_owned(), key.to_owned()));
        if let Some(note) = self.note(table, key).filter(|_| first) {
            self.text.push_str(&format!("# {}\n", self.notes[note].2));
        }
    }
}

/// The value on a line; a list of tables takes a line an item.
fn line(value: &Value) -> String {
    match value {
        Value::Null => format!("\"{NULL}\""),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let items: Vec<String> = items.iter().map(|item| format!("    {},\n", line(item))).collect();
            format!("[\n{}]", items.concat())
        }
        Value::Array(items) => format!("[{}]", items.iter().map(line).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key} = {}", line(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        a: f64,
        b: Option<u32>,
    }

    impl Default for Inner {
        fn default() -> Self {
            Self { a: 1e-6, b: Some(3) }
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Inner,
        pair: Inner,
        list: Vec<Inner>,
        name: String,
        shapes: Vec<u32>,
    }

    const NOTES: [Note; 7] = [
        ("outer", "name", "What it is called."),
        ("outer", "shapes", "Numbers."),
        ("outer", "pair", "On a line."),
        ("outer", "list", "Several."),
        ("outer", "inner", "A section."),
        ("inner", "b", "Second."),
        ("inner", "a", "First."),
    ];

    fn outer() -> Outer {
        let none = Inner { a: 1.0, b: None };
        let pair = Inner::default();
        Outer {
            inner: none.clone(),
            pair,
            list: vec![none, Inner::default()],
            name: "a \"b\"\n".into(),
            shapes: vec![1, 2],
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = commented("outer", &outer(), &NOTES).unwrap();
        let want = r#"# What it is called.
name = """
a "b"
"""
# Numbers.
shapes = [1, 2]
# On a line.
pair = { a = 1e-6, b = 3 }
# Several.
list = [
    { a = 1.0, b = "null" },
    { a = 1e-6, b = 3 },
]

# A section.
[inner]
# Second.
b = "null"
# First.
a = 1.0
"#;
        assert_eq!(text, want);
        assert_eq!(parse_toml::<Outer>(&text).unwrap(), outer());
    }

    #[test]
    fn sections_repeat_but_comments_do_not() {
        let notes = [("outer", "list", "Several."), ("list", "a", "First.")];
        let text = commented("outer", &outer(), &notes).unwrap();
        assert_eq!(text.matches("[[list]]").count(), 2);
        assert_eq!(text.matches("# First.").count(), 1);
        assert_eq!(parse_toml::<Outer>(&text).unwrap(), outer());
    }

    #[test]
    fn a_key_without_a_note_is_told() {
        assert_eq!(unexplained("outer", &outer(), &NOTES).unwrap(), [""; 0]);
        assert_eq!(unexplained("outer", &outer(), &NOTES[1..]).unwrap(), ["outer.name"]);
    }

    #[test]
    fn mistakes_name_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            format!("{:#}", read::<Inner>(&file).unwrap_err())
        };
        let message = refused("x.toml", "a = 1.0\n  bb = 3\n");
        assert!(message.contains("x.toml: line 2: unknown key \"bb\"; did you mean \"b\"?"), "{message}");
        let message = refused("x.toml", "a = 1.0\nb = [\n");
        assert!(message.contains("x.toml: line ") && !message.contains('\n'), "{message}");
        let message = refused("x.json", "{\"a\": 1.0, \"colour\": 3}");
        assert!(message.contains("unknown key \"colour\"") && message.contains("line 1"), "{message}");
        assert!(refused("x.toml", "a = \"x\"").contains("expected f64"));
    }

    #[test]
    fn json_has_its_own_null() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("y.json");
        std::fs::write(&file, "{\"b\": null}").unwrap();
        assert_eq!(read::<Inner>(&file).unwrap().b, None);
    }
}
