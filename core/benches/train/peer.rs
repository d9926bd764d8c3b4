//! Case `peer`: `peer.py`, which trains the same U-Net in imagen-pytorch.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{Run, Side};

/// `peer.py` at work.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) versions: String,
    pub(crate) threads: usize,
    pub(crate) parameters: usize,
}

/// The first line of `peer.py`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Hello {
    Missing { missing: String },
    Ready { versions: String, threads: usize, parameters: usize },
}

impl Peer {
    /// The peer, or why there is none.
    pub(crate) fn start(folder: &Path) -> Result<Result<Self, String>> {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer.py");
        let spawned =
            Command::new(&python).arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(e) => return Ok(Err(format!("{}: {e}", python.display()))),
        };
        let output = BufReader::new(child.stdout.take().context("the output of peer.py is piped")?);
        let mut peer =
            Self { input: child.stdin.take(), child, output, versions: String::new(), threads: 0, parameters: 0 };
        match serde_json::from_str(&peer.line()?)? {
            Hello::Missing { missing } => Ok(Err(format!("{}: {missing}", python.display()))),
            Hello::Ready { versions, threads, parameters } => {
                (peer.versions, peer.threads, peer.parameters) = (versions, threads, parameters);
                Ok(Ok(peer))
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
    fn names(&self) -> (&'static str, String) {
        ("peer", format!("{}: U-Net", self.versions))
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
