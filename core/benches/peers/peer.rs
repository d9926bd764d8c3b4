//! `peer.py`: imagen-pytorch.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::unet::Unet;
use firefall_core::weights::save::Tensors;
use firefall_core::weights::{Storage, keys as names, named, save};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::{Run, Side};

/// `peer.py` at work.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    versions: String,
    _folder: TempDir,
}

/// The first line of `peer.py`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Hello {
    Missing { missing: String },
    Ready { versions: String, threads: usize, parameters: usize },
}

/// What `peer.py` is told in `task.json`, beside the files of its task.
#[derive(Serialize)]
struct Told<'a, T> {
    task: &'a str,
    threads: usize,
    #[serde(flatten)]
    more: T,
}

/// Cores, which both sides use all of.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// For each of our parameters the keys under which imagen-pytorch may keep it.
pub(crate) fn keys(unet: &Unet) -> BTreeMap<String, Vec<String>> {
    named(unet).into_iter().map(|p| (p.path.clone(), names::imagen_pytorch(&p.path))).collect()
}

/// Numbers in a network.
pub(crate) fn parameters(unet: &Unet) -> usize {
    named(unet).iter().map(|p| p.shape.iter().product::<usize>()).sum()
}

/// `weights.safetensors`.
pub(crate) fn write_weights(unet: &Unet, folder: &Path) -> Result<()> {
    let weights = pollster::block_on(save(unet, &BTreeMap::new(), Storage::F32, str::to_owned))?;
    Ok(std::fs::write(folder.join("weights.safetensors"), weights)?)
}

/// `batch.safetensors`: names, shapes, values.
pub(crate) fn write_batch<'a>(
    lists: impl IntoIterator<Item = (&'a str, Vec<usize>, &'a Vec<f32>)>,
    folder: &Path,
) -> Result<()> {
    let mut tensors = Tensors::new(Storage::F32);
    for (key, shape, values) in lists {
        let flat = Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &Device::flex());
        pollster::block_on(tensors.add(key.to_owned(), shape, flat))?;
    }
    Ok(std::fs::write(folder.join("batch.safetensors"), tensors.assemble(&BTreeMap::new()))?)
}

impl Peer {
    /// The peer at `task`, from what `write` leaves in a folder; nothing, and a line that says why, where there is none.
    ///
    /// # Errors
    /// If it is there and fails, or has another number of `parameters`.
    pub(crate) fn start(
        task: &str,
        more: impl Serialize,
        parameters: usize,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let told = serde_json::to_string_pretty(&Told { task, threads: threads(), more })?;
        std::fs::write(folder.path().join("task.json"), told)?;
        write(folder.path())?;
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let alone = |reason: &dyn std::fmt::Display| {
            println!("Our side runs alone, for the other cannot: {}: {reason}.", python.display());
            Ok(None)
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/peer.py");
        let mut command = Command::new(&python);
        command.arg(script).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(e) => return alone(&e),
        };
        let output = BufReader::new(child.stdout.take().context("the output of peer.py is piped")?);
        let input = child.stdin.take();
        let mut peer = Self { input, child, output, versions: String::new(), _folder: folder };
        match serde_json::from_str(&peer.line()?)? {
            Hello::Missing { missing } => alone(&missing),
            Hello::Ready { versions, threads: there, parameters: has } => {
                ensure!(has == parameters, "{parameters} parameters here, {has} there");
                ensure!(there == threads(), "{} threads here, {there} there", threads());
                peer.versions = versions;
                Ok(Some(peer))
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "peer.py ended: {}", self.child.wait()?);
        Ok(line)
    }
}

impl Side for Peer {
    fn name(&self) -> String {
        self.versions.clone()
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        let input = self.input.as_mut().context("peer.py still listens")?;
        writeln!(input, "{count}")?;
        input.flush()?;
        Ok(serde_json::from_str(&self.line()?)?)
    }
}

impl Drop for Peer {
    /// Its input ends, so it does.
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
