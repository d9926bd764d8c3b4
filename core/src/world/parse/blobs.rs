//! Where the objects are: connected regions of pixels that are not background.

use super::Unreadable;
use crate::image::Picture;
use crate::world::Colour;
use crate::world::palette::{TOLERANCE, squared_distance};
use crate::world::raster::Window;

/// Regions of fewer pixels are specks: they are no objects, and no fault.
const SPECK: usize = 12;
/// The least share of border pixels that have the background's colour.
const BORDER_SHARE: f64 = 0.95;
/// More regions than this are not looked at one by one; a scene has at most five.
const MOST_BLOBS: usize = 12;
/// Pixels by which a region grows, so that it holds all of its soft edge.
const GROWTH: usize = 4;

/// The owner of pixels that belong to no region.
pub(super) const NOBODY: u16 = 0;
/// The owner of specks.
const SPECKS: u16 = u16::MAX;

/// A connected region of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its mark in [`Blobs::owners`].
    pub(super) owner: u16,
    /// The grown region.
    pub(super) window: Window,
}

/// What a picture consists of.
pub(super) struct Blobs {
    /// The palette colour of the background.
    pub(super) background: Colour,
    /// The mean of the border pixels that have it.
    pub(super) background_rgb: [f64; 3],
    /// The regions, without specks.
    pub(super) blobs: Vec<Blob>,
    /// Which region each pixel belongs to, after each grew by the same number of pixels.
    pub(super) owners: Vec<u16>,
}

impl Blobs {
    /// Finds the background and the regions of a square picture.
    pub(super) fn find(picture: &Picture) -> Result<Self, Unreadable> {
        let nearest = nearest_colours(picture);
        let (background, background_rgb) = background(picture, &nearest)?;
        let mut owners = vec![NOBODY; nearest.len()];
        let mut blobs = Vec::new();
        for seed in 0..nearest.len() {
            if nearest[seed] == background || owners[seed] != NOBODY {
                continue;
            }
            let owner = blobs.len() as u16 + 1;
            let members = flood(seed, owner, &mut owners, picture.width, |at| nearest[at] != background);
            if members.len() < SPECK {
                members.iter().for_each(|&at| owners[at] = SPECKS);
                continue;
            }
            blobs.push(bounded(owner, &members, picture)?);
            if blobs.len() > MOST_BLOBS {
                return Err(Unreadable::TooMany { most: MOST_BLOBS });
            }
        }
        grow(&mut owners, picture.width);
        Ok(Self { background, background_rgb, blobs, owners })
    }
}

/// The palette colour nearest to each pixel.
fn nearest_colours(picture: &Picture) -> Vec<Colour> {
    let mut last = Colour::White;
    let pixels = picture.rgb.chunks_exact(3).map(|pixel| {
        let rgb = [pixel[0], pixel[1], pixel[2]].map(f64::from);
        // Most pixels are of the colour of the one before; within the tolerance no other colour can be nearer.
        if squared_distance(rgb, last.rgb().map(f64::from)) > TOLERANCE * TOLERANCE {
            last = Colour::nearest(rgb).0;
        }
        last
    });
    pixels.collect()
}

/// The colour of most border pixels, and its mean there.
fn background(picture: &Picture, nearest: &[Colour]) -> Result<(Colour, [f64; 3]), Unreadable> {
    let (mut counts, mut sums) = ([0usize; Colour::ALL.len()], [[0.0; 3]; Colour::ALL.len()]);
    for at in (0..nearest.len()).filter(|&at| is_border(at, picture)) {
        let colour = nearest[at] as usize;
        counts[colour] += 1;
        for (sum, &byte) in sums[colour].iter_mut().zip(&picture.rgb[3 * at..]) {
            *sum += f64::from(byte);
        }
    }
    let most = (0..counts.len()).max_by_key(|&colour| counts[colour]).unwrap_or(0);
    let share = counts[most] as f64 / counts.iter().sum::<usize>() as f64;
    if share < BORDER_SHARE {
        return Err(Unreadable::NoBackground { colour: Colour::ALL[most], share });
    }
    Ok((Colour::ALL[most], sums[most].map(|sum| sum / counts[most] as f64)))
}

fn is_border(at: usize, picture: &Picture) -> bool {
    let (x, y) = (at % picture.width, at / picture.width);
    x == 0 || y == 0 || x + 1 == picture.width || y + 1 == picture.height
}

/// Marks all pixels that are 8-connected to `seed` and `wanted`, and lists them.
fn flood(seed: usize, owner: u16, owners: &mut [u16], width: usize, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let height = owners.len() / width;
    let mut members = vec![seed];
    owners[seed] = owner;
    let mut next = 0;
    while let Some(&at) = members.get(next) {
        next += 1;
        let (x, y) = (at % width, at / width);
        for row in y.saturating_sub(1)..(y + 2).min(height) {
            for column in x.saturating_sub(1)..(x + 2).min(width) {
                let neighbour = row * width + column;
                if owners[neighbour] == NOBODY && wanted(neighbour) {
                    owners[neighbour] = owner;
                    members.push(neighbour);
                }
            }
        }
    }
    members
}

