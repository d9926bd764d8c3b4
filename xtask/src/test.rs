//! The gate.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{cargo, output, run, target_dir};
use crate::system::{self, software_gpu};
use crate::{tidy, web, window};

/// The compiler whose lints the code keeps.
const COMPILER: &str = "rustc 1.95.";
const WASM: &str = "wasm32-unknown-unknown";
/// Everything but this program, in the words of cargo. What this program is made of would switch on features of what
/// Burn is made of, and Burn be built twice.
pub(crate) const PRODUCT: [&str; 3] = ["--workspace", "--exclude", "xtask"];

/// Stops at the first thing that fails.
pub(crate) fn gate(root: &Path) -> Result<()> {
    run(cargo(root).args(["fmt", "--all", "--check"])).context("run `cargo fmt`")?;
    tidy::run(root)?;
    software_gpu()?;
    system::window()?;
    for members in [&PRODUCT[..], &["-p", "xtask"]] {
        run(cargo(root).args(["clippy", "--release", "--all-targets"]).args(members).args(lints(root)))?;
    }
    wasm(root)?;
    for members in [&PRODUCT[..], &["-p", "xtask"]] {
        run(cargo(root).args(["test", "--release"]).args(members))?;
    }
    window::test(root)?;
    web::parity(root)?;
    web::test(root)
}

/// Builds the programs, and says in which folder they are.
pub(crate) fn programs(root: &Path) -> Result<PathBuf> {
    run(cargo(root).args(["build", "--release", "--bins"]).args(PRODUCT))?;
    Ok(target_dir(root).join("release"))
}

/// Warnings are errors, but only those of the compiler the code was written with: another one has other lints.
fn lints(root: &Path) -> &'static [&'static str] {
    let version = output(Command::new("rustc").arg("--version").current_dir(root));
    if version.is_ok_and(|version| version.contains(COMPILER)) { &["--", "-D", "warnings"] } else { &[] }
}

/// The program of the page keeps the lints, compiled for what it is shipped for, and so do the tests of the ops there. In a
/// target folder of its own: their features are fewer, and would otherwise make the next build start over.
fn wasm(root: &Path) -> Result<()> {
    wasm_target(root)?;
    let target = target_dir(root).join("wasm-check");
    let mut clippy = cargo(root);
    clippy.args(["clippy", "--release", "--target", WASM, "-p", "firefall-web", "-p", "firefall-shaders"]);
    clippy.args(["--lib", "--example", "browser", "--target-dir"]).arg(target);
    run(clippy.args(lints(root)).env("RUSTFLAGS", web::FEATURES))
}

/// The standard library for the browser.
pub(crate) fn wasm_target(root: &Path) -> Result<()> {
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]).current_dir(root));
    // Without rustup the target may be there all the same; cargo will tell.
    if installed.is_ok_and(|list| !list.lines().any(|line| line.trim() == WASM)) {
        run(Command::new("rustup").args(["target", "add", WASM]).current_dir(root))?;
    }
    Ok(())
}
