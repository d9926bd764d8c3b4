//! Models, and what is remembered of the window: which model is taken and what each knows, how the window looks, in which colours a
//! photo is meant, and a graphics device that goes.

use std::fs;
use std::path::PathBuf;

use eframe::egui::{Color32, Theme};
use firefall_cli::files::Existing;
use firefall_cli::png_text::{Origin, write_with_profile};
use firefall_cli::{model, pictures};
use firefall_core::train::TrainConfig;

use super::*;

/// The shipped model in a folder, with something else in its config.
fn folder(at: &Path, [from, to]: [&str; 2]) {
    fs::create_dir_all(at).unwrap();
    let names = ["model.json", "tokenizer.json", "text.safetensors", "stage1.safetensors", "stage2.safetensors"];
    for name in names {
        fs::write(at.join(name), model::beginning(None, name, u64::MAX).unwrap()).unwrap();
    }
    let config = fs::read_to_string(at.join("model.json")).unwrap();
    assert!(config.contains(from), "{from}");
    fs::write(at.join("model.json"), config.replacen(from, to, 1)).unwrap();
}

fn opened_folder(window: &Window) -> Option<PathBuf> {
    window.state().about.as_ref().and_then(|about| about.folder.clone())
}

#[test]
fn a_model_is_chosen_by_what_it_knows_and_a_bad_one_leaves_it() {
    let data = tempfile::tempdir().unwrap();
    let at = |name: &str| data.path().join(name);
    folder(&at("mine"), ["shapes-small", "mine"]);
    folder(&at("newer"), ["\"format\": 1", "\"format\": 2"]);
    folder(&at("other"), ["\"dim\": 16", "\"dim\": 32"]);
    let mut window = window(data.path(), None);
    click(&mut window, "Models");
    until(&mut window, |window| says(window, "makes pictures of 128 x 128 pixels"));
    assert!(says(&window, "It knows the colours red, orange") && is_chosen(&window, "Shipped model"));
    let choose = |window: &mut Window, name: &str| {
        answer(window, "Model folder…", "The folder of the model", &at(name));
    };
    choose(&mut window, "mine");
    until(&mut window, |window| is_chosen(window, "Folder mine"));
    until(&mut window, |window| says(window, "\u{201c}mine\u{201d} makes pictures"));
    assert!(opened_folder(&window) == Some(at("mine")) && !is_chosen(&window, "Shipped model"));
    for (name, why) in [
        ("newer", "a newer Firefall wrote it"),
        ("other", "stage1.safetensors was saved for another network"),
        ("nowhere", "no model folder"),
    ] {
        choose(&mut window, name);
        until(&mut window, |window| says(window, why));
        assert_eq!(opened_folder(&window), Some(at("mine")), "{name}");
        assert!(window.query_by_label(&format!("Folder {name}")).is_none(), "what never opened is not offered");
        window.state_mut().notices.clear();
        window.step();
    }
    make(&mut window, "a red star");
    click(&mut window, "Shipped model");
    until(&mut window, |window| opened_folder(window).is_none());
    until(&mut window, |window| is_chosen(window, "Shipped model"));
    drop(window);

    // The next window offers it, until it is gone and forgotten.
    let mut window = super::window(data.path(), None);
    click(&mut window, "Models");
    until(&mut window, |window| window.query_by_label("Folder mine").is_some());
    fs::remove_dir_all(at("mine")).unwrap();
    click(&mut window, "Models");
    until(&mut window, |window| says(window, "There is no model folder "));
    click(&mut window, "Forget");
    until(&mut window, |window| window.query_by_label("Folder mine").is_none());
}

