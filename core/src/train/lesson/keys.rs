//! The keys of a file, asked for one by one, so that in the end those are known that nobody knows.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A file's tree and what was asked of it. Paths have dots; the items of a list go by their number.
#[derive(Debug)]
pub(super) struct Keys {
    file: String,
    tree: Value,
    asked: BTreeSet<String>,
    /// What counts for nothing, with its value.
    ignored: Vec<String>,
}

impl Keys {
    pub(super) fn new(file: &str, tree: Value) -> Self {
        Self { file: file.to_owned(), tree, asked: BTreeSet::new(), ignored: Vec::new() }
    }

    /// A sentence about a key.
    pub(super) fn refuse(&self, path: &str, reason: &str) -> String {
        format!("{}: {path} {reason}", self.file)
    }

    /// A value that must be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, String> {
        self.may(path)?.ok_or_else(|| self.refuse(path, "is missing"))
    }

    /// A value, if it is there.
    pub(super) fn may<T: DeserializeOwned>(&mut self, path: &str) -> Result<Option<T>, String> {
        self.asked.insert(path.to_owned());
        let Some(value) = self.find(path).cloned() else { return Ok(None) };
        let read = serde_json::from_value(value.clone());
        read.map(Some).map_err(|error| self.refuse(path, &format!("is {value}: {error}")))
    }

    /// A value that can be no other, if it is there.
    pub(super) fn only(&mut self, path: &str, allowed: &[Value]) -> Result<(), String> {
        match self.may::<Value>(path)? {
            Some(value) if !allowed.contains(&value) => {
                let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
                Err(self.refuse(path, &format!("is {value}; here it is {}", allowed.join(" or "))))
            }
            _ => Ok(()),
        }
    }

    /// The name of a class, without its modules.
    pub(super) fn target(&mut self, path: &str) -> Result<String, String> {
        let name: String = self.need(path)?;
        Ok(name.rsplit('.').next().unwrap_or_default().to_owned())
    }

    /// A class that can be no other, if it is there.
    pub(super) fn only_target(&mut self, path: &str, allowed: &str) -> Result<(), String> {
        if self.find(path).is_none() {
            return Ok(());
        }
        let name = self.target(path)?;
        if name == allowed { Ok(()) } else { Err(self.refuse(path, &format!("is {name}; here it is {allowed}"))) }
    }

    /// A key that makes no difference here, if it is there.
    pub(super) fn ignored(&mut self, path: &str) {
        self.asked.insert(path.to_owned());
        if let Some(value) = self.find(path) {
            let told = format!("{}: {path} = {value}", self.file);
            self.ignored.push(told);
        }
    }

    fn find(&self, path: &str) -> Option<&Value> {
        self.tree.pointer(&format!("/{}", path.replace('.', "/"))).filter(|value| !value.is_null())
    }

    /// What counted for nothing.
    ///
    /// # Errors
    /// Names a key that nobody asked for.
    pub(super) fn end(self) -> Result<Vec<String>, String> {
        let mut unknown = None;
        self.walk(&self.tree, String::new(), &mut unknown);
        match unknown {
            Some(path) => Err(self.refuse(&path, "is no key of the lesson")),
            None => Ok(self.ignored),
        }
    }

    fn walk(&self, value: &Value, path: String, unknown: &mut Option<String>) {
        if unknown.is_some() || self.asked.contains(&path) {
            return;
        }
        let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| self.walk(value, inner(name), unknown)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, value)| self.walk(value, inner(&i.to_string()), unknown));
            }
            Value::Null => {}
            _ => *unknown = Some(path),
        }
    }
}
