//! The benchmarks.

use std::path::Path;

use anyhow::Result;

use crate::shell::{cargo, run};

/// Arguments of `firefall` for the benchmark of training: none before there is one.
const TRAINING: &[&str] = &[];

/// Runs them all, one after the other: they measure the same cores.
pub(crate) fn run_all(root: &Path) -> Result<()> {
    run(cargo(root).args(["bench", "--workspace", "--benches"]))?;
    if TRAINING.is_empty() {
        return Ok(());
    }
    run(cargo(root).args(["run", "--release", "--package", "firefall-cli", "--"]).args(TRAINING))
}
