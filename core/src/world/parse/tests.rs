//! Tests of the whole parser: what it must read, and what it must refuse.

use std::f64::consts::TAU;

use super::{Parsed, Unreadable, parse};
use crate::image::Picture;
use crate::noise::{Purpose, Stream};
use crate::world::calibrate::is_exact;
use crate::world::outline::Outline;
use crate::world::raster::{Placement, Window, cover};
use crate::world::{Colour, Font, Object, Region, Scene, Shape, Size, render};

const SIDE: usize = 128;
/// The middle of the picture.
const MIDDLE: [f64; 2] = [0.5, 0.5];

fn object(shape: Shape, centre: [f64; 2], diameter: f64) -> Object {
    Object { shape, colour: Colour::Blue, centre, diameter, angle_degrees: 3.0, font: Font::Noto }
}

fn on_white(objects: &[Object]) -> Picture {
    render(&Scene { background: Colour::White, objects: objects.to_vec() }, SIDE)
}

/// Paints polygons, given in radii around `centre`, in a colour.
fn paint(picture: &mut Picture, colour: Colour, contours: Vec<Vec<[f64; 2]>>, centre: [f64; 2], radius: f64) {
    let side = picture.width as f64;
    let outline = Outline { contours, area: 0.0, centroid: [0.0; 2], perimeter: 0.0 };
    let placement = Placement { centre: centre.map(|c| c * side), radius: radius * side, degrees: 0.0 };
    let window = Window { x: 0, y: 0, width: picture.width, height: picture.height };
    let mut mask = Vec::new();
    cover(&outline, &placement, window, &mut mask);
    for (pixel, share) in picture.rgb.chunks_exact_mut(3).zip(mask) {
        for (byte, full) in pixel.iter_mut().zip(colour.rgb()) {
            *byte = (f32::from(*byte) + share * (f32::from(full) - f32::from(*byte))).round() as u8;
        }
    }
}

/// A closed curve of the given radius at every angle.
fn curve(radius: impl Fn(f64) -> f64) -> Vec<[f64; 2]> {
    let angles = (0..180).map(|i| TAU * f64::from(i) / 180.0);
    angles.map(|t| [radius(t) * t.cos(), radius(t) * t.sin()]).collect()
}

fn drawn(contour: Vec<[f64; 2]>, diameter: f64) -> Picture {
    let mut picture = on_white(&[]);
    paint(&mut picture, Colour::Blue, vec![contour], MIDDLE, diameter / 2.0);
    picture
}

/// Both corners, in radii, of a rectangle of background.
fn erase(picture: &mut Picture, [left, top, right, bottom]: [f64; 4], radius: f64) {
    let rectangle = vec![[left, top], [right, top], [right, bottom], [left, bottom]];
    paint(picture, Colour::White, vec![rectangle], MIDDLE, radius);
}

#[test]
fn a_flat_picture_has_no_objects() {
    for background in Colour::ALL {
        let parsed = parse(&Picture::filled(SIDE, SIDE, background.rgb()));
        assert_eq!(parsed, Ok(Parsed { background, objects: Vec::new() }));
    }
}

#[test]
fn every_shape_is_read_to_a_fraction_of_a_pixel() {
    for shape in Shape::ALL {
        for (size, font) in Size::ALL.into_iter().flat_map(|size| Font::ALL.map(|font| (size, font))) {
            let object = Object { font, ..object(shape, [0.47, 0.52], size.bounds()[0]) };
            let read = parse(&on_white(&[object])).unwrap().objects[0];
            assert_eq!((read.shape, read.colour), (shape, Colour::Blue));
            let apart = (read.centre[0] - 0.47).hypot(read.centre[1] - 0.52);
            assert!(apart < 0.001 && (read.diameter - object.diameter).abs() < 0.001, "{object:?}: {read:?}");
            let turned = (read.angle_degrees - 3.0).abs();
            assert!(turned < 0.5 || matches!(shape, Shape::Circle | Shape::Ring), "{object:?}: {read:?}");
        }
    }
}

#[test]
fn every_pair_of_colours_is_read() {
    for (background, colour) in Colour::ALL.into_iter().flat_map(|a| Colour::ALL.map(|b| (a, b))) {
        if background != colour {
            let object = Object { colour, ..object(Shape::Two, MIDDLE, 0.14) };
            let scene = Scene { background, objects: vec![object] };
            let parsed = parse(&render(&scene, SIDE)).unwrap();
            assert!(is_exact(&scene, &parsed), "{scene:?}: {parsed:?}");
        }
    }
}

