//! Golden data, written anew by the scripts beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::run;

/// Where goldens are.
const FOLDER: &str = "core/tests/golden";
/// What the other scripts import; they write nothing themselves.
const LIBRARIES: [&str; 2] = ["common", "stub"];

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Runs the scripts (all, or those named) and says of every golden that is not what it was what changed.
///
/// # Errors
/// A script is missing or fails.
pub(crate) fn run_scripts(root: &Path, only: &[String]) -> Result<()> {
    let folder = root.join(FOLDER);
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let known = scripts(&folder)?;
    if let Some(name) = only.iter().find(|name| !known.contains(name)) {
        bail!("{FOLDER} has no {name}.py; there are {}", known.join(", "));
    }
    let before = read(&folder)?;
    for name in known.iter().filter(|name| only.is_empty() || only.contains(name)) {
        run(Command::new(&python).arg(folder.join(format!("{name}.py"))).current_dir(root))?;
    }
    let changes = changes(&before, &read(&folder)?);
    eprintln!();
    for change in &changes {
        eprintln!("{change}");
    }
    eprintln!("{} of {} goldens changed", changes.len(), before.len());
    Ok(())
}

fn scripts(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".py").filter(|name| !LIBRARIES.contains(name)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(files)
}

/// A line for each file that was added, or is not what it was.
fn changes(before: &Files, after: &Files) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let added = after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("{}: new", name(path)));
    let changed = before.iter().filter_map(|(path, old)| match after.get(path) {
        Some(new) if new == old => None,
        Some(new) => Some(format!("{}: {}", name(path), difference(old, new))),
        None => Some(format!("{}: gone", name(path))),
    });
    added.chain(changed).collect()
}

/// What tells two safetensors files apart.
fn difference(old: &[u8], new: &[u8]) -> String {
    let (Some(old), Some(new)) = (tensors(old), tensors(new)) else { return "unreadable".to_owned() };
    let mut said = Vec::new();
    for (name, old) in &old {
        match new.get(name) {
            None => said.push(format!("{name} is gone")),
            Some(new) if new.0 != old.0 => said.push(format!("{name} was {}, is {}", old.0, new.0)),
            Some(new) if new.1 != old.1 => said.push(format!("{name} by {:e}", largest(old.1, new.1))),
            Some(_) => {}
        }
    }
    said.extend(new.keys().filter(|name| !old.contains_key(*name)).map(|name| format!("{name} is new")));
    if said.is_empty() { "metadata only".to_owned() } else { said.join(", ") }
}

/// Type and shape, and bytes, of every tensor by its name.
fn tensors(file: &[u8]) -> Option<BTreeMap<String, (String, &[u8])>> {
    let length = u64::from_le_bytes(file.get(..8)?.try_into().ok()?) as usize;
    let (header, data) = file.get(8..)?.split_at_checked(length)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    let tensor = |value: &Value| {
        let at = |i: usize| Some(value["data_offsets"][i].as_u64()? as usize);
        Some((format!("{} {}", value["dtype"], value["shape"]), data.get(at(0)?..at(1)?)?))
    };
    let named = header.as_object()?.iter().filter(|(name, _)| *name != "__metadata__");
    named.map(|(name, value)| Some((name.clone(), tensor(value)?))).collect()
}

/// The largest difference of two lists of f32.
fn largest(old: &[u8], new: &[u8]) -> f32 {
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    values(old).iter().zip(values(new)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, values: &[f32]) -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let header = format!(
            "{{\"__metadata__\":{{}},\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[0,{}]}}}}",
            values.len(),
            bytes.len()
        );
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat()
    }

    #[test]
    fn changes_are_told_by_tensor() {
        let files = |entries: &[(&str, Vec<u8>)]| entries.iter().map(|(n, f)| (PathBuf::from(n), f.clone())).collect();
        let before: Files = files(&[
            ("a", file("x", &[1.0, 2.0])),
            ("b", file("x", &[1.0, 2.0])),
            ("c", file("x", &[1.0])),
            ("d", file("x", &[1.0])),
        ]);
        let after: Files = files(&[
            ("a", file("x", &[1.0, 2.0])),
            ("b", file("x", &[1.0, 1.5])),
            ("c", file("y", &[1.0])),
            ("e", file("x", &[1.0])),
        ]);
        let want = ["e: new", "b: x by 5e-1", "c: x is gone, y is new", "d: gone"];
        assert_eq!(changes(&before, &after), want);
    }

    #[test]
    fn nonsense_is_no_panic() {
        for bytes in [&b""[..], b"1234567", &[255; 40], &file("x", &[1.0])[..30]] {
            assert!(tensors(bytes).is_none());
        }
    }
}
