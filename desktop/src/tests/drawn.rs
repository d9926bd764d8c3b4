//! What the canvas looks like, drawn by a graphics device (lavapipe where there is no other) and looked at pixel by pixel.

use eframe::egui::RawInput;

use super::*;

pub(super) const PINK: [u8; 3] = [255, 127, 227];

/// What is on the screen at a share of the canvas's picture, which is as wide as high.
fn seen(window: &mut Window, x: f32, y: f32) -> [u8; 3] {
    let rect = canvas(window);
    let side = rect.size().min_elem() - 24.0;
    let at = rect.center() + vec2(x - 0.5, y - 0.5) * side;
    let image = window.render().unwrap();
    let [r, g, b, _] = image.get_pixel(at.x as u32, at.y as u32).0;
    [r, g, b]
}

/// Draws frames until a place has a colour: patches come when they are worked out.
#[track_caller]
pub(super) fn shows(window: &mut Window, place: [f32; 2], colour: [u8; 3]) {
    shows_between(window, place, [colour; 2]);
}

/// The same for a colour between two, by channels.
#[track_caller]
fn shows_between(window: &mut Window, [x, y]: [f32; 2], [low, high]: [[u8; 3]; 2]) {
    let begun = Instant::now();
    loop {
        let seen = seen(window, x, y);
        let within = |c: usize| (low[c].saturating_sub(3)..=high[c].saturating_add(3)).contains(&seen[c]);
        if (0..3).all(within) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen:?} instead of {low:?} to {high:?} at {x}, {y}");
        window.run_steps(2);
    }
}

/// The pixel within `reach` of the middle whose surroundings, which the screen blends with it, are furthest from white in
/// any channel; the darkest and lightest of each channel there.
fn boldest(picture: &Picture, middle: usize, reach: usize) -> ([usize; 2], [[u8; 3]; 2]) {
    let range = |[x, y]: [usize; 2]| {
        let around = (0..49).map(|i| picture.pixel(x + i % 7 - 3, y + i / 7 - 3));
        around.fold([[255; 3], [0; 3]], |[low, high]: [[u8; 3]; 2], pixel| {
            [0, 1].map(|i| std::array::from_fn(|c| if i == 0 { low[c].min(pixel[c]) } else { high[c].max(pixel[c]) }))
        })
    };
    let span = || middle - reach..=middle + reach;
    let places = span().flat_map(|x| span().map(move |y| [x, y]));
    let place = places.min_by_key(|&place| range(place)[1].into_iter().min()).unwrap();
    let [low, high] = range(place);
    assert!(high.iter().any(|&v| v < 250), "what was painted cannot be told from white: {low:?} to {high:?}");
    (place, [low, high])
}

#[test]
fn the_canvas_shows_picture_mask_patch_and_original() {
    let data = tempfile::tempdir().unwrap();
    let place = data.path().join("gray.png");
    image::RgbImage::from_pixel(512, 512, image::Rgb([255, 255, 255])).save(&place).unwrap();
    let mut window = open(Harness::builder().wgpu(), data.path(), Some(&place));
    until(&mut window, |window| picture(window).width == 512);
    leave_fields(&mut window);
    window.run_steps(2);
    shows(&mut window, [0.5, 0.5], [255; 3]);
    window.state_mut().hand.size = 60.0;
    stroke(&mut window, [0.5, 0.5], [0.5, 0.5], PointerButton::Primary);
    shows(&mut window, [0.5, 0.5], PINK);
    shows(&mut window, [0.8, 0.8], [255; 3]);
    stroke(&mut window, [0.2, 0.5], [0.2, 0.5], PointerButton::Primary);
    shows(&mut window, [0.5, 0.5], PINK);
    key(&mut window, Modifiers::COMMAND, Key::Z);

    // What was painted lies over the picture in its place, and nowhere else.
    window.state_mut().wishes.prompt = "a red star".into();
    quick(&mut window);
    window.state_mut().wishes.count = 1;
    key(&mut window, Modifiers::COMMAND, Key::Enter);
    until(&mut window, |window| window.state().making.is_done);
    let (job, variation) = window.state().making.waiting().unwrap();
    let finished = job.finish(&variation.painted);
    let ([x, y], painted) = boldest(&finished, 256, 20);
    let place = [x, y].map(|at| (at as f32 + 0.5) / 512.0);
    shows_between(&mut window, place, painted);
    for corner in [[0.02, 0.02], [0.98, 0.98], [0.02, 0.5], [0.98, 0.5], [0.5, 0.02], [0.5, 0.98]] {
        shows(&mut window, corner, [255; 3]);
    }
    window.get_by_label("Accept").click_accesskit();
    until(&mut window, |window| window.state().making.variations.is_empty());
    key(&mut window, Modifiers::NONE, Key::Delete);
    until(&mut window, |window| super::painted(window) == 0);
    window.run_steps(2);
    shows_between(&mut window, place, painted);
    window.state_mut().view.wipe = 1.0;
    window.run_steps(2);
    shows(&mut window, place, [255; 3]);
}

/// Tab as the window gets it: what comes in goes through a hook that the harness does not have.
fn tab(window: &mut Window, pressed: bool) {
    let tab = Event::Key { key: Key::Tab, physical_key: None, pressed, repeat: false, modifiers: Modifiers::NONE };
    let mut input = RawInput { events: vec![tab], focused: true, ..RawInput::default() };
    let ctx = window.ctx.clone();
    eframe::App::raw_input_hook(window.state_mut(), &ctx, &mut input);
    window.input_mut().events.append(&mut input.events);
    window.run_steps(2);
}

#[test]
fn the_original_is_seen_while_tab_is_held_and_left_of_the_wipe() {
    let (black, green) = ([0; 3], [0, 200, 0]);
    let data = tempfile::tempdir().unwrap();
    let place = data.path().join("black.png");
    image::RgbImage::new(64, 64).save(&place).unwrap();
    let mut window = open(Harness::builder().wgpu(), data.path(), Some(&place));
    until(&mut window, |window| picture(window).width == 64);
    window.state_mut().document.accept(Picture::filled(64, 64, green)).unwrap();
    leave_fields(&mut window);
    shows(&mut window, [0.5, 0.5], green);
    tab(&mut window, true);
    shows(&mut window, [0.5, 0.5], black);
    tab(&mut window, false);
    shows(&mut window, [0.5, 0.5], green);
    set(&mut window, Role::Slider, "Before", 0.5);
    shows(&mut window, [0.25, 0.5], black);
    shows(&mut window, [0.75, 0.5], green);
}

#[test]
fn the_mask_is_seen_as_long_as_it_acts() {
    let data = tempfile::tempdir().unwrap();
    let mut window = open(Harness::builder().wgpu(), data.path(), None);
    leave_fields(&mut window);
    window.state_mut().hand.size = 30.0;
    stroke(&mut window, [0.5, 0.5], [0.5, 0.5], PointerButton::Primary);
    shows(&mut window, [0.5, 0.5], PINK);
    write(&mut window, "a red star");
    shows(&mut window, [0.5, 0.5], PINK);
    quick(&mut window);
    window.state_mut().wishes.count = 1;
    click(&mut window, "Generate");
    until(&mut window, |window| window.state().making.is_done);
    click(&mut window, "Discard");
    shows(&mut window, [0.5, 0.5], PINK);
    click(&mut window, "Undo");
    shows(&mut window, [0.5, 0.5], [255; 3]);
    click(&mut window, "Redo");
    shows(&mut window, [0.5, 0.5], PINK);
}
