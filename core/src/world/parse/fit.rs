//! The second look: a template laid exactly over a region, by Gauss and Newton.
//!
//! Six numbers are fitted: place, size, angle, the softness of the edges and the strength of the colour. All of their
//! slopes come from one drawn mask, since moving, scaling, turning and blurring a mask changes it by its own gradient
//! and Laplacian: `dm/dx = -m_x`, `dm/dlog r = -(x m_x + y m_y)`, `dm/da = y m_x - x m_y`, `dm/dv = (m_xx + m_yy) / 2`.

use super::coarse::{Candidate, Template};
use super::patch::Patch;
use crate::world::raster::{Placement, Window, cover};

/// Numbers fitted.
const UNKNOWNS: usize = 6;
/// The greatest variance of a blur, in square pixels: that of a picture of 32 pixels enlarged to 128, and some more.
const SOFTEST: f64 = 3.0;
/// The variance that a fit starts from.
const SOFTNESS: f64 = 0.25;
/// Degrees by which an object may be turned further than scenes turn it.
const TURN_SLACK: f64 = 3.0;
/// A variance from which the Gaussian itself is sampled; below, three weights of that variance do better.
const SAMPLED: f64 = 0.4;
/// Shares this near to 0 or 1 count as 0 or 1, so that noise costs nothing where there is no edge.
const FLAT: f32 = 0.1;
/// Side of the squares in which flaws are looked for, in diameters of the object; at least 3 pixels.
const FLAW_SIDE: f64 = 0.07;

/// A template laid over a region.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    pub(super) template: Template,
    /// In pixels of the window.
    pub(super) placement: Placement,
    /// The variance of the blur, in square pixels.
    pub(super) softness: f64,
    /// The share that the object's inside has, about 1.
    pub(super) strength: f64,
    /// What the template covers, blurred.
    pub(super) mask: Vec<f32>,
}

impl Fit {
    /// The start of a fit.
    pub(super) fn new(candidate: &Candidate) -> Self {
        let Candidate { template, placement } = *candidate;
        Self { template, placement, softness: SOFTNESS, strength: 1.0, mask: Vec::new() }
    }

    /// Draws the mask and moves all numbers by one Gauss-Newton step.
    pub(super) fn step(&mut self, patch: &Patch) {
        self.draw(patch.window);
        let (mut matrix, vector) = self.normal_equations(patch);
        // A circle has no angle, a big object hardly a softness: what the picture does not tell stays as it is.
        let trace: f64 = (0..UNKNOWNS).map(|i| matrix[i][i]).sum();
        for (i, row) in matrix.iter_mut().enumerate() {
            row[i] += 1e-3 * row[i] + 1e-7 * trace + f64::MIN_POSITIVE;
        }
        let [x, y, growth, turn, softness, strength] = solve(matrix, vector);
        let centre = &mut self.placement.centre;
        centre[0] += x.clamp(-2.0, 2.0);
        centre[1] += y.clamp(-2.0, 2.0);
        self.placement.radius *= growth.clamp(-0.1, 0.1).exp();
        let limit = self.template.shape.turn() + TURN_SLACK;
        self.placement.degrees = (self.placement.degrees + turn.to_degrees().clamp(-5.0, 5.0)).clamp(-limit, limit);
        self.softness = (self.softness + softness.clamp(-0.5, 0.5)).clamp(0.0, SOFTEST);
        self.strength = (self.strength + strength).clamp(0.5, 1.5);
    }

    /// Draws the mask at the present numbers.
    pub(super) fn draw(&mut self, window: Window) {
        // The placement is relative to the window.
        let window = Window { x: 0, y: 0, ..window };
        cover(self.template.outline, &self.placement, window, &mut self.mask);
        blur(&mut self.mask, window.width, self.softness);
    }

    /// The overlap of mask and region, from 0 to 1: the sum of the lesser shares by the sum of the greater ones.
    pub(super) fn overlap(&self, patch: &Patch) -> f64 {
        let (mut lesser, mut greater) = (0.0, 0.0);
        for (mask, share) in self.compared(patch) {
            lesser += mask.min(share);
            greater += mask.max(share);
        }
        if greater > 0.0 { f64::from(lesser / greater) } else { 0.0 }
    }

