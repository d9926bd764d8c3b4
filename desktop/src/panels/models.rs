//! The models that can be chosen, the one in use, and the device it is on.

use std::path::PathBuf;

use eframe::egui::{ComboBox, ScrollArea, Ui};
use firefall_cli::device::{DeviceChoice, adapters};

use crate::app::App;
use crate::errands::{Folder, Purpose};
use crate::habits::absolute;
use crate::shelf::{Entry, Place};
use crate::wishes::sentence;

/// A device and a folder of a model; the shipped one without.
type Wanted = Option<(DeviceChoice, Option<PathBuf>)>;

pub(crate) fn models(app: &mut App, ui: &mut Ui) {
    if app.shelf.wants() {
        let (run, habits) = (app.classroom.lesson.out.clone(), &app.habits);
        app.errands.survey(run, habits.runs().to_vec(), habits.models().to_vec());
    }
    if ui.button("Model folder…").on_hover_text("The model/ of a training run").clicked() {
        app.choose(Purpose::Folder(Folder::Model));
    }
    let mut wanted = devices(app, ui);
    ui.label(format!("In use: {}", app.device));
    ui.separator();
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        wanted = shelf(app, ui).or(wanted.take());
        ui.separator();
        match &app.about {
            None => ui.label("No model is loaded yet."),
            Some(about) => ui.label(describe(about)),
        };
    });
    if let Some((device, model)) = wanted {
        app.open_model(device, model);
    }
}

/// Where the model works.
fn devices(app: &App, ui: &mut Ui) -> Wanted {
    let mut wanted = None;
    let folder = app.about.as_ref().and_then(|about| about.folder.clone());
    ComboBox::from_label("Device").selected_text(app.device_choice.to_string()).show_ui(ui, |ui| {
        let gpus = adapters().iter().enumerate().map(|(n, adapter)| (DeviceChoice::Gpu(n), adapter.describe()));
        let named =
            [(DeviceChoice::Auto, "the first that works".to_owned()), (DeviceChoice::Cpu, "always works".into())];
        for (choice, what) in named.into_iter().chain(gpus) {
            if ui.selectable_label(app.device_choice == choice, format!("{choice}: {what}")).clicked() {
                wanted = Some((choice, folder.clone()));
            }
        }
    });
    wanted
}

/// Every model with what it knows, or why it cannot be loaded.
fn shelf(app: &mut App, ui: &mut Ui) -> Wanted {
    let (mut wanted, mut forgotten) = (None, None);
    // Those that can be chosen are named as a whole, the one in use as it was opened.
    let open = app.about.as_ref().map(|about| about.folder.as_deref().map(absolute));
    for Entry { place, told } in &app.shelf.entries {
        let model = place.model();
        let label = ui.selectable_label(open.as_ref() == Some(&model), place.name());
        let label = match place.folder() {
            Some(folder) => label.on_hover_text(folder.display().to_string()),
            None => label,
        };
        if label.clicked() {
            wanted = Some((app.device_choice, model));
        }
        match (told, place) {
            (Ok(text), _) => {
                // Nothing is known yet.
                if !text.is_empty() {
                    ui.weak(text);
                }
            }
            (Err(why), Place::Shipped) => {
                ui.label(sentence(why));
            }
            (Err(why), Place::Folder(folder) | Place::Run(folder)) => {
                ui.label(sentence(why));
                let hint = "It is not offered any more; its files stay";
                // What was found in a folder of runs would be found again.
                if app.habits.has(folder) && ui.small_button("Forget").on_hover_text(hint).clicked() {
                    forgotten = Some(folder.clone());
                }
            }
        }
    }
    if let Some(folder) = forgotten {
        app.habits.forget(&folder);
        app.shelf.refresh();
    }
    wanted
}

fn describe(about: &crate::engine::About) -> String {
    let place = about.folder.as_ref().map_or_else(|| "comes with the program".to_owned(), |f| f.display().to_string());
    let mut text = format!("{} ({place})\n\n", about.config.name);
    for (i, stage) in about.config.stages.iter().enumerate() {
        let own = &stage.sampling;
        text += &format!(
            "Stage {}: {} x {} pixels, {} steps of {}, guidance {}\n",
            i + 1,
            stage.size,
            stage.size,
            own.steps,
            own.sampler.name(),
            own.cond_scale
        );
    }
    text + &format!("\nWeights {}\n\n{}", about.hash.get(..12).unwrap_or(&about.hash), about.licence)
}
