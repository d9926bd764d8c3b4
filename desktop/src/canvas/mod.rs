//! The canvas: the picture, the mask over it, and the hand that paints.

mod cursor;
mod hand;
mod quads;
mod textures;

pub(crate) use hand::{Hand, SIZE, Tool};

use std::sync::Arc;

use eframe::egui::{Color32, Painter, Pos2, Rect, Stroke, StrokeKind, Vec2, pos2, vec2};
use eframe::egui_wgpu::RenderState;
use firefall_core::image::Mask;
use firefall_core::image::mask::Bounds;
use firefall_core::inpaint::Region;

use self::quads::Quads;
use self::textures::{Look, Sheet, Textures};
use crate::document::{Document, Edit, united};
use crate::making::Making;

/// Screen points per pixel of the picture, at least and at most.
const ZOOM: [f32; 2] = [0.02, 64.0];

/// How the mask is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Overlay {
    pub(crate) colour: Color32,
    /// From 0 to 1.
    pub(crate) opacity: f32,
    /// Only its edge.
    pub(crate) outline: bool,
}

impl Default for Overlay {
    fn default() -> Self {
        // Told from every colour of the shapes world, also by those who do not see red or green.
        Self { colour: Color32::from_rgb(255, 0, 200), opacity: 0.5, outline: false }
    }
}

/// Where the picture is on the screen, and what is drawn of it.
pub(crate) struct View {
    /// Screen points per pixel.
    pub(crate) zoom: f32,
    /// The place of the picture, in its pixels, that is in the middle.
    centre: Pos2,
    /// As large as fits, until somebody zooms.
    pub(crate) fits: bool,
    pub(crate) overlay: Overlay,
    /// Show the picture as it was opened.
    pub(crate) shows_original: bool,
    /// The share of the canvas, from the left, that shows the original.
    pub(crate) wipe: f32,
    /// Where the canvas was last drawn.
    rect: Rect,
    size: Vec2,
    textures: Textures,
    /// Where the window has a graphics device that is known.
    quads: Option<Quads>,
    /// A mask that is shown instead of the document's, and where it is another.
    tried: Option<(Arc<Mask>, Option<Bounds>)>,
    /// Where that is no longer what was drawn.
    stale: Option<Bounds>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            zoom: 1.0,
            centre: Pos2::ZERO,
            fits: true,
            overlay: Overlay::default(),
            shows_original: false,
            wipe: 0.0,
            rect: Rect::ZERO,
            size: Vec2::ZERO,
            textures: Textures::default(),
            quads: None,
            tried: None,
            stale: None,
        }
    }
}

impl View {
    /// One that draws on the window's own device.
    pub(crate) fn on(state: Option<&RenderState>) -> Self {
        Self { quads: state.and_then(Quads::new), ..Self::default() }
    }

    /// Another picture: all of it is drawn anew, and it fits.
    pub(crate) fn reset(&mut self) {
        (self.fits, self.wipe, self.textures) = (true, 0.0, Textures::default());
        (self.tried, self.stale) = (None, None);
    }

    /// Shows the mask that came of an edit instead of the document's, or again that.
    pub(crate) fn try_on(&mut self, edit: Option<&Edit>) {
        let before = self.tried.as_ref().map(|(mask, _)| Arc::as_ptr(mask));
        if before != edit.map(|edit| Arc::as_ptr(edit.mask())) {
            let tried = edit.map(|edit| (edit.mask().clone(), edit.bounds()));
            let gone = std::mem::replace(&mut self.tried, tried);
            for (_, bounds) in [&gone, &self.tried].into_iter().flatten() {
                self.stale = united(self.stale, *bounds);
            }
        }
    }

    /// Zooms around a place on the screen.
    pub(crate) fn zoom_at(&mut self, factor: f32, at: Pos2) {
        let before = self.to_picture(at);
        self.fits = false;
        self.zoom = (self.zoom * factor).clamp(ZOOM[0], ZOOM[1]);
        let after = self.to_picture(at);
        self.centre += before - after;
        self.keep_in_sight();
    }

    /// One pixel of the picture on one point of the screen.
    pub(crate) fn actual_size(&mut self) {
        (self.fits, self.zoom) = (false, 1.0);
        self.keep_in_sight();
    }

    /// Moves the picture on the screen; by nothing, it still fits.
    pub(crate) fn pan(&mut self, by: Vec2) {
        if by == Vec2::ZERO {
            return;
        }
        self.fits = false;
        self.centre -= by / self.zoom;
        self.keep_in_sight();
    }

    /// Moves the picture so far that a place of it is seen.
    pub(crate) fn reveal(&mut self, place: Pos2) {
        let at = self.to_screen(place);
        if self.rect.is_positive() {
            self.pan(at.clamp(self.rect.min, self.rect.max) - at);
        }
    }

    fn keep_in_sight(&mut self) {
        self.centre = self.centre.clamp(Pos2::ZERO, self.size.to_pos2());
    }

    /// A place on the screen in pixels of the picture.
    pub(crate) fn to_picture(&self, at: Pos2) -> Pos2 {
        self.centre + (at - self.rect.center()) / self.zoom
    }

    pub(crate) fn to_screen(&self, at: Pos2) -> Pos2 {
        self.rect.center() + (at - self.centre) * self.zoom
    }

    fn rect_of(&self, from: Pos2, size: Vec2) -> Rect {
        Rect::from_min_size(self.to_screen(from), size * self.zoom)
    }

