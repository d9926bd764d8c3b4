//! Masks as a whole: looked at before they are changed, painted by keys alone, and what comes of soft and strange ones.

use super::drawn::{PINK, shows};
use super::*;
use crate::canvas::Tool;
use crate::document::{MaskEdit, Mode};
use crate::wishes::Task;

/// What the document has, which is not always what is shown.
fn mask(window: &Window) -> Mask {
    Mask::clone(window.state().document.mask())
}

/// What the canvas shows in place of the mask once it is worked out.
#[track_caller]
fn tried(window: &mut Window, want: &Mask) {
    until(window, |window| window.state().trial.shown().is_some_and(|edit| **edit.mask() == *want));
}

/// Opens the sliders.
fn adjust(window: &mut Window) {
    click(window, "Adjust with a preview");
    until(window, |window| window.query_by_role_and_label(Role::Slider, "Feather over").is_some());
}

#[test]
fn a_mask_is_seen_before_it_is_changed() {
    let (_data, mut window) = stroked();
    let before = mask(&window);
    let steps = window.state().document.history_memory();
    adjust(&mut window);
    assert!(window.query_by_label("Apply").is_none() && window.query_by_label("Put back").is_none());
    for grow in [3.0, -2.0, 9.0] {
        set(&mut window, Role::Slider, "Grow or shrink", grow);
        let want = if grow > 0.0 { before.grown(grow as f32) } else { before.shrunk(-grow as f32) };
        tried(&mut window, &want);
        assert!(mask(&window) == before && window.state().document.history_memory() == steps);
    }
    set(&mut window, Role::Slider, "Threshold", 60.0);
    set(&mut window, Role::Slider, "Feather over", 5.0);
    let want = before.hardened(Mask::level(0.6)).grown(9.0).feathered(5.0);
    tried(&mut window, &want);

    // Nothing else happens to the mask meanwhile.
    window.state_mut().edit_mask(MaskEdit::Clear);
    stroke(&mut window, [0.5, 0.2], [0.5, 0.3], PointerButton::Primary);
    assert!(!window.state().is_editing && mask(&window) == before);
    window.state_mut().wishes.prompt = "a red star".into();
    window.state_mut().generate();
    window.run_steps(2);
    assert!(says(&window, "apply it, or put it back first") && window.state().making.run.is_none());

    click(&mut window, "Apply");
    assert_eq!(window.state().document.undo_name(), Some("Adjust mask"));
    assert!(mask(&window) == want && !window.state().trial.is_on());
    click(&mut window, "Undo");
    assert!(mask(&window) == before, "it was one step");
    assert!(window.query_by_label("Apply").is_none());
}

#[test]
fn what_is_tried_on_is_put_back() {
    let (_data, mut window) = stroked();
    let before = mask(&window);
    adjust(&mut window);
    let ways: [fn(&mut Window); 3] = [
        |window| key(window, Modifiers::NONE, Key::Escape),
        |window| click(window, "Put back"),
        |window| set(window, Role::Slider, "Grow or shrink", 0.0),
    ];
    for put_back in ways {
        leave_fields(&mut window);
        set(&mut window, Role::Slider, "Grow or shrink", 6.0);
        tried(&mut window, &before.grown(6.0));
        put_back(&mut window);
        window.run_steps(2);
        assert!(window.state().trial.shown().is_none() && !window.state().trial.is_on());
        assert!(mask(&window) == before && window.state().document.undo_name() == Some("Brush"));
    }
    // Applied before it is worked out, it comes all the same.
    window.state_mut().trial.wanted.grow = 4.0;
    window.state_mut().apply_trial();
    until(&mut window, |window| mask(window) == before.grown(4.0));
    assert_eq!(window.state().document.undo_name(), Some("Adjust mask"));
    // Another picture has nothing to do with it.
    window.state_mut().trial.wanted.grow = 4.0;
    window.run_steps(2);
    click(&mut window, "New");
    click(&mut window, "Go on without saving");
    assert!(!window.state().trial.is_on() && mask(&window) == Mask::filled(128, 128, 0));
}

#[test]
fn what_is_tried_on_is_seen_on_the_canvas() {
    let data = tempfile::tempdir().unwrap();
    let mut window = open(Harness::builder().wgpu(), data.path(), None);
    leave_fields(&mut window);
    window.state_mut().document.fill_rectangle([56.0, 56.0], [72.0, 72.0], Mode::Paint);
    shows(&mut window, [0.5, 0.5], PINK);
    shows(&mut window, [0.7, 0.5], [255; 3]);
    window.state_mut().trial.wanted.grow = 30.0;
    shows(&mut window, [0.7, 0.5], PINK);
    window.state_mut().trial.wanted.grow = -20.0;
    shows(&mut window, [0.7, 0.5], [255; 3]);
    shows(&mut window, [0.5, 0.5], [255; 3]);
    key(&mut window, Modifiers::NONE, Key::Escape);
    shows(&mut window, [0.5, 0.5], PINK);
    assert_eq!(painted(&window), 16 * 16);
}

