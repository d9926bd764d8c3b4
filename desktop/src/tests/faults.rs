//! What goes wrong: each ends in a sentence, and nothing is lost. Files that are no pictures, drives that go, windows that
//! change their size, runs that stop anywhere.

use super::*;

fn dismiss(window: &mut Window) {
    window.state_mut().notices.clear();
    window.step();
}

/// A file of a kind that has its own way of being odd.
fn save(path: &Path, image: impl Into<image::DynamicImage>) {
    image.into().save(path).unwrap();
}

/// A PNG head that promises `side` pixels a side and has none.
fn bomb(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    png::Encoder::new(&mut bytes, side, side).write_header().unwrap();
    bytes
}

#[test]
fn odd_pictures_open_or_say_why_not() {
    let (data, mut window) = opened();
    let path = |name: &str| data.path().join(name);
    save(&path("one.png"), image::RgbImage::new(1, 1));
    save(&path("thin.png"), image::RgbImage::new(1, 16_000));
    save(&path("deep.png"), image::ImageBuffer::from_pixel(5, 4, image::Rgba([40_000u16, 0, 65_535, 65_535])));
    save(&path("clear.png"), image::RgbaImage::from_pixel(5, 4, image::Rgba([0, 0, 0, 0])));
    save(&path("gray.png"), image::GrayAlphaImage::from_pixel(5, 4, image::LumaA([0, 128])));
    save(&path("a.jpg"), image::RgbImage::from_pixel(16, 8, image::Rgb([200, 10, 10])));
    save(&path("a.webp"), image::RgbImage::new(6, 7));
    // Its name says something else than its bytes.
    std::fs::copy(path("a.jpg"), path("wrong.png")).unwrap();
    let good = [
        ("one.png", [1, 1], None),
        ("thin.png", [1, 16_000], None),
        ("deep.png", [5, 4], Some("8 bits")),
        ("clear.png", [5, 4], Some("transparency")),
        ("gray.png", [5, 4], Some("transparency")),
        ("a.jpg", [16, 8], None),
        ("a.webp", [6, 7], None),
        ("wrong.png", [16, 8], None),
    ];
    for (name, size, lacks) in good {
        window.state().errands.open(path(name));
        until(&mut window, |window| window.state().source.as_ref() == Some(&path(name)));
        assert_eq!([picture(&window).width, picture(&window).height], size, "{name}");
        let notices = std::mem::take(&mut window.state_mut().notices);
        assert_eq!(notices.len(), lacks.iter().len(), "{name}: {notices:?}");
        assert!(notices.iter().all(|notice| lacks.is_some_and(|lacks| notice.contains(lacks))), "{name}: {notices:?}");
    }
    let shown = picture(&window);
    let whole = std::fs::read(path("deep.png")).unwrap();
    let bad = [
        ("empty.png", Vec::new()),
        ("cut.png", whole[..whole.len() / 2].to_vec()),
        ("bomb.png", bomb(60_000)),
        ("large.png", bomb(16_000)),
        ("text.png", b"hello".to_vec()),
        ("long.png", [b"\x89PNG\r\n\x1a\n".as_slice(), &[0xff; 64]].concat()),
    ];
    for (name, bytes) in bad {
        std::fs::write(path(name), bytes).unwrap();
        window.state().errands.open(path(name));
        until(&mut window, |window| says(window, name));
        assert!(window.state().notices[0].starts_with("Cannot read "), "{:?}", window.state().notices);
        dismiss(&mut window);
        assert_eq!(picture(&window), shown);
    }
}

#[test]
fn texts_that_are_no_settings_open_without_them() {
    let (data, mut window) = opened();
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    let long = "x".repeat(3 << 20);
    let odd = r#"{"stages": [{"steps": -7, "cond_scale": "many", "sampler": 9}], "seed": []}"#;
    for (i, text) in [deep.as_str(), long.as_str(), odd, "", "null"].into_iter().enumerate() {
        let path = data.path().join(format!("{i}.png"));
        let file = std::fs::File::create(&path).unwrap();
        let mut encoder = png::Encoder::new(file, 3, 2);
        encoder.set_color(png::ColorType::Rgb);
        for key in ["parameters", "firefall", "prompt", "Comment"] {
            encoder.add_text_chunk(key.into(), text.chars().take(1 << 20).collect()).unwrap();
            encoder.add_ztxt_chunk(key.into(), text.into()).unwrap();
        }
        encoder.write_header().unwrap().write_image_data(&[7; 18]).unwrap();
        window.state().errands.open(path.clone());
        until(&mut window, |window| window.state().source.as_ref() == Some(&path));
        assert_eq!(window.state().wishes.steps, None);
        assert_eq!(window.state().wishes.seed, 1);
    }
}

