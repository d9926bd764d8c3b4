//! The tools: brush, eraser, rectangle, lasso, and what is done to the whole mask.

use eframe::egui::{Button, Slider, Ui};

use crate::app::App;
use crate::canvas::{SIZE, Tool};
use crate::errands::Choice;

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
    let is_free = app.making.waiting().is_none();
    ui.add_enabled_ui(is_free, |ui| {
        ui.horizontal_wrapped(|ui| {
            if ui.button("Clear").on_hover_text("Nothing is painted (Delete)").clicked() {
                app.document.clear_mask();
            }
            if ui.button("Invert").on_hover_text("Painted and kept change places (I)").clicked() {
                app.document.invert_mask();
            }
        });
        ui.horizontal_wrapped(|ui| {
            let by = app.hand.by;
            if ui.button("Grow").clicked() {
                app.document.grow_mask(by);
            }
            if ui.button("Shrink").clicked() {
                app.document.shrink_mask(by);
            }
            if ui.button("Feather").clicked() {
                app.document.feather_mask(by);
            }
            ui.add(Slider::new(&mut app.hand.by, 1.0..=64.0).fixed_decimals(0).suffix(" px").text("By"));
        });
        ui.horizontal_wrapped(|ui| {
            if ui.button("Import mask…").on_hover_text("White is painted").clicked() {
                app.errands.choose(Choice::Mask);
            }
            if ui.add(Button::new("Export mask…")).clicked() {
                app.errands.save_mask(app.document.mask().clone());
            }
        });
    });
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
