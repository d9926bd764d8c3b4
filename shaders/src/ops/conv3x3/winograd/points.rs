//! Winograd's F(4, 3): four outputs of a window of three from six products (Lavin and Gray 2015, arXiv 1509.09308).
//!
//! The outputs are the coefficients of a product of polynomials, which is known by its values at six points. Here they are
//! 0, ±1/√2, ±√2 and infinity: their powers are nearer to 1 than those of the usual 0, ±1, ±2, so rounding hurts less, and
//! each pair costs the same four additions.

use std::f32::consts::{FRAC_1_SQRT_2 as NEAR, SQRT_2 as FAR};

use crate::vector::Vector;

/// Outputs of a tile in each direction.
pub(super) const OUT: usize = 4;
/// Inputs of a tile in each direction, which are also its points.
pub(super) const IN: usize = 6;

/// The way of a line of `A` values to `B`, for the lines of all lanes at once.
///
/// A trait and no closure: what is not inlined is compiled without the vectors of the function around it.
pub(super) trait Transform<const A: usize, const B: usize> {
    fn of<V: Vector>(line: [V; A]) -> [V; B];
}

/// `T` along both axes of a square.
#[inline(always)]
pub(super) fn both<V: Vector, T: Transform<A, B>, const A: usize, const B: usize>(x: &[[V; A]; A]) -> [[V; B]; B] {
    let none = V::splat(0.0);
    let (mut columns, mut square) = ([[none; A]; B], [[none; B]; B]);
    for j in 0..A {
        let mut column = [none; A];
        for i in 0..A {
            column[i] = x[i][j];
        }
        let column = T::of(column);
        for k in 0..B {
            columns[k][j] = column[k];
        }
    }
    for k in 0..B {
        square[k] = T::of(columns[k]);
    }
    square
}

/// Inputs, as the points see them.
pub(super) struct Inputs<const FMA: bool>;

impl<const FMA: bool> Transform<IN, IN> for Inputs<FMA> {
    #[inline(always)]
    fn of<V: Vector>(d: [V; IN]) -> [V; IN] {
        let (even_near, odd_near) = (d[2].times::<FMA>(-2.0, d[4]), d[1].times::<FMA>(-2.0, d[3]));
        let (even_far, odd_far) = (d[2].times::<FMA>(-0.5, d[4]), d[1].times::<FMA>(-0.5, d[3]));
        [
            d[2].times::<FMA>(-2.5, d[0] + d[4]),
            odd_near.times::<FMA>(NEAR, even_near),
            odd_near.times::<FMA>(-NEAR, even_near),
            odd_far.times::<FMA>(FAR, even_far),
            odd_far.times::<FMA>(-FAR, even_far),
            d[3].times::<FMA>(-2.5, d[1] + d[5]),
        ]
    }
}

/// Three weights at the points.
pub(super) struct Window<const FMA: bool>;

impl<const FMA: bool> Transform<3, IN> for Window<FMA> {
    #[inline(always)]
    fn of<V: Vector>(g: [V; 3]) -> [V; IN] {
        let none = V::splat(0.0);
        let near = g[0].times::<FMA>(-2.0 / 3.0, g[2].times::<FMA>(-1.0 / 3.0, none));
        let far = g[0].times::<FMA>(1.0 / 6.0, g[2].times::<FMA>(1.0 / 3.0, none));
        [
            g[0],
            g[1].times::<FMA>(-2.0 / 3.0 * NEAR, near),
            g[1].times::<FMA>(2.0 / 3.0 * NEAR, near),
            g[1].times::<FMA>(FAR / 6.0, far),
            g[1].times::<FMA>(-FAR / 6.0, far),
            g[2],
        ]
    }
}

/// Outputs from the products at the points.
pub(super) struct Outputs<const FMA: bool>;

impl<const FMA: bool> Transform<IN, OUT> for Outputs<FMA> {
    #[inline(always)]
    fn of<V: Vector>(m: [V; IN]) -> [V; OUT] {
        let none = V::splat(0.0);
        let (even_near, odd_near) = (m[1] + m[2], m[1] - m[2]);
        let (even_far, odd_far) = (m[3] + m[4], m[3] - m[4]);
        [
            m[0] + (even_near + even_far),
            odd_far.times::<FMA>(2.0, odd_near).times::<FMA>(NEAR, none),
            even_far.times::<FMA>(4.0, even_near).times::<FMA>(0.5, none),
            odd_far.times::<FMA>(8.0, odd_near).times::<FMA>(0.5 * NEAR, m[5]),
        ]
    }
}

/// The gradient of the products from that of the outputs: [`Outputs`] transposed.
pub(super) struct OutputsBack<const FMA: bool>;