#[test]
fn masks_fit_or_say_why_not() {
    let (data, mut window) = opened();
    let path = |name: &str| data.path().join(name);
    save(&path("deep.png"), image::ImageBuffer::from_pixel(128, 128, image::Luma([65_535u16])));
    save(&path("none.png"), image::GrayImage::new(128, 128));
    save(&path("alpha.png"), image::RgbaImage::from_pixel(128, 128, image::Rgba([255, 255, 255, 0])));
    save(&path("other.png"), image::GrayImage::new(127, 128));
    for (name, want) in [("deep.png", 128 * 128), ("none.png", 0), ("deep.png", 128 * 128), ("alpha.png", 0)] {
        window.state().errands.open_mask(path(name));
        until(&mut window, |window| painted(window) == want);
    }
    window.state().errands.open_mask(path("deep.png"));
    until(&mut window, |window| painted(window) == 128 * 128);
    window.state().errands.open_mask(path("other.png"));
    until(&mut window, |window| says(window, "127 x 128"));
    assert_eq!(painted(&window), 128 * 128);
}

#[test]
fn what_is_dropped_or_pasted_and_is_no_picture_is_said() {
    let (_data, mut window) = stroked();
    let marked = painted(&window);
    window.event(Event::Paste("some words".into()));
    until(&mut window, |window| says(window, "no picture but 10 letters"));
    window.event(Event::Paste(String::new()));
    until(&mut window, |window| says(window, "no picture but 0 letters"));
    assert_eq!(painted(&window), marked);
    let image = eframe::egui::ColorImage::filled([9, 8], eframe::egui::Color32::RED);
    window.event(Event::PasteImage(std::sync::Arc::new(image)));
    until(&mut window, |window| says(window, "Another picture takes the place"));
    window.get_by_label("Go on without saving").click_accesskit();
    until(&mut window, |window| picture(window).width == 9);
    assert_eq!(picture(&window).pixel(3, 3), [255, 0, 0]);
}

/// The prompt has the keys at first, but can do nothing with a picture.
#[test]
fn a_picture_is_pasted_wherever_something_is_typed() {
    let (_data, mut window) = opened();
    write(&mut window, "a fox");
    let half = eframe::egui::Color32::from_rgba_unmultiplied(200, 0, 100, 128);
    let image = eframe::egui::ColorImage::filled([9, 8], half);
    window.event(Event::PasteImage(std::sync::Arc::new(image)));
    until(&mut window, |window| picture(window).width == 9);
    assert_eq!(picture(&window).pixel(3, 3), [227, 127, 177], "on white");
    window.event(Event::Paste(" in snow".into()));
    window.run_steps(3);
    assert_eq!(window.state().wishes.prompt, "a fox in snow");
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
}

/// As it is after a failure of the GPU.
#[test]
fn the_device_that_is_shown_is_the_one_in_use() {
    let (_data, mut window) = opened();
    window.state_mut().device_choice = DeviceChoice::Gpu(7);
    window.state().engine.open(DeviceChoice::Cpu, None);
    until(&mut window, |window| window.state().device_choice == DeviceChoice::Cpu);
}

#[test]
fn a_stroke_is_kept_when_the_first_preview_comes() {
    let (_data, mut window) = opened();
    write(&mut window, "a red star");
    quick(&mut window);
    let rect = canvas(&window);
    let at = |share: f32| rect.min + rect.size() * vec2(share, 0.4);
    window.event(Event::PointerMoved(at(0.4)));
    window.step();
    window.state_mut().generate();
    let (button, modifiers) = (PointerButton::Primary, Modifiers::NONE);
    window.event(Event::PointerButton { pos: at(0.4), button, pressed: true, modifiers });
    window.step();
    assert!(window.state().document.is_stroking() && window.state().making.waiting().is_none());
    window.event(Event::PointerMoved(at(0.5)));
    until(&mut window, |window| window.state().making.waiting().is_some());
    assert!(!window.state().document.is_stroking());
    assert_eq!(window.state().document.undo_name(), Some("Brush"));
    assert!(painted(&window) > 100, "{} pixels", painted(&window));
}

/// The drive with the history and the sessions is pulled out, and comes back.
#[test]
fn a_drive_that_is_gone_takes_nothing_with_it() {
    let data = tempfile::tempdir().unwrap();
    let drive = data.path().join("drive");
    let mut window = window(&drive, None);
    std::fs::rename(&drive, data.path().join("elsewhere")).unwrap();
    leave_fields(&mut window);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    until(&mut window, |window| says(window, "annot write") || says(window, "annot keep"));
    let marked = painted(&window);
    dismiss(&mut window);
    make(&mut window, "a red star");
    let before = picture(&window);
    window.get_by_label("Accept").click_accesskit();
    until(&mut window, |window| says(window, "a_red_star.png"));
    assert_ne!(picture(&window), before, "it is accepted all the same");
    assert_eq!(painted(&window), marked);
    // Another place takes it, and the question still comes: the mask is in no file.
    window.state_mut().save_to(&data.path().join("safe.png"));
    until(&mut window, |window| says(window, "Saved ") && says(window, "safe.png"));
    let saved = firefall_cli::pictures::read(&data.path().join("safe.png")).unwrap();
    assert_eq!(saved, picture(&window));
    std::fs::rename(data.path().join("elsewhere"), &drive).unwrap();
    dismiss(&mut window);
    leave_fields(&mut window);
    stroke(&mut window, [0.4, 0.7], [0.6, 0.7], PointerButton::Primary);
    let marked = painted(&window);
    drop(window);
    let again = super::window(&drive, None);
    assert_eq!((painted(&again), picture(&again)), (marked, saved), "and the journal goes on");
}

