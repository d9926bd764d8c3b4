//! The CPU kernels of a convolution with many channels on a processor with [tiles](crate::tiles).
//!
//! Images lie one after the other in one long row of positions: a pixel after the other, a zero at the end of each row, a
//! row of zeros at the end of each image. There every tap of the window is a product of matrices whose pixels lie a fixed
//! way off, and the nine of them are one sum. What is computed at the zeros is left behind.

use super::kernels::{Size, Weights};
use crate::cpu;
use crate::scratch::Scratch;
use crate::tiles::words::{pair, split, turn};
use crate::tiles::{self, DEPTH, QUAD, SIDE, Side, Spread, Square, Steps, TILE, Tiles};

/// With fewer channels on either side than this most of a tile would be zeros.
const LEAST_CHANNELS: usize = 16;
/// Positions that one task takes, about: what it packs stays in its cache.
const POSITIONS: usize = 512;

/// Whether these kernels are the faster ones.
pub(super) fn pays(size: &Size) -> bool {
    tiles::there() && size.c_in >= LEAST_CHANNELS && size.c_out >= LEAST_CHANNELS
}

/// How images lie.
#[derive(Debug, Clone, Copy)]
struct Row {
    h: usize,
    w: usize,
    /// Positions from one row of pixels to the next.
    pitch: usize,
    /// Positions from one image to the next.
    image: usize,
    /// Zeros before the first pixel: at least what the first window sees, and even.
    guard: usize,
    images: usize,
}

impl Row {
    fn of(size: &Size, images: usize) -> Self {
        let (pitch, image) = (size.w + 1, (size.h + 1) * (size.w + 1));
        Self { h: size.h, w: size.w, pitch, image, guard: (pitch + 1).next_multiple_of(2), images }
    }

    /// Blocks of positions from the first pixel to the last.
    fn blocks(&self) -> usize {
        (self.images * self.image).div_ceil(SIDE)
    }

    /// Positions in all, so many that the lines of a tile, which lie apart by these times two, do not fall on each other in a
    /// cache.
    fn len(&self) -> usize {
        (self.guard + self.blocks() * SIDE + self.guard).next_multiple_of(16) + 8
    }

    /// From the first position of a block's outputs to what tap `[y, x]` of their windows sees, after the guard's first.
    fn tap(&self, tap: usize) -> usize {
        self.guard - self.pitch - 1 + tap / 3 * self.pitch + tap % 3
    }

    /// Calls `row` for each row of pixels of one channel of every image, with where it lies.
    #[inline(always)]
    fn rows<'x>(&self, maps: Maps<'x>, channel: usize, mut row: impl FnMut(usize, &'x [f32])) {
        for image in 0..self.images {
            let map = &maps.values[(image * maps.channels + channel) * self.h * self.w..][..self.h * self.w];
            for (y, pixels) in map.chunks_exact(self.w).enumerate() {
                row(self.guard + image * self.image + y * self.pitch, pixels);
            }
        }
    }

    /// The pixels among a block of positions: where in the block, how many, and where they go in images of so many values.
    fn pixels(self, block: usize, image_len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let (first, end) = (block * SIDE, ((block + 1) * SIDE).min(self.images * self.image));
        let mut at = first;
        std::iter::from_fn(move || {
            while at < end {
                let (start, image, rest) = (at, at / self.image, at % self.image);
                let (y, x) = (rest / self.pitch, rest % self.pitch);
                at = (at + self.pitch - x).min(end);
                if y < self.h && x < self.w {
                    let count = (self.w - x).min(at - start);
                    return Some((start - first, count, image * image_len + y * self.w + x));
                }
            }
            None
        })
    }
}

/// Images one after the other, `[images, channels, h, w]`.
#[derive(Debug, Clone, Copy)]
struct Maps<'a> {
    values: &'a [f32],
    channels: usize,
}

