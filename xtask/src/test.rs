//! The gate.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{cargo, output, run, succeeds, target_dir};
use crate::tidy;

const WASM: &str = "wasm32-unknown-unknown";

/// Stops at the first thing that fails.
pub(crate) fn gate(root: &Path) -> Result<()> {
    run(cargo(root).args(["fmt", "--all", "--check"])).context("run `cargo fmt`")?;
    tidy::run(root)?;
    run(cargo(root).args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    wasm(root)?;
    software_gpu()?;
    run(cargo(root).args(["test", "--release", "--workspace"]))
}

/// The core compiles for the browser. In a target folder of its own: its features are fewer, and would otherwise make
/// the next build start over.
fn wasm(root: &Path) -> Result<()> {
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]).current_dir(root));
    // Without rustup the target may be there all the same; cargo will tell.
    if installed.is_ok_and(|list| !list.lines().any(|line| line.trim() == WASM)) {
        run(Command::new("rustup").args(["target", "add", WASM]).current_dir(root))?;
    }
    run(cargo(root)
        .args(["check", "--release", "--target", WASM, "-p", "firefall-core", "--target-dir"])
        .arg(target_dir(root).join("wasm-check")))
}

/// Kernels are tested on lavapipe where there is no GPU.
fn software_gpu() -> Result<()> {
    if !cfg!(target_os = "linux") || has_driver() {
        return Ok(());
    }
    let install = ["apt-get", "install", "-y", "mesa-vulkan-drivers"];
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let apt = succeeds(Command::new("apt-get").arg("--version"));
    if apt && (root || succeeds(Command::new("sudo").args(["-n", "true"]))) {
        let apt_get = |args: &[&str]| {
            let words = [if root { &[][..] } else { &["sudo", "-n"] }, args].concat();
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        // An old list of packages may still do.
        let _ = run(&mut apt_get(&["apt-get", "update"]));
        return run(&mut apt_get(&install));
    }
    eprintln!("\nno Vulkan driver: the tests of the kernels need one; on Debian: sudo {}", install.join(" "));
    Ok(())
}

/// Whether a Vulkan driver, lavapipe or that of a GPU vendor, is installed.
fn has_driver() -> bool {
    let software = |name: &str| name.starts_with("lvp_icd") || name.starts_with("nvidia_icd");
    ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten())
        .any(|entry| entry.file_name().to_str().is_some_and(software))
}
