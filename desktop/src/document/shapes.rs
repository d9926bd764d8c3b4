//! Rectangles and lassos, row by row.

use std::ops::Range;

/// Calls `fill` with a row and columns of it for every row that the rectangle between two corners touches; a
/// rectangle without area, or with a corner that is no number, touches none.
pub(super) fn rectangle(corners: [[f32; 2]; 2], size: [usize; 2], mut fill: impl FnMut(usize, Range<usize>)) {
    let [a, b] = corners;
    let span = |axis: usize| {
        let (low, high) = (a[axis].min(b[axis]), a[axis].max(b[axis]));
        // NaN fails the comparison only where both are; `min` and `max` pass over one.
        (high > low && a[axis].is_finite() && b[axis].is_finite()).then(|| {
            let limit = size[axis] as f32;
            low.floor().clamp(0.0, limit) as usize..high.ceil().clamp(0.0, limit) as usize
        })
    };
    if let (Some(columns), Some(rows)) = (span(0), span(1)) {
        rows.for_each(|y| fill(y, columns.clone()));
    }
}

/// Calls `fill` with a row and columns of it for all pixels whose centres a closed outline goes round. An outline that
/// crosses itself keeps what it goes round twice in the same direction, as by hand nobody means a hole. Points that
/// are no numbers are left out; fewer than three enclose nothing.
pub(super) fn lasso(points: &[[f32; 2]], [width, height]: [usize; 2], mut fill: impl FnMut(usize, Range<usize>)) {
    let edges = edges(points, height);
    let Some(first) = edges.first().map(|edge| edge.rows.start) else { return };
    let end = edges.iter().map(|edge| edge.rows.end).max().unwrap_or(first);
    let mut waiting = edges.iter().peekable();
    let mut active: Vec<&Edge> = Vec::new();
    let mut crossings: Vec<(usize, i32)> = Vec::new();
    for y in first..end {
        active.retain(|edge| edge.rows.end > y);
        while let Some(edge) = waiting.next_if(|edge| edge.rows.start <= y) {
            active.push(edge);
        }
        crossings.clear();
        crossings.extend(active.iter().map(|edge| (edge.column(y, width), edge.direction)));
        crossings.sort_unstable();
        let mut windings = 0;
        for pair in crossings.windows(2) {
            windings += pair[0].1;
            if windings != 0 && pair[0].0 < pair[1].0 {
                fill(y, pair[0].0..pair[1].0);
            }
        }
    }
}

/// An edge of an outline that passes the centres of some rows.
struct Edge {
    /// The upper end.
    top: [f64; 2],
    /// Columns per row.
    slope: f64,
    /// Those whose centres it passes.
    rows: Range<usize>,
    /// 1 if the outline goes down along it, -1 if up.
    direction: i32,
}

impl Edge {
    /// The first column whose centre is not left of the edge.
    fn column(&self, y: usize, width: usize) -> usize {
        let x = self.top[0] + (y as f64 + 0.5 - self.top[1]) * self.slope;
        first_centre(x, width)
    }
}

/// The first pixel in a row of `limit` whose centre is not before `at`.
fn first_centre(at: f64, limit: usize) -> usize {
    (at - 0.5).ceil().clamp(0.0, limit as f64) as usize
}

