//! The ops in a real browser.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::build;
use crate::shell::run;
use crate::system::browser;

/// What of `shaders/tests/parity` a browser can run, on its CPU and on WebGPU.
pub(crate) fn parity(root: &Path) -> Result<()> {
    browser()?;
    let program = build::ops(root)?;
    let tests = root.join("web/tests");
    build::packages(&tests, "playwright-core")?;
    run(Command::new("node").arg(tests.join("parity.mjs")).arg(program))
}
