//! The first look: which templates a region may be, and how it lies.
//!
//! A mask is moved to its centre of gravity, scaled to its radius of gyration and put on a small grid. Two masks of
//! one shape then look alike whatever their place and size, so that all shapes, fonts and angles can be compared at
//! once with sums of absolute differences.

use std::sync::OnceLock;

use crate::world::outline::{Outline, outline, rotation};
use crate::world::raster::{Placement, Window, cover};
use crate::world::{Font, Shape};

/// Cells in a row of the grid.
const SIDE: usize = 20;
/// Half the grid's width in radii of gyration; no shape reaches further.
const REACH: f64 = 2.2;
/// Shares below this are taken for noise.
const NOISE: f32 = 0.1;
/// Radius in pixels at which templates are drawn.
const RADIUS: f64 = 30.0;
/// Angles tried to either side of upright.
const ANGLES: i32 = 2;

/// A template: a shape, and a font if it is a digit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    pub(super) shape: Shape,
    pub(super) outline: &'static Outline,
}

/// A template and how it may lie over a region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) template: Template,
    /// In pixels of the window.
    pub(super) placement: Placement,
}

/// A mask on the grid, and the numbers that took it there.
struct Signature {
    cells: [f32; SIDE * SIDE],
    area: f64,
    centroid: [f64; 2],
}

/// A template under one angle.
struct Turned {
    template: Template,
    degrees: f64,
    cells: [f32; SIDE * SIDE],
}

/// The `count` templates most like a region of `shares`, best first, each at its best angle.
pub(super) fn candidates(shares: &[f32], width: usize, count: usize) -> Vec<Candidate> {
    let Some(signature) = Signature::new(shares, width) else { return Vec::new() };
    let difference =
        |cells: &[f32; SIDE * SIDE]| -> f32 { cells.iter().zip(&signature.cells).map(|(a, b)| (a - b).abs()).sum() };
    // The angles of one template stand together.
    let best_angle = |turned: &'static [Turned]| {
        let scored = turned.iter().map(|turned| (difference(&turned.cells), turned));
        scored.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let mut ranked: Vec<_> = templates().iter().filter_map(|turned| best_angle(turned)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(count);
    ranked.into_iter().map(|(_, turned)| signature.lay(turned)).collect()
}

/// All templates under all angles.
fn templates() -> &'static [Vec<Turned>] {
    static TEMPLATES: OnceLock<Vec<Vec<Turned>>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let figures = Shape::figures().iter().map(|&shape| (shape, Font::Dejavu));
        let digits = Shape::digits().iter().flat_map(|&shape| Font::ALL.map(|font| (shape, font)));
        let template = |(shape, font)| Template { shape, outline: outline(shape, font) };
        figures.chain(digits).map(template).map(turns).collect()
    })
}

fn turns(template: Template) -> Vec<Turned> {
    let side = (2.0 * RADIUS) as usize + 4;
    let window = Window { x: 0, y: 0, width: side, height: side };
    let mut mask = Vec::new();
    let mut turn = |step: i32| {
        let degrees = template.shape.turn() * f64::from(step) / f64::from(ANGLES);
        let placement = Placement { centre: [side as f64 / 2.0; 2], radius: RADIUS, degrees };
        cover(template.outline, &placement, window, &mut mask);
        Signature::new(&mask, side).map(|signature| Turned { template, degrees, cells: signature.cells })
    };
    (-ANGLES..=ANGLES).filter_map(&mut turn).collect()
}

impl Signature {
    /// The signature of a mask; `None` if nothing is in it.
    fn new(shares: &[f32], width: usize) -> Option<Self> {
        let (mut area, mut first, mut second) = (0.0, [0.0; 2], 0.0);
        let pixels = || {
            let centre = |index: usize| [(index % width) as f64 + 0.5, (index / width) as f64 + 0.5];
            let solid = shares.iter().enumerate().filter(|(_, share)| **share > NOISE);
            solid.map(move |(index, &share)| (centre(index), f64::from(share.min(1.0))))
        };
        for ([x, y], share) in pixels() {
            area += share;
            first = [first[0] + share * x, first[1] + share * y];
            second += share * (x * x + y * y);
        }
        let centroid = first.map(|moment| moment / area);
        let gyration = (second / area - centroid[0] * centroid[0] - centroid[1] * centroid[1]).sqrt();
        // A NaN if there is no area, or if rounding made the square of zero negative.
        if gyration.is_nan() || gyration == 0.0 {
            return None;
        }
        let cell = 2.0 * REACH * gyration / SIDE as f64;
        let (mut sums, mut weights) = ([0.0; SIDE * SIDE], [0.0; SIDE * SIDE]);
        for (index, &share) in shares.iter().enumerate() {
            let [x, y] = [(index % width) as f64 + 0.5, (index / width) as f64 + 0.5];
            let at = [(x - centroid[0]) / cell, (y - centroid[1]) / cell].map(|v| v + SIDE as f64 / 2.0 - 0.5);
            splat(at, if share > NOISE { share.min(1.0) } else { 0.0 }, &mut sums, &mut weights);
        }
        let cells = std::array::from_fn(|i| if weights[i] > 0.0 { sums[i] / weights[i] } else { 0.0 });
        Some(Self { cells, area, centroid })
    }

    /// The template with the area and the centre of gravity of the region.
    fn lay(&self, turned: &Turned) -> Candidate {
        let Turned { template, degrees, .. } = *turned;
        let radius = (self.area / template.outline.area).sqrt();
        let [cos, sin] = rotation(degrees).map(|part| part * radius);
        let [x, y] = template.outline.centroid;
        let centre = [self.centroid[0] - cos * x + sin * y, self.centroid[1] - sin * x - cos * y];
        Candidate { template, placement: Placement { centre, radius, degrees } }
    }
}

/// Adds a value to the four cells around `at`, by nearness.
fn splat(at: [f64; 2], value: f32, sums: &mut [f32; SIDE * SIDE], weights: &mut [f32; SIDE * SIDE]) {
    let low = at.map(f64::floor);
    for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (column, row) = (low[0] as isize + right, low[1] as isize + down);
        let inside = |v: isize| (0..SIDE as isize).contains(&v);
        if inside(column) && inside(row) {
            let near = (1.0 - (at[0] - column as f64).abs()) * (1.0 - (at[1] - row as f64).abs());
            let cell = row as usize * SIDE + column as usize;
            sums[cell] += near as f32 * value;
            weights[cell] += near as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RADIUS, candidates};
    use crate::world::outline::outline;
    use crate::world::raster::{Placement, Window, cover};
    use crate::world::{Font, Shape};

    #[test]
    fn every_template_finds_itself() {
        let window = Window { x: 0, y: 0, width: 90, height: 90 };
        let mut mask = Vec::new();
        for shape in Shape::ALL {
            for font in Font::ALL {
                let placement = Placement { centre: [40.3, 45.8], radius: 0.7 * RADIUS, degrees: 3.0 };
                cover(outline(shape, font), &placement, window, &mut mask);
                let first = candidates(&mask, window.width, 1)[0];
                assert_eq!(first.template.shape, shape);
                assert!((first.placement.radius - placement.radius).abs() < 0.5);
                for axis in 0..2 {
                    let distance = first.placement.centre[axis] - placement.centre[axis];
                    assert!(distance.abs() < 1.0, "{shape} {font:?}: {distance}");
                }
            }
        }
        assert!(candidates(&[0.0; 64], 8, 3).is_empty());
    }
}