impl<const FMA: bool> Transform<OUT, IN> for OutputsBack<FMA> {
    #[inline(always)]
    fn of<V: Vector>(y: [V; OUT]) -> [V; IN] {
        let (even_near, odd_near) = (y[2].times::<FMA>(0.5, y[0]), y[3].times::<FMA>(0.5, y[1]));
        let (even_far, odd_far) = (y[2].times::<FMA>(2.0, y[0]), y[3].times::<FMA>(2.0, y[1]));
        [
            y[0],
            odd_near.times::<FMA>(NEAR, even_near),
            odd_near.times::<FMA>(-NEAR, even_near),
            odd_far.times::<FMA>(FAR, even_far),
            odd_far.times::<FMA>(-FAR, even_far),
            y[3],
        ]
    }
}

/// The gradient of the weights from that of what the points saw of them: [`Window`] transposed.
pub(super) struct WindowBack<const FMA: bool>;

impl<const FMA: bool> Transform<IN, 3> for WindowBack<FMA> {
    #[inline(always)]
    fn of<V: Vector>(u: [V; IN]) -> [V; 3] {
        let none = V::splat(0.0);
        let (even_near, odd_near) = (u[1] + u[2], u[2] - u[1]);
        let (even_far, odd_far) = (u[3] + u[4], u[3] - u[4]);
        [
            even_near.times::<FMA>(-2.0 / 3.0, even_far.times::<FMA>(1.0 / 6.0, u[0])),
            odd_near.times::<FMA>(2.0 / 3.0 * NEAR, odd_far.times::<FMA>(FAR / 6.0, none)),
            (even_far - even_near).times::<FMA>(1.0 / 3.0, u[5]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::array::from_fn;

    use super::*;
    use crate::vector::Eight;

    /// The first of eight lanes.
    fn first(x: Eight) -> f32 {
        let mut lanes = [0f32; 8];
        x.store(&mut lanes);
        lanes[0]
    }

    fn unit<const N: usize>(i: usize) -> [Eight; N] {
        from_fn(|k| Eight::splat(f32::from(u8::from(i == k))))
    }

    /// `y[i] = sum over k of g[k] * d[i + k]`, which is linear in each: true for all if true for unit vectors.
    #[test]
    fn products_at_the_points_are_the_window() {
        for (k, at) in (0..3).flat_map(|k| (0..IN).map(move |at| (k, at))) {
            let (u, v) = (Window::<false>::of::<Eight>(unit(k)), Inputs::<false>::of::<Eight>(unit(at)));
            let y = Outputs::<false>::of(from_fn(|p| Eight::splat(first(u[p]) * first(v[p]))));
            for (i, y) in y.into_iter().enumerate() {
                let want = if i + k == at { 1.0 } else { 0.0 };
                assert!((first(y) - want).abs() < 1e-6, "output {i}, weight {k}, input {at}: {}", first(y));
            }
        }
    }

    #[test]
    fn gradients_are_the_transposes() {
        for (p, i) in (0..IN).flat_map(|p| (0..OUT).map(move |i| (p, i))) {
            let (there, back) =
                (Outputs::<false>::of::<Eight>(unit(p))[i], OutputsBack::<false>::of::<Eight>(unit(i))[p]);
            assert!((first(there) - first(back)).abs() < 1e-6, "point {p}, output {i}");
        }
        for (p, k) in (0..IN).flat_map(|p| (0..3).map(move |k| (p, k))) {
            let (there, back) =
                (Window::<false>::of::<Eight>(unit(k))[p], WindowBack::<false>::of::<Eight>(unit(p))[k]);
            assert!((first(there) - first(back)).abs() < 1e-6, "point {p}, weight {k}");
        }
    }

    #[test]
    fn both_axes_are_the_window_of_two_dimensions() {
        let d: [[Eight; IN]; IN] = from_fn(|i| from_fn(|j| Eight::splat((i * 7 + j * 3) as f32 % 5.0 - 2.0)));
        let g: [[Eight; 3]; 3] = from_fn(|i| from_fn(|j| Eight::splat((i * 2 + j) as f32 * 0.3 - 1.0)));
        let (u, v) = (both::<_, Window<false>, _, _>(&g), both::<_, Inputs<false>, _, _>(&d));
        let m = from_fn(|p| from_fn(|q| Eight::splat(first(u[p][q]) * first(v[p][q]))));
        for (i, row) in both::<_, Outputs<false>, _, _>(&m).into_iter().enumerate() {
            for (j, y) in row.into_iter().enumerate() {
                let taps = (0..3).flat_map(|k| (0..3).map(move |l| (k, l)));
                let want: f32 = taps.map(|(k, l)| first(g[k][l]) * first(d[i + k][j + l])).sum();
                assert!((first(y) - want).abs() < 1e-5, "{i}, {j}: {} against {want}", first(y));
            }
        }
    }
}
