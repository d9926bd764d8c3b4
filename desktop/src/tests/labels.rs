//! Every control by the name that a screen reader says: what it sets, that none is without a name, and that the keyboard alone
//! gets to all of them.

use eframe::egui::{Rect, Shape, ThemePreference};

use super::*;
use crate::canvas::Tool;
use crate::document::Mode;
use crate::wishes::Task;

/// Ticks a box, or unticks it.
fn tick(window: &mut Window, label: &str) {
    window.get_by_role_and_label(Role::CheckBox, label).click_accesskit();
    window.run_steps(2);
}

/// Draws from place to place of the picture, the button held.
fn draw(window: &mut Window, places: &[[f32; 2]]) {
    let at: Vec<Pos2> = places.iter().map(|&[x, y]| window.state().view.to_screen(Pos2::new(x, y))).collect();
    window.hover_at(at[0]);
    window.drag_at(at[0]);
    window.step();
    for &pos in &at[1..] {
        window.hover_at(pos);
        window.step();
    }
    window.drop_at(at[at.len() - 1]);
    window.step();
}

/// The name and the place of what has the keys, if anything has.
fn focused(window: &Window) -> Option<(String, Rect)> {
    let node = window.query_by(|node| node.is_focused())?;
    Some((node.accesskit_node().label().unwrap_or_default(), node.rect()))
}

#[test]
fn tools_and_brush_are_chosen_by_name() {
    let (_data, mut window) = opened();
    for tool in Tool::ALL.into_iter().rev() {
        let (name, _) = tool.words();
        click(&mut window, name);
        assert_eq!(window.state().hand.tool, tool);
        assert!(is_chosen(&window, name));
    }
    for (value, size) in [(200.0, 200.0), (9999.0, 256.0), (0.0, 1.0), (40.0, 40.0)] {
        set(&mut window, Role::Slider, "Size", value);
        assert_eq!(window.state().hand.size, size);
    }
    let mut soft = |hardness: f64| {
        set(&mut window, Role::Slider, "Hardness", hardness);
        stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
        let halves = window.state().document.mask().alpha.iter().filter(|v| (1..255).contains(*v)).count();
        click(&mut window, "Undo");
        assert_eq!(painted(&window), 0);
        halves
    };
    assert!(soft(100.0) == 0 && soft(0.0) > 500);
}

#[test]
fn every_tool_marks_what_it_goes_round() {
    let (_data, mut window) = opened();
    click(&mut window, "Rectangle");
    draw(&mut window, &[[10.2, 10.2], [30.0, 90.0], [49.8, 29.8]]);
    assert_eq!(painted(&window), 40 * 20, "every pixel that it touches, from where it began to where it ended");
    click(&mut window, "Eraser");
    set(&mut window, Role::Slider, "Size", 10.0);
    set(&mut window, Role::Slider, "Hardness", 100.0);
    draw(&mut window, &[[5.0, 20.0], [55.0, 20.0]]);
    let left = painted(&window);
    assert!(left.abs_diff(40 * 10) <= 80, "a band of ten pixels is gone: {left}");
    click(&mut window, "Undo");
    click(&mut window, "Undo");
    assert_eq!(painted(&window), 0);
    click(&mut window, "Lasso");
    draw(&mut window, &[[20.0, 20.0], [100.0, 20.0], [20.0, 100.0]]);
    let inside = painted(&window);
    assert!(inside.abs_diff(80 * 80 / 2) <= 120, "half of a square: {inside}");
}

#[test]
fn the_cursor_is_as_large_as_its_mark() {
    let (_data, mut window) = opened();
    leave_fields(&mut window);
    set(&mut window, Role::Slider, "Hardness", 100.0);
    set(&mut window, Role::Slider, "Size", 40.0);
    for view in ["Fit", "100 %"] {
        click(&mut window, view);
        let at = canvas(&window).center();
        window.hover_at(at);
        window.run_steps(2);
        let radius = |shape: &Shape| match shape {
            Shape::Circle(circle) if circle.center.distance(at) < 1.0 => Some(circle.radius),
            _ => None,
        };
        let radii: Vec<f32> = window.output().shapes.iter().filter_map(|clipped| radius(&clipped.shape)).collect();
        let want = 20.0 * window.state().view.zoom;
        assert!(!radii.is_empty() && radii.iter().all(|radius| (radius - want).abs() < 0.01), "{radii:?}, not {want}");
        let centre = window.state().view.to_picture(at);
        draw(&mut window, &[centre.into()]);
        let bounds = window.state().document.mask().bounds().unwrap();
        let sides = [bounds.right - bounds.left, bounds.bottom - bounds.top];
        assert!(sides.iter().all(|side| side.abs_diff(40) <= 2), "{view}: {sides:?}");
        click(&mut window, "Undo");
    }
}

