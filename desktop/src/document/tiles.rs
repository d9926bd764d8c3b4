//! What an edit changed, tile by tile.

use firefall_core::image::mask::Bounds;

use super::area::united;

/// Pixels in a row and in a column of a tile.
pub(super) const SIDE: usize = 64;

/// How bytes make up a picture or a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Pixels in a row.
    pub(super) width: usize,
    /// Rows.
    pub(super) height: usize,
    /// Bytes of a pixel.
    pub(super) channels: usize,
}

impl Layout {
    /// The bytes of the pixels of one row of an area.
    fn row(&self, area: Bounds, y: usize) -> std::ops::Range<usize> {
        let start = (y * self.width + area.left) * self.channels;
        start..start + (area.right - area.left) * self.channels
    }
}

/// The bytes before and after, one exclusive-or the other: it leads from either to the other, in half the memory of
/// both.
#[derive(Debug)]
enum Change {
    /// The same for every byte: clearing, inverting, the inside of a brush.
    Uniform(u8),
    /// Row by row.
    Each(Box<[u8]>),
}

#[derive(Debug)]
struct Tile {
    area: Bounds,
    change: Change,
}

/// The tiles that differ between two states, and how.
#[derive(Debug)]
pub(super) struct Delta {
    layout: Layout,
    tiles: Vec<Tile>,
}

impl Delta {
    /// What differs in the tiles that `within` touches.
    ///
    /// # Panics
    /// If either state has fewer bytes than `layout` says, or `within` reaches beyond it.
    pub(super) fn between(layout: Layout, before: &[u8], after: &[u8], within: Option<Bounds>) -> Self {
        let mut tiles = Vec::new();
        if let Some(within) = within {
            for top in (within.top / SIDE * SIDE..within.bottom).step_by(SIDE) {
                for left in (within.left / SIDE * SIDE..within.right).step_by(SIDE) {
                    let (right, bottom) = ((left + SIDE).min(layout.width), (top + SIDE).min(layout.height));
                    let area = Bounds { left, top, right, bottom };
                    tiles.extend(change(layout, before, after, area).map(|change| Tile { area, change }));
                }
            }
        }
        Self { layout, tiles }
    }

    /// Whether the states are the same.
    pub(super) fn is_empty(&self) -> bool {
        self.tiles.is_empty()
    }

    /// What it takes in memory, in bytes.
    pub(super) fn memory(&self) -> usize {
        let each = |tile: &Tile| match &tile.change {
            Change::Uniform(_) => 0,
            Change::Each(bytes) => bytes.len(),
        };
        self.tiles.len() * size_of::<Tile>() + self.tiles.iter().map(each).sum::<usize>()
    }

    /// Around all tiles that differ.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.tiles.iter().fold(None, |so_far, tile| united(so_far, Some(tile.area)))
    }

    /// Turns one state into the other.
    ///
    /// # Panics
    /// If there are fewer bytes than the layout says.
    pub(super) fn apply(&self, bytes: &mut [u8]) {
        for Tile { area, change } in &self.tiles {
            let row_bytes = (area.right - area.left) * self.layout.channels;
            for y in area.top..area.bottom {
                let row = &mut bytes[self.layout.row(*area, y)];
                match change {
                    Change::Uniform(change) => row.iter_mut().for_each(|v| *v ^= change),
                    Change::Each(changes) => {
                        let changes = &changes[(y - area.top) * row_bytes..][..row_bytes];
                        row.iter_mut().zip(changes).for_each(|(v, change)| *v ^= change);
                    }
                }
            }
        }
    }
}

/// What differs in one tile; nothing if nothing does.
fn change(layout: Layout, before: &[u8], after: &[u8], area: Bounds) -> Option<Change> {
    let rows = || (area.top..area.bottom).map(|y| layout.row(area, y));
    if rows().all(|row| before[row.clone()] == after[row]) {
        return None;
    }
    let each: Box<[u8]> =
        rows().flat_map(|row| before[row.clone()].iter().zip(&after[row]).map(|(a, b)| a ^ b)).collect();
    match each.first() {
        Some(&first) if each.iter().all(|&v| v == first) => Some(Change::Uniform(first)),
        _ => Some(Change::Each(each)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::area::whole;
    use crate::document::random::Random;

    #[test]
    fn a_delta_leads_both_ways() {
        let mut random = Random::new(1);
        for channels in [1, 3] {
            for _ in 0..30 {
                let layout = Layout { width: 1 + random.below(200), height: 1 + random.below(200), channels };
                let n = layout.width * layout.height * channels;
                let before: Vec<u8> = (0..n).map(|_| random.below(256) as u8).collect();
                let mut after = before.clone();
                for _ in 0..random.below(4) {
                    after[random.below(n)] ^= 1 + random.below(255) as u8;
                }
                let delta = Delta::between(layout, &before, &after, whole(layout.width, layout.height));
                assert_eq!(delta.is_empty(), before == after);
                let mut state = before.clone();
                delta.apply(&mut state);
                assert!(state == after);
                delta.apply(&mut state);
                assert!(state == before);
                assert!(delta.memory() <= 4 * (SIDE * SIDE * channels + size_of::<Tile>()), "only what changed");
            }
        }
    }

    #[test]
    fn whole_tiles_of_one_change_take_no_bytes() {
        let layout = Layout { width: 1000, height: 1000, channels: 1 };
        let before: Vec<u8> = (0..1_000_000).map(|i| (i % 251) as u8).collect();
        let after: Vec<u8> = before.iter().map(|v| 255 - v).collect();
        let delta = Delta::between(layout, &before, &after, whole(1000, 1000));
        assert_eq!(delta.memory(), 256 * size_of::<Tile>());
        assert_eq!(delta.bounds(), whole(1000, 1000));
    }

    #[test]
    fn bounds_are_those_of_the_tiles_that_differ() {
        let layout = Layout { width: 300, height: 200, channels: 1 };
        let before = vec![0; 300 * 200];
        let mut after = before.clone();
        after[70 * 300 + 130] = 1;
        after[199 * 300 + 299] = 1;
        let delta = Delta::between(layout, &before, &after, whole(300, 200));
        assert_eq!(delta.bounds(), Some(Bounds { left: 128, top: 64, right: 300, bottom: 200 }));
        assert!(Delta::between(layout, &before, &after, None).is_empty());
    }
}
