//! Edits, strokes, undo and redo.

use std::time::Instant;

use serde_json::json;

use super::random::Random;
use super::*;

fn noise(random: &mut Random, width: usize, height: usize) -> Picture {
    Picture { width, height, rgb: (0..3 * width * height).map(|_| random.bits() as u8).collect() }
}

/// Any edit there is, on a picture of about 150 pixels a side.
fn edit(document: &mut Document, random: &mut Random) {
    let mode = if random.below(2) == 0 { Mode::Paint } else { Mode::Erase };
    let near = |random: &mut Random| random.point(-30.0, 180.0);
    match random.below(12) {
        0..4 => {
            let brush = Brush::new(random.range(1.0, 60.0), random.range(0.0, 1.0));
            document.begin_stroke(brush, mode, near(random));
            for _ in 0..random.below(5) {
                document.stroke_to(near(random));
            }
            match random.below(4) {
                0 => document.cancel_stroke(),
                // Whatever comes next ends it.
                1 => {}
                _ => document.end_stroke(),
            }
        }
        4 => document.fill_rectangle(near(random), near(random), mode),
        5 => {
            let points: Vec<_> = (0..random.below(9)).map(|_| near(random)).collect();
            document.fill_lasso(&points, mode);
        }
        6 => document.clear_mask(),
        7 => document.invert_mask(),
        8 => document.grow_mask(random.range(-1.0, 9.0)),
        9 => document.shrink_mask(random.range(-1.0, 9.0)),
        10 => document.feather_mask(random.range(0.0, 9.0)),
        _ => {
            let mut picture = Picture::clone(document.picture());
            let at = random.below(picture.rgb.len());
            let n = random.below(2000).min(picture.rgb.len() - at);
            picture.rgb[at..at + n].fill(random.bits() as u8);
            document.accept(picture).unwrap();
        }
    }
}

fn state(document: &Document) -> (Picture, Mask) {
    (Picture::clone(document.picture()), Mask::clone(document.mask()))
}

#[test]
fn undoing_all_is_the_first_state_and_redoing_all_the_last() {
    let mut random = Random::new(10);
    for _ in 0..12 {
        let (width, height) = (1 + random.below(160), 1 + random.below(160));
        let mut document = Document::new(noise(&mut random, width, height));
        let mut states = vec![state(&document)];
        for _ in 0..40 {
            edit(&mut document, &mut random);
            document.end_stroke();
            if states.last() != Some(&state(&document)) {
                states.push(state(&document));
            }
        }
        assert!(document.is_changed());
        for want in states.iter().rev().skip(1) {
            assert!(document.undo());
            assert!(state(&document) == *want);
        }
        assert!(!document.undo() && document.undo_name().is_none());
        assert!(!document.is_changed() && !document.is_picture_changed(), "all is as it was opened");
        for want in &states[1..] {
            assert!(document.redo());
            assert!(state(&document) == *want);
        }
        assert!(!document.redo() && document.redo_name().is_none());
        assert!(**document.original() == states[0].0);
    }
}

#[test]
fn a_view_that_draws_what_is_dirty_shows_what_is_there() {
    let mut random = Random::new(11);
    let mut document = Document::new(noise(&mut random, 150, 140));
    let mut seen = (Picture::filled(150, 140, [0; 3]), Mask::filled(150, 140, 9));
    let mut revision = None;
    for _ in 0..150 {
        let dirty = document.take_dirty();
        assert!(dirty.is_none() || revision != Some(document.revision()), "no change without a new number");
        revision = Some(document.revision());
        let dirty = dirty.unwrap_or_default();
        let pixels = |area: Option<Bounds>| {
            let area = area.unwrap_or(Bounds { left: 0, top: 0, right: 0, bottom: 0 });
            (area.top..area.bottom).flat_map(move |y| (area.left..area.right).map(move |x| y * 150 + x))
        };
        pixels(dirty.mask).for_each(|i| seen.1.alpha[i] = document.mask().alpha[i]);
        for i in pixels(dirty.picture) {
            seen.0.rgb[3 * i..3 * i + 3].copy_from_slice(&document.picture().rgb[3 * i..3 * i + 3]);
        }
        assert!(seen == state(&document));
        match random.below(4) {
            0 => drop(document.undo()),
            1 => drop(document.redo()),
            _ => edit(&mut document, &mut random),
        }
    }
    document.take_dirty();
    assert_eq!(document.take_dirty(), None);
}

