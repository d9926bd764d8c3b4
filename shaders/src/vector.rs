//! Eight or sixteen `f32` in one value, for kernels whose vectors the compiler does not find by itself.
//!
//! Elsewhere an array, which becomes AVX-512, AVX2 or NEON where the function around it was compiled for that; in a
//! browser two vectors of simd128, written with intrinsics.

use std::ops::{Add, Div, Mul, Sub};

use crate::cpu;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use array as lanes;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use simd128 as lanes;

/// Eight values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eight(lanes::Lanes);

/// What kernels ask of vectors that have different lanes on different processors.
pub(crate) trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> {
    /// Values in it.
    const LANES: usize;

    /// The same value in all lanes.
    fn splat(value: f32) -> Self;

    /// The first values of `from`.
    fn load(from: &[f32]) -> Self;

    /// Into the first places of `to`.
    fn store(self, to: &mut [f32]);

    /// `self * by + to`, fused if `FMA`.
    fn times<const FMA: bool>(self, by: f32, to: Self) -> Self;
}

impl Vector for Eight {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(lanes::splat(value))
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        Self(lanes::load(&from[..8]))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        lanes::store(self.0, &mut to[..8]);
    }

    #[inline(always)]
    fn times<const FMA: bool>(self, by: f32, to: Self) -> Self {
        Self(lanes::mul_add::<FMA>(self.0, lanes::splat(by), to.0))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Sixteen;

impl Eight {
    /// The greater one of each pair.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        Self(lanes::max(self.0, other.0))
    }

    /// The lesser one of each pair.
    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        Self(lanes::min(self.0, other.0))
    }

    /// [`crate::cpu::exp`].
    #[inline(always)]
    pub(crate) fn exp(self) -> Self {
        Self(lanes::exp(self.0))
    }

    /// What is less than [`cpu::LEAST`] is 0; of what is not negative.
    #[inline(always)]
    pub(crate) fn or_nothing(self) -> Self {
        // In this order, so that what is no number stays none.
        Self::splat(0.0).max(self - Self::splat(cpu::LEAST))
    }

    /// [`cpu::sigmoid`].
    #[inline(always)]
    pub(crate) fn sigmoid(self) -> Self {
        let one = Self::splat(1.0);
        (one / (one + (Self::splat(0.0) - self).exp())).or_nothing()
    }

    /// `x sigmoid(x)`.
    #[inline(always)]
    pub(crate) fn silu(self) -> Self {
        self * self.sigmoid()
    }

    /// The lanes.
    #[inline(always)]
    pub(crate) fn lanes(self) -> [f32; 8] {
        let mut lanes = [0f32; 8];
        self.store(&mut lanes);
        lanes
    }
}

impl Mul for Eight {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(lanes::mul(self.0, other.0))
    }
}

impl Div for Eight {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(lanes::div(self.0, other.0))
    }
}

impl Add for Eight {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(lanes::add(self.0, other.0))
    }
}

impl Sub for Eight {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(lanes::sub(self.0, other.0))
    }
}

