//! The product of two small matrices on the CPU.
//!
//! What Burn calls for packs both sides and pays off from some hundred rows and columns on. Those of a small U-Net stay in
//! the cache as they are.

use std::slice::Chunks;

use crate::cpu::LANES;
use crate::vector::{Eight, Vector};

/// Rows that are computed together.
const ROWS: usize = 4;
/// Vectors of columns that are computed together: with the rows as many accumulators as there are registers for.
const VECTORS: usize = if cfg!(target_arch = "wasm32") { 1 } else { 2 };
/// Rows from which on a tile of columns is copied to one place before it is read again and again.
const MANY_ROWS: usize = 16;

/// Weights beyond this do not stay in a cache, and Burn's product is the better one.
pub(crate) const MOST_WEIGHTS: usize = 1 << 16;

/// Whether this is the faster product for matrices that fit it: Burn's has vectors of sixteen where there is AVX-512.
pub(crate) fn pays() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !std::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// `c = a b`, or `c += a b`: `a(r, k)` lies at `r * strides[0] + k * strides[1]`, `b` is `[k, n]`, `c` is `[r, n]`, and `n`
/// a multiple of [`LANES`].
pub(crate) struct Product<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) strides: [usize; 2],
    pub(crate) b: &'a [f32],
    pub(crate) n: usize,
    pub(crate) add: bool,
}

impl Product<'_> {
    #[inline(always)]
    pub(crate) fn into<const FMA: bool>(self, c: &mut [f32]) {
        let mut column = 0;
        let mut copy = vec![];
        while column + VECTORS * LANES <= self.n {
            self.columns::<FMA, VECTORS>(column, &mut copy, c);
            column += VECTORS * LANES;
        }
        while column < self.n {
            self.columns::<FMA, 1>(column, &mut copy, c);
            column += LANES;
        }
    }

    /// `V` vectors of columns from `column`, all rows.
    #[inline(always)]
    fn columns<const FMA: bool, const V: usize>(&self, column: usize, copy: &mut Vec<f32>, c: &mut [f32]) {
        let rows = c.len() / self.n;
        let (b, step) = if rows >= MANY_ROWS {
            copy.clear();
            for b in self.b.chunks_exact(self.n) {
                copy.extend_from_slice(&b[column..column + V * LANES]);
            }
            (&copy[..], V * LANES)
        } else {
            (&self.b[column..], self.n)
        };
        let mut r = 0;
        while r + ROWS <= rows {
            let to = &mut c[r * self.n + column..];
            if self.strides[1] == 1 {
                self.four_rows::<FMA, V>(r, b.chunks(step), to);
            } else {
                self.rows::<FMA, ROWS, V>(r, b.chunks(step), to);
            }
            r += ROWS;
        }
        while r < rows {
            self.rows::<FMA, 1, V>(r, b.chunks(step), &mut c[r * self.n + column..]);
            r += 1;
        }
    }

    /// Four rows that lie in `a` without gaps, which needs no check at every step.
    #[inline(always)]
    fn four_rows<const FMA: bool, const V: usize>(&self, first: usize, b: Chunks<'_, f32>, to: &mut [f32]) {
        let mut acc = [[Eight::splat(0.0); V]; ROWS];
        let row = |r: usize| &self.a[(first + r) * self.strides[0]..];
        for ((((b, p), q), r), s) in b.zip(row(0)).zip(row(1)).zip(row(2)).zip(row(3)) {
            acc = step::<FMA, ROWS, V>(acc, [*p, *q, *r, *s], b);
        }
        self.put(acc, to);
    }

    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
    fn rows<const FMA: bool, const R: usize, const V: usize>(&self, first: usize, b: Chunks<'_, f32>, to: &mut [f32]) {
        let mut acc = [[Eight::splat(0.0); V]; R];
        for (k, b) in b.enumerate() {
            let mut a = [0f32; R];
            for r in 0..R {
                a[r] = self.a[(first + r) * self.strides[0] + k * self.strides[1]];
            }
            acc = step::<FMA, R, V>(acc, a, b);
        }
        self.put(acc, to);
    }

    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
    fn put<const R: usize, const V: usize>(&self, acc: [[Eight; V]; R], to: &mut [f32]) {
        for r in 0..R {
            for v in 0..V {
                let to = &mut to[r * self.n + v * LANES..][..LANES];
                let sum = if self.add { acc[r][v] + Eight::load(to) } else { acc[r][v] };
                sum.store(to);
            }
        }
    }
}

/// One element of each row of `a` times one row of `b`, added to `acc`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
fn step<const FMA: bool, const R: usize, const V: usize>(
    mut acc: [[Eight; V]; R],
    a: [f32; R],
    b: &[f32],
) -> [[Eight; V]; R] {
    let b = &b[..V * LANES];
    let mut vectors = [Eight::splat(0.0); V];
    for v in 0..V {
        vectors[v] = Eight::load(&b[v * LANES..]);
    }
    for r in 0..R {
        for v in 0..V {
            acc[r][v] = vectors[v].times::<FMA>(a[r], acc[r][v]);
        }
    }
    acc
}

/// `rows x columns` turned into `columns x rows`.
pub(crate) fn transposed(a: &[f32], columns: usize) -> Vec<f32> {
    let rows = a.len() / columns;
    let mut t = vec![0f32; a.len()];
    for (r, row) in a.chunks_exact(columns).enumerate() {
        for (t, &v) in t[r..].iter_mut().step_by(rows).zip(row) {
            *t = v;
        }
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_and_column_of_every_size() {
        let wave = |n: usize, seed: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * 1.7 + seed).sin()).collect() };
        for (rows, k, n) in [(1, 3, 8), (4, 1, 16), (5, 7, 24), (16, 9, 8), (19, 12, 40)] {
            let (a, b, c) = (wave(rows * k, 0.1), wave(k * n, 0.7), wave(rows * n, 1.3));
            let turned = transposed(&a, k);
            for (strides, a, add) in [([k, 1], &a, false), ([1, rows], &turned, true)] {
                let mut got = c.clone();
                Product { a, strides, b: &b, n, add }.into::<false>(&mut got);
                for (i, (got, c)) in got.iter().zip(&c).enumerate() {
                    let terms = (0..k).map(|k| a[i / n * strides[0] + k * strides[1]] * b[k * n + i % n]);
                    let want = terms.sum::<f32>() + if add { *c } else { 0.0 };
                    assert!((got - want).abs() < 1e-5, "{rows} x {k} x {n}, element {i}: {got} against {want}");
                }
            }
        }
    }
}
