//! The folder to serve.
//!
//! ```text
//! index.html            names the version
//! sw.js                 keeps the version's files, for visits without a network
//! v-<hash>/             page and program; the hash is that of all of them
//! model/manifest.json   what the model is made of
//! model/<sha256>.bin    a chunk of it
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::build::{BINDINGS, PLAIN, PROGRAM};

/// Small enough that a broken download loses little, large enough that there are few.
const CHUNK: usize = 1 << 20;
/// The files of a model in the order of its hash, see `firefall_core::cascade::Model`.
const HASHED: [&str; 3] = ["model.json", "tokenizer.json", "text.safetensors"];
/// The package's modules.
const CLIENT: [&str; 5] = ["index.js", "worker.js", "weights.js", "program.js", "soon.js"];

/// What else a package has, from `web/npm` and from the top.
const DOCUMENTS: [&str; 3] = ["index.d.ts", "package.json", "README.md"];
const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// A file to be: its place and its bytes.
type Entry = (PathBuf, Vec<u8>);

/// Writes the page with `program` and `model` to `out`, whose older content goes.
pub(super) fn write(root: &Path, program: &Path, model: &Path, out: &Path) -> Result<()> {
    let www = root.join("web/www");
    let mut versioned = client(root, program)?;
    for file in list(&www)? {
        if !["index.html", "sw.js"].contains(&file.as_str()) {
            versioned.push((file.clone().into(), read(&www.join(file))?));
        }
    }
    let version = version(&versioned);
    let fill = |name: &str| -> Result<String> {
        let text = fs::read_to_string(www.join(name)).with_context(|| format!("cannot read {name}"))?;
        Ok(text.replace("{{version}}", &version))
    };
    let names: Vec<String> = versioned.iter().map(|(path, _)| format!("{version}/{}", path.display())).collect();
    let worker = fill("sw.js")?.replace("{{files}}", &json!(names).to_string());

    clear(out)?;
    put(out, Path::new("index.html"), fill("index.html")?.as_bytes())?;
    put(out, Path::new("sw.js"), worker.as_bytes())?;
    for (path, bytes) in versioned {
        put(&out.join(&version), &path, &bytes)?;
    }
    for (path, bytes) in chunked(model)? {
        put(&out.join("model"), &path, &bytes)?;
    }
    Ok(())
}

/// Writes the package, which `npm pack` takes as it is.
pub(super) fn write_package(root: &Path, program: &Path, model: &Path, out: &Path) -> Result<()> {
    clear(out)?;
    for (path, bytes) in client(root, program)? {
        put(out, path.strip_prefix("firefall")?, &bytes)?;
    }
    for name in DOCUMENTS {
        put(out, Path::new(name), &read(&root.join("web/npm").join(name))?)?;
    }
    for name in LICENCES {
        put(out, Path::new(name), &read(&root.join(name))?)?;
    }
    for (path, bytes) in chunked(model)? {
        put(&out.join("model"), &path, &bytes)?;
    }
    Ok(())
}

/// The client with its program, in a folder `firefall`.
fn client(root: &Path, program: &Path) -> Result<Vec<Entry>> {
    let of = |folder: PathBuf, name: &&str| Ok((Path::new("firefall").join(name), read(&folder.join(name))?));
    let modules = CLIENT.iter().map(|name| of(root.join("web/npm"), name));
    modules.chain([BINDINGS, PROGRAM, PLAIN].iter().map(|name| of(program.to_owned(), name))).collect()
}

/// `v-` and a hash of names and contents.
fn version(entries: &[Entry]) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in entries {
        hash.update(path.to_string_lossy().as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    format!("v-{}", &hex(&hash.finalize())[..12])
}

/// The manifest and the chunks of a model.
fn chunked(model: &Path) -> Result<Vec<Entry>> {
    let mut names: Vec<String> = HASHED.map(str::to_owned).into();
    names.extend((1..).map(|n| format!("stage{n}.safetensors")).take_while(|name| model.join(name).exists()));
    if names.len() == HASHED.len() {
        bail!("{} is no model: it has no stage1.safetensors", model.display());
    }
    let mut hash = Sha256::new();
    let (mut entries, mut files) = (Vec::new(), Vec::new());
    let licence = model.join("LICENSE.txt").exists().then(|| "LICENSE.txt".to_owned());
    for name in names.iter().chain(&licence) {
        let bytes = read(&model.join(name))?;
        if names.contains(name) {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
        let mut chunks = Vec::new();
        for chunk in bytes.chunks(CHUNK) {
            let digest = hex(&Sha256::digest(chunk));
            chunks.push(json!({ "sha256": digest, "bytes": chunk.len() }));
            entries.push((format!("{digest}.bin").into(), chunk.to_vec()));
        }
        files.push(json!({ "name": name, "chunks": chunks }));
    }
    let manifest = json!({ "format": 1, "hash": hex(&hash.finalize()), "files": files });
    entries.push(("manifest.json".into(), serde_json::to_vec_pretty(&manifest)?));
    Ok(entries)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of the files in a folder, in order.
fn list(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes an empty folder, of one too that was written here before, and of no other.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        if let Some(other) = list(folder)?.into_iter().find(|name| !written(name)) {
            bail!("{} has other files, such as {other}; name an empty or a new folder", folder.display());
        }
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Whether a file or folder of that name is written here, as a page or as a package.
fn written(name: &str) -> bool {
    let version = |hash: &str| hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let page = ["index.html", "sw.js", "model"].contains(&name) || name.strip_prefix("v-").is_some_and(version);
    let files = [&CLIENT[..], &[BINDINGS, PROGRAM, PLAIN], &DOCUMENTS, &LICENCES].concat();
    page || files.contains(&name)
}

fn put(folder: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_anything_else_in_it_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("firefall-folder-{}", std::process::id()));
        let file = |name: &str| {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), "mine").unwrap();
        };
        for name in [".git", "about.html", "v-1", "style.css"] {
            file("index.html");
            file(name);
            let error = clear(&folder).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(folder.join("index.html").exists());
            fs::remove_dir_all(&folder).unwrap();
        }
        for name in ["index.html", "sw.js", "v-0123456789ab", "index.d.ts", PLAIN, "LICENSE-MIT"] {
            file(name);
        }
        clear(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
