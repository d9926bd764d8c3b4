//! The CPU kernels of a convolution with many channels: a quarter of the products, by Winograd's minimal filtering.
//!
//! A map is cut into tiles of four by four outputs. What its window sees, six by six, is carried to 36 points, the weights
//! too; there a convolution is 36 products of matrices, `tiles x channels in` with `channels in x channels out`, and the
//! outputs are carried back. The gradient of the input is the same with turned weights; that of the weights runs the
//! same way backwards. Lanes are channels throughout.

use std::array::from_fn;

use self::points::{IN, OUT, Transform, both};
use super::kernels::{Size, Weights};
use crate::cpu::{self, LANES};
use crate::vector::Eight;

mod points;

/// Points of a tile.
const POINTS: usize = IN * IN;
/// Channels come in blocks of so many: two vectors, and a cache line.
const BLOCK: usize = 16;
/// Tiles that one product takes together.
const ROWS: usize = 4;
/// Tiles of a chunk, about: what is computed from loaded weights before the next ones.
const CHUNK: usize = 16;
/// Input channels whose weight gradients one task computes.
const DEEP: usize = 64;
/// With fewer channels on either side than this the way to the points and back costs more than it saves.
const LEAST_CHANNELS: usize = 16;
/// Vectors of outputs that one product computes: as many accumulators as there are registers for.
const VECTORS: usize = if cfg!(target_arch = "wasm32") { 1 } else { 2 };

/// Whether these kernels are the faster ones.
pub(super) fn pays(size: &Size) -> bool {
    size.c_in >= LEAST_CHANNELS && size.c_out >= LEAST_CHANNELS
}

/// How the maps of one convolution lie at the points: chunks of whole rows of tiles, of each `[36, tiles, channels]`.
///
/// Between points lies a cache line more than that, because stores to 36 places that differ by a power of two would throw
/// each other out of the cache.
#[derive(Debug, Clone, Copy)]
struct Chunks {
    h: usize,
    w: usize,
    /// Rows of tiles in a chunk.
    rows: usize,
    /// Chunks of one image.
    count: usize,
}

impl Chunks {
    fn of(size: &Size) -> Self {
        let rows = (CHUNK / (size.w / OUT)).clamp(1, size.h.div_ceil(OUT));
        Self { h: size.h, w: size.w, rows, count: size.h.div_ceil(OUT * rows) }
    }

    /// Tiles of a chunk, the last few of which may be empty.
    fn tiles(&self) -> usize {
        (self.rows * self.w / OUT).next_multiple_of(ROWS)
    }

    /// Values of a chunk at one point.
    fn point(&self, channels: usize) -> usize {
        self.tiles() * channels.next_multiple_of(BLOCK) + BLOCK
    }

    fn len(&self, channels: usize) -> usize {
        POINTS * self.point(channels)
    }

    /// The place of each tile of a chunk on the map: its first row and column.
    fn places(self, chunk: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
        let across = self.w / OUT;
        let first = chunk * self.rows;
        let rows = self.rows.min(self.h.div_ceil(OUT) - first);
        (0..rows * across).map(move |t| (t, [OUT * (first + t / across), OUT * (t % across)]))
    }
}

/// `[b, c, h, w]` at the points, by `carry`, which takes an image, a chunk of it, and where that goes.
fn carried(
    chunks: &Chunks,
    [batch, channels]: [usize; 2],
    x: &[f32],
    carry: fn(&Chunks, usize, &[f32], usize, &mut [f32]),
) -> Vec<f32> {
    let (image, len) = (channels * chunks.h * chunks.w, chunks.len(channels));
    let mut at_points = vec![0f32; batch * chunks.count * len];
    cpu::for_chunks(&mut at_points, len, |i, to| {
        carry(chunks, channels, &x[i / chunks.count * image..][..image], i % chunks.count, to);
    });
    at_points
}

cpu::multiversion! {
    fn carry_inputs(chunks: &Chunks, channels: usize, image: &[f32], chunk: usize, to: &mut [f32]) = carry_inputs_body
}

#[inline(always)]
fn carry_inputs_body<const FMA: bool>(chunks: &Chunks, channels: usize, image: &[f32], chunk: usize, to: &mut [f32]) {
    carry::<points::Inputs<FMA>, IN>(chunks, channels, image, chunk, to);
}

