//! The program: compiled, bound to JavaScript, made small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest, Sha256};
use walrus::ir::{
    BinaryOp, Binop, Instr, InstrSeq, LocalGet, LocalSet, TernOp, TernaryOp, VisitorMut, dfs_pre_order_mut,
};
use walrus::{LocalId, Module, ValType};
use wasm_bindgen_cli_support::Bindgen;

use crate::shell::{cargo, run, target_dir};
use crate::test::wasm_target;

/// Every browser that is kept up to date has these. Our CPU kernels use relaxed-simd besides; for browsers without it there
/// is a second program, see [`rewrite`].
pub(crate) const FEATURES: &str = "-C target-feature=+simd128";
/// The program, its twin for browsers without relaxed-simd, and what binds either to JavaScript.
pub(super) const PROGRAM: &str = "firefall_web_bg.wasm";
pub(super) const PLAIN: &str = "firefall_web_plain.wasm";
pub(super) const BINDINGS: &str = "firefall_web.js";
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

/// Where the program's files are.
pub(super) fn program(root: &Path) -> Result<PathBuf> {
    made(root, &["-p", "firefall-web"], "firefall_web.wasm", "program", |out| {
        let [relaxed, simple] = [PROGRAM, PLAIN].map(|name| out.join(name));
        rewrite(&relaxed, &simple, false)?;
        let both = thread::scope(|scope| {
            let relaxed = scope.spawn(|| smaller(root, &relaxed, &["--enable-relaxed-simd"]));
            [smaller(root, &simple, &[]), relaxed.join().unwrap_or_else(|_| Err(anyhow!("wasm-opt was not run")))]
        });
        both.into_iter().collect()
    })
}

/// The same with the names of its functions, as large as it comes.
pub(super) fn named(root: &Path) -> Result<PathBuf> {
    let (wasm, out) = compiled(root, &["-p", "firefall-web"], "firefall_web.wasm", "named")?;
    bind(&wasm, &out, true)?;
    rewrite(&out.join(PROGRAM), &out.join(PLAIN), false)?;
    Ok(out)
}

/// Where the files of `shaders/examples/browser.rs` are. The page's package is named beside it, so that what both are made
/// of has the same features, and Burn is built once.
pub(super) fn ops(root: &Path) -> Result<PathBuf> {
    let what = ["-p", "firefall-web", "-p", "firefall-shaders", "--example", "browser"];
    made(root, &what, "examples/browser.wasm", "ops", |out| {
        smaller(root, &out.join("browser_bg.wasm"), &["--enable-relaxed-simd"])
    })
}

/// Builds `what`, in the words of cargo, binds the `wasm` of it to JavaScript in a `folder` of the web's outputs, and
/// finishes what is there. Nothing but cargo runs where that folder was made of the same.
fn made(
    root: &Path,
    what: &[&str],
    wasm: &str,
    folder: &str,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let (wasm, out) = compiled(root, what, wasm, folder)?;
    let npm = packages(&root.join("web/tools"), "binaryen");
    if let Err(error) = &npm {
        eprintln!("note: the program stays larger than it could be: {error:#}");
    }
    let (from, told) = (made_of(root, &wasm, npm.is_ok())?, out.join("made-of"));
    if fs::read_to_string(&told).is_ok_and(|it| it == from) {
        return Ok(out);
    }
    // What is half made is not taken for made.
    fs::remove_dir_all(&out).or_else(|error| if out.exists() { Err(error) } else { Ok(()) })?;
    bind(&wasm, &out, false)?;
    finish(&out)?;
    fs::write(&told, from).with_context(|| format!("cannot write {}", told.display()))?;
    Ok(out)
}

/// Builds `what`: where its `wasm` is, and a `folder` for what is made of it.
fn compiled(root: &Path, what: &[&str], wasm: &str, folder: &str) -> Result<(PathBuf, PathBuf)> {
    wasm_target(root)?;
    // A target folder of its own: its flags are others, and would otherwise make the next build start over.
    let target = target_dir(root).join("web");
    let mut build = cargo(root);
    build.args(["build", "--profile", "web", "--target", "wasm32-unknown-unknown"]).args(what);
    run(build.arg("--target-dir").arg(&target).env("RUSTFLAGS", FEATURES))?;
    Ok((target.join("wasm32-unknown-unknown/web").join(wasm), target.join(folder)))
}

