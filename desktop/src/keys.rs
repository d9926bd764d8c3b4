//! What the keys do; `panels/help.rs` says it to the user.

use std::path::PathBuf;

use eframe::egui::{self, Color32, ColorImage, Event, Key, Modifiers, RawInput, Ui};
use firefall_core::image::Picture;
use firefall_core::png::Origin;

use crate::app::{App, to_image};
use crate::canvas::Tool;
use crate::document::MaskEdit;
use crate::errands::Purpose;

/// Takes Tab out of the input where no field is in focus, and tells whether it is held. With a field in focus it goes
/// from field to field, as everywhere.
pub(crate) fn take_tab(input: &mut RawInput, is_focused: bool, was_held: bool) -> bool {
    let mut held = was_held && input.focused;
    let is_tab = |event: &Event| matches!(event, Event::Key { key: Key::Tab, .. });
    for event in input.events.iter().filter(|event| is_tab(event)) {
        if let Event::Key { pressed, .. } = event {
            held = *pressed && !is_focused;
        }
    }
    if !is_focused {
        input.events.retain(|event| !is_tab(event));
    }
    held
}

/// What shows through is white, as it is in files.
fn over_white(image: &ColorImage) -> Picture {
    let [width, height] = image.size;
    // The colours have been multiplied by their alpha.
    let over = |pixel: &Color32| [pixel.r(), pixel.g(), pixel.b()].map(|v| v.saturating_add(255 - pixel.a()));
    Picture { width, height, rgb: image.pixels.iter().flat_map(over).collect() }
}