cpu::multiversion! {
    fn carry_gradient(chunks: &Chunks, channels: usize, image: &[f32], chunk: usize, to: &mut [f32])
        = carry_gradient_body
}

#[inline(always)]
fn carry_gradient_body<const FMA: bool>(chunks: &Chunks, channels: usize, image: &[f32], chunk: usize, to: &mut [f32]) {
    carry::<points::OutputsBack<FMA>, OUT>(chunks, channels, image, chunk, to);
}

/// Tiles of `SIDE` by `SIDE`: four where they are outputs, six with a border of one around them where they are inputs.
#[inline(always)]
fn carry<T: Transform<SIDE, IN>, const SIDE: usize>(
    chunks: &Chunks,
    channels: usize,
    image: &[f32],
    chunk: usize,
    to: &mut [f32],
) {
    let &Chunks { h, w, .. } = chunks;
    let border = (SIDE - OUT) / 2;
    let (stride, point) = (channels.next_multiple_of(BLOCK), chunks.point(channels));
    let pitch = w + 2 * border;
    let zeros = vec![0f32; w];
    let mut strip = vec![Eight::splat(0.0); SIDE * pitch];
    for c in (0..channels).step_by(LANES) {
        for (t, [y, x]) in chunks.places(chunk) {
            if x == 0 {
                for (i, row) in strip.chunks_exact_mut(pitch).enumerate() {
                    let y = y + i;
                    let inside = (border..h + border).contains(&y);
                    let rows: [&[f32]; LANES] = from_fn(|l| {
                        let known = inside && c + l < channels;
                        if known { &image[((c + l) * h + y - border) * w..][..w] } else { &zeros[..w] }
                    });
                    for (x, to) in row[border..border + w].iter_mut().enumerate() {
                        *to = Eight::load(&from_fn::<f32, LANES, _>(|l| rows[l][x]));
                    }
                }
            }
            let mut tile = [[Eight::splat(0.0); SIDE]; SIDE];
            for (tile, row) in tile.iter_mut().zip(strip.chunks_exact(pitch)) {
                tile.copy_from_slice(&row[x..x + SIDE]);
            }
            for (p, v) in both::<T, _, _>(&tile).into_iter().flatten().enumerate() {
                v.store(&mut to[p * point + t * stride + c..]);
            }
        }
    }
}

/// Weights at the points: `[o / 16, 36, c, 16]`, missing output channels zero.
pub(super) fn pack(weights: Weights<'_>, size: &Size) -> Vec<f32> {
    let &Size { c_in, c_out, .. } = size;
    let len = POINTS * c_in * BLOCK;
    let mut packed = vec![0f32; c_out.div_ceil(BLOCK) * len];
    cpu::for_chunks(&mut packed, len, |block, to| pack_block(weights, block * BLOCK, [c_out, c_in], to));
    packed
}