/// The edges of a closed outline, uppermost first.
fn edges(points: &[[f32; 2]], height: usize) -> Vec<Edge> {
    let points: Vec<[f64; 2]> =
        points.iter().filter(|p| p.iter().all(|v| v.is_finite())).map(|p| p.map(f64::from)).collect();
    let ends = points.iter().zip(points.iter().cycle().skip(1));
    let mut edges: Vec<Edge> = ends
        .filter_map(|(a, b)| {
            let (top, bottom, direction) = if a[1] < b[1] { (a, b, 1) } else { (b, a, -1) };
            let rows = first_centre(top[1], height)..first_centre(bottom[1], height);
            let slope = (bottom[0] - top[0]) / (bottom[1] - top[1]);
            (!rows.is_empty()).then_some(Edge { top: *top, slope, rows, direction })
        })
        .collect();
    edges.sort_by_key(|edge| edge.rows.start);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::random::Random;

    fn drawn(points: &[[f32; 2]], [w, h]: [usize; 2]) -> Vec<bool> {
        let mut inside = vec![false; w * h];
        lasso(points, [w, h], |y, columns| {
            for x in columns {
                assert!(!inside[y * w + x], "no pixel twice");
                inside[y * w + x] = true;
            }
        });
        inside
    }

    /// How often the outline goes round a point, by the angle it turns through as seen from there.
    fn windings(points: &[[f32; 2]], x: f64, y: f64) -> i32 {
        let angle = |p: &[f32; 2]| (f64::from(p[1]) - y).atan2(f64::from(p[0]) - x);
        let turn = points.iter().zip(points.iter().cycle().skip(1)).map(|(a, b)| {
            let turn = (angle(b) - angle(a)).rem_euclid(std::f64::consts::TAU);
            if turn > std::f64::consts::PI { turn - std::f64::consts::TAU } else { turn }
        });
        (turn.sum::<f64>() / std::f64::consts::TAU).round() as i32
    }

    #[test]
    fn a_lasso_fills_what_it_goes_round() {
        let mut random = Random::new(5);
        for round in 0..80 {
            let points: Vec<_> = (0..3 + random.below(12)).map(|_| random.point(-15.0, 50.0)).collect();
            let inside = drawn(&points, [37, 29]);
            for (i, found) in inside.iter().enumerate() {
                let (x, y) = ((i % 37) as f64 + 0.5, (i / 37) as f64 + 0.5);
                assert_eq!(*found, windings(&points, x, y) != 0, "{x}, {y} in round {round}: {points:?}");
            }
        }
    }

    #[test]
    fn few_points_or_bad_ones_fill_nothing() {
        let mut random = Random::new(6);
        assert!(drawn(&[], [9, 9]).iter().all(|v| !v));
        for _ in 0..50 {
            let [a, b] = [(); 2].map(|()| random.point(-5.0, 15.0));
            for points in [&[a][..], &[a, b], &[a, b, a], &[a, b, [f32::NAN, 3.0]], &[a, a, a, a]] {
                assert!(drawn(points, [9, 9]).iter().all(|v| !v), "{points:?}");
            }
        }
        assert!(drawn(&[[1.0, 1.0], [5.0, 1.0], [3.0, 5.0]], [0, 0]).is_empty());
    }

    #[test]
    fn far_away_points_are_no_trouble() {
        let m = f32::MAX;
        assert!(drawn(&[[-m, -m], [m, -m], [m, m], [-m, m]], [8, 6]).iter().all(|v| *v));
        assert!(drawn(&[[m, -m], [m, m], [m / 2.0, 0.0]], [8, 6]).iter().all(|v| !v));
    }

    #[test]
    fn a_rectangle_fills_the_pixels_it_touches() {
        let filled = |corners| {
            let mut pixels = Vec::new();
            rectangle(corners, [6, 5], |y, columns| pixels.extend(columns.map(|x| (x, y))));
            pixels
        };
        assert_eq!(filled([[1.2, 3.9], [2.1, 3.1]]), [(1, 3), (2, 3)]);
        assert_eq!(filled([[1.0, 1.0], [2.0, 3.0]]), [(1, 1), (1, 2)]);
        assert_eq!(filled([[-90.0, 1e30], [1e9, -4.0]]).len(), 30);
        for none in [[[1.0, 1.0], [1.0, 4.0]], [[f32::NAN, 1.0], [3.0, 4.0]], [[7.0, 0.0], [9.0, 9.0]]] {
            assert_eq!(filled(none), [], "{none:?}");
        }
    }
}
