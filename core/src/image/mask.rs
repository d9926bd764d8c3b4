//! Masks: where to paint.

mod dilation;

/// Where to paint, one byte a pixel, row by row: 0 stays as it is, 255 is painted, and what lies between is painted in
/// part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` bytes.
    pub alpha: Vec<u8>,
}

/// From here on a byte counts as painted where it is one or the other.
const HALF: u8 = 128;

/// The smallest rectangle around what is painted; its far edges lie outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Column after the last.
    pub right: usize,
    /// Row after the last.
    pub bottom: usize,
}

impl Bounds {
    /// Its longer side.
    #[must_use]
    pub fn long(self) -> usize {
        (self.right - self.left).max(self.bottom - self.top)
    }
}

impl Mask {
    /// Of one value.
    #[must_use]
    pub fn filled(width: usize, height: usize, alpha: u8) -> Self {
        Self { width, height, alpha: vec![alpha; width * height] }
    }

    /// Whether a pixel is painted by half or more.
    #[must_use]
    pub fn is_painted(&self, x: usize, y: usize) -> bool {
        self.alpha[y * self.width + x] >= HALF
    }

    /// Painted and kept change places.
    #[must_use]
    pub fn inverted(&self) -> Self {
        Self { alpha: self.alpha.iter().map(|v| 255 - v).collect(), ..*self }
    }

    /// The least value that is painted by a share or more, for shares from 0, of which any paint is more, to 1.
    #[must_use]
    pub fn level(share: f64) -> u8 {
        // A ten-thousandth comes by rounding.
        (255.0 * share - 1e-4).ceil().clamp(1.0, 255.0) as u8
    }

    /// Painted as a whole where a byte is `level` or more, and not at all elsewhere.
    #[must_use]
    pub fn hardened(&self, level: u8) -> Self {
        self.with(self.alpha.iter().map(|&v| if v >= level { 255 } else { 0 }))
    }

    /// Around everything that is painted, be it in part; nothing if nothing is.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        let mut bounds: Option<Bounds> = None;
        for (y, row) in self.alpha.chunks_exact(self.width.max(1)).enumerate() {
            let Some(left) = row.iter().position(|v| *v > 0) else { continue };
            let right = 1 + row.iter().rposition(|v| *v > 0).unwrap_or(left);
            let so_far = bounds.unwrap_or(Bounds { left, top: y, right, bottom: y + 1 });
            bounds = Some(Bounds {
                left: so_far.left.min(left),
                top: so_far.top,
                right: so_far.right.max(right),
                bottom: y + 1,
            });
        }
        bounds
    }

    /// Larger by `radius` pixels all around: each pixel is painted as much as the most painted one so near to it.
    #[must_use]
    pub fn grown(&self, radius: f32) -> Self {
        if self.alpha.iter().any(|v| !matches!(v, 0 | 255)) {
            return Self { alpha: dilation::dilated(self, radius), ..*self };
        }
        let distance = self.distances(&squares(|v| if v == 0 { f32::INFINITY } else { 0.0 }));
        self.with(distance.into_iter().map(|d| if d <= radius { 255 } else { 0 }))
    }

    /// Smaller by `radius` pixels all around; the edge of the picture is no edge of the mask.
    #[must_use]
    pub fn shrunk(&self, radius: f32) -> Self {
        self.inverted().grown(radius).inverted()
    }

    /// Softly down to nothing over `radius` pixels beyond its edge; inside it stays as it is. What is painted in part is
    /// a place on such a fall, as far beyond an edge as its value says, and goes on falling from there.
    #[must_use]
    pub fn feathered(&self, radius: f32) -> Self {
        // One and a half pixels of a way of one are none.
        let way = radius + 1.0;
        let fall = |d: f32| {
            let t = (1.0 - d / way).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        };
        let distance = self.distances(&squares(|v| fallen(v) * way));
        // Rounding takes nothing away.
        self.with(distance.into_iter().zip(&self.alpha).map(|(d, v)| ((255.0 * fall(d)).round() as u8).max(*v)))
    }

    fn with(&self, alpha: impl Iterator<Item = u8>) -> Self {
        Self { width: self.width, height: self.height, alpha: alpha.collect() }
    }

    /// From every pixel to the nearest, in pixels, where that lies as far off besides as `squares` has for its value: the
    /// root of the least sum of both squares, exactly. The transform of Felzenszwalb and Huttenlocher (2012), columns first,
    /// then rows.
    fn distances(&self, squares: &[f32; 256]) -> Vec<f32> {
        let (w, h) = (self.width, self.height);
        let mut squares: Vec<f32> = self.alpha.iter().map(|&v| squares[usize::from(v)]).collect();
        for x in 0..w {
            let column: Vec<f32> = (0..h).map(|y| squares[y * w + x]).collect();
            for (y, value) in envelope(&column).into_iter().enumerate() {
                squares[y * w + x] = value;
            }
        }
        for row in squares.chunks_exact_mut(w.max(1)) {
            let value = envelope(row);
            row.copy_from_slice(&value);
        }
        squares.into_iter().map(f32::sqrt).collect()
    }
}