/// Where the keys are, as a screen reader hears it.
fn heard(window: &Window) -> String {
    window.get_by_label_contains("Canvas").accesskit_node().label().unwrap_or_default()
}

#[test]
fn a_rectangle_is_drawn_by_keys_alone() {
    let (_data, mut window) = opened();
    leave_fields(&mut window);
    key(&mut window, Modifiers::NONE, Key::R);
    assert_eq!(heard(&window), "Canvas, 128 by 128 pixels");
    let said = window.get_by_label_contains("Canvas").accesskit_node().description().unwrap();
    assert!(said.contains("Enter or Space sets a corner"), "{said}");
    // Space alone only moves the picture, and needs the mouse for that.
    key(&mut window, Modifiers::NONE, Key::Space);
    assert_eq!(heard(&window), "Canvas, 128 by 128 pixels");

    let press = |window: &mut Window, modifiers: Modifiers, way: Key, times: usize| {
        (0..times).for_each(|_| key(window, modifiers, way));
    };
    press(&mut window, Modifiers::NONE, Key::ArrowLeft, 10);
    press(&mut window, Modifiers::NONE, Key::ArrowUp, 5);
    press(&mut window, Modifiers::SHIFT, Key::ArrowRight, 3);
    assert_eq!(heard(&window), "Canvas, 128 by 128 pixels; cursor at 27, 44");
    key(&mut window, Modifiers::NONE, Key::Enter);
    key(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(heard(&window), "Canvas, 128 by 128 pixels; rectangle from 27, 44 to 27, 44");
    press(&mut window, Modifiers::NONE, Key::ArrowRight, 5);
    press(&mut window, Modifiers::SHIFT, Key::ArrowDown, 7);
    assert_eq!(painted(&window), 0, "it is only sized");
    key(&mut window, Modifiers::NONE, Key::Space);
    assert_eq!((painted(&window), heard(&window).as_str()), (20 * 7, "Canvas, 128 by 128 pixels; cursor at 47, 51"));
    assert_eq!(window.state().document.undo_name(), Some("Rectangle"));

    // What is not painted yet is let go of.
    key(&mut window, Modifiers::NONE, Key::Enter);
    press(&mut window, Modifiers::NONE, Key::ArrowDown, 2);
    key(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!((painted(&window), heard(&window).as_str()), (20 * 7, "Canvas, 128 by 128 pixels"));

    // The cursor ends where the picture does, and with Shift the keys erase.
    press(&mut window, Modifiers::NONE, Key::ArrowLeft, 20);
    press(&mut window, Modifiers::NONE, Key::ArrowUp, 20);
    key(&mut window, Modifiers::NONE, Key::Enter);
    press(&mut window, Modifiers::NONE, Key::ArrowRight, 40);
    press(&mut window, Modifiers::NONE, Key::ArrowDown, 12);
    assert_eq!(heard(&window), "Canvas, 128 by 128 pixels; rectangle from 0, 0 to 128, 48");
    key(&mut window, Modifiers::SHIFT, Key::Enter);
    assert_eq!((painted(&window), window.state().document.undo_name()), (20 * 3, Some("Erase rectangle")));
    // The mouse takes over.
    stroke(&mut window, [0.5, 0.6], [0.6, 0.7], PointerButton::Primary);
    assert_eq!(heard(&window), "Canvas, 128 by 128 pixels");
}

#[test]
fn the_canvas_can_have_the_focus_and_all_of_it_be_marked() {
    let (_data, mut window) = opened();
    key(&mut window, Modifiers::COMMAND, Key::A);
    assert_eq!(painted(&window), 0, "in a field it is the field's");
    window.get_by_label_contains("Canvas").focus();
    window.run_steps(3);
    let is_focused = |window: &Window| window.get_by_label_contains("Canvas").is_focused();
    assert!(is_focused(&window));
    key(&mut window, Modifiers::NONE, Key::R);
    assert_eq!(window.state().hand.tool, Tool::Rectangle);
    window.run_steps(2);
    for way in [Key::Enter, Key::ArrowRight, Key::ArrowDown, Key::Enter] {
        key(&mut window, Modifiers::NONE, way);
        assert!(is_focused(&window), "{way:?} does not lead away");
    }
    assert_eq!(painted(&window), 4 * 4);
    key(&mut window, Modifiers::NONE, Key::Escape);
    assert!(is_focused(&window) && heard(&window) == "Canvas, 128 by 128 pixels");
    key(&mut window, Modifiers::COMMAND, Key::A);
    until(&mut window, |window| painted(window) == 128 * 128);
    assert_eq!(window.state().document.undo_name(), Some("Mark everything"));
    window.state_mut().undo();
    assert_eq!(painted(&window), 4 * 4);
    click(&mut window, "Everything");
    until(&mut window, |window| painted(window) == 128 * 128);
    key(&mut window, Modifiers::NONE, Key::Tab);
    assert!(!is_focused(&window), "Tab still leads on");
}

#[test]
fn a_task_is_seen_in_the_panel() {
    let (_data, mut window) = opened();
    assert!(says(&window, "Strength 1.00, context 1.00, usual work at the seam"));
    click(&mut window, "Detail");
    assert!(says(&window, "Strength 0.50, context 0.50, quick work at the seam"));
    click(&mut window, "Settings");
    set(&mut window, Role::Slider, "Context", 3.0);
    assert!(says(&window, "Strength 0.50, context 3.00, quick work at the seam"));
    assert_eq!(window.state().wishes.task, Task::Detail);
    click(&mut window, "Remove");
    assert!(says(&window, "Strength 1.00, context 2.00") && says(&window, "instead of what is written above"));
    // Nothing is written, and nothing has to be.
    quick(&mut window);
    window.state_mut().wishes.count = 1;
    click(&mut window, "Generate");
    until(&mut window, |window| window.state().making.is_done);
    let (_, variation) = window.state().making.waiting().unwrap();
    assert_eq!(variation.origin.prompt.as_deref(), Some("on a white background"));
}

/// What a mask has in a column.
type Value = fn(usize) -> u8;

/// Sixteen bits, colours, transparency, nothing and all of it.
#[test]
fn masks_of_every_kind_are_imported() {
    let (data, mut window) = opened();
    let path = data.path().join("mask.png");
    let slope = |x: u32| x as u8 * 2;
    let kinds: [(&str, image::DynamicImage, Value); 5] = [
        ("deep", image::ImageBuffer::from_fn(128, 128, |x, _| image::Luma([257 * u16::from(slope(x))])).into(), |x| {
            x as u8 * 2
        }),
        ("grey", image::GrayImage::from_fn(128, 128, |x, _| image::Luma([slope(x)])).into(), |x| x as u8 * 2),
        ("clear", image::RgbaImage::from_fn(128, 128, |x, _| image::Rgba([9, 9, 9, slope(x)])).into(), |x| x as u8 * 2),
        ("none", image::GrayImage::new(128, 128).into(), |_| 0),
        ("all", image::RgbImage::from_pixel(128, 128, image::Rgb([255; 3])).into(), |_| 255),
    ];
    for (name, picture, want) in kinds {
        // One that none of the others is.
        let other = MaskEdit::Import(Mask::filled(128, 128, 77));
        window.state_mut().document.edit_mask(other).unwrap();
        picture.save(&path).unwrap();
        window.state().errands.open_mask(path.clone());
        let want: Vec<u8> = (0..128 * 128).map(|i| want(i % 128)).collect();
        until(&mut window, |window| window.state().document.mask().alpha == want);
        assert!(window.state().notices.is_empty(), "{name}: {:?}", window.state().notices);
    }
    image::GrayImage::new(128, 127).save(&path).unwrap();
    window.state().errands.open_mask(path);
    until(&mut window, |window| says(window, "128 x 127"));
    assert_eq!(painted(&window), 128 * 128, "one of another size is refused");
}

#[test]
fn a_soft_mask_mixes_new_and_old() {
    let (_data, mut window) = opened();
    let mut soft = Mask::filled(128, 128, 0);
    for (i, value) in soft.alpha.iter_mut().enumerate() {
        *value = if (40..88).contains(&(i / 128)) { (i % 128) as u8 } else { 0 };
    }
    window.state_mut().set_mask(soft.clone());
    until(&mut window, |window| mask(window) == soft);
    window.state_mut().wishes.blend.grow = Some(0.0);
    window.state_mut().wishes.blend.feather = Some(0.0);
    window.state_mut().wishes.blend.match_colour = false;
    make(&mut window, "a red star");
    let (job, variation) = window.state().making.waiting().unwrap();
    assert!(*job.weights() == soft);
    let (new, result) = (variation.painted.clone(), job.finish(&variation.painted));
    assert_eq!([new.width, new.height], [128, 128]);
    for (i, value) in soft.alpha.iter().enumerate() {
        let [x, y] = [i % 128, i / 128];
        for c in 0..3 {
            let want = 255.0 + (f32::from(new.pixel(x, y)[c]) - 255.0) * f32::from(*value) / 255.0;
            let got = f32::from(result.pixel(x, y)[c]);
            assert!((got - want).abs() <= 0.51, "{got} for {want} at {x}, {y}");
            assert!(*value > 0 || got == 255.0, "{x}, {y} is not painted");
        }
    }
}
