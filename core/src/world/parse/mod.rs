//! Reading a picture back, exactly or not at all.
//!
//! 1. `blobs`: the background is what the border is made of; every connected region of other pixels is one object.
//! 2. `patch`: a region becomes soft coverage, by how far its pixels lie on the way from background to object.
//! 3. `coarse`: the few templates (ten figures, ten digits in three fonts) that look most like it.
//! 4. `fit`: each of them is laid over the region, with its place, size, angle and the softness of its edges free, and
//!    drawn by the same rasteriser that draws scenes.
//! 5. Here: the best one is the object, if it is good and clearly better than all other shapes. A picture in which any
//!    region fails is [`Unreadable`]; there is no nearest guess.

mod blobs;
mod coarse;
mod fit;
mod patch;
mod unreadable;

use self::blobs::{Blob, Blobs};
use self::coarse::candidates;
use self::fit::Fit;
use self::patch::Patch;
pub use self::unreadable::Unreadable;
use super::judge::SIZE_WIDENING;
use super::palette::TOLERANCE;
use super::{Colour, Group, Scene, Shape, Size};
use crate::image::Picture;

/// Templates that get a second look.
const CANDIDATES: usize = 6;
/// Gauss-Newton steps of all candidates, and those of the ones that are left.
const STEPS: [usize; 2] = [3, 4];
/// Candidates this much worse than the best after the first steps are dropped.
const DROP: f64 = 0.12;
/// The least overlap of an object with its template. Small digits in noise and of little contrast go down to 0.87.
const LEAST_SCORE: f64 = 0.86;
/// The greatest mean distance of an object's contour from that of its template, in diameters. Degraded renders go up
/// to 0.010, and an ellipse of 9 : 10 has 0.017.
const GREATEST_OFFSET: f64 = 0.015;
/// The most that the best shape may miss, as a share of what the second best misses. Degraded renders go up to 0.65,
/// small circles and hexagons; ellipses and pentagons are above.
const CLEARNESS: f64 = 0.7;
/// The greatest flaw. Degraded renders go up to 0.17; a medium
/// crescent without its tips has more than 0.5.
const GREATEST_FLAW: f64 = 0.5;
/// The greatest share of third colours in a region. Degraded renders have none.
const MOST_STRAYS: f64 = 0.03;
/// How far two bounding circles may overlap, in sides of the picture: less than it takes for the shapes to touch, more
/// than the error of a reading.
const OVERLAP: f64 = 0.02;

/// What a picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The background.
    pub background: Colour,
    /// The objects, by their topmost pixels.
    pub objects: Vec<ParsedObject>,
}

/// One object of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParsedObject {
    /// What it is.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// The centre of the smallest circle around it, in sides of the picture.
    pub centre: [f64; 2],
    /// The diameter of that circle, in sides of the picture.
    pub diameter: f64,
    /// How far it is turned, clockwise; means nothing for circles and rings.
    pub angle_degrees: f64,
    /// How well it overlaps its template, from 0 to 1.
    pub score: f64,
}

impl Parsed {
    /// The objects with the colour and shape of `group`.
    pub fn of<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a ParsedObject> {
        self.objects.iter().filter(move |object| (object.colour, object.shape) == (group.colour, group.shape))
    }
}

impl From<&Scene> for Parsed {
    /// What a perfect reader would see.
    fn from(scene: &Scene) -> Self {
        let objects = scene.objects.iter().map(|object| ParsedObject {
            shape: object.shape,
            colour: object.colour,
            centre: object.centre,
            diameter: object.diameter,
            angle_degrees: object.angle_degrees,
            score: 1.0,
        });
        Self { background: scene.background, objects: objects.collect() }
    }
}

