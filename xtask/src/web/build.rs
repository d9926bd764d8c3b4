//! The program: compiled, bound to JavaScript, made small.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::shell::{cargo, run, target_dir};
use crate::test::wasm_target;

/// Every browser with WebGPU has these, and so has every other one that is kept up to date.
pub(crate) const FEATURES: &str = "-C target-feature=+simd128";
/// With what rustc's output uses, and no more: newer forms are not yet read everywhere.
const WASM_OPT: [&str; 9] = [
    "-Os",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
    "--strip-producers",
];

/// Where the program's two files are: `firefall_web.js` and `firefall_web_bg.wasm`.
pub(super) fn program(root: &Path) -> Result<PathBuf> {
    wasm_target(root)?;
    // A target folder of its own: its flags are others, and would otherwise make the next build start over.
    let target = target_dir(root).join("web");
    let mut build = cargo(root);
    build.args(["build", "--profile", "web", "--target", "wasm32-unknown-unknown", "-p", "firefall-web"]);
    run(build.arg("--target-dir").arg(&target).env("RUSTFLAGS", FEATURES))?;

    let wasm = target.join("wasm32-unknown-unknown/web/firefall_web.wasm");
    let out = target.join("program");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&wasm).web(true)?.typescript(false).remove_name_section(true).remove_producers_section(true);
    bindgen.generate(&out).with_context(|| format!("cannot bind {}", wasm.display()))?;
    smaller(root, &out.join("firefall_web_bg.wasm"))?;
    Ok(out)
}

/// Binaryen makes the program a sixth smaller; without npm, which brings it, the page works all the same. A wasm-opt of
/// the system is left alone: that of Debian 12 breaks the tables of what it is given.
fn smaller(root: &Path, wasm: &Path) -> Result<()> {
    let tools = root.join("web/tools");
    if let Err(error) = packages(&tools, "binaryen") {
        eprintln!("note: the program stays larger than it could be: {error:#}");
        return Ok(());
    }
    let small = wasm.with_extension("small");
    let opt = tools.join("node_modules/binaryen/bin/wasm-opt");
    run(Command::new("node").arg(opt).args(WASM_OPT).arg(wasm).arg("-o").arg(&small))?;
    std::fs::rename(&small, wasm).with_context(|| format!("cannot write {}", wasm.display()))
}

/// Installs what a folder's `package-lock.json` names; `one` of it tells whether it is there.
pub(super) fn packages(folder: &Path, one: &str) -> Result<()> {
    if folder.join("node_modules").join(one).exists() {
        return Ok(());
    }
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}
