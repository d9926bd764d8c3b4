//! The benchmarks.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use crate::shell::{cargo, run};
use crate::test::PRODUCT;

/// Benchmarks that are asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The page, in Chromium
    Web,
}

/// Runs them all, one after the other: they measure the same cores. The one of training compares itself with
/// imagen-pytorch where $PYTHON (or python3) has it.
pub(crate) fn run_all(root: &Path) -> Result<()> {
    run(cargo(root).args(["bench", "--benches"]).args(PRODUCT))
}
