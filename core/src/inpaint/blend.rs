//! What is painted, put back into the picture.

use serde::{Deserialize, Serialize};

use super::region::Region;
use crate::image::{Mask, Picture};

/// How what is painted goes over into what was there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blend {
    /// Pixels by which the mask grows first; none given, 4, and a 128th of a region of more than 512.
    pub grow: Option<f32>,
    /// Pixels beyond it over which it fades; none given, a tenth of the region, 32 where that has more than 320 pixels, and
    /// a twentieth of one of more than 640.
    pub feather: Option<f32>,
    /// Bring the colours of what is painted to those of what was there, as far as both show the same.
    pub match_colour: bool,
}

impl Default for Blend {
    fn default() -> Self {
        Self { grow: None, feather: None, match_colour: true }
    }
}

impl Blend {
    /// The widest edge that makes sense, in pixels.
    pub const WIDEST: f32 = 4096.0;

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(self) -> Result<(), String> {
        let given = [("grow", self.grow), ("feather", self.feather)];
        let mut given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let bad = given.find(|(_, value)| !(0.0..=Self::WIDEST).contains(value));
        bad.map_or(Ok(()), |(key, value)| Err(format!("{key} is {value}; it must be from 0 to {}", Self::WIDEST)))
    }

    /// Pixels by which a mask grows, and over which it then fades, in a region of so many a side.
    #[must_use]
    pub fn widths(self, side: usize) -> [f32; 2] {
        let side = side as f32;
        let grow = self.grow.unwrap_or((side / 128.0).max(4.0));
        let feather = self.feather.unwrap_or((side / 10.0).min(32.0).max(side / 20.0));
        [grow, feather]
    }

    /// The share of what is painted in every pixel. What the mask paints in part keeps its share, but where a fading edge
    /// has more.
    #[must_use]
    pub fn weights(self, mask: &Mask, region: Region) -> Mask {
        let [grow, feather] = self.widths(region.side);
        mask.grown(grow).feathered(feather)
    }
}

/// What `region` of `picture` shows with `painted`, of the region's size, in place where `weights` says so. Where the
/// weight is 0, and beyond the edges of the picture, it shows what it did.
pub(super) fn over(
    picture: &Picture,
    [mask, weights]: [&Mask; 2],
    region: Region,
    painted: &Picture,
    matched: bool,
) -> Picture {
    let size = [picture.width, picture.height];
    let pairs: Vec<(usize, usize)> = (0..region.side * region.side)
        .filter_map(|i| Some((region.inside(i % region.side, i / region.side, size)?, i)))
        .collect();
    let offset = if matched { offset(picture, mask, painted, &pairs) } else { [0.0; 3] };
    let mut patch = region.crop(picture);
    for (at, i) in pairs {
        let weight = f32::from(weights.alpha[at]) / 255.0;
        if weight == 0.0 {
            continue;
        }
        for (c, offset) in offset.into_iter().enumerate() {
            let new = f32::from(painted.rgb[3 * i + c]) + offset;
            let old = f32::from(picture.rgb[3 * at + c]);
            patch.rgb[3 * i + c] = (old + (new - old) * weight).round().clamp(0.0, 255.0) as u8;
        }
    }
    patch
}