cpu::wide_multiversion! {
    /// Two channels as pairs, high parts of all positions and then low ones; zeros for a channel that is none.
    fn pack_pair(row: &Row, maps: Maps<'_>, first: usize, to: &mut [u32]) = pack_pair_body, wide 1, narrow 1
}

#[inline(always)]
fn pack_pair_body<const FMA: bool, const WIDE: usize>(row: &Row, maps: Maps<'_>, first: usize, to: &mut [u32]) {
    to.fill(0);
    let (high, low) = to.split_at_mut(row.len());
    if first < maps.channels {
        row.rows(maps, first, |at, pixels| {
            for ((v, high), low) in pixels.iter().zip(&mut high[at..]).zip(&mut low[at..]) {
                let [a, b] = split(*v);
                [*high, *low] = [a >> 16, b >> 16];
            }
        });
    }
    if first + 1 < maps.channels {
        row.rows(maps, first + 1, |at, pixels| {
            for ((v, high), low) in pixels.iter().zip(&mut high[at..]).zip(&mut low[at..]) {
                let [a, b] = split(*v);
                (*high, *low) = (*high | a, *low | b);
            }
        });
    }
}

cpu::wide_multiversion! {
    /// One channel, high parts of all positions and then low ones, two positions a word.
    fn pack_plain(row: &Row, maps: Maps<'_>, channel: usize, to: &mut [u32]) = pack_plain_body, wide 1, narrow 1
}

#[inline(always)]
fn pack_plain_body<const FMA: bool, const WIDE: usize>(row: &Row, maps: Maps<'_>, channel: usize, to: &mut [u32]) {
    to.fill(0);
    if channel >= maps.channels {
        return;
    }
    let halves: &mut [u16] = bytemuck::cast_slice_mut(to);
    let (high, low) = halves.split_at_mut(row.len());
    row.rows(maps, channel, |at, pixels| {
        for ((v, high), low) in pixels.iter().zip(&mut high[at..]).zip(&mut low[at..]) {
            [*high, *low] = split(*v).map(|part| (part >> 16) as u16);
        }
    });
}

/// The weights as [packed](tiles::Packed) rows: by 32 output channels, by taps, by 32 input channels.
pub(super) fn pack(weights: Weights<'_>, size: &Size) -> Vec<f32> {
    let &Size { c_in, c_out, .. } = size;
    let deep = c_in.div_ceil(DEPTH);
    let len = 9 * deep * QUAD;
    let mut packed = vec![0f32; c_out.div_ceil(SIDE) * len];
    cpu::for_chunks(&mut packed, len, |block, to| {
        let to: &mut [u32] = bytemuck::cast_slice_mut(to);
        let window = |o, c| if c < c_in { weights.window(o, c, [c_out, c_in]) } else { [0.0; 9] };
        for (i, o) in (block * SIDE..c_out.min((block + 1) * SIDE)).enumerate() {
            for c in (0..c_in).step_by(2) {
                let at = c / DEPTH * QUAD + i * 16 + c % DEPTH / 2;
                for (tap, (a, b)) in window(o, c).into_iter().zip(window(o, c + 1)).enumerate() {
                    let at = at + tap * deep * QUAD;
                    [to[at], to[at + 2 * TILE]] = pair(a, b);
                }
            }
        }
    });
    packed
}

/// What the outputs of a few images are computed from.
struct Inputs<'a> {
    row: Row,
    /// Pairs of input channels.
    pairs: &'a [u32],
    steps: Steps,
}

impl<'a> Inputs<'a> {
    fn new(row: Row, channels: usize, pairs: &'a [u32]) -> Self {
        let line = 2 * row.len();
        let deep = channels.div_ceil(DEPTH);
        let offsets = (0..9 * deep).map(|i| 4 * (i % deep * 16 * line + row.tap(i / deep)));
        Self { row, pairs, steps: offsets.collect::<Vec<_>>().into() }
    }

    /// Values of the pairs of so many channels.
    fn len(row: &Row, channels: usize) -> usize {
        channels.div_ceil(DEPTH) * 16 * 2 * row.len()
    }

    /// Output channels from `first`, as many as there are in `y`, from image to image `image_len` values apart.
    fn convolve(&self, packed: &[f32], bias: Option<&[f32]>, channels: [usize; 2], image_len: usize, y: &mut [f32]) {
        let (row, hw) = (&self.row, self.row.h * self.row.w);
        let [first, count] = channels;
        let line = 4 * 2 * row.len();
        let spread = Spread { words: self.pairs, line, neighbour: 64, low: line / 2 };
        let packed: &[u32] = bytemuck::cast_slice(packed);
        let len = self.steps.count() * QUAD;
        let (tiles, mut square): (_, Square) = (Tiles::here(), [0.0; SIDE * SIDE]);
        for block in 0..row.blocks() {
            for o in (first..first + count).step_by(SIDE) {
                let packed = &packed[o / SIDE * len..][..len];
                tiles.product(Side::Rows, packed, (&spread, 4 * block * SIDE), &self.steps, &mut square);
                for (o, sums) in (o..first + count).zip(square.chunks_exact(SIDE)) {
                    let bias = bias.map_or(0.0, |bias| bias[o]);
                    for (at, count, to) in row.pixels(block, image_len) {
                        let y = &mut y[(o - first) * hw + to..][..count];
                        y.iter_mut().zip(&sums[at..]).for_each(|(y, sum)| *y = sum + bias);
                    }
                }
            }
        }
    }
}

/// `[b, o, h, w]` from the input `[b, c, h, w]` and weights from [`pack`].
pub(super) fn forward(size: &Size, x: &[f32], packed: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let &Size { batch, c_in, c_out, .. } = size;
    let hw = size.h * size.w;
    let mut y = vec![0f32; batch * c_out * hw];
    let images = (POSITIONS / Row::of(size, 1).image).clamp(1, batch.max(1));
    if batch >= 2 * images * cpu::threads() {
        // A task is a few images.
        cpu::for_chunks(&mut y, images * c_out * hw, |group, y| {
            let values = &x[group * images * c_in * hw..][..y.len() / c_out * c_in];
            let row = Row::of(size, y.len() / (c_out * hw));
            let mut pairs = Scratch::of(Inputs::len(&row, c_in));
            for (pair, to) in pairs.chunks_exact_mut(2 * row.len()).enumerate() {
                pack_pair(&row, Maps { values, channels: c_in }, 2 * pair, bytemuck::cast_slice_mut(to));
            }
            let inputs = Inputs::new(row, c_in, bytemuck::cast_slice(&pairs));
            inputs.convolve(packed, bias, [0, c_out], c_out * hw, y);
        });
        return y;
    }
    // A task is some channels of an image where these are whole blocks, and else all of them.
    let row = Row::of(size, 1);
    let image = Inputs::len(&row, c_in);
    let mut pairs = Scratch::of(batch * image);
    let planes = image / (2 * row.len());
    cpu::for_chunks(&mut pairs, 2 * row.len(), |i, to| {
        let values = &x[i / planes * c_in * hw..][..c_in * hw];
        pack_pair(&row, Maps { values, channels: c_in }, 2 * (i % planes), bytemuck::cast_slice_mut(to));
    });
    let channels = if c_out.is_multiple_of(SIDE) { SIDE } else { c_out };
    cpu::for_chunks(&mut y, channels * hw, |task, y| {
        let (i, first) = (task * channels / c_out, task * channels % c_out);
        let inputs = Inputs::new(row, c_in, bytemuck::cast_slice(&pairs[i * image..][..image]));
        inputs.convolve(packed, bias, [first, channels], 0, y);
    });
    y
}

/// All channels of all images as [`pack_plain`] lays them, up to whole blocks of channels.
fn packed_plain(row: &Row, values: &[f32], channels: usize) -> Scratch {
    let mut plain = Scratch::of(channels.next_multiple_of(SIDE) * row.len());
    cpu::for_chunks(&mut plain, row.len(), |channel, to| {
        pack_plain(row, Maps { values, channels }, channel, bytemuck::cast_slice_mut(to));
    });
    plain
}

/// `[o, c, 9]`, the gradient of the weights, from the input `[b, c, h, w]` and `dy: [b, o, h, w]`.
pub(super) fn backward_weight(size: &Size, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let &Size { batch, c_in, c_out, .. } = size;
    let row = Row::of(size, batch);
    let (x, dy) = (packed_plain(&row, x, c_in), packed_plain(&row, dy, c_out));
    let (x, dy): (&[u32], &[u32]) = (bytemuck::cast_slice(&x), bytemuck::cast_slice(&dy));
    // The outputs' gradients as packed columns, a word a pair of positions.
    let block = row.blocks() * QUAD;
    let mut columns = Scratch::of(c_out.div_ceil(SIDE) * block);
    cpu::for_chunks(&mut columns, QUAD, |i, to| {
        let (o, at) = (i / row.blocks() * SIDE, (row.guard + i % row.blocks() * SIDE) / 2);
        let (high, low) = bytemuck::cast_slice_mut(to).split_at_mut(2 * TILE);
        for (half, (high, low)) in high.chunks_exact_mut(TILE).zip(low.chunks_exact_mut(TILE)).enumerate() {
            let from = &dy[(o + 16 * half) * row.len()..];
            turn(&from[at..], row.len(), high);
            turn(&from[at + row.len() / 2..], row.len(), low);
        }
    });
    let columns: &[u32] = bytemuck::cast_slice(&columns);
    // A task is a tap, 32 input channels and 32 outputs.
    let [inputs, outputs] = [c_in, c_out].map(|channels| channels.div_ceil(SIDE));
    let steps: Steps = (0..row.blocks()).map(|block| 2 * block * SIDE).collect::<Vec<_>>().into();
    let line = 4 * row.len();
    let mut squares = Scratch::of(9 * inputs * outputs * SIDE * SIDE);
    cpu::for_chunks(&mut squares, SIDE * SIDE, |i, square| {
        let (tap, c, o) = (i / (inputs * outputs), i / outputs % inputs, i % outputs);
        let first = c * SIDE * line + 2 * row.tap(tap);
        let spread = Spread { words: x, line, neighbour: 16 * line, low: line / 2 };
        let square = square.try_into().expect("a chunk is a square");
        Tiles::here().product(Side::Columns, &columns[o * block..][..block], (&spread, first), &steps, square);
    });
    let mut dw = vec![0f32; c_out * c_in * 9];
    cpu::for_chunks(&mut dw, c_in * 9, |o, dw| {
        for (c, window) in dw.chunks_exact_mut(9).enumerate() {
            for (tap, dw) in window.iter_mut().enumerate() {
                let square = (tap * inputs + c / SIDE) * outputs + o / SIDE;
                *dw = squares[(square * SIDE + c % SIDE) * SIDE + o % SIDE];
            }
        }
    });
    dw
}

#[cfg(test)]
mod tests {
    use burn::tensor::Shape;

    use super::super::{kernels, winograd};
    use super::*;

    fn wave(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
    }

    /// Blocks of channels that are full, short and several; images that are many, single, and more than a task takes.
    const SHAPES: [([usize; 4], usize); 8] = [
        ([1, 16, 8, 8], 16),
        ([2, 19, 13, 24], 17),
        ([3, 70, 3, 8], 48),
        ([1, 33, 16, 16], 64),
        ([5, 16, 1, 40], 21),
        ([1, 130, 4, 8], 32),
        ([37, 16, 8, 8], 40),
        ([43, 24, 5, 8], 16),
    ];

    /// The root of the mean square of the difference, as a part of that of `want`.
    fn error(got: &[f32], want: &[f32]) -> f64 {
        assert_eq!(got.len(), want.len());
        let square = |v: f64| v * v;
        let difference: f64 = got.iter().zip(want).map(|(&g, &w)| square(f64::from(g) - f64::from(w))).sum();
        (difference / want.iter().map(|&w| square(f64::from(w))).sum::<f64>()).sqrt()
    }

    /// Also where there are no tiles: the loops that stand for them take everything else to the test.
    #[test]
    fn agrees_with_the_direct_kernel_forwards_and_backwards() {
        for (shape, o) in SHAPES {
            let [b, c, h, w] = shape;
            let size = Size::of(&Shape::new(shape), o);
            let (x, dy) = (wave(b * c * h * w, 0.3), wave(b * o * h * w, 1.9));
            let (weight, bias) = (wave(o * c * 9, 1.1), wave(o, 2.0));
            for weights in [Weights::Straight(&weight), Weights::Turned(&weight)] {
                let want = kernels::forward(&size, &x, weights, Some(&bias));
                let got = forward(&size, &x, &pack(weights, &size), Some(&bias));
                assert!(error(&got, &want) < 4e-6, "{shape:?} to {o}: {}", error(&got, &want));
            }
            let (got, want) = (backward_weight(&size, &x, &dy), kernels::backward_weight(&size, &x, &dy));
            assert!(error(&got, &want) < 4e-6, "{shape:?} to {o}, weights: {}", error(&got, &want));
        }
    }

    /// Not a test of speed but of what it is: printed with `--nocapture --ignored`.
    #[test]
    #[ignore = "prints times"]
    fn times() {
        for ([b, c, h, w], o) in [([16, 64, 16, 16], 64), ([16, 96, 8, 8], 96), ([16, 192, 8, 8], 96), ([16, 128, 16, 16], 64), ([16, 32, 32, 32], 16), ([8, 64, 32, 32], 64), ([16, 128, 16, 16], 128)] {
            let size = Size::of(&Shape::new([b, c, h, w]), o);
            let (x, dy, weight) = (wave(b * c * h * w, 0.3), wave(b * o * h * w, 1.9), wave(o * c * 9, 1.1));
            let time = |f: &dyn Fn()| {
                let mut times: Vec<f64> = (0..30).map(|_| { let t = std::time::Instant::now(); f(); t.elapsed().as_secs_f64() * 1e3 }).collect();
                times.sort_by(f64::total_cmp);
                times[15]
            };
            let weights = Weights::Straight(&weight);
            let (p, q) = (pack(weights, &size), winograd::pack(weights, &size));
            println!("{b} {c} {h} {w} -> {o}: pack {:.3} {:.3} forward {:.3} {:.3} dw {:.3} {:.3}",
                time(&|| drop(pack(weights, &size))), time(&|| drop(winograd::pack(weights, &size))),
                time(&|| drop(forward(&size, &x, &p, None))), time(&|| drop(winograd::forward(&size, &x, &q, None))),
                time(&|| drop(backward_weight(&size, &x, &dy))), time(&|| drop(winograd::backward_weight(&size, &x, &dy))));
        }
    }
}
