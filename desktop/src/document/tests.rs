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
    match random.below(14) {
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
        6 => document.edit_mask(MaskEdit::Clear).unwrap(),
        7 => document.edit_mask(MaskEdit::Invert).unwrap(),
        8 => document.edit_mask(MaskEdit::Grow(random.range(-1.0, 9.0))).unwrap(),
        9 => document.edit_mask(MaskEdit::Shrink(random.range(-1.0, 9.0))).unwrap(),
        10 => document.edit_mask(MaskEdit::Feather(random.range(0.0, 9.0))).unwrap(),
        11 => document.edit_mask(MaskEdit::Everything).unwrap(),
        12 => {
            let [threshold, grow, feather] =
                [random.range(-50.0, 100.0), random.range(-5.0, 5.0), random.range(-5.0, 5.0)];
            document.edit_mask(MaskEdit::Adjust(Adjustment { threshold, grow, feather })).unwrap();
        }
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
    document.edit_mask(MaskEdit::Invert).unwrap();
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
    none.edit_mask(MaskEdit::Invert).unwrap();
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
    let message = document.edit_mask(MaskEdit::Import(Mask::filled(20, 30, 255))).unwrap_err().to_string();
    assert_eq!(message, "the mask has 20 x 30 pixels, the picture 30 x 20");
    let message = document.accept(Picture::filled(31, 20, [0; 3])).unwrap_err().to_string();
    assert_eq!(message, "the new picture has 31 x 20 pixels, the picture 30 x 20");
    assert!(document.accept(Picture { width: 30, height: 20, rgb: vec![0; 7] }).is_err());
    assert!(document.edit_mask(MaskEdit::Import(Mask { width: 30, height: 20, alpha: vec![] })).is_err());
    assert!(!document.is_changed());
    document.edit_mask(MaskEdit::Import(Mask::filled(30, 20, 77))).unwrap();
    assert_eq!((document.undo_name(), document.mask().alpha[0]), (Some("Import mask"), 77));
}

