//! `firefall world`: the pictures and captions a model is trained on.

use std::path::Path;

use anyhow::Result;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::world::{Mix, Sample, confusion, draw, render};
use serde_json::json;

use crate::args::WorldArgs;
use crate::contact;
use crate::files::{self, Existing};
use crate::outcome::{print, say};
use crate::png_text::Origin;

pub(super) fn run(args: &WorldArgs) -> Result<()> {
    if let Some(file) = &args.sheet {
        write_sheet(args, file)?;
    }
    match args.calibrate {
        Some(scenes) => print(&confusion(scenes, args.seed).to_string()),
        None => Ok(()),
    }
}

fn write_sheet(args: &WorldArgs, file: &Path) -> Result<()> {
    contact::check(args.count, args.size)?;
    let existing = Existing::named(args.force);
    files::check(file, existing)?;
    let mix = Mix::default();
    let samples: Vec<Sample> =
        (0..args.count as u64).map(|i| draw(&mut Stream::new(args.seed, Purpose::Scene, i), &mix)).collect();
    let pictures: Vec<_> = samples.iter().map(|sample| render(&sample.scene, args.size)).collect();
    let settings = json!({ "world": "shapes", "count": args.count, "size": args.size });
    let origin = Origin { seed: Some(args.seed), settings: Some(settings), ..Origin::default() };
    let path = contact::write_sheet(file, &pictures, contact::columns(args.count), &origin, existing)?;
    if args.captions {
        let lines: Vec<String> =
            samples.iter().enumerate().map(|(i, s)| format!("{:>4}  {}\n", i + 1, s.caption)).collect();
        print(&lines.concat())?;
    }
    say(&format!("wrote {}", path.display()));
    Ok(())
}
