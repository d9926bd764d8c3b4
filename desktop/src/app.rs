//! The state of the window, and the loop that draws it. No model code: requests go out, events come in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use eframe::egui::{self, CentralPanel, Context, Panel, ScrollArea, Ui};
use firefall_cli::device::DeviceChoice;
use firefall_cli::files::Existing;
use firefall_core::image::{Mask, Picture};
use firefall_core::inpaint::Job;
use firefall_core::png::Origin;

use crate::canvas::{Hand, View};
use crate::document::{Autosaver, Document, Journal};
use crate::engine::{About, Engine, Told};
use crate::errands::{Errands, Folder, Outcome};
use crate::gallery::Gallery;
use crate::making::Making;
use crate::panels::{self, Classroom};
use crate::wishes::{Wishes, sentence};

/// Side of a new picture before a model says how large its own are.
const SIDE: usize = 128;
/// The most sentences that wait to be dismissed.
const NOTICES: usize = 4;

/// How the program was called.
#[derive(Debug, Clone)]
pub struct Options {
    /// A picture to open.
    pub picture: Option<PathBuf>,
    /// The model's folder; the shipped model if absent.
    pub model: Option<PathBuf>,
    /// Which device does the work.
    pub device: DeviceChoice,
    /// Where history and sessions are kept.
    pub data: PathBuf,
}

/// What is shown on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    History,
    Models,
    Training,
}

/// The window.
pub struct App {
    pub(crate) document: Document,
    /// The file that the picture came from.
    pub(crate) source: Option<PathBuf>,
    pub(crate) wishes: Wishes,
    pub(crate) view: View,
    pub(crate) hand: Hand,
    pub(crate) making: Making,
    pub(crate) engine: Engine,
    pub(crate) errands: Errands,
    pub(crate) gallery: Option<Gallery>,
    pub(crate) classroom: Classroom,
    /// What the model is; nothing until one is loaded.
    pub(crate) about: Option<About>,
    /// The device in words.
    pub(crate) device: String,
    pub(crate) device_choice: DeviceChoice,
    pub(crate) notices: Vec<String>,
    pub(crate) shows_help: bool,
    side: Side,
    /// How the accepted picture was made.
    origin: Origin,
    autosaver: Option<Autosaver>,
    /// What the journal has: the document's revision and the wishes.
    kept: (u64, Wishes),
    pub(crate) wants_prompt: bool,
}

impl App {
    /// Opens the picture of `options`, or what a crash left behind, or a white one; loads the model behind it.
    ///
    /// # Errors
    /// The system has no thread for the engine.
    pub fn new(cc: &eframe::CreationContext<'_>, options: Options) -> Result<Self> {
        let ctx = cc.egui_ctx.clone();
        let wake = ctx.clone();
        let engine = Engine::start(move || wake.request_repaint())?;
        engine.open(options.device, options.model.clone());
        let mut app = Self {
            document: Document::new(Picture::filled(SIDE, SIDE, [255; 3])),
            source: None,
            wishes: Wishes::default(),
            view: View::default(),
            hand: Hand::default(),
            making: Making::default(),
            engine,
            errands: Errands::new(ctx),
            gallery: None,
            classroom: Classroom::new(options.data.join("training")),
            about: None,
            device: "opening a device".into(),
            device_choice: options.device,
            notices: Vec::new(),
            shows_help: false,
            side: Side::History,
            origin: Origin::default(),
            autosaver: None,
            kept: (0, Wishes::default()),
            wants_prompt: true,
        };
        match Gallery::open(&options.data.join("history")) {
            Ok(gallery) => app.gallery = Some(gallery),
            Err(error) => app.notify(&format!("{error:#}")),
        }
        app.recover(&options.data.join("sessions"), options.picture.is_some());
        if let Some(picture) = options.picture {
            app.errands.open(picture);
        }
        Ok(app)
    }