#[test]
fn changed_is_what_differs_from_what_was_saved() {
    let mut document = Document::new(Picture::filled(30, 20, [5; 3]));
    document.edit_mask(MaskEdit::Invert).unwrap();
    assert!(document.is_changed() && !document.is_picture_changed());
    document.accept(Picture::filled(30, 20, [6; 3])).unwrap();
    let saved = document.layers();
    document.mark_saved(&saved);
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

#[test]
fn a_document_that_comes_back_knows_whether_it_was_saved() {
    let again = |document: &Document| Document::restored(&document.snapshot(json!(null), None)).unwrap();
    let mut document = Document::new(Picture::filled(30, 20, [5; 3]));
    assert!(!again(&document).is_changed() && !again(&document).is_touched(), "only looked at");
    document.edit_mask(MaskEdit::Invert).unwrap();
    assert!(again(&document).is_changed() && again(&document).is_touched());
    let revision = document.revision();
    let layers = document.layers();
    document.mark_saved(&layers);
    assert!(document.revision() != revision, "the journal is to hear of it");
    let mut saved = again(&document);
    assert!(!saved.is_changed() && !saved.is_unsaved() && saved.is_touched(), "no file has the mask");
    saved.edit_mask(MaskEdit::Clear).unwrap();
    assert!(saved.is_changed() && !saved.is_unsaved(), "the picture is in a file as before");
    document.accept(Picture::filled(30, 20, [6; 3])).unwrap();
    assert!(again(&document).is_unsaved());
    let (kept, revision) = (Arc::clone(document.picture()), document.revision());
    document.mark_kept(&kept);
    assert!(document.revision() != revision);
    document.edit_mask(MaskEdit::Clear).unwrap();
    assert!(again(&document).is_changed() && !again(&document).is_unsaved(), "the history has the picture");
    document.undo();
    document.undo();
    document.undo();
    assert!(!document.is_touched());
}

#[test]
fn how_a_picture_was_made_is_undone_with_it() {
    let origin = |prompt: &str| Origin { prompt: Some(prompt.into()), ..Origin::default() };
    let mut document = Document::new(Picture::filled(30, 20, [5; 3])).with_origin(origin("a"));
    assert!(!document.is_changed() && *document.origin() == origin("a"));
    let edit = document.layers().painted(Picture::filled(30, 20, [6; 3])).unwrap();
    document.take_made(edit, Some(origin("b"))).unwrap();
    document.edit_mask(MaskEdit::Invert).unwrap();
    assert!(document.undo() && *document.origin() == origin("b"), "the mask alone was another");
    assert!(document.undo() && *document.origin() == origin("a") && !document.is_changed());
    assert!(document.redo() && *document.origin() == origin("b"));
    let restored = Document::restored(&document.snapshot(json!(null), None)).unwrap();
    assert!(*restored.origin() == origin("b") && restored.is_changed());
}

#[test]
fn what_only_the_window_has_is_unsaved() {
    let mut document = Document::new(Picture::filled(30, 20, [5; 3]));
    assert!(!document.is_unsaved());
    document.fill_rectangle([1.0, 1.0], [9.0, 9.0], Mode::Paint);
    assert!(document.is_unsaved());
    document.accept(Picture::filled(30, 20, [6; 3])).unwrap();
    let kept = Arc::clone(document.picture());
    document.mark_kept(&kept);
    assert!(document.is_unsaved(), "a file of the history has no mask");
    document.edit_mask(MaskEdit::Clear).unwrap();
    assert!(!document.is_unsaved() && document.is_changed());
    document.accept(Picture::filled(30, 20, [7; 3])).unwrap();
    document.mark_kept(&kept);
    assert!(document.is_unsaved(), "it was another picture");
    let layers = document.layers();
    document.edit_mask(MaskEdit::Invert).unwrap();
    document.mark_saved(&layers);
    assert!(document.is_unsaved(), "it was another mask");
    document.undo();
    document.accept(Picture::filled(30, 20, [8; 3])).unwrap();
    let layers = document.layers();
    document.mark_saved(&layers);
    assert!(!document.is_unsaved());
}

#[test]
fn an_edit_of_what_is_gone_is_refused() {
    let mut document = Document::new(Picture::filled(30, 20, [5; 3]));
    let edit = document.layers().masked(MaskEdit::Invert).unwrap();
    document.fill_rectangle([1.0, 1.0], [9.0, 9.0], Mode::Paint);
    let before = state(&document);
    assert!(document.take(edit).unwrap_err().to_string().contains("another by now"));
    assert!(state(&document) == before && document.undo_name() == Some("Rectangle"));
    let edit = document.layers().masked(MaskEdit::Invert).unwrap();
    document.take(edit).unwrap();
    assert_eq!(document.undo_name(), Some("Invert mask"));
}

#[test]
fn an_extended_picture_shows_its_edges_and_can_be_undone() {
    let mut random = Random::new(15);
    let mut document = Document::new(noise(&mut random, 30, 20));
    document.fill_rectangle([2.0, 3.0], [5.0, 6.0], Mode::Paint);
    document.accept(noise(&mut random, 30, 20)).unwrap();
    let before = state(&document);
    document.take_dirty();
    let edit = document.layers().extended([4, 0, 0, 7]).unwrap();
    document.take(edit).unwrap();
    let (picture, mask) = state(&document);
    assert_eq!((picture.width, picture.height, mask.width, mask.height), (34, 27, 34, 27));
    assert_eq!((document.original().width, document.original().height), (34, 27));
    for (x, y) in (0..27).flat_map(|y| (0..34).map(move |x| (x, y))) {
        let inside = x >= 4 && y < 20;
        assert_eq!(picture.pixel(x, y), before.0.pixel(x.saturating_sub(4), y.min(19)));
        assert_eq!(mask.is_painted(x, y), !inside || before.1.is_painted(x - 4, y));
    }
    let all = whole(34, 27);
    assert_eq!(document.take_dirty(), Some(Dirty { picture: all, mask: all }));
    document.begin_stroke(Brush::new(9.0, 1.0), Mode::Erase, [1.0, 25.0]);
    document.end_stroke();
    let stroked = state(&document);
    assert!(document.undo() && document.undo() && state(&document) == before);
    assert_eq!(document.take_dirty(), Some(Dirty { picture: whole(30, 20), mask: whole(30, 20) }));
    assert!(document.redo() && document.redo() && state(&document) == stroked);
    document.snapshot(json!(null), None).check().unwrap();
    assert!(document.history_memory() > 2 * 3 * 34 * 27);

    let layers = document.layers();
    for (margins, word) in [([0; 4], "extended"), ([20_000, 0, 0, 0], "too large"), ([usize::MAX; 4], "too large")] {
        let message = layers.clone().extended(margins).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
