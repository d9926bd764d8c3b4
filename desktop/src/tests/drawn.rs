//! What the canvas looks like, drawn by a graphics device (lavapipe where there is no other) and looked at pixel by pixel.

use super::*;

const PINK: [u8; 3] = [255, 127, 227];

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
fn shows(window: &mut Window, [x, y]: [f32; 2], colour: [u8; 3]) {
    let begun = Instant::now();
    loop {
        let seen = seen(window, x, y);
        if seen.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 3) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen:?} instead of {colour:?} at {x}, {y}");
        window.run_steps(2);
    }
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
    let middle = |picture: &Picture| picture.pixel(256, 256);
    let painted = middle(&finished);
    shows(&mut window, [0.5, 0.5], painted);
    for corner in [[0.02, 0.02], [0.98, 0.98], [0.02, 0.5], [0.98, 0.5], [0.5, 0.02], [0.5, 0.98]] {
        shows(&mut window, corner, [255; 3]);
    }
    window.get_by_label("Accept").click_accesskit();
    until(&mut window, |window| window.state().making.variations.is_empty());
    key(&mut window, Modifiers::NONE, Key::Delete);
    until(&mut window, |window| super::painted(window) == 0);
    window.run_steps(2);
    shows(&mut window, [0.5, 0.5], painted);
    window.state_mut().view.wipe = 1.0;
    window.run_steps(2);
    shows(&mut window, [0.5, 0.5], [255; 3]);
}
