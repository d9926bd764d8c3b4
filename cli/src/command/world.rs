//! `firefall world`: the pictures and captions a model is trained on.

use std::path::Path;

use anyhow::{Context, Result};
use firefall_core::image::Picture;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::world::{Mix, Parsed, ParsedObject, Sample, confusion, draw, parse, render};
use image::{ImageReader, Limits};
use serde_json::json;

use crate::args::WorldArgs;
use crate::contact;
use crate::files::{self, Existing};
use crate::outcome::{print, say};
use crate::png_text::Origin;

/// Pixels of a side of the largest picture that is read.
const LARGEST: u32 = 4096;

pub(super) fn run(args: &WorldArgs) -> Result<()> {
    if let Some(file) = &args.sheet {
        write_sheet(args, file)?;
    }
    if let Some(file) = &args.read {
        print(&told(file).with_context(|| format!("cannot read {}", file.display()))?)?;
    }
    match args.calibrate {
        Some(scenes) => print(&confusion(scenes, args.seed).to_string()),
        None => Ok(()),
    }
}

/// What the parser reads in a picture, a line each.
fn told(file: &Path) -> Result<String> {
    let mut reader = ImageReader::open(file)?.with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    reader.limits(limits);
    let pixels = reader.decode()?.into_rgb8();
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let Parsed { background, objects } = parse(&Picture { width, height, rgb: pixels.into_raw() })?;
    let objects = objects.iter().map(|object| {
        let ParsedObject { shape, colour, centre: [x, y], diameter, angle_degrees, score } = object;
        format!(
            "{colour} {shape}, diameter {diameter:.2}, at {x:.2} {y:.2}, turned {angle_degrees:.0} degrees, fits {score:.2}\n"
        )
    });
    Ok(std::iter::once(format!("{background} background\n")).chain(objects).collect())
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