/// The region of `members`, which must not touch the border of the picture.
fn bounded(owner: u16, members: &[usize], picture: &Picture) -> Result<Blob, Unreadable> {
    let (mut low, mut high) = ([usize::MAX; 2], [0; 2]);
    for &at in members {
        if is_border(at, picture) {
            let side = picture.width as f64;
            let place = [(at % picture.width) as f64 / side, (at / picture.width) as f64 / side];
            return Err(Unreadable::AtTheEdge { at: place });
        }
        for (axis, value) in [at % picture.width, at / picture.width].into_iter().enumerate() {
            low[axis] = low[axis].min(value);
            high[axis] = high[axis].max(value);
        }
    }
    // One pixel more than the growth, for the slopes of the coverage.
    let first = low.map(|value| value.saturating_sub(GROWTH + 1));
    let end = high.map(|value| (value + GROWTH + 2).min(picture.width));
    let window = Window { x: first[0], y: first[1], width: end[0] - first[0], height: end[1] - first[1] };
    Ok(Blob { owner, window })
}

/// Grows all regions at the same pace into what belongs to nobody.
fn grow(owners: &mut [u16], width: usize) {
    let owned = |&at: &usize| owners[at] != NOBODY && owners[at] != SPECKS;
    let mut front: Vec<usize> = (0..owners.len()).filter(owned).collect();
    for _ in 0..GROWTH {
        let mut next = Vec::new();
        for at in front {
            // Regions keep off the border, so there are neighbours on all sides until a front reaches it.
            let (x, sides) = (at % width, [at.checked_sub(width), Some(at + width)]);
            let beside = [(x > 0).then(|| at - 1), (x + 1 < width).then_some(at + 1)];
            for neighbour in sides.into_iter().chain(beside).flatten() {
                if owners.get(neighbour) == Some(&NOBODY) {
                    owners[neighbour] = owners[at];
                    next.push(neighbour);
                }
            }
        }
        front = next;
    }
}

#[cfg(test)]
mod tests {
    use super::{Blobs, NOBODY, SPECKS};
    use crate::image::Picture;
    use crate::world::parse::Unreadable;
    use crate::world::{Colour, Region};

    /// White, with rectangles of red: column, row, width, height.
    fn picture(rectangles: &[[usize; 4]]) -> Picture {
        let mut picture = Picture::filled(32, 32, Colour::White.rgb());
        for &[x, y, width, height] in rectangles {
            for at in (y..y + height).flat_map(|row| (x..x + width).map(move |column| 3 * (row * 32 + column))) {
                picture.rgb[at..at + 3].copy_from_slice(&Colour::Red.rgb());
            }
        }
        picture
    }

    #[test]
    fn regions_are_found_and_specks_are_not() {
        let found = Blobs::find(&picture(&[[4, 4, 5, 4], [20, 20, 4, 4], [14, 4, 11, 1]])).unwrap();
        assert_eq!(found.background, Colour::White);
        assert_eq!(found.background_rgb, [250.0; 3]);
        let sizes: Vec<_> = found.blobs.iter().map(|blob| (blob.window.width, blob.window.height)).collect();
        // Five pixels on each side, but for the top and left where there are only four.
        assert_eq!(sizes, [(14, 13), (14, 14)]);
        assert_eq!(found.owners.iter().filter(|&&owner| owner == SPECKS).count(), 11);
        // A rectangle grown by 4 steps to its four neighbours.
        let grown = |w: usize, h: usize| w * h + 2 * 4 * (w + h) + 4 * 6;
        assert_eq!(found.owners.iter().filter(|&&owner| owner == 2).count(), grown(4, 4));
        assert_eq!(found.owners[0], NOBODY);
    }

    #[test]
    fn corners_connect() {
        assert_eq!(Blobs::find(&picture(&[[4, 4, 4, 4], [8, 8, 4, 4]])).unwrap().blobs.len(), 1);
        assert_eq!(Blobs::find(&picture(&[[4, 4, 4, 4], [9, 8, 4, 4]])).unwrap().blobs.len(), 2);
    }

    #[test]
    fn the_border_is_background() {
        let at_the_edge = Blobs::find(&picture(&[[0, 10, 5, 4]])).err();
        assert!(matches!(at_the_edge, Some(Unreadable::AtTheEdge { at }) if Region::Left.holds(at, 0.0)));
        let half = Blobs::find(&picture(&[[0, 0, 32, 16]])).err();
        assert!(matches!(half, Some(Unreadable::NoBackground { .. })));
        let many: Vec<_> = (0..16).map(|i| [2 + 7 * (i % 4), 2 + 7 * (i / 4), 4, 4]).collect();
        assert!(matches!(Blobs::find(&picture(&many)).err(), Some(Unreadable::TooMany { .. })));
    }
}