    /// Draws everything but the cursor.
    pub(crate) fn draw(&mut self, painter: &Painter, rect: Rect, document: &mut Document, making: &Making) {
        let (width, height) = (document.picture().width, document.picture().height);
        (self.rect, self.size) = (rect, vec2(width as f32, height as f32));
        if self.fits {
            let room = (rect.size() - Vec2::splat(24.0)).max(Vec2::splat(16.0));
            self.zoom = (room / self.size).min_elem().clamp(ZOOM[0], ZOOM[1]);
            self.centre = (self.size / 2.0).to_pos2();
        }
        let before = if self.shows_original { 1.0 } else { self.wipe };
        let tried = self.tried.as_ref().map(|(mask, _)| &**mask);
        let tried = tried.filter(|mask| [mask.width, mask.height] == [width, height]);
        let stale = self.stale.take();
        let look = Look { overlay: self.overlay, zoom: self.zoom, original: before > 0.0, tried, stale };
        self.textures.update(painter.ctx(), document, making, &look);
        let place = self.rect_of(Pos2::ZERO, self.size);
        frame(painter, place.intersect(rect));
        let patch = self.textures.patch.as_ref().zip(making.waiting()).map(|(sheet, (job, _))| {
            let Region { left, top, side } = job.region();
            (sheet, self.rect_of(pos2(left as f32, top as f32), Vec2::splat(side as f32)))
        });
        if let Some(sheet) = &self.textures.picture {
            // What lies under the patch need not be drawn.
            let parts = patch.as_ref().map_or_else(|| vec![place], |(_, patch)| around(place, *patch).to_vec());
            parts.into_iter().for_each(|part| self.show(painter, sheet, place, part));
        }
        if let Some((sheet, patch)) = patch {
            // A region may reach beyond the picture.
            self.show(painter, sheet, patch, place.intersect(patch));
        }
        let mask = self.textures.mask.as_ref().zip(self.textures.marked);
        if let Some((sheet, marked)) = mask.filter(|_| making.waiting().is_none()) {
            let Bounds { left, top, right, bottom } = marked;
            let size = vec2((right - left) as f32, (bottom - top) as f32);
            self.show(painter, sheet, place, self.rect_of(pos2(left as f32, top as f32), size));
        }
        if let Some(sheet) = self.textures.original.as_ref().filter(|_| before > 0.0) {
            let part = Rect::from_min_size(place.min, vec2(place.width() * before, place.height()));
            self.show(painter, sheet, place, part);
            if before < 1.0 {
                let stroke = Stroke::new(2.0, Color32::WHITE);
                painter.vline(part.right(), part.y_range(), stroke);
            }
        }
    }

    /// Draws what of a sheet, stretched over `place`, lies within `part`.
    fn show(&self, painter: &Painter, sheet: &Sheet, place: Rect, part: Rect) {
        let part = part.intersect(painter.clip_rect());
        if !part.is_positive() {
            return;
        }
        let (id, scale) = (sheet.texture.id(), painter.pixels_per_point());
        let quad =
            self.quads.as_ref().filter(|_| !sheet.is_fresh).and_then(|quads| quads.shape(id, place, part, scale));
        match quad {
            Some(quad) => {
                painter.add(quad);
            }
            None => {
                let whole = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
                painter.with_clip_rect(part).image(id, place, whole, Color32::WHITE);
            }
        }
    }
}

/// What is around a picture, so that black and white ones end somewhere.
fn frame(painter: &Painter, place: Rect) {
    painter.rect_stroke(place, 0.0, Stroke::new(1.0, Color32::from_gray(128)), StrokeKind::Outside);
}

/// What of a rectangle is not under another: above, below, left and right of it.
fn around(whole: Rect, hole: Rect) -> [Rect; 4] {
    // Scissors cut between pixels: the parts meet where the hole begins.
    let hole = Rect::from_min_max(hole.min.round(), hole.max.round()).intersect(whole);
    if !hole.is_positive() {
        return [whole, Rect::NOTHING, Rect::NOTHING, Rect::NOTHING];
    }
    [
        Rect::from_min_max(whole.min, pos2(whole.max.x, hole.min.y)),
        Rect::from_min_max(pos2(whole.min.x, hole.max.y), whole.max),
        Rect::from_min_max(pos2(whole.min.x, hole.min.y), pos2(hole.min.x, hole.max.y)),
        Rect::from_min_max(pos2(hole.max.x, hole.min.y), pos2(whole.max.x, hole.max.y)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_a_hole_is_everything_but_the_hole() {
        let whole = Rect::from_min_max(pos2(10.0, 20.0), pos2(50.0, 40.0));
        for hole in [
            Rect::from_min_max(pos2(20.0, 25.0), pos2(30.0, 35.0)),
            Rect::from_min_max(pos2(0.0, 0.0), pos2(30.0, 100.0)),
            Rect::from_min_max(pos2(0.0, 0.0), pos2(100.0, 100.0)),
            Rect::from_min_max(pos2(60.0, 0.0), pos2(70.0, 10.0)),
        ] {
            let parts = around(whole, hole);
            for (x, y) in (10..50).flat_map(|x| (20..40).map(move |y| (x, y))) {
                let at = pos2(x as f32 + 0.5, y as f32 + 0.5);
                let covered = parts.iter().filter(|part| part.contains(at)).count();
                assert_eq!(covered, usize::from(!hole.contains(at)), "{at:?} of {hole:?}");
            }
        }
    }
}
