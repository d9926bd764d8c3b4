//! The bar above, with files and history, and the one below, with what the program has to say.

use eframe::egui::{Button, Slider, ThemePreference, Ui};

use crate::app::App;
use crate::document::HISTORY_MEMORY_MAX;
use crate::errands::Purpose;
use crate::wishes::sentence;

pub(crate) fn menu(app: &mut App, ui: &mut Ui) {
    ui.horizontal_wrapped(|ui| {
        if ui.button("Open…").on_hover_text("Ctrl+O, or drop a picture on the window").clicked() {
            app.choose(Purpose::Open);
        }
        if ui.button("New").on_hover_text("A white picture of the model's size").clicked() {
            app.new_picture();
        }
        if ui.button("Save…").on_hover_text("Ctrl+S; a PNG with its settings").clicked() {
            app.save_as();
        }
        ui.separator();
        let named =
            |what: &str, name: Option<&str>| name.map_or_else(|| what.to_owned(), |name| format!("{what}: {name}"));
        let (undo, redo) = (app.document.undo_name(), app.document.redo_name());
        let can = app.is_free();
        if ui.add_enabled(can && undo.is_some(), Button::new("Undo")).on_hover_text(named("Ctrl+Z", undo)).clicked() {
            app.undo();
        }
        if ui.add_enabled(can && redo.is_some(), Button::new("Redo")).on_hover_text(named("Ctrl+Y", redo)).clicked() {
            app.redo();
        }
        ui.separator();
        if ui.button("Fit").on_hover_text("0").clicked() {
            app.view.fits = true;
        }
        if ui.button("100 %").on_hover_text("1").clicked() {
            app.view.actual_size();
        }
        ui.weak(format!("{:.0} %", app.view.zoom * 100.0));
        ui.separator();
        ui.add(Slider::new(&mut app.view.wipe, 0.0..=1.0).show_value(false).text("Before"))
            .on_hover_text("Wipes to the picture as it was opened; Tab shows all of it");
        ui.separator();
        let mut theme = ui.ctx().options(|options| options.theme_preference);
        for (which, name) in
            [(ThemePreference::System, "Auto"), (ThemePreference::Light, "Light"), (ThemePreference::Dark, "Dark")]
        {
            if ui.selectable_value(&mut theme, which, name).clicked() {
                ui.ctx().set_theme(theme);
                app.habits.looks.theme = theme;
            }
        }
        looks(app, ui);
        if ui.button("Shortcuts").on_hover_text("?").clicked() {
            app.shows_help = true;
        }
    });
}

/// Contrast and motion; both are remembered.
fn looks(app: &mut App, ui: &mut Ui) {
    let mut looks = app.habits.looks;
    ui.toggle_value(&mut looks.contrast, "High contrast")
        .on_hover_text("Black and white, with edges around everything");
    ui.toggle_value(&mut looks.still, "Reduced motion").on_hover_text("Nothing fades, slides or blinks");
    if looks != app.habits.looks {
        looks.apply(ui.ctx());
        app.habits.looks = looks;
    }
}

pub(crate) fn status(app: &mut App, ui: &mut Ui) {
    damaged(app, ui);
    let mut heard = None;
    for (i, notice) in app.notices.iter().enumerate() {
        ui.horizontal_wrapped(|ui| {
            if ui.small_button("Dismiss").clicked() {
                heard = Some(i);
            }
            ui.label(notice);
        });
    }
    if let Some(i) = heard {
        app.notices.remove(i);
    }
    ui.horizontal_wrapped(|ui| {
        let picture = app.document.picture();
        ui.weak(format!("{} x {} pixels", picture.width, picture.height));
        ui.separator();
        ui.weak(&app.device);
        ui.separator();
        let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
        if let Some(stats) = memory_stats::memory_stats() {
            ui.weak(format!(
                "{} in use, {} of it to undo (at most {})",
                mib(stats.physical_mem),
                mib(app.document.history_memory()),
                mib(HISTORY_MEMORY_MAX)
            ));
        }
        if let Some(frames) = app.frames.recent() {
            ui.separator();
            ui.weak(frames).on_hover_text("How long the window's last frames took to draw");
        }
        if let Some(source) = &app.source {
            ui.separator();
            ui.weak(source.display().to_string());
        }
    });
}

/// Asks what becomes of a session that cannot be brought back, one at a time.
fn damaged(app: &mut App, ui: &mut Ui) {
    let Some(damaged) = app.damaged.first() else { return };
    let mut answer = None;
    ui.horizontal_wrapped(|ui| {
        let hint = "Removes its folder from the disk, with the pictures in it";
        if ui.small_button("Remove the damaged session").on_hover_text(hint).clicked() {
            answer = Some(true);
        }
        if ui.small_button("Leave it on the disk").on_hover_text("The next window says it again").clicked() {
            answer = Some(false);
        }
        ui.label(sentence(&format!("a session cannot be brought back: {}", damaged.reason)));
    });
    if let Some(is_discarded) = answer {
        app.settle(is_discarded);
    }
}
