//! What the shapes look like: polygons in the circle of radius 1 around the origin, y down.
//!
//! That circle is the smallest one around the shape, so an object's diameter means the same for a star and for a 7.
//! Outer contours run clockwise as seen and holes anticlockwise, which makes signed areas add up.

use std::f64::consts::{PI, TAU};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::Shape;

/// The digits of all fonts, written by `assets/world/outlines.py`.
const DIGITS: &str = include_str!("../../../assets/world/digits.json");
/// Sides of a polygon that stands for a whole circle: at 128 pixels the chords of the biggest object lie 0.006 pixels
/// from the arc.
const SIDES: usize = 180;

/// A font that digits are drawn in; other shapes take no notice of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Font {
    /// `DejaVu` Sans Bold.
    #[default]
    Dejavu,
    /// Liberation Sans Bold.
    Liberation,
    /// Noto Sans Bold.
    Noto,
}

impl Font {
    /// All.
    pub const ALL: [Self; 3] = [Self::Dejavu, Self::Liberation, Self::Noto];
}

/// A shape as closed polygons; the last point of a contour is joined to its first.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Outer contours and holes.
    pub contours: Vec<Vec<[f64; 2]>>,
    /// The area inside, holes taken off.
    pub area: f64,
    /// The centre of gravity of that area.
    pub centroid: [f64; 2],
    /// The length of all contours, holes included.
    pub perimeter: f64,
}

impl Outline {
    fn new(contours: Vec<Vec<[f64; 2]>>) -> Self {
        let (mut area, mut moment, mut perimeter) = (0.0, [0.0; 2], 0.0);
        for contour in &contours {
            for (a, b) in edges(contour) {
                let cross = a[0] * b[1] - b[0] * a[1];
                area += cross / 2.0;
                perimeter += (b[0] - a[0]).hypot(b[1] - a[1]);
                for axis in 0..2 {
                    moment[axis] += cross * (a[axis] + b[axis]) / 6.0;
                }
            }
        }
        Self { contours, area, centroid: moment.map(|m| m / area), perimeter }
    }
}

/// The edges of a closed contour.
pub(super) fn edges(contour: &[[f64; 2]]) -> impl Iterator<Item = ([f64; 2], [f64; 2])> + '_ {
    contour.iter().copied().zip(contour.iter().copied().cycle().skip(1))
}

/// The outline of `shape`, in `font` if it is a digit.
#[must_use]
pub fn outline(shape: Shape, font: Font) -> &'static Outline {
    static OUTLINES: OnceLock<Vec<Outline>> = OnceLock::new();
    let outlines = OUTLINES.get_or_init(|| {
        let figures = Shape::figures().iter().map(|&shape| figure(shape));
        figures.chain(digits()).map(Outline::new).collect()
    });
    match shape.digit() {
        None => &outlines[shape as usize],
        Some(value) => &outlines[Shape::figures().len() + 10 * font as usize + value],
    }
}

/// The contours of the digits, font by font.
fn digits() -> Vec<Vec<Vec<[f64; 2]>>> {
    #[derive(Deserialize)]
    struct Digits {
        digits: [Vec<Vec<[f64; 2]>>; 10],
    }
    #[derive(Deserialize)]
    struct Fonts {
        dejavu: Digits,
        liberation: Digits,
        noto: Digits,
    }
    let fonts: Fonts = serde_json::from_str(DIGITS).expect("digits.json is part of the program");
    [fonts.dejavu, fonts.liberation, fonts.noto].into_iter().flat_map(|font| font.digits).collect()
}

