//! The brush: a disc, hard or soft, drawn along lines.

use firefall_core::image::Mask;
use firefall_core::image::mask::Bounds;

/// Half the diagonal of a pixel: a disc of this radius reaches the centre of the pixel that it is in.
const RADIUS_MIN: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// Where a pointer can be, in pixels from the corner of the picture; beyond it, rounding would bend its lines.
const POSITION_MAX: f64 = 1e6;

/// What a tool does to the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Marks what is to be painted anew.
    Paint,
    /// Takes the mark away.
    Erase,
}

impl Mode {
    /// What the mask is where the tool works fully.
    pub(super) fn value(self) -> u8 {
        match self {
            Self::Paint => 255,
            Self::Erase => 0,
        }
    }
}

/// The size and the edge of a brush.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brush {
    diameter: f32,
    hardness: f32,
}

impl Brush {
    /// The smallest diameter, in pixels of the picture.
    pub const DIAMETER_MIN: f32 = 1.0;
    /// The largest diameter, in pixels of the picture.
    pub const DIAMETER_MAX: f32 = 256.0;

    /// A brush of `diameter` pixels of the picture, from 1 to 256, and a `hardness` from 0 to 1: the share of the
    /// radius within which it is whole; from there it falls to nothing at the rim. What is outside of these ranges
    /// moves to their nearer end, NaN to the lower one.
    #[must_use]
    pub fn new(diameter: f32, hardness: f32) -> Self {
        let within = |v: f32, low: f32, high: f32| if v.is_nan() { low } else { v.clamp(low, high) };
        Self {
            diameter: within(diameter, Self::DIAMETER_MIN, Self::DIAMETER_MAX),
            hardness: within(hardness, 0.0, 1.0),
        }
    }

    /// In pixels of the picture.
    #[must_use]
    pub fn diameter(&self) -> f32 {
        self.diameter
    }

    /// From 0, soft from its centre, to 1, a hard rim.
    #[must_use]
    pub fn hardness(&self) -> f32 {
        self.hardness
    }

    /// A brush that paints nothing because it lies between the centres of pixels would be of no use.
    fn radius(&self) -> f64 {
        (f64::from(self.diameter) / 2.0).max(RADIUS_MIN)
    }
}

/// A position of the pointer; nothing for one that is no number.
pub(super) fn position(at: [f32; 2]) -> Option<[f64; 2]> {
    let at = at.map(f64::from);
    at.iter().all(|v| v.is_finite()).then(|| at.map(|v| v.clamp(-POSITION_MAX, POSITION_MAX)))
}

/// Draws the brush along the line from `a` to `b`, in pixels of the mask: what discs at every point of it cover, each
/// pixel as strongly as the disc that covers it most. So nothing builds up, neither within a line nor where lines of
/// one stroke meet. Returns where something may have changed.
pub(super) fn draw(mask: &mut Mask, brush: &Brush, mode: Mode, a: [f64; 2], b: [f64; 2]) -> Option<Bounds> {
    let line = Line::new(a, b, brush);
    let area = line.area(mask.width, mask.height)?;
    let whole = mode.value();
    for y in area.top..area.bottom {
        let centre = y as f64 + 0.5;
        let Some((left, right)) = line.columns(centre, area) else { continue };
        let row = &mut mask.alpha[y * mask.width..][left..right];
        for (x, alpha) in (left..right).zip(row) {
            // In a stroke most pixels are done already.
            if *alpha == whole {
                continue;
            }
            let covered = line.coverage([x as f64 + 0.5, centre]);
            *alpha = match mode {
                Mode::Paint => covered.max(*alpha),
                Mode::Erase => (255 - covered).min(*alpha),
            };
        }
    }
    Some(area)
}

/// A line as wide as the brush.
struct Line {
    a: [f64; 2],
    along: [f64; 2],
    length_squared: f64,
    radius: f64,
    /// Up to this distance the brush is whole.
    inner: f64,
}

impl Line {
    fn new(a: [f64; 2], b: [f64; 2], brush: &Brush) -> Self {
        let along = [b[0] - a[0], b[1] - a[1]];
        let radius = brush.radius();
        let inner = radius * f64::from(brush.hardness);
        Self { a, along, length_squared: along[0] * along[0] + along[1] * along[1], radius, inner }
    }

    /// The pixels that it may touch.
    fn area(&self, width: usize, height: usize) -> Option<Bounds> {
        let span = |axis: usize, limit: usize| {
            let (from, to) = (self.a[axis], self.a[axis] + self.along[axis]);
            let low = (from.min(to) - self.radius).floor().clamp(0.0, limit as f64);
            let high = (from.max(to) + self.radius).ceil().clamp(0.0, limit as f64);
            (high > low).then_some((low as usize, high as usize))
        };
        let ((left, right), (top, bottom)) = (span(0, width)?, span(1, height)?);
        Some(Bounds { left, top, right, bottom })
    }

    /// The columns that it may touch at height `y`: on a long slanted line far fewer than its area has.
    fn columns(&self, y: f64, area: Bounds) -> Option<(usize, usize)> {
        // The part of the line that is near enough in height, from 0 to 1 along it.
        let (mut from, mut to) = (0.0f64, 1.0f64);
        if self.along[1] != 0.0 {
            let at = |y: f64| (y - self.a[1]) / self.along[1];
            let (one, other) = (at(y - self.radius), at(y + self.radius));
            (from, to) = (one.min(other).max(0.0), one.max(other).min(1.0));
        }
        if from > to {
            return None;
        }
        let (one, other) = (self.a[0] + from * self.along[0], self.a[0] + to * self.along[0]);
        let within = |x: f64| x.clamp(area.left as f64, area.right as f64) as usize;
        let left = within((one.min(other) - self.radius).floor());
        let right = within((one.max(other) + self.radius).ceil());
        (left < right).then_some((left, right))
    }

