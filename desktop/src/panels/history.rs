//! The history: pictures accepted so far, also of earlier days.

use eframe::egui::{Button, Image, ScrollArea, Ui, vec2};

use crate::app::App;

/// Side of a picture in the list, screen points.
const SIDE: f32 = 72.0;

pub(crate) fn history(app: &mut App, ui: &mut Ui) {
    ui.weak("Accepted pictures. Click one to open it with its settings.");
    let entries = app.gallery.as_ref().map(|gallery| gallery.entries.clone()).unwrap_or_default();
    if entries.is_empty() {
        ui.label("Nothing yet.");
    }
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            for path in entries {
                let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                let texture = app.gallery.as_ref().and_then(|gallery| gallery.thumbnail(&path));
                let size = vec2(SIDE, SIDE);
                let entry = match texture {
                    Some(texture) => {
                        let image = Image::new(&texture).fit_to_exact_size(size).alt_text(name.clone());
                        ui.add(Button::image(image)).on_hover_text(name)
                    }
                    None => ui.add_sized(size, Button::new(name).wrap()),
                };
                if entry.clicked() {
                    app.errands.open(path.clone());
                }
                if let Some(gallery) = app.gallery.as_mut().filter(|_| ui.is_rect_visible(entry.rect)) {
                    gallery.ask(path, &app.errands);
                }
            }
        });
    });
}
