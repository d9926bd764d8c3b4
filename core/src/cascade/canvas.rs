//! A picture that a request starts from, or paints into.

use burn::tensor::{Device, Tensor, TensorData};

use crate::diffusion::{Known, Resampling};
use crate::image::{Mask, Picture, resized, resized_mask, resized_rest};

/// What is there before the model works: a square, brought to the size of each stage. It goes for every picture of the
/// request.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    /// As wide as high.
    pub picture: Picture,
    /// What to paint; everything if absent.
    pub mask: Option<Mask>,
    /// How much of the way from noise is walked, above 0 and at most 1; 1 starts from noise alone.
    pub strength: f64,
    /// How often the walk turns back; counts with a mask only.
    pub resampling: Resampling,
}

/// Steps of a walk that begins with a picture.
pub(super) fn walked(strength: f64, steps: usize) -> usize {
    ((strength * steps as f64).round() as usize).clamp(1, steps)
}

impl Canvas {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A sentence that names what is wrong and its value.
    pub fn validate(&self) -> Result<(), String> {
        let Picture { width, height, .. } = self.picture;
        if width == 0 || width != height {
            return Err(format!("the picture to paint in has {width} x {height} pixels; it must be a square"));
        }
        if let Some(mask) = &self.mask
            && (mask.width, mask.height) != (width, height)
        {
            return Err(format!(
                "the mask has {} x {} pixels, its picture {width} x {height}",
                mask.width, mask.height
            ));
        }
        if !(self.strength > 0.0 && self.strength <= 1.0) {
            return Err(format!("strength is {}; it must be above 0 and at most 1", self.strength));
        }
        self.resampling.validate()
    }

    /// Steps of a stage that has `steps` without a canvas.
    #[must_use]
    pub fn steps(&self, steps: usize) -> usize {
        let walked = walked(self.strength, steps);
        if self.mask.is_some() { self.resampling.steps(walked) } else { walked }
    }

    /// `[b, 3, size, size]`, the picture.
    pub(super) fn picture(&self, batch: usize, size: usize, device: &Device) -> Tensor<4> {
        planes(&resized(&self.picture, size, size), batch, device)
    }

    /// What is known of it; nothing without a mask.
    pub(super) fn known(&self, batch: usize, size: usize, device: &Device) -> Option<Known> {
        let mask = self.mask.as_ref()?;
        // What a small stage paints, a later one cannot take back: it paints what lies under the mask as a whole, and what
        // lies there in part is known by the rest.
        let (picture, mask) = match size < mask.width {
            true => resized_rest(&self.picture, mask, size, size),
            false => (resized(&self.picture, size, size), resized_mask(mask, size, size)),
        };
        let keep = mask.alpha.iter().map(|&v| if v == 0 { 1.0f32 } else { 0.0 }).collect::<Vec<_>>();
        let keep = Tensor::from_data(TensorData::new(keep, [1, 1, size, size]), device).repeat_dim(0, batch);
        Some(Known { x0: planes(&picture, batch, device), keep })
    }
}

/// `[b, 3, h, w]`, the same picture `batch` times.
fn planes(picture: &Picture, batch: usize, device: &Device) -> Tensor<4> {
    let shape = [1, 3, picture.height, picture.width];
    Tensor::from_data(TensorData::new(picture.planes(), shape), device).repeat_dim(0, batch)
}
