//! A run as the window sees it: how far it is, what it shows so far, and the variations that wait to be accepted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::{ColorImage, Context, TextureHandle, TextureOptions};
use firefall_core::cascade::Event;
use firefall_core::image::Picture;
use firefall_core::inpaint::Job;
use firefall_core::png::Origin;

use crate::wishes::Batch;

/// One of the pictures of a run, done or not.
pub(crate) struct Variation {
    /// The square that the model painted.
    pub(crate) painted: Arc<Picture>,
    /// How it was made.
    pub(crate) origin: Origin,
    /// The square, small; what the strip shows.
    pub(crate) thumbnail: TextureHandle,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) stage: usize,
    pub(crate) stages: usize,
    pub(crate) step: usize,
    pub(crate) steps: usize,
    /// Calls of the denoisers so far and in all.
    pub(crate) calls: [usize; 2],
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Run {
    ticket: u64,
    pub(crate) progress: Progress,
    /// How each picture is made; nothing until the run has begun.
    origins: Vec<Origin>,
    /// Calls of the denoisers up to the end of each stage, beginning with none.
    calls: Vec<usize>,
    /// Pictures that are made, and those that are being made at once.
    part: [usize; 2],
    started: Instant,
    /// When the first step was done: what comes before says nothing of the speed.
    first: Option<(Instant, usize)>,
    /// The same of this stage.
    first_of_stage: Option<(Instant, usize)>,
    /// How long a step of this stage takes.
    pub(crate) per_step: Option<Duration>,
}

/// What is made, and what was made last.
#[derive(Default)]
pub(crate) struct Making {
    pub(crate) run: Option<Run>,
    /// What the variations were painted into; gone when they are accepted or discarded.
    pub(crate) job: Option<Arc<Job>>,
    pub(crate) variations: Vec<Variation>,
    /// The one on the canvas.
    pub(crate) selected: usize,
    /// Whether the variations are done; previews otherwise.
    pub(crate) is_done: bool,
    /// Whether they are what a run showed last that did not come to its end.
    is_stopped: bool,
    /// How long a call of a denoiser takes for a batch, as measured last.
    pub(crate) per_call: Option<Duration>,
    /// What the canvas shows, and the number under which it was asked for.
    pub(crate) patch: Option<(u64, Arc<ColorImage>)>,
    /// Counts what the canvas would have to draw anew.
    revision: u64,
    /// The number of the patch that was asked for last.
    asked: u64,
    /// Whether that one is still worked out.
    is_asking: bool,
    /// Patches up to this number show what is gone.
    gone: u64,
    /// The first seed of the batch that came to its end or was stopped last, and how many pictures it had.
    pub(crate) last: Option<(u64, usize)>,
}

impl Making {
    /// A run is asked for. It has to be prepared first.
    pub(crate) fn begin(&mut self, ticket: u64) {
        self.discard();
        self.run = Some(Run::new(ticket));
    }

    /// The run of `ticket` is prepared, unless another is wanted by now.
    pub(crate) fn began(&mut self, ticket: u64, batch: Batch) {
        if let Some(run) = self.run.as_mut().filter(|run| run.ticket == ticket) {
            run.part = [0, batch.origins.len()];
            run.origins = batch.origins;
            run.progress.calls[1] = batch.calls.last().copied().unwrap_or_default();
            run.calls = batch.calls;
            self.job = Some(batch.job);
        }
    }

    /// The run of `ticket` begins with `size` pictures after those that are made.
    pub(crate) fn part(&mut self, ticket: u64, made: usize, size: usize) {
        if let Some(run) = self.run.as_mut().filter(|run| run.ticket == ticket) {
            run.begin([made, size]);
        }
    }

    /// Throws away what is not accepted.
    pub(crate) fn discard(&mut self) {
        self.variations.clear();
        self.job = None;
        self.selected = 0;
        self.is_done = false;
        self.is_stopped = false;
        self.patch = None;
        self.gone = self.revision;
        self.revision += 1;
    }

