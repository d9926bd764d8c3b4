//! Pictures as a model would leave them: soft, noisy, or enlarged.

use crate::image::Picture;
use crate::noise::Stream;

/// Standard deviation of the noise, in bytes.
const NOISE: f64 = 4.0;

/// Blurs, halves and doubles, and adds noise: each with even chances, at least one of them, in this order.
#[must_use]
pub fn degrade(picture: &Picture, stream: &mut Stream) -> Picture {
    let which = 1 + stream.below(7);
    let mut degraded = picture.clone();
    if which & 1 != 0 {
        degraded = blur(&degraded, stream.range(0.5, 0.9));
    }
    if which & 2 != 0 {
        degraded = halve_and_double(&degraded);
    }
    if which & 4 != 0 {
        degraded = add_noise(&degraded, NOISE, stream);
    }
    degraded
}

/// Blurs by a Gaussian of `sigma` pixels; the border pixels go on outside.
#[must_use]
pub fn blur(picture: &Picture, sigma: f64) -> Picture {
    let reach = (4.0 * sigma).ceil().max(0.0) as isize;
    let weights: Vec<f64> = (-reach..=reach).map(|i| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let filter = |source: &Picture, along_x: bool| {
        map(source.width, source.height, |x, y, channel| {
            let tap = |(weight, shift): (&f64, isize)| {
                let (dx, dy) = if along_x { (shift, 0) } else { (0, shift) };
                weight * clamped(source, x as isize + dx, y as isize + dy, channel)
            };
            weights.iter().zip(-reach..).map(tap).sum::<f64>() / sum
        })
    };
    filter(&filter(picture, true), false)
}

/// Halves the size by means of four pixels and doubles it again linearly.
#[must_use]
pub fn halve_and_double(picture: &Picture) -> Picture {
    let half = map(picture.width / 2, picture.height / 2, |x, y, channel| {
        let quad = [(0, 0), (1, 0), (0, 1), (1, 1)];
        let at = |(dx, dy): (usize, usize)| clamped(picture, (2 * x + dx) as isize, (2 * y + dy) as isize, channel);
        quad.into_iter().map(at).sum::<f64>() / 4.0
    });
    map(picture.width, picture.height, |x, y, channel| {
        // A pixel lies a quarter of a coarse pixel off the centre of its own, towards its neighbour.
        let towards = |at: usize| (at as isize / 2, if at.is_multiple_of(2) { -1 } else { 1 });
        let ((x, dx), (y, dy)) = (towards(x), towards(y));
        let row = |y: isize| 0.75 * clamped(&half, x, y, channel) + 0.25 * clamped(&half, x + dx, y, channel);
        0.75 * row(y) + 0.25 * row(y + dy)
    })
}

/// Adds independent Gaussian noise of standard deviation `sigma`, in bytes, to every channel.
#[must_use]
pub fn add_noise(picture: &Picture, sigma: f64, stream: &mut Stream) -> Picture {
    let mut noisy = picture.clone();
    for byte in &mut noisy.rgb {
        *byte = to_byte(f64::from(*byte) + sigma * f64::from(stream.normal()));
    }
    noisy
}

/// The picture whose value at column, row and channel is that of `value`.
fn map(width: usize, height: usize, value: impl Fn(usize, usize, usize) -> f64) -> Picture {
    let at = |index: usize| to_byte(value(index / 3 % width, index / 3 / width, index % 3));
    Picture { width, height, rgb: (0..3 * width * height).map(at).collect() }
}

/// The value at a place that may lie outside.
fn clamped(picture: &Picture, x: isize, y: isize, channel: usize) -> f64 {
    let inside = |at: isize, limit: usize| at.clamp(0, limit as isize - 1) as usize;
    f64::from(picture.rgb[3 * (inside(y, picture.height) * picture.width + inside(x, picture.width)) + channel])
}

fn to_byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::{add_noise, blur, halve_and_double};
    use crate::image::Picture;
    use crate::noise::{Purpose, Stream};

    /// Black, but for one white pixel in the middle.
    fn point() -> Picture {
        let mut picture = Picture::filled(16, 16, [0; 3]);
        picture.rgb[3 * (8 * 16 + 8)..][..3].copy_from_slice(&[255; 3]);
        picture
    }

    fn light(picture: &Picture) -> f64 {
        picture.rgb.iter().map(|&byte| f64::from(byte)).sum::<f64>() / (3.0 * 255.0)
    }

    #[test]
    fn a_blur_keeps_the_light_and_spreads_it() {
        let mut half = Picture::filled(16, 16, [0; 3]);
        half.rgb.chunks_exact_mut(48).for_each(|row| row[24..].fill(255));
        let blurred = blur(&half, 0.9);
        // The steps from column to column are the weights of the blur.
        let step = |x: usize| (f64::from(blurred.pixel(x, 8)[1]) - f64::from(blurred.pixel(x - 1, 8)[1])) / 255.0;
        let moment = |power: i32| (1..16).map(|x| step(x) * (x as f64 - 8.0).powi(power)).sum::<f64>();
        assert!((moment(0) - 1.0).abs() < 1e-9);
        assert!((moment(2) - 0.81).abs() < 0.03, "{}", moment(2));
    }

    #[test]
    fn halving_and_doubling_keeps_the_light_and_flat_pictures() {
        let flat = Picture::filled(16, 16, [9, 90, 200]);
        assert_eq!(halve_and_double(&flat), flat);
        assert!((light(&halve_and_double(&point())) - 1.0).abs() < 0.05);
    }

    #[test]
    fn noise_has_its_deviation() {
        let noisy = add_noise(&Picture::filled(64, 64, [128; 3]), 4.0, &mut Stream::new(1, Purpose::Evaluation, 0));
        let mean = |f: fn(f64) -> f64| noisy.rgb.iter().map(|&b| f(f64::from(b) - 128.0)).sum::<f64>() / 12288.0;
        // Five standard errors; rounding adds 1/12.
        assert!(mean(|d| d).abs() < 0.19);
        assert!((mean(|d| d * d) - 16.08).abs() < 1.1);
    }
}