    /// Takes up what a program that is gone has left, unless a picture is to be opened, and keeps a journal from now on.
    fn recover(&mut self, root: &Path, is_opening: bool) {
        match Journal::abandoned(root) {
            Err(error) => self.notify(&format!("{error:#}")),
            Ok(found) => {
                for damaged in &found.damaged {
                    self.notify(&format!("{} cannot be brought back: {}", damaged.folder.display(), damaged.reason));
                }
                let waiting = found.sessions.len().saturating_sub(1);
                if waiting > 0 && !is_opening {
                    self.notify(&format!("{waiting} more sessions were left; they come back with the next windows"));
                }
                if let Some(session) = found.sessions.into_iter().next().filter(|_| !is_opening) {
                    match session.read().and_then(|saved| Ok((Document::restored(&saved)?, saved))) {
                        Err(error) => self.notify(&format!("{error:#}")),
                        Ok((document, saved)) => {
                            (self.document, self.source) = (document, saved.source);
                            self.wishes = Wishes::restored(&saved.settings);
                            self.notify("The last session is back as it was");
                            self.take_journal(root);
                            // Only once the new journal has it.
                            let flushed = self.autosaver.as_ref().map_or(Ok(()), Autosaver::flush);
                            if let Err(error) = flushed.and_then(|()| session.discard()) {
                                self.notify(&format!("{error:#}"));
                            }
                            return;
                        }
                    }
                }
            }
        }
        self.take_journal(root);
    }

    fn take_journal(&mut self, root: &Path) {
        let journal = std::fs::create_dir_all(root).map_err(Into::into).and_then(|()| Journal::open(root));
        match journal.and_then(Autosaver::start) {
            Ok(autosaver) => self.autosaver = Some(autosaver),
            Err(error) => self.notify(&format!("nothing is kept for a crash: {error:#}")),
        }
        self.keep(true);
    }

    /// Says something until it is dismissed.
    pub(crate) fn notify(&mut self, text: &str) {
        let text = sentence(text);
        self.notices.retain(|notice| *notice != text);
        self.notices.push(text);
        let over = self.notices.len().saturating_sub(NOTICES);
        self.notices.drain(..over);
    }

    /// Gives the journal what it does not have. A window in which nothing was done leaves nothing behind.
    fn keep(&mut self, anew: bool) {
        let revision = self.document.revision();
        let is_blank = !self.document.is_changed() && self.wishes == Wishes::default() && self.source.is_none();
        if self.document.is_stroking() || is_blank || (!anew && self.kept.0 == revision && self.kept.1 == self.wishes) {
            return;
        }
        self.kept = (revision, self.wishes.clone());
        let settings = serde_json::to_value(&self.wishes).unwrap_or_default();
        if let Some(autosaver) = &self.autosaver {
            autosaver.save(self.document.snapshot(settings, self.source.clone()));
        }
    }

    pub(crate) fn open_model(&mut self, device: DeviceChoice, model: Option<PathBuf>) {
        self.device_choice = device;
        self.engine.open(device, model);
    }

    /// The work that is asked for. Where nothing is marked, all of the picture is to be painted.
    fn job(&self) -> Result<(Job, &About), String> {
        let about = self.about.as_ref().ok_or("no model is loaded yet")?;
        let picture = Picture::clone(self.document.picture());
        let mask = match self.document.mask().bounds() {
            Some(_) => Mask::clone(self.document.mask()),
            None => Mask::filled(picture.width, picture.height, 255),
        };
        let job = Job::new(picture, mask, self.wishes.blend, &about.config).map_err(|e| e.to_string())?;
        Ok((job, about))
    }

    pub(crate) fn generate(&mut self) {
        self.document.end_stroke();
        let asked = self.job().and_then(|(job, about)| {
            let request = self.wishes.request(&job, &about.config)?;
            let calls = request.calls(&about.config);
            Ok((job, request, calls))
        });
        match asked {
            Err(why) => self.notify(&why),
            Ok((job, request, calls)) => {
                let ticket = self.engine.make(request.clone());
                self.making.begin(ticket, job, request, calls);
                self.notices.clear();
            }
        }
    }

