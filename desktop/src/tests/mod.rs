//! The window without a window: what a user does, found by what a screen reader says.

mod drawn;
mod faults;
mod files;
mod labels;
mod large;
mod masks;
mod models;
mod questions;
mod rows;
mod training;

use std::path::Path;
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Toggled;
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, Role, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, HarnessBuilder};
use firefall_cli::device::DeviceChoice;
use firefall_core::diffusion::Resampling;
use firefall_core::image::{Mask, Picture};
use tempfile::TempDir;

use crate::{App, Options};

type Window = Harness<'static, App>;

fn window(data: &Path, picture: Option<&Path>) -> Window {
    open(Harness::builder(), data, picture)
}

fn open(builder: HarnessBuilder<App>, data: &Path, picture: Option<&Path>) -> Window {
    let options = Options {
        picture: picture.map(Path::to_owned),
        model: None,
        device: DeviceChoice::Cpu,
        data: data.to_owned(),
        verbose: false,
    };
    let mut window = builder
        .with_size(vec2(1200.0, 800.0))
        .with_max_steps(64)
        .build_eframe(move |cc| App::new(cc, options).unwrap());
    until(&mut window, |window| window.query_by_label_contains("CPU (").is_some());
    window
}

/// A window on a white picture, and a folder of its own for what it keeps.
fn opened() -> (TempDir, Window) {
    let data = tempfile::tempdir().unwrap();
    let window = window(data.path(), None);
    (data, window)
}

/// The same with a stroke across the middle.
fn stroked() -> (TempDir, Window) {
    let (data, mut window) = opened();
    leave_fields(&mut window);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    let marked = painted(&window);
    assert!(marked > 300, "{marked} pixels");
    (data, window)
}

/// Whether a button is there and pressed in.
fn is_chosen(window: &Window, button: &str) -> bool {
    let button = window.query_by_role_and_label(Role::Button, button);
    button.is_some_and(|node| node.accesskit_node().toggled() == Some(Toggled::True))
}

