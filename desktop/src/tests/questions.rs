//! Questions before something would be lost, typed paths, and pictures that become larger.

use super::*;

#[test]
fn another_picture_comes_after_a_question() {
    let (data, mut window) = stroked();
    let marked = painted(&window);
    click(&mut window, "New");
    assert!(says(&window, "Another picture takes the place"));
    click(&mut window, "Stay here");
    assert!(!says(&window, "Another picture") && painted(&window) == marked);

    // A dropped picture asks as well, and the keys are those of the question.
    let other = data.path().join("other.png");
    image::RgbImage::from_pixel(40, 30, image::Rgb([9, 99, 199])).save(&other).unwrap();
    window.state().errands.open(other.clone());
    until(&mut window, |window| says(window, "Another picture takes the place"));
    key(&mut window, Modifiers::NONE, Key::I);
    key(&mut window, Modifiers::NONE, Key::Escape);
    assert!(!says(&window, "Another picture") && painted(&window) == marked);

    window.state().errands.open(other);
    until(&mut window, |window| says(window, "Another picture takes the place"));
    click(&mut window, "Go on without saving");
    assert_eq!((picture(&window).width, painted(&window)), (40, 0));
    click(&mut window, "New");
    assert!(!says(&window, "Another picture") && picture(&window).width == 128, "nothing would be lost");
}

#[test]
fn what_is_being_made_does_not_go_without_a_word() {
    let (_data, mut window) = opened();
    write(&mut window, "a red star");
    quick(&mut window);
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    click(&mut window, "New");
    assert!(says(&window, "Another picture takes the place"));
    click(&mut window, "Stay here");
    until(&mut window, |window| window.state().making.is_done);
    assert_eq!(window.state().making.variations.len(), 2, "it went on");
    click(&mut window, "New");
    click(&mut window, "Go on without saving");
    assert!(window.state().making.variations.is_empty() && !says(&window, "Another picture"));
}

#[test]
fn a_run_ends_with_its_picture() {
    let (_data, mut window) = opened();
    write(&mut window, "a red star");
    quick(&mut window);
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    until(&mut window, |window| !window.state().making.variations.is_empty());
    click(&mut window, "New");
    click(&mut window, "Go on without saving");
    for _ in 0..40 {
        let making = &window.state().making;
        assert!(making.run.is_none() && making.variations.is_empty() && making.job.is_none());
        std::thread::sleep(Duration::from_millis(5));
        window.step();
    }
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    until(&mut window, |window| window.state().making.is_done);
    assert_eq!(window.state().making.variations.len(), 2, "the next one comes as ever");
}

#[test]
fn a_file_says_how_its_own_picture_was_made() {
    let (data, mut window) = opened();
    make(&mut window, "a red star");
    accept(&mut window);
    window.state_mut().undo();
    let path = data.path().join("plain.png");
    window.state_mut().save_to(&path);
    until(&mut window, |window| says(window, "plain.png"));
    assert_eq!(firefall_cli::png_text::read(&path).unwrap().origin.prompt, None);
    window.state_mut().redo();
    let made = window.state().document.origin().clone();
    assert_eq!(made.prompt.as_deref(), Some("a red star"));
    window.run_steps(2);
    drop(window);
    let again = super::window(data.path(), None);
    assert_eq!(*again.state().document.origin(), made);
}

#[test]
fn what_is_saved_first_makes_room_and_a_failure_does_not() {
    let (data, mut window) = stroked();
    let place = data.path().join("kept");
    click(&mut window, "New");
    click(&mut window, "Save first…");
    until(&mut window, |window| says(window, "Where the picture is saved"));
    click(&mut window, "Back");
    assert!(says(&window, "Another picture takes the place"), "not saving is no answer");
    for (path, word) in [("/proc/kept.png", "annot write /proc/kept.png"), (place.to_str().unwrap(), "Saved ")] {
        click(&mut window, "Save first…");
        until(&mut window, |window| says(window, "Where the picture is saved"));
        type_path(&mut window, Path::new(path));
        window.run_steps(2);
        assert!(painted(&window) > 0);
        click(&mut window, "Save");
        until(&mut window, |window| says(window, word));
    }
    until(&mut window, |window| painted(window) == 0);
    assert!(data.path().join("kept.png").is_file() && !says(&window, "Another picture"));
}

#[test]
fn a_typed_path_replaces_only_when_that_is_said() {
    let (data, mut window) = stroked();
    let path = data.path().join("a.png");
    std::fs::write(&path, "old").unwrap();
    key(&mut window, Modifiers::COMMAND, Key::S);
    until(&mut window, |window| says(window, "Where the picture is saved"));
    let field = "This system has no dialog for it (none of xdg-desktop-portal and zenity). The path:";
    assert!(window.get_by_label(field).is_focused(), "it can be typed at once");
    type_path(&mut window, &data.path().join("a.pn"));
    window.run_steps(2);
    assert!(window.query_by_label("Replace the file").is_none());
    key(&mut window, Modifiers::NONE, Key::End);
    window.get_by_label(field).type_text("g");
    window.run_steps(3);
    assert!(says(&window, "It will be replaced") && window.query_by_label("Replace the file").is_some());
    key(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.state().typing.is_none() && std::fs::read(&path).unwrap() == b"old");
    window.get_by_label("Export mask…").click_accesskit();
    until(&mut window, |window| says(window, "Where the mask is written"));
    type_path(&mut window, &data.path().join("mask"));
    key(&mut window, Modifiers::NONE, Key::Enter);
    until(&mut window, |window| says(window, "Wrote "));
    let written = firefall_cli::pictures::read_mask(&data.path().join("mask.png")).unwrap();
    assert_eq!(written, Mask::clone(window.state().document.mask()));
}

#[test]
fn a_picture_grows_beyond_its_edges() {
    let (_data, mut window) = opened();
    let before = picture(&window);
    click(&mut window, "Extend the picture");
    window.state_mut().margins = [0, 16, 0, 8];
    window.run_steps(10);
    click(&mut window, "Extend");
    until(&mut window, |window| picture(window).width == 144);
    assert_eq!((picture(&window).height, painted(&window)), (136, 144 * 136 - 128 * 128));
    make(&mut window, "a red star");
    accept(&mut window);
    leave_fields(&mut window);
    let (after, fade) = (picture(&window), 40);
    assert_eq!((after.width, after.height), (144, 136));
    for (x, y) in (0..128 - fade).flat_map(|y| (0..128 - fade).map(move |x| (x, y))) {
        assert_eq!(after.pixel(x, y), before.pixel(x, y), "({x}, {y}) is far from what was added");
    }
    key(&mut window, Modifiers::COMMAND, Key::Z);
    key(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!((picture(&window), painted(&window)), (before, 0));
    key(&mut window, Modifiers::COMMAND, Key::Y);
    key(&mut window, Modifiers::COMMAND, Key::Y);
    assert_eq!(picture(&window), after);
}