cpu::multiversion! {
    fn pack_block(weights: Weights<'_>, first: usize, channels: [usize; 2], to: &mut [f32]) = pack_block_body
}

#[inline(always)]
fn pack_block_body<const FMA: bool>(weights: Weights<'_>, first: usize, [c_out, c_in]: [usize; 2], to: &mut [f32]) {
    for c in 0..c_in {
        for half in (0..BLOCK).step_by(LANES) {
            let mut windows = [[0f32; LANES]; 9];
            for l in 0..LANES.min(c_out.saturating_sub(first + half)) {
                let window = weights.window(first + half + l, c, [c_out, c_in]);
                for (k, lanes) in windows.iter_mut().enumerate() {
                    lanes[l] = window[k];
                }
            }
            let mut square = [[Eight::splat(0.0); 3]; 3];
            for (to, lanes) in square.iter_mut().flatten().zip(&windows) {
                *to = Eight::load(lanes);
            }
            for (p, u) in both::<points::Window<FMA>, _, _>(&square).into_iter().flatten().enumerate() {
                u.store(&mut to[(p * c_in + c) * BLOCK + half..]);
            }
        }
    }
}

/// `[b, o, h, w]` from the input `[b, c, h, w]` and weights from [`pack`].
pub(super) fn forward(size: &Size, x: &[f32], packed: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let chunks = Chunks::of(size);
    let at_points = carried(&chunks, [size.batch, size.c_in], x, carry_inputs);
    let hw = size.h * size.w;
    let mut y = vec![0f32; size.batch * size.c_out * hw];
    // A task is one block of channels where blocks tile the output, and one image where the last block is short.
    let channels = if size.c_out.is_multiple_of(BLOCK) { BLOCK } else { size.c_out };
    let (image, block) = (chunks.count * chunks.len(size.c_in), POINTS * size.c_in * BLOCK);
    cpu::for_chunks(&mut y, channels * hw, |task, y| {
        let (i, first) = (task * channels / size.c_out, task * channels % size.c_out);
        let at_points = &at_points[i * image..][..image];
        for (o, y) in y.chunks_mut(BLOCK * hw).enumerate() {
            let o = first + o * BLOCK;
            let mut start = [0f32; BLOCK];
            if let Some(bias) = bias {
                start.iter_mut().zip(&bias[o..]).for_each(|(s, b)| *s = *b);
            }
            forward_block(&chunks, size.c_in, at_points, &packed[o / BLOCK * block..][..block], &start, y);
        }
    });
    y
}

cpu::multiversion! {
    /// One block of output channels of one image.
    fn forward_block(
        chunks: &Chunks,
        c_in: usize,
        at_points: &[f32],
        weights: &[f32],
        start: &[f32; BLOCK],
        y: &mut [f32],
    ) = forward_block_body
}

#[inline(always)]
fn forward_block_body<const FMA: bool>(
    chunks: &Chunks,
    c_in: usize,
    at_points: &[f32],
    weights: &[f32],
    start: &[f32; BLOCK],
    y: &mut [f32],
) {
    let (tiles, point, stride) = (chunks.tiles(), chunks.point(c_in), c_in.next_multiple_of(BLOCK));
    let mut products = vec![0f32; POINTS * tiles * BLOCK];
    for (chunk, at_points) in at_points.chunks_exact(chunks.len(c_in)).enumerate() {
        let points = at_points.chunks_exact(point).zip(weights.chunks_exact(c_in * BLOCK));
        for ((v, u), m) in points.zip(products.chunks_exact_mut(tiles * BLOCK)) {
            for (v, m) in v.chunks_exact(ROWS * stride).zip(m.chunks_exact_mut(ROWS * BLOCK)) {
                let rows: [&[f32]; ROWS] = from_fn(|r| &v[r * stride..][..c_in]);
                for half in (0..BLOCK).step_by(VECTORS * LANES) {
                    product::<FMA, VECTORS>(rows, u, half, m);
                }
            }
        }
        for (t, place) in chunks.places(chunk) {
            for half in (0..BLOCK).step_by(LANES) {
                let square = square(&products[t * BLOCK + half..], tiles * BLOCK);
                let mut out = both::<points::Outputs<FMA>, _, _>(&square);
                for v in out.as_flattened_mut() {
                    *v = *v + Eight::load(&start[half..]);
                }
                put(chunks, &out, place, half, y);
            }
        }
    }
}

/// Eight lanes of every point, which lie `step` apart.
#[inline(always)]
fn square(from: &[f32], step: usize) -> [[Eight; IN]; IN] {
    let mut square = [[Eight::splat(0.0); IN]; IN];
    for (to, from) in square.as_flattened_mut().iter_mut().zip(from.chunks(step)) {
        *to = Eight::load(from);
    }
    square
}

/// Four tiles times `N` vectors of output channels at one point: sums over the input channels of `rows[t][c] * u[c]`.
#[inline(always)]
fn product<const FMA: bool, const N: usize>(rows: [&[f32]; ROWS], u: &[f32], half: usize, m: &mut [f32]) {
    let mut acc = [[Eight::splat(0.0); N]; ROWS];
    let [a, b, c, d] = rows;
    for ((((u, a), b), c), d) in u.chunks_exact(BLOCK).zip(a).zip(b).zip(c).zip(d) {
        let u = vectors::<N>(&u[half..]);
        for (acc, by) in acc.iter_mut().zip([*a, *b, *c, *d]) {
            for (acc, u) in acc.iter_mut().zip(u) {
                *acc = u.times::<FMA>(by, *acc);
            }
        }
    }
    for (acc, m) in acc.iter().zip(m.chunks_exact_mut(BLOCK)) {
        for (n, acc) in acc.iter().enumerate() {
            acc.store(&mut m[half + n * LANES..]);
        }
    }
}

/// A tile of eight channels into their maps `[channels, h, w]`, as much of it as lies there.
#[inline(always)]
fn put(chunks: &Chunks, out: &[[Eight; OUT]; OUT], [row, column]: [usize; 2], channel: usize, y: &mut [f32]) {
    let mut lanes = [[[0f32; LANES]; OUT]; OUT];
    for (to, from) in lanes.iter_mut().flatten().zip(out.as_flattened()) {
        from.store(to);
    }
    let &Chunks { h, w, .. } = chunks;
    for (l, map) in y.chunks_exact_mut(h * w).skip(channel).take(LANES).enumerate() {
        for (i, lanes) in lanes.iter().enumerate().take(h - row) {
            let to = &mut map[(row + i) * w + column..][..OUT];
            for (to, lanes) in to.iter_mut().zip(lanes) {
                *to = lanes[l];
            }
        }
    }
}

/// `[o, c, 9]`, the gradient of the weights, from the input `[b, c, h, w]` and `dy: [b, o, h, w]`.
pub(super) fn backward_weight(size: &Size, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let chunks = Chunks::of(size);
    let x = carried(&chunks, [size.batch, size.c_in], x, carry_inputs);
    let dy = carried(&chunks, [size.batch, size.c_out], dy, carry_gradient);
    // One task for a block of output channels and some input channels, each over all images in order.
    let deep = size.c_in.div_ceil(DEEP);
    let len = DEEP * 9 * BLOCK;
    let mut partial = vec![0f32; size.c_out.div_ceil(BLOCK) * deep * len];
    cpu::for_chunks(&mut partial, len, |task, dw| {
        let (o, c) = (task / deep * BLOCK, task % deep * DEEP);
        weight_block(&chunks, [size.c_in, size.c_out], [&x, &dy], [c, o], dw);
    });
    let mut dw = vec![0f32; size.c_out * size.c_in * 9];
    cpu::for_chunks(&mut dw, size.c_in * 9, |o, dw| {
        for (c, window) in dw.chunks_exact_mut(9).enumerate() {
            let task = o / BLOCK * deep + c / DEEP;
            let from = &partial[task * len + c % DEEP * 9 * BLOCK..][..9 * BLOCK];
            for (to, from) in window.iter_mut().zip(from.chunks_exact(BLOCK)) {
                *to = from[o % BLOCK];
            }
        }
    });
    dw
}

cpu::multiversion! {
    /// The gradients `[64, 9, 16]` of the weights from input channels `first[0]..` to output channels `first[1]..`.
    fn weight_block(
        chunks: &Chunks,
        channels: [usize; 2],
        maps: [&[f32]; 2],
        first: [usize; 2],
        dw: &mut [f32],
    ) = weight_block_body
}

#[inline(always)]
fn weight_block_body<const FMA: bool>(
    chunks: &Chunks,
    [c_in, c_out]: [usize; 2],
    [x, dy]: [&[f32]; 2],
    [c, o]: [usize; 2],
    dw: &mut [f32],
) {
    // Channels beyond the last are zeros up to a whole block, and a block is a multiple of the rows of a product.
    let deep = DEEP.min((c_in - c).next_multiple_of(ROWS));
    let strides = [c_in, c_out].map(|n| n.next_multiple_of(BLOCK));
    let mut du = vec![0f32; POINTS * deep * BLOCK];
    for (x, dy) in x.chunks_exact(chunks.len(c_in)).zip(dy.chunks_exact(chunks.len(c_out))) {
        let points = x.chunks_exact(chunks.point(c_in)).zip(dy.chunks_exact(chunks.point(c_out)));
        for ((x, dy), du) in points.zip(du.chunks_exact_mut(deep * BLOCK)) {
            let (x, dy) = (&x[..chunks.tiles() * strides[0]], &dy[..chunks.tiles() * strides[1]]);
            for (k, du) in du.chunks_exact_mut(ROWS * BLOCK).enumerate() {
                for half in (0..BLOCK).step_by(VECTORS * LANES) {
                    outer::<FMA, VECTORS>([x, dy], strides, [c + k * ROWS, o + half], &mut du[half..]);
                }
            }
        }
    }
    for (k, dw) in dw.chunks_exact_mut(9 * BLOCK).enumerate().take(deep) {
        for half in (0..BLOCK).step_by(LANES) {
            let square = square(&du[k * BLOCK + half..], deep * BLOCK);
            let window = both::<points::WindowBack<FMA>, _, _>(&square);
            for (dw, v) in dw.chunks_exact_mut(BLOCK).zip(window.into_iter().flatten()) {
                v.store(&mut dw[half..]);
            }
        }
    }
}

#[inline(always)]
fn vectors<const N: usize>(from: &[f32]) -> [Eight; N] {
    let mut vectors = [Eight::splat(0.0); N];
    for (to, from) in vectors.iter_mut().zip(from.chunks_exact(LANES)) {
        *to = Eight::load(from);
    }
    vectors
}

/// Adds to `du[4][16]` the products of four input channels with `N` vectors of output channels, summed over tiles.
#[inline(always)]
fn outer<const FMA: bool, const N: usize>(
    [x, dy]: [&[f32]; 2],
    [x_stride, dy_stride]: [usize; 2],
    [c, o]: [usize; 2],
    du: &mut [f32],
) {
    let mut acc = [[Eight::splat(0.0); N]; ROWS];
    for (acc, du) in acc.iter_mut().zip(du.chunks(BLOCK)) {
        *acc = vectors(du);
    }
    for (x, dy) in x.chunks_exact(x_stride).zip(dy.chunks_exact(dy_stride)) {
        let (x, dy) = (&x[c..c + ROWS], &dy[o..o + N * LANES]);
        let dy = vectors::<N>(dy);
        for (acc, &by) in acc.iter_mut().zip(x) {
            for (acc, dy) in acc.iter_mut().zip(dy) {
                *acc = dy.times::<FMA>(by, *acc);
            }
        }
    }
    for (r, acc) in acc.iter().enumerate() {
        for (n, acc) in acc.iter().enumerate() {
            acc.store(&mut du[r * BLOCK + n * LANES..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Shape;

    use super::super::kernels;
    use super::*;

    fn wave(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
    }

    /// Rows and blocks that are full, short and several; more input channels than a task takes.
    const SHAPES: [([usize; 4], usize); 7] = [
        ([1, 16, 8, 8], 16),
        ([2, 19, 13, 24], 17),
        ([3, 70, 3, 8], 48),
        ([1, 33, 16, 16], 64),
        ([5, 16, 1, 40], 21),
        ([1, 16, 12, 72], 16),
        ([1, 130, 4, 8], 32),
    ];

    /// The root of the mean square of the difference, as a part of that of `want`.
    fn error(got: &[f32], want: &[f32]) -> f64 {
        assert_eq!(got.len(), want.len());
        let square = |v: f64| v * v;
        let difference: f64 = got.iter().zip(want).map(|(&g, &w)| square(f64::from(g) - f64::from(w))).sum();
        (difference / want.iter().map(|&w| square(f64::from(w))).sum::<f64>()).sqrt()
    }

    #[test]
    fn agrees_with_the_direct_kernel_forwards_and_backwards() {
        for (shape, o) in SHAPES {
            let [b, c, h, w] = shape;
            let size = Size::of(&Shape::new(shape), o);
            assert!(pays(&size), "{shape:?}");
            let (x, dy) = (wave(b * c * h * w, 0.3), wave(b * o * h * w, 1.9));
            let (weight, bias) = (wave(o * c * 9, 1.1), wave(o, 2.0));
            for weights in [Weights::Straight(&weight), Weights::Turned(&weight)] {
                let want = kernels::forward(&size, &x, weights, Some(&bias));
                let got = forward(&size, &x, &pack(weights, &size), Some(&bias));
                assert!(error(&got, &want) < 2e-6, "{shape:?} to {o}: {}", error(&got, &want));
            }
            let (got, want) = (backward_weight(&size, &x, &dy), kernels::backward_weight(&size, &x, &dy));
            assert!(error(&got, &want) < 2e-6, "{shape:?} to {o}, weights: {}", error(&got, &want));
        }
    }
}