#[test]
fn the_mask_is_edited_by_name() {
    let (_data, mut window) = stroked();
    let marked = painted(&window);
    click(&mut window, "Invert");
    until(&mut window, |window| painted(window) == 128 * 128 - marked);
    click(&mut window, "Invert");
    until(&mut window, |window| painted(window) == marked);
    let mut grown = Vec::new();
    for by in [1.0, 16.0] {
        set(&mut window, Role::Slider, "By", by);
        click(&mut window, "Grow");
        until(&mut window, |window| painted(window) > marked);
        grown.push(painted(&window));
        click(&mut window, "Undo");
        assert_eq!(painted(&window), marked);
    }
    assert!(grown[1] > grown[0] + 1000, "{grown:?}");
    click(&mut window, "Redo");
    assert_eq!(painted(&window), grown[1]);
    click(&mut window, "Shrink");
    until(&mut window, |window| painted(window) < grown[1]);
    click(&mut window, "Feather");
    until(&mut window, |window| window.state().document.undo_name() == Some("Feather mask"));
    assert!(window.state().document.mask().alpha.iter().filter(|v| (1..255).contains(*v)).count() > 100);
    click(&mut window, "Clear");
    until(&mut window, |window| window.state().document.mask().alpha.iter().all(|v| *v == 0));
}

#[test]
fn a_hundred_steps_and_a_result_are_one_history() {
    let (_data, mut window) = opened();
    let before = picture(&window);
    let row = |window: &mut Window, rows: std::ops::Range<usize>| {
        for y in rows {
            let document = &mut window.state_mut().document;
            document.fill_rectangle([0.0, y as f32], [128.0, y as f32 + 1.0], Mode::Paint);
        }
    };
    row(&mut window, 0..60);
    make(&mut window, "a red star");
    accept(&mut window);
    row(&mut window, 60..110);
    let after = picture(&window);
    assert!(after != before && painted(&window) == 110 * 128);
    let press = |window: &mut Window, button: &str, times: usize| {
        for _ in 0..times {
            window.get_by_label(button).click_accesskit();
            window.step();
        }
        window.run_steps(2);
    };
    press(&mut window, "Undo", 50);
    assert!(picture(&window) == after && painted(&window) == 60 * 128);
    press(&mut window, "Undo", 1);
    assert!(picture(&window) == before && painted(&window) == 60 * 128, "the result is a step like any other");
    press(&mut window, "Undo", 60);
    assert!(painted(&window) == 0 && is_disabled(&window, "Undo") && !is_disabled(&window, "Redo"));
    press(&mut window, "Redo", 111);
    assert!(picture(&window) == after && painted(&window) == 110 * 128 && is_disabled(&window, "Redo"));
}

#[test]
fn the_mask_stays_through_prompts_and_runs() {
    let (_data, mut window) = stroked();
    let mask = Mask::clone(window.state().document.mask());
    write(&mut window, "a blue circle");
    for end in ["Discard", "Accept"] {
        quick(&mut window);
        click(&mut window, "Generate");
        until(&mut window, |window| window.state().making.is_done);
        click(&mut window, end);
        until(&mut window, |window| window.state().making.variations.is_empty());
        write(&mut window, " on white");
        assert!(**window.state().document.mask() == mask, "after {end}");
    }
    assert_eq!(window.state().wishes.prompt, "a blue circle on white on white");
}

