//! The loss at each noise level, and the factors by which all levels count alike.
//!
//! The weight of EDM makes a network that knows nothing err alike at all levels. One that knows something errs most where
//! there is nothing to be known (which colour, and where, under all that noise), and what it has still to learn at the
//! other levels is lost beside that. So each loss is divided by what losses at its level are expected to be (the
//! uncertainty of Karras et al. 2023, <https://arxiv.org/abs/2312.02696>, who learn it as `u(sigma)` by descent; here it is
//! a running mean), and multiplied by their mean over all levels, so that the sum stays what it was.

use burn::tensor::{Device, Tensor, TensorData};

/// Levels at which the mean is kept; between them it is a straight line.
pub const BINS: usize = 33;
/// The log-SNR of the first; they are [`APART`] from each other.
const LOWEST: f64 = -16.0;
/// What lies between two, in log-SNR.
const APART: f64 = 1.0;
/// The share of the past that a step keeps.
const KEPT: f32 = 0.995;
/// As many pictures as each level begins with, whose loss is the mean over all levels.
const DOUBT: f32 = 4.0;

/// The running mean of losses by level.
#[derive(Debug, Clone)]
pub struct Balance {
    /// `[BINS]`, the sum of what was seen of losses.
    pub losses: Tensor<1>,
    /// `[BINS]`, how many these were.
    pub pictures: Tensor<1>,
}

impl Balance {
    /// Nothing seen: all factors are 1.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        let none = Tensor::zeros([BINS], device);
        Self { losses: none.clone(), pictures: none }
    }

    /// The factor of each loss.
    ///
    /// # Shapes
    /// - shares: `[b, BINS]`, of [`shares`]
    /// - output: `[b]`
    #[must_use]
    pub fn factors(&self, shares: Tensor<2>) -> Tensor<1> {
        // One more picture, of loss 1, so that there is a mean before there is a picture and nothing is divided by zero.
        let mean = (self.losses.clone().sum() + 1.0) / (self.pictures.clone().sum() + 1.0);
        let at = (self.losses.clone() + mean.clone() * DOUBT) / (self.pictures.clone() + DOUBT);
        let [b, bins] = shares.dims();
        let expected = shares.matmul((at / mean).reshape([bins, 1]));
        expected.recip().reshape([b])
    }

    /// Takes the losses of a step in.
    ///
    /// # Shapes
    /// - shares: `[b, BINS]`
    /// - losses: `[b]`, without the factors
    pub fn update(&mut self, shares: Tensor<2>, losses: Tensor<1>) {
        let [b, bins] = shares.dims();
        let seen = (shares.clone() * losses.reshape([b, 1])).sum_dim(0).reshape([bins]);
        self.losses = self.losses.clone() * KEPT + seen;
        self.pictures = self.pictures.clone() * KEPT + shares.sum_dim(0).reshape([bins]);
    }
}

/// What each level has of the two that it lies between.
///
/// # Shapes
/// - output: `[b, BINS]`, each row with the sum 1
#[must_use]
pub fn shares(log_snr: &[f32], device: &Device) -> Tensor<2> {
    let mut values = vec![0f32; log_snr.len() * BINS];
    for (row, log_snr) in values.chunks_exact_mut(BINS).zip(log_snr) {
        let place = ((f64::from(*log_snr) - LOWEST) / APART).clamp(0.0, (BINS - 1) as f64);
        let below = (place.floor() as usize).min(BINS - 2);
        let above = (place - below as f64) as f32;
        (row[below], row[below + 1]) = (1.0 - above, above);
    }
    Tensor::from_data(TensorData::new(values, [log_snr.len(), BINS]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::{BINS, Balance, DOUBT, KEPT, shares};
    use crate::testing::numbers;

    #[test]
    fn a_level_lies_between_two() {
        let rows = numbers(&shares(&[-16.0, 0.25, 40.0, f32::INFINITY, -99.0], &Device::flex()).reshape([5 * BINS]));
        let of = |row: usize| {
            let row = &rows[row * BINS..(row + 1) * BINS];
            row.iter().copied().enumerate().filter(|(_, share)| *share > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [(0, 1.0)]);
        assert_eq!(of(1), [(16, 0.75), (17, 0.25)]);
        assert_eq!([of(2), of(3), of(4)], [vec![(BINS - 1, 1.0)], vec![(BINS - 1, 1.0)], vec![(0, 1.0)]]);
    }

    /// The same losses at each level for ever: what is kept of them is a geometric sum, so the factors are known. Then smaller
    /// ones at all levels, which change no factor.
    #[test]
    fn losses_count_by_what_is_expected_of_them() {
        let device = Device::flex();
        let shares = shares(&[-3.0, 0.0, 0.0, 2.0], &device);
        let mut balance = Balance::new(&device);
        assert_eq!(numbers(&balance.factors(shares.clone())), [1.0; 4]);
        for part in [1.0, 0.1] {
            let losses = [0.9f32, 0.1, 0.1, 0.02].map(|loss| part * loss);
            for _ in 0..5_000 {
                balance.update(shares.clone(), Tensor::from_data(losses, &device));
            }
            let seen = 1.0 / (1.0 - KEPT);
            let mean = (seen * losses.iter().sum::<f32>() + 1.0) / (4.0 * seen + 1.0);
            let want = losses.iter().zip([1.0, 2.0, 2.0, 1.0]).map(|(loss, pictures)| {
                let pictures = pictures * seen;
                mean * (pictures + DOUBT) / (pictures * loss + DOUBT * mean)
            });
            let factors = numbers(&balance.factors(shares.clone()));
            let close = factors.iter().zip(want).all(|(got, want)| (got / want - 1.0).abs() < 1e-3);
            assert!(close, "{factors:?}");
            let [first, .., last] = losses;
            // A loss a fortieth of another's counts nearly as much.
            assert!((0.7..1.1).contains(&(factors[3] * last / (factors[0] * first))), "{factors:?}");
        }
    }
}
