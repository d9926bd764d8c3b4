//! The CPU kernels of a convolution with many channels: a quarter of the products, by Winograd's minimal filtering.
//!
//! A map is cut into tiles of four by four outputs. What its window sees, six by six, is carried to 36 points, the weights
//! too; there a convolution is 36 products of matrices, `tiles x channels in` with `channels in x channels out`, and the
//! outputs are carried back. The gradient of the input is the same with turned weights; that of the weights runs the
//! same way backwards. Lanes are channels throughout.

use std::array::from_fn;

use self::points::{IN, OUT, Transform, both};
use super::kernels::{Size, Weights};
use crate::cpu;
use crate::scratch::Scratch;
use crate::vector::Vector;

mod points;

/// Points of a tile.
const POINTS: usize = IN * IN;
/// Channels come in blocks of so many: a cache line, and no less than the lanes of a vector.
const BLOCK: usize = 16;
/// Tiles come in groups of so many, or of twice as many where vectors are wide: what one product takes together.
const ROWS: usize = 4;
/// Tiles of a chunk, about: what is computed from loaded weights before the next ones.
const CHUNK: usize = 16;
/// Input channels whose weight gradients one task computes.
const DEEP: usize = 64;
/// Input channels that a product takes one after the other without another look at where they are.
const DEPTH: usize = 8;
/// With fewer channels on either side than this the way to the points and back costs more than it saves.
const LEAST_CHANNELS: usize = 16;
/// Vectors of eight outputs that one product computes: as many accumulators as there are registers for.
const VECTORS: usize = if cfg!(target_arch = "wasm32") { 1 } else { 2 };

/// Whether these kernels are the faster ones.
pub(super) fn pays(size: &Size) -> bool {
    size.c_in >= LEAST_CHANNELS && size.c_out >= LEAST_CHANNELS
}

/// How the maps of one convolution lie at the points: chunks of whole rows of tiles, or of whole images where these are
/// small, of each `[36, tiles, channels]`.
///
/// Between points lies a cache line more than that, because stores to 36 places that differ by a power of two would throw
/// each other out of the cache.
#[derive(Debug, Clone, Copy)]
struct Chunks {
    h: usize,
    w: usize,
    /// Rows of tiles in a chunk.
    rows: usize,
    /// Images in a chunk.
    images: usize,
    /// Chunks of so many images.
    count: usize,
}

impl Chunks {
    /// Those that fill a chunk, if the images are many enough to share it.
    fn of(size: &Size, share: bool) -> Self {
        let (across, down) = (size.w / OUT, size.h.div_ceil(OUT));
        let rows = (CHUNK / across).clamp(1, down);
        let images = if share { (CHUNK / (across * down)).clamp(1, size.batch.max(1)) } else { 1 };
        Self { h: size.h, w: size.w, rows, images, count: down.div_ceil(rows) }
    }

    /// Groups of images in a batch.
    fn groups(&self, batch: usize) -> usize {
        batch.div_ceil(self.images)
    }

    /// Tiles of a chunk, the last few of which may be empty.
    fn tiles(&self) -> usize {
        (self.images * self.rows * self.w / OUT).next_multiple_of(2 * ROWS)
    }

    /// Values of a chunk at one point.
    fn point(&self, channels: usize) -> usize {
        self.tiles() * channels.next_multiple_of(BLOCK) + BLOCK
    }

    fn len(&self, channels: usize) -> usize {
        POINTS * self.point(channels)
    }

    /// Tiles of a chunk that are there, of so many images.
    fn full(&self, images: usize, chunk: usize) -> usize {
        images * self.rows_of(chunk) * (self.w / OUT)
    }

    fn rows_of(&self, chunk: usize) -> usize {
        self.rows.min(self.h.div_ceil(OUT) - chunk * self.rows)
    }

    /// Where each tile of a chunk of so many images is: which image, its first row and column.
    fn places(self, images: usize, chunk: usize) -> impl Iterator<Item = (usize, usize, [usize; 2])> {
        let (across, rows, first) = (self.w / OUT, self.rows_of(chunk), chunk * self.rows);
        (0..self.full(images, chunk)).map(move |t| {
            let (image, t_in) = (t / (rows * across), t % (rows * across));
            (t, image, [OUT * (first + t_in / across), OUT * (t_in % across)])
        })
    }
}

/// A few images of so many channels, on their way to the points.
#[derive(Debug, Clone, Copy)]
struct Maps<'a> {
    values: &'a [f32],
    channels: usize,
    images: usize,
}

