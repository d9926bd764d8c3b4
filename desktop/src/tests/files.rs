//! Files from elsewhere, let go over the window, and files that it writes: whatever cameras and programs make of pictures, names
//! of every kind, places that take nothing.

use std::io::Cursor;
use std::path::PathBuf;
use std::slice::from_ref;
use std::sync::Arc;

use eframe::egui::DroppedFile;
use image::{ImageFormat, Rgb, RgbImage};

use super::*;

/// A file that is let go over the window.
#[derive(Debug)]
struct Dropped(PathBuf);

impl DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

/// Lets files go over the window, with keys held.
fn let_go(window: &mut Window, modifiers: Modifiers, paths: &[PathBuf]) {
    window.event(Event::ModifiersChanged(modifiers));
    window.step();
    for path in paths {
        window.input_mut().dropped_files.push(Arc::new(Dropped(path.clone())));
    }
    window.step();
    window.event(Event::ModifiersChanged(Modifiers::NONE));
    window.step();
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Red ink, 8 x 8 pixels of it, as Adobe's programs write CMYK: 255 where there is none of an ink. Every block is its mean
/// alone, of which ten bits differ from the one before, or none.
fn cmyk_jpeg() -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00\xff\xdb\x00\x43\x00".to_vec();
    bytes.extend([1u8; 64]);
    bytes.extend(b"\xff\xc0\x00\x14\x08\x00\x08\x00\x08\x04");
    (1..=4u8).for_each(|ink| bytes.extend([ink, 0x11, 0]));
    bytes.extend(b"\xff\xc4\x00\x27\x00\x01\x01");
    bytes.extend([0u8; 14]);
    bytes.extend([0, 10, 0x10, 1u8]);
    bytes.extend([0u8; 16]);
    bytes.extend(b"\xff\xda\x00\x0e\x04");
    (1..=4u8).for_each(|ink| bytes.extend([ink, 0]));
    bytes.extend(b"\x00\x3f\x00\xbf\x84\x03\xa0\x1d\x7f\x0f\xff\xd9");
    bytes
}

/// 16 x 8 pixels, red on the left and blue on the right, whose camera was held on its side: the left edge is the upper one.
fn turned_jpeg() -> Vec<u8> {
    let half = |x: u32| Rgb(if x < 8 { [250, 0, 0] } else { [0, 0, 250] });
    let plain = encoded(&RgbImage::from_fn(16, 8, |x, _| half(x)), ImageFormat::Jpeg);
    // One entry, with tag 0x112: the orientation, which is 6.
    let head = b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00";
    let entry = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00";
    [&plain[..2], &head[..], &entry[..], &plain[2..]].concat()
}

/// Two pixels of a palette whose second colour cannot be seen.
fn palette_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![250u8, 0, 0, 90, 90, 90]);
    encoder.set_trns(vec![255u8, 0]);
    encoder.write_header().unwrap().write_image_data(&[0, 1]).unwrap();
    bytes
}

/// Red, then blue.
fn animated_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for colour in [[250u8, 0, 0], [0, 0, 250]] {
        writer.write_image_data(&colour.repeat(4)).unwrap();
    }
    drop(writer);
    bytes
}

/// The same.
fn animated_webp() -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| [name, &(data.len() as u32).to_le_bytes()[..], data].concat();
    let frame = |colour: [u8; 3]| {
        let still = encoded(&RgbImage::from_pixel(6, 7, Rgb(colour)), ImageFormat::WebP);
        // A place of two times three bytes, the size less one, the time, and that it covers what was there.
        let place: [u8; 16] = [0, 0, 0, 0, 0, 0, 5, 0, 0, 6, 0, 0, 100, 0, 0, 2];
        // What follows the first twelve bytes of a still picture is its only chunk.
        chunk(b"ANMF", &[&place[..], &still[12..]].concat())
    };
    let [head, loops] = [chunk(b"VP8X", &[2, 0, 0, 0, 5, 0, 0, 6, 0, 0]), chunk(b"ANIM", &[255, 255, 255, 255, 0, 0])];
    let frames = [frame([250, 0, 0]), frame([0, 0, 250])].concat();
    chunk(b"RIFF", &[&b"WEBP"[..], &head, &loops, &frames].concat())
}

/// A file with some of its bytes exchanged.
fn with(mut bytes: Vec<u8>, at: usize, others: &[u8]) -> Vec<u8> {
    bytes[at..at + others.len()].copy_from_slice(others);
    bytes
}

