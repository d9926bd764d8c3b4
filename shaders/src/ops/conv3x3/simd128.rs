//! The CPU kernel of the 3x3 convolution in a browser: four output channels by eight pixels in sixteen registers.
//!
//! Written with intrinsics, because the compiler vectorises the portable body there only by luck: the program of a page
//! is optimised for size, and its vectors are half as wide.

use std::arch::wasm32::{f32x4_relaxed_madd, f32x4_splat, v128, v128_load, v128_load32_splat, v128_store};

use super::kernels::{GROUP, Size};

/// Lanes of a vector.
const LANES: usize = 4;
/// Vectors of a row that are computed together.
const VECTORS: usize = 2;

/// One group of output channels of one image, as `kernels::forward_group`.
#[target_feature(enable = "relaxed-simd")]
#[expect(unsafe_code, reason = "loads and stores at places that were checked a slice at a time")]
pub(super) fn forward_group(size: &Size, x: &[f32], weight: &[f32], start: &[f32; GROUP], y: &mut [f32]) {
    let (hw, pitch, step) = (size.h * size.w, size.pitch(), LANES * VECTORS);
    assert_eq!(y.len() % hw, 0, "whole channels");
    for (row, column) in (0..size.h).flat_map(|row| (0..size.w / step).map(move |column| (row, column * step))) {
        let mut acc: [[v128; VECTORS]; GROUP] = start.map(|s| [f32x4_splat(s); VECTORS]);
        for (x, weight) in x.chunks_exact(size.plane()).zip(weight.chunks_exact(9 * GROUP)) {
            let window = &x[row * pitch + column..][..2 * pitch + 2 + step];
            for tap in 0..9 {
                let at = tap / 3 * pitch + tap % 3;
                let pixels: [v128; VECTORS] = std::array::from_fn(|j| {
                    // SAFETY: at + 4 j + 4 <= 2 pitch + 2 + step, the length of the window.
                    unsafe { v128_load(window.as_ptr().add(at + LANES * j).cast()) }
                });
                for (o, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: tap < 9 and o < GROUP, and the chunk has 9 * GROUP values.
                    let weight = unsafe { v128_load32_splat(weight.as_ptr().add(tap * GROUP + o).cast()) };
                    for (acc, pixels) in acc.iter_mut().zip(pixels) {
                        *acc = f32x4_relaxed_madd(weight, pixels, *acc);
                    }
                }
            }
        }
        for (y, acc) in y.chunks_exact_mut(hw).zip(acc) {
            let y = &mut y[row * size.w + column..][..step];
            for (j, acc) in acc.into_iter().enumerate() {
                // SAFETY: 4 j + 4 <= step, the length of the slice.
                unsafe { v128_store(y.as_mut_ptr().add(LANES * j).cast(), acc) };
            }
        }
    }
}