#[test]
fn specks_are_no_objects_and_no_fault() {
    let mut picture = on_white(&[object(Shape::Star, MIDDLE, 0.3)]);
    for x in 10..21 {
        picture.rgb[3 * (20 * SIDE + x)..][..3].copy_from_slice(&Colour::Red.rgb());
    }
    assert_eq!(parse(&picture).unwrap().objects.len(), 1);
    picture.rgb[3 * (20 * SIDE + 21)..][..3].copy_from_slice(&Colour::Red.rgb());
    assert!(parse(&picture).is_err());
}

#[test]
fn halves_are_refused() {
    for shape in Shape::ALL {
        for diameter in [0.2, 0.3, 0.5] {
            let [upright, level] = [[0.0, -1.1, 1.1, 1.1], [-1.1, 0.0, 1.1, 1.1]];
            for part in [upright, level, [-1.1, -1.1, 1.1, 0.0]] {
                // The upper half of a triangle is another triangle, and that of a 1 is another 1.
                if shape == Shape::One || (shape, part) == (Shape::Triangle, level) {
                    continue;
                }
                let mut picture = on_white(&[object(shape, MIDDLE, diameter)]);
                erase(&mut picture, part, diameter / 2.0);
                let parsed = parse(&picture);
                assert!(parsed.is_err(), "{shape} {diameter} {part:?}: {parsed:?}");
            }
        }
    }
}

#[test]
fn merged_and_touching_shapes_are_refused() {
    let mut stream = Stream::new(1, Purpose::Evaluation, 0);
    for _ in 0..100 {
        let (first, second) = (*stream.pick(&Shape::ALL), *stream.pick(Shape::figures()));
        let colour = *stream.pick(&[Colour::Blue, Colour::Red]);
        // Circles touch where their bounding circles do.
        let (first, second, apart) =
            if stream.chance(0.3) { (Shape::Circle, Shape::Circle, 0.29) } else { (first, second, 0.15) };
        let angle = stream.range(0.0, TAU);
        let beside = [0.5 + apart * angle.cos(), 0.5 + apart * angle.sin()];
        let other = Object { colour, ..object(second, beside, 0.3) };
        let parsed = parse(&on_white(&[object(first, MIDDLE, 0.3), other]));
        assert!(parsed.is_err(), "{first} and {second}: {parsed:?}");
    }
}

#[test]
fn objects_inside_each_others_circles_are_refused() {
    let nested = [object(Shape::Ring, MIDDLE, 0.5), object(Shape::Circle, MIDDLE, 0.15)];
    assert!(matches!(parse(&on_white(&nested)), Err(Unreadable::Overlap { .. })));
    let apart = [object(Shape::Ring, [0.4, 0.5], 0.3), object(Shape::Circle, [0.65, 0.5], 0.15)];
    assert_eq!(parse(&on_white(&apart)).unwrap().objects.len(), 2);
}

#[test]
fn other_figures_are_refused() {
    let ellipse = |ratio: f64| curve(move |t| ratio / (ratio * t.cos()).hypot(t.sin()));
    let pentagon: Vec<_> = (0..5).map(|i| TAU * f64::from(i) / 5.0).map(|t| [t.sin(), -t.cos()]).collect();
    let upside_down = vec![[0.866, -0.5], [0.0, 1.0], [-0.866, -0.5]];
    let bar = vec![[-1.0, -0.2], [1.0, -0.2], [1.0, 0.2], [-1.0, 0.2]];
    let rectangle = vec![[-0.7, -0.55], [0.7, -0.55], [0.7, 0.55], [-0.7, 0.55]];
    for (name, contour) in [
        ("ellipse", ellipse(0.75)),
        ("near circle", ellipse(0.9)),
        ("pentagon", pentagon),
        ("triangle upside down", upside_down),
        ("bar", bar),
        ("rectangle", rectangle),
    ] {
        for diameter in [0.2, 0.3, 0.5] {
            let parsed = parse(&drawn(contour.clone(), diameter));
            assert!(parsed.is_err(), "{name} {diameter}: {parsed:?}");
        }
    }
    for shape in [Shape::Square, Shape::Star, Shape::Heart, Shape::Cross, Shape::Diamond, Shape::Two, Shape::Seven] {
        let turned = Object { angle_degrees: 30.0, ..object(shape, MIDDLE, 0.3) };
        assert!(parse(&on_white(&[turned])).is_err(), "{shape}");
    }
}

