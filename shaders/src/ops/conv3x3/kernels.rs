//! The CPU kernels of the 3x3 convolution, over plain slices.

use burn::tensor::Shape;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use super::portable::forward_group;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd128::forward_group;
use crate::cpu::{self, LANES, Lane};

/// Output channels that are computed together, so that one load of a pixel serves all of them.
pub(super) const GROUP: usize = 4;
/// Output channels whose weight gradients one task computes.
const WEIGHT_GROUP: usize = 8;
/// Vectors of pixels, at least, whose weight gradients are summed in registers before they are stored.
const CHUNK_VECTORS: usize = 128;

/// The sizes of one convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) batch: usize,
    pub(super) c_in: usize,
    pub(super) c_out: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

impl Size {
    /// From the input `[b, c, h, w]` and the number of output channels.
    pub(super) fn of(x: &Shape, c_out: usize) -> Self {
        Self { batch: x[0], c_in: x[1], c_out, h: x[2], w: x[3] }
    }

    /// Elements from one row of the padded copy to the next.
    pub(super) fn pitch(&self) -> usize {
        self.w + 2
    }

    /// Elements of one padded channel.
    pub(super) fn plane(&self) -> usize {
        (self.h + 2) * self.pitch()
    }
}

/// The input with a border of zeros, `[b, c, h + 2, w + 2]`.
fn pad(size: &Size, x: &[f32]) -> Vec<f32> {
    let (plane, pitch) = (size.plane(), size.pitch());
    let mut padded = vec![0f32; size.batch * size.c_in * plane];
    cpu::for_chunks(&mut padded, size.c_in * plane, |i, image| {
        let source = &x[i * size.c_in * size.h * size.w..][..size.c_in * size.h * size.w];
        for (plane, source) in image.chunks_exact_mut(plane).zip(source.chunks_exact(size.h * size.w)) {
            for (row, source) in plane.chunks_exact_mut(pitch).skip(1).zip(source.chunks_exact(size.w)) {
                row[1..=size.w].copy_from_slice(source);
            }
        }
    });
    padded
}

/// Which weights a convolution uses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weights<'a> {
    /// `[o, c, 9]` as they are.
    Straight(&'a [f32]),
    /// `[c, o, 9]` with input and output channels exchanged and each window turned by half a circle: the gradient with
    /// respect to the input is a convolution with these.
    Turned(&'a [f32]),
}

impl Weights<'_> {
    /// The window from input channel `c` to output channel `o`, of so many output and input channels.
    #[inline(always)]
    pub(super) fn window(self, o: usize, c: usize, [c_out, c_in]: [usize; 2]) -> [f32; 9] {
        let mut window = [0f32; 9];
        match self {
            Self::Straight(weight) => window.copy_from_slice(&weight[(o * c_in + c) * 9..][..9]),
            Self::Turned(weight) => {
                window.copy_from_slice(&weight[(c * c_out + o) * 9..][..9]);
                window.reverse();
            }
        }
        window
    }

    /// The weights as `[o / 4, c, 9, 4]`, missing output channels zero.
    fn pack(self, c_out: usize, c_in: usize) -> Vec<f32> {
        let len = c_in * 9 * GROUP;
        let mut packed = vec![0f32; c_out.div_ceil(GROUP) * len];
        cpu::for_chunks(&mut packed, len, |group, packed| {
            for (i, o) in (group * GROUP..c_out.min((group + 1) * GROUP)).enumerate() {
                for c in 0..c_in {
                    let window = &mut packed[c * 9 * GROUP + i..];
                    let taps = self.window(o, c, [c_out, c_in]);
                    for (target, tap) in window.iter_mut().step_by(GROUP).zip(taps) {
                        *target = tap;
                    }
                }
            }
        });
        packed
    }
}

/// `[b, o, h, w]` from the input `[b, c, h, w]`.
pub(super) fn forward(size: &Size, x: &[f32], weights: Weights<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let padded = pad(size, x);
    let packed = weights.pack(size.c_out, size.c_in);
    let hw = size.h * size.w;
    let mut y = vec![0f32; size.batch * size.c_out * hw];
    // A task is one group of channels where groups tile the output, and one image where the last group is short.
    let channels = if size.c_out.is_multiple_of(GROUP) { GROUP } else { size.c_out };
    cpu::for_chunks(&mut y, channels * hw, |task, y| {
        let (i, first) = (task * channels / size.c_out, task * channels % size.c_out);
        let x = &padded[i * size.c_in * size.plane()..][..size.c_in * size.plane()];
        for (g, y) in y.chunks_mut(GROUP * hw).enumerate() {
            let g = first / GROUP + g;
            let weight = &packed[g * size.c_in * 9 * GROUP..][..size.c_in * 9 * GROUP];
            let mut start = [0f32; GROUP];
            if let Some(bias) = bias {
                start.iter_mut().zip(&bias[g * GROUP..]).for_each(|(s, b)| *s = *b);
            }
            forward_group(size, x, weight, &start, y);
        }
    });
    y
}

