//! The variations of a batch, side by side, until one is accepted.

use eframe::egui::{Button, Image, ProgressBar, Ui, vec2};

use crate::app::App;
use crate::making::{a_step, in_words};

/// Side of a variation in the strip, screen points.
const SIDE: f32 = 72.0;

pub(crate) fn staged(app: &mut App, ui: &mut Ui) {
    if let Some(run) = &app.making.run {
        let progress = run.progress;
        let pace = run.per_step.map_or_else(String::new, |time| format!("{}, ", a_step(time)));
        let left = run.left().map_or_else(|| "starting".to_owned(), |left| format!("{pace}{} left", in_words(left)));
        let text = if progress.stages == 0 {
            "preparing".to_owned()
        } else {
            let part = run.part_in_words().map_or_else(String::new, |part| format!("{part}, "));
            format!(
                "{part}stage {} of {}, step {} of {}, {left}",
                progress.stage, progress.stages, progress.step, progress.steps
            )
        };
        ui.add(ProgressBar::new(run.share()).text(text));
        // The clock goes on between two steps.
        ui.ctx().request_repaint_after(run.elapsed().min(std::time::Duration::from_millis(250)));
    }
    if app.making.variations.is_empty() {
        return;
    }
    ui.horizontal(|ui| {
        let mut chosen = None;
        for (i, variation) in app.making.variations.iter().enumerate() {
            let image = Image::new(&variation.thumbnail)
                .fit_to_exact_size(vec2(SIDE, SIDE))
                .alt_text(format!("Variation {}", i + 1));
            let seed = variation.origin.seed.unwrap_or_default();
            let button = Button::image(image).selected(app.making.selected == i);
            if ui.add(button).on_hover_text(format!("Variation {}, seed {seed} (Left, Right)", i + 1)).clicked() {
                chosen = Some(i);
            }
        }
        if let Some(i) = chosen {
            app.making.select(i);
        }
        ui.vertical(|ui| {
            let done = app.making.is_done && !app.is_editing;
            if ui.add_enabled(done, Button::new("Accept")).on_hover_text("It becomes the picture (Enter)").clicked() {
                app.accept();
            }
            if ui.add_enabled(done, Button::new("Discard")).on_hover_text("The picture stays (Backspace)").clicked() {
                app.making.discard();
            }
            if ui.button("Copy seed").on_hover_text("And lock it").clicked() {
                app.keep_seed();
            }
        });
    });
}