    /// What is to be worked out for the canvas now, under which number: one patch at a time, and always the newest.
    pub(crate) fn wants_patch(&mut self) -> Option<(u64, Arc<Job>, Arc<Picture>)> {
        if self.is_asking || self.asked == self.revision {
            return None;
        }
        let (job, variation) = self.waiting()?;
        let wanted = (self.revision, job.clone(), variation.painted.clone());
        (self.asked, self.is_asking) = (self.revision, true);
        Some(wanted)
    }

    /// A patch is there, or cannot be had.
    pub(crate) fn take_patch(&mut self, shown: Option<(u64, ColorImage)>) {
        self.is_asking = false;
        if let Some((number, image)) = shown.filter(|(number, _)| *number > self.gone && !self.variations.is_empty()) {
            self.patch = Some((number, Arc::new(image)));
        }
    }

    /// What waits to be accepted.
    pub(crate) fn waiting(&self) -> Option<(&Arc<Job>, &Variation)> {
        Some((self.job.as_ref()?, self.variations.get(self.selected)?))
    }

    /// What a variation says of how it was made. Seed and settings of a run that was stopped would make another picture.
    pub(crate) fn told(&self, variation: &Variation) -> Origin {
        let origin = variation.origin.clone();
        if self.is_stopped { Origin { seed: None, settings: None, ..origin } } else { origin }
    }

    /// Shows another of the variations.
    pub(crate) fn select(&mut self, index: usize) {
        if index < self.variations.len() && index != self.selected {
            self.selected = index;
            self.revision += 1;
        }
    }

    /// Takes an event of the run of `ticket`; one of another run is late and means nothing. Returns a warning.
    pub(crate) fn hear(&mut self, ctx: &Context, ticket: u64, event: Event) -> Option<String> {
        let run = self.run.as_mut().filter(|run| run.ticket == ticket)?;
        match event {
            Event::StageStarted { stage, stages, steps, .. } => {
                run.progress = Progress { stage, stages, steps, step: 0, ..run.progress };
                (run.first_of_stage, run.per_step) = (None, None);
            }
            Event::Step { stage, step, steps, preview } => {
                run.step([stage, step, steps], Instant::now());
                let origins = std::mem::take(&mut run.origins);
                self.show(ctx, preview.unwrap_or_default(), &origins);
                self.run.as_mut()?.origins = origins;
            }
            Event::Done { pictures } => {
                self.per_call = run.per_call().map(|per_call| per_call * run.parts()).or(self.per_call);
                let run = self.run.take()?;
                self.last = run.seeds().or(self.last);
                let origins = run.origins;
                self.is_done = true;
                self.show(ctx, pictures, &origins);
            }
            Event::Warning { message } => return Some(message),
            Event::Encoded { .. } | Event::StageDone { .. } => {}
        }
        None
    }

    /// The run of `ticket` is over; its last preview stays and can be accepted. Whether it was this run.
    pub(crate) fn end(&mut self, ticket: u64) -> bool {
        let ours = self.run.take_if(|run| run.ticket == ticket);
        if let Some(run) = &ours {
            self.last = run.seeds().or(self.last);
            self.is_done = !self.variations.is_empty();
            self.is_stopped = self.is_done;
            self.job = self.job.take().filter(|_| !self.variations.is_empty());
        }
        ours.is_some()
    }

    /// Shows what was made, unless what it was painted into is gone.
    fn show(&mut self, ctx: &Context, pictures: Vec<Picture>, origins: &[Origin]) {
        if pictures.is_empty() || self.job.is_none() {
            return;
        }
        self.revision += 1;
        for (i, (painted, origin)) in pictures.into_iter().zip(origins).enumerate() {
            let image = ColorImage::from_rgb([painted.width, painted.height], &painted.rgb);
            let painted = Arc::new(painted);
            match self.variations.get_mut(i) {
                Some(variation) => {
                    variation.thumbnail.set(image, TextureOptions::LINEAR);
                    variation.painted = painted;
                }
                None => {
                    let thumbnail = ctx.load_texture(format!("variation {}", i + 1), image, TextureOptions::LINEAR);
                    self.variations.push(Variation { painted, origin: origin.clone(), thumbnail });
                }
            }
        }
    }
}

