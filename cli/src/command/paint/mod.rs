//! `firefall inpaint` and `firefall outpaint`: something else into a part of a picture, or around it.

mod input;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use firefall_core::cascade::{Model, PictureRequest, Request};
use firefall_core::diffusion::Resampling;
use firefall_core::inpaint::{Blend, Job};
use serde_json::{Value, json};

use self::input::{Input, Source};
use crate::args::{InpaintArgs, MakeArgs, OutpaintArgs, PaintArgs};
use crate::command::sample::{BATCH, follow, stages};
use crate::files::{self, Existing};
use crate::naming::numbered;
use crate::outcome::{Usage, catch_interrupts};
use crate::png_text::{Origin, write_with_profile};
use crate::progress::Progress;
use crate::{device, model, pictures};

/// What both commands do, once they know what is to be painted.
struct Task<'a> {
    prompt: &'a str,
    paint: &'a PaintArgs,
    make: &'a MakeArgs,
}

pub(super) fn inpaint(args: &InpaintArgs) -> Result<()> {
    let images = pictures::list(&args.image)?;
    if images.len() > 1 && !args.mask.is_dir() {
        return Err(
            Usage(format!("{} holds several pictures; --mask must be a folder as well", args.image.display())).into()
        );
    }
    let mask = |image: &Path| if args.mask.is_dir() { input::beside(&args.mask, image) } else { Ok(args.mask.clone()) };
    let source = |image: PathBuf| mask(&image).map(|mask| Source::masked(image, mask).hardened(args.mask_threshold));
    let sources = images.into_iter().map(source).collect::<Result<Vec<_>>>()?;
    Task { prompt: &args.prompt, paint: &args.paint, make: &args.make }.run(&sources)
}

pub(super) fn outpaint(args: &OutpaintArgs) -> Result<()> {
    let margins = [args.left, args.right, args.top, args.bottom];
    if margins == [0; 4] {
        return Err(Usage("say how many pixels to add: --left, --right, --top or --bottom".into()).into());
    }
    let images = pictures::list(&args.image)?;
    let sources: Vec<Source> = images.into_iter().map(|image| Source::around(image, margins)).collect();
    Task { prompt: &args.prompt, paint: &args.paint, make: &args.make }.run(&sources)
}

