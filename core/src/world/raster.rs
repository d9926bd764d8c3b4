//! Exact coverage of pixels by an outline.
//!
//! The method of font rasterisers: every edge adds, to the pixels of the rows that it crosses, the change of covered
//! area that it causes there; a running sum along each row then gives the covered area of every pixel. It costs one
//! visit per pixel of the outline's boundary and one addition per pixel inside.

use super::outline::{Outline, edges, rotation};

/// Where an outline lies, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    /// The centre of the bounding circle.
    pub(super) centre: [f64; 2],
    /// The radius of the bounding circle.
    pub(super) radius: f64,
    /// Clockwise as seen.
    pub(super) degrees: f64,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The first column.
    pub(super) x: usize,
    /// The first row.
    pub(super) y: usize,
    /// Columns.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
}

impl Placement {
    /// The pixels of a picture of `width` by `height` that the bounding circle may touch; `None` if there are none or
    /// the placement has a value that is not finite.
    pub(super) fn window(&self, width: usize, height: usize) -> Option<Window> {
        let span = |centre: f64, limit: usize| {
            let low = (centre - self.radius).floor().clamp(0.0, limit as f64);
            let high = (centre + self.radius).ceil().clamp(0.0, limit as f64);
            // A NaN fails the comparison.
            (high > low).then_some((low as usize, (high - low) as usize))
        };
        let ((x, width), (y, height)) = (span(self.centre[0], width)?, span(self.centre[1], height)?);
        (self.radius.is_finite() && self.degrees.is_finite()).then_some(Window { x, y, width, height })
    }
}

/// Writes to `mask` the covered share of every pixel of `window`, row by row, from 0 to 1.
pub(super) fn cover(outline: &Outline, placement: &Placement, window: Window, mask: &mut Vec<f32>) {
    let Window { width, height, .. } = window;
    // Two columns more than the window has: an edge in its last column tells the next one.
    let stride = width + 2;
    mask.clear();
    mask.resize(stride * height, 0.0);
    let [cos, sin] = rotation(placement.degrees).map(|part| part * placement.radius);
    let origin = [placement.centre[0] - window.x as f64, placement.centre[1] - window.y as f64];
    let place = |[x, y]: [f64; 2]| [origin[0] + cos * x - sin * y, origin[1] + sin * x + cos * y];
    for contour in &outline.contours {
        for (a, b) in edges(contour) {
            add_edge(mask, window, place(a), place(b));
        }
    }
    for row in 0..height {
        let mut sum = 0.0;
        for column in 0..width {
            sum += mask[row * stride + column];
            // Rows move to the front of the buffer; none overwrites what is still to be read.
            mask[row * width + column] = sum.clamp(0.0, 1.0);
        }
    }
    mask.truncate(width * height);
}

/// Adds the changes of area that one edge causes. Upward edges count positively: they have the inside on their right.
fn add_edge(changes: &mut [f32], window: Window, a: [f64; 2], b: [f64; 2]) {
    let (sign, top, bottom) = if a[1] > b[1] { (1.0, b, a) } else { (-1.0, a, b) };
    let (first, last) = (top[1].max(0.0), bottom[1].min(window.height as f64));
    if first >= last {
        return;
    }
    let slope = (bottom[0] - top[0]) / (bottom[1] - top[1]);
    let x_at = |y: f64| top[0] + slope * (y - top[1]);
    let stride = window.width + 2;
    for row in first as usize..(last.ceil() as usize) {
        let (from, to) = (first.max(row as f64), last.min(row as f64 + 1.0));
        let (x, other) = (x_at(from), x_at(to));
        let line = &mut changes[row * stride..(row + 1) * stride];
        add_span(line, window.width as f64, sign * (to - from), x.min(other), x.max(other));
    }
}

/// Adds to a row an edge that crosses `height` of it on its way from column position `left` to `right`.
fn add_span(line: &mut [f32], width: f64, height: f64, left: f64, right: f64) {
    // What lies left of the window covers its rows from the start; what lies right of it covers nothing.
    if right <= 0.0 {
        line[0] += height as f32;
        return;
    }
    if left >= width {
        return;
    }
    let length = right - left;
    if length < 1e-9 {
        let column = left.max(0.0) as usize;
        let inside = height * (column as f64 + 1.0 - left.max(0.0));
        line[column] += inside as f32;
        line[column + 1] += (height - inside) as f32;
        return;
    }
    let (from, to) = (left.max(0.0), right.min(width));
    let per_length = height / length;
    line[0] += (per_length * (from - left)) as f32;
    // The area left of `x` and right of the edge, were its height equal to its length.
    let area = |x: f64| if x >= to { (to - from) * (x - (from + to) / 2.0) } else { (x - from) * (x - from) / 2.0 };
    let (mut covered_before, mut reached) = (0.0, 0.0);
    let (first, last) = (from as usize, (to as usize).min(line.len() - 2));
    for (column, change) in line.iter_mut().enumerate().take(last + 1).skip(first) {
        let next = area(column as f64 + 1.0);
        let covered = next - reached;
        *change += (per_length * (covered - covered_before)) as f32;
        (covered_before, reached) = (covered, next);
    }
    line[last + 1] += (per_length * (to - from - covered_before)) as f32;
}

