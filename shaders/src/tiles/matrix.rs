//! Products of matrices by tiles.

use super::words::{across, along, turn};
use super::{DEPTH, Packed, QUAD, SIDE, Side, Spread, Steps, TILE, Tiles};
use crate::cpu;
use crate::scratch::Scratch;

/// The rows of one side of a product, or the columns of the other: term `k` of line `i` lies at
/// `i * strides[0] + k * strides[1]`, one of which is 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) count: usize,
    pub(crate) terms: usize,
    pub(crate) strides: [usize; 2],
}

impl Lines<'_> {
    /// Words of 32 of them when they are packed.
    fn block(&self) -> usize {
        self.terms.div_ceil(DEPTH) * QUAD
    }

    /// Words of all of them when they are packed.
    pub(crate) fn packed_len(&self) -> usize {
        self.count.div_ceil(SIDE) * self.block()
    }

    /// Packs them, on all cores.
    pub(crate) fn pack(self, side: Side, to: &mut [f32]) {
        cpu::for_chunks(to, self.block().max(1), |block, to| {
            pack_block(self, side, block * SIDE, bytemuck::cast_slice_mut(to));
        });
    }

    /// The pairs of 32 terms of sixteen lines, line by line or pair by pair as they lie; zeros where there are none.
    #[inline(always)]
    fn pairs(self, line: usize, term: usize, [high, low]: [&mut [u32]; 2]) {
        let lines = self.count.saturating_sub(line).min(16);
        let terms = self.terms.saturating_sub(term).min(DEPTH);
        let parts = high.chunks_exact_mut(16).zip(low.chunks_exact_mut(16));
        let at = |i: usize, k: usize| (line + i) * self.strides[0] + (term + k) * self.strides[1];
        for (i, (high, low)) in parts.enumerate() {
            if self.strides[1] == 1 {
                let there = if i < lines { &self.values[at(i, 0)..][..terms] } else { &[] };
                along(there, [high, low]);
            } else {
                let row = |k: usize| if k < terms && lines > 0 { &self.values[at(0, k)..][..lines] } else { &[0.0; 16] };
                let [a, b] = [row(2 * i), row(2 * i + 1)];
                let both = if 2 * i < terms { [a, b] } else { [&[][..]; 2] };
                across(both, [high, low]);
            }
        }
    }
}

cpu::wide_multiversion! {
    /// Packs 32 lines from `first`.
    fn pack_block(lines: Lines<'_>, side: Side, first: usize, to: &mut [u32]) = pack_block_body, wide 1, narrow 1
}

#[inline(always)]
fn pack_block_body<const FMA: bool, const WIDE: usize>(lines: Lines<'_>, side: Side, first: usize, to: &mut [u32]) {
    let lie = if lines.strides[1] == 1 { Side::Rows } else { Side::Columns };
    let mut turned = [0u32; 2 * TILE];
    for (step, to) in to.chunks_exact_mut(QUAD).enumerate() {
        let (high, low) = to.split_at_mut(2 * TILE);
        for (half, (high, low)) in high.chunks_exact_mut(TILE).zip(low.chunks_exact_mut(TILE)).enumerate() {
            let (line, term) = (first + 16 * half, step * DEPTH);
            if lie == side {
                lines.pairs(line, term, [high, low]);
            } else {
                let (a, b) = turned.split_at_mut(TILE);
                lines.pairs(line, term, [a, b]);
                turn(a, 16, high);
                turn(b, 16, low);
            }
        }
    }
}

/// The steps through a packed side that is used as a spread one.
fn steps(terms: usize) -> Steps {
    (0..terms.div_ceil(DEPTH)).map(|step| 4 * step * QUAD).collect::<Vec<_>>().into()
}

fn spread(packed: &Packed) -> Spread<'_> {
    Spread { words: packed, line: 64, neighbour: 4 * TILE, low: 8 * TILE }
}

/// `c[r, n] = sum over k of rows[r, k] * columns[n, k]`, or added to what is in `c`.
pub(crate) fn product(rows: Lines<'_>, columns: &Packed, add: bool, c: &mut [f32]) {
    let (n, block) = (c.len() / rows.count, rows.block());
    let steps = steps(rows.terms);
    cpu::for_chunks(c, SIDE * n, |i, c| {
        let mut packed = Scratch::of(block);
        pack_block(rows, Side::Rows, i * SIDE, bytemuck::cast_slice_mut(&mut packed));
        let (tiles, mut square) = (Tiles::here(), [0f32; SIDE * SIDE]);
        for (j, columns) in columns.chunks_exact(block).enumerate() {
            tiles.product(Side::Columns, columns, (&spread(bytemuck::cast_slice(&packed)), 0), &steps, &mut square);
            for (c, sums) in c.chunks_exact_mut(n).zip(square.chunks_exact(SIDE)) {
                put(sums, add, &mut c[j * SIDE..]);
            }
        }
    });
}

/// The first of `sums` to `to`, as many as there is room for.
#[inline(always)]
fn put(sums: &[f32], add: bool, to: &mut [f32]) {
    for (to, sum) in to.iter_mut().zip(sums) {
        *to = if add { *to + sum } else { *sum };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
    }

    /// All ways in which either side may lie; full blocks and short ones.
    #[test]
    fn agrees_with_sums_in_double_precision() {
        for (r, k, n) in [(1, 1, 1), (32, 32, 32), (33, 70, 17), (5, 31, 64), (64, 96, 40), (16, 33, 48)] {
            let (a, b, c) = (wave(r * k, 0.1), wave(n * k, 0.7), wave(r * n, 1.3));
            for (along_a, along_b, add) in [(true, true, false), (true, false, true), (false, false, false), (false, true, true)] {
                let strides = |along: bool, count: usize| if along { [k, 1] } else { [1, count] };
                let rows = Lines { values: &a, count: r, terms: k, strides: strides(along_a, r) };
                let columns = Lines { values: &b, count: n, terms: k, strides: strides(along_b, n) };
                let mut packed = vec![0f32; columns.packed_len()];
                columns.pack(Side::Columns, &mut packed);
                let mut got = c.clone();
                product(rows, bytemuck::cast_slice(&packed), add, &mut got);
                for (i, (got, c)) in got.iter().zip(&c).enumerate() {
                    let at = |lines: &Lines<'_>, line, k| f64::from(lines.values[line * lines.strides[0] + k * lines.strides[1]]);
                    let sum: f64 = (0..k).map(|k| at(&rows, i / n, k) * at(&columns, i % n, k)).sum();
                    let want = sum + if add { f64::from(*c) } else { 0.0 };
                    assert!((f64::from(*got) - want).abs() < 1e-5 * (k as f64).sqrt(), "{r} {k} {n} at {i}: {got}, {want}");
                }
            }
        }
    }
}