/// Reads a picture; made for 128 by 128 pixels.
///
/// # Errors
/// If any part of the picture is not clearly what this world consists of.
pub fn parse(picture: &Picture) -> Result<Parsed, Unreadable> {
    let Picture { width, height, rgb } = picture;
    if width != height || *width < 16 || rgb.len() != 3 * width * height {
        return Err(Unreadable::Format { width: *width, height: *height, bytes: rgb.len() });
    }
    let blobs = Blobs::find(picture)?;
    let objects = blobs.blobs.iter().map(|blob| read(picture, &blobs, blob)).collect::<Result<Vec<_>, _>>()?;
    for (index, first) in objects.iter().enumerate() {
        for second in &objects[index + 1..] {
            let apart = (first.centre[0] - second.centre[0]).hypot(first.centre[1] - second.centre[1]);
            if apart < (first.diameter + second.diameter) / 2.0 - OVERLAP {
                return Err(Unreadable::Overlap { at: [first.centre, second.centre] });
            }
        }
    }
    Ok(Parsed { background: blobs.background, objects })
}

/// Reads one region.
fn read(picture: &Picture, blobs: &Blobs, blob: &Blob) -> Result<ParsedObject, Unreadable> {
    let side = picture.width as f64;
    let patch = Patch::new(picture, blobs, blob);
    let window = patch.window;
    let at = [window.x as f64 + window.width as f64 / 2.0, window.y as f64 + window.height as f64 / 2.0]
        .map(|centre| centre / side);
    let (score, fit) = best_fit(&patch, at)?;
    let shape = fit.template.shape;
    let [x, y] = fit.placement.centre;
    let centre = [(window.x as f64 + x) / side, (window.y as f64 + y) / side];
    let diameter = 2.0 * fit.placement.radius / side;
    let [least, greatest] = [Size::Small.bounds()[0] / SIZE_WIDENING, Size::Big.bounds()[1] * SIZE_WIDENING];
    if !(least..=greatest).contains(&diameter) {
        return Err(Unreadable::Scale { at: centre, shape, diameter });
    }
    let colour = read_colour(&patch, &fit, blobs.background_rgb, at)?;
    Ok(ParsedObject { shape, colour, centre, diameter, angle_degrees: fit.placement.degrees, score })
}

/// The template that overlaps a region best, if it does so well and clearly.
fn best_fit(patch: &Patch, at: [f64; 2]) -> Result<(f64, Fit), Unreadable> {
    let refine = |mut fit: Fit, steps: usize| {
        (0..steps).for_each(|_| fit.step(patch));
        fit.draw(patch.window);
        (fit.overlap(patch), fit)
    };
    let found = candidates(&patch.shares, patch.window.width, CANDIDATES);
    let mut fits: Vec<_> = found.iter().map(|candidate| refine(Fit::new(candidate), STEPS[0])).collect();
    let best = fits.iter().map(|(score, _)| *score).fold(0.0, f64::max);
    fits.retain(|(score, _)| *score >= best - DROP);
    let mut fits: Vec<_> = fits.into_iter().map(|(_, fit)| refine(fit, STEPS[1])).collect();
    fits.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut fits = fits.into_iter();
    let Some((score, fit)) = fits.next() else {
        return Err(Unreadable::NoShape { at, nearest: Shape::Circle, score: 0.0 });
    };
    let first = fit.template.shape;
    if score < LEAST_SCORE || fit.offset(score) > GREATEST_OFFSET {
        return Err(Unreadable::NoShape { at, nearest: first, score });
    }
    if let Some((second_score, second)) = fits.find(|(_, other)| other.template.shape != first)
        && 1.0 - score > CLEARNESS * (1.0 - second_score)
    {
        let scores = [score, second_score];
        return Err(Unreadable::Ambiguous { at, first, second: second.template.shape, scores });
    }
    let flaw = fit.flaw(patch);
    if flaw > GREATEST_FLAW {
        return Err(Unreadable::Flawed { at, shape: first, flaw });
    }
    Ok((score, fit))
}

/// The colour of a region that has the shape of `fit`.
fn read_colour(patch: &Patch, fit: &Fit, background: [f64; 3], at: [f64; 2]) -> Result<Colour, Unreadable> {
    let tint = patch.tint(&fit.mask);
    let (colour, distance) = Colour::nearest([0, 1, 2].map(|c| background[c] + tint[c]));
    if distance > TOLERANCE {
        return Err(Unreadable::NoColour { at, nearest: colour, distance });
    }
    let share = patch.strays(tint);
    if share > MOST_STRAYS {
        return Err(Unreadable::Mixed { at, colour, share });
    }
    Ok(colour)
}

#[cfg(test)]
mod tests;
