//! What the CPU kernels share: eight lanes, an `exp` that vectorises, and one loop over chunks on all cores.
//!
//! The arithmetic is written over `[f32; 8]`, which the compiler turns into AVX2, NEON or wasm simd128. On x86-64 the
//! entry points are compiled a second time with AVX2 and FMA and chosen at run time.

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Shape, TensorData};

use crate::proof::{KernelOp, may_serve};

/// Lanes of the vectors in these kernels.
pub(crate) const LANES: usize = 8;
/// One vector.
pub(crate) type Lane = [f32; LANES];

/// `a * b + c`, fused where the caller was compiled for it; elsewhere `mul_add` would be a call into libm.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    let fused = FMA && cfg!(not(target_arch = "wasm32")) || cfg!(target_arch = "aarch64");
    if fused { a.mul_add(b, c) } else { a * b + c }
}

/// The numbers of [`exp`].
pub(crate) struct Exp;

impl Exp {
    /// Arguments below are taken for this.
    pub(crate) const LEAST: f32 = -87.0;
    /// Arguments above are taken for this.
    pub(crate) const MOST: f32 = 88.0;
    /// 1.5 * 2^23: adding it rounds to an integer, which then sits in the low bits.
    pub(crate) const ROUND: f32 = 12_582_912.0;
    /// The first part of ln 2, exact in 10 bits.
    pub(crate) const LN2_HIGH: f32 = 0.693_359_4;
    /// The rest of ln 2.
    pub(crate) const LN2_LOW: f32 = -2.121_944_4e-4;
    /// From the highest degree down.
    pub(crate) const POLYNOMIAL: [f32; 7] = [1.388_888_9e-3, 8.333_334e-3, 4.166_666_8e-2, 0.166_666_67, 0.5, 1.0, 1.0];
    /// The bits of 1.0.
    pub(crate) const ONE: u32 = 0x3f80_0000;
}

/// `exp` by range reduction and a polynomial of degree 6; relative error below 3e-7 on [-87, 88], clamped outside.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(Exp::LEAST, Exp::MOST);
    let t = x * std::f32::consts::LOG2_E + Exp::ROUND;
    let n = t - Exp::ROUND;
    let r = x - n * Exp::LN2_HIGH - n * Exp::LN2_LOW;
    let mut p = Exp::POLYNOMIAL[0];
    for c in &Exp::POLYNOMIAL[1..] {
        p = p * r + c;
    }
    p * f32::from_bits((t.to_bits() << 23).wrapping_add(Exp::ONE))
}

/// Shares and slopes below this are as good as 0, and are it. The least that [`exp`] gives is so small that times almost
/// anything it is subnormal, and so is what comes of that; most processors are slow with such numbers.
pub(crate) const LEAST: f32 = 1e-20;

/// Logistic sigmoid, 0 where it is less than [`LEAST`].
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let s = 1.0 / (1.0 + exp(-x));
    if s < LEAST { 0.0 } else { s }
}

/// Threads that chunks are shared among.
pub(crate) fn threads() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}

/// Calls `f(i, a_i, b_i)` for the i-th chunk of both slices, on all cores where there are threads.
///
/// A single chunk, or a single thread, is the caller's own: to wake another one takes longer than most chunks.
/// Which chunk gets which core never changes what is computed: each call owns its outputs.
pub(crate) fn for_chunks2(
    a: &mut [f32],
    a_len: usize,
    b: &mut [f32],
    b_len: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    #[cfg(feature = "rayon")]
    if a.len() > a_len && rayon::current_num_threads() > 1 {
        use rayon::prelude::*;
        return a.par_chunks_mut(a_len).zip(b.par_chunks_mut(b_len)).enumerate().for_each(|(i, (a, b))| f(i, a, b));
    }
    a.chunks_mut(a_len).zip(b.chunks_mut(b_len)).enumerate().for_each(|(i, (a, b))| f(i, a, b));
}

/// Calls `f(i, a_i)` for the i-th chunk, on all cores where there are threads.
pub(crate) fn for_chunks(a: &mut [f32], len: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(feature = "rayon")]
    if a.len() > len && rayon::current_num_threads() > 1 {
        use rayon::prelude::*;
        return a.par_chunks_mut(len).enumerate().for_each(|(i, a)| f(i, a));
    }
    a.chunks_mut(len).enumerate().for_each(|(i, a)| f(i, a));
}

/// Compiles `$body` twice on x86-64, plainly and with AVX2 and FMA, and calls the one this processor has. In a browser's
/// program with simd128 it has the multiply-adds of relaxed-simd.
macro_rules! multiversion {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        #[inline]
        fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($arg: $ty),*) {
                    $body::<true>($($arg),*);
                }
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "a call into code compiled for features that were just detected")]
                    // SAFETY: the processor has AVX2 and FMA.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            {
                #[target_feature(enable = "relaxed-simd")]
                fn relaxed($($arg: $ty),*) {
                    $body::<true>($($arg),*);
                }
                relaxed($($arg),*);
            }
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            $body::<false>($($arg),*);
        }
    };
}
pub(crate) use multiversion;

