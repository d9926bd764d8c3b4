//! The smaller picture of a super-resolution stage: enlarged, then noised.

use burn::tensor::Tensor;

use crate::diffusion::Level;
use crate::nn::resample::enlarge_nearest;
use crate::unet::condition::Lowres;

/// Less noise than this is none: the log-SNR that a network sees stays below 14.
const MIN_STD: f64 = 1e-3;

/// The level of noise of standard deviation `std` beside a picture in [-1, 1], as a level of the variance-preserving
/// process, which is what imagen-pytorch noises and conditions on: `sigma / alpha = std`.
#[must_use]
pub fn level(std: f64) -> Level {
    Level::variance_preserving(-2.0 * std.max(MIN_STD).ln())
}

/// The condition of a batch: every picture enlarged to `size`, noised to `level`, with the log-SNR beside it.
///
/// # Shapes
/// - small: `[b, c, h, w]`
/// - eps: `[b, c, size, size]`
#[must_use]
pub fn condition(small: Tensor<4>, size: usize, std: f64, eps: Tensor<4>) -> Lowres {
    let [b, _, h, _] = small.dims();
    let level = level(std);
    let image = level.noise(enlarge_nearest(small, size / h), eps);
    let seen = Tensor::full([b], level.log_snr() as f32, &image.device());
    Lowres { image, level: seen }
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn the_level_has_the_asked_noise_beside_the_picture() {
        for std in [0.01, 0.1, 0.7] {
            assert!((level(std).sigma_edm() - std).abs() < 1e-12);
        }
        assert!(level(0.0).log_snr() < 14.0);
    }
}