    /// What a batch costs, in calls of the denoisers.
    pub(crate) fn calls(&self) -> Option<usize> {
        let about = self.about.as_ref()?;
        let settings = |_: &_| firefall_core::cascade::StageSettings {
            steps: self.wishes.steps,
            sampler: self
                .wishes
                .sampler
                .as_deref()
                .and_then(|n| firefall_core::diffusion::SamplerKind::from_name(n).ok()),
            ..Default::default()
        };
        let request = firefall_core::cascade::Request {
            stages: about.config.stages.iter().map(settings).collect(),
            ..Default::default()
        };
        Some(request.calls_painting(&about.config, self.wishes.resampling, self.wishes.strength))
    }

    /// The variation on the canvas becomes the picture, and goes into the history.
    pub(crate) fn accept(&mut self) {
        let Some((job, variation)) = self.making.waiting() else { return };
        let (picture, origin) = (job.finish(&variation.painted), variation.origin.clone());
        if let Err(error) = self.document.accept(picture) {
            return self.notify(&format!("{error:#}"));
        }
        if let Some(gallery) = &self.gallery {
            let place = gallery.place(origin.prompt.as_deref().unwrap_or_default());
            self.errands.save(place, self.document.picture().clone(), origin.clone(), Existing::Number);
        }
        self.origin = origin;
        self.making.discard();
        if !self.wishes.locked {
            self.wishes.seed = self.wishes.seed.wrapping_add(self.wishes.count as u64);
        }
    }

    /// The seed of the variation on the canvas, to use again.
    pub(crate) fn keep_seed(&mut self) {
        let seed = self.making.waiting().and_then(|(_, variation)| variation.origin.seed);
        if let Some(seed) = seed {
            (self.wishes.seed, self.wishes.locked) = (seed, true);
        }
    }

    pub(crate) fn roll_seed(&mut self) {
        use std::hash::{BuildHasher, RandomState};
        // Any seed is as good; this one is shown and stored.
        self.wishes.seed = RandomState::new().hash_one(self.wishes.seed) >> 32;
    }

    pub(crate) fn new_picture(&mut self) {
        let side = self.about.as_ref().map_or(SIDE, |about| about.config.size());
        self.show_picture(Picture::filled(side, side, [255; 3]), None, Origin::default());
    }

    pub(crate) fn show_picture(&mut self, picture: Picture, source: Option<PathBuf>, origin: Origin) {
        self.engine.stop();
        self.making.discard();
        self.hand.let_go(&mut self.document);
        self.document = Document::new(picture);
        self.wishes.adopt(&origin);
        (self.source, self.origin) = (source, origin);
        self.view.reset();
        self.kept.0 = u64::MAX;
    }

    pub(crate) fn save_as(&mut self) {
        let name =
            self.source.as_ref().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
        let name =
            name.map_or_else(|| firefall_cli::naming::file_name(&self.wishes.prompt), |stem| format!("{stem}.png"));
        let revision = self.document.revision();
        self.errands.save_as(&name, self.document.picture().clone(), self.origin.clone(), revision);
    }

    /// Saves to a place that is known.
    pub fn save_to(&mut self, path: &Path) {
        self.errands.save(path.to_owned(), self.document.picture().clone(), self.origin.clone(), Existing::Replace);
    }

    pub(crate) fn set_mask(&mut self, mask: Mask) {
        if let Err(error) = self.document.set_mask(mask) {
            self.notify(&format!("{error:#}"));
        }
    }

    /// Takes what the engine and the errands have brought.
    fn listen(&mut self, ctx: &Context) {
        for told in self.engine.told() {
            match told {
                Told::Opened { device, about } => (self.device, self.about) = (device, Some(about)),
                Told::NotOpened(why) | Told::Notice(why) => self.notify(&why),
                Told::Making { ticket, event } => {
                    let origins = self.origins();
                    if let Some(warning) = self.making.hear(ctx, ticket, event, &origins) {
                        self.notify(&warning);
                    }
                }
                Told::Ended { ticket, failure } => {
                    if self.making.end(ticket)
                        && let Some(why) = failure
                    {
                        self.notify(&why);
                    }
                }
                Told::Training(taught) => {
                    if let Some(why) = self.classroom.hear(ctx, taught) {
                        self.notify(&why);
                    }
                }
            }
        }
        for outcome in self.errands.done() {
            self.take(ctx, outcome);
        }
        while let Some(why) = self.autosaver.as_ref().and_then(Autosaver::error) {
            self.notify(&why);
        }
    }