impl App {
    /// Everything that a key does, wherever the pointer is.
    pub(crate) fn keys(&mut self, ui: &Ui) {
        self.take_files(ui);
        if self.typing.is_some() || self.next.is_some() {
            // A question has all keys.
            return;
        }
        let pressed = |modifiers: Modifiers, key: Key| ui.input_mut(|input| input.consume_key(modifiers, key));
        if pressed(Modifiers::NONE, Key::F1) {
            self.shows_help = true;
        }
        if pressed(Modifiers::NONE, Key::F6) {
            self.wants_prompt = true;
        }
        if pressed(Modifiers::COMMAND, Key::Enter) {
            self.generate();
        }
        if pressed(Modifiers::COMMAND, Key::O) {
            self.choose(Purpose::Open);
        }
        if pressed(Modifiers::COMMAND, Key::S) {
            self.save_as();
        }
        if pressed(Modifiers::COMMAND, Key::Q) {
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
        if pressed(Modifiers::NONE, Key::Escape) {
            if self.making.run.is_some() {
                self.engine.stop();
            }
            self.hand.let_go(&mut self.document);
            self.put_back();
            self.shows_help = false;
        }
        // A field in focus has the letters, and its own undo, copy and paste.
        let is_free = self.hand.has_focus(ui.ctx()) || !ui.ctx().egui_wants_keyboard_input();
        if is_free && !self.shows_help {
            self.clipboard(ui);
            self.letters(ui);
        }
        // No field can do anything with a picture.
        if !self.shows_help {
            self.take_pasted(ui);
        }
    }

    fn letters(&mut self, ui: &Ui) {
        let pressed = |modifiers: Modifiers, key: Key| ui.input_mut(|input| input.consume_key(modifiers, key));
        let plain = |key: Key| pressed(Modifiers::NONE, key);
        for tool in Tool::ALL {
            if plain(tool.words().1) {
                self.hand.tool = tool;
            }
        }
        for (key, larger) in [(Key::OpenBracket, false), (Key::CloseBracket, true)] {
            if plain(key) {
                self.hand.resize(larger);
            }
        }
        if self.making.waiting().is_none() {
            // With Shift first: the plain one would take it too.
            if pressed(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z) || pressed(Modifiers::COMMAND, Key::Y) {
                self.redo();
            } else if pressed(Modifiers::COMMAND, Key::Z) {
                self.undo();
            }
            if plain(Key::Delete) {
                self.edit_mask(MaskEdit::Clear);
            }
            if plain(Key::I) {
                self.edit_mask(MaskEdit::Invert);
            }
            if pressed(Modifiers::COMMAND, Key::A) {
                self.edit_mask(MaskEdit::Everything);
            }
            if self.hand.tool == Tool::Rectangle && self.is_free() {
                self.hand.keys(ui, &mut self.view, &mut self.document);
            }
        } else {
            let (selected, last) = (self.making.selected, self.making.variations.len().saturating_sub(1));
            if plain(Key::ArrowLeft) {
                self.making.select(selected.saturating_sub(1));
            }
            if plain(Key::ArrowRight) {
                self.making.select((selected + 1).min(last));
            }
            if self.making.is_done && plain(Key::Enter) {
                self.accept();
            } else if self.making.is_done && plain(Key::Backspace) {
                self.making.discard();
            }
        }
        self.looks(ui);
    }

    fn looks(&mut self, ui: &Ui) {
        let typed = |text: &str| {
            ui.input(|input| input.events.iter().any(|event| matches!(event, Event::Text(typed) if typed == text)))
        };
        if typed("0") {
            self.view.fits = true;
        }
        if typed("1") {
            self.view.actual_size();
        }
        let middle = ui.ctx().content_rect().center();
        if typed("+") || typed("=") {
            self.view.zoom_at(1.25, middle);
        }
        if typed("-") {
            self.view.zoom_at(0.8, middle);
        }
        if typed("?") {
            self.shows_help = true;
        }
    }

    fn clipboard(&mut self, ui: &Ui) {
        let events = ui.input(|input| input.events.clone());
        for event in events {
            match event {
                Event::Copy => ui.ctx().copy_image(to_image(self.document.picture())),
                Event::Paste(text) => {
                    self.notify(&format!("the clipboard has no picture but {} letters", text.chars().count()));
                }
                _ => {}
            }
        }
    }

    /// A picture from the clipboard, also where a field is in focus.
    fn take_pasted(&mut self, ui: &Ui) {
        let image = ui.input(|input| {
            input.events.iter().rev().find_map(|event| match event {
                Event::PasteImage(image) => Some(image.clone()),
                _ => None,
            })
        });
        if let Some(image) = image {
            self.show_picture(over_white(&image), None, Origin::default());
        }
    }

    /// Dropped on the window: a picture, or with Shift a mask.
    fn take_files(&mut self, ui: &Ui) {
        let (dropped, shift) = ui.input(|input| (input.raw.dropped_files.clone(), input.modifiers.shift));
        let paths: Vec<PathBuf> = dropped.iter().map(|file| file.path().to_owned()).collect();
        if paths.len() > 1 {
            self.notify(&format!("{} files were dropped; the first is opened", paths.len()));
        }
        let Some(path) = paths.into_iter().next() else { return };
        if path.is_dir() {
            self.notify(&format!("{} is a folder; drop one picture", path.display()));
        } else if shift {
            self.errands.open_mask(path);
        } else {
            self.errands.open(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_through_is_white() {
        let pixels = [[200, 100, 0, 255], [0, 0, 0, 0], [9, 9, 9, 0], [200, 0, 100, 128]];
        let image = ColorImage::from_rgba_unmultiplied([4, 1], pixels.as_flattened());
        let picture = over_white(&image);
        assert_eq!((picture.width, picture.height), (4, 1));
        assert_eq!(picture.rgb[..9], [200, 100, 0, 255, 255, 255, 255, 255, 255]);
        let near = |(is, want): (&u8, u8)| is.abs_diff(want) <= 1;
        assert!(picture.rgb[9..].iter().zip([227, 127, 177]).all(near), "{:?}", picture.rgb);
    }

    #[test]
    fn tab_shows_the_original_only_without_a_field() {
        let key = |pressed| Event::Key {
            key: Key::Tab,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: Modifiers::NONE,
        };
        let input = |pressed| RawInput { events: vec![key(pressed)], focused: true, ..RawInput::default() };
        let mut down = input(true);
        assert!(take_tab(&mut down, false, false) && down.events.is_empty());
        assert!(!take_tab(&mut input(false), false, true));
        let mut down = input(true);
        assert!(!take_tab(&mut down, true, false) && down.events.len() == 1);
        let mut away = RawInput { focused: false, ..RawInput::default() };
        assert!(!take_tab(&mut away, false, true), "the window lost its focus while the key was down");
    }
}
