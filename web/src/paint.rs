//! What of a picture is to be painted, as a page asks for it.

use firefall_core::cascade::{Model, Request};
use firefall_core::diffusion::Resampling;
use firefall_core::image::{Mask, Picture};
use firefall_core::inpaint::{Blend, Job, region};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest side of a picture, pixels: what is held at once, several times over, fits in a worker's memory.
const MAX_SIDE: usize = 4096;

/// How to paint: the request's key `paint`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Paint {
    /// The name of a [`Resampling`].
    preset: String,
    /// Above 0 and at most 1; below 1 what is under the mask is a beginning.
    strength: f64,
    /// How much the model sees beside what is painted, in lengths of that; in [`region::CONTEXTS`].
    context: f64,
    /// [`Blend::grow`].
    grow: Option<f32>,
    /// [`Blend::feather`].
    feather: Option<f32>,
}

impl Default for Paint {
    fn default() -> Self {
        // On a CPU, where most visitors may be, anything else takes minutes.
        Self { preset: "quick".into(), strength: 1.0, context: region::CONTEXT, grow: None, feather: None }
    }
}

impl Paint {
    /// Takes the key out of a request, which has it or not.
    ///
    /// # Errors
    /// A sentence about a key that is not known, or of which the value is of no use.
    pub(crate) fn take(request: &mut Value) -> Result<Option<Self>, String> {
        let Some(value) = request.as_object_mut().and_then(|request| request.remove("paint")) else { return Ok(None) };
        let paint: Self = serde_json::from_value(value).map_err(|e| format!("in \"paint\": {e}"))?;
        paint.resampling()?;
        Ok(Some(paint))
    }

    fn resampling(&self) -> Result<Resampling, String> {
        Resampling::from_name(&self.preset)
    }

    fn blend(&self) -> Blend {
        Blend { grow: self.grow, feather: self.feather, ..Blend::default() }
    }

    /// Prepares the picture, and gives the request what it has to know.
    ///
    /// # Errors
    /// A sentence about what the picture, the mask or the numbers lack.
    pub(crate) fn job(&self, painted: Painted<'_>, request: &mut Request, model: &Model) -> Result<Job, String> {
        let (picture, mask) = painted.read()?;
        let job = Job::seeing(self.context, picture, mask, self.blend(), &model.config).map_err(|e| e.to_string())?;
        request.canvas = Some(job.canvas(&model.config, self.resampling()?, self.strength));
        Ok(job)
    }

    /// What a PNG file says of it, as the command line's do.
    pub(crate) fn described(&self) -> Result<Value, String> {
        let (resampling, blend) = (self.resampling()?, self.blend());
        Ok(json!({ "resampling": resampling, "strength": self.strength, "context": self.context, "blend": blend }))
    }
}

/// A picture and a mask as bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Painted<'a> {
    /// Four bytes a pixel; the fourth is not looked at.
    pub(crate) rgba: &'a [u8],
    /// A byte a pixel; from 128 on it is painted.
    pub(crate) mask: &'a [u8],
    /// Of both, pixels.
    pub(crate) width: usize,
    /// Of both, pixels.
    pub(crate) height: usize,
}

impl Painted<'_> {
    fn read(self) -> Result<(Picture, Mask), String> {
        let Self { rgba, mask, width, height } = self;
        if width == 0 || height == 0 || width.max(height) > MAX_SIDE {
            return Err(format!(
                "the picture has {width} x {height} pixels; a picture to paint in has from 1 to {MAX_SIDE} a side"
            ));
        }
        if rgba.len() != 4 * width * height {
            return Err(format!("{} bytes are no picture of {width} x {height}", rgba.len()));
        }
        if mask.len() != width * height {
            let bytes = mask.len();
            return Err(format!("the mask has {bytes} bytes; one for a picture of {width} x {height} has one a pixel"));
        }
        let rgb = rgba.as_chunks().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
        // A canvas draws every edge softly, and what is hard is not to become soft by that.
        let mask = Mask { width, height, alpha: mask.to_vec() }.hardened(Mask::level(0.5));
        Ok((Picture { width, height, rgb }, mask))
    }
}