#[cfg(test)]
mod tests {
    use super::{Placement, Window, cover};
    use crate::noise::{Purpose, Stream};
    use crate::world::outline::{Outline, outline, rotation};
    use crate::world::{Font, Shape};

    fn mask(outline: &Outline, placement: &Placement, window: Window) -> Vec<f32> {
        let mut mask = Vec::new();
        cover(outline, placement, window, &mut mask);
        mask
    }

    const FULL: Window = Window { x: 0, y: 0, width: 40, height: 40 };

    #[test]
    fn an_upright_square_covers_exactly() {
        let half = 0.5f64.sqrt();
        // From 3.25 to 7.5 in x and from 2.75 to 7 in y.
        let placement = Placement { centre: [5.375, 4.875], radius: 2.125 / half, degrees: 0.0 };
        let window = Window { x: 0, y: 0, width: 10, height: 8 };
        let mask = mask(outline(Shape::Square, Font::Dejavu), &placement, window);
        for (i, &found) in mask.iter().enumerate() {
            let overlap = |at: usize, low: f64, high: f64| ((at + 1) as f64).min(high) - (at as f64).max(low);
            let expected = overlap(i % 10, 3.25, 7.5).max(0.0) * overlap(i / 10, 2.75, 7.0).max(0.0);
            assert!((f64::from(found) - expected).abs() < 1e-6, "pixel {i}: {found} and not {expected}");
        }
    }

    #[test]
    fn the_mask_has_the_area_of_the_outline() {
        let mut stream = Stream::new(1, Purpose::Scene, 0);
        for shape in Shape::ALL {
            for font in Font::ALL {
                let radius = stream.range(4.0, 18.0);
                let centre = [stream.range(19.0, 21.0), stream.range(19.0, 21.0)];
                let placement = Placement { centre, radius, degrees: stream.range(-20.0, 20.0) };
                let outline = outline(shape, font);
                let area: f32 = mask(outline, &placement, FULL).iter().sum();
                let expected = outline.area * radius * radius;
                assert!((f64::from(area) - expected).abs() < 1e-4 * expected, "{shape}: {area} and not {expected}");
            }
        }
    }

    #[test]
    fn a_window_cuts_without_changing() {
        let mut stream = Stream::new(2, Purpose::Scene, 0);
        for shape in Shape::ALL {
            let placement = Placement { centre: [20.0, 18.0], radius: 17.3, degrees: stream.range(-90.0, 90.0) };
            let outline = outline(shape, Font::Noto);
            let whole = mask(outline, &placement, FULL);
            let window = Window { x: 5 + stream.below(20), y: 5 + stream.below(20), width: 9, height: 8 };
            for (i, &found) in mask(outline, &placement, window).iter().enumerate() {
                let at = (window.y + i / 9) * 40 + window.x + i % 9;
                assert!((found - whole[at]).abs() < 1e-5, "{shape} at {i}: {found} and not {}", whole[at]);
            }
        }
    }

    #[test]
    fn coverage_agrees_with_dense_sampling() {
        let outline = outline(Shape::Star, Font::Dejavu);
        let placement = Placement { centre: [20.3, 19.8], radius: 15.2, degrees: 7.0 };
        let found = mask(outline, &placement, FULL);
        let [cos, sin] = rotation(placement.degrees);
        // Even-odd rule against the star's ten edges, 32 by 32 samples a pixel.
        let inside = |x: f64, y: f64| {
            let (x, y) = ((x - 20.3) / 15.2, (y - 19.8) / 15.2);
            let (x, y) = (cos * x + sin * y, cos * y - sin * x);
            let crossed = super::edges(&outline.contours[0])
                .filter(|(a, b)| (a[1] > y) != (b[1] > y))
                .filter(|(a, b)| x < a[0] + (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1]));
            crossed.count() % 2 == 1
        };
        for (i, &share) in found.iter().enumerate() {
            let sample = |k: usize| {
                inside(
                    (i % 40) as f64 + (k % 32) as f64 / 32.0 + 1.0 / 64.0,
                    (i / 40) as f64 + (k / 32) as f64 / 32.0 + 1.0 / 64.0,
                )
            };
            let sampled = (0..1024).filter(|&k| sample(k)).count() as f32 / 1024.0;
            assert!((share - sampled).abs() < 0.03, "pixel {i}: {share} and not {sampled}");
        }
    }

    #[test]
    fn what_cannot_be_seen_has_no_window() {
        let at = |centre: [f64; 2], radius: f64| Placement { centre, radius, degrees: 0.0 }.window(16, 16);
        assert_eq!(at([-5.0, 8.0], 4.0), None);
        assert_eq!(at([8.0, f64::NAN], 4.0), None);
        assert_eq!(at([8.0, 8.0], f64::INFINITY), None);
        assert_eq!(at([15.0, 8.0], 4.0), Some(Window { x: 11, y: 4, width: 5, height: 8 }));
    }
}
