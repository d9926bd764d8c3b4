//! `firefall inpaint`, `outpaint` and `eval inpaint` from end to end with a tiny model.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not know as such")]

#[allow(dead_code, reason = "what other programs of tests use")]
mod support;

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use support::{binary, model, text};

const QUICK: [&str; 6] = ["--preset", "quick", "--steps", "2", "--device", "cpu"];

/// A picture of noise and a mask of a disc.
fn files(folder: &Path, [width, height]: [u32; 2]) -> RgbImage {
    let noise = |x: u32, y: u32, c: u32| (x.wrapping_mul(97) ^ y.wrapping_mul(57) ^ c.wrapping_mul(31)) as u8;
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([noise(x, y, 1), noise(x, y, 2), noise(x, y, 3)]));
    picture.save(folder.join("a.png")).unwrap();
    let disc = |x: u32, y: u32| (x as f32 - 30.0).hypot(y as f32 - 20.0) < 8.0;
    let mask = GrayImage::from_fn(width, height, |x, y| Luma([if disc(x, y) { 255 } else { 0 }]));
    mask.save(folder.join("mask.png")).unwrap();
    picture
}

#[track_caller]
fn run(command: &str, paths: &[&Path], more: &[&str]) -> (i32, String) {
    let paths: Vec<&str> = paths.iter().map(|path| text(path)).collect();
    let output = binary().arg(command).args(&paths).args(more).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn only_what_is_under_the_feathered_mask_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let before = files(folder.path(), [150, 90]);
    let (mask, out) = (path("mask.png"), path("out.png"));
    let more = [&["a star", "--mask", text(&mask), "--out", text(&out), "--seed", "3", "--model", text(model())][..]];
    let more = [&more.concat()[..], &["--grow", "2", "--feather", "6"], &QUICK].concat();
    let (code, said) = run("inpaint", &[&path("a.png")], &more);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("calls of the denoisers"), "the cost comes first: {said}");
    let after = image::open(&out).unwrap().into_rgb8();
    assert_eq!(after.dimensions(), before.dimensions());
    let mut changed = 0;
    for (x, y, pixel) in after.enumerate_pixels() {
        let far = (x as f32 - 30.0).hypot(y as f32 - 20.0) > 8.0 + 2.0 + 6.0 + 1.0;
        let same = pixel == before.get_pixel(x, y);
        assert!(!far || same, "({x}, {y}) changed");
        changed += usize::from(!same);
    }
    assert!(changed > 150, "{changed} pixels changed");
    let shown = binary().args(["show", text(&out)]).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains("a star"));
    let (code, said) = run("inpaint", &[&path("a.png")], &more);
    assert!(code == 1 && said.contains("--force"), "{said}");
}

#[test]
fn folders_are_worked_through_with_masks_of_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    files(folder.path(), [64, 64]);
    for name in ["in", "masks"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    for name in ["x.png", "y.png"] {
        std::fs::copy(path("a.png"), path("in").join(name)).unwrap();
        std::fs::copy(path("mask.png"), path("masks").join(name)).unwrap();
    }
    let (masks, out) = (path("masks"), path("out"));
    let more = [
        &["a star", "--mask", text(&masks), "--out", text(&out), "--count", "2", "--model", text(model())][..],
        &QUICK,
    ];
    let (code, said) = run("inpaint", &[&path("in")], &more.concat());
    assert_eq!(code, 0, "{said}");
    let mut names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["x-2.png", "x.png", "y-2.png", "y.png"]);
    // A result takes the place of another file if that is asked for, but never that of another result.
    for folder in [path("in"), masks.clone()] {
        std::fs::copy(folder.join("x.png"), folder.join("y-2.png")).unwrap();
    }
    let (code, said) = run("inpaint", &[&path("in")], &[&more.concat()[..], &["--force"]].concat());
    assert!(code == 1 && said.contains("y-2.png would be the result of two pictures"), "{said}");
    for folder in [path("in"), masks.clone()] {
        std::fs::remove_file(folder.join("y-2.png")).unwrap();
    }
    let inside = [&["a star", "--mask", text(&masks), "--out", text(&masks), "--force"][..], &QUICK].concat();
    let (code, said) = run("inpaint", &[&path("in")], &inside);
    assert!(code == 1 && said.contains("x.png would be overwritten by a result"), "{said}");
    // One that cannot be painted is found before the first is.
    let (none, late) = (path("none"), path("late"));
    std::fs::create_dir(&none).unwrap();
    std::fs::copy(masks.join("x.png"), none.join("x.png")).unwrap();
    GrayImage::new(64, 64).save(none.join("y.png")).unwrap();
    let more_of = ["a star", "--mask", text(&none), "--out", text(&late), "--model", text(model())];
    let (code, said) = run("inpaint", &[&path("in")], &[&more_of[..], &QUICK].concat());
    assert!(code == 2 && said.contains("y.png: the mask is empty"), "{said}");
    assert!(!late.exists(), "nothing was begun");
    std::fs::remove_file(masks.join("y.png")).unwrap();
    let (code, said) = run("inpaint", &[&path("in")], &more.concat());
    assert!(code == 1 && said.contains("y.png has no mask"), "{said}");
}

