//! The model to work with: the one in the binary, or a folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use firefall_core::cascade::{Event, Model, Request, Run};
use firefall_core::image::Picture;

use crate::outcome::check_interrupt;

/// The largest file of a model that is read, bytes: no model of this kind comes near it.
const FILE_MAX: u64 = 4 << 30;

/// The model that comes with Firefall, trained by `firefall train`; see `assets/README.md`.
const SHIPPED: [(&str, &[u8]); 6] = [
    ("model.json", include_bytes!("../../assets/model/model.json")),
    ("tokenizer.json", include_bytes!("../../assets/model/tokenizer.json")),
    ("text.safetensors", include_bytes!("../../assets/model/text.safetensors")),
    ("stage1.safetensors", include_bytes!("../../assets/model/stage1.safetensors")),
    ("stage2.safetensors", include_bytes!("../../assets/model/stage2.safetensors")),
    ("LICENSE.txt", include_bytes!("../../assets/model/LICENSE.txt")),
];

/// Loads the model of a folder, or the shipped one.
///
/// # Errors
/// Names the folder and the file: missing, damaged, or of another model.
pub fn load(folder: Option<&Path>, device: &Device) -> Result<Arc<Model>> {
    let model = match folder {
        None => Model::load(shipped, device).context("the model in the binary")?,
        Some(folder) if !folder.is_dir() => bail!("there is no model folder {}", folder.display()),
        Some(folder) => {
            let read = |name: &str| read(&folder.join(name));
            Model::load(read, device).with_context(|| format!("cannot load the model in {}", folder.display()))?
        }
    };
    Ok(Arc::new(model))
}

fn shipped(name: &str) -> io::Result<Vec<u8>> {
    let found = SHIPPED.iter().find(|(known, _)| *known == name);
    found.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The beginning of a file of a model, of `most` bytes at most: what it is can be told without loading it.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn beginning(folder: Option<&Path>, file: &str, most: u64) -> io::Result<Vec<u8>> {
    let Some(folder) = folder else {
        let mut bytes = shipped(file)?;
        bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        return Ok(bytes);
    };
    let path = folder.join(file);
    regular(&path)?;
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The length of a file that is one: a pipe would be waited for, and a device may have no end.
fn regular(path: &Path) -> io::Result<u64> {
    let found = std::fs::metadata(path)?;
    if found.is_file() { Ok(found.len()) } else { Err(io::Error::other("not a regular file")) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let too_long = |length: u64| io::Error::other(format!("{length} bytes; a model's files have at most {FILE_MAX}"));
    let length = regular(path)?;
    if length > FILE_MAX {
        return Err(too_long(length));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).map_err(io::Error::other)?)?;
    // It may grow meanwhile.
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        length if length > FILE_MAX => Err(too_long(length)),
        _ => Ok(bytes),
    }
}

/// Runs a request to its end, each event but the last to `tell`.
///
/// # Errors
/// Those of the run, and Ctrl-C.
pub fn pictures(model: &Arc<Model>, request: Request, mut tell: impl FnMut(&Event)) -> Result<Vec<Picture>> {
    let mut run = Run::new(model.clone(), request)?;
    while let Some(event) = pollster::block_on(run.next())? {
        if let Event::Done { pictures } = event {
            return Ok(pictures);
        }
        tell(&event);
        check_interrupt()?;
    }
    bail!("the run ended without pictures")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_beginnings() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.json"), "0123456789").unwrap();
        assert_eq!(beginning(Some(folder.path()), "model.json", 4).unwrap(), b"0123");
        assert_eq!(beginning(Some(folder.path()), "model.json", 99).unwrap(), b"0123456789");
        assert_eq!(beginning(None, "model.json", 1).unwrap(), b"{");
        assert_eq!(beginning(None, "none", 1).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(beginning(Some(folder.path()), "none", 1).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let message = || format!("{:#}", load(Some(folder.path()), &Device::flex()).unwrap_err());
        let path = folder.path().join("model.json");
        std::fs::create_dir(&path).unwrap();
        assert!(message().contains("model.json: not a regular file"), "{}", message());
        std::fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(message().contains("model.json: not a regular file"), "{}", message());
        std::fs::remove_file(&path).unwrap();
        let target = folder.path().join("elsewhere.json");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        std::fs::write(&target, "{}").unwrap();
        assert!(!message().contains("not a regular file"), "a link to a file is one: {}", message());
    }
}
