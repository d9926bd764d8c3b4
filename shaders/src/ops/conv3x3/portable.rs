//! The CPU kernel of the 3x3 convolution over vectors of eight, which the compiler turns into AVX-512, AVX2 or NEON.

use super::kernels::{GROUP, Size, load};
use crate::cpu::{self, LANES, Lane};

/// Vectors in a channel of the output.
fn vectors(size: &Size) -> usize {
    size.h * size.w / LANES
}

/// Where the window of output vector `v` begins in a padded channel.
fn offset(size: &Size, v: usize) -> usize {
    let per_row = size.w / LANES;
    v / per_row * size.pitch() + v % per_row * LANES
}

cpu::wide_multiversion! {
    /// One group of output channels of one image; four vectors of pixels at a time in 32 registers, two in 16.
    pub(super) fn forward_group(size: &Size, x: &[f32], weight: &[f32], start: &[f32; GROUP], y: &mut [f32])
        = forward_group_body, wide 4, narrow 2
}

#[inline(always)]
fn forward_group_body<const FMA: bool, const N: usize>(
    size: &Size,
    x: &[f32],
    weight: &[f32],
    start: &[f32; GROUP],
    y: &mut [f32],
) {
    let vectors = vectors(size);
    let mut v = 0;
    while v + N <= vectors {
        forward_tile::<FMA, N>(size, x, weight, start, y, v);
        v += N;
    }
    while v < vectors {
        forward_tile::<FMA, 1>(size, x, weight, start, y, v);
        v += 1;
    }
}

/// Output vectors `v .. v + N` of one group of channels.
#[inline(always)]
fn forward_tile<const FMA: bool, const N: usize>(
    size: &Size,
    x: &[f32],
    weight: &[f32],
    start: &[f32; GROUP],
    y: &mut [f32],
    v: usize,
) {
    let (hw, pitch) = (size.h * size.w, size.pitch());
    let offsets: [usize; N] = std::array::from_fn(|j| offset(size, v + j));
    let mut acc: [[Lane; N]; GROUP] = std::array::from_fn(|o| [[start[o]; LANES]; N]);
    for (x, weight) in x.chunks_exact(size.plane()).zip(weight.chunks_exact(9 * GROUP)) {
        for tap in 0..9 {
            let at = tap / 3 * pitch + tap % 3;
            let pixels: [Lane; N] = std::array::from_fn(|j| load(x, offsets[j] + at));
            for o in 0..GROUP {
                let weight = weight[tap * GROUP + o];
                for j in 0..N {
                    for l in 0..LANES {
                        acc[o][j][l] = cpu::mul_add::<FMA>(weight, pixels[j][l], acc[o][j][l]);
                    }
                }
            }
        }
    }
    for (o, y) in y.chunks_exact_mut(hw).enumerate() {
        for j in 0..N {
            y[(v + j) * LANES..][..LANES].copy_from_slice(&acc[o][j]);
        }
    }
}