#[test]
fn the_model_of_a_run_is_taken_with_how_far_it_is() {
    let data = tempfile::tempdir().unwrap();
    let run = data.path().join("training");
    folder(&run.join("model"), ["shapes-small", "of a run"]);
    fs::create_dir_all(run.join("checkpoints")).unwrap();
    fs::write(run.join("checkpoints/stage1-00000004.safetensors"), "").unwrap();
    let config = TrainConfig::preset("tiny").unwrap();
    fs::create_dir(run.join("inner")).unwrap();
    for run in [&run, &run.join("inner")] {
        fs::write(run.join("train.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    }
    let mut window = window(data.path(), None);
    click(&mut window, "Models");
    until(&mut window, |window| says(window, "Its last checkpoint is step 4 of 6 in stage 1 of 2."));
    assert!(says(&window, "It learns from drawings of the shapes world"));
    assert!(says(&window, "The run has no model yet"));
    assert!(window.query_by_label("Forget").is_none(), "nobody remembers it");
    click(&mut window, "Run training");
    until(&mut window, |window| opened_folder(window) == Some(run.join("model")));
    until(&mut window, |window| is_chosen(window, "Run training"));
    assert!(window.query_by_label("Folder model").is_none(), "it is one model");
}

#[test]
fn contrast_and_motion_are_set_by_name_and_remembered() {
    let (data, mut window) = opened();
    let fill = |window: &Window| window.ctx.style_of(Theme::Dark).visuals.panel_fill;
    let usual = fill(&window);
    window.ctx.all_styles_mut(|style| style.animation_time = 0.5);
    click(&mut window, "Reduced motion");
    assert!(is_chosen(&window, "Reduced motion") && !is_chosen(&window, "High contrast"));
    assert_eq!(window.ctx.global_style().animation_time, 0.0);
    click(&mut window, "High contrast");
    assert!(is_chosen(&window, "High contrast") && fill(&window) == Color32::BLACK && usual != Color32::BLACK);
    window.check_accessibility();
    drop(window);
    let mut window = super::window(data.path(), None);
    assert!(is_chosen(&window, "High contrast") && is_chosen(&window, "Reduced motion"));
    assert_eq!(fill(&window), Color32::BLACK);
    click(&mut window, "High contrast");
    click(&mut window, "Reduced motion");
    assert_eq!((fill(&window), window.ctx.global_style().animation_time > 0.0), (usual, true));
}

#[test]
fn a_photo_keeps_its_profile_through_paint_files_and_crashes() {
    let data = tempfile::tempdir().unwrap();
    let at = |name: &str| data.path().join(name);
    let mut profile: Vec<u8> = (0..900u32).map(|i| (i * i % 251) as u8).collect();
    profile[16..20].copy_from_slice(b"RGB ");
    profile[36..40].copy_from_slice(b"acsp");
    let (photo, existing) = (Picture::filled(128, 128, [200, 180, 160]), Existing::Refuse);
    write_with_profile(&at("photo.png"), &photo, &Origin::default(), Some(&profile), existing).unwrap();
    let mut window = window(data.path(), Some(&at("photo.png")));
    until(&mut window, |window| window.state().source.is_some());
    assert!(window.state().notices.is_empty(), "nothing is lost: {:?}", window.state().notices);
    make(&mut window, "a red star");
    accept(&mut window);
    let save = |window: &mut Window, name: &str| {
        window.state_mut().save_to(&at(name));
        until(window, |window| says(window, name));
        pictures::read_photo(&at(name)).unwrap()
    };
    let saved = save(&mut window, "saved.png");
    assert_eq!((saved.profile.as_ref(), saved.picture), (Some(&profile), picture(&window)));
    let kept = pictures::read_photo(&at("history/a_red_star.png")).unwrap();
    assert_eq!(kept.profile.as_ref(), Some(&profile));
    let painted = picture(&window);
    window.step();
    drop(window);

    let mut window = super::window(data.path(), None);
    assert_eq!(picture(&window), painted);
    assert_eq!(save(&mut window, "again.png").profile, Some(profile));
    click(&mut window, "New");
    until(&mut window, |window| picture(window) != painted || says(window, "Another picture takes the place"));
    if says(&window, "Another picture takes the place") {
        click(&mut window, "Go on without saving");
    }
    assert_eq!(save(&mut window, "new.png").profile, None, "it was the photo's");
}

#[test]
fn a_graphics_device_that_goes_takes_only_the_window_with_it() {
    let (data, mut window) = stroked();
    let marked = painted(&window);
    write(&mut window, "a green star");
    assert!(window.state().watch().hear("a texture is too large"));
    window.run_steps(2);
    assert!(says(&window, "The graphics device of the window complains: a texture is too large."));
    window.state().watch().lose("the driver was reset");
    window.step();
    assert!(window.query_by_label("Generate").is_none(), "nothing is drawn any more");
    let watch = window.state().watch();
    assert_eq!(watch.closed_for().as_deref(), Some("the driver was reset"));
    let sessions = data.path().join("sessions");
    assert!(
        watch
            .last_words()
            .contains(&format!("(the driver was reset); what was done is kept in {}", sessions.display()))
    );
    window.step();
    eframe::App::on_exit(window.state_mut());
    drop(window);
    let again = super::window(data.path(), None);
    assert_eq!((painted(&again), again.state().wishes.prompt.as_str()), (marked, "a green star"));
}

/// Nobody misses what was only looked at, but the window that takes its place shows it.
#[test]
fn a_picture_that_was_looked_at_comes_back_with_the_next_window() {
    let (_blank, window) = opened();
    assert!(!window.state().watch().has_session(), "a picture that was not read yet is not in it");
    let data = tempfile::tempdir().unwrap();
    let place = data.path().join("photo.png");
    image::RgbImage::from_pixel(20, 10, image::Rgb([9, 99, 199])).save(&place).unwrap();
    let mut window = super::window(data.path(), Some(&place));
    until(&mut window, |window| picture(window).width == 20);
    until(&mut window, |window| window.state().watch().has_session());
    window.state().watch().lose("");
    window.step();
    eframe::App::on_exit(window.state_mut());
    drop(window);
    assert_eq!(picture(&super::window(data.path(), None)).width, 20);
}
