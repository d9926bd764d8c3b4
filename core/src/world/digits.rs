//! Digits as MNIST has them, for the lesson on its words: one, white on black, about the middle.

use super::{Colour, Font, Object, Scene, Shape};
use crate::noise::Stream;

/// Diameters of the digits, of which MNIST's fill some three quarters.
const DIAMETER: [f64; 2] = [0.66, 0.82];
/// How far they stand off the middle, at most, along each axis.
const SHIFT: f64 = 0.05;
/// How far they are turned, at most, in degrees.
const TURN: f64 = 10.0;

/// A digit with its prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct DigitSample {
    /// Its value.
    pub digit: usize,
    /// The picture.
    pub scene: Scene,
    /// Its name or its numeral.
    pub caption: String,
}

/// Draws a digit in one of the three fonts, and one of its two prompts.
#[must_use]
pub fn draw_digit(stream: &mut Stream) -> DigitSample {
    let digit = stream.below(Shape::digits().len());
    let object = Object {
        shape: Shape::digits()[digit],
        colour: Colour::White,
        centre: [(); 2].map(|()| 0.5 + stream.range(-SHIFT, SHIFT)),
        diameter: stream.range(DIAMETER[0], DIAMETER[1]),
        angle_degrees: stream.range(-TURN, TURN),
        font: *stream.pick(&Font::ALL),
    };
    let caption = stream.pick(&digit_captions(digit)).clone();
    DigitSample { digit, scene: Scene { background: Colour::Black, objects: vec![object] }, caption }
}

/// The prompts of a digit: "seven" and "7".
///
/// # Panics
/// If it is no digit.
#[must_use]
pub fn digit_captions(digit: usize) -> [String; 2] {
    let words = Shape::digits()[digit].words();
    [words[1].to_owned(), words[0].to_owned()]
}

#[cfg(test)]
mod tests {
    use super::{digit_captions, draw_digit};
    use crate::noise::{Purpose, Stream};
    use crate::world::render;

    #[test]
    fn prompts_are_words_or_numerals() {
        assert_eq!(digit_captions(7), ["seven", "7"]);
        assert_eq!(digit_captions(0), ["zero", "0"]);
    }

    #[test]
    fn every_digit_comes_whole_and_white_on_black() {
        let mut stream = Stream::new(3, Purpose::Scene, 0);
        let mut seen = [[0; 2]; 10];
        for _ in 0..1000 {
            let sample = draw_digit(&mut stream);
            let said = digit_captions(sample.digit).iter().position(|caption| *caption == sample.caption).unwrap();
            seen[sample.digit][said] += 1;
            let picture = render(&sample.scene, 32);
            let border = (0..32).flat_map(|i| [picture.pixel(i, 0), picture.pixel(0, i), picture.pixel(31, i)]);
            assert!(border.into_iter().all(|pixel| pixel[0] < 0x30), "nothing reaches the edge");
            let bright = picture.rgb.iter().step_by(3).filter(|v| **v > 0x80).count();
            assert!((60..500).contains(&bright), "{bright} pixels of {}", sample.digit);
        }
        assert!(seen.iter().flatten().all(|n| *n > 20), "{seen:?}");
    }
}
