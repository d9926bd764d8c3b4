//! A large picture, and a window that does not wait for what is done to it.

use super::*;

/// A frame that nobody waits for.
const SHORT: Duration = Duration::from_millis(60);

/// Draws frames until something holds; none of them may take as long as all of it.
#[track_caller]
fn promptly(window: &mut Window, what: &str, mut holds: impl FnMut(&Window) -> bool) {
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    while !holds(window) {
        let frame = Instant::now();
        window.step();
        longest = longest.max(frame.elapsed());
        assert!(start.elapsed() < Duration::from_secs(120), "{what}: {:?}", window.state().notices);
        std::thread::sleep(Duration::from_millis(2));
    }
    let all = start.elapsed();
    assert!(longest < SHORT.max(all / 2), "{what} took {all:?}, and one frame {longest:?} of it");
}

#[test]
fn the_window_does_not_wait_for_what_takes_long() {
    let (data, mut window) = opened();
    let place = data.path().join("large.png");
    image::RgbImage::from_pixel(3000, 2000, image::Rgb([250, 250, 250])).save(&place).unwrap();
    window.state().errands.open(place);
    until(&mut window, |window| picture(window).width == 3000);
    leave_fields(&mut window);
    window.state_mut().hand.size = 200.0;
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    let mut marked = painted(&window);
    for label in ["Grow", "Grow", "Shrink"] {
        window.get_by_label(label).click_accesskit();
        promptly(&mut window, label, |window| painted(window) != marked);
        marked = painted(&window);
    }
    let feathered = |window: &Window| window.state().document.undo_name() == Some("Feather mask");
    window.get_by_label("Feather").click_accesskit();
    promptly(&mut window, "Feather", feathered);

    window.state_mut().wishes.prompt = "a red star".into();
    quick(&mut window);
    window.get_by_label("Generate").click_accesskit();
    promptly(&mut window, "a batch", |window| window.state().making.is_done);
    let before = window.state().document.picture().clone();
    window.get_by_label("Accept").click_accesskit();
    promptly(&mut window, "accepting", |window| window.state().making.variations.is_empty());
    let after = window.state().document.picture();
    assert_ne!(*after, before);
    assert_eq!([after.pixel(0, 0), after.pixel(2999, 1999)], [[250; 3]; 2]);
}

#[test]
fn an_edit_that_is_worked_out_holds_the_others() {
    let (_data, mut window) = stroked();
    let marked = painted(&window);
    window.state_mut().edit_mask(crate::document::MaskEdit::Invert);
    // The answer is not heard before the next frame, so all of these come in between.
    assert!(window.state().is_editing && !window.state().is_free());
    window.state_mut().undo();
    window.state_mut().edit_mask(crate::document::MaskEdit::Clear);
    window.state_mut().generate();
    assert!(window.state().making.run.is_none());
    until(&mut window, |window| painted(window) == 128 * 128 - marked);
    assert!(window.state().is_free());
    window.state_mut().undo();
    assert_eq!(painted(&window), marked, "the edit is one step, and nothing came before it");
}