/// Draws frames until something holds.
#[track_caller]
fn until(window: &mut Window, holds: impl Fn(&Window) -> bool) {
    let start = Instant::now();
    loop {
        window.step();
        if holds(window) {
            return;
        }
        let waited = start.elapsed() < Duration::from_secs(60);
        assert!(waited, "nothing more happens: {:?}, {:?}", window.state().notices, window.state().wishes);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn says(window: &Window, text: &str) -> bool {
    window.query_by_label_contains(text).is_some()
}

fn canvas(window: &Window) -> eframe::egui::Rect {
    window.get_by_label_contains("Canvas").rect()
}

/// A stroke across the canvas by a button, from and to shares of it.
fn stroke(window: &mut Window, from: [f32; 2], to: [f32; 2], button: PointerButton) {
    let rect = canvas(window);
    let at = |share: [f32; 2]| rect.min + rect.size() * vec2(share[0], share[1]);
    let press = |window: &Window, pos: Pos2, pressed: bool| {
        window.event(Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE });
    };
    window.event(Event::PointerMoved(at(from)));
    window.step();
    press(window, at(from), true);
    window.step();
    for i in 1..=4 {
        let share = i as f32 / 4.0;
        window.event(Event::PointerMoved(at(from).lerp(at(to), share)));
        window.step();
    }
    press(window, at(to), false);
    window.step();
    window.event(Event::PointerGone);
    window.step();
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click_accesskit();
    window.run_steps(3);
}

fn key(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.step();
    window.step();
}

/// Where no field is in focus, letters are tools.
fn leave_fields(window: &mut Window) {
    let focused = window.ctx.memory(|memory| memory.focused());
    if let Some(id) = focused {
        window.ctx.memory_mut(|memory| memory.surrender_focus(id));
    }
    window.step();
}

/// Into the field of the prompt.
fn write(window: &mut Window, prompt: &str) {
    let label = "What the picture shows when it is done";
    window.get_by_label(label).focus();
    window.step();
    window.get_by_label(label).type_text(prompt);
    window.run_steps(2);
}

/// Sets a number as a screen reader does, by its slider or its field.
fn set(window: &mut Window, role: Role, label: &str, value: f64) {
    window.get_by_role_and_label(role, label).set_value_accesskit(value);
    window.run_steps(2);
}

fn is_disabled(window: &Window, button: &str) -> bool {
    window.get_by_role_and_label(Role::Button, button).accesskit_node().is_disabled()
}

/// Presses a button that asks for a path under a title, and types one.
#[track_caller]
fn answer(window: &mut Window, button: &str, title: &str, path: &Path) {
    click(window, button);
    until(window, |window| says(window, title));
    type_path(window, path);
    window.run_steps(2);
    key(window, Modifiers::NONE, Key::Enter);
}

/// Puts a path into the field that asks for one.
fn type_path(window: &mut Window, path: &Path) {
    window.state_mut().typing.as_mut().unwrap().path = path.to_string_lossy().into_owned();
}

fn picture(window: &Window) -> Picture {
    Picture::clone(window.state().document.picture())
}

/// Two variations with little work.
fn quick(window: &mut Window) {
    let wishes = &mut window.state_mut().wishes;
    (wishes.count, wishes.resampling, wishes.steps) = (2, Some(Resampling::QUICK), Some(4));
}

/// Writes a prompt and waits for what is quickly made of it.
#[track_caller]
fn make(window: &mut Window, prompt: &str) {
    write(window, prompt);
    quick(window);
    key(window, Modifiers::COMMAND, Key::Enter);
    until(window, |window| window.state().making.is_done);
}

/// Takes what was made, and waits until the history has it.
#[track_caller]
fn accept(window: &mut Window) {
    window.get_by_label("Accept").click_accesskit();
    until(window, |window| says(window, "Saved "));
}

fn painted(window: &Window) -> usize {
    window.state().document.mask().alpha.iter().filter(|v| **v >= 128).count()
}

#[test]
fn paint_generate_accept_undo() {
    let (data, mut window) = stroked();
    let marked = painted(&window);
    let before = picture(&window);
    // A stroke takes the letters from the prompt, where they are at first.
    write(&mut window, "a");
    stroke(&mut window, [0.5, 0.7], [0.5, 0.8], PointerButton::Primary);
    key(&mut window, Modifiers::NONE, Key::E);
    assert_eq!((window.state().hand.tool, window.state().wishes.prompt.as_str()), (crate::canvas::Tool::Eraser, "a"));
    window.state_mut().wishes.prompt.clear();
    assert!(painted(&window) > marked);
    window.state_mut().document.undo();
    assert_eq!(painted(&window), marked);

    write(&mut window, "a red star");
    quick(&mut window);
    window.get_by_label("Generate").click_accesskit();
    until(&mut window, |window| says(window, "step "));
    until(&mut window, |window| window.state().making.is_done);
    assert_eq!(window.state().making.variations.len(), 2);
    accept(&mut window);
    let after = picture(&window);
    assert_ne!(before, after);
    assert_eq!(painted(&window), marked, "the mask stays");
    assert!(window.state().document.is_changed(), "the history has no mask: the session is still to be kept");
    assert_eq!(std::fs::read_dir(data.path().join("history")).unwrap().count(), 1);

    leave_fields(&mut window);
    key(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(picture(&window), before);
    key(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(painted(&window), 0);
    key(&mut window, Modifiers::COMMAND, Key::Y);
    key(&mut window, Modifiers::COMMAND, Key::Y);
    assert_eq!((picture(&window), painted(&window)), (after, marked));
    key(&mut window, Modifiers::COMMAND, Key::Y);
    assert_eq!(painted(&window), marked, "there is nothing more to redo");
}

#[test]
fn tools_have_keys_and_the_right_button_erases() {
    let (_data, mut window) = opened();
    leave_fields(&mut window);
    key(&mut window, Modifiers::NONE, Key::R);
    stroke(&mut window, [0.35, 0.35], [0.65, 0.65], PointerButton::Primary);
    let rectangle = painted(&window);
    assert!(rectangle > 1000, "{rectangle} pixels");
    key(&mut window, Modifiers::NONE, Key::B);
    stroke(&mut window, [0.5, 0.4], [0.5, 0.6], PointerButton::Secondary);
    let erased = painted(&window);
    assert!(erased < rectangle);
    key(&mut window, Modifiers::NONE, Key::I);
    until(&mut window, |window| painted(window) == 128 * 128 - erased);
    window.get_by_label("Grow").click_accesskit();
    until(&mut window, |window| painted(window) > 128 * 128 - erased);
    key(&mut window, Modifiers::NONE, Key::Delete);
    until(&mut window, |window| painted(window) == 0);
    key(&mut window, Modifiers::NONE, Key::L);
    stroke(&mut window, [0.4, 0.4], [0.6, 0.6], PointerButton::Primary);
    key(&mut window, Modifiers::NONE, Key::E);
    stroke(&mut window, [0.3, 0.5], [0.7, 0.5], PointerButton::Primary);
    assert_eq!(painted(&window), 0);
}

#[test]
fn cancel_stops_and_the_last_preview_can_be_kept() {
    let (_data, mut window) = opened();
    write(&mut window, "a blue circle");
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    until(&mut window, |window| !window.state().making.variations.is_empty());
    window.get_by_label("Cancel").click_accesskit();
    until(&mut window, |window| window.state().making.is_done);
    window.get_by_label("Discard").click_accesskit();
    until(&mut window, |window| window.state().making.variations.is_empty());
}

#[test]
fn what_is_wrong_is_a_sentence_and_nothing_is_lost() {
    let (data, mut window) = opened();
    window.get_by_label("Generate").click_accesskit();
    until(&mut window, |window| says(window, "The prompt"));
    window.get_by_label("Dismiss").click_accesskit();
    until(&mut window, |window| !says(window, "The prompt"));
    leave_fields(&mut window);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    let marked = painted(&window);
    let bad = data.path().join("bad.png");
    for (bytes, word) in [(&b""[..], "bad.png"), (b"\x89PNG\r\n\x1a\n", "bad.png"), (b"GIF89a", "bad.png")] {
        std::fs::write(&bad, bytes).unwrap();
        window.state().errands.open(bad.clone());
        until(&mut window, |window| says(window, word));
        window.get_by_label("Dismiss").click_accesskit();
        until(&mut window, |window| !says(window, word));
    }
    assert_eq!(painted(&window), marked);
    window.state_mut().open_model(DeviceChoice::Cpu, Some(data.path().join("none")));
    until(&mut window, |window| says(window, "no model folder"));
    window.state_mut().save_to(Path::new("/proc/a.png"));
    until(&mut window, |window| says(window, "/proc/a.png"));
    window.state_mut().set_mask(Mask::filled(7, 7, 255));
    until(&mut window, |window| says(window, "7 x 7"));
    assert_eq!(painted(&window), marked);
}

#[test]
fn a_session_comes_back_after_a_crash() {
    let (data, mut first) = stroked();
    let marked = painted(&first);
    write(&mut first, "a green star");
    first.step();
    first.step();
    // Another window beside it has a session of its own.
    let second = window(data.path(), None);
    assert_eq!(painted(&second), 0);
    drop(second);
    drop(first);
    let third = window(data.path(), None);
    assert_eq!(painted(&third), marked);
    assert!(says(&third, "The last session is back"));
    assert_eq!(third.state().wishes.prompt, "a green star");
}

/// A file has the picture, but neither the mask nor what is typed.
#[test]
fn what_is_saved_and_closed_comes_back_with_its_mask() {
    let (data, mut first) = stroked();
    let marked = painted(&first);
    write(&mut first, "a green star");
    first.state_mut().save_to(&data.path().join("saved.png"));
    until(&mut first, |window| !window.state().document.is_changed());
    eframe::App::on_exit(first.state_mut());
    drop(first);
    let second = window(data.path(), None);
    assert_eq!((painted(&second), second.state().wishes.prompt.as_str()), (marked, "a green star"));
}

/// A file has all of it, with the settings that it brought.
#[test]
fn what_was_only_looked_at_leaves_no_session() {
    use firefall_cli::png_text::{Origin, write as write_picture};

    let (data, mut first) = stroked();
    first.step();
    drop(first);
    let sessions = || std::fs::read_dir(data.path().join("sessions")).unwrap().count();
    assert_eq!(sessions(), 1);
    let path = data.path().join("fox.png");
    let origin = Origin { prompt: Some("a fox".into()), seed: Some(4), ..Origin::default() };
    let existing = firefall_cli::files::Existing::Refuse;
    write_picture(&path, &Picture::filled(20, 10, [9; 3]), &origin, existing).unwrap();
    for (typed, left) in [(None, 1), (Some(" in snow"), 2)] {
        let mut window = window(data.path(), Some(&path));
        until(&mut window, |window| window.state().wishes.prompt == "a fox");
        assert!(says(&window, "A session of before was left"), "it is not taken, but told");
        if let Some(text) = typed {
            write(&mut window, text);
        }
        window.step();
        eframe::App::on_exit(window.state_mut());
        drop(window);
        assert_eq!(sessions(), left, "{typed:?}");
    }
    let again = window(data.path(), None);
    assert_eq!((picture(&again).width, again.state().wishes.prompt.len()), (20, "a fox in snow".len()));
}

#[test]
fn a_damaged_session_goes_only_when_that_is_said() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("sessions/session-1-1-0");
    std::fs::create_dir_all(&folder).unwrap();
    ["session.json", "lock"].iter().for_each(|name| std::fs::write(folder.join(name), "").unwrap());
    let mut first = window(data.path(), None);
    assert!(says(&first, "A session cannot be brought back"));
    click(&mut first, "Leave it on the disk");
    assert!(!says(&first, "cannot be brought back") && folder.is_dir());
    drop(first);
    let mut second = window(data.path(), None);
    click(&mut second, "Remove the damaged session");
    assert!(!says(&second, "cannot be brought back") && !folder.exists(), "{:?}", second.state().notices);
}

#[test]
fn saved_pictures_bring_their_settings_back() {
    let (data, mut window) = opened();
    make(&mut window, "a red star");
    accept(&mut window);
    let saved = data.path().join("history/a_red_star.png");
    assert!(saved.is_file());
    let made = picture(&window);
    window.get_by_label("New").click_accesskit();
    until(&mut window, |window| picture(window) != made);
    window.state_mut().wishes.prompt.clear();
    window.state().errands.open(saved);
    until(&mut window, |window| picture(window) == made);
    assert_eq!(window.state().wishes.prompt, "a red star");
}

#[test]
fn the_panels_say_what_there_is() {
    let (_data, mut window) = opened();
    assert!(says(&window, "calls of the denoisers"));
    assert!(says(&window, "128 x 128 pixels"));
    assert!(says(&window, "MiB in use") && says(&window, "of it to undo (at most 256 MiB)"));
    click(&mut window, "Models");
    assert!(says(&window, "comes with the program"));
    click(&mut window, "Training");
    assert!(says(&window, "The shapes world") && says(&window, "Start"));
    click(&mut window, "Shortcuts");
    assert!(says(&window, "Ctrl+Enter"));
    key(&mut window, Modifiers::NONE, Key::Escape);
    window.run_steps(3);
    assert!(!says(&window, "Ctrl+Enter"));
}
