//! Questions that wait for an answer: where a file is, and what becomes of what is not saved.

use eframe::egui::{Button, Context, Id, Key, Modal, TextEdit, Ui};

use crate::app::App;
use crate::opening::{Answer, Typing};

/// Asks for a path.
pub(crate) fn typing(app: &mut App, ctx: &Context) {
    let Some(typing) = &mut app.typing else { return };
    let shown = Modal::new(Id::unique("typing")).show(ctx, |ui| {
        let was_new = typing.is_new;
        let answer = field(typing, ui);
        (answer, was_new && !typing.is_new)
    });
    let (answer, is_heard) = shown.inner;
    if is_heard {
        app.log("asks for a path");
    }
    let answer = answer.or_else(|| shown.should_close().then_some(false));
    if let Some(is_right) = answer {
        app.typed(is_right);
    }
}

/// Whether the path is right, once that is said.
fn field(typing: &mut Typing, ui: &mut Ui) -> Option<bool> {
    let [title, go] = typing.purpose.words();
    ui.heading(title);
    let label = ui.label("This system has no dialog for it (none of xdg-desktop-portal and zenity). The path:");
    let field = ui.add(TextEdit::singleline(&mut typing.path).desired_width(480.0)).labelled_by(label.id);
    if typing.is_new {
        field.request_focus();
    }
    // From now on what is typed is heard.
    typing.is_new &= !field.has_focus();
    if field.changed() {
        typing.look();
    }
    let is_entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
    if typing.replaces {
        ui.label("There is a file of this name. It will be replaced.");
    }
    let is_path = !typing.path.trim().is_empty();
    ui.horizontal(|ui| {
        let go = if typing.replaces { "Replace the file" } else { go };
        let is_gone = ui.add_enabled(is_path, Button::new(go)).clicked() || (is_entered && is_path);
        let is_left = ui.button("Back").clicked();
        is_gone.then_some(true).or(is_left.then_some(false))
    })
    .inner
}

/// Asks what becomes of what is not saved.
pub(crate) fn asking(app: &mut App, ctx: &Context) {
    if app.typing.is_some() || app.next.as_ref().is_none_or(|next| next.is_saving) {
        return;
    }
    let is_editing = app.is_editing;
    let shown = Modal::new(Id::unique("asking")).show(ctx, |ui| {
        ui.heading("Another picture takes the place of this one");
        ui.label("What was done here is not saved. A saved picture has no mask; that can be exported.");
        ui.horizontal(|ui| {
            let save = ui.add_enabled(!is_editing, Button::new("Save first…")).clicked();
            let discard = ui.add_enabled(!is_editing, Button::new("Go on without saving")).clicked();
            let stay = ui.button("Stay here");
            if ui.memory(|memory| memory.focused().is_none()) {
                stay.request_focus();
            }
            let said = [(save, Answer::Save), (discard, Answer::Discard), (stay.clicked(), Answer::Cancel)];
            said.into_iter().find(|(is_said, _)| *is_said).map(|(_, answer)| answer)
        })
        .inner
    });
    let answer = shown.inner.or_else(|| shown.should_close().then_some(Answer::Cancel));
    if let Some(answer) = answer {
        app.answer(answer);
    }
}