/// The contours of a shape that is no digit.
fn figure(shape: Shape) -> Vec<Vec<[f64; 2]>> {
    match shape {
        Shape::Square => vec![ngon(4, 45.0)],
        Shape::Triangle => vec![ngon(3, -90.0)],
        Shape::Hexagon => vec![ngon(6, 0.0)],
        Shape::Diamond => vec![vec![[0.7, 0.0], [0.0, 1.0], [-0.7, 0.0], [0.0, -1.0]]],
        Shape::Star => vec![star()],
        Shape::Heart => vec![heart()],
        Shape::Cross => vec![cross()],
        Shape::Crescent => vec![crescent()],
        Shape::Ring => {
            let hole = arc([0.0; 2], 0.55, [0.0, -TAU]);
            vec![arc([0.0; 2], 1.0, [0.0, TAU]), hole]
        }
        _ => vec![arc([0.0; 2], 1.0, [0.0, TAU])],
    }
}

/// The point of the circle of `radius` around `centre` at `angle` (radians, clockwise as seen, from the right).
fn polar(centre: [f64; 2], radius: f64, angle: f64) -> [f64; 2] {
    [centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()]
}

/// An arc without its last point, as many chords as its share of [`SIDES`].
fn arc(centre: [f64; 2], radius: f64, [from, to]: [f64; 2]) -> Vec<[f64; 2]> {
    let pieces = ((to - from).abs() / TAU * SIDES as f64).round().max(1.0) as usize;
    (0..pieces).map(|i| polar(centre, radius, from + (to - from) * i as f64 / pieces as f64)).collect()
}

/// The regular polygon of `n` corners, the first at `start` degrees.
fn ngon(n: usize, start: f64) -> Vec<[f64; 2]> {
    (0..n).map(|i| polar([0.0; 2], 1.0, start.to_radians() + TAU * i as f64 / n as f64)).collect()
}

/// Five points, inner radius 0.45, point up.
fn star() -> Vec<[f64; 2]> {
    let radius = |i: usize| if i.is_multiple_of(2) { 1.0 } else { 0.45 };
    (0..10).map(|i| polar([0.0; 2], radius(i), (i as f64 * 36.0 - 90.0).to_radians())).collect()
}

/// A plus whose arms are 0.6 wide and end in corners on the circle.
fn cross() -> Vec<[f64; 2]> {
    let half = 0.3f64;
    let tip = (1.0 - half * half).sqrt();
    let arm = [[half, -half], [tip, -half], [tip, half]];
    let turned = |quarter: usize| arm.map(|[x, y]| [[x, y], [-y, x], [-x, -y], [y, -x]][quarter]);
    (0..4).flat_map(turned).collect()
}

/// The unit circle minus the circle of radius 0.8 around (0.5, 0).
fn crescent() -> Vec<[f64; 2]> {
    let (shift, radius) = (0.5, 0.8f64);
    // Where the two circles meet.
    let x = (1.0 + shift * shift - radius * radius) / (2.0 * shift);
    let y = (1.0 - x * x).sqrt();
    let (outer, inner) = (y.atan2(x), y.atan2(x - shift));
    let mut contour = arc([0.0; 2], 1.0, [outer, TAU - outer]);
    contour.extend(arc([shift, 0.0], radius, [TAU - inner, inner]));
    contour
}

/// x = 16 sin³t, y = 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t, scaled to the circle.
fn heart() -> Vec<[f64; 2]> {
    let curve = |t: f64| {
        let up = 13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos();
        [16.0 * t.sin().powi(3), -up]
    };
    let points: Vec<_> = (0..SIDES).map(|i| curve(TAU * i as f64 / SIDES as f64)).collect();
    // The heart is symmetric, so the centre of its smallest circle lies on the axis, where the greatest distance is a
    // convex function of the height.
    let radius = |height: f64| points.iter().map(|&[x, y]| x.hypot(y - height)).fold(0.0, f64::max);
    let (mut low, mut high) = (-17.0, 17.0);
    for _ in 0..100 {
        let third = (high - low) / 3.0;
        if radius(low + third) < radius(high - third) {
            high -= third;
        } else {
            low += third;
        }
    }
    let (height, scale) = (low, radius(low));
    points.iter().map(|&[x, y]| [x / scale, (y - height) / scale]).collect()
}

