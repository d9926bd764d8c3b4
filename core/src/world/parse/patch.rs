//! One region as soft coverage: how much of each pixel the object takes.

use super::blobs::{Blob, Blobs};
use crate::image::Picture;
use crate::world::Colour;
use crate::world::raster::Window;

/// The share of a region's pixels that are taken for its cores: those that differ most from the background.
const CORE: f64 = 0.1;
/// How much less than those a pixel may differ and still tell the object's colour.
const CORE_FALL: f64 = 0.8;
/// Distance in sRGB from the line between background and object at which a pixel is of a third colour.
const STRAY: f64 = 40.0;

/// The pixels around one region.
pub(super) struct Patch {
    /// Where they are.
    pub(super) window: Window,
    /// Difference to the background; 0 for the pixels of other regions.
    difference: Vec<[f32; 3]>,
    /// Whether the pixel is of the region itself.
    inner: Vec<bool>,
    /// How much of each pixel the object takes, if it has the colour of its cores. Noise takes it below 0 and above 1.
    pub(super) shares: Vec<f32>,
}

impl Patch {
    /// The patch of `blob`.
    pub(super) fn new(picture: &Picture, blobs: &Blobs, blob: &Blob) -> Self {
        let window = blob.window;
        let pixels = window.width * window.height;
        let (mut difference, mut inner) = (Vec::with_capacity(pixels), Vec::with_capacity(pixels));
        for index in 0..pixels {
            let (x, y) = (window.x + index % window.width, window.y + index / window.width);
            let at = y * picture.width + x;
            let rgb = picture.pixel(x, y);
            let own = blobs.owners[at] == blob.owner;
            let channel = |c: usize| f32::from(rgb[c]) - blobs.background_rgb[c] as f32;
            difference.push(if own { [channel(0), channel(1), channel(2)] } else { [0.0; 3] });
            inner.push(own && Colour::nearest(rgb.map(f64::from)).0 != blobs.background);
        }
        let mut patch = Self { window, difference, inner, shares: Vec::new() };
        let tint = patch.core_tint();
        let length = dot(tint, tint).max(f32::MIN_POSITIVE);
        patch.shares = patch.difference.iter().map(|&d| dot(d, tint) / length).collect();
        patch
    }

    /// The difference to the background where it is greatest.
    fn core_tint(&self) -> [f32; 3] {
        let squares =
            self.difference.iter().zip(&self.inner).filter(|(_, inner)| **inner).map(|(&d, _)| (dot(d, d), d));
        let mut squares: Vec<_> = squares.collect();
        squares.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let reference = squares.get((squares.len() as f64 * CORE) as usize).map_or(0.0, |square| square.0);
        let limit = reference * (CORE_FALL * CORE_FALL) as f32;
        let cores = squares.iter().take_while(|square| square.0 >= limit);
        let (mut sum, mut count) = ([0.0; 3], 0.0f32);
        for (_, difference) in cores {
            (0..3).for_each(|c| sum[c] += difference[c]);
            count += 1.0;
        }
        sum.map(|s| s / count.max(1.0))
    }

    /// The difference to the background that explains the patch best, where `mask` is the coverage.
    pub(super) fn tint(&self, mask: &[f32]) -> [f64; 3] {
        let (mut products, mut squares) = ([0.0f64; 3], 0.0f64);
        for (difference, &share) in self.difference.iter().zip(mask) {
            (0..3).for_each(|c| products[c] += f64::from(difference[c] * share));
            squares += f64::from(share * share);
        }
        products.map(|product| product / squares.max(f64::MIN_POSITIVE))
    }

    /// The share of the region's pixels that are no mixture of the background and an object of this tint.
    pub(super) fn strays(&self, tint: [f64; 3]) -> f64 {
        let tint = tint.map(|c| c as f32);
        let length = dot(tint, tint).max(f32::MIN_POSITIVE);
        let stray = |&&difference: &&[f32; 3]| {
            let share = (dot(difference, tint) / length).clamp(0.0, 1.0);
            let off: [f32; 3] = std::array::from_fn(|c| difference[c] - share * tint[c]);
            dot(off, off) > (STRAY * STRAY) as f32
        };
        let inner = || self.difference.iter().zip(&self.inner).filter(|(_, inner)| **inner).map(|(d, _)| d);
        inner().filter(stray).count() as f64 / inner().count().max(1) as f64
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::Patch;
    use crate::world::outline::outline;
    use crate::world::parse::blobs::Blobs;
    use crate::world::raster::{Placement, cover};
    use crate::world::{Colour, Font, Object, Scene, Shape, render};

    #[test]
    fn shares_are_the_coverage_of_the_rasteriser() {
        let object = Object {
            shape: Shape::Star,
            colour: Colour::Purple,
            centre: [0.4, 0.5],
            diameter: 0.3,
            angle_degrees: 5.0,
            font: Font::Dejavu,
        };
        let picture = render(&Scene { background: Colour::Pink, objects: vec![object] }, 128);
        let blobs = Blobs::find(&picture).unwrap();
        let patch = Patch::new(&picture, &blobs, &blobs.blobs[0]);
        let placement = Placement { centre: [51.2, 64.0], radius: 19.2, degrees: 5.0 };
        let mut mask = Vec::new();
        cover(outline(Shape::Star, Font::Dejavu), &placement, patch.window, &mut mask);
        for (&found, &expected) in patch.shares.iter().zip(&mask) {
            // Bytes have steps of 1, and the tint is 150 long.
            assert!((found - expected).abs() < 0.02, "{found} and not {expected}");
        }
        let tint = patch.tint(&mask);
        let expected = [0, 1, 2].map(|c| f64::from(Colour::Purple.rgb()[c]) - f64::from(Colour::Pink.rgb()[c]));
        assert!((0..3).all(|c| (tint[c] - expected[c]).abs() < 0.5), "{tint:?}");
        assert_eq!(patch.strays(tint), 0.0);
        assert!(patch.strays([0.0, 100.0, 0.0]) > 0.9);
    }
}