#[test]
fn a_hundred_steps_can_be_undone_and_memory_is_bounded() {
    let mut random = Random::new(12);
    let mut document = Document::new(noise(&mut random, 512, 512));
    for i in 0..200 {
        document.begin_stroke(Brush::new(60.0, 0.4), if i % 2 == 0 { Mode::Paint } else { Mode::Erase }, [0.0; 2]);
        document.stroke_to(random.point(0.0, 512.0));
    }
    assert!(document.history_memory() <= HISTORY_MEMORY_MAX);
    let steps = std::iter::from_fn(|| document.undo().then_some(())).count();
    assert!(steps >= 100, "{steps}");

    let mut document = Document::new(noise(&mut random, 300, 300)).with_history_memory(500_000);
    for _ in 0..20 {
        document.accept(noise(&mut random, 300, 300)).unwrap();
        assert!(document.history_memory() <= 500_000);
    }
    let last = state(&document);
    assert!(document.undo() && !document.undo(), "two do not fit");
    assert!(document.redo() && state(&document) == last);
}

#[test]
fn a_stroke_is_one_step_and_an_edit_drops_what_was_undone() {
    let mut document = Document::new(Picture::filled(100, 100, [5; 3]));
    let brush = Brush::new(9.0, 1.0);
    document.begin_stroke(brush, Mode::Paint, [10.0, 10.0]);
    (0..50).for_each(|i| document.stroke_to([10.0 + i as f32, 20.0]));
    assert!(document.is_stroking());
    assert_eq!(document.undo_name(), Some("Brush"));
    assert!(document.undo() && !document.is_stroking(), "a stroke that goes on ends first");
    assert_eq!((document.undo_name(), document.redo_name()), (None, Some("Brush")));
    document.begin_stroke(brush, Mode::Erase, [10.0, 10.0]);
    document.end_stroke();
    assert_eq!(document.redo_name(), Some("Brush"), "erasing nothing is no edit");
    document.invert_mask();
    assert_eq!((document.undo_name(), document.redo_name()), (Some("Invert mask"), None));
    assert!(!document.redo());
    document.begin_stroke(brush, Mode::Erase, [10.0, 10.0]);
    document.end_stroke();
    assert_eq!(document.undo_name(), Some("Eraser"));
}

#[test]
fn what_a_hard_brush_painted_it_erases() {
    let mut random = Random::new(13);
    let mut document = Document::new(Picture::filled(120, 90, [5; 3]));
    for _ in 0..20 {
        let brush = Brush::new(random.range(1.0, 40.0), 1.0);
        let points: Vec<_> = (0..6).map(|_| random.point(-20.0, 130.0)).collect();
        for mode in [Mode::Paint, Mode::Erase] {
            document.begin_stroke(brush, mode, points[0]);
            points[1..].iter().for_each(|p| document.stroke_to(*p));
            document.end_stroke();
            let painted = document.mask().alpha.iter().any(|v| *v > 0);
            assert!(mode == Mode::Paint || !painted);
        }
    }
}

#[test]
fn a_cancelled_stroke_never_was() {
    let mut document = Document::new(Picture::filled(100, 100, [5; 3]));
    document.fill_rectangle([20.0, 20.0], [50.0, 60.0], Mode::Paint);
    let before = state(&document);
    document.take_dirty();
    document.begin_stroke(Brush::new(30.0, 0.5), Mode::Erase, [30.0, 30.0]);
    document.stroke_to([80.0, 30.0]);
    assert!(state(&document) != before);
    document.take_dirty();
    document.cancel_stroke();
    assert!(state(&document) == before && document.take_dirty().is_some_and(|dirty| dirty.mask.is_some()));
    assert_eq!(document.undo_name(), Some("Rectangle"));
}

