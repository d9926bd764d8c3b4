//! What every such program has, row by row: sizes and views, seeds, masks as files, the clipboard, panels, the keyboard alone.

use eframe::egui::{MouseWheelSource, MouseWheelUnit, TouchPhase};

use super::*;

/// Turns the wheel over the middle of the canvas.
fn wheel(window: &mut Window, by: f32, modifiers: Modifiers) {
    let at = canvas(window).center();
    window.event(Event::PointerMoved(at));
    window.step();
    let (unit, phase, source) = (MouseWheelUnit::Point, TouchPhase::Move, MouseWheelSource::Wheel);
    window.event_modifiers(Event::MouseWheel { unit, delta: vec2(0.0, by), phase, source, modifiers }, modifiers);
    window.run_steps(12);
}

#[test]
fn the_brush_has_a_size_and_a_hardness() {
    let (_data, mut window) = opened();
    leave_fields(&mut window);
    let size = window.state().hand.size;
    key(&mut window, Modifiers::NONE, Key::CloseBracket);
    let larger = window.state().hand.size;
    assert!(larger > size);
    (0..100).for_each(|_| key(&mut window, Modifiers::NONE, Key::CloseBracket));
    assert_eq!(window.state().hand.size, 256.0);
    (0..100).for_each(|_| key(&mut window, Modifiers::NONE, Key::OpenBracket));
    assert_eq!(window.state().hand.size, 1.0);
    wheel(&mut window, 200.0, Modifiers::ALT);
    assert!(window.state().hand.size > 1.5, "{}", window.state().hand.size);
    // A soft brush leaves half of a mark where a hard one leaves a whole one.
    let mut halves = |hardness: f32| {
        (window.state_mut().hand.size, window.state_mut().hand.hardness) = (40.0, hardness);
        stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
        let halves = window.state().document.mask().alpha.iter().filter(|v| (1..255).contains(*v)).count();
        key(&mut window, Modifiers::COMMAND, Key::Z);
        halves
    };
    assert!(halves(1.0) == 0 && halves(0.2) > 500);
}

#[test]
fn the_picture_is_looked_at_from_near_and_far() {
    let (_data, mut window) = opened();
    leave_fields(&mut window);
    let fitting = window.state().view.zoom;
    click(&mut window, "100 %");
    assert_eq!(window.state().view.zoom, 1.0);
    wheel(&mut window, 300.0, Modifiers::NONE);
    let near = window.state().view.zoom;
    assert!(near > 1.5, "{near}");
    let before = window.state().view.to_screen(Pos2::ZERO);
    wheel(&mut window, 60.0, Modifiers::SHIFT);
    assert!(window.state().view.to_screen(Pos2::ZERO) != before && window.state().view.zoom == near);
    click(&mut window, "Fit");
    assert_eq!(window.state().view.zoom, fitting);
    window.event(Event::Text("-".into()));
    window.run_steps(2);
    assert!(window.state().view.zoom < fitting);
    window.event(Event::Text("0".into()));
    window.run_steps(2);
    assert_eq!(window.state().view.zoom, fitting);
}

#[test]
fn seeds_are_locked_rolled_and_copied() {
    let (_data, mut window) = opened();
    click(&mut window, "Roll");
    let seed = window.state().wishes.seed;
    assert_ne!(seed, 1);
    click(&mut window, "Detail");
    assert_eq!((window.state().wishes.strength, window.state().wishes.resampling), (0.5, Some(Resampling::QUICK)));
    click(&mut window, "Replace");
    assert_eq!((window.state().wishes.strength, window.state().wishes.resampling), (1.0, None));
    make(&mut window, "a red star");
    leave_fields(&mut window);
    key(&mut window, Modifiers::NONE, Key::ArrowRight);
    assert_eq!(window.state().making.selected, 1);
    click(&mut window, "Copy seed");
    let wishes = &window.state().wishes;
    assert_eq!((wishes.seed, wishes.locked), (seed.wrapping_add(1), true));
    // The same seed alone makes the same picture again: accepted with a lock, it stays.
    key(&mut window, Modifiers::NONE, Key::Enter);
    until(&mut window, |window| says(window, "Saved "));
    assert_eq!(window.state().wishes.seed, seed.wrapping_add(1));
    click(&mut window, "Lock");
    assert!(!window.state().wishes.locked);
}

#[test]
fn what_was_discarded_is_not_made_again() {
    let (_data, mut window) = opened();
    let again = |window: &mut Window| {
        window.state_mut().generate();
        until(window, |window| window.state().making.is_done);
        let seed = window.state().making.variations[0].origin.seed;
        assert_eq!(seed, Some(window.state().wishes.seed));
        window.state().wishes.seed
    };
    make(&mut window, "a red star");
    assert_eq!(window.state().wishes.seed, 1);
    click(&mut window, "Discard");
    assert_eq!(again(&mut window), 3);
    window.state_mut().wishes.locked = true;
    assert_eq!(again(&mut window), 3);
    window.state_mut().wishes.locked = false;
    accept(&mut window);
    assert_eq!(window.state().wishes.seed, 5);
    assert_eq!(again(&mut window), 5, "what was accepted counts once");
}

