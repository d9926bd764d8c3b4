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
            ui.add(Slider::new(&mut app.hand.by, 1.0..=64.0).fixed_decimals(0).suffix(" px").text("By"));
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
