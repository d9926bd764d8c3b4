//! The square of a picture that the model works on.

use crate::image::Picture;
use crate::image::mask::{Bounds, Mask};

/// How much the model sees beside what is painted unless said otherwise: as much again as that is long.
pub const CONTEXT: f64 = 1.0;
/// The least and the most of it. With less, the model sees hardly anything to go by; with more, the model sees hardly anything of what
/// it paints.
pub const CONTEXTS: [f64; 2] = [0.5, 8.0];

/// A square in a picture, which may reach beyond its edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its first column in the picture.
    pub left: isize,
    /// Its first row.
    pub top: isize,
    /// Its side in pixels of the picture.
    pub side: usize,
}

impl Region {
    /// Around what is painted in a picture of `width x height`, with `context` times its length beside it, and no smaller
    /// than `least` pixels where the picture is not.
    #[must_use]
    pub fn around(bounds: Bounds, [width, height]: [usize; 2], least: usize, context: f64) -> Self {
        let long = bounds.long();
        let wanted = ((1.0 + context) * long as f64).round() as usize;
        let side = wanted.max(least).min(width.max(height)).max(long);
        let along = |from: usize, to: usize, of: usize| {
            let middle = (from + to) as isize / 2;
            let free = of as isize - side as isize;
            // Inside the picture where it fits, and else around all of it.
            if free >= 0 { (middle - side as isize / 2).clamp(0, free) } else { free / 2 }
        };
        let (left, top) = (along(bounds.left, bounds.right, width), along(bounds.top, bounds.bottom, height));
        Self { left, top, side }
    }

    /// What the picture shows there, `side x side`; beyond its edges they are repeated.
    #[must_use]
    pub fn crop(self, picture: &Picture) -> Picture {
        let at = |from: isize, i: usize, of: usize| (from + i as isize).clamp(0, of as isize - 1) as usize;
        let rgb = (0..self.side)
            .flat_map(|y| (0..self.side).map(move |x| (x, y)))
            .flat_map(|(x, y)| picture.pixel(at(self.left, x, picture.width), at(self.top, y, picture.height)))
            .collect();
        Picture { width: self.side, height: self.side, rgb }
    }

    /// The mask there; beyond the edges of the picture all is painted, as nothing is known.
    #[must_use]
    pub fn crop_mask(self, mask: &Mask) -> Mask {
        let alpha = (0..self.side)
            .flat_map(|y| (0..self.side).map(move |x| (x, y)))
            .map(|(x, y)| self.inside(x, y, [mask.width, mask.height]).map_or(255, |i| mask.alpha[i]))
            .collect();
        Mask { width: self.side, height: self.side, alpha }
    }

    /// The pixel of a picture of a size that lies at column `x` and row `y` of the region.
    pub(super) fn inside(self, x: usize, y: usize, [width, height]: [usize; 2]) -> Option<usize> {
        let (x, y) = (self.left + x as isize, self.top + y as isize);
        let in_x = (0..width as isize).contains(&x);
        (in_x && (0..height as isize).contains(&y)).then(|| y as usize * width + x as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, CONTEXT, CONTEXTS, Mask, Region};
    use crate::image::Picture;
    use crate::noise::{Purpose, Stream};

    fn picture(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 7]).collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn a_region_holds_what_is_painted() {
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        for _ in 0..500 {
            let size @ [w, h] = [1 + stream.below(300), 1 + stream.below(300)];
            let (left, top) = (stream.below(w), stream.below(h));
            let (right, bottom) = (left + 1 + stream.below(w - left), top + 1 + stream.below(h - top));
            let bounds = Bounds { left, top, right, bottom };
            let context = stream.range(CONTEXTS[0], CONTEXTS[1]);
            let region = Region::around(bounds, size, 128, context);
            assert!(region.left <= left as isize && region.top <= top as isize, "{bounds:?} {size:?} {region:?}");
            assert!(region.left + region.side as isize >= right as isize, "{bounds:?} {size:?} {region:?}");
            assert!(region.top + region.side as isize >= bottom as isize, "{bounds:?} {size:?} {region:?}");
            assert!(region.side <= w.max(h));
        }
    }

    #[test]
    fn context_is_what_lies_beside() {
        let bounds = Bounds { left: 400, top: 500, right: 600, bottom: 540 };
        let sides = [0.5, 1.0, 2.0, 8.0].map(|context| Region::around(bounds, [1000, 900], 128, context).side);
        assert_eq!(sides, [300, 400, 600, 1000], "at most all of the picture");
        assert_eq!(Region::around(bounds, [1000, 900], 350, 0.5).side, 350, "at least what the model paints");
        assert_eq!(Region::around(bounds, [1000, 900], 128, 0.5), Region { left: 350, top: 370, side: 300 });
    }

    #[test]
    fn a_picture_of_the_models_size_is_taken_whole() {
        let bounds = Bounds { left: 100, top: 3, right: 120, bottom: 20 };
        assert_eq!(Region::around(bounds, [128, 128], 128, CONTEXT), Region { left: 0, top: 0, side: 128 });
    }

    #[test]
    fn beyond_the_edges_nothing_is_known() {
        let region = Region { left: -1, top: 1, side: 4 };
        let cut = region.crop(&picture(3, 5));
        assert_eq!((cut.pixel(0, 0), cut.pixel(1, 0), cut.pixel(3, 3)), ([0, 1, 7], [0, 1, 7], [2, 4, 7]));
        let mask = region.crop_mask(&Mask::filled(3, 5, 0));
        assert!(mask.is_painted(0, 0) && !mask.is_painted(1, 0) && !mask.is_painted(3, 3));
    }
}