impl Run {
    fn new(ticket: u64) -> Self {
        Self {
            ticket,
            progress: Progress::default(),
            origins: Vec::new(),
            calls: Vec::new(),
            part: [0, 0],
            started: Instant::now(),
            first: None,
            first_of_stage: None,
            per_step: None,
        }
    }

    /// Begins a part from its first stage; how long its steps take is another matter.
    fn begin(&mut self, part: [usize; 2]) {
        self.part = part;
        self.progress = Progress { calls: [0, self.progress.calls[1]], ..Progress::default() };
        (self.first, self.first_of_stage, self.per_step) = (None, None, None);
    }

    /// How many parts like this one there are.
    fn parts(&self) -> u32 {
        u32::try_from(self.origins.len().div_ceil(self.part[1].max(1))).unwrap_or(u32::MAX)
    }

    /// Which pictures are being made, unless it is all of them: "pictures 3 to 4 of 4".
    pub(crate) fn part_in_words(&self) -> Option<String> {
        let ([made, size], all) = (self.part, self.origins.len());
        match size {
            size if size >= all => None,
            1 => Some(format!("picture {} of {all}", made + 1)),
            _ => Some(format!("pictures {} to {} of {all}", made + 1, made + size)),
        }
    }

    /// A stage has done one step more, of so many. The steps of a stage take as many calls each, but for the rounding.
    fn step(&mut self, [stage, step, steps]: [usize; 3], now: Instant) {
        let up_to = |stage: usize| self.calls.get(stage).copied().unwrap_or_default();
        let (before, after) = (up_to(stage.saturating_sub(1)), up_to(stage));
        let done = before + after.saturating_sub(before) * step / steps.max(1);
        self.progress = Progress { stage, step, steps, calls: [done, self.progress.calls[1]], ..self.progress };
        self.first.get_or_insert((now, done));
        let (since, first) = *self.first_of_stage.get_or_insert((now, step));
        let made = u32::try_from(step.saturating_sub(first)).unwrap_or(u32::MAX);
        self.per_step = now.duration_since(since).checked_div(made).or(self.per_step);
    }

    /// The first seed and how many there are, once it has begun.
    fn seeds(&self) -> Option<(u64, usize)> {
        Some((self.origins.first()?.seed?, self.origins.len()))
    }

    fn per_call(&self) -> Option<Duration> {
        let (since, calls) = self.first?;
        let made = self.progress.calls[0].checked_sub(calls).filter(|made| *made > 0)?;
        Some(since.elapsed() / u32::try_from(made).ok()?)
    }

    /// Time left, once there is something to reckon from.
    pub(crate) fn left(&self) -> Option<Duration> {
        let ([done, all], [made, size]) = (self.progress.calls, self.part);
        let later = self.origins.len().saturating_sub(made + size).div_ceil(size.max(1));
        Some(self.per_call()? * u32::try_from(all.saturating_sub(done) + later * all).ok()?)
    }

    /// Time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// From 0 to 1.
    pub(crate) fn share(&self) -> f32 {
        let ([done, all], [made, size]) = (self.progress.calls, self.part);
        let pictures = made as f32 + size as f32 * done as f32 / all.max(1) as f32;
        (pictures / self.origins.len().max(1) as f32).min(1.0)
    }
}

/// "12 s", "3 min": nobody wants more.
pub(crate) fn in_words(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 9.5 => format!("{s:.1} s"),
        s if s < 99.5 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// "0.25 s a step".
pub(crate) fn a_step(time: Duration) -> String {
    format!("{:.2} s a step", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
