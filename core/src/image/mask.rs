//! Masks: where to paint.

/// Where to paint, one byte a pixel, row by row: 0 stays as it is, 255 is painted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` bytes.
    pub alpha: Vec<u8>,
}

/// From here on a byte counts as painted.
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

impl Mask {
    /// Of one value.
    #[must_use]
    pub fn filled(width: usize, height: usize, alpha: u8) -> Self {
        Self { width, height, alpha: vec![alpha; width * height] }
    }

    /// Whether a pixel is painted.
    #[must_use]
    pub fn is_painted(&self, x: usize, y: usize) -> bool {
        self.alpha[y * self.width + x] >= HALF
    }

    /// Painted and kept change places.
    #[must_use]
    pub fn inverted(&self) -> Self {
        Self { alpha: self.alpha.iter().map(|v| 255 - v).collect(), ..*self }
    }

    /// Around everything that is painted; nothing if nothing is.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        let mut bounds: Option<Bounds> = None;
        for (y, row) in self.alpha.chunks_exact(self.width.max(1)).enumerate() {
            let Some(left) = row.iter().position(|v| *v >= HALF) else { continue };
            let right = 1 + row.iter().rposition(|v| *v >= HALF).unwrap_or(left);
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

    /// Larger by `radius` pixels all around.
    #[must_use]
    pub fn grown(&self, radius: f32) -> Self {
        let distance = self.distances(|v| v >= HALF);
        self.with(distance.into_iter().map(|d| if d <= radius { 255 } else { 0 }))
    }

    /// Smaller by `radius` pixels all around; the edge of the picture is no edge of the mask.
    #[must_use]
    pub fn shrunk(&self, radius: f32) -> Self {
        let distance = self.distances(|v| v < HALF);
        self.with(distance.into_iter().map(|d| if d <= radius { 0 } else { 255 }))
    }

    /// Softly down to nothing over `radius` pixels beyond its edge; inside it stays whole.
    #[must_use]
    pub fn feathered(&self, radius: f32) -> Self {
        let distance = self.distances(|v| v >= HALF);
        let fall = |d: f32| {
            // One and a half pixels of a way of one are none.
            let t = (1.0 - d / (radius + 1.0)).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        };
        self.with(distance.into_iter().map(|d| (255.0 * fall(d)).round() as u8))
    }

    fn with(&self, alpha: impl Iterator<Item = u8>) -> Self {
        Self { width: self.width, height: self.height, alpha: alpha.collect() }
    }

    /// From every pixel to the nearest for which `inside` holds, in pixels, exactly: the transform of Felzenszwalb and
    /// Huttenlocher (2012), columns first, then rows.
    fn distances(&self, inside: impl Fn(u8) -> bool) -> Vec<f32> {
        let (w, h) = (self.width, self.height);
        let mut squares: Vec<f32> = self.alpha.iter().map(|&v| if inside(v) { 0.0 } else { f32::INFINITY }).collect();
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
    use super::{Bounds, Mask};
    use crate::noise::{Purpose, Stream};

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
        assert!(mask.distances(|v| v >= 128).iter().all(|d| *d == 0.0));
        mask.alpha[4500..].fill(0);
        let distances = mask.distances(|v| v >= 128);
        assert_eq!([distances[4499], distances[4500], distances[8999]], [0.0, 1.0, 4500.0]);
    }

    #[test]
    fn distances_are_exact() {
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        for _ in 0..200 {
            let (mask, want) = random(&mut stream);
            assert_eq!(mask.distances(|v| v >= 128), want, "{mask:?}");
        }
    }

    #[test]
    fn growing_and_shrinking_are_dual() {
        let mut stream = Stream::new(2, Purpose::Evaluation, 0);
        for _ in 0..50 {
            let (mask, distance) = random(&mut stream);
            for radius in [0.0, 1.0, 2.5, 40.0] {
                let grown = mask.grown(radius);
                assert!(grown.alpha.iter().zip(&distance).all(|(v, d)| (*v == 255) == (*d <= radius)));
                assert_eq!(mask.inverted().shrunk(radius), grown.inverted());
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

    #[test]
    fn bounds_are_tight() {
        let mut mask = Mask::filled(9, 7, 0);
        assert_eq!(mask.bounds(), None);
        mask.alpha[2 * 9 + 3] = 255;
        mask.alpha[5 * 9 + 1] = 200;
        assert_eq!(mask.bounds(), Some(Bounds { left: 1, top: 2, right: 4, bottom: 6 }));
        assert_eq!(Mask::filled(4, 2, 255).bounds(), Some(Bounds { left: 0, top: 0, right: 4, bottom: 2 }));
        assert_eq!(Mask::filled(0, 0, 0).bounds(), None);
    }
}
