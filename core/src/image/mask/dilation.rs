//! The most that is painted near every pixel: how a mask grows that is painted in part.

use super::Mask;

/// The largest byte within `radius` pixels of every pixel, exactly: a disc is a stretch of every row that it touches.
pub(super) fn dilated(mask: &Mask, radius: f32) -> Vec<u8> {
    let (w, h) = (mask.width, mask.height);
    // No two pixels are farther from one another.
    let halves = halves(radius.min((w + h) as f32));
    let mut result = vec![0; w * h];
    let Some(&widest) = halves.first() else { return result };
    for (y, row) in mask.alpha.chunks_exact(w.max(1)).enumerate() {
        if row.iter().all(|v| *v == 0) {
            continue;
        }
        let maxima = Maxima::of(row, widest);
        for (off, half) in halves.iter().enumerate() {
            let below = Some(y + off).filter(|below| off > 0 && *below < h);
            for at in y.checked_sub(off).into_iter().chain(below) {
                maxima.raise(&mut result[at * w..][..w], *half);
            }
        }
    }
    result
}

/// How far a disc reaches to either side of its middle column, in its middle row and in each below.
fn halves(radius: f32) -> Vec<usize> {
    let within = |x: usize, y: usize| ((x * x + y * y) as f32).sqrt() <= radius;
    let mut half = radius.max(0.0) as usize;
    let narrow = |y: usize| {
        while !within(half, y) {
            half -= 1;
        }
        half
    };
    (0..).take_while(|y| within(0, *y)).map(narrow).collect()
}

/// The largest bytes of all stretches of a row whose lengths are powers of two; any other stretch is two of them.
struct Maxima {
    /// Entry `k` holds, for every place of the row with zeros at both ends, the largest of `2^k` bytes from there on.
    tables: Vec<Vec<u8>>,
    /// Zeros at either end.
    pad: usize,
}

impl Maxima {
    /// For stretches that reach up to `pad` bytes to either side of their middle.
    fn of(row: &[u8], pad: usize) -> Self {
        let mut padded = vec![0; row.len() + 2 * pad];
        padded[pad..pad + row.len()].copy_from_slice(row);
        let mut tables = vec![padded];
        for k in 0..(2 * pad + 1).ilog2() as usize {
            let shorter = &tables[k];
            let pairs = shorter.iter().zip(&shorter[1 << k..]);
            let longer = pairs.map(|(a, b)| *a.max(b)).collect();
            tables.push(longer);
        }
        Self { tables, pad }
    }

    /// Raises every byte of a row to the largest of those up to `half` bytes to either side.
    fn raise(&self, row: &mut [u8], half: usize) {
        let length = 2 * half + 1;
        let k = length.ilog2() as usize;
        let first = &self.tables[k][self.pad - half..];
        let last = &first[length - (1 << k)..];
        for ((value, a), b) in row.iter_mut().zip(first).zip(last) {
            *value = (*value).max(*a).max(*b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mask;
    use crate::noise::{Purpose, Stream};

    /// The byte that `pick` chooses of those within a radius, by looking at all pixels.
    fn looked(mask: &Mask, radius: f32, pick: fn(u8, u8) -> u8) -> Vec<u8> {
        let place = |i: usize| [i % mask.width, i / mask.width];
        let near = |a: [usize; 2], b: [usize; 2]| {
            let square = a[0].abs_diff(b[0]).pow(2) + a[1].abs_diff(b[1]).pow(2);
            (square as f32).sqrt() <= radius
        };
        let all = 0..mask.alpha.len();
        let of = |i: usize| {
            let values = all.clone().filter(|j| near(place(i), place(*j))).map(|j| mask.alpha[j]);
            values.reduce(pick).unwrap()
        };
        all.clone().map(of).collect()
    }

    #[test]
    fn what_is_painted_in_part_grows_and_shrinks_as_it_is() {
        let mut stream = Stream::new(4, Purpose::Evaluation, 0);
        for _ in 0..60 {
            let (width, height) = (1 + stream.below(18), 1 + stream.below(18));
            let share = stream.uniform();
            let byte = |stream: &mut Stream| if stream.chance(share) { stream.below(256) as u8 } else { 0 };
            let alpha = (0..width * height).map(|_| byte(&mut stream)).collect();
            let mask = Mask { width, height, alpha };
            for radius in [0.0, 1.0, 1.5, 2.5, 7.0, 60.0] {
                assert_eq!(mask.grown(radius).alpha, looked(&mask, radius, u8::max), "{radius} {mask:?}");
                assert_eq!(mask.shrunk(radius).alpha, looked(&mask, radius, u8::min), "{radius} {mask:?}");
            }
        }
    }

    /// Either way to grow may be taken for such a mask.
    #[test]
    fn a_hard_mask_grows_the_same_way_by_distances() {
        let mut stream = Stream::new(5, Purpose::Evaluation, 0);
        for _ in 0..60 {
            let (width, height) = (1 + stream.below(30), 1 + stream.below(30));
            let alpha = (0..width * height).map(|_| if stream.chance(0.05) { 255 } else { 0 }).collect();
            let mask = Mask { width, height, alpha };
            for radius in [0.0, 0.7, 3.0, 4.5, 11.2] {
                assert_eq!(super::dilated(&mask, radius), mask.grown(radius).alpha, "{radius} {mask:?}");
            }
        }
    }
}
