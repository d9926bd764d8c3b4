//! Training: choose what is to be learnt, watch it, stop it, go on.

use std::path::PathBuf;
use std::time::Instant;

use eframe::egui::{Button, ColorImage, ComboBox, Image, TextureHandle, TextureOptions, Ui};
use egui_plot::{Line, Plot, PlotPoints};
use firefall_core::train::Metrics;

use crate::app::App;
use crate::errands::{Folder, Purpose};
use crate::training::{Lesson, Taught};

/// The presets that are offered.
const PRESETS: [&str; 2] = ["tiny", "small"];
/// Points of the curve, at most; beyond it every other one goes.
const POINTS: usize = 4000;

/// What the panel knows.
pub(crate) struct Classroom {
    pub(crate) lesson: Lesson,
    is_running: bool,
    stage: Option<(usize, usize, u64)>,
    /// How well the text encoder reads, before there are pictures.
    reading: Option<String>,
    last: Option<Metrics>,
    /// Pictures and time at the beginning of a stage, for the speed.
    since: Option<(u64, Instant)>,
    speed: Option<f64>,
    curve: Vec<[f64; 2]>,
    sheet: Option<TextureHandle>,
}

impl Classroom {
    pub(crate) fn new(out: PathBuf) -> Self {
        let lesson = Lesson { out, data: None, preset: PRESETS[0].into() };
        let (stage, reading, last, since, speed, curve, sheet) = (None, None, None, None, None, Vec::new(), None);
        Self { lesson, is_running: false, stage, reading, last, since, speed, curve, sheet }
    }

    /// Takes what was told; a failure is for everybody.
    pub(crate) fn hear(&mut self, ctx: &eframe::egui::Context, taught: Taught) -> Option<String> {
        match taught {
            Taught::Begun => {
                let lesson = self.lesson.clone();
                *self = Self { lesson, is_running: true, sheet: self.sheet.take(), ..Self::new(PathBuf::new()) };
            }
            Taught::Stage { stage, stages, steps } => {
                self.stage = Some((stage, stages, steps));
                self.curve.clear();
                (self.last, self.since, self.speed) = (None, None, None);
            }
            Taught::Reading { step, steps, right } => {
                let right = 100.0 * right;
                self.reading = Some(format!("Reading, {step} of {steps}: {right:.0} % of captions understood"));
            }
            Taught::Measured(metrics) => self.measure(metrics),
            Taught::Sheet(sheet) => {
                let image = ColorImage::from_rgb([sheet.width, sheet.height], &sheet.rgb);
                self.sheet = Some(ctx.load_texture("samples", image, TextureOptions::LINEAR));
            }
            Taught::Ended { failure } => {
                self.is_running = false;
                return failure;
            }
        }
        None
    }

    fn measure(&mut self, metrics: Metrics) {
        self.reading = None;
        let (pictures, since) = *self.since.get_or_insert((metrics.pictures, Instant::now()));
        let seconds = since.elapsed().as_secs_f64();
        if seconds > 0.0 && metrics.pictures > pictures {
            self.speed = Some((metrics.pictures - pictures) as f64 / seconds);
        }
        self.curve.push([metrics.step as f64, metrics.loss]);
        if self.curve.len() > POINTS {
            let mut nth = 0;
            self.curve.retain(|_| {
                nth += 1;
                nth % 2 == 0
            });
        }
        self.last = Some(metrics);
    }
}

pub(crate) fn training(app: &mut App, ui: &mut Ui) {
    let room = &mut app.classroom;
    let mut wanted = None;
    ui.add_enabled_ui(!room.is_running, |ui| {
        ui.horizontal_wrapped(|ui| {
            if ui.selectable_label(room.lesson.data.is_none(), "The shapes world").clicked() {
                room.lesson.data = None;
            }
            let folder = room.lesson.data.as_ref().map_or_else(|| "Pictures…".to_owned(), |f| f.display().to_string());
            let hint = "A folder of pictures, each with its caption in a .txt beside it";
            if ui.selectable_label(room.lesson.data.is_some(), folder).on_hover_text(hint).clicked() {
                wanted = Some(Folder::Pictures);
            }
        });
        ComboBox::from_label("Preset").selected_text(&room.lesson.preset).show_ui(ui, |ui| {
            for preset in PRESETS {
                ui.selectable_value(&mut room.lesson.preset, preset.to_owned(), preset);
            }
        });
        if ui.button("Run folder…").on_hover_text("Where the run keeps its model and checkpoints").clicked() {
            wanted = Some(Folder::Run);
        }
    });
    ui.weak(room.lesson.out.display().to_string());
    ui.horizontal(|ui| {
        let begin = if room.lesson.is_begun() { "Go on" } else { "Start" };
        if ui.add_enabled(!room.is_running && app.about.is_some(), Button::new(begin)).clicked() {
            app.engine.train(room.lesson.clone());
        }
        if ui.add_enabled(room.is_running, Button::new("Stop")).on_hover_text("Saves; it can go on later").clicked() {
            app.engine.stop_training();
        }
    });
    if let Some(reading) = &room.reading {
        ui.label(reading);
    } else if let Some((stage, stages, steps)) = room.stage {
        let step = room.last.map_or(0, |metrics| metrics.step);
        let loss = room.last.map_or_else(|| "-".into(), |metrics| format!("{:.4}", metrics.loss));
        let speed = room.speed.map_or_else(|| "-".into(), |speed| format!("{speed:.0}"));
        ui.label(format!("Stage {stage} of {stages}, step {step} of {steps}, loss {loss}, {speed} pictures/s"));
    }
    if !room.curve.is_empty() {
        let line = Line::new("loss", PlotPoints::from(room.curve.clone()));
        Plot::new("loss").height(140.0).allow_scroll(false).show(ui, |plot| plot.line(line));
    }
    if let Some(sheet) = &room.sheet {
        ui.add(Image::new(sheet).max_width(ui.available_width()).alt_text("Samples of the model in training"));
    }
    if let Some(folder) = wanted {
        app.choose(Purpose::Folder(folder));
    }
}
