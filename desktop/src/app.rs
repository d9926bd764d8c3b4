//! The state of the window, and the loop that draws it. No model code: requests go out, events come in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use eframe::egui::{self, CentralPanel, Color32, Context, Frame, Panel, ScrollArea, Ui};
use firefall_cli::device::DeviceChoice;
use firefall_cli::outcome::say;
use firefall_core::image::Picture;

use crate::canvas::{Hand, View};
use crate::document::{Abandoned, Autosaver, Damaged, Document, Found, Journal};
use crate::engine::{About, Engine, Told};
use crate::errands::{Errands, Folder, Outcome, Safe};
use crate::frames::Frames;
use crate::gallery::Gallery;
use crate::habits::{Habits, Looks};
use crate::making::Making;
use crate::opening::{Next, Typing};
use crate::panels::{self, Classroom};
use crate::shelf::Shelf;
use crate::training::Taught;
use crate::trial::Trial;
use crate::watch::Watch;
use crate::wishes::{Wishes, sentence};

/// Side of a new picture before a model says how large its own are.
pub(crate) const SIDE: usize = 128;
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
    /// Whether to say on stderr what happens, and how long frames take.
    pub verbose: bool,
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
    /// Sessions that cannot be brought back, until the user has said what becomes of them.
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) shows_help: bool,
    /// A path that is typed, where the system has no dialog for it.
    pub(crate) typing: Option<Typing>,
    /// What waits for an answer: it would take the place of what is not saved.
    pub(crate) next: Option<Next>,
    /// Whether an edit of the whole mask or picture is worked out.
    pub(crate) is_editing: bool,
    pub(crate) trial: Trial,
    /// Pixels by which the picture is to be extended: at the left, the right, the top and the bottom.
    pub(crate) margins: [usize; 4],
    pub(crate) frames: Frames,
    pub(crate) habits: Habits,
    /// The models that can be chosen.
    pub(crate) shelf: Shelf,
    pub(crate) watch: Watch,
    side: Side,
    pub(crate) autosaver: Option<Autosaver>,
    /// What the journal has: the document's revision and the wishes.
    pub(crate) kept: (u64, Wishes),
    /// What the wishes are where the user has none: as usual, or as the pictures that were opened say.
    pub(crate) usual: Wishes,
    pub(crate) wants_prompt: bool,
    verbose: bool,
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
        let (watch, habits) = (Watch::on(cc.wgpu_render_state.as_ref(), &ctx), Habits::open(&options.data));
        if habits.looks != Looks::default() {
            habits.looks.apply(&ctx);
        }
        let mut app = Self {
            document: Document::new(Picture::filled(SIDE, SIDE, [255; 3])),
            source: None,
            wishes: Wishes::default(),
            view: View::on(cc.wgpu_render_state.as_ref()),
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
            damaged: Vec::new(),
            shows_help: false,
            typing: None,
            next: None,
            is_editing: false,
            trial: Trial::default(),
            margins: [0; 4],
            frames: Frames::default(),
            habits,
            shelf: Shelf::default(),
            watch,
            side: Side::History,
            autosaver: None,
            kept: (0, Wishes::default()),
            usual: Wishes::default(),
            wants_prompt: true,
            verbose: options.verbose,
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
        let found = Journal::abandoned(root).unwrap_or_else(|error| {
            self.notify(&format!("{error:#}"));
            Found::default()
        });
        self.damaged = found.damaged;
        let left = match (found.sessions.len(), is_opening) {
            (0, _) | (1, false) => None,
            (1, true) => Some("a session of before was left; it comes back when no picture is named".into()),
            (n, true) => Some(format!("{n} sessions of before were left; they come back when no picture is named")),
            (n, false) => Some(format!("{} more sessions were left; they come back with the next windows", n - 1)),
        };
        if let Some(left) = left {
            self.notify(&left);
        }
        match found.sessions.into_iter().next().filter(|_| !is_opening) {
            Some(session) => self.take_up(session, root),
            None => self.take_journal(root),
        }
    }

    /// Goes on with a session that was left.
    fn take_up(&mut self, session: Abandoned, root: &Path) {
        let (document, saved) = match session.read().and_then(|saved| Ok((Document::restored(&saved)?, saved))) {
            Ok(restored) => restored,
            Err(error) => {
                self.notify(&format!("{error:#}"));
                return self.take_journal(root);
            }
        };
        (self.document, self.source) = (document, saved.source);
        self.wishes = Wishes::restored(&saved.settings);
        self.usual.adopt(self.document.origin(), None);
        self.notify("The last session is back as it was");
        self.take_journal(root);
        // Only once the new journal has it.
        if let Err(error) = session.hand_over(self.autosaver.as_ref()) {
            self.notify(&format!("{error:#}"));
        }
    }

    /// What becomes of the first of the damaged sessions: it is removed from the disk, or stays there.
    pub(crate) fn settle(&mut self, is_discarded: bool) {
        if self.damaged.is_empty() {
            return;
        }
        let damaged = self.damaged.remove(0);
        if is_discarded && let Err(error) = damaged.discard() {
            self.notify(&format!("{error:#}"));
        }
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
    pub fn notify(&mut self, text: &str) {
        let text = sentence(text);
        self.log(&text);
        self.notices.retain(|notice| *notice != text);
        self.notices.push(text);
        let over = self.notices.len().saturating_sub(NOTICES);
        self.notices.drain(..over);
    }

    /// Says something on stderr, if that is wanted.
    pub(crate) fn log(&self, text: &str) {
        if self.verbose {
            say(&sentence(text));
        }
    }

    /// Gives the journal what it does not have. A window in which nothing was done leaves nothing behind.
    pub(crate) fn keep(&mut self, anew: bool) {
        let revision = self.document.revision();
        if self.document.is_stroking()
            || self.is_blank()
            || (!anew && self.kept.0 == revision && self.kept.1 == self.wishes)
        {
            return;
        }
        self.kept = (revision, self.wishes.clone());
        let settings = serde_json::to_value(&self.wishes).unwrap_or_default();
        if let Some(autosaver) = &self.autosaver {
            self.watch.keeps(autosaver.folder());
            autosaver.save(self.document.snapshot(settings, self.source.clone()));
        }
    }

    /// Whether there is nothing that a session could bring back.
    fn is_blank(&self) -> bool {
        !self.document.is_touched() && self.wishes == Wishes::default() && self.source.is_none()
    }

    /// Whether a picture was looked at, at most: after a crash it comes back, but nobody misses it after the end.
    fn is_idle(&self) -> bool {
        !self.document.is_touched() && self.wishes == self.usual
    }

    /// Takes what the engine and the errands have brought.
    fn listen(&mut self, ctx: &Context) {
        for told in self.engine.told() {
            self.hear(ctx, told);
        }
        for outcome in self.errands.done() {
            self.take(ctx, outcome);
        }
        while let Some(why) = self.autosaver.as_ref().and_then(Autosaver::error) {
            self.notify(&why);
        }
        if let Some((number, job, painted)) = self.making.wants_patch() {
            self.errands.patch(number, job, painted);
        }
    }

    fn hear(&mut self, ctx: &Context, told: Told) {
        match told {
            Told::Opened { device, choice, about } => {
                self.log(&format!("ready on {device}"));
                if self.about.is_none() {
                    // A picture may have been there before any model.
                    self.wishes.leave_to_model(self.document.origin(), &about.config);
                    self.usual.leave_to_model(self.document.origin(), &about.config);
                }
                if let Some(folder) = &about.folder {
                    self.habits.opened(folder);
                }
                self.shelf.refresh();
                (self.device, self.device_choice, self.about) = (device, choice, Some(about));
            }
            Told::NotOpened(why) | Told::Notice(why) => self.notify(&why),
            Told::Began { ticket, batch } => self.making.began(ticket, *batch),
            Told::Part { ticket, made, size } => self.making.part(ticket, made, size),
            Told::Making { ticket, event } => {
                let was_running = self.making.run.is_some();
                if let Some(warning) = self.making.hear(ctx, ticket, event) {
                    self.notify(&warning);
                }
                if was_running && self.making.run.is_none() {
                    self.log(&format!("made {} pictures", self.making.variations.len()));
                    self.log_frames();
                }
            }
            Told::Ended { ticket, failure } => {
                if self.making.end(ticket) {
                    self.log("the run has ended");
                    self.log_frames();
                    failure.into_iter().for_each(|why| self.notify(&why));
                }
            }
            Told::Training(taught) => {
                self.learn_of(&taught);
                if let Some(why) = self.classroom.hear(ctx, taught) {
                    self.notify(&why);
                }
            }
        }
    }

    /// A run that begins is remembered, and where it has another model, that is looked at.
    fn learn_of(&mut self, taught: &Taught) {
        if matches!(taught, Taught::Begun) {
            self.habits.trained(&self.classroom.lesson.out);
        }
        if matches!(taught, Taught::Begun | Taught::Sheet(_) | Taught::Ended { .. }) {
            self.shelf.refresh();
        }
    }

    fn log_frames(&self) {
        if let Some(frames) = self.frames.of_run() {
            self.log(&frames);
        }
    }

    fn take(&mut self, ctx: &Context, outcome: Outcome) {
        match outcome {
            Outcome::Opened { path, photo, origin } => {
                if let Some(remark) = photo.remark {
                    self.notify(&format!("the file {} {remark}", path.display()));
                }
                if !photo.lost.is_empty() {
                    let what = photo.lost.join("; ");
                    self.notify(&format!("what is saved of {} will lack {what}", path.display()));
                }
                self.show_photo(photo, Some(path), origin);
            }
            Outcome::Mask(mask) => self.set_mask(mask),
            Outcome::Saved { path, safe } => self.saved(&path, &safe),
            Outcome::Wrote(path) => self.notify(&format!("wrote {}", path.display())),
            Outcome::Thumbnail { path, picture } => {
                if let Some(gallery) = &mut self.gallery {
                    gallery.keep_thumbnail(ctx, path, &picture);
                }
            }
            Outcome::Folder { what: Folder::Model, path } => self.open_model(self.device_choice, Some(path)),
            Outcome::Folder { what: Folder::Run, path } => self.classroom.lesson.out = path,
            Outcome::Folder { what: Folder::Pictures, path } => self.classroom.lesson.data = Some(path),
            Outcome::Surveyed(entries) => self.shelf.take(entries),
            Outcome::Edited { edit, origin } => self.edited(edit, origin),
            Outcome::Tried { adjustment, edit } => self.tried(adjustment, edit),
            Outcome::Patch { shown } => self.making.take_patch(shown),
            Outcome::NoDialog { purpose, suggested } => self.typing = Some(Typing::new(purpose, &suggested)),
            Outcome::Failed(why) => {
                self.ask_again();
                self.notify(&why);
            }
            Outcome::Unchosen => self.ask_again(),
        }
    }

    fn saved(&mut self, path: &Path, safe: &Safe) {
        self.notify(&format!("saved {}", path.display()));
        match safe {
            Safe::Picture(picture) => self.document.mark_kept(picture),
            Safe::All(layers) => {
                self.document.mark_saved(layers);
                self.go_on();
            }
        }
        if let Some(Err(error)) = self.gallery.as_mut().map(Gallery::refresh) {
            self.notify(&format!("{error:#}"));
        }
    }

    fn side(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for (side, name) in [(Side::History, "History"), (Side::Models, "Models"), (Side::Training, "Training")] {
                if ui.selectable_value(&mut self.side, side, name).clicked() {
                    self.shelf.refresh();
                }
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

    fn logic(&mut self, ctx: &Context, frame: &mut eframe::Frame) {
        let is_running = self.verbose && self.making.run.is_some();
        self.frames.begin(Instant::now(), frame.info().cpu_usage, is_running);
        if is_running {
            // What is measured is how fast frames can be, not how few are needed.
            ctx.request_repaint();
        }
        self.listen(ctx);
        self.keep(false);
        if let Err(error) = self.habits.keep() {
            self.notify(&format!("{error:#}"));
        }
        self.heed(ctx);
    }

    /// What is behind the panels is cleared in their colour, so that none of them has to be filled: where a processor
    /// draws the window, filling takes most of the time.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        if self.watch.is_lost() {
            // What is drawn nowhere cannot fail.
            return;
        }
        self.keys(ui);
        let [edge, middle] = [Frame::side_top_panel(ui.style()), Frame::central_panel(ui.style())]
            .map(|frame| frame.fill(Color32::TRANSPARENT));
        Panel::top("menu").frame(edge).show(ui, |ui| panels::menu(self, ui));
        Panel::bottom("status").frame(edge).show(ui, |ui| panels::status(self, ui));
        Panel::left("left").frame(edge).default_size(270.0).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                panels::prompt(self, ui);
                ui.separator();
                panels::tools(self, ui);
            });
        });
        Panel::right("right").frame(edge).default_size(260.0).show(ui, |ui| self.side(ui));
        if self.making.run.is_some() || !self.making.variations.is_empty() {
            Panel::bottom("staged").frame(edge).show(ui, |ui| panels::staged(self, ui));
        }
        CentralPanel::default().frame(middle).show(ui, |ui| {
            let is_held = !self.is_free();
            self.hand.canvas(ui, &mut self.view, &mut self.document, &self.making, is_held);
        });
        if self.shows_help {
            self.shows_help = panels::sheet(ui.ctx());
        }
        panels::typing(self, ui.ctx());
        panels::asking(self, ui.ctx());
    }

    fn on_exit(&mut self) {
        self.document.end_stroke();
        self.keep(false);
        let Some(autosaver) = self.autosaver.take() else { return };
        // It comes back with the next window, also where the picture is saved: no file has the mask, the prompt and the rest.
        let is_over = self.is_idle() && !self.watch.is_lost();
        let outcome = if is_over { autosaver.close() } else { autosaver.flush() };
        if let Err(error) = outcome.context("the session was not kept") {
            say(&format!("warning: {error:#}"));
        }
    }
}

/// What the clipboard gives and takes.
pub(crate) fn to_image(picture: &Arc<Picture>) -> egui::ColorImage {
    egui::ColorImage::from_rgb([picture.width, picture.height], &picture.rgb)
}
