//! What of a document is on the graphics device. Only what changed is sent again.

use eframe::egui::{Color32, ColorImage, Context, TextureHandle, TextureOptions};
use firefall_core::image::mask::Bounds;
use firefall_core::image::{Mask, Picture, resized};

use super::Overlay;
use crate::document::Document;
use crate::making::Making;

/// From here on single pixels are shown as squares.
const CRISP: f32 = 4.0;
/// The largest region of which a preview is blended as the result will be; of larger ones the raw square is shown.
const BLENDED: usize = 1024;

#[derive(Default)]
pub(super) struct Textures {
    pub(super) picture: Option<TextureHandle>,
    pub(super) original: Option<TextureHandle>,
    pub(super) mask: Option<TextureHandle>,
    pub(super) patch: Option<TextureHandle>,
    overlay: Option<Overlay>,
    crisp: bool,
    patch_of: u64,
}

impl Textures {
    pub(super) fn update(&mut self, ctx: &Context, document: &mut Document, making: &Making, look: (Overlay, f32)) {
        let (overlay, zoom) = look;
        let crisp = zoom >= CRISP;
        let most = ctx.input(|input| input.max_texture_side);
        let dirty = document.take_dirty();
        let anew = self.picture.is_none() || self.crisp != crisp;
        self.crisp = crisp;
        let options = if crisp { TextureOptions::NEAREST } else { TextureOptions::LINEAR };
        if self.original.is_none() || anew {
            let image = picture_image(document.original(), most);
            self.original = Some(ctx.load_texture("original", image, options));
        }
        let changed = dirty.and_then(|dirty| dirty.picture);
        let (width, height) = (document.picture().width, document.picture().height);
        let fits = width.max(height) <= most;
        match (&mut self.picture, changed) {
            (Some(texture), Some(bounds)) if fits && !anew => {
                let part = part_of(document.picture(), bounds);
                texture.set_partial([bounds.left, bounds.top], part, options);
            }
            (Some(_), None) if !anew => {}
            (slot, _) => *slot = Some(ctx.load_texture("picture", picture_image(document.picture(), most), options)),
        }
        let changed = dirty.and_then(|dirty| dirty.mask);
        let looks_other = self.overlay != Some(overlay) || anew || overlay.outline;
        match (&mut self.mask, changed) {
            (Some(texture), Some(bounds)) if fits && !looks_other => {
                texture.set_partial([bounds.left, bounds.top], mask_part(document.mask(), bounds, overlay), options);
            }
            (Some(_), None) if !looks_other || (self.overlay == Some(overlay) && !anew) => {}
            (slot, _) => *slot = Some(ctx.load_texture("mask", mask_image(document.mask(), overlay, most), options)),
        }
        self.overlay = Some(overlay);
        self.update_patch(ctx, making, options);
    }

    fn update_patch(&mut self, ctx: &Context, making: &Making, options: TextureOptions) {
        let Some((job, variation)) = making.waiting() else {
            self.patch = None;
            return;
        };
        if self.patch.is_some() && self.patch_of == making.revision {
            return;
        }
        self.patch_of = making.revision;
        let blended = (job.region().side <= BLENDED).then(|| job.patch(&variation.painted));
        let shown = blended.as_ref().unwrap_or(&variation.painted);
        let image = ColorImage::from_rgb([shown.width, shown.height], &shown.rgb);
        match &mut self.patch {
            Some(texture) => texture.set(image, options),
            None => self.patch = Some(ctx.load_texture("patch", image, options)),
        }
    }
}

/// The size at which a picture of a size is shown where the device takes at most `most` pixels a side.
fn shown([width, height]: [usize; 2], most: usize) -> [usize; 2] {
    let scale = (most as f64 / width.max(height) as f64).min(1.0);
    [width, height].map(|side| ((side as f64 * scale) as usize).max(1))
}

fn picture_image(picture: &Picture, most: usize) -> ColorImage {
    let size = [picture.width, picture.height];
    let small = shown(size, most);
    if small == size {
        return ColorImage::from_rgb(size, &picture.rgb);
    }
    let picture = resized(picture, small[0], small[1]);
    ColorImage::from_rgb(small, &picture.rgb)
}

fn part_of(picture: &Picture, bounds: Bounds) -> ColorImage {
    let Bounds { left, top, right, bottom } = bounds;
    let row = |y: usize| &picture.rgb[3 * (y * picture.width + left)..3 * (y * picture.width + right)];
    let rgb: Vec<u8> = (top..bottom).flat_map(row).copied().collect();
    ColorImage::from_rgb([right - left, bottom - top], &rgb)
}

fn tint(alpha: u8, overlay: Overlay) -> Color32 {
    overlay.colour.gamma_multiply(f32::from(alpha) / 255.0 * overlay.opacity)
}

fn mask_part(mask: &Mask, bounds: Bounds, overlay: Overlay) -> ColorImage {
    let Bounds { left, top, right, bottom } = bounds;
    let row = |y: usize| mask.alpha[y * mask.width + left..y * mask.width + right].iter();
    let pixels = (top..bottom).flat_map(row).map(|alpha| tint(*alpha, overlay)).collect();
    ColorImage::new([right - left, bottom - top], pixels)
}

fn mask_image(mask: &Mask, overlay: Overlay, most: usize) -> ColorImage {
    let outline = |x: usize, y: usize| {
        let here = mask.is_painted(x, y);
        let near = [(x.saturating_sub(1), y), (x + 1, y), (x, y.saturating_sub(1)), (x, y + 1)];
        let other = |(x, y): (usize, usize)| x < mask.width && y < mask.height && !mask.is_painted(x, y);
        if here && near.into_iter().any(other) { 255 } else { 0 }
    };
    let size = [mask.width, mask.height];
    let [width, height] = shown(size, most);
    let at = |x: usize, y: usize| (x * size[0] / width, y * size[1] / height);
    let pixel = |(x, y): (usize, usize)| {
        if overlay.outline {
            tint(outline(x, y), Overlay { opacity: 1.0, ..overlay })
        } else {
            tint(mask.alpha[y * mask.width + x], overlay)
        }
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(at(x, y))).collect();
    ColorImage::new([width, height], pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_shown_smaller() {
        assert_eq!(shown([100, 50], 200), [100, 50]);
        assert_eq!(shown([1000, 10], 100), [100, 1]);
        assert_eq!(shown([1, 60_000], 2048), [1, 2048]);
        let picture = Picture::filled(300, 20, [9, 8, 7]);
        assert_eq!(picture_image(&picture, 100).size, [100, 6]);
    }

    #[test]
    fn an_outline_is_only_the_edge() {
        let mut mask = Mask::filled(9, 9, 0);
        for (x, y) in (2..7).flat_map(|y| (2..7).map(move |x| (x, y))) {
            mask.alpha[y * 9 + x] = 255;
        }
        let overlay = Overlay { outline: true, ..Overlay::default() };
        let image = mask_image(&mask, overlay, 64);
        let seen = |x: usize, y: usize| image.pixels[y * 9 + x] != Color32::TRANSPARENT;
        assert!(seen(2, 2) && seen(4, 2) && !seen(4, 4) && !seen(0, 0));
    }
}
