//! The smaller picture of a super-resolution stage: enlarged, then noised.

use burn::tensor::Tensor;

use crate::diffusion::Level;
use crate::nn::resample::enlarge_nearest;
use crate::unet::condition::Lowres;

/// The least noise that is added, also where none is asked: the log-SNR that a network sees stays below 14.
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
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{condition, enlarge_nearest, level};
    use crate::noise::{Purpose, Stream};

    #[test]
    fn the_level_has_the_asked_noise_beside_the_picture() {
        for std in [0.01, 0.1, 0.7] {
            assert!((level(std).sigma_edm() - std).abs() < 1e-12);
        }
        assert!(level(0.0).log_snr() < 14.0);
    }

    #[test]
    fn the_picture_has_the_asked_noise() {
        const SIDE: usize = 64;
        let mut stream = Stream::new(3, Purpose::Evaluation, 0);
        let mut tensor = |side: usize| {
            let values = stream.normals(3 * side * side);
            Tensor::<4>::from_data(TensorData::new(values, [1, 3, side, side]), &Device::flex())
        };
        let (small, eps) = (tensor(SIDE / 4).tanh(), tensor(SIDE));
        for std in [0.1, 0.7] {
            let lowres = condition(small.clone(), SIDE, std, eps.clone());
            let noise = lowres.image * (1.0 / level(std).alpha) as f32 - enlarge_nearest(small.clone(), 4);
            let noise: Vec<f32> = noise.into_data().try_to_vec().unwrap();
            let n = noise.len() as f64;
            let measured = (noise.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n).sqrt();
            // Five standard errors.
            assert!((measured / std - 1.0).abs() < 5.0 * (0.5 / n).sqrt(), "{measured} for {std}");
            let seen: f32 = lowres.level.into_scalar();
            assert!((f64::from(seen) + 2.0 * std.ln()).abs() < 1e-5, "{seen} for {std}");
        }
    }
}