    /// The mean distance, in diameters, of two contours whose insides overlap by `score`.
    pub(super) fn offset(&self, score: f64) -> f64 {
        let outline = self.template.outline;
        // All in radii of the bounding circle.
        0.5 * (1.0 - score) * outline.area / outline.perimeter
    }

    /// The greatest disagreement of mask and region in one place: in the worst square of [`FLAW_SIDE`] diameters, as
    /// a share of its area. A contour that is a little off everywhere has hardly any; a missing tip has much.
    pub(super) fn flaw(&self, patch: &Patch) -> f64 {
        let Window { width, height, .. } = patch.window;
        let exact = 2.0 * self.placement.radius * FLAW_SIDE;
        let side = exact.round().clamp(3.0, width.min(height) as f64) as usize;
        let differences: Vec<f32> = self.compared(patch).map(|(mask, share)| mask - share).collect();
        let sums = |line: &[f32]| line.windows(side).map(|window| window.iter().sum()).collect::<Vec<f32>>();
        let rows: Vec<Vec<f32>> = differences.chunks_exact(width).map(sums).collect();
        let square = |rows: &[Vec<f32>], column: usize| rows.iter().map(|row| row[column]).sum::<f32>().abs();
        let worst = rows.windows(side).flat_map(|rows| (0..=width - side).map(move |column| square(rows, column)));
        // Where three pixels are more than the side should be, what lies along a contour is as long as they are, but
        // no wider.
        f64::from(worst.fold(0.0, f32::max)) / (side as f64 * exact)
    }

    /// The shares of mask and region, pixel by pixel, without what noise does to flat parts.
    fn compared(&self, patch: &Patch) -> impl Iterator<Item = (f32, f32)> {
        let flat = |share: f32| ((share - FLAT) / (1.0 - 2.0 * FLAT)).clamp(0.0, 1.0);
        let scale = 1.0 / self.strength as f32;
        self.mask.iter().zip(&patch.shares).map(move |(&mask, &share)| (flat(mask), flat(share * scale)))
    }

    fn normal_equations(&self, patch: &Patch) -> ([[f64; UNKNOWNS]; UNKNOWNS], [f64; UNKNOWNS]) {
        let Window { width, height, .. } = patch.window;
        let strength = self.strength as f32;
        let [centre_x, centre_y] = self.placement.centre.map(|c| c as f32);
        let (mut matrix, mut vector) = ([[0.0f32; UNKNOWNS]; UNKNOWNS], [0.0f32; UNKNOWNS]);
        for row in 1..height - 1 {
            for column in 1..width - 1 {
                let at = row * width + column;
                let here = self.mask[at];
                let (left, right) = (self.mask[at - 1], self.mask[at + 1]);
                let (up, down) = (self.mask[at - width], self.mask[at + width]);
                if here == 0.0 && left + right + up + down == 0.0 {
                    continue;
                }
                let (dx, dy) = (0.5 * strength * (right - left), 0.5 * strength * (down - up));
                let (x, y) = (column as f32 + 0.5 - centre_x, row as f32 + 0.5 - centre_y);
                let laplacian = left + right + up + down - 4.0 * here;
                let slopes = [-dx, -dy, -(x * dx + y * dy), y * dx - x * dy, 0.5 * strength * laplacian, here];
                let error = patch.shares[at] - strength * here;
                for i in 0..UNKNOWNS {
                    vector[i] += slopes[i] * error;
                    for j in 0..=i {
                        matrix[i][j] += slopes[i] * slopes[j];
                    }
                }
            }
        }
        let symmetric = |i: usize, j: usize| f64::from(matrix[i.max(j)][i.min(j)]);
        let matrix = std::array::from_fn(|i| std::array::from_fn(|j| symmetric(i, j)));
        (matrix, vector.map(f64::from))
    }
}

/// The solution of a positive definite system, by Cholesky; zeros if it is not positive definite.
fn solve(mut matrix: [[f64; UNKNOWNS]; UNKNOWNS], mut vector: [f64; UNKNOWNS]) -> [f64; UNKNOWNS] {
    for i in 0..UNKNOWNS {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - known;
            if i == j && (rest.is_nan() || rest <= 0.0) {
                return [0.0; UNKNOWNS];
            }
            matrix[i][j] = if i == j { rest.sqrt() } else { rest / matrix[j][j] };
        }
    }
    for i in 0..UNKNOWNS {
        let known: f64 = (0..i).map(|k| matrix[i][k] * vector[k]).sum();
        vector[i] = (vector[i] - known) / matrix[i][i];
    }
    for i in (0..UNKNOWNS).rev() {
        let known: f64 = (i + 1..UNKNOWNS).map(|k| matrix[k][i] * vector[k]).sum();
        vector[i] = (vector[i] - known) / matrix[i][i];
    }
    vector
}