    fn origins(&self) -> Vec<Origin> {
        let (Some(run), Some(about)) = (&self.making.run, &self.about) else { return Vec::new() };
        let of = |i| self.wishes.origin(&run.request, i, &about.config, &about.hash);
        (0..run.request.pictures.len()).map(of).collect()
    }

    fn take(&mut self, ctx: &Context, outcome: Outcome) {
        match outcome {
            Outcome::Opened { path, picture, origin } => self.show_picture(picture, Some(path), origin),
            Outcome::Mask(mask) => self.set_mask(mask),
            Outcome::Saved { path, revision } => {
                // What was done since then is not in the file, nor is a mask in the history.
                if revision == Some(self.document.revision()) {
                    self.document.mark_saved();
                }
                self.notify(&format!("saved {}", path.display()));
                if let Some(Err(error)) = self.gallery.as_mut().map(Gallery::refresh) {
                    self.notify(&format!("{error:#}"));
                }
            }
            Outcome::Wrote(path) => self.notify(&format!("wrote {}", path.display())),
            Outcome::Thumbnail { path, picture } => {
                if let Some(gallery) = &mut self.gallery {
                    gallery.keep_thumbnail(ctx, path, &picture);
                }
            }
            Outcome::Folder { what: Folder::Model, path } => self.open_model(self.device_choice, Some(path)),
            Outcome::Folder { what: Folder::Run, path } => self.classroom.lesson.out = path,
            Outcome::Folder { what: Folder::Pictures, path } => self.classroom.lesson.data = Some(path),
            Outcome::Failed(why) => self.notify(&why),
            Outcome::Nothing => {}
        }
    }

    fn side(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for (side, name) in [(Side::History, "History"), (Side::Models, "Models"), (Side::Training, "Training")] {
                ui.selectable_value(&mut self.side, side, name);
            }
        });
        ui.separator();
        match self.side {
            Side::History => panels::history(self, ui),
            Side::Models => panels::models(self, ui),
            Side::Training => {
                ScrollArea::vertical().show(ui, |ui| panels::training(self, ui));
            }
        }
    }
}

impl eframe::App for App {
    fn raw_input_hook(&mut self, ctx: &Context, raw_input: &mut egui::RawInput) {
        let is_focused = ctx.memory(|memory| memory.focused().is_some());
        self.view.shows_original = crate::keys::take_tab(raw_input, is_focused, self.view.shows_original);
    }

    fn logic(&mut self, ctx: &Context, _: &mut eframe::Frame) {
        self.listen(ctx);
        self.keep(false);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.keys(ui);
        Panel::top("menu").show(ui, |ui| panels::menu(self, ui));
        Panel::bottom("status").show(ui, |ui| panels::status(self, ui));
        Panel::left("left").default_size(270.0).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                panels::prompt(self, ui);
                ui.separator();
                panels::tools(self, ui);
            });
        });
        Panel::right("right").default_size(260.0).show(ui, |ui| self.side(ui));
        if self.making.run.is_some() || !self.making.variations.is_empty() {
            Panel::bottom("staged").show(ui, |ui| panels::staged(self, ui));
        }
        CentralPanel::default().show(ui, |ui| {
            self.hand.canvas(ui, &mut self.view, &mut self.document, &self.making);
        });
        if self.shows_help {
            self.shows_help = panels::sheet(ui.ctx());
        }
    }

    fn on_exit(&mut self) {
        self.document.end_stroke();
        self.keep(false);
        let Some(autosaver) = self.autosaver.take() else { return };
        // What is not saved elsewhere stays in the journal, and comes back with the next window.
        let outcome = if self.document.is_changed() { autosaver.flush() } else { autosaver.close() };
        if let Err(error) = outcome.context("the session was not kept") {
            firefall_cli::outcome::say(&format!("warning: {error:#}"));
        }
    }
}

/// What the clipboard gives and takes.
pub(crate) fn to_image(picture: &Arc<Picture>) -> egui::ColorImage {
    egui::ColorImage::from_rgb([picture.width, picture.height], &picture.rgb)
}
