//! `firefall world`: the pictures and captions a model is trained on.

use anyhow::Result;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::world::{Mix, Sample, draw, render, sheet};
use serde_json::json;

use crate::args::WorldArgs;
use crate::files::Existing;
use crate::outcome::{Usage, print};
use crate::png_text::{Origin, write};

/// Most pixels of a sheet: a file that picture viewers still open.
const PIXELS_MAX: usize = 64 << 20;

pub(super) fn run(args: &WorldArgs) -> Result<()> {
    if args.count * args.size * args.size > PIXELS_MAX {
        let message =
            format!("{} pictures of {} x {} pixels are too many for a sheet", args.count, args.size, args.size);
        return Err(Usage(message).into());
    }
    let mix = Mix::default();
    let samples: Vec<Sample> =
        (0..args.count as u64).map(|i| draw(&mut Stream::new(args.seed, Purpose::Scene, i), &mix)).collect();
    let pictures: Vec<_> = samples.iter().map(|sample| render(&sample.scene, args.size)).collect();
    let columns = (1..=args.count).find(|n| n * n >= args.count).unwrap_or(1);
    let settings = json!({ "world": "shapes", "count": args.count, "size": args.size });
    let origin = Origin { seed: Some(args.seed), settings: Some(settings), ..Origin::default() };
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let path = write(&args.sheet, &sheet(&pictures, columns), &origin, existing)?;
    if args.captions {
        let lines: Vec<String> =
            samples.iter().enumerate().map(|(i, s)| format!("{:>4}  {}\n", i + 1, s.caption)).collect();
        print(&lines.concat())?;
    }
    eprintln!("wrote {}", path.display());
    Ok(())
}