#[test]
fn blobs_are_refused() {
    let mut stream = Stream::new(2, Purpose::Evaluation, 0);
    for _ in 0..200 {
        let waves: Vec<_> = (2..6).map(|n| (f64::from(n), stream.range(0.08, 0.25), stream.range(0.0, TAU))).collect();
        let radius = |t: f64| 0.7 + waves.iter().map(|(n, height, phase)| height * (n * t + phase).cos()).sum::<f64>();
        let parsed = parse(&drawn(curve(radius), stream.range(0.16, 0.5)));
        assert!(parsed.is_err(), "{waves:?}: {parsed:?}");
    }
}

#[test]
fn filled_and_two_coloured_shapes_are_refused() {
    let ring = || on_white(&[object(Shape::Ring, MIDDLE, 0.3)]);
    let mut other_colour = ring();
    paint(&mut other_colour, Colour::Orange, vec![curve(|_| 0.56)], MIDDLE, 0.15);
    assert!(parse(&other_colour).is_err());
    let mut half_full = ring();
    let half = vec![[0.0, -0.5], [0.5, -0.3], [0.5, 0.3], [0.0, 0.5]];
    paint(&mut half_full, Colour::Blue, vec![half], MIDDLE, 0.15);
    assert!(parse(&half_full).is_err());
    for shape in Shape::ALL {
        let mut picture = on_white(&[object(shape, MIDDLE, 0.4)]);
        let red = on_white(&[Object { colour: Colour::Red, ..object(shape, MIDDLE, 0.4) }]);
        // The lower half of it.
        let from = 3 * SIDE * SIDE / 2;
        picture.rgb[from..].copy_from_slice(&red.rgb[from..]);
        let parsed = parse(&picture);
        assert!(parsed.is_err(), "{shape}: {parsed:?}");
    }
}

#[test]
fn noise_and_wrong_colours_are_refused() {
    let mut stream = Stream::new(3, Purpose::Evaluation, 0);
    let mut noise = Picture::filled(SIDE, SIDE, [0; 3]);
    noise.rgb.fill_with(|| stream.below(256) as u8);
    assert!(matches!(parse(&noise), Err(Unreadable::NoBackground { .. })));
    // White around it.
    let mut framed = Picture::filled(SIDE, SIDE, Colour::White.rgb());
    for at in (30..98).flat_map(|y| (30..98).map(move |x| 3 * (y * SIDE + x))) {
        framed.rgb[at] = stream.below(256) as u8;
        framed.rgb[at + 1] = stream.below(256) as u8;
    }
    assert!(parse(&framed).is_err());
    // The blue of the object made magenta, which is no colour of the palette.
    let mut magenta = on_white(&[object(Shape::Heart, MIDDLE, 0.3)]);
    for pixel in magenta.rgb.chunks_exact_mut(3) {
        let share = (250.0 - f64::from(pixel[0])) / 220.0;
        let mix = |full: f64| (250.0 + share * (full - 250.0)) as u8;
        pixel.copy_from_slice(&[mix(240.0), mix(0.0), mix(240.0)]);
    }
    assert!(matches!(parse(&magenta), Err(Unreadable::NoColour { .. })));
}

#[test]
fn what_has_no_place_or_size_of_this_world_is_refused() {
    let at_the_edge = parse(&on_white(&[object(Shape::Circle, [0.14, 0.5], 0.3)]));
    assert!(matches!(at_the_edge, Err(Unreadable::AtTheEdge { at }) if Region::Left.holds(at, 0.0)));
    for diameter in [0.11, 0.7] {
        let parsed = parse(&on_white(&[object(Shape::Circle, MIDDLE, diameter)]));
        assert!(matches!(parsed, Err(Unreadable::Scale { .. })), "{parsed:?}");
    }
    assert!(matches!(parse(&Picture::filled(64, 32, [0; 3])), Err(Unreadable::Format { .. })));
    assert!(matches!(parse(&Picture::filled(8, 8, [0; 3])), Err(Unreadable::Format { .. })));
}
