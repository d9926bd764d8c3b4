//! Pictures as bytes, and as tensors in [-1, 1]; masks over them; both at other sizes.

pub mod mask;
pub mod resize;

use burn::tensor::Tensor;

pub use mask::Mask;
pub use resize::{resized, resized_mask, resized_rest};

/// Why a tensor could not become pictures.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PixelError {
    /// The device did not hand the tensor over.
    #[error("the device failed: {0}")]
    Device(String),
    /// A value is NaN or infinite.
    #[error("the network gave values that are no numbers")]
    NotFinite,
}

/// An 8-bit sRGB picture, row by row, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    #[must_use]
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, rgb: colour.repeat(width * height) }
    }

    /// The pixel in column `x` of row `y`.
    ///
    /// # Panics
    /// Outside the picture.
    #[must_use]
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// The picture as the networks see it: in [-1, 1], red, green and blue one after the other, `3 * width * height`.
    #[must_use]
    pub fn planes(&self) -> Vec<f32> {
        let channel = |c: usize| self.rgb.iter().skip(c).step_by(3).map(|&v| f32::from(v) / 127.5 - 1.0);
        (0..3).flat_map(channel).collect()
    }

    /// From [`planes`](Self::planes); values beyond [-1, 1] are clamped.
    #[must_use]
    pub fn from_planes(planes: &[f32], width: usize, height: usize) -> Self {
        let n = width * height;
        let byte = |v: f32| ((v.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
        let rgb = (0..n).flat_map(|i| [0, 1, 2].map(|c| byte(planes[c * n + i]))).collect();
        Self { width, height, rgb }
    }

    /// Reads a batch back.
    ///
    /// # Shapes
    /// - x: `[b, 3, h, w]`
    ///
    /// # Errors
    /// If the device fails or a value is not finite.
    pub async fn read(x: Tensor<4>) -> Result<Vec<Self>, PixelError> {
        let [_, c, h, w] = x.dims();
        let data = x.into_data_async().await.map_err(|e| PixelError::Device(format!("{e:?}")))?;
        let values: Vec<f32> = data.try_into_vec_as().map_err(|e| PixelError::Device(format!("{e:?}")))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(PixelError::NotFinite);
        }
        Ok(values.chunks_exact(c * h * w).map(|planes| Self::from_planes(planes, w, h)).collect())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::{Picture, PixelError};

    #[test]
    fn what_is_no_number_is_no_picture() {
        let read = |wrong: f32| {
            let x = Tensor::<4>::from_data([[[[0.5f32]], [[wrong]], [[2.0]]]], &Device::flex());
            pollster::block_on(Picture::read(x))
        };
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(read(wrong), Err(PixelError::NotFinite), "{wrong}");
        }
        assert_eq!(read(f32::MAX), Ok(vec![Picture { width: 1, height: 1, rgb: vec![191, 255, 255] }]));
    }

    #[test]
    fn planes_and_bytes_are_inverse() {
        let rgb: Vec<u8> = (0..=255).flat_map(|v: u8| [v, 255 - v, v / 2]).collect();
        let picture = Picture { width: 32, height: 8, rgb };
        let planes = picture.planes();
        assert_eq!((planes[0], planes[256]), (-1.0, 1.0));
        assert_eq!(Picture::from_planes(&planes, 32, 8), picture);
    }
}