#[test]
fn variations_come_step_by_step_and_stand_side_by_side() {
    let (_data, mut window) = opened();
    write(&mut window, "a red star");
    set(&mut window, Role::Slider, "Variations", 4.0);
    click(&mut window, "Generate");
    until(&mut window, |window| !window.state().making.variations.is_empty());
    assert!(!window.state().making.is_done && is_disabled(&window, "Accept") && !is_disabled(&window, "Cancel"));
    until(&mut window, |window| says(window, " s a step, ") && says(window, " left"));
    let share = window.get_by_role(Role::ProgressIndicator).accesskit_node().numeric_value().unwrap();
    assert!((1.0..=100.0).contains(&share), "{share} %");
    until(&mut window, |window| window.state().making.is_done);
    window.run_steps(2);
    assert!(!is_disabled(&window, "Accept") && is_disabled(&window, "Cancel"));
    let places: Vec<Rect> = (1..=4).map(|i| window.get_by_label(&format!("Variation {i}")).rect()).collect();
    for pair in places.windows(2) {
        assert!(pair[0].right() <= pair[1].left() && pair[0].top() == pair[1].top(), "{places:?}");
    }
    let painted: Vec<_> = window.state().making.variations.iter().map(|variation| variation.painted.clone()).collect();
    assert!((0..4).all(|i| (0..i).all(|j| painted[i] != painted[j])), "each has a seed of its own");
    click(&mut window, "Variation 3");
    assert!(window.state().making.selected == 2 && is_chosen(&window, "Variation 3"));
    until(&mut window, |window| window.state().making.patch.is_some());
    click(&mut window, "Copy seed");
    assert_eq!(window.get_by_role_and_label(Role::SpinButton, "Seed").value().as_deref(), Some("3"));
}

#[test]
fn tasks_seeds_and_counts_are_set_by_name() {
    let (_data, mut window) = opened();
    for task in Task::ALL.into_iter().rev() {
        let [name, _] = task.words();
        click(&mut window, name);
        assert_eq!(window.state().wishes.task, task);
        assert!(is_chosen(&window, name) && says(&window, "calls of the denoisers"));
        let said = window.get_by_role_and_label(Role::Button, name).accesskit_node().description();
        assert_eq!(said, Some(task.hint()), "what it sets is heard as well");
    }
    set(&mut window, Role::Slider, "Variations", 2.0);
    set(&mut window, Role::SpinButton, "Seed", 77.0);
    tick(&mut window, "Lock");
    let wishes = &window.state().wishes;
    assert_eq!((wishes.count, wishes.seed, wishes.locked), (2, 77, true));
    click(&mut window, "Roll");
    assert_ne!(window.state().wishes.seed, 77);
}

#[test]
fn settings_are_set_by_name_and_the_cost_follows() {
    let (_data, mut window) = opened();
    click(&mut window, "Settings");
    let cost = |window: &Window| {
        let calls = window.state().calls().unwrap();
        assert!(says(window, &format!("{calls} calls of the denoisers for the batch")), "{calls}");
        calls
    };
    let usual = cost(&window);
    set(&mut window, Role::Slider, "Strength", 0.5);
    assert!(window.state().wishes.strength == 0.5 && cost(&window) < usual);
    set(&mut window, Role::Slider, "Strength", 1.0);
    for (name, resampling) in Resampling::PRESETS {
        click(&mut window, name);
        assert_eq!(window.state().wishes.resampling, Some(resampling));
    }
    assert!(cost(&window) > usual, "the last is the most thorough");
    click(&mut window, "usual");
    assert!(window.state().wishes.resampling.is_none() && cost(&window) == usual);
    tick(&mut window, "Steps");
    set(&mut window, Role::SpinButton, "Steps", 5.0);
    let few = cost(&window);
    assert!(window.state().wishes.steps == Some(5) && few < usual);
    window.get_by_role_and_label(Role::ComboBox, "Sampler").click_accesskit();
    window.run_steps(3);
    click(&mut window, "heun");
    assert!(window.state().wishes.sampler.as_deref() == Some("heun") && cost(&window) > few, "two calls a step");
    key(&mut window, Modifiers::NONE, Key::Escape);
    tick(&mut window, "Guidance");
    set(&mut window, Role::SpinButton, "Guidance", 5.5);
    set(&mut window, Role::Slider, "Grow the mask", 12.0);
    tick(&mut window, "Feather (px)");
    set(&mut window, Role::SpinButton, "Feather (px)", 40.0);
    tick(&mut window, "Match colours");
    let field = "What the picture does not show";
    window.get_by_label(field).focus();
    window.step();
    window.get_by_label(field).type_text("blue");
    window.run_steps(2);
    let wishes = &window.state().wishes;
    assert_eq!((wishes.cond_scale, wishes.negative.as_str()), (Some(5.5), "blue"));
    let blend = wishes.blend;
    assert_eq!((blend.grow, blend.feather, blend.match_colour), (Some(12.0), Some(40.0), false));
    tick(&mut window, "Steps");
    assert_eq!(window.state().wishes.steps, None, "the model's own again");
}