#[test]
fn space_moves_the_picture_only_where_nothing_is_typed() {
    let (_data, mut window) = opened();
    write(&mut window, "a");
    window.key_down(Key::Space);
    window.run_steps(3);
    assert!(window.state().view.fits, "it is a letter");
    window.key_up(Key::Space);
    leave_fields(&mut window);
    window.key_down(Key::Space);
    window.run_steps(3);
    assert!(window.state().view.fits, "nothing was dragged");
    let before = window.state().view.to_screen(Pos2::ZERO);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    window.key_up(Key::Space);
    window.run_steps(2);
    assert!(window.state().view.to_screen(Pos2::ZERO) != before && !window.state().view.fits);
    assert_eq!(painted(&window), 0);
}

#[test]
fn only_what_is_seen_of_the_history_is_read() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("history")).unwrap();
    for i in 0..150 {
        image::RgbImage::new(5, 4).save(data.path().join(format!("history/{i}.png"))).unwrap();
    }
    let mut window = window(data.path(), None);
    let thumbnails = |window: &Window| -> (usize, usize) {
        let known = &window.state().gallery.as_ref().unwrap().thumbnails;
        (known.len(), known.values().flatten().count())
    };
    until(&mut window, |window| {
        let (asked, made) = thumbnails(window);
        made > 8 && asked == made
    });
    window.run_steps(20);
    assert!(thumbnails(&window).0 < 100, "{:?}", thumbnails(&window));
}

#[test]
fn masks_and_pictures_go_in_and_out() {
    let (data, mut window) = stroked();
    let mask = Mask::clone(window.state().document.mask());
    let typed = |window: &mut Window, title: &str, path: &Path| {
        until(window, |window| says(window, title));
        type_path(window, path);
        window.run_steps(2);
        key(window, Modifiers::NONE, Key::Enter);
    };
    let (file, picture_file) = (data.path().join("mask.png"), data.path().join("in.png"));
    click(&mut window, "Export mask…");
    typed(&mut window, "Where the mask is written", &file);
    until(&mut window, |window| says(window, "Wrote "));
    key(&mut window, Modifiers::NONE, Key::Delete);
    until(&mut window, |window| painted(window) == 0);
    click(&mut window, "Import mask…");
    typed(&mut window, "The mask to import", &file);
    until(&mut window, |window| **window.state().document.mask() == mask);
    // The clipboard gets the picture.
    leave_fields(&mut window);
    window.event(Event::Copy);
    window.step();
    let copied = |command: &eframe::egui::OutputCommand| matches!(command, eframe::egui::OutputCommand::CopyImage(image) if image.size == [128, 128]);
    assert!(window.output().platform_output.commands.iter().any(copied));
    key(&mut window, Modifiers::NONE, Key::Delete);
    until(&mut window, |window| painted(window) == 0);
    image::RgbImage::new(20, 10).save(&picture_file).unwrap();
    key(&mut window, Modifiers::COMMAND, Key::O);
    typed(&mut window, "The picture to open", &picture_file);
    until(&mut window, |window| picture(window).width == 20);
}

#[test]
fn the_history_opens_and_models_and_lights_change() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("history")).unwrap();
    image::RgbImage::new(50, 40).save(data.path().join("history/a_fox.png")).unwrap();
    let mut window = window(data.path(), None);
    until(&mut window, |window| says(window, "a_fox"));
    window.get_by_label_contains("a_fox").click_accesskit();
    until(&mut window, |window| picture(window).width == 50);
    for (label, is_dark) in [("Light", false), ("Dark", true)] {
        click(&mut window, label);
        assert_eq!(window.ctx.global_style().visuals.dark_mode, is_dark);
    }
    click(&mut window, "Models");
    click(&mut window, "Model folder…");
    until(&mut window, |window| says(window, "The folder of the model"));
    type_path(&mut window, data.path());
    key(&mut window, Modifiers::NONE, Key::Enter);
    until(&mut window, |window| says(window, "annot load the model"));
    assert!(says(&window, "comes with the program"), "the model that was there stays");
}

#[test]
fn the_keyboard_alone_is_enough() {
    let (_data, mut window) = opened();
    window.key_press(Key::F6);
    window.run_steps(3);
    let field = "What the picture shows when it is done";
    assert!(window.get_by_label(field).is_focused());
    // From field to field through all of the window, and back to where it began.
    let focused = |window: &Window| window.ctx.memory(|memory| memory.focused());
    let first = focused(&window);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..120 {
        window.key_press(Key::Tab);
        window.run_steps(2);
        seen.extend(focused(&window));
        if focused(&window) == first {
            break;
        }
    }
    assert!(focused(&window) == first && seen.len() > 25, "{} places", seen.len());
}