impl Task<'_> {
    fn run(&self, sources: &[Source]) -> Result<()> {
        sources.iter().try_for_each(Source::check)?;
        let places = self.places(sources)?;
        let (device, description) = device::open(self.make.device)?;
        let model = model::load(self.make.model.as_deref(), &device)?;
        let mut progress = Progress::stderr();
        progress.note(&format!("on {description}"));
        let mut seed = self.make.seed.unwrap_or_else(random_seed);
        catch_interrupts()?;
        for (i, (source, places)) in sources.iter().zip(places).enumerate() {
            let Input { picture, mask, profile, lost, remark } = source.read()?;
            let job = Job::seeing(self.paint.context, picture, mask, self.blend(), &model.config)
                .map_err(|e| Usage(format!("{}: {e}", source.path.display())))?;
            let request = self.request(&job, &model, seed)?;
            if i == 0 {
                progress.note(&cost(&request, &model));
            }
            progress.note(&source.path.display().to_string());
            if let Some(remark) = remark {
                progress.note(&format!("{} {remark}", source.path.display()));
            }
            if !lost.is_empty() {
                progress.note(&format!("not kept of {}: {}", source.path.display(), lost.join("; ")));
            }
            for (wishes, places) in request.pictures.chunks(BATCH).zip(places.chunks(BATCH)) {
                let batch = Request { pictures: wishes.to_vec(), ..request.clone() };
                let painted = model::pictures(&model, batch, |event| follow(&mut progress, event))?;
                for ((picture, wish), (path, existing)) in painted.iter().zip(wishes).zip(places) {
                    let origin = self.origin(wish, &request, &model);
                    let whole = job.finish(picture);
                    let path = write_with_profile(path, &whole, &origin, profile.as_deref(), *existing)?;
                    progress.note(&format!("{}  seed {}", path.display(), wish.seed));
                }
            }
            seed = seed.wrapping_add(self.paint.count as u64);
        }
        progress.done();
        Ok(())
    }

    fn blend(&self) -> Blend {
        let PaintArgs { grow, feather, no_colour_match, .. } = *self.paint;
        Blend { grow, feather, match_colour: !no_colour_match }
    }

    fn request(&self, job: &Job, model: &Model, seed: u64) -> Result<Request> {
        let picture = |n: u64| PictureRequest {
            prompt: self.prompt.to_owned(),
            negative: self.make.negative.clone(),
            seed: seed.wrapping_add(n),
        };
        let request = Request {
            pictures: (0..self.paint.count as u64).map(picture).collect(),
            stages: stages(&self.make.sampling, model)?,
            canvas: Some(job.canvas(&model.config, self.resampling(model), self.paint.strength)),
            ..Request::default()
        };
        request.validate(&model.config).map_err(|e| Usage(e.to_string()))?;
        Ok(request)
    }

    fn resampling(&self, model: &Model) -> Resampling {
        self.paint.preset.unwrap_or_else(|| model.config.resampling())
    }

    /// The files of every source's pictures, known before the first step.
    fn places(&self, sources: &[Source]) -> Result<Vec<Vec<(PathBuf, Existing)>>> {
        let one = sources.len() == 1 && self.paint.count == 1;
        let file = self.paint.out.as_ref().filter(|out| one && !out.is_dir());
        if let Some(file) = file {
            let existing = Existing::named(self.make.force);
            files::check(file, existing)?;
            return Ok(vec![vec![(file.clone(), existing)]]);
        }
        if let Some(folder) = &self.paint.out {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let existing = if self.make.force { Existing::Replace } else { Existing::Number };
        let of = |source: &Source| -> Result<Vec<(PathBuf, Existing)>> {
            let stem = source.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let base = match &self.paint.out {
                Some(folder) => folder.join(format!("{stem}.png")),
                None => source.path.with_file_name(format!("{stem}-painted.png")),
            };
            files::check(&base, existing)?;
            Ok((1..=self.paint.count as u32).map(|n| (numbered(&base, n), existing)).collect())
        };
        let places = sources.iter().map(of).collect::<Result<Vec<_>>>()?;
        // A picture is read when its turn comes.
        let read: HashSet<&Path> = sources.iter().flat_map(Source::files).collect();
        let over = places.iter().flatten().find(|(path, _)| self.make.force && read.contains(path.as_path()));
        if let Some((path, _)) = over {
            bail!("{} would be overwritten by a result; name another folder", path.display());
        }
        let mut taken = HashSet::new();
        let twice = places.iter().flatten().find(|(path, _)| existing == Existing::Replace && !taken.insert(path));
        match twice {
            Some((path, _)) => bail!("{} would be the result of two pictures; give one another name", path.display()),
            None => Ok(places),
        }
    }

    fn origin(&self, wish: &PictureRequest, request: &Request, model: &Arc<Model>) -> Origin {
        let mut settings = request.described(&model.config);
        if let Value::Object(settings) = &mut settings {
            let PaintArgs { strength, context, .. } = *self.paint;
            let resampling = self.resampling(model);
            let blend = self.blend();
            let painted = json!({ "resampling": resampling, "strength": strength, "context": context, "blend": blend });
            settings.insert("inpaint".into(), painted);
        }
        Origin {
            prompt: Some(wish.prompt.clone()),
            negative: wish.negative.clone(),
            seed: Some(wish.seed),
            settings: Some(settings),
            model: Some(model.hash.clone()),
        }
    }
}

/// "a picture takes 72 calls of the denoisers".
fn cost(request: &Request, model: &Model) -> String {
    format!("a picture takes {} calls of the denoisers", request.calls(&model.config))
}

/// Any seed is as good; the one taken is printed and stored in the picture.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) >> 32
}
