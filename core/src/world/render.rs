//! Scenes to pictures, and pictures to contact sheets.

use super::Scene;
use super::outline::outline;
use super::raster::{Placement, cover};
use crate::image::Picture;

/// Pixels between the pictures of a sheet.
const GAP: usize = 2;
/// What lies between them.
const GAP_COLOUR: [u8; 3] = [0x80; 3];

/// Draws `scene` at `size` by `size` pixels, with the exact coverage of every pixel blended in sRGB bytes.
///
/// Objects are painted in their order; what reaches beyond the picture or is not finite is left out.
#[must_use]
pub fn render(scene: &Scene, size: usize) -> Picture {
    let mut picture = Picture::filled(size, size, scene.background.rgb());
    let mut mask = Vec::new();
    let scale = size as f64;
    for object in &scene.objects {
        let placement = Placement {
            centre: object.centre.map(|c| c * scale),
            radius: object.diameter / 2.0 * scale,
            degrees: object.angle_degrees,
        };
        let Some(window) = placement.window(size, size) else { continue };
        cover(outline(object.shape, object.font), &placement, window, &mut mask);
        let colour = object.colour.rgb().map(f32::from);
        for (row, shares) in mask.chunks_exact(window.width).enumerate() {
            let start = 3 * ((window.y + row) * size + window.x);
            let pixels = picture.rgb[start..start + 3 * window.width].chunks_exact_mut(3);
            for (pixel, &share) in pixels.zip(shares).filter(|(_, share)| **share > 0.0) {
                for (byte, &full) in pixel.iter_mut().zip(&colour) {
                    let under = f32::from(*byte);
                    *byte = (under + share * (full - under)).round() as u8;
                }
            }
        }
    }
    picture
}

/// A contact sheet: `pictures` row by row in `columns` columns (at least one), 2 pixels of gray between them.
///
/// Every cell is as large as the largest picture; smaller ones lie in its top left corner. No pictures give a picture
/// of no pixels.
#[must_use]
pub fn sheet(pictures: &[Picture], columns: usize) -> Picture {
    let columns = columns.clamp(1, pictures.len().max(1));
    let rows = pictures.len().div_ceil(columns);
    let cell = |side: fn(&Picture) -> usize| pictures.iter().map(side).max().unwrap_or(0);
    let (width, height) = (cell(|p| p.width), cell(|p| p.height));
    let span = |count: usize, side: usize| (count * (side + GAP)).saturating_sub(GAP);
    let mut whole = Picture::filled(span(columns, width), span(rows, height), GAP_COLOUR);
    for (i, picture) in pictures.iter().enumerate() {
        let (left, top) = ((i % columns) * (width + GAP), (i / columns) * (height + GAP));
        for y in 0..picture.height {
            let (from, to) = (3 * y * picture.width, 3 * ((top + y) * whole.width + left));
            let length = 3 * picture.width;
            whole.rgb[to..to + length].copy_from_slice(&picture.rgb[from..from + length]);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::{render, sheet};
    use crate::image::Picture;
    use crate::world::{Colour, Font, Object, Scene, Shape};

    fn scene(centre: [f64; 2], diameter: f64) -> Scene {
        let (shape, colour, font) = (Shape::Circle, Colour::Red, Font::Dejavu);
        let object = Object { shape, colour, centre, diameter, angle_degrees: 0.0, font };
        Scene { background: Colour::White, objects: vec![object] }
    }

    #[test]
    fn the_colours_are_those_of_the_palette() {
        let picture = render(&scene([0.5, 0.5], 0.5), 32);
        assert_eq!(picture.pixel(0, 0), Colour::White.rgb());
        assert_eq!(picture.pixel(16, 16), Colour::Red.rgb());
        // Summed over the picture, the blend is linear in the area of the disc.
        let area = std::f64::consts::PI * 64.0;
        let green = |c: Colour| f64::from(c.rgb()[1]);
        let sum: f64 = picture.rgb.chunks_exact(3).map(|p| f64::from(p[1])).sum();
        let expected = green(Colour::White) * 1024.0 + area * (green(Colour::Red) - green(Colour::White));
        assert!((sum - expected).abs() < 30.0, "{sum} and not {expected}");
    }

    #[test]
    fn impossible_objects_leave_the_background() {
        let empty = Picture::filled(8, 8, Colour::White.rgb());
        for (centre, diameter) in [([2.0, 0.5], 0.3), ([0.5, f64::NAN], 0.3), ([0.5, 0.5], f64::INFINITY)] {
            assert_eq!(render(&scene(centre, diameter), 8), empty);
        }
        assert_eq!(render(&scene([0.5, 0.5], 0.3), 0).rgb.len(), 0);
        // Half of it is outside.
        assert_eq!(render(&scene([0.0, 0.5], 0.8), 8).pixel(0, 4), Colour::Red.rgb());
    }

    #[test]
    fn a_sheet_has_gaps_and_no_rim() {
        let pictures: Vec<_> = [10u8, 20, 30].iter().map(|&v| Picture::filled(3, 2, [v; 3])).collect();
        let sheet = sheet(&pictures, 2);
        assert_eq!((sheet.width, sheet.height), (8, 6));
        assert_eq!((sheet.pixel(2, 1), sheet.pixel(5, 0), sheet.pixel(0, 4)), ([10; 3], [20; 3], [30; 3]));
        assert_eq!((sheet.pixel(3, 0), sheet.pixel(5, 5)), ([0x80; 3], [0x80; 3]));
        assert_eq!(super::sheet(&[], 0).rgb.len(), 0);
    }
}
