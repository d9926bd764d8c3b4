//! The model in use, what it knows, and the device it is on.

use std::path::PathBuf;

use eframe::egui::{ComboBox, ScrollArea, Ui};
use firefall_cli::device::{DeviceChoice, adapters};

use crate::app::App;
use crate::errands::{Folder, Purpose};

pub(crate) fn models(app: &mut App, ui: &mut Ui) {
    let mut wanted: Option<(DeviceChoice, Option<PathBuf>)> = None;
    let folder = app.about.as_ref().and_then(|about| about.folder.clone());
    ui.horizontal_wrapped(|ui| {
        let is_shipped = app.about.is_some() && folder.is_none();
        if ui.selectable_label(is_shipped, "Shipped model").clicked() {
            wanted = Some((app.device_choice, None));
        }
        if ui.button("Model folder…").on_hover_text("The model/ of a training run").clicked() {
            app.choose(Purpose::Folder(Folder::Model));
        }
    });
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
    ui.label(format!("In use: {}", app.device));
    ui.separator();
    match &app.about {
        None => {
            ui.label("No model is loaded yet.");
        }
        Some(about) => {
            let text = describe(about);
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| ui.label(text));
        }
    }
    if let Some((device, model)) = wanted {
        app.open_model(device, model);
    }
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
