//! Inpainting: a picture of any size and a mask in, the picture with something else under the mask out.
//!
//! [`Job::new`] cuts out the square that the model works on and makes a [`Canvas`] of it for a request; [`Job::finish`]
//! puts what came of it back. Outside the feathered mask every byte is the input's. The model paints all that the mask
//! paints, be it in part; how much of it is seen then is the mask's value.

pub mod blend;
pub mod region;
pub mod seam;

pub use blend::Blend;
pub use region::Region;
pub use seam::seam_ratio;

use crate::cascade::{Canvas, ModelConfig};
use crate::diffusion::Resampling;
use crate::image::{Mask, Picture, resized, resized_mask};

/// Why nothing can be painted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InpaintError {
    /// Nothing is to be painted.
    #[error("the mask is empty; paint over what should change")]
    EmptyMask,
    /// The mask belongs to another picture.
    #[error("the mask has {} x {} pixels and the picture {} x {}", mask[0], mask[1], picture[0], picture[1])]
    Sizes {
        /// Width and height.
        mask: [usize; 2],
        /// Width and height.
        picture: [usize; 2],
    },
    /// Numbers that make no sense.
    #[error("{0}")]
    Settings(String),
}

/// A picture at work.
#[derive(Debug, Clone)]
pub struct Job {
    picture: Picture,
    /// What the model is to paint, as a whole: all that the mask paints at all, and what is blended over too, so that nothing
    /// of the old shows through.
    painted: Mask,
    region: Region,
    blend: Blend,
    /// The share of what is painted in every pixel.
    weights: Mask,
}

impl Job {
    /// Prepares `picture`, to be painted where `mask` says so by a model of `config`.
    ///
    /// # Errors
    /// If there is nothing to paint, the sizes differ, or `blend` makes no sense.
    pub fn new(picture: Picture, mask: Mask, blend: Blend, config: &ModelConfig) -> Result<Self, InpaintError> {
        Self::seeing(region::CONTEXT, picture, mask, blend, config)
    }

    /// The same with a model that sees `context` times the length of what is painted beside it, or as much as the edge
    /// needs.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and if `context` makes no sense.
    pub fn seeing(
        context: f64,
        picture: Picture,
        mask: Mask,
        blend: Blend,
        config: &ModelConfig,
    ) -> Result<Self, InpaintError> {
        blend.validate().map_err(InpaintError::Settings)?;
        let [least, most] = region::CONTEXTS;
        if !(least..=most).contains(&context) {
            return Err(InpaintError::Settings(format!("context is {context}; it must be from {least} to {most}")));
        }
        let sizes = [[mask.width, mask.height], [picture.width, picture.height]];
        if sizes[0] != sizes[1] {
            return Err(InpaintError::Sizes { mask: sizes[0], picture: sizes[1] });
        }
        let bounds = mask.bounds().ok_or(InpaintError::EmptyMask)?;
        let around = |least: usize| Region::around(bounds, sizes[1], least, context);
        let [grow, feather] = blend.widths(around(config.size()).side);
        // What goes over into what was there must not end where the region does.
        let room = bounds.long() + 2 * ((grow + feather).ceil() as usize + 1);
        let blend = Blend { grow: Some(grow), feather: Some(feather), ..blend };
        Ok(Self::over(picture, mask, blend, around(config.size().max(room))))
    }

    fn over(picture: Picture, mask: Mask, blend: Blend, region: Region) -> Self {
        let [grow, _] = blend.widths(region.side);
        let (painted, weights) = (mask.hardened(1).grown(grow), blend.weights(&mask, region));
        Self { picture, painted, region, blend, weights }
    }

    /// The square that the model works on.
    #[must_use]
    pub fn region(&self) -> Region {
        self.region
    }

    /// What a request needs. `strength` below 1 begins with what is under the mask instead of with noise alone.
    #[must_use]
    pub fn canvas(&self, config: &ModelConfig, resampling: Resampling, strength: f64) -> Canvas {
        let side = config.size();
        Canvas {
            picture: resized(&self.region.crop(&self.picture), side, side),
            mask: Some(resized_mask(&self.region.crop_mask(&self.painted), side, side)),
            strength,
            resampling,
        }
    }

    /// The share of what is painted in every pixel of the result; where it is 0, every byte stays.
    #[must_use]
    pub fn weights(&self) -> &Mask {
        &self.weights
    }

    /// The region with what the model painted, a square of any size: what a preview has to draw.
    #[must_use]
    pub fn patch(&self, painted: &Picture) -> Picture {
        let side = self.region.side;
        let masks = [&self.painted, &self.weights];
        blend::over(&self.picture, masks, self.region, &resized(painted, side, side), self.blend.match_colour)
    }

    /// The whole picture with what the model painted.
    #[must_use]
    pub fn finish(&self, painted: &Picture) -> Picture {
        let (mut result, patch) = (self.picture.clone(), self.patch(painted));
        let size = [result.width, result.height];
        for i in 0..self.region.side * self.region.side {
            if let Some(at) = self.region.inside(i % self.region.side, i / self.region.side, size) {
                result.rgb[3 * at..3 * at + 3].copy_from_slice(&patch.rgb[3 * i..3 * i + 3]);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
