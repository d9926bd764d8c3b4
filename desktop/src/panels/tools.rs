//! The tools: brush, eraser, rectangle, lasso, and what is done to the whole mask.

use eframe::egui::{Button, DragValue, Slider, Ui};

use crate::app::App;
use crate::canvas::{SIZE, Tool};
use crate::document::MaskEdit;
use crate::errands::Purpose;

pub(crate) fn tools(app: &mut App, ui: &mut Ui) {
    ui.heading("Mask");
    ui.horizontal_wrapped(|ui| {
        for tool in Tool::ALL {
            let (name, key) = tool.words();
            let hint = format!("{name} ({})", key.name());
            if ui.selectable_label(app.hand.tool == tool, name).on_hover_text(hint).clicked() {
                app.hand.tool = tool;
            }
        }
    });
    let [least, most] = SIZE;
    ui.add(Slider::new(&mut app.hand.size, least..=most).logarithmic(true).fixed_decimals(0).text("Size"))
        .on_hover_text("In pixels of the picture: [ and ], or Alt and the wheel");
    let mut hardness = app.hand.hardness * 100.0;
    ui.add(Slider::new(&mut hardness, 0.0..=100.0).fixed_decimals(0).suffix(" %").text("Hardness"));
    app.hand.hardness = hardness / 100.0;
    ui.separator();
    let is_free = app.is_free();
    ui.add_enabled_ui(is_free, |ui| {
        ui.horizontal_wrapped(|ui| {
            if ui.button("Clear").on_hover_text("Nothing is painted (Delete)").clicked() {
                app.edit_mask(MaskEdit::Clear);
            }
            if ui.button("Invert").on_hover_text("Painted and kept change places (I)").clicked() {
                app.edit_mask(MaskEdit::Invert);
            }
            if ui.button("Everything").on_hover_text("All of the picture is painted (Ctrl+A)").clicked() {
                app.edit_mask(MaskEdit::Everything);
            }
        });
        ui.horizontal_wrapped(|ui| {
            let by = app.hand.by;
            if ui.button("Grow").clicked() {
                app.edit_mask(MaskEdit::Grow(by));
            }
            if ui.button("Shrink").clicked() {
                app.edit_mask(MaskEdit::Shrink(by));
            }
            if ui.button("Feather").clicked() {
                app.edit_mask(MaskEdit::Feather(by));
            }
            let most = widest(app);
            ui.add(Slider::new(&mut app.hand.by, 1.0..=most).fixed_decimals(0).suffix(" px").text("By"));
        });
        ui.horizontal_wrapped(|ui| {
            if ui.button("Import mask…").on_hover_text("White is painted").clicked() {
                app.choose(Purpose::Mask);
            }
            if ui.add(Button::new("Export mask…")).clicked() {
                app.export_mask();
            }
        });
    });
    adjust(app, ui);
    ui.add_enabled_ui(is_free, |ui| extend(app, ui));
    ui.collapsing("How the mask is shown", |ui| {
        let overlay = &mut app.view.overlay;
        ui.horizontal(|ui| {
            let label = ui.label("Colour");
            ui.color_edit_button_srgba(&mut overlay.colour).labelled_by(label.id);
        });
        ui.add(Slider::new(&mut overlay.opacity, 0.1..=1.0).text("Opacity"));
        ui.checkbox(&mut overlay.outline, "Only its outline");
    });
}

/// The most by which an edge is moved or softened, in pixels: an eighth of a large picture.
pub(super) fn widest(app: &App) -> f32 {
    let picture = app.document.picture();
    (picture.width.max(picture.height) as f32 / 8.0).max(64.0)
}

/// The mask as it would be, on the canvas, while sliders move.
fn adjust(app: &mut App, ui: &mut Ui) {
    let (can_try, most) = (app.can_try(), widest(app));
    ui.add_enabled_ui(can_try, |ui| {
        ui.collapsing("Adjust with a preview", |ui| {
            let wanted = &mut app.trial.wanted;
            ui.add(Slider::new(&mut wanted.threshold, 0.0..=100.0).fixed_decimals(0).suffix(" %").text("Threshold"))
                .on_hover_text("What is painted by so much is painted wholly, the rest not at all; 0 leaves it soft");
            ui.add(Slider::new(&mut wanted.grow, -most..=most).fixed_decimals(0).suffix(" px").text("Grow or shrink"));
            ui.add(Slider::new(&mut wanted.feather, 0.0..=most).fixed_decimals(0).suffix(" px").text("Feather over"));
        });
        if app.trial.is_on() {
            ui.horizontal_wrapped(|ui| {
                if ui.button("Apply").on_hover_text("One step, which can be undone").clicked() {
                    app.apply_trial();
                }
                if ui.button("Put back").on_hover_text("The mask as it was (Esc)").clicked() {
                    app.put_back();
                }
            });
        }
    });
    app.tend_trial();
}

/// Room around the picture, to be painted.
fn extend(app: &mut App, ui: &mut Ui) {
    ui.collapsing("Extend the picture", |ui| {
        for (name, margin) in ["Left", "Right", "Top", "Bottom"].into_iter().zip(&mut app.margins) {
            ui.horizontal(|ui| {
                let label = ui.label(name);
                ui.add(DragValue::new(margin).range(0..=4096).suffix(" px")).labelled_by(label.id);
            });
        }
        let is_more = app.margins != [0; 4];
        let extend = ui.add_enabled(is_more, Button::new("Extend"));
        if extend.on_hover_text("What is added is marked; Generate paints it").clicked() {
            app.extend();
        }
    });
}
