//! What of a document is on the graphics device. Only what changed is sent again.

use eframe::egui::{Color32, ColorImage, Context, ImageData, TextureHandle, TextureOptions};
use firefall_core::image::mask::Bounds;
use firefall_core::image::{Mask, Picture, resized};

use super::Overlay;
use crate::document::{Document, united};
use crate::making::Making;

/// From here on single pixels are shown as squares.
const CRISP: f32 = 4.0;

/// One of them.
pub(super) struct Sheet {
    pub(super) texture: TextureHandle,
    /// Whether all of it was sent in this frame: only egui knows then where it is.
    pub(super) is_fresh: bool,
}

impl Sheet {
    fn new(ctx: &Context, name: &str, image: impl Into<ImageData>, options: TextureOptions) -> Self {
        Self { texture: ctx.load_texture(name, image, options), is_fresh: true }
    }
}

#[derive(Default)]
pub(super) struct Textures {
    pub(super) picture: Option<Sheet>,
    pub(super) original: Option<Sheet>,
    pub(super) mask: Option<Sheet>,
    /// Outside of this nothing of the mask is seen.
    pub(super) marked: Option<Bounds>,
    pub(super) patch: Option<Sheet>,
    overlay: Option<Overlay>,
    crisp: bool,
    /// Of the picture that they show.
    size: [usize; 2],
    patch_of: u64,
}

/// How the document is looked at.
pub(super) struct Look<'a> {
    pub(super) overlay: Overlay,
    pub(super) zoom: f32,
    /// Whether anything of the original is seen.
    pub(super) original: bool,
    /// A mask that is shown instead of the document's, of the same size.
    pub(super) tried: Option<&'a Mask>,
    /// Where what is shown of the mask is another than before, besides what the document says.
    pub(super) stale: Option<Bounds>,
}

impl Textures {
    pub(super) fn update(&mut self, ctx: &Context, document: &mut Document, making: &Making, look: &Look<'_>) {
        for sheet in [&mut self.picture, &mut self.original, &mut self.mask, &mut self.patch].into_iter().flatten() {
            sheet.is_fresh = false;
        }
        let (overlay, crisp) = (look.overlay, look.zoom >= CRISP);
        let most = ctx.input(|input| input.max_texture_side);
        let dirty = document.take_dirty();
        let (width, height) = (document.picture().width, document.picture().height);
        let anew = self.picture.is_none() || self.crisp != crisp || self.size != [width, height];
        (self.crisp, self.size) = (crisp, [width, height]);
        let options = if crisp { TextureOptions::NEAREST } else { TextureOptions::LINEAR };
        if anew {
            self.original = None;
        }
        if look.original && self.original.is_none() {
            let image = picture_image(document.original(), most);
            self.original = Some(Sheet::new(ctx, "original", image, options));
        }
        let changed = dirty.and_then(|dirty| dirty.picture);
        let fits = width.max(height) <= most;
        match (&mut self.picture, changed) {
            (Some(sheet), Some(bounds)) if fits && !anew => {
                let part = part_of(document.picture(), bounds);
                sheet.texture.set_partial([bounds.left, bounds.top], part, options);
            }
            (Some(_), None) if !anew => {}
            (slot, _) => *slot = Some(Sheet::new(ctx, "picture", picture_image(document.picture(), most), options)),
        }
        let mask: &Mask = look.tried.unwrap_or(document.mask());
        let changed = united(dirty.and_then(|dirty| dirty.mask), look.stale);
        let looks_other = self.overlay != Some(overlay) || anew || overlay.outline;
        match (&mut self.mask, changed) {
            (Some(sheet), Some(bounds)) if fits && !looks_other => {
                sheet.texture.set_partial([bounds.left, bounds.top], mask_part(mask, bounds, overlay), options);
                self.marked = united(self.marked, Some(bounds));
            }
            (Some(_), None) if !looks_other || (self.overlay == Some(overlay) && !anew) => {}
            (slot, _) => {
                *slot = Some(Sheet::new(ctx, "mask", mask_image(mask, overlay, most), options));
                self.marked = mask.bounds();
            }
        }
        self.overlay = Some(overlay);
        self.update_patch(ctx, making, options);
    }

    fn update_patch(&mut self, ctx: &Context, making: &Making, options: TextureOptions) {
        let Some((number, image)) = &making.patch else {
            self.patch = None;
            return;
        };
        match &mut self.patch {
            Some(_) if self.patch_of == *number => {}
            _ => self.patch = Some(Sheet::new(ctx, "patch", image.clone(), options)),
        }
        self.patch_of = *number;
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

/// What every value of a mask looks like: there are fewer values than pixels.
fn tints(overlay: Overlay) -> [Color32; 256] {
    std::array::from_fn(|alpha| overlay.colour.gamma_multiply(alpha as f32 / 255.0 * overlay.opacity))
}

fn mask_part(mask: &Mask, bounds: Bounds, overlay: Overlay) -> ColorImage {
    let Bounds { left, top, right, bottom } = bounds;
    let (tints, mut pixels) = (tints(overlay), Vec::with_capacity((right - left) * (bottom - top)));
    for y in top..bottom {
        let row = &mask.alpha[y * mask.width + left..y * mask.width + right];
        pixels.extend(row.iter().map(|alpha| tints[usize::from(*alpha)]));
    }
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
    let tints = tints(if overlay.outline { Overlay { opacity: 1.0, ..overlay } } else { overlay });
    let pixel = |(x, y): (usize, usize)| {
        let alpha = if overlay.outline { outline(x, y) } else { mask.alpha[y * mask.width + x] };
        tints[usize::from(alpha)]
    };
    if !overlay.outline && [width, height] == size {
        let all = Bounds { left: 0, top: 0, right: width, bottom: height };
        return mask_part(mask, all, overlay);
    }
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
    fn a_mask_that_is_tried_on_is_shown_instead_and_no_longer() {
        let (ctx, making) = (Context::default(), Making::default());
        let mut document = Document::new(Picture::filled(90, 70, [255; 3]));
        let mut textures = Textures::default();
        let all = Bounds { left: 0, top: 0, right: 90, bottom: 70 };
        let mut tried = Mask::filled(90, 70, 0);
        tried.alpha[30 * 90 + 20] = 255;
        let here = Bounds { left: 20, top: 30, right: 21, bottom: 31 };
        let look = Look { overlay: Overlay::default(), zoom: 1.0, original: false, tried: None, stale: None };
        textures.update(&ctx, &mut document, &making, &look);
        assert_eq!(textures.marked, None);
        textures.update(&ctx, &mut document, &making, &Look { tried: Some(&tried), stale: Some(here), ..look });
        assert_eq!(textures.marked, Some(here));
        assert!(document.take_dirty().is_none() && document.mask().alpha.iter().all(|v| *v == 0));
        // With another look all of it is sent again.
        let other = Overlay { opacity: 1.0, ..Overlay::default() };
        textures.update(&ctx, &mut document, &making, &Look { overlay: other, stale: Some(all), ..look });
        assert_eq!(textures.marked, None, "it is put back");
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