/// Compiles `$body` three times on x86-64 and calls the widest this processor has: with the 32 registers of AVX-512 VL,
/// with the 16 of AVX2 and FMA, and plainly. The number is the body's last constant.
macro_rules! wide_multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?)
        = $body:ident, wide $wide:literal, narrow $narrow:literal) => {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
                fn wide($($arg: $ty),*) {
                    $body::<true, $wide>($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn narrow($($arg: $ty),*) {
                    $body::<true, $narrow>($($arg),*);
                }
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                    if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl") {
                        #[expect(unsafe_code, reason = "code compiled for features that were just detected")]
                        // SAFETY: the processor has AVX-512 F and VL, AVX2 and FMA.
                        return unsafe { wide($($arg),*) };
                    }
                    #[expect(unsafe_code, reason = "code compiled for features that were just detected")]
                    // SAFETY: the processor has AVX2 and FMA.
                    return unsafe { narrow($($arg),*) };
                }
            }
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            {
                #[target_feature(enable = "relaxed-simd")]
                fn relaxed($($arg: $ty),*) {
                    $body::<true, $narrow>($($arg),*);
                }
                relaxed($($arg),*);
            }
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            $body::<false, $narrow>($($arg),*);
        }
    };
}
pub(crate) use wide_multiversion;

/// Compiles `$body` three times on x86-64, over vectors of sixteen with AVX-512, over vectors of eight with AVX2 and FMA, and
/// over such plainly, and calls the widest this processor has. The numbers, if any, are the body's last constants: rows
/// and vectors that it computes together.
macro_rules! by_vectors {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident
        $(, wide $wide_rows:literal by $wide:literal, narrow $rows:literal by $narrow:expr)?) => {
        $(#[$doc])*
        fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
                fn wide($($arg: $ty),*) {
                    $body::<$crate::vector::Sixteen, true $(, $wide_rows, $wide)?>($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn narrow($($arg: $ty),*) {
                    $body::<$crate::vector::Eight, true $(, $rows, { $narrow })?>($($arg),*);
                }
                if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                    if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl") {
                        #[expect(unsafe_code, reason = "code compiled for features that were just detected")]
                        // SAFETY: the processor has AVX-512 F and VL, AVX2 and FMA.
                        return unsafe { wide($($arg),*) };
                    }
                    #[expect(unsafe_code, reason = "code compiled for features that were just detected")]
                    // SAFETY: the processor has AVX2 and FMA.
                    return unsafe { narrow($($arg),*) };
                }
            }
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            {
                #[target_feature(enable = "relaxed-simd")]
                fn relaxed($($arg: $ty),*) {
                    $body::<$crate::vector::Eight, true $(, $rows, { $narrow })?>($($arg),*);
                }
                relaxed($($arg),*);
            }
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            $body::<$crate::vector::Eight, false $(, $rows, { $narrow })?>($($arg),*);
        }
    };
}
pub(crate) use by_vectors;

/// Whether the CPU kernels of `op` take `x` as far as its numbers go.
pub(crate) fn serves(op: KernelOp, x: &FlexTensor) -> bool {
    x.dtype() == DType::F32 && may_serve(op)
}

/// The values of a contiguous f32 tensor.
pub(crate) fn slice(t: &FlexTensor) -> &[f32] {
    t.as_slice::<f32>().expect("the caller made it contiguous f32")
}

/// A tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The sum of a slice whose length is a multiple of [`LANES`], in eight partial sums.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut acc = [0f32; LANES];
    for chunk in values.chunks_exact(LANES) {
        for (a, v) in acc.iter_mut().zip(chunk) {
            *a += v;
        }
    }
    acc.iter().sum()
}

#[cfg(test)]
pub(crate) fn wave<const D: usize>(shape: [usize; D], seed: f32) -> FlexTensor {
    tensor((0..shape.iter().product()).map(|i| (i as f32 * 1.7 + seed).sin()).collect(), Shape::new(shape))
}

#[cfg(test)]
#[track_caller]
pub(crate) fn close(got: &FlexTensor, want: &FlexTensor) {
    let [got, want] = [got, want].map(FlexTensor::to_contiguous);
    assert_eq!(got.layout().shape(), want.layout().shape());
    let pairs = slice(&got).iter().zip(slice(&want));
    assert!(pairs.clone().all(|(g, w)| (g - w).abs() <= 1e-5 * w.abs().max(1.0)), "{:?}", pairs.collect::<Vec<_>>());
}