/// By how much the picture is brighter than what is painted, where both show the same: beyond what the model was to paint,
/// and 0 where that is nothing. A median, so
/// that an edge which lies a pixel off does not count.
fn offset(picture: &Picture, mask: &Mask, painted: &Picture, pairs: &[(usize, usize)]) -> [f32; 3] {
    let outside: Vec<(usize, usize)> = pairs.iter().copied().filter(|(to, _)| mask.alpha[*to] == 0).collect();
    if outside.is_empty() {
        return [0.0; 3];
    }
    [0, 1, 2].map(|c| {
        let mut off: Vec<i16> = outside
            .iter()
            .map(|(to, from)| i16::from(picture.rgb[3 * to + c]) - i16::from(painted.rgb[3 * from + c]))
            .collect();
        let middle = off.len() / 2;
        f32::from(*off.select_nth_unstable(middle).1)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Job;
    use super::{Blend, Mask, Picture, Region};
    use crate::noise::{Purpose, Stream};

    fn noise(width: usize, height: usize, stream: &mut Stream) -> Picture {
        Picture { width, height, rgb: (0..3 * width * height).map(|_| stream.below(256) as u8).collect() }
    }

    #[test]
    fn outside_the_feathered_mask_every_byte_stays() {
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        for _ in 0..20 {
            let (w, h) = (20 + stream.below(80), 20 + stream.below(80));
            let picture = noise(w, h, &mut stream);
            let mut mask = Mask::filled(w, h, 0);
            let (left, top) = (stream.below(w - 10), stream.below(h - 10));
            for y in top..top + 10 {
                mask.alpha[y * w + left..y * w + left + 10].fill(255);
            }
            let region = Region::around(mask.bounds().unwrap(), [w, h], 32, 1.0);
            let blend = Blend { grow: Some(2.0), feather: Some(5.0), match_colour: true };
            let painted = noise(32, 32, &mut stream);
            let job = Job::over(picture.clone(), mask, blend, region);
            let (result, weights) = (job.finish(&painted), job.weights());
            let mut changed = 0;
            for (i, weight) in weights.alpha.iter().enumerate() {
                let same = result.rgb[3 * i..3 * i + 3] == picture.rgb[3 * i..3 * i + 3];
                assert!(same || *weight > 0);
                changed += usize::from(!same);
            }
            assert!(changed >= 90, "and inside it changes: {changed}");
        }
    }

    #[test]
    fn colours_meet() {
        let picture = Picture::filled(64, 64, [100, 150, 200]);
        let painted = Picture::filled(16, 16, [90, 160, 200]);
        let mut mask = Mask::filled(64, 64, 0);
        mask.alpha[32 * 64 + 32] = 255;
        let region = Region { left: 0, top: 0, side: 64 };
        let blend = Blend::default();
        let finished = |blend| Job::over(picture.clone(), mask.clone(), blend, region).finish(&painted);
        assert_eq!(finished(blend), picture);
        let other = finished(Blend { match_colour: false, ..blend });
        assert_eq!(other.pixel(32, 32), [90, 160, 200]);
    }

    /// A frame that is narrower than the mask grows by: all of it was painted anew.
    #[test]
    fn where_nothing_is_known_no_colours_are_matched() {
        let picture = Picture::filled(32, 32, [250; 3]);
        let mut mask = Mask::filled(32, 32, 0);
        (0..32 * 32)
            .filter(|i| (2..30).contains(&(i % 32)) && (2..30).contains(&(i / 32)))
            .for_each(|i| mask.alpha[i] = 255);
        let region = Region { left: 0, top: 0, side: 32 };
        let blend = Blend { feather: Some(0.0), ..Blend::default() };
        let result = Job::over(picture, mask, blend, region).finish(&Picture::filled(16, 16, [10; 3]));
        assert_eq!(result.pixel(16, 16), [10; 3]);
    }

    #[test]
    fn edges_are_as_wide_as_the_region_wants_them() {
        let widths = |side: usize| Blend::default().widths(side);
        assert_eq!([widths(64), widths(128), widths(320)], [[4.0, 6.4], [4.0, 12.8], [4.0, 32.0]]);
        assert_eq!([widths(512), widths(640), widths(6400)], [[4.0, 32.0], [5.0, 32.0], [50.0, 320.0]]);
        let given = Blend { grow: Some(0.0), feather: Some(900.0), match_colour: true };
        assert_eq!(given.widths(128), [0.0, 900.0]);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        assert_eq!(Blend::default().validate(), Ok(()));
        let bad = Blend { grow: Some(f32::NAN), ..Blend::default() };
        assert!(bad.validate().unwrap_err().contains("grow is NaN"));
        let bad = Blend { feather: Some(-1.0), ..Blend::default() };
        assert!(bad.validate().unwrap_err().contains("feather is -1"));
    }
}