#[test]
fn strokes_land_where_they_are_seen_at_any_size_and_scale() {
    let (_data, mut window) = opened();
    leave_fields(&mut window);
    let mut centres = Vec::new();
    for (scale, [width, height]) in [(1.0, [1200.0, 800.0]), (2.0, [1200.0, 800.0]), (1.5, [700.0, 420.0])] {
        window.set_pixels_per_point(scale);
        window.run_steps(2);
        window.set_size(vec2(width, height));
        window.run_steps(4);
        stroke(&mut window, [0.5, 0.5], [0.5, 0.5], PointerButton::Primary);
        let bounds = window.state().document.mask().bounds().unwrap();
        centres.push([(bounds.left + bounds.right) / 2, (bounds.top + bounds.bottom) / 2]);
        key(&mut window, Modifiers::COMMAND, Key::Z);
        assert_eq!(painted(&window), 0);
    }
    let near = |[x, y]: &[usize; 2]| x.abs_diff(64) <= 2 && y.abs_diff(64) <= 2;
    assert!(centres.iter().all(near), "{centres:?}");
    // As good as nothing, and back.
    window.set_size(vec2(60.0, 40.0));
    window.run_steps(4);
    window.set_pixels_per_point(1.0);
    window.run_steps(2);
    window.set_size(vec2(1200.0, 800.0));
    window.run_steps(4);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    assert!(painted(&window) > 300, "{} {:?}", painted(&window), canvas(&window));
}

#[test]
fn a_run_can_be_cancelled_in_every_stage_and_before_the_first() {
    let (_data, mut window) = opened();
    write(&mut window, "a blue circle");
    quick(&mut window);
    let before = picture(&window);
    for stage in 0..=2 {
        key(&mut window, Modifiers::COMMAND, Key::Enter);
        assert!(window.state().making.run.is_some());
        until(&mut window, |window| window.state().making.run.as_ref().is_none_or(|run| run.progress.stage >= stage));
        assert!(window.state().making.run.is_some(), "stage {stage} did not come");
        key(&mut window, Modifiers::NONE, Key::Escape);
        until(&mut window, |window| window.state().making.run.is_none());
        assert_eq!(picture(&window), before);
        let waits = window.state().making.waiting().is_some();
        assert!(!waits || window.state().making.is_done, "what there is can be accepted");
        if stage < 2 {
            window.state_mut().making.discard();
        }
    }
    assert!(window.state().notices.is_empty(), "{:?}", window.state().notices);
    // What was stopped on its way is no picture that could be made again.
    if window.state().making.waiting().is_some() {
        accept(&mut window);
        let origin = window.state().document.origin();
        assert_eq!((origin.prompt.as_deref(), origin.seed, &origin.settings), (Some("a blue circle"), None, &None));
    }
}

#[test]
fn what_is_undone_during_a_run_stays_undone() {
    let (_data, mut window) = stroked();
    window.state_mut().wishes.prompt = "a blue circle".into();
    quick(&mut window);
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    key(&mut window, Modifiers::COMMAND, Key::Z);
    let undone = painted(&window) == 0;
    until(&mut window, |window| window.state().making.is_done);
    accept(&mut window);
    assert_eq!(painted(&window) == 0, undone);
    let (after, white) = (picture(&window), [255; 3]);
    assert!(after.rgb.chunks_exact(3).any(|pixel| pixel != white), "it was painted under the mask as it was");
    assert_eq!([after.pixel(0, 0), after.pixel(127, 127)], [white; 2]);
}

#[test]
fn two_windows_share_a_history() {
    let data = tempfile::tempdir().unwrap();
    let mut windows = [window(data.path(), None), window(data.path(), None)];
    for window in &mut windows {
        write(window, "a red star");
        quick(window);
        key(window, Modifiers::COMMAND, Key::Enter);
    }
    for window in &mut windows {
        until(window, |window| window.state().making.is_done);
        window.get_by_label("Accept").click_accesskit();
        window.step();
    }
    for window in &mut windows {
        until(window, |window| says(window, "Saved "));
    }
    let mut names: Vec<_> = std::fs::read_dir(data.path().join("history"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a_red_star-2.png", "a_red_star.png"]);
}