#[test]
fn what_cameras_and_programs_write_opens_upright_and_as_it_looks() {
    let (data, mut window) = opened();
    // The file, its size, a place that is red, and what is said of it.
    let files = [
        ("cmyk.jpg", cmyk_jpeg(), [8, 8], [3, 3], None),
        ("turned.jpg", turned_jpeg(), [8, 16], [4, 3], None),
        ("palette.png", palette_png(), [2, 1], [0, 0], Some("transparency")),
        ("moving.png", animated_png(), [2, 2], [1, 1], Some("its first picture is taken")),
        ("moving.webp", animated_webp(), [6, 7], [3, 3], Some("its first picture is taken")),
        // No name of a picture, and a name of another kind.
        ("named_as.pdf", palette_png(), [2, 1], [0, 0], Some("transparency")),
        ("really_a_jpeg.png", turned_jpeg(), [8, 16], [4, 3], None),
    ];
    for (name, bytes, size, [x, y], word) in files {
        let path = data.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let_go(&mut window, Modifiers::NONE, from_ref(&path));
        until(&mut window, |window| {
            window.state().source.as_ref() == Some(&path) || !window.state().notices.is_empty()
        });
        let notices = std::mem::take(&mut window.state_mut().notices);
        let is_said = |word: &str| notices.iter().any(|notice| notice.contains(word) && notice.contains(name));
        assert!(notices.len() == word.iter().len() && word.is_none_or(is_said), "{name}: {notices:?}");
        let picture = picture(&window);
        assert_eq!([picture.width, picture.height], size, "{name}");
        let [r, g, b] = picture.pixel(x, y);
        assert!(r > 200 && g < 60 && b < 60, "{name}: {:?} at {x}, {y}", picture.pixel(x, y));
        if name.starts_with("palette") {
            assert_eq!(picture.pixel(1, 0), [255; 3], "what cannot be seen is white");
        }
        if name.starts_with("turned") {
            let [r, _, b] = picture.pixel(4, 12);
            assert!(b > 200 && r < 60, "what was on the right is below");
        }
    }
}

#[test]
fn what_is_no_picture_is_named_and_nothing_is_lost() {
    let (data, mut window) = stroked();
    let marked = painted(&window);
    let webp = encoded(&RgbImage::new(60, 40), ImageFormat::WebP);
    let jpeg = turned_jpeg();
    let mut tall = Vec::new();
    png::Encoder::new(&mut tall, 1, 60_000).write_header().unwrap().write_image_data(&[0; 60_000]).unwrap();
    let animation =
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00";
    // Sides of 60,000 pixels, as their heads say it.
    let sides = cmyk_jpeg().windows(2).position(|pair| pair == b"\xff\xc0").unwrap() + 5;
    let bad = [
        ("nothing.jpg", Vec::new()),
        ("nothing.webp", Vec::new()),
        ("head.jpg", jpeg[..20].to_vec()),
        ("half.webp", webp[..webp.len() / 2].to_vec()),
        ("tall.png", tall),
        ("bomb.jpg", with(cmyk_jpeg(), sides, &[0xea, 0x60, 0xea, 0x60])),
        ("bomb.webp", with(animated_webp(), 24, &[0x5f, 0xea, 0, 0x5f, 0xea, 0])),
        ("moving.gif", animation.to_vec()),
        ("page.jpg", b"<!doctype html><title>404</title>".to_vec()),
    ];
    for (name, bytes) in bad {
        let path = data.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let_go(&mut window, Modifiers::NONE, &[path]);
        until(&mut window, |window| says(window, name));
        assert!(window.state().notices[0].starts_with("Cannot read "), "{name}: {:?}", window.state().notices);
        window.state_mut().notices.clear();
        window.step();
        assert!(painted(&window) == marked && window.state().next.is_none() && window.state().source.is_none());
    }
}

#[test]
fn folders_crowds_and_what_cannot_be_read_are_said() {
    let (data, mut window) = stroked();
    let marked = painted(&window);
    let folder = data.path().join("photos");
    std::fs::create_dir(&folder).unwrap();
    let_go(&mut window, Modifiers::NONE, &[folder]);
    until(&mut window, |window| says(window, "photos is a folder; drop one picture"));
    let mut unreadable = vec![data.path().join("gone.png")];
    #[cfg(unix)]
    {
        let (round, broken) = (data.path().join("round.png"), data.path().join("broken.png"));
        std::os::unix::fs::symlink(&round, &round).unwrap();
        std::os::unix::fs::symlink(data.path().join("gone.png"), &broken).unwrap();
        unreadable.extend([round, broken]);
        // Nothing ever comes out of it.
        let pipe = data.path().join("pipe.png");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        unreadable.push(pipe);
    }
    // Root may read what it may not, but this nobody can.
    #[cfg(target_os = "linux")]
    unreadable.push("/proc/self/mem".into());
    for path in unreadable {
        window.state_mut().notices.clear();
        let_go(&mut window, Modifiers::NONE, from_ref(&path));
        until(&mut window, |window| !window.state().notices.is_empty());
        let notices = &window.state().notices;
        assert!(notices[0].starts_with(&format!("Cannot read {}: ", path.display())), "{notices:?}");
    }
    window.state_mut().notices.clear();
    let crowd: Vec<PathBuf> = (0..500).map(|i| data.path().join(format!("{i}.png"))).collect();
    RgbImage::new(21, 20).save(&crowd[0]).unwrap();
    for answer in ["Stay here", "Go on without saving"] {
        let_go(&mut window, Modifiers::NONE, &crowd);
        until(&mut window, |window| says(window, "Another picture takes the place"));
        assert_eq!(window.state().notices, ["500 files were dropped; the first is opened."]);
        assert_eq!(painted(&window), marked);
        click(&mut window, answer);
    }
    assert_eq!((picture(&window).width, painted(&window)), (21, 0));
    assert_eq!(window.state().source.as_ref(), Some(&crowd[0]));
}

