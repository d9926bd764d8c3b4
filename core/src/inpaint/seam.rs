//! How well what is painted goes over into what was there.

use crate::image::{Mask, Picture};

/// A gradient that counts as none, in levels of 256 a pixel: rounding alone makes as much.
const FLOOR: f64 = 1.0;

/// The mean gradient where new goes over into old, against the mean gradient elsewhere, each above a floor of one
/// level; 1 is a seam that nobody sees. `weights` are those of the blend: the seam is where they are neither 0 nor 255,
/// and two pixels on both sides.
///
/// # Panics
/// If picture and weights differ in size.
#[must_use]
pub fn seam_ratio(picture: &Picture, weights: &Mask) -> f64 {
    assert_eq!((picture.width, picture.height), (weights.width, weights.height), "weights of another picture");
    let ring = ring(weights);
    let (w, h) = (picture.width, picture.height);
    // Sum and number, elsewhere and on the ring.
    let mut sums = [[0.0; 2]; 2];
    for (x, y) in (0..h.saturating_sub(1)).flat_map(|y| (0..w.saturating_sub(1)).map(move |x| (x, y))) {
        let here = picture.pixel(x, y);
        let step = |there: [u8; 3]| (0..3).map(|c| f64::from(here[c].abs_diff(there[c])).powi(2)).sum::<f64>() / 3.0;
        let gradient = (step(picture.pixel(x + 1, y)) + step(picture.pixel(x, y + 1))).sqrt();
        let sum = &mut sums[usize::from(ring.alpha[y * w + x] > 0)];
        *sum = [sum[0] + gradient, sum[1] + 1.0];
    }
    let [elsewhere, seam] = sums.map(|[sum, count]| FLOOR + if count > 0.0 { sum / count } else { 0.0 });
    seam / elsewhere
}

fn ring(weights: &Mask) -> Mask {
    let (outer, inner) = (weights.hardened(1).grown(2.0), weights.hardened(255).shrunk(2.0));
    let alpha = outer.alpha.iter().zip(&inner.alpha).map(|(o, i)| o & !i).collect();
    Mask { alpha, ..outer }
}

#[cfg(test)]
mod tests {
    use super::{Mask, Picture, seam_ratio};

    /// A square of 20 in a picture of 60, whose inside is `off` brighter.
    fn patched(off: u8) -> (Picture, Mask) {
        let (mut picture, mut mask) = (Picture::filled(60, 60, [100; 3]), Mask::filled(60, 60, 0));
        for (x, y) in (20..40).flat_map(|y| (20..40).map(move |x| (x, y))) {
            mask.alpha[y * 60 + x] = 255;
            picture.rgb[3 * (y * 60 + x)..][..3].fill(100 + off);
        }
        (picture, mask)
    }

    #[test]
    fn a_seam_shows_and_none_does_not() {
        let (flat, mask) = patched(0);
        assert_eq!(seam_ratio(&flat, &mask), 1.0);
        let ratios = [2, 10, 50].map(|off| {
            let (picture, mask) = patched(off);
            seam_ratio(&picture, &mask)
        });
        assert!(ratios.is_sorted() && ratios[0] > 1.2 && ratios[2] > 5.0, "{ratios:?}");
    }

    #[test]
    fn what_is_rough_everywhere_hides_a_seam() {
        let (mut picture, mask) = patched(10);
        for (i, value) in picture.rgb.iter_mut().enumerate() {
            *value = value.wrapping_add((i / 3 % 2 * 40) as u8);
        }
        assert!(seam_ratio(&picture, &mask) < 1.2);
    }
}
