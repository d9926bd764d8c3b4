//! What is known of a picture that is painted into, in training (GLIDE, <https://arxiv.org/abs/2112.10741>, section 3.3;
//! masks as people paint them: a disc or a rectangle over a thing, with room around it, or all around a window).

use std::array::from_fn;

use crate::noise::Stream;

/// The share of pictures of which all but a window is to be painted, as when a canvas grows.
const AROUND: f64 = 0.15;
/// The share of masks that lie over something, and not just anywhere.
const OVER: f64 = 0.7;
/// Half the width of a mask, in sides of the picture.
const REACH: [f64; 2] = [0.08, 0.5];
/// Half the width of a window.
const WINDOW: [f64; 2] = [0.12, 0.4];
/// Tries to find something in a picture to lie over.
const TRIES: usize = 32;

/// 1 where a pixel of `planes`, three of `side` by `side`, is known and 0 where it is to be painted.
#[must_use]
pub fn draw(stream: &mut Stream, planes: &[f32], side: usize) -> Vec<f32> {
    let around = stream.chance(AROUND);
    let round = !around && stream.chance(0.5);
    let over = stream.chance(OVER);
    let [x, y] = if over { thing(stream, planes, side) } else { from_fn(|_| stream.below(side)) };
    let [low, high] = if around { WINDOW } else { REACH };
    let reach: [f64; 2] = from_fn(|_| stream.range(low, high) * side as f64);
    let inside = |i: usize| {
        let [dx, dy] = [(i % side).abs_diff(x) as f64, (i / side).abs_diff(y) as f64];
        if round { dx.hypot(dy) <= reach[0] } else { dx <= reach[0] && dy <= reach[1] }
    };
    (0..side * side).map(|i| f32::from(u8::from(inside(i) == around))).collect()
}

/// A pixel, column and row, that is not like the first one; any, if none is soon found.
fn thing(stream: &mut Stream, planes: &[f32], side: usize) -> [usize; 2] {
    let pixel = |at: usize| [0, 1, 2].map(|c| planes[c * side * side + at]);
    let ground = pixel(0);
    let mut at = 0;
    for _ in 0..TRIES {
        at = stream.below(side * side);
        if pixel(at).iter().zip(ground).any(|(a, b)| (a - b).abs() > 0.1) {
            break;
        }
    }
    [at % side, at / side]
}

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::noise::{Purpose, Stream};

    /// A small square on an even ground: most masks that are not around a window lie over some of it, many over all of it,
    /// and every one leaves something to do.
    #[test]
    fn masks_lie_over_things() {
        const SIDE: usize = 32;
        let square = |i: usize| (18..26).contains(&(i % SIDE)) && (6..14).contains(&(i / SIDE));
        let plane: Vec<f32> = (0..SIDE * SIDE).map(|i| if square(i) { -1.0 } else { 1.0 }).collect();
        let planes = plane.repeat(3);
        let mut stream = Stream::new(4, Purpose::Training, 0);
        let (mut some, mut all, mut known) = (0, 0, 0.0);
        for _ in 0..1000 {
            let keep = draw(&mut stream, &planes, SIDE);
            assert_eq!(keep.len(), SIDE * SIDE);
            assert!(keep.iter().all(|&v| v == 0.0 || v == 1.0) && keep.contains(&0.0));
            let over = (0..SIDE * SIDE).filter(|&i| square(i) && keep[i] == 0.0).count();
            some += usize::from(over > 0);
            all += usize::from(over == 64);
            known += keep.iter().sum::<f32>() / keep.len() as f32;
        }
        assert!(some > 700 && (300..900).contains(&all), "{some} over some of it, {all} over all");
        assert!((400.0..900.0).contains(&known), "{known}");
    }

    #[test]
    fn an_even_picture_has_masks_too() {
        let mut stream = Stream::new(5, Purpose::Training, 0);
        for _ in 0..100 {
            assert!(draw(&mut stream, &[0.5; 3 * 64], 8).contains(&0.0));
        }
    }
}