#[test]
fn a_mask_is_dropped_with_shift() {
    let (data, mut window) = stroked();
    let path = data.path().join("mask.png");
    image::GrayImage::from_fn(128, 128, |x, _| image::Luma([if x < 32 { 255 } else { 0 }])).save(&path).unwrap();
    let_go(&mut window, Modifiers::SHIFT, from_ref(&path));
    until(&mut window, |window| painted(window) == 32 * 128);
    assert!(window.state().source.is_none() && window.state().next.is_none(), "it is no picture to open");
    click(&mut window, "Undo");
    let marked = painted(&window);
    assert_ne!(marked, 32 * 128);
    make(&mut window, "a red star");
    let_go(&mut window, Modifiers::SHIFT, &[path]);
    until(&mut window, |window| says(window, "when the variations are accepted or discarded"));
    assert_eq!(painted(&window), marked);
}

/// Saves by the button, at a path that is typed; what is said of it.
fn save_as(window: &mut Window, path: &Path) -> String {
    window.state_mut().notices.clear();
    click(window, "Save…");
    until(window, |window| says(window, "Where the picture is saved"));
    type_path(window, path);
    window.state_mut().typing.as_mut().unwrap().look();
    window.run_steps(2);
    let replaces = window.state().typing.as_ref().unwrap().replaces;
    click(window, if replaces { "Replace the file" } else { "Save" });
    until(window, |window| !window.state().notices.is_empty());
    window.state().notices[0].clone()
}

#[test]
fn a_picture_is_saved_under_any_name_or_it_is_said_why_not() {
    let data = tempfile::tempdir().unwrap();
    let mut window = open(Harness::builder().allow_missing_glyphs(), data.path(), None);
    leave_fields(&mut window);
    stroke(&mut window, [0.4, 0.5], [0.6, 0.5], PointerButton::Primary);
    let marked = painted(&window);
    let path = |name: &str| data.path().join(name);
    std::fs::create_dir(path("folder.png")).unwrap();
    std::fs::write(path("file"), "mine").unwrap();
    let long = path(&format!("{}.png", "x".repeat(300)));
    let bad = [
        (long, "xxxx"),
        (path("no/such/a.png"), "no/such/a.png"),
        (path("file/a.png"), "file/a.png"),
        (path("folder.png"), "is a folder, not a file"),
        (PathBuf::from("/proc/a.png"), "/proc/a.png"),
    ];
    for (path, words) in bad {
        let said = save_as(&mut window, &path);
        assert!(said.contains(words) && !said.starts_with("Saved "), "{said}");
        assert!(window.state().document.is_unsaved() && painted(&window) == marked, "{said}");
    }
    assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "mine");
    let parts = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".part")).count()
    };
    assert_eq!(parts(data.path()), 0, "no part of a file stays");

    // In any letters, as devices of Windows are called, without an ending, and a second time.
    for name in ["ünï çödé.png", "星の絵 🦊.png", "con.png", "v1.5", "con.png"] {
        let said = save_as(&mut window, &path(name));
        assert!(said.starts_with("Saved ") && said.contains(name), "{said}");
        let name = if name.ends_with(".png") { name.to_owned() } else { format!("{name}.png") };
        assert_eq!(firefall_cli::pictures::read(&path(&name)).unwrap(), picture(&window), "{name}");
        assert!(!window.state().document.is_changed());
    }
    assert_eq!(parts(data.path()), 0);
}

#[test]
fn a_picture_goes_out_and_comes_back_with_its_settings() {
    let (data, mut window) = opened();
    make(&mut window, "a red star");
    accept(&mut window);
    let (made, path) = (picture(&window), data.path().join("mine.png"));
    assert!(save_as(&mut window, &path).starts_with("Saved "));
    click(&mut window, "New");
    assert_ne!(picture(&window), made);
    let wishes = &mut window.state_mut().wishes;
    (wishes.prompt, wishes.steps, wishes.seed) = (String::new(), None, 99);
    answer(&mut window, "Open…", "The picture to open", &path);
    until(&mut window, |window| picture(window) == made);
    let wishes = &window.state().wishes;
    assert_eq!((wishes.prompt.as_str(), wishes.steps, wishes.seed, wishes.locked), ("a red star", Some(4), 1, true));
}
