//! Seeded randomness: the crate's only source of it.
//!
//! Everything random is drawn on the CPU from a [`Stream`], which is a seed, a purpose and an index; two streams that
//! differ in any of them are independent. So the noise of a picture depends on its seed alone, and the picture on its
//! batch and its device only by rounding; and a training run needs no saved generator to go on: step 70 draws from the
//! streams of step 70.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. Part of its identity, so that no two uses of one seed ever meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The noise a picture starts from and the noise a stochastic sampler adds; index: stage and step.
    Picture = 1,
    /// The initial values of a network's parameters.
    Parameters = 2,
    /// Scenes of the shapes world.
    Scene = 3,
    /// Captions of scenes.
    Caption = 4,
    /// Noise levels, noise, dropped captions and crops of training.
    Training = 5,
    /// Everything of an evaluation.
    Evaluation = 6,
    /// Captions from which a text encoder learns to read, and their scenes.
    Reading = 7,
    /// Smaller pictures that are drawn again in training.
    Draft = 8,
}

/// A stream of random numbers: `ChaCha8` under one seed and one counter.
#[derive(Debug, Clone)]
pub struct Stream {
    rng: ChaCha8Rng,
    /// The second value of the last Box-Muller pair.
    spare: Option<f32>,
}

impl Stream {
    /// The stream of `seed` for `purpose` and `index`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self { rng, spare: None }
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `[0, 1)`, in steps of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A whole number in `0..n`, by rejection, so that no value is favoured.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a choice among no values");
        let n = n as u64;
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let bits = self.bits();
            if bits < limit {
                return (bits % n) as usize;
            }
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Standard normal, by Box and Muller with the same `libm` on every platform.
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // In (0, 1], so that the logarithm is finite.
        let u = 1.0 - self.uniform();
        let radius = libm::sqrt(-2.0 * libm::log(u));
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some((radius * libm::sin(angle)) as f32);
        (radius * libm::cos(angle)) as f32
    }

    /// `n` standard normal values.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// The noise of one picture at one step of one stage, `len` standard normal values; step 0 is what it starts from.
#[must_use]
pub fn picture_noise(seed: u64, stage: usize, step: usize, len: usize) -> Vec<f32> {
    Stream::new(seed, Purpose::Picture, ((stage as u64) << 32) | step as u64).normals(len)
}

#[cfg(test)]
mod tests {
    use super::{Purpose, Stream, picture_noise};

    #[test]
    fn streams_are_reproducible_and_distinct() {
        let bits = |seed, purpose, index| Stream::new(seed, purpose, index).bits();
        let reference = bits(7, Purpose::Scene, 3);
        assert_eq!(reference, bits(7, Purpose::Scene, 3));
        for other in [bits(8, Purpose::Scene, 3), bits(7, Purpose::Caption, 3), bits(7, Purpose::Scene, 4)] {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn the_noise_of_a_seed_never_changes() {
        // Part of the format: a changed value here means that every saved seed gives another picture.
        let noise = picture_noise(42, 0, 0, 3);
        let expected = [0.709_350_1, 0.991_461_93, 0.662_297_6];
        assert_eq!(noise, expected, "{noise:?}");
    }

    #[test]
    fn normals_have_the_moments_of_a_gaussian() {
        let values = Stream::new(1, Purpose::Training, 0).normals(200_000);
        let n = values.len() as f64;
        let moment = |k: i32| values.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n;
        // Five standard errors.
        assert!(moment(1).abs() < 5.0 / n.sqrt());
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn below_is_uniform() {
        let mut stream = Stream::new(3, Purpose::Scene, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7)] += 1;
        }
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
    }
}
