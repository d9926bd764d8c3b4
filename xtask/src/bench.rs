//! The benchmarks.

use std::path::Path;

use anyhow::Result;

use crate::shell::{cargo, run};

/// Runs them all, one after the other: they measure the same cores. The one of training compares itself with
/// imagen-pytorch where $PYTHON (or python3) has it.
pub(crate) fn run_all(root: &Path) -> Result<()> {
    run(cargo(root).args(["bench", "--workspace", "--benches"]))
}