/// The squares of what each value of a mask has for a distance.
fn squares(of: impl Fn(u8) -> f32) -> [f32; 256] {
    std::array::from_fn(|v| of(v as u8).powi(2))
}

/// The share of its way over which a feathered edge has come down to a value: the inverse of its fall.
fn fallen(value: u8) -> f32 {
    match value {
        0 => f32::INFINITY,
        255 => 0.0,
        v => (0.5 + libm::sin(libm::asin(1.0 - 2.0 * f64::from(v) / 255.0) / 3.0)) as f32,
    }
}

/// `min over q of (p - q)² + f(q)` for every `p`: the lower envelope of parabolas.
fn envelope(f: &[f32]) -> Vec<f32> {
    // Parabolas of the envelope by their place, each with where it begins.
    // Squares of places beyond 4096 are no exact numbers of 24 bits.
    let mut parts: Vec<(usize, f64)> = Vec::new();
    for (q, height) in f.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        let from = loop {
            let Some(&(p, begins)) = parts.last() else { break f64::NEG_INFINITY };
            let at = |place: usize, height: f32| f64::from(height) + (place * place) as f64;
            let meets = (at(q, *height) - at(p, f[p])) / (2 * (q - p)) as f64;
            if meets > begins {
                break meets;
            }
            parts.pop();
        };
        parts.push((q, from));
    }
    if parts.is_empty() {
        return vec![f32::INFINITY; f.len()];
    }
    let mut part = 0;
    (0..f.len())
        .map(|p| {
            while parts.get(part + 1).is_some_and(|(_, begins)| *begins <= p as f64) {
                part += 1;
            }
            let q = parts[part].0;
            (p.abs_diff(q) * p.abs_diff(q)) as f32 + f[q]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Mask, squares};
    use crate::noise::{Purpose, Stream};

    /// From every pixel to what is painted.
    fn to_painted(mask: &Mask) -> Vec<f32> {
        mask.distances(&squares(|v| if v == 0 { f32::INFINITY } else { 0.0 }))
    }

    /// A mask of some size with some pixels, and the distances by looking at all of them.
    fn random(stream: &mut Stream) -> (Mask, Vec<f32>) {
        let (width, height) = (1 + stream.below(20), 1 + stream.below(20));
        let share = stream.uniform().powi(3);
        let alpha: Vec<u8> = (0..width * height).map(|_| if stream.chance(share) { 255 } else { 0 }).collect();
        let mask = Mask { width, height, alpha };
        let to = |x: usize, y: usize| {
            (0..width * height)
                .filter(|i| mask.alpha[*i] == 255)
                .map(|i| ((i % width).abs_diff(x).pow(2) + (i / width).abs_diff(y).pow(2)) as f32)
                .fold(f32::INFINITY, f32::min)
                .sqrt()
        };
        let want = (0..width * height).map(|i| to(i % width, i / width)).collect();
        (mask, want)
    }

    #[test]
    fn what_is_painted_is_no_way_off_however_wide_the_picture() {
        let width = 9000;
        let mut mask = Mask::filled(width, 1, 255);
        assert!(to_painted(&mask).iter().all(|d| *d == 0.0));
        mask.alpha[4500..].fill(0);
        let distances = to_painted(&mask);
        assert_eq!([distances[4499], distances[4500], distances[8999]], [0.0, 1.0, 4500.0]);
    }

    #[test]
    fn distances_are_exact() {
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        for _ in 0..200 {
            let (mask, want) = random(&mut stream);
            assert_eq!(to_painted(&mask), want, "{mask:?}");
        }
    }

    #[test]
    fn a_mask_grows_and_shrinks_by_distances() {
        let mut stream = Stream::new(2, Purpose::Evaluation, 0);
        for _ in 0..50 {
            let (mask, distance) = random(&mut stream);
            for radius in [0.0, 1.0, 2.5, 40.0] {
                let (grown, shrunk) = (mask.grown(radius), mask.inverted().shrunk(radius));
                assert!(grown.alpha.iter().zip(&distance).all(|(v, d)| (*v == 255) == (*d <= radius)));
                assert!(shrunk.alpha.iter().zip(&distance).all(|(v, d)| (*v == 0) == (*d <= radius)));
            }
            assert_eq!((mask.grown(0.0), mask.shrunk(0.0)), (mask.clone(), mask));
        }
    }

    #[test]
    fn feathering_keeps_the_inside_and_ends() {
        let mut stream = Stream::new(3, Purpose::Evaluation, 0);
        for _ in 0..50 {
            let (mask, distance) = random(&mut stream);
            for radius in [0.0, 3.0, 8.0] {
                for (v, d) in mask.feathered(radius).alpha.iter().zip(&distance) {
                    assert!(*d > 0.0 || *v == 255);
                    assert!(*d < radius + 1.0 || *v == 0);
                }
            }
            assert_eq!(mask.feathered(0.0), mask);
        }
    }

    /// The fall over a way, and by halving where it has come down to a value.
    fn fall(d: f64, way: f64) -> f64 {
        let t = (1.0 - d / way).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    }

    fn place(value: u8, way: f64) -> f64 {
        let halved = (0..60).fold([0.0, way], |[near, far]: [f64; 2], _| {
            let middle = (near + far) / 2.0;
            if fall(middle, way) > f64::from(value) / 255.0 { [middle, far] } else { [near, middle] }
        });
        halved[0]
    }

    #[test]
    fn what_is_painted_in_part_goes_on_falling() {
        let mut stream = Stream::new(6, Purpose::Evaluation, 0);
        for _ in 0..40 {
            let (w, h) = (1 + stream.below(16), 1 + stream.below(16));
            let share = stream.uniform();
            let byte = |stream: &mut Stream| if stream.chance(share) { stream.below(256) as u8 } else { 0 };
            let mask = Mask { width: w, height: h, alpha: (0..w * h).map(|_| byte(&mut stream)).collect() };
            assert_eq!(mask.feathered(0.0), mask);
            for radius in [2.0, 9.5] {
                let way = f64::from(radius) + 1.0;
                let from = |at: usize, i: usize| {
                    let square = (i % w).abs_diff(at % w).pow(2) + (i / w).abs_diff(at / w).pow(2);
                    fall((square as f64 + place(mask.alpha[i], way).powi(2)).sqrt(), way)
                };
                for (at, value) in mask.feathered(radius).alpha.iter().enumerate() {
                    let painted = (0..w * h).filter(|i| mask.alpha[*i] > 0);
                    let want = 255.0 * painted.map(|i| from(at, i)).fold(0.0, f64::max);
                    assert!((f64::from(*value) - want).abs() < 0.6, "{value} for {want} at {at} of {mask:?}");
                    assert!(*value >= mask.alpha[at]);
                }
            }
        }
    }

    #[test]
    fn a_threshold_makes_a_mask_hard() {
        let mask = Mask { width: 4, height: 1, alpha: vec![0, 99, 100, 255] };
        assert_eq!(mask.hardened(100).alpha, [0, 0, 255, 255]);
        assert_eq!((mask.hardened(1).alpha[1], mask.hardened(255).alpha[2]), (255, 0));
        assert_eq!([0.0, 0.2, 0.5, 1.0].map(Mask::level), [1, 51, 128, 255]);
    }

    #[test]
    fn bounds_are_tight() {
        let mut mask = Mask::filled(9, 7, 0);
        assert_eq!(mask.bounds(), None);
        mask.alpha[2 * 9 + 3] = 255;
        mask.alpha[5 * 9 + 1] = 1;
        assert_eq!(mask.bounds(), Some(Bounds { left: 1, top: 2, right: 4, bottom: 6 }));
        assert_eq!(Mask::filled(4, 2, 255).bounds(), Some(Bounds { left: 0, top: 0, right: 4, bottom: 2 }));
        assert_eq!(Mask::filled(0, 0, 0).bounds(), None);
    }
}