#[test]
fn room_and_overlay_are_set_by_name() {
    let data = tempfile::tempdir().unwrap();
    // Of egui's own button for copying a colour.
    let mut window = open(Harness::builder().allow_missing_glyphs(), data.path(), None);
    leave_fields(&mut window);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    let marked = painted(&window);
    click(&mut window, "How the mask is shown");
    set(&mut window, Role::Slider, "Opacity", 0.9);
    tick(&mut window, "Only its outline");
    let before = window.state().view.overlay;
    assert!((before.opacity - 0.9).abs() < 0.01 && before.outline);
    window.get_by_role_and_label(Role::ColorWell, "Colour").click_accesskit();
    window.run_steps(3);
    set(&mut window, Role::SpinButton, "R", 10.0);
    window.run_steps(2);
    let colour = window.state().view.overlay.colour;
    assert!(colour.r() <= 12 && colour != before.colour, "{colour:?}");
    key(&mut window, Modifiers::NONE, Key::Escape);
    assert_eq!(painted(&window), marked, "it only looks different");

    click(&mut window, "Extend the picture");
    window.run_steps(3);
    assert!(is_disabled(&window, "Extend"), "by nothing");
    for (side, pixels) in [("Left", 8.0), ("Right", 16.0), ("Top", 0.0), ("Bottom", 24.0)] {
        set(&mut window, Role::SpinButton, side, pixels);
    }
    click(&mut window, "Extend");
    until(&mut window, |window| picture(window).width == 128 + 8 + 16);
    assert_eq!(picture(&window).height, 128 + 24);
}

#[test]
fn before_and_lights_are_set_by_name() {
    let (_data, mut window) = opened();
    set(&mut window, Role::Slider, "Before", 0.25);
    assert_eq!(window.state().view.wipe, 0.25);
    let preference = |window: &Window| window.ctx.options(|options| options.theme_preference);
    for (name, theme) in
        [("Light", ThemePreference::Light), ("Dark", ThemePreference::Dark), ("Auto", ThemePreference::System)]
    {
        click(&mut window, name);
        assert!(preference(&window) == theme && is_chosen(&window, name), "{name}");
    }
}

#[test]
fn a_device_is_chosen_by_name() {
    let (_data, mut window) = opened();
    click(&mut window, "Models");
    assert!(is_chosen(&window, "Shipped model"));
    let device = window.get_by_role_and_label(Role::ComboBox, "Device");
    assert_eq!(device.value().as_deref(), Some("cpu"));
    device.click_accesskit();
    window.run_steps(3);
    window.state_mut().about = None;
    window.get_by_label_contains("always works").click_accesskit();
    until(&mut window, |window| window.state().about.is_some());
    assert!(window.state().device_choice == DeviceChoice::Cpu && says(&window, "In use: CPU ("));
}

#[test]
fn the_sheet_of_shortcuts_has_every_tool_and_the_keys_while_it_is_there() {
    let (_data, mut window) = stroked();
    let marked = painted(&window);
    window.event(Event::Text("?".into()));
    window.run_steps(3);
    let tools = Tool::ALL.map(|tool| tool.words().1.name()).join(", ");
    assert!(says(&window, &tools), "{tools}");
    for key_name in ["Ctrl+Z", "[ and ]", "Tab, held", "Space or middle button", "Ctrl+Enter", "F6"] {
        assert!(says(&window, key_name), "{key_name}");
    }
    key(&mut window, Modifiers::NONE, Key::I);
    key(&mut window, Modifiers::NONE, Key::Delete);
    assert!(window.state().is_free() && painted(&window) == marked, "it has all letters");
    click(&mut window, "Close");
    assert!(!says(&window, "Ctrl+Enter"));
    key(&mut window, Modifiers::NONE, Key::Delete);
    until(&mut window, |window| painted(window) == 0);
}