#[test]
fn strange_pointers_do_no_harm() {
    let brush = Brush::new(10.0, 1.0);
    let mut document = Document::new(Picture::filled(50, 50, [5; 3]));
    document.stroke_to([3.0, 3.0]);
    document.begin_stroke(brush, Mode::Paint, [f32::NAN, 3.0]);
    document.stroke_to([f32::INFINITY, 3.0]);
    document.stroke_to([-500.0, -3.0]);
    document.end_stroke();
    assert_eq!((document.undo_name(), document.is_changed()), (None, false), "all of it is off the picture");
    document.begin_stroke(brush, Mode::Paint, [-1000.0, 25.0]);
    document.stroke_to([f32::NAN, f32::NAN]);
    document.stroke_to([1000.0, 25.0]);
    document.stroke_to([f32::MAX, f32::MIN]);
    document.end_stroke();
    let row = |y: usize| document.mask().alpha[y * 50..][..50].iter().all(|v| *v == 255);
    assert!(row(25) && !row(31), "a line through the picture is drawn, wherever its ends are");
    let mut none = Document::new(Picture::filled(0, 0, [0; 3]));
    edit(&mut none, &mut Random::new(1));
    none.begin_stroke(brush, Mode::Paint, [0.0, 0.0]);
    none.invert_mask();
    assert!(!none.undo());
}

#[test]
fn ten_thousand_points_are_quick() {
    let mut random = Random::new(14);
    let mut document = Document::new(Picture::filled(1024, 1024, [5; 3]));
    let begun = Instant::now();
    document.begin_stroke(Brush::new(16.0, 0.5), Mode::Paint, [512.0, 512.0]);
    let mut at = [512.0f32; 2];
    for _ in 0..10_000 {
        at = at.map(|v| (v + random.range(-12.0, 12.0)).clamp(-50.0, 1074.0));
        document.stroke_to(at);
    }
    document.end_stroke();
    // Without optimisation it takes about a second.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert!(document.mask().alpha.iter().any(|v| *v > 0));
}

#[test]
fn other_sizes_are_refused() {
    let mut document = Document::new(Picture::filled(30, 20, [5; 3]));
    let message = document.set_mask(Mask::filled(20, 30, 255)).unwrap_err().to_string();
    assert_eq!(message, "the mask has 20 x 30 pixels, the picture 30 x 20");
    let message = document.accept(Picture::filled(31, 20, [0; 3])).unwrap_err().to_string();
    assert_eq!(message, "the new picture has 31 x 20 pixels, the picture 30 x 20");
    assert!(document.accept(Picture { width: 30, height: 20, rgb: vec![0; 7] }).is_err());
    assert!(document.set_mask(Mask { width: 30, height: 20, alpha: vec![] }).is_err());
    assert!(!document.is_changed());
    document.set_mask(Mask::filled(30, 20, 77)).unwrap();
    assert_eq!((document.undo_name(), document.mask().alpha[0]), (Some("Import mask"), 77));
}

#[test]
fn changed_is_what_differs_from_what_was_saved() {
    let mut document = Document::new(Picture::filled(30, 20, [5; 3]));
    document.invert_mask();
    assert!(document.is_changed() && !document.is_picture_changed());
    document.accept(Picture::filled(30, 20, [6; 3])).unwrap();
    document.mark_saved();
    assert!(!document.is_changed());
    document.undo();
    assert!(document.is_changed() && document.is_picture_changed());
    document.redo();
    assert!(!document.is_changed());
    document.undo();
    document.accept(Picture::filled(30, 20, [7; 3])).unwrap();
    assert!(document.is_picture_changed(), "another picture than the one saved");
    let restored = Document::restored(&document.snapshot(json!(null), None)).unwrap();
    assert!(restored.is_picture_changed() && state(&restored) == state(&document));
    assert!(restored.original() == document.original() && restored.undo_name().is_none());
}
