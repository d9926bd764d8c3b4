//! Numbers for tiles: each as two of bf16, and these in pairs, a pair in a word.

/// `v` as the sum of two numbers of bf16, the second one next to what the first one leaves; in the upper halves of words.
/// What is not finite gives something that is not finite.
#[inline(always)]
pub(crate) fn split(v: f32) -> [u32; 2] {
    let high = rounded(v);
    [high, rounded(v - f32::from_bits(high))]
}

/// To the nearest bf16, ties to even.
#[inline(always)]
fn rounded(v: f32) -> u32 {
    let bits = v.to_bits();
    let up = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    // The carry of a NaN would make a number of it.
    if v.is_nan() { f32::NAN.to_bits() } else { up }
}

/// The high and the low parts of a pair, the first one in the lower halves.
#[inline(always)]
pub(crate) fn pair(a: f32, b: f32) -> [u32; 2] {
    let ([a, a_low], [b, b_low]) = (split(a), split(b));
    [a >> 16 | b, a_low >> 16 | b_low]
}

/// Pairs of what lies one beside the other, `values[2 i]` with `values[2 i + 1]`; zeros beyond.
#[inline(always)]
pub(crate) fn along(values: &[f32], [high, low]: [&mut [u32]; 2]) {
    let whole = values.len() / 2;
    for ((v, high), low) in values.chunks_exact(2).zip(high.iter_mut()).zip(low.iter_mut()) {
        [*high, *low] = pair(v[0], v[1]);
    }
    for (i, (high, low)) in high.iter_mut().zip(low).enumerate().skip(whole) {
        [*high, *low] = pair(values.get(2 * i).copied().unwrap_or(0.0), 0.0);
    }
}

/// Pairs of what lies one below the other, `a[i]` with `b[i]`; zeros beyond.
#[inline(always)]
pub(crate) fn across([a, b]: [&[f32]; 2], [high, low]: [&mut [u32]; 2]) {
    for (((a, b), high), low) in a.iter().zip(b).zip(high.iter_mut()).zip(low.iter_mut()) {
        [*high, *low] = pair(*a, *b);
    }
    if a.len() < high.len() {
        high[a.len()..].fill(0);
        low[a.len()..].fill(0);
    }
}

/// A tile turned: word `j` of line `i` of it is word `i` of line `j` of `from`, whose lines lie `stride` words apart.
#[inline(always)]
pub(crate) fn turn(from: &[u32], stride: usize, to: &mut [u32]) {
    for (i, line) in to.chunks_exact_mut(16).enumerate() {
        for (j, to) in line.iter_mut().enumerate() {
            *to = from[j * stride + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parts_are_a_number_to_seventeen_bits() {
        for i in 0..10_000 {
            let v = (i as f32 * 0.37).sin() * 10f32.powi(i % 30 - 15);
            let [high, low] = split(v).map(f32::from_bits);
            assert!((v - high).abs() <= v.abs() / 256.0, "{v}: {high}");
            assert!((f64::from(v) - f64::from(high) - f64::from(low)).abs() <= f64::from(v.abs()) / f64::from(1 << 17));
            assert_eq!((high.to_bits() | low.to_bits()) & 0xffff, 0);
        }
        // Ties go to even, and what bf16 has stays.
        for (v, high) in [(1.0 + 1.0 / 256.0, 1.0), (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0), (-2.5, -2.5), (0.0, 0.0)] {
            assert_eq!(split(v).map(f32::from_bits), [high, v - high]);
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let nan = f32::from_bits(0x7fff_ffff);
        for v in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, nan, f32::from_bits(0xffff_ffff), f32::MAX] {
            let [high, low] = split(v).map(f32::from_bits);
            assert!(!(high + low).is_finite(), "{v}");
        }
    }

    #[test]
    fn pairs_and_what_is_beyond() {
        let half = |v: f32| v.to_bits() >> 16;
        let mut words = [[7u32; 4]; 2];
        let [high, low] = &mut words;
        along(&[1.0, 2.0, 3.0], [high, low]);
        assert_eq!(words, [[half(1.0) | half(2.0) << 16, half(3.0), 0, 0], [0; 4]]);
        let [high, low] = &mut words;
        across([&[1.0, 2.0], &[3.0, 4.0]], [high, low]);
        assert_eq!(words, [[half(1.0) | half(3.0) << 16, half(2.0) | half(4.0) << 16, 0, 0], [0; 4]]);
        let from: Vec<u32> = (0..16 * 20).collect();
        let mut to = [0; 256];
        turn(&from, 20, &mut to);
        assert_eq!([to[0], to[1], to[16], to[255]], [0, 20, 1, 15 * 20 + 15]);
    }
}