/// An angle in degrees as the cosine and sine of a rotation.
pub(super) fn rotation(degrees: f64) -> [f64; 2] {
    let radians = degrees * PI / 180.0;
    [radians.cos(), radians.sin()]
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::{Font, Outline, edges, outline};
    use crate::world::Shape;

    fn all() -> impl Iterator<Item = (Shape, Font, &'static Outline)> {
        Shape::ALL.into_iter().flat_map(|s| Font::ALL.map(|f| (s, f, outline(s, f))))
    }

    #[test]
    fn the_smallest_circle_has_radius_one_at_the_origin() {
        for (shape, font, outline) in all() {
            let points = outline.contours.concat();
            let reach = |p: &[f64; 2]| p[0].hypot(p[1]);
            assert!(points.iter().all(|p| reach(p) < 1.0 + 1e-4), "{shape} {font:?}");
            // It is the smallest if and only if no half-plane through the origin is free of points on the circle.
            let mut angles: Vec<_> =
                points.iter().filter(|p| reach(p) > 1.0 - 1e-3).map(|p| p[1].atan2(p[0])).collect();
            angles.sort_by(f64::total_cmp);
            angles.push(angles[0] + 2.0 * PI);
            let widest = angles.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
            // A gap that is wider by d leaves room for a circle smaller by d²/8: 2e-4 here, from chords and rounding.
            assert!(widest < PI + 0.04, "{shape} {font:?}: {widest}");
        }
    }

    #[test]
    fn areas_are_those_of_geometry() {
        let lens = {
            // Both circular segments between the unit circle and the circle of radius 0.8 around (0.5, 0).
            let (a, b) = (0.61f64.acos(), (0.11f64 / -0.8).acos());
            (a - a.sin() * a.cos()) + 0.64 * (b - b.sin() * b.cos())
        };
        for (shape, area) in [
            (Shape::Circle, PI),
            (Shape::Square, 2.0),
            (Shape::Triangle, 0.75 * 3f64.sqrt()),
            (Shape::Star, 5.0 * 0.45 * 36f64.to_radians().sin()),
            (Shape::Ring, PI * (1.0 - 0.55 * 0.55)),
            (Shape::Cross, 4.0 * 0.6 * 0.91f64.sqrt() - 0.36),
            (Shape::Diamond, 1.4),
            (Shape::Hexagon, 1.5 * 3f64.sqrt()),
            (Shape::Crescent, PI - lens),
        ] {
            let found = outline(shape, Font::Dejavu).area;
            assert!((found - area).abs() < 1e-3 * area, "{shape}: {found} and not {area}");
        }
    }

    #[test]
    fn perimeters_are_those_of_geometry() {
        for (shape, perimeter) in [
            (Shape::Circle, 2.0 * PI),
            (Shape::Ring, 2.0 * PI * 1.55),
            (Shape::Square, 4.0 * 2f64.sqrt()),
            (Shape::Hexagon, 6.0),
        ] {
            let found = outline(shape, Font::Dejavu).perimeter;
            assert!((found - perimeter).abs() < 1e-3, "{shape}: {found} and not {perimeter}");
        }
    }

    #[test]
    fn holes_wind_against_the_outside() {
        let signed = |c: &Vec<[f64; 2]>| edges(c).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f64>();
        for (shape, font, outline) in all() {
            let holes = outline.contours.iter().filter(|c| signed(c) < 0.0).count();
            let expected = match shape {
                Shape::Eight => 2,
                Shape::Ring | Shape::Zero | Shape::Four | Shape::Six | Shape::Nine => 1,
                _ => 0,
            };
            assert_eq!(holes, expected, "{shape} {font:?}");
            assert_eq!(outline.contours.len(), holes + 1, "{shape} {font:?}");
        }
    }

    #[test]
    fn only_digits_depend_on_the_font() {
        for shape in Shape::ALL {
            let same = outline(shape, Font::Dejavu) == outline(shape, Font::Noto);
            assert_eq!(same, shape.digit().is_none(), "{shape}");
        }
    }
}
