//! How large a first visit is.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The program, compressed as hosts do.
const PROGRAM_MAX: usize = 4_000_000;
/// Everything.
const VISIT_MAX: usize = 25_000_000;

/// Prints the sizes.
///
/// # Errors
/// If one is above its bar.
pub(super) fn check(out: &Path) -> Result<()> {
    // A visitor fetches one of the programs, the larger one at worst.
    let (mut program, mut rest) = (0, 0);
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let size = compressed(&fs::read(&path)?)?;
            if path.extension().is_some_and(|e| e == "wasm") {
                program = size.max(program);
            } else {
                rest += size;
            }
        }
    }
    let visit = program + rest;
    let mega = |bytes: usize| bytes as f64 / 1e6;
    eprintln!("program {:.2} MB, first visit {:.2} MB, both gzip", mega(program), mega(visit));
    if program > PROGRAM_MAX || visit > VISIT_MAX {
        bail!("at most {} MB and {} MB are allowed", mega(PROGRAM_MAX), mega(VISIT_MAX));
    }
    Ok(())
}

fn compressed(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(9));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