/// Blurs by a Gaussian of `variance` square pixels; nothing is outside.
fn blur(mask: &mut [f32], width: usize, variance: f64) {
    let half = if variance < SAMPLED {
        vec![1.0 - variance as f32, 0.5 * variance as f32]
    } else {
        let reach = (3.0 * variance.sqrt()).ceil() as usize;
        let weights: Vec<f64> = (0..=reach).map(|i| (-((i * i) as f64) / (2.0 * variance)).exp()).collect();
        let sum = 2.0 * weights.iter().sum::<f64>() - weights[0];
        weights.iter().map(|weight| (weight / sum) as f32).collect()
    };
    let source = mask.to_vec();
    filter_rows(&source, mask, width, &half);
    let source = mask.to_vec();
    filter_columns(&source, mask, width, &half);
}

fn filter_rows(source: &[f32], target: &mut [f32], width: usize, half: &[f32]) {
    for (from, to) in source.chunks_exact(width).zip(target.chunks_exact_mut(width)) {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = half[0] * from);
        for (shift, &weight) in half.iter().enumerate().skip(1).take(width - 1) {
            to[shift..].iter_mut().zip(from).for_each(|(to, &from)| *to += weight * from);
            to.iter_mut().zip(&from[shift..]).for_each(|(to, &from)| *to += weight * from);
        }
    }
}

fn filter_columns(source: &[f32], target: &mut [f32], width: usize, half: &[f32]) {
    target.iter_mut().zip(source).for_each(|(to, &from)| *to = half[0] * from);
    for (shift, &weight) in half.iter().enumerate().skip(1).take_while(|(shift, _)| shift * width < source.len()) {
        target[shift * width..].iter_mut().zip(source).for_each(|(to, &from)| *to += weight * from);
        target.iter_mut().zip(&source[shift * width..]).for_each(|(to, &from)| *to += weight * from);
    }
}

#[cfg(test)]
mod tests {
    use super::{UNKNOWNS, blur, solve};

    #[test]
    fn a_blur_keeps_the_sum_and_adds_its_variance() {
        for variance in [0.1, 0.3, 0.5, 1.0, 2.5] {
            let mut mask = vec![0.0; 21 * 21];
            mask[10 * 21 + 10] = 1.0;
            blur(&mut mask, 21, variance);
            let moment = |power: i32, axis: fn(usize) -> usize| -> f64 {
                mask.iter().enumerate().map(|(i, &m)| f64::from(m) * (axis(i) as f64 - 10.0).powi(power)).sum()
            };
            assert!((moment(0, |i| i) - 1.0).abs() < 1e-5);
            for axis in [|i| i % 21, |i| i / 21] {
                assert!(moment(1, axis).abs() < 1e-5);
                let found = moment(2, axis);
                assert!((found - variance).abs() < 0.04 * variance, "{found} and not {variance}");
            }
        }
    }

    #[test]
    fn the_solution_solves() {
        let root: [[f64; UNKNOWNS]; UNKNOWNS] = std::array::from_fn(|i| {
            std::array::from_fn(|j| ((3 * i + 5 * j) % 7) as f64 + f64::from(u8::from(i == j)))
        });
        let matrix: [[f64; UNKNOWNS]; UNKNOWNS] = std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                (0..UNKNOWNS).map(|k| root[i][k] * root[j][k]).sum::<f64>() + f64::from(u8::from(i == j))
            })
        });
        let expected = [1.0, -2.0, 0.5, 3.0, 0.0, -1.0];
        let vector = std::array::from_fn(|i| (0..UNKNOWNS).map(|j| matrix[i][j] * expected[j]).sum());
        let found = solve(matrix, vector);
        assert!((0..UNKNOWNS).all(|i| (found[i] - expected[i]).abs() < 1e-9), "{found:?}");
        assert_eq!(solve([[0.0; UNKNOWNS]; UNKNOWNS], vector), [0.0; UNKNOWNS]);
    }
}
