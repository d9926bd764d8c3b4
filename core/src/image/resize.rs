//! Pictures and masks at other sizes.

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::{Mask, Picture};

/// A picture at another size.
///
/// # Panics
/// If either size is 0.
#[must_use]
pub fn resized(picture: &Picture, width: usize, height: usize) -> Picture {
    let rgb = resize(&picture.rgb, PixelType::U8x3, [picture.width, picture.height], [width, height]);
    Picture { width, height, rgb }
}

/// A mask at another size; what is in part painted is painted.
///
/// # Panics
/// If either size is 0.
#[must_use]
pub fn resized_mask(mask: &Mask, width: usize, height: usize) -> Mask {
    let alpha = resize(&mask.alpha, PixelType::U8, [mask.width, mask.height], [width, height]);
    Mask { width, height, alpha: alpha.into_iter().map(|v| if v > 0 { 255 } else { 0 }).collect() }
}

/// Of 255: a pixel of which no more is left counts as painted; a mean of so little is right to a fiftieth.
const NOTHING: u8 = 25;

/// What a mask leaves of a picture, at another size: the mean of what is left in every pixel, and where nothing is.
///
/// So a pixel that the mask covers in part shows nothing of what is under the mask, and nothing is painted that reaches
/// beyond it.
///
/// # Panics
/// If either size is 0, or picture and mask differ in theirs.
#[must_use]
pub fn resized_rest(picture: &Picture, mask: &Mask, width: usize, height: usize) -> (Picture, Mask) {
    assert_eq!([picture.width, picture.height], [mask.width, mask.height], "a mask is as large as its picture");
    let pixels = picture.rgb.chunks_exact(3).zip(&mask.alpha);
    let rgba: Vec<u8> = pixels.flat_map(|(rgb, alpha)| [rgb[0], rgb[1], rgb[2], 255 - alpha]).collect();
    let rgba = resize(&rgba, PixelType::U8x4, [picture.width, picture.height], [width, height]);
    let rgb = rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    let alpha = rgba.chunks_exact(4).map(|p| if p[3] <= NOTHING { 255 } else { 0 }).collect();
    (Picture { width, height, rgb }, Mask { width, height, alpha })
}

fn resize(bytes: &[u8], kind: PixelType, from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    if from == to {
        return bytes.to_vec();
    }
    let [[w, h], [width, height]] = [from, to].map(|size| size.map(|n| n as u32));
    let source = Image::from_vec_u8(w, h, bytes.to_vec(), kind).expect("a picture has as many bytes as pixels");
    let mut result = Image::new(width, height, kind);
    // Averages of what a pixel covers; when it grows, straight lines between pixels.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut result, &options).expect("the kinds of pixels agree");
    result.into_vec()
}

#[cfg(test)]
mod tests {
    use super::{Mask, Picture, resized, resized_mask, resized_rest};

    fn picture(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 7]).collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn sizes_change_as_they_should() {
        assert_eq!(resized(&picture(6, 4), 6, 4), picture(6, 4));
        let flat = Picture::filled(50, 30, [9, 100, 255]);
        for [w, h] in [[7, 7], [128, 90], [1, 1]] {
            assert_eq!(resized(&flat, w, h), Picture::filled(w, h, [9, 100, 255]));
        }
        let mut mask = Mask::filled(64, 64, 0);
        mask.alpha[64 * 20 + 20] = 255;
        let small = resized_mask(&mask, 8, 8);
        assert!(small.is_painted(2, 2), "a pixel's paint is not lost");
        assert!(!small.is_painted(6, 6));
    }

    #[test]
    fn what_a_mask_leaves_shows_nothing_of_what_is_under_it() {
        // Green with a red square under a mask of the same size.
        let inside = |i: usize| (3..14).contains(&(i % 32)) && (5..14).contains(&(i / 32));
        let pixels = (0..32 * 32).flat_map(|i| if inside(i) { [250, 0, 0] } else { [0, 200, 0] });
        let picture = Picture { width: 32, height: 32, rgb: pixels.collect() };
        let alpha = (0..32 * 32).map(|i| if inside(i) { 255 } else { 0 }).collect();
        let (rest, painted) = resized_rest(&picture, &Mask { width: 32, height: 32, alpha }, 8, 8);
        for (i, (rgb, painted)) in rest.rgb.chunks_exact(3).zip(&painted.alpha).enumerate() {
            let green = rgb[0] == 0 && rgb[1].abs_diff(200) <= 5;
            assert!(*painted == 255 || green, "pixel {i}: {rgb:?}");
        }
        let count = painted.alpha.iter().filter(|a| **a == 255).count();
        assert!((1..=4).contains(&count), "{count} pixels lie under the mask as a whole");
    }
}