/// With intrinsics: of arrays of sixteen the compiler makes gathers and scatters.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
    };
    use std::ops::{Add, Sub};

    use super::Vector;

    /// Sixteen values. Only functions that are compiled for AVX-512 F, and called where it was detected, may have any:
    /// those that [`crate::cpu::by_vectors`] makes.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Sixteen(__m512);

    #[expect(unsafe_code, reason = "intrinsics of a feature that was detected by whoever has such a vector")]
    impl Vector for Sixteen {
        const LANES: usize = 16;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: the processor has AVX-512 F, as the type says.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        fn load(from: &[f32]) -> Self {
            let from = from[..16].as_ptr();
            // SAFETY: as above; the slice has sixteen values, and this load needs no alignment.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            let to = to[..16].as_mut_ptr();
            // SAFETY: as above; the slice has sixteen places, and this store needs no alignment.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        fn times<const FMA: bool>(self, by: f32, to: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(self.0, _mm512_set1_ps(by), to.0) })
        }
    }

    #[expect(unsafe_code, reason = "intrinsics of a feature that was detected by whoever has such a vector")]
    impl Add for Sixteen {
        type Output = Self;

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: the processor has AVX-512 F, as the type says.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
    }

    #[expect(unsafe_code, reason = "intrinsics of a feature that was detected by whoever has such a vector")]
    impl Sub for Sixteen {
        type Output = Self;

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: the processor has AVX-512 F, as the type says.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod array {
    pub(super) type Lanes = [f32; 8];

    #[inline(always)]
    pub(super) fn splat(value: f32) -> Lanes {
        [value; 8]
    }

    #[inline(always)]
    pub(super) fn load(from: &[f32]) -> Lanes {
        let mut lanes = [0f32; 8];
        lanes.copy_from_slice(from);
        lanes
    }

    #[inline(always)]
    pub(super) fn store(a: Lanes, to: &mut [f32]) {
        to.copy_from_slice(&a);
    }

    #[inline(always)]
    pub(super) fn mul_add<const FMA: bool>(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        let mut lanes = c;
        for l in 0..8 {
            lanes[l] = crate::cpu::mul_add::<FMA>(a[l], b[l], c[l]);
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        let mut lanes = a;
        for l in 0..8 {
            lanes[l] += b[l];
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
        let mut lanes = a;
        for l in 0..8 {
            lanes[l] *= b[l];
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn div(a: Lanes, b: Lanes) -> Lanes {
        let mut lanes = a;
        for l in 0..8 {
            lanes[l] /= b[l];
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn max(a: Lanes, b: Lanes) -> Lanes {
        let mut lanes = a;
        for l in 0..8 {
            lanes[l] = if a[l] > b[l] { a[l] } else { b[l] };
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn min(a: Lanes, b: Lanes) -> Lanes {
        let mut lanes = a;
        for l in 0..8 {
            lanes[l] = if a[l] < b[l] { a[l] } else { b[l] };
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn exp(a: Lanes) -> Lanes {
        let mut lanes = a;
        for lane in &mut lanes {
            *lane = crate::cpu::exp(*lane);
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        let mut lanes = a;
        for l in 0..8 {
            lanes[l] -= b[l];
        }
        lanes
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use std::arch::wasm32::{
        f32x4_add, f32x4_div, f32x4_mul, f32x4_pmax, f32x4_pmin, f32x4_relaxed_madd, f32x4_splat, f32x4_sub, i32x4_add,
        i32x4_shl, i32x4_splat, v128, v128_load, v128_store,
    };

    use crate::cpu::Exp;

    pub(super) type Lanes = [v128; 2];

    #[inline(always)]
    pub(super) fn splat(value: f32) -> Lanes {
        [f32x4_splat(value); 2]
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "loads from a slice whose length is checked")]
    pub(super) fn load(from: &[f32]) -> Lanes {
        let from = from[..8].as_ptr();
        // SAFETY: the slice has eight values, and these loads need no alignment.
        unsafe { [v128_load(from.cast()), v128_load(from.add(4).cast())] }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "stores to a slice whose length is checked")]
    pub(super) fn store(a: Lanes, to: &mut [f32]) {
        let to = to[..8].as_mut_ptr();
        // SAFETY: the slice has eight places, and these stores need no alignment.
        unsafe {
            v128_store(to.cast(), a[0]);
            v128_store(to.add(4).cast(), a[1]);
        }
    }

    #[inline(always)]
    pub(super) fn mul_add<const FMA: bool>(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        if FMA {
            // Rounded once or twice, as the machine likes it better.
            return [f32x4_relaxed_madd(a[0], b[0], c[0]), f32x4_relaxed_madd(a[1], b[1], c[1])];
        }
        [f32x4_add(f32x4_mul(a[0], b[0]), c[0]), f32x4_add(f32x4_mul(a[1], b[1]), c[1])]
    }

    #[inline(always)]
    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        [f32x4_add(a[0], b[0]), f32x4_add(a[1], b[1])]
    }

    #[inline(always)]
    pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        [f32x4_sub(a[0], b[0]), f32x4_sub(a[1], b[1])]
    }

    #[inline(always)]
    pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
        [f32x4_mul(a[0], b[0]), f32x4_mul(a[1], b[1])]
    }

    #[inline(always)]
    pub(super) fn div(a: Lanes, b: Lanes) -> Lanes {
        [f32x4_div(a[0], b[0]), f32x4_div(a[1], b[1])]
    }

    #[inline(always)]
    pub(super) fn max(a: Lanes, b: Lanes) -> Lanes {
        [f32x4_pmax(b[0], a[0]), f32x4_pmax(b[1], a[1])]
    }

    #[inline(always)]
    pub(super) fn min(a: Lanes, b: Lanes) -> Lanes {
        [f32x4_pmin(b[0], a[0]), f32x4_pmin(b[1], a[1])]
    }

    #[inline(always)]
    pub(super) fn exp(a: Lanes) -> Lanes {
        a.map(exp_half)
    }

    /// [`crate::cpu::exp`] on four lanes.
    #[inline(always)]
    fn exp_half(x: v128) -> v128 {
        let x = f32x4_pmin(f32x4_pmax(x, f32x4_splat(Exp::LEAST)), f32x4_splat(Exp::MOST));
        let t = f32x4_add(f32x4_mul(x, f32x4_splat(std::f32::consts::LOG2_E)), f32x4_splat(Exp::ROUND));
        let n = f32x4_sub(t, f32x4_splat(Exp::ROUND));
        let high = f32x4_sub(x, f32x4_mul(n, f32x4_splat(Exp::LN2_HIGH)));
        let r = f32x4_sub(high, f32x4_mul(n, f32x4_splat(Exp::LN2_LOW)));
        let mut p = f32x4_splat(Exp::POLYNOMIAL[0]);
        for c in &Exp::POLYNOMIAL[1..] {
            p = f32x4_add(f32x4_mul(p, r), f32x4_splat(*c));
        }
        f32x4_mul(p, i32x4_add(i32x4_shl(t, 23), i32x4_splat(Exp::ONE as i32)))
    }
}