impl<'a> Maps<'a> {
    /// The `group`-th group of a batch.
    fn group(chunks: &Chunks, channels: usize, batch: &'a [f32], group: usize) -> Self {
        let image = channels * chunks.h * chunks.w;
        let first = group * chunks.images;
        let images = chunks.images.min(batch.len() / image - first);
        Self { values: &batch[first * image..][..images * image], channels, images }
    }
}

/// What carries a chunk of a few images to the points.
type Carry = fn(&Chunks, Maps<'_>, usize, &mut [f32]);

/// `[b, c, h, w]` at the points, chunk by chunk of group by group.
fn carried(chunks: &Chunks, [batch, channels]: [usize; 2], x: &[f32], carry: Carry) -> Scratch {
    let len = chunks.len(channels);
    let mut at_points = Scratch::of(chunks.groups(batch) * chunks.count * len);
    cpu::for_chunks(&mut at_points, len, |i, to| {
        carry(chunks, Maps::group(chunks, channels, x, i / chunks.count), i % chunks.count, to);
    });
    at_points
}

cpu::by_vectors! {
    fn carry_inputs(chunks: &Chunks, maps: Maps<'_>, chunk: usize, to: &mut [f32]) = carry_inputs_body
}

#[inline(always)]
fn carry_inputs_body<V: Vector, const FMA: bool>(chunks: &Chunks, maps: Maps<'_>, chunk: usize, to: &mut [f32]) {
    carry::<V, points::Inputs<FMA>, IN>(chunks, maps, chunk, to);
}

cpu::by_vectors! {
    fn carry_gradient(chunks: &Chunks, maps: Maps<'_>, chunk: usize, to: &mut [f32]) = carry_gradient_body
}

#[inline(always)]
fn carry_gradient_body<V: Vector, const FMA: bool>(chunks: &Chunks, maps: Maps<'_>, chunk: usize, to: &mut [f32]) {
    carry::<V, points::OutputsBack<FMA>, OUT>(chunks, maps, chunk, to);
}

/// Tiles of `SIDE` by `SIDE`: four where they are outputs, six with a border of one around them where they are inputs.
/// Channels beyond the last are zeros up to a whole block; tiles that are not there stay what they are.
#[inline(always)]
fn carry<V: Vector, T: Transform<SIDE, IN>, const SIDE: usize>(
    chunks: &Chunks,
    maps: Maps<'_>,
    chunk: usize,
    to: &mut [f32],
) {
    let (&Chunks { h, w, .. }, Maps { values, channels, images }) = (chunks, maps);
    let border = (SIDE - OUT) / 2;
    let (stride, point) = (channels.next_multiple_of(BLOCK), chunks.point(channels));
    let pitch = w + 2 * border;
    // What the tiles of an image see, pixel by pixel, lanes inmost.
    let (first, line) = (OUT * chunk * chunks.rows, pitch * V::LANES);
    let mut seen = vec![0f32; (OUT * chunks.rows_of(chunk) + 2 * border) * line];
    for c in (0..stride).step_by(V::LANES) {
        for (t, image, [y, x]) in chunks.places(images, chunk) {
            if [y, x] == [first, 0] {
                for (i, row) in seen.chunks_exact_mut(line).enumerate() {
                    let (y, row) = (first + i, &mut row[border * V::LANES..][..w * V::LANES]);
                    let inside = (border..h + border).contains(&y);
                    for l in 0..V::LANES {
                        let to = row[l..].iter_mut().step_by(V::LANES);
                        if inside && c + l < channels {
                            let from = &values[((image * channels + c + l) * h + y - border) * w..][..w];
                            to.zip(from).for_each(|(to, from)| *to = *from);
                        } else {
                            to.for_each(|to| *to = 0.0);
                        }
                    }
                }
            }
            let mut tile = [[V::splat(0.0); SIDE]; SIDE];
            for (tile, row) in tile.iter_mut().zip(seen[(y - first) * line..].chunks_exact(line)) {
                for (tile, pixel) in tile.iter_mut().zip(row[x * V::LANES..].chunks_exact(V::LANES)) {
                    *tile = V::load(pixel);
                }
            }
            for (p, v) in both::<V, T, _, _>(&tile).into_iter().flatten().enumerate() {
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

cpu::by_vectors! {
    fn pack_block(weights: Weights<'_>, first: usize, channels: [usize; 2], to: &mut [f32]) = pack_block_body
}

#[inline(always)]
fn pack_block_body<V: Vector, const FMA: bool>(
    weights: Weights<'_>,
    first: usize,
    [c_out, c_in]: [usize; 2],
    to: &mut [f32],
) {
    for c in 0..c_in {
        for part in (0..BLOCK).step_by(V::LANES) {
            let mut windows = [[0f32; BLOCK]; 9];
            for l in 0..V::LANES.min(c_out.saturating_sub(first + part)) {
                let window = weights.window(first + part + l, c, [c_out, c_in]);
                for (k, lanes) in windows.iter_mut().enumerate() {
                    lanes[l] = window[k];
                }
            }
            let mut square = [[V::splat(0.0); 3]; 3];
            for (to, lanes) in square.iter_mut().flatten().zip(&windows) {
                *to = V::load(lanes);
            }
            for (p, u) in both::<V, points::Window<FMA>, _, _>(&square).into_iter().flatten().enumerate() {
                u.store(&mut to[(p * c_in + c) * BLOCK + part..]);
            }
        }
    }
}

/// Output channels that are computed together, and where they go.
#[derive(Debug, Clone, Copy)]
struct Block<'a> {
    /// `[36, c, 16]`.
    weights: &'a [f32],
    /// The bias.
    start: [f32; BLOCK],
    /// How many there are.
    channels: usize,
    /// From one image to the next in the output.
    image: usize,
}

/// `[b, o, h, w]` from the input `[b, c, h, w]` and weights from [`pack`].
pub(super) fn forward(size: &Size, x: &[f32], packed: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let &Size { batch, c_in, c_out, .. } = size;
    let hw = size.h * size.w;
    let block = |o: usize, image: usize| {
        let mut start = [0f32; BLOCK];
        if let Some(bias) = bias {
            start.iter_mut().zip(&bias[o..]).for_each(|(s, b)| *s = *b);
        }
        let len = POINTS * c_in * BLOCK;
        Block { weights: &packed[o / BLOCK * len..][..len], start, channels: BLOCK.min(c_out - o), image }
    };
    let mut y = vec![0f32; batch * c_out * hw];
    let chunks = Chunks::of(size, true);
    if cpu::threads() == 1 || chunks.groups(batch) >= 2 * cpu::threads() {
        // A task is a few images, chunk by chunk, which stays in the cache at the points.
        cpu::for_chunks(&mut y, chunks.images * c_out * hw, |group, y| {
            let maps = Maps::group(&chunks, c_in, x, group);
            let mut at_points = Scratch::of(chunks.len(c_in));
            for chunk in 0..chunks.count {
                carry_inputs(&chunks, maps, chunk, &mut at_points);
                for o in (0..c_out).step_by(BLOCK) {
                    forward_block(&chunks, maps, chunk, &at_points, block(o, c_out * hw), &mut y[o * hw..]);
                }
            }
        });
        return y;
    }
    let chunks = Chunks::of(size, false);
    let at_points = carried(&chunks, [batch, c_in], x, carry_inputs);
    // A task is one block of channels where blocks tile the output, and one image where the last block is short.
    let channels = if c_out.is_multiple_of(BLOCK) { BLOCK } else { c_out };
    cpu::for_chunks(&mut y, channels * hw, |task, y| {
        let (image, first) = (task * channels / c_out, task * channels % c_out);
        let maps = Maps::group(&chunks, c_in, x, image);
        for o in (0..channels).step_by(BLOCK) {
            for chunk in 0..chunks.count {
                let len = chunks.len(c_in);
                let at_points = &at_points[(image * chunks.count + chunk) * len..][..len];
                forward_block(&chunks, maps, chunk, at_points, block(first + o, 0), &mut y[o * hw..]);
            }
        }
    });
    y
}

cpu::by_vectors! {
    /// One block of output channels of one chunk.
    fn forward_block(
        chunks: &Chunks,
        maps: Maps<'_>,
        chunk: usize,
        at_points: &[f32],
        block: Block<'_>,
        y: &mut [f32],
    ) = forward_block_body, wide 8 by 1, narrow 4 by VECTORS
}

#[inline(always)]
fn forward_block_body<V: Vector, const FMA: bool, const R: usize, const N: usize>(
    chunks: &Chunks,
    maps: Maps<'_>,
    chunk: usize,
    at_points: &[f32],
    block: Block<'_>,
    y: &mut [f32],
) {
    let (c_in, images) = (maps.channels, maps.images);
    let (tiles, point, stride) = (chunks.tiles(), chunks.point(c_in), c_in.next_multiple_of(BLOCK));
    let there = chunks.full(images, chunk).next_multiple_of(R);
    let mut products = Scratch::of(POINTS * tiles * BLOCK);
    let points = at_points.chunks_exact(point).zip(block.weights.chunks_exact(c_in * BLOCK));
    for ((v, u), m) in points.zip(products.chunks_exact_mut(tiles * BLOCK)) {
        let (v, m) = (&v[..there * stride], &mut m[..there * BLOCK]);
        for (v, m) in v.chunks_exact(R * stride).zip(m.chunks_exact_mut(R * BLOCK)) {
            let rows: [&[f32]; R] = from_fn(|r| &v[r * stride..][..c_in]);
            for part in (0..BLOCK).step_by(N * V::LANES) {
                product::<V, FMA, R, N>(rows, u, part, m);
            }
        }
    }
    for (t, image, place) in chunks.places(images, chunk) {
        for part in (0..block.channels).step_by(V::LANES) {
            let square = square::<V>(&products[t * BLOCK + part..], tiles * BLOCK);
            let mut out = both::<V, points::Outputs<FMA>, _, _>(&square);
            for v in out.as_flattened_mut() {
                *v = *v + V::load(&block.start[part..]);
            }
            let maps = &mut y[image * block.image..][..block.channels * chunks.h * chunks.w];
            put(chunks, &out, place, part, maps);
        }
    }
}

/// The lanes of every point, which lie `step` apart.
#[inline(always)]
fn square<V: Vector>(from: &[f32], step: usize) -> [[V; IN]; IN] {
    let mut square = [[V::splat(0.0); IN]; IN];
    for (to, from) in square.as_flattened_mut().iter_mut().zip(from.chunks(step)) {
        *to = V::load(from);
    }
    square
}

/// Adds `rows[t][c] * u`, for one channel `c`. No closure: see [`Transform`].
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
fn step<V: Vector, const FMA: bool, const R: usize, const N: usize>(
    mut acc: [[V; N]; R],
    u: [V; N],
    rows: [&[f32]; R],
    c: usize,
) -> [[V; N]; R] {
    for r in 0..R {
        for n in 0..N {
            acc[r][n] = u[n].times::<FMA>(rows[r][c], acc[r][n]);
        }
    }
    acc
}

/// `R` tiles times `N` vectors of output channels at one point: sums over the input channels of `rows[t][c] * u[c]`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
fn product<V: Vector, const FMA: bool, const R: usize, const N: usize>(
    rows: [&[f32]; R],
    u: &[f32],
    part: usize,
    m: &mut [f32],
) {
    let mut acc = [[V::splat(0.0); N]; R];
    // A few channels at a time, so that places are checked once for all of them.
    let channels = u.len() / BLOCK;
    let whole = channels - channels % DEPTH;
    for (u, c) in u.chunks_exact(DEPTH * BLOCK).zip((0..whole).step_by(DEPTH)) {
        let mut few: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            few[r] = &rows[r][c..c + DEPTH];
        }
        for (k, u) in u.chunks_exact(BLOCK).enumerate() {
            acc = step::<V, FMA, R, N>(acc, vectors(&u[part..]), few, k);
        }
    }
    for (u, c) in u.chunks_exact(BLOCK).zip(0..channels).skip(whole) {
        acc = step::<V, FMA, R, N>(acc, vectors(&u[part..]), rows, c);
    }
    for (acc, m) in acc.iter().zip(m.chunks_exact_mut(BLOCK)) {
        for (n, acc) in acc.iter().enumerate() {
            acc.store(&mut m[part + n * V::LANES..]);
        }
    }
}

/// A tile of the channels from `channel` into their maps `[channels, h, w]`, as much of it as lies there.
#[inline(always)]
fn put<V: Vector>(chunks: &Chunks, out: &[[V; OUT]; OUT], [row, column]: [usize; 2], channel: usize, y: &mut [f32]) {
    let mut lanes = [[[0f32; BLOCK]; OUT]; OUT];
    for (to, from) in lanes.iter_mut().flatten().zip(out.as_flattened()) {
        from.store(to);
    }
    let &Chunks { h, w, .. } = chunks;
    for (l, map) in y.chunks_exact_mut(h * w).skip(channel).take(V::LANES).enumerate() {
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
    let &Size { batch, c_in, c_out, .. } = size;
    let chunks = Chunks::of(size, true);
    let x = carried(&chunks, [batch, c_in], x, carry_inputs);
    let dy = carried(&chunks, [batch, c_out], dy, carry_gradient);
    // One task for a block of output channels and some input channels, each over all images in order.
    let deep = c_in.div_ceil(DEEP);
    let len = DEEP * 9 * BLOCK;
    let mut partial = vec![0f32; c_out.div_ceil(BLOCK) * deep * len];
    cpu::for_chunks(&mut partial, len, |task, dw| {
        let (o, c) = (task / deep * BLOCK, task % deep * DEEP);
        weight_block(&chunks, [batch, c_in, c_out], [&x, &dy], [c, o], dw);
    });
    let mut dw = vec![0f32; c_out * c_in * 9];
    cpu::for_chunks(&mut dw, c_in * 9, |o, dw| {
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

cpu::by_vectors! {
    /// The gradients `[64, 9, 16]` of the weights from input channels `first[0]..` to output channels `first[1]..`.
    fn weight_block(
        chunks: &Chunks,
        sizes: [usize; 3],
        maps: [&[f32]; 2],
        first: [usize; 2],
        dw: &mut [f32],
    ) = weight_block_body, wide 8 by 1, narrow 4 by VECTORS
}

#[inline(always)]
fn weight_block_body<V: Vector, const FMA: bool, const R: usize, const N: usize>(
    chunks: &Chunks,
    [batch, c_in, c_out]: [usize; 3],
    [x, dy]: [&[f32]; 2],
    [c, o]: [usize; 2],
    dw: &mut [f32],
) {
    // Channels beyond the last are zeros up to a whole block, and a block is a multiple of the rows of a product.
    let deep = DEEP.min((c_in - c).next_multiple_of(R));
    let strides = [c_in, c_out].map(|n| n.next_multiple_of(BLOCK));
    let mut du = Scratch::of(POINTS * deep * BLOCK);
    du.fill(0.0);
    let all = x.chunks_exact(chunks.len(c_in)).zip(dy.chunks_exact(chunks.len(c_out)));
    for (i, (x, dy)) in all.enumerate() {
        let images = chunks.images.min(batch - i / chunks.count * chunks.images);
        let tiles = chunks.full(images, i % chunks.count);
        let points = x.chunks_exact(chunks.point(c_in)).zip(dy.chunks_exact(chunks.point(c_out)));
        for ((x, dy), du) in points.zip(du.chunks_exact_mut(deep * BLOCK)) {
            let (x, dy) = (&x[..tiles * strides[0]], &dy[..tiles * strides[1]]);
            for (k, du) in du.chunks_exact_mut(R * BLOCK).enumerate() {
                for part in (0..BLOCK).step_by(N * V::LANES) {
                    outer::<V, FMA, R, N>([x, dy], strides, [c + k * R, o + part], &mut du[part..]);
                }
            }
        }
    }
    for (k, dw) in dw.chunks_exact_mut(9 * BLOCK).enumerate().take(deep) {
        for part in (0..BLOCK).step_by(V::LANES) {
            let square = square::<V>(&du[k * BLOCK + part..], deep * BLOCK);
            let window = both::<V, points::WindowBack<FMA>, _, _>(&square);
            for (dw, v) in dw.chunks_exact_mut(BLOCK).zip(window.into_iter().flatten()) {
                v.store(&mut dw[part..]);
            }
        }
    }
}

#[inline(always)]
fn vectors<V: Vector, const N: usize>(from: &[f32]) -> [V; N] {
    let mut vectors = [V::splat(0.0); N];
    for (to, from) in vectors.iter_mut().zip(from.chunks_exact(V::LANES)) {
        *to = V::load(from);
    }
    vectors
}

/// Adds to `du[R][16]` the products of `R` input channels with `N` vectors of output channels, summed over tiles.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
fn outer<V: Vector, const FMA: bool, const R: usize, const N: usize>(
    [x, dy]: [&[f32]; 2],
    [x_stride, dy_stride]: [usize; 2],
    [c, o]: [usize; 2],
    du: &mut [f32],
) {
    let mut acc = [[V::splat(0.0); N]; R];
    for (acc, du) in acc.iter_mut().zip(du.chunks(BLOCK)) {
        *acc = vectors(du);
    }
    for (x, dy) in x.chunks_exact(x_stride).zip(dy.chunks_exact(dy_stride)) {
        let (x, dy) = (&x[c..c + R], vectors::<V, N>(&dy[o..o + N * V::LANES]));
        for r in 0..R {
            for n in 0..N {
                acc[r][n] = dy[n].times::<FMA>(x[r], acc[r][n]);
            }
        }
    }
    for (r, acc) in acc.iter().enumerate() {
        for (n, acc) in acc.iter().enumerate() {
            acc.store(&mut du[r * BLOCK + n * V::LANES..]);
        }
    }
}

#[cfg(test)]
mod tests;