#[test]
fn nothing_is_without_a_name_at_any_scale() {
    let (_data, mut window) = stroked();
    for label in ["Settings", "Adjust with a preview", "How the mask is shown", "Extend the picture", "Light"] {
        click(&mut window, label);
    }
    for (side, scale) in [("History", 1.0), ("Models", 2.0), ("Training", 1.5)] {
        window.set_pixels_per_point(scale);
        click(&mut window, side);
        window.check_accessibility();
    }
    window.set_pixels_per_point(1.0);
    window.run_steps(2);
    for (button, title, back) in [
        ("Save…", "Where the picture is saved", "Back"),
        ("New", "Another picture takes the place", "Stay here"),
        ("Shortcuts", "Ctrl+Enter", "Close"),
    ] {
        click(&mut window, button);
        until(&mut window, |window| says(window, title));
        window.check_accessibility();
        click(&mut window, back);
        assert!(!says(&window, title), "{back}");
    }
    make(&mut window, "a red star");
    window.run_steps(2);
    window.check_accessibility();
    accept(&mut window);
    click(&mut window, "History");
    window.check_accessibility();
}

/// Through the panel at the left, where everything is that makes a picture, to its edge: on by Tab, back by Shift and Tab.
#[test]
fn the_focus_goes_as_one_reads() {
    let (_data, mut window) = opened();
    window.set_size(vec2(1200.0, 1200.0));
    window.run_steps(4);
    window.key_press(Key::F6);
    window.run_steps(3);
    let mut seen = vec![focused(&window).unwrap()];
    assert_eq!(seen[0].0, "What the picture shows when it is done");
    let edge = canvas(&window).left();
    for _ in 0..60 {
        window.key_press(Key::Tab);
        window.run_steps(2);
        let is_in = |(name, place): &(String, Rect)| place.right() < edge && name != "Resize panel";
        let Some(next) = focused(&window).filter(is_in) else { break };
        seen.push(next);
    }
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() > 20 && !names.contains(&""), "{names:?}");
    for name in ["Fill", "Generate", "Variations", "Seed", "Settings", "Brush", "Size", "Clear", "By", "Export mask…"]
    {
        assert!(names.contains(&name), "{name} is not reached: {names:?}");
    }
    for pair in seen.windows(2) {
        let [(_, from), (_, to)] = pair else { unreachable!() };
        let is_below = to.center().y > from.center().y + 4.0;
        let is_beside = (to.center().y - from.center().y).abs() <= 4.0 && to.left() > from.left();
        assert!(is_below || is_beside, "{pair:?}");
    }
    window.key_press_modifiers(Modifiers::SHIFT, Key::Tab);
    window.run_steps(3);
    assert_eq!(focused(&window).map(|(name, _)| name), seen.last().map(|(name, _)| name.clone()));
}

#[test]
fn a_picture_is_made_and_accepted_by_the_keyboard_alone() {
    let (_data, mut window) = opened();
    let before = picture(&window);
    quick(&mut window);
    window.key_press(Key::F6);
    window.run_steps(3);
    window.event(Event::Text("a red star".into()));
    window.run_steps(2);
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    until(&mut window, |window| window.state().making.is_done);
    assert_eq!(window.state().wishes.prompt, "a red star");
    let go_to = |window: &mut Window, name: &str| {
        for _ in 0..80 {
            if focused(window).is_some_and(|(found, _)| found == name) {
                return;
            }
            window.key_press(Key::Tab);
            window.run_steps(2);
        }
        panic!("{name} is not reached");
    };
    go_to(&mut window, "Variation 2");
    window.key_press(Key::Space);
    window.run_steps(2);
    assert_eq!(window.state().making.selected, 1);
    go_to(&mut window, "Accept");
    window.key_press(Key::Enter);
    until(&mut window, |window| says(window, "Saved "));
    assert_ne!(picture(&window), before);
    window.key_press(Key::F6);
    window.run_steps(3);
    go_to(&mut window, "Undo");
    window.key_press(Key::Enter);
    window.run_steps(2);
    assert_eq!(picture(&window), before);
}
