//! The page in a real browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{build, folder, size};
use crate::shell::{run, target_dir};
use crate::system::browser;
use crate::test::programs;

/// With the tiny model of the tests, and once with the shipped one.
pub(crate) fn test(root: &Path) -> Result<()> {
    browser()?;
    let program = build::program(root)?;
    let firefall = native(root)?;
    let scratch = target_dir(root).join("web");
    let tiny = scratch.join("tiny");
    if !tiny.join("model/stage2.safetensors").exists() {
        run(Command::new(&firefall).args(["train", "--preset", "tiny", "--device", "cpu", "--out"]).arg(&tiny))?;
    }
    let shipped = root.join("assets/model");
    let [tiny_page, page] = ["page-tiny", "page"].map(|name| scratch.join(name));
    folder::write(root, &program, &tiny.join("model"), &tiny_page)?;
    folder::write(root, &program, &shipped, &page)?;
    size::check(&page)?;

    let tests = root.join("web/tests");
    build::packages(&tests, "typescript")?;
    let mut node = Command::new("npm");
    node.args(["test", "--silent"]).current_dir(&tests);
    node.env("FIREFALL", &firefall).env("FIREFALL_DIST", &tiny_page).env("FIREFALL_MODEL", tiny.join("model"));
    run(node.env("FIREFALL_SHIPPED", &page).env("FIREFALL_SHIPPED_MODEL", &shipped))
}

/// The program that the page is compared with.
pub(super) fn native(root: &Path) -> Result<PathBuf> {
    Ok(programs(root)?.join(format!("firefall{}", std::env::consts::EXE_SUFFIX)))
}
