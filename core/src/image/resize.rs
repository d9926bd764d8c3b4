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
    use super::{Mask, Picture, resized, resized_mask};

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
}