/// Eight values from `at`.
#[inline(always)]
pub(super) fn load(x: &[f32], at: usize) -> Lane {
    let mut lane = [0f32; LANES];
    lane.copy_from_slice(&x[at..at + LANES]);
    lane
}

/// `[o, c, 9]`, the gradient of the weights, from the input `[b, c, h, w]` and `dy: [b, o, h, w]`.
pub(super) fn backward_weight(size: &Size, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let padded = pad(size, x);
    let groups = size.c_out.div_ceil(WEIGHT_GROUP);
    // Images in a chunk: by the size of the map and never by the number of cores, which must not change the sum.
    let chunk_len = CHUNK_VECTORS.div_ceil(size.h * size.w / LANES).max(8);
    let chunks = size.batch.div_ceil(chunk_len);
    let (image_x, image_dy) = (size.c_in * size.plane(), size.c_out * size.h * size.w);
    let len = WEIGHT_GROUP * size.c_in * 9;
    // One block for each chunk of images and group of channels, then the sum over chunks in order.
    let mut partial = vec![0f32; chunks * groups * len];
    cpu::for_chunks(&mut partial, len, |i, dw| {
        let (chunk, group) = (i / groups, i % groups);
        let first = chunk * chunk_len;
        let n = chunk_len.min(size.batch - first);
        let x = &padded[first * image_x..][..n * image_x];
        let dy = &dy[first * image_dy..][..n * image_dy];
        weight_group(size, x, dy, group, dw);
    });
    let mut dw = vec![0f32; groups * len];
    for chunk in partial.chunks_exact(groups * len) {
        for (dw, &p) in dw.iter_mut().zip(chunk) {
            *dw += p;
        }
    }
    dw.truncate(size.c_out * size.c_in * 9);
    dw
}

cpu::wide_multiversion! {
    /// The gradient of one group of output channels over a few images, `[8, c, 9]`; eight channels at a time in 32
    /// registers, four in 16.
    fn weight_group(size: &Size, x: &[f32], dy: &[f32], group: usize, dw: &mut [f32])
        = weight_group_body, wide 8, narrow 4
}

#[inline(always)]
fn weight_group_body<const FMA: bool, const M: usize>(
    size: &Size,
    x: &[f32],
    dy: &[f32],
    group: usize,
    dw: &mut [f32],
) {
    let first = group * WEIGHT_GROUP;
    let last = size.c_out.min(first + WEIGHT_GROUP);
    for c in 0..size.c_in {
        for row in 0..3 {
            let mut o = first;
            while o + M <= last {
                weight_tile::<FMA, M>(size, (x, dy), [c, row, o], &mut dw[(o - first) * size.c_in * 9..]);
                o += M;
            }
            while o < last {
                weight_tile::<FMA, 1>(size, (x, dy), [c, row, o], &mut dw[(o - first) * size.c_in * 9..]);
                o += 1;
            }
        }
    }
}

/// Three taps of one window row for `M` output channels from `first` and one input channel.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "plain indices keep the accumulators in registers")]
fn weight_tile<const FMA: bool, const M: usize>(
    size: &Size,
    (x, dy): (&[f32], &[f32]),
    [c, row, first]: [usize; 3],
    dw: &mut [f32],
) {
    let hw = size.h * size.w;
    let mut acc = [[[0f32; LANES]; M]; 3];
    for (x, dy) in x.chunks_exact(size.c_in * size.plane()).zip(dy.chunks_exact(size.c_out * hw)) {
        let x = &x[c * size.plane() + row * size.pitch()..(c + 1) * size.plane()];
        let dy = &dy[first * hw..(first + M) * hw];
        let dy: [&[f32]; M] = std::array::from_fn(|o| &dy[o * hw..(o + 1) * hw]);
        let mut v = 0;
        for x in x.chunks(size.pitch()).take(size.h) {
            for at in (0..size.w).step_by(LANES) {
                let window = &x[at..at + LANES + 2];
                let dy: [Lane; M] = std::array::from_fn(|o| load(dy[o], v));
                for tap in 0..3 {
                    let pixels = load(window, tap);
                    for o in 0..M {
                        for l in 0..LANES {
                            acc[tap][o][l] = cpu::mul_add::<FMA>(dy[o][l], pixels[l], acc[tap][o][l]);
                        }
                    }
                }
                v += LANES;
            }
        }
    }
    for (tap, acc) in acc.iter().enumerate() {
        for (o, acc) in acc.iter().enumerate() {
            dw[(o * size.c_in + c) * 9 + row * 3 + tap] = cpu::sum(acc);
        }
    }
}
