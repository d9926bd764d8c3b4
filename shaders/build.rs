//! Expands, validates and reflects every shader in `wgsl/`, and writes one constant for each to `OUT_DIR/kernels.rs`.

use std::path::{Path, PathBuf};

#[path = "src/compile.rs"]
mod compile;

fn main() {
    println!("cargo:rerun-if-changed=wgsl");
    println!("cargo:rerun-if-changed=src/compile.rs");
    let dir = Path::new("wgsl");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the folder wgsl")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "wgsl"))
        .collect();
    files.sort();
    let kernels: Vec<_> =
        files.iter().map(|f| compile::compile(dir, f).unwrap_or_else(|e| panic!("{}\n{e}", f.display()))).collect();
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("kernels.rs"), compile::emit(&kernels)).expect("OUT_DIR can be written");
}
