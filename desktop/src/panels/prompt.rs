//! The prompt, what is to happen under the mask, and what it will cost.

use eframe::egui::{Button, ComboBox, DragValue, Slider, TextEdit, Ui};
use firefall_core::diffusion::{Resampling, SamplerKind};
use firefall_core::inpaint::{Blend, region};

use super::tools::widest;
use crate::app::App;
use crate::making::in_words;
use crate::wishes::{MOST, Task, sentence};

pub(crate) fn prompt(app: &mut App, ui: &mut Ui) {
    ui.heading("Prompt");
    let label = ui.label("What the picture shows when it is done");
    let field = TextEdit::multiline(&mut app.wishes.prompt).desired_rows(3).desired_width(f32::INFINITY);
    let field = ui.add(field).labelled_by(label.id);
    if std::mem::take(&mut app.wants_prompt) {
        field.request_focus();
    }
    tasks(app, ui);
    buttons(app, ui);
    cost(app, ui);
    ui.separator();
    ui.add(Slider::new(&mut app.wishes.count, 1..=MOST).text("Variations"));
    ui.horizontal(|ui| {
        let label = ui.label("Seed");
        ui.add(DragValue::new(&mut app.wishes.seed)).labelled_by(label.id);
        ui.checkbox(&mut app.wishes.locked, "Lock").on_hover_text("The same seed again, not the next");
        if ui.button("Roll").on_hover_text("Another seed").clicked() {
            app.roll_seed();
        }
    });
    ui.collapsing("Settings", |ui| settings(app, ui));
}

fn tasks(app: &mut App, ui: &mut Ui) {
    ui.horizontal_wrapped(|ui| {
        for task in Task::ALL {
            let [name, _] = task.words();
            if ui.selectable_label(app.wishes.task == task, name).on_hover_text(task.hint()).clicked() {
                app.wishes.take(task);
            }
        }
    });
    ui.weak(sentence(&app.wishes.manner().words()));
    if app.wishes.task == Task::Remove {
        ui.weak("The background around the mask is asked for, instead of what is written above.");
    }
}

fn buttons(app: &mut App, ui: &mut Ui) {
    ui.horizontal(|ui| {
        let ready = app.about.is_some();
        let generate = Button::new("Generate");
        if ui.add_enabled(ready, generate).on_hover_text("Ctrl+Enter; with nothing marked, the whole picture").clicked()
        {
            app.generate();
        }
        let running = app.making.run.is_some();
        if ui.add_enabled(running, Button::new("Cancel")).on_hover_text("Esc; the last preview stays").clicked() {
            app.engine.stop();
        }
    });
}

fn cost(app: &App, ui: &mut Ui) {
    let Some(calls) = app.calls() else { return };
    let time = app.making.per_call.and_then(|per_call| Some(per_call * u32::try_from(calls).ok()?));
    let time = time.map_or_else(String::new, |time| format!(", about {}", in_words(time)));
    ui.weak(format!("{calls} calls of the denoisers for the batch{time}"));
}

fn settings(app: &mut App, ui: &mut Ui) {
    let label = ui.label("What the picture does not show");
    ui.add(TextEdit::singleline(&mut app.wishes.negative).desired_width(f32::INFINITY)).labelled_by(label.id);
    ui.add(Slider::new(&mut app.wishes.strength, 0.05..=1.0).text("Strength"))
        .on_hover_text("How much of what is under the mask may change");
    let [least, most] = region::CONTEXTS;
    ui.add(Slider::new(&mut app.wishes.context, least..=most).logarithmic(true).max_decimals(2).text("Context"))
        .on_hover_text(
            "How much the model sees beside the mask, in lengths of it; the less, the larger it sees the rest",
        );
    ui.horizontal(|ui| {
        ui.label("Work at the seam");
        ui.selectable_value(&mut app.wishes.resampling, None, "usual").on_hover_text("As much as the model needs");
        for (name, preset) in Resampling::PRESETS {
            ui.selectable_value(&mut app.wishes.resampling, Some(preset), name);
        }
    });
    if app.about.as_ref().is_some_and(|about| about.config.stages.len() > 1) {
        ui.weak("Steps, guidance and sampler of the first stage; the others have the model's.");
    }
    own(ui, "Steps", &mut app.wishes.steps, 18, |value| DragValue::new(value).range(1..=1000));
    own(ui, "Guidance", &mut app.wishes.cond_scale, 3.0, |value| DragValue::new(value).speed(0.1).range(-20.0..=20.0));
    let shown = app.wishes.sampler.clone().unwrap_or_else(|| "the model's".into());
    ComboBox::from_label("Sampler").selected_text(shown).show_ui(ui, |ui| {
        ui.selectable_value(&mut app.wishes.sampler, None, "the model's");
        for name in SamplerKind::NAMES {
            ui.selectable_value(&mut app.wishes.sampler, Some(name.to_owned()), name);
        }
    });
    let most = widest(app);
    blend(ui, &mut app.wishes.blend, most);
}

/// How what is painted goes over into the picture, and by how many pixels its mask grows at most.
fn blend(ui: &mut Ui, blend: &mut Blend, most: f32) {
    let [usual, _] = blend.widths(0);
    let mut grow = usual;
    ui.horizontal(|ui| {
        let slider = Slider::new(&mut grow, 0.0..=most).fixed_decimals(0).suffix(" px").text("Grow the mask");
        if ui.add(slider).on_hover_text("As usual by 4, and by more in a large picture").changed() {
            blend.grow = Some(grow);
        }
        if blend.grow.is_some() && ui.small_button("As usual").clicked() {
            blend.grow = None;
        }
    });
    own(ui, "Feather (px)", &mut blend.feather, 32.0, |value| DragValue::new(value).range(0.0..=Blend::WIDEST));
    ui.checkbox(&mut blend.match_colour, "Match colours");
}

/// A value that is the model's own unless the box is ticked.
fn own<T: Copy>(ui: &mut Ui, name: &str, value: &mut Option<T>, usual: T, edit: impl Fn(&mut T) -> DragValue<'_>) {
    ui.horizontal(|ui| {
        let mut is_set = value.is_some();
        let label = ui.checkbox(&mut is_set, name).on_hover_text("Without it, as usual");
        *value = is_set.then(|| value.unwrap_or(usual));
        if let Some(value) = value {
            ui.add(edit(value)).labelled_by(label.id);
        }
    });
}