fn bind(wasm: &Path, out: &Path, names: bool) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).web(true)?.typescript(false).remove_name_section(!names).remove_producers_section(true);
    bindgen.generate(out).with_context(|| format!("cannot bind {}", wasm.display()))?;
    let name = wasm.file_stem().context("the program has no name")?.to_string_lossy();
    let bound = out.join(format!("{name}_bg.wasm"));
    rewrite(&bound, &bound, true)
}

/// What a finished program depends on: the compiled one, this file, and the versions of the tools.
fn made_of(root: &Path, wasm: &Path, npm: bool) -> Result<String> {
    let mut sum = Sha256::new_with_prefix(include_str!("build.rs"));
    for path in [wasm, &root.join("Cargo.lock"), &root.join("web/tools/package-lock.json")] {
        sum.update(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(format!("{:x} {npm}", sum.finalize()))
}

/// Writes the program with the least and the greatest of two lanes as it was written: where relaxed-simd is there, rustc
/// makes of them such whose result is any number where a lane is none. `FUSED` multiply-adds stay as they are; without, they
/// become two instructions each, and nothing of relaxed-simd is left: a browser refuses all of a program for one instruction
/// that it does not know.
fn rewrite(from: &Path, to: &Path, fused: bool) -> Result<()> {
    let mut module = Module::from_file(from).with_context(|| format!("cannot read {}", from.display()))?;
    let Module { funcs, locals, .. } = &mut module;
    for (_, function) in funcs.iter_local_mut() {
        let mut apart = Apart { sum: locals.add(ValType::V128), fused, left: None };
        let entry = function.entry_block();
        dfs_pre_order_mut(&mut apart, function, entry);
        ensure!(apart.left.is_none(), "the program has {:?}, which has no plain form here", apart.left);
    }
    module.emit_wasm_file(to).with_context(|| format!("cannot write {}", to.display()))
}

/// Takes instructions of relaxed-simd apart.
struct Apart {
    /// Where the summand waits while the factors are multiplied.
    sum: LocalId,
    /// Multiply-adds stay.
    fused: bool,
    /// What could not be taken apart.
    left: Option<String>,
}

impl VisitorMut for Apart {
    fn start_instr_seq_mut(&mut self, seq: &mut InstrSeq) {
        for (instruction, place) in std::mem::take(&mut seq.instrs) {
            let local = self.sum;
            let parts = match &instruction {
                Instr::TernOp(TernOp { op: TernaryOp::F32x4RelaxedMadd }) if !self.fused => vec![
                    Instr::from(LocalSet { local }),
                    Instr::from(Binop { op: BinaryOp::F32x4Mul }),
                    Instr::from(LocalGet { local }),
                    Instr::from(Binop { op: BinaryOp::F32x4Add }),
                ],
                Instr::Binop(Binop { op: BinaryOp::F32x4RelaxedMin }) => vec![Binop { op: BinaryOp::F32x4PMin }.into()],
                Instr::Binop(Binop { op: BinaryOp::F32x4RelaxedMax }) => vec![Binop { op: BinaryOp::F32x4PMax }.into()],
                other @ (Instr::Unop(_) | Instr::Binop(_) | Instr::TernOp(_)) => {
                    let said = format!("{other:?}");
                    if said.contains("Relaxed") && !(self.fused && said.contains("F32x4RelaxedMadd")) {
                        self.left = Some(said);
                    }
                    vec![instruction]
                }
                _ => vec![instruction],
            };
            seq.instrs.extend(parts.into_iter().map(|part| (part, place)));
        }
    }
}

/// Binaryen makes the program a sixth smaller; without npm, which brings it, the page works all the same. A wasm-opt of
/// the system is left alone: that of Debian 12 breaks the tables of what it is given.
fn smaller(root: &Path, wasm: &Path, features: &[&str]) -> Result<()> {
    let opt = root.join("web/tools/node_modules/binaryen/bin/wasm-opt");
    if !opt.exists() {
        return Ok(());
    }
    let small = wasm.with_extension("small");
    run(Command::new("node").arg(opt).args(WASM_OPT).args(features).arg(wasm).arg("-o").arg(&small))?;
    fs::rename(&small, wasm).with_context(|| format!("cannot write {}", wasm.display()))
}

/// Installs what a folder's `package-lock.json` names; `one` of it tells whether it is there.
pub(super) fn packages(folder: &Path, one: &str) -> Result<()> {
    if folder.join("node_modules").join(one).exists() {
        return Ok(());
    }
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}