    /// How strongly the brush covers a point.
    fn coverage(&self, point: [f64; 2]) -> u8 {
        let to = [point[0] - self.a[0], point[1] - self.a[1]];
        let part = if self.length_squared > 0.0 {
            ((to[0] * self.along[0] + to[1] * self.along[1]) / self.length_squared).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let off = [to[0] - part * self.along[0], to[1] - part * self.along[1]];
        let squared = off[0] * off[0] + off[1] * off[1];
        if squared <= self.inner * self.inner {
            return 255;
        }
        // The rim of a hard brush belongs to it: there is no fall between `inner` and `radius`, both the same.
        if squared >= self.radius * self.radius {
            return 0;
        }
        let t = (self.radius - squared.sqrt()) / (self.radius - self.inner);
        (255.0 * t * t * (3.0 - 2.0 * t)).round() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::random::Random;

    fn distance(p: [f64; 2], a: [f64; 2], b: [f64; 2]) -> f64 {
        // By looking at many points of the line.
        let at = |t: f64| [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
        (0..=200).map(|i| at(f64::from(i) / 200.0)).map(|q| (p[0] - q[0]).hypot(p[1] - q[1])).fold(f64::MAX, f64::min)
    }

    #[test]
    fn a_line_covers_what_is_near_it() {
        let mut random = Random::new(2);
        for _ in 0..25 {
            let [a, b] = [(); 2].map(|()| random.point(-20.0, 80.0).map(f64::from));
            let brush = Brush::new(random.range(1.0, 40.0), 1.0);
            let mut mask = Mask::filled(60, 50, 0);
            let area = draw(&mut mask, &brush, Mode::Paint, a, b);
            for i in 0..60 * 50 {
                let (x, y) = (i % 60, i / 60);
                let d = distance([x as f64 + 0.5, y as f64 + 0.5], a, b);
                let painted = mask.alpha[i] == 255;
                assert!(painted || mask.alpha[i] == 0, "a hard brush has no between");
                assert!((d - brush.radius()).abs() < 0.15 || painted == (d < brush.radius()), "{d} at {x}, {y}");
                let inside =
                    |area: Bounds| (area.left..area.right).contains(&x) && (area.top..area.bottom).contains(&y);
                assert!(!painted || area.is_some_and(inside));
            }
        }
    }

    #[test]
    fn a_soft_brush_falls_from_its_core_to_its_rim() {
        for hardness in [0.0, 0.3, 0.8] {
            let brush = Brush::new(80.0, hardness);
            let mut mask = Mask::filled(100, 100, 0);
            draw(&mut mask, &brush, Mode::Paint, [50.5, 50.5], [50.5, 50.5]);
            let row: Vec<u8> = (50..100).map(|x| mask.alpha[50 * 100 + x]).collect();
            assert!(row.is_sorted_by(|a, b| a >= b), "{row:?}");
            let core = (40.0 * hardness) as usize;
            assert!(row[..=core].iter().all(|v| *v == 255) && row[40] == 0, "{row:?}");
            let middle = (core + 40) / 2;
            assert!(row[middle].abs_diff(128) < 8, "half way it is half: {}", row[middle]);
        }
    }

    #[test]
    fn drawing_twice_is_drawing_once() {
        let mut random = Random::new(3);
        for mode in [Mode::Paint, Mode::Erase] {
            let brush = Brush::new(21.0, 0.2);
            let mut mask = Mask::filled(64, 64, 255 - mode.value());
            let [a, b] = [(); 2].map(|()| random.point(0.0, 64.0).map(f64::from));
            draw(&mut mask, &brush, mode, a, b);
            let once = mask.clone();
            draw(&mut mask, &brush, mode, b, a);
            draw(&mut mask, &brush, mode, a, a);
            assert!(mask == once && mask != Mask::filled(64, 64, 255 - mode.value()));
        }
    }

    #[test]
    fn the_smallest_brush_reaches_the_pixel_it_is_in() {
        let mut random = Random::new(4);
        for _ in 0..500 {
            let at = random.point(0.0, 8.0);
            let mut mask = Mask::filled(8, 8, 0);
            draw(&mut mask, &Brush::new(1.0, 1.0), Mode::Paint, at.map(f64::from), at.map(f64::from));
            assert!(mask.is_painted(at[0] as usize, at[1] as usize), "{at:?}");
            assert!(mask.alpha.iter().filter(|v| **v == 255).count() <= 4, "{at:?}");
        }
    }

    #[test]
    fn strange_brushes_become_sound() {
        assert_eq!(Brush::new(f32::NAN, f32::NAN), Brush::new(1.0, 0.0));
        assert_eq!(Brush::new(f32::INFINITY, 9.0), Brush::new(256.0, 1.0));
        assert_eq!(Brush::new(-3.0, -1.0), Brush::new(1.0, 0.0));
        assert_eq!((position([f32::NAN, 0.0]), position([0.0, f32::NEG_INFINITY])), (None, None));
        assert_eq!(position([f32::MAX, 3.0]), Some([1e6, 3.0]));
    }
}