/// The colours of a photo stay what they were where nothing is painted, also where a viewer looks at its profile.
#[test]
fn the_colour_profile_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let before = files(folder.path(), [50, 40]);
    let mut profile = vec![0; 200];
    profile[16..20].copy_from_slice(b"RGB ");
    profile[36..40].copy_from_slice(b"acsp");
    let mut info = png::Info::with_size(50, 40);
    info.icc_profile = Some(profile.clone().into());
    let mut encoder = png::Encoder::with_info(std::fs::File::create(path("a.png")).unwrap(), info).unwrap();
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(before.as_raw()).unwrap();
    let (mask, out) = (path("mask.png"), path("out.png"));
    let inpaint = ["a star", "--mask", text(&mask), "--out", text(&out), "--model", text(model())];
    let outpaint = ["a star", "--left", "5", "--out", text(&out), "--model", text(model()), "--force"];
    for (command, more) in [("inpaint", &inpaint[..]), ("outpaint", &outpaint[..])] {
        let (code, said) = run(command, &[&path("a.png")], &[more, &QUICK].concat());
        assert!(code == 0 && !said.contains("not kept"), "{said}");
        let file = std::io::BufReader::new(std::fs::File::open(&out).unwrap());
        let reader = png::Decoder::new(file).read_info().unwrap();
        assert_eq!(reader.info().icc_profile.as_deref(), Some(&profile[..]), "{command}");
        assert!(reader.info().srgb.is_none(), "{command}");
    }
    let deep = image::ImageBuffer::from_pixel(50, 40, Rgb([40_000u16, 0, 65_535]));
    image::DynamicImage::ImageRgb16(deep).save(path("a.png")).unwrap();
    let (code, said) = run("outpaint", &[&path("a.png")], &[&outpaint[..], &QUICK].concat());
    assert!(code == 0 && said.contains("a.png: more than 8 bits a channel"), "{said}");
}

#[test]
fn a_file_that_ends_early_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, out) = (folder.path().join("a.jpg"), folder.path().join("out.png"));
    files(folder.path(), [64, 64]).save(&photo).unwrap();
    let outpaint = ["a star", "--left", "5", "--out", text(&out), "--model", text(model()), "--force"];
    let outpaint = || run("outpaint", &[&photo], &[&outpaint[..], &QUICK].concat());
    let (code, said) = outpaint();
    assert!(code == 0 && !said.contains("early"), "{said}");
    let whole = std::fs::read(&photo).unwrap();
    std::fs::write(&photo, &whole[..whole.len() / 2]).unwrap();
    let (code, said) = outpaint();
    assert!(code == 0 && said.contains("a.jpg ends early; what is missing is gray or blurred"), "{said}");
}

#[test]
fn a_picture_grows_and_stays_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let before = files(folder.path(), [50, 40]);
    let out = path("wide.png");
    let more = ["a star", "--right", "30", "--bottom", "4", "--grow", "0", "--feather", "0", "--out", text(&out)];
    let more = [&more[..], &["--model", text(model())], &QUICK].concat();
    let (code, said) = run("outpaint", &[&path("a.png")], &more);
    assert_eq!(code, 0, "{said}");
    let after = image::open(&out).unwrap().into_rgb8();
    assert_eq!(after.dimensions(), (80, 44));
    assert!(before.enumerate_pixels().all(|(x, y, pixel)| after.get_pixel(x, y) == pixel));
    let (code, said) = run("outpaint", &[&path("a.png")], &["a star"]);
    assert!(code == 2 && said.contains("--left"), "{said}");
}

#[test]
fn what_makes_no_sense_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    files(folder.path(), [64, 64]);
    GrayImage::new(64, 64).save(path("empty.png")).unwrap();
    GrayImage::new(60, 64).save(path("other.png")).unwrap();
    std::fs::write(path("bad.png"), "no picture").unwrap();
    let cases = [
        ("empty.png", &[][..], 2, "the mask is empty"),
        ("other.png", &[], 1, "60 x 64"),
        ("bad.png", &[], 1, "bad.png"),
        ("none.png", &[], 1, "none.png"),
        ("mask.png", &["--strength", "0"], 2, "above 0"),
        ("mask.png", &["--preset", "slow"], 2, "quick, balanced, thorough"),
        ("mask.png", &["--grow", "-1"], 2, "0"),
        ("mask.png", &["--grow", "NaN"], 2, "NaN"),
        ("mask.png", &["--context", "0.1"], 2, "0.5 to 8"),
        ("mask.png", &["--mask-threshold", "0"], 2, "1 to 100"),
    ];
    for (mask, more, code, word) in cases {
        let mask = path(mask);
        let all = [&["a star", "--mask", text(&mask), "--model", text(model()), "--device", "cpu"], more].concat();
        let (got, said) = run("inpaint", &[&path("a.png")], &all);
        assert!(got == code && said.contains(word), "{mask:?} {more:?}: {got} {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5, "nothing was written");
}

#[test]
fn an_evaluation_of_inpainting_is_a_table_a_file_and_a_sheet() {
    let folder = tempfile::tempdir().unwrap();
    let [json, sheet] = ["a.json", "a.png"].map(|name| folder.path().join(name));
    let args = ["eval", "inpaint", "--tasks", "2", "--preset", "quick", "--device", "cpu", "--model", text(model())];
    let output = binary().args(args).args(["--json", text(&json), "--sheet", text(&sheet)]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let table = String::from_utf8(output.stdout).unwrap();
    for word in ["| remove |", "| put in |", "| replace |", "seam ratio"] {
        assert!(table.contains(word), "{table}");
    }
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    for row in read["rows"].as_array().unwrap() {
        assert_eq!((row["tasks"].as_u64(), row["bytes_changed"].as_u64()), (Some(2), Some(0)), "{row}");
    }
    assert!(image::open(&sheet).is_ok());
}
