//! The web demo: the program for the browser, a page around it, a folder that any static host can serve.

mod bench;
mod build;
mod folder;
mod parity;
mod serve;
mod size;
mod test;

pub(crate) use bench::{bench, profile};
pub(crate) use build::FEATURES;
pub(crate) use parity::parity;
pub(crate) use test::test;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct WebArgs {
    /// Write web/dist and web/package, check their size, and serve nothing
    #[arg(long)]
    release: bool,
    /// The model to publish, a folder
    #[arg(long, value_name = "DIR", default_value = "assets/model")]
    model: PathBuf,
    /// Where to write the page instead of web/dist
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The port to serve on; the next free one if it is taken
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

pub(crate) fn run(root: &Path, args: &WebArgs) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| root.join("web/dist"));
    let program = build::program(root)?;
    folder::write(root, &program, &root.join(&args.model), &out)?;
    let size = size::check(&out);
    if args.release {
        size?;
        return folder::write_package(root, &program, &root.join(&args.model), &root.join("web/package"));
    }
    // Without the tool that makes it small the page is too large to publish, but not to be looked at.
    if let Err(error) = size {
        eprintln!("note: {error}");
    }
    serve::forever(&out, args.port)
}
