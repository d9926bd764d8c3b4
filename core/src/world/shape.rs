//! The twenty shapes and their words.

use serde::{Deserialize, Serialize};

use super::words::named_by_words;

/// What an object is: one of ten figures or one of ten digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A disc.
    Circle,
    /// Sides level and upright.
    Square,
    /// Equilateral, point up.
    Triangle,
    /// Five points, one of them up.
    Star,
    /// Point down.
    Heart,
    /// A disc with a round hole.
    Ring,
    /// A plus sign.
    Cross,
    /// A rhombus, higher than wide.
    Diamond,
    /// Flat top.
    Hexagon,
    /// A moon, open to the right.
    Crescent,
    /// The digit 0.
    #[serde(rename = "0")]
    Zero,
    /// The digit 1.
    #[serde(rename = "1")]
    One,
    /// The digit 2.
    #[serde(rename = "2")]
    Two,
    /// The digit 3.
    #[serde(rename = "3")]
    Three,
    /// The digit 4.
    #[serde(rename = "4")]
    Four,
    /// The digit 5.
    #[serde(rename = "5")]
    Five,
    /// The digit 6.
    #[serde(rename = "6")]
    Six,
    /// The digit 7.
    #[serde(rename = "7")]
    Seven,
    /// The digit 8.
    #[serde(rename = "8")]
    Eight,
    /// The digit 9.
    #[serde(rename = "9")]
    Nine,
}

impl Shape {
    /// All: first the figures, then the digits from 0 to 9.
    pub const ALL: [Self; 20] = [
        Self::Circle,
        Self::Square,
        Self::Triangle,
        Self::Star,
        Self::Heart,
        Self::Ring,
        Self::Cross,
        Self::Diamond,
        Self::Hexagon,
        Self::Crescent,
        Self::Zero,
        Self::One,
        Self::Two,
        Self::Three,
        Self::Four,
        Self::Five,
        Self::Six,
        Self::Seven,
        Self::Eight,
        Self::Nine,
    ];

    /// The ten figures.
    #[must_use]
    pub fn figures() -> &'static [Self] {
        &Self::ALL[..10]
    }

    /// The ten digits.
    #[must_use]
    pub fn digits() -> &'static [Self] {
        &Self::ALL[10..]
    }

    /// The value of a digit; `None` for a figure.
    #[must_use]
    pub fn digit(self) -> Option<usize> {
        (self as usize).checked_sub(Self::Zero as usize)
    }

    /// The largest angle, in degrees to either side, by which a scene turns the shape.
    #[must_use]
    pub fn turn(self) -> f64 {
        if self.digit().is_some() { 6.0 } else { 12.0 }
    }

    /// Its words in the singular, the plain one first.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Circle => &["circle", "disc", "dot"],
            Self::Square => &["square"],
            Self::Triangle => &["triangle"],
            Self::Star => &["star"],
            Self::Heart => &["heart"],
            Self::Ring => &["ring", "donut"],
            Self::Cross => &["cross", "plus sign"],
            Self::Diamond => &["diamond", "rhombus"],
            Self::Hexagon => &["hexagon"],
            Self::Crescent => &["crescent", "moon"],
            Self::Zero => &["0", "zero", "digit 0", "number 0", "digit zero", "number zero"],
            Self::One => &["1", "one", "digit 1", "number 1", "digit one", "number one"],
            Self::Two => &["2", "two", "digit 2", "number 2", "digit two", "number two"],
            Self::Three => &["3", "three", "digit 3", "number 3", "digit three", "number three"],
            Self::Four => &["4", "four", "digit 4", "number 4", "digit four", "number four"],
            Self::Five => &["5", "five", "digit 5", "number 5", "digit five", "number five"],
            Self::Six => &["6", "six", "digit 6", "number 6", "digit six", "number six"],
            Self::Seven => &["7", "seven", "digit 7", "number 7", "digit seven", "number seven"],
            Self::Eight => &["8", "eight", "digit 8", "number 8", "digit eight", "number eight"],
            Self::Nine => &["9", "nine", "digit 9", "number 9", "digit nine", "number nine"],
        }
    }

    /// Its words in the plural, the plain one first.
    #[must_use]
    pub const fn plurals(self) -> &'static [&'static str] {
        match self {
            Self::Circle => &["circles", "discs", "dots"],
            Self::Square => &["squares"],
            Self::Triangle => &["triangles"],
            Self::Star => &["stars"],
            Self::Heart => &["hearts"],
            Self::Ring => &["rings", "donuts"],
            Self::Cross => &["crosses", "plus signs"],
            Self::Diamond => &["diamonds", "rhombuses"],
            Self::Hexagon => &["hexagons"],
            Self::Crescent => &["crescents", "moons"],
            Self::Zero => &["0s", "zeros"],
            Self::One => &["1s", "ones"],
            Self::Two => &["2s", "twos"],
            Self::Three => &["3s", "threes"],
            Self::Four => &["4s", "fours"],
            Self::Five => &["5s", "fives"],
            Self::Six => &["6s", "sixes"],
            Self::Seven => &["7s", "sevens"],
            Self::Eight => &["8s", "eights"],
            Self::Nine => &["9s", "nines"],
        }
    }
}

named_by_words!(Shape, "shape");

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn every_word_leads_back_to_its_shape() {
        for shape in Shape::ALL {
            for word in shape.words() {
                assert_eq!(word.parse(), Ok(shape));
            }
            let written = serde_json::to_string(&shape).unwrap();
            assert_eq!(written, format!("\"{shape}\""));
            assert_eq!(serde_json::from_str::<Shape>(&written).unwrap(), shape);
        }
        assert!("blob".parse::<Shape>().is_err());
    }

    #[test]
    fn digits_know_their_value() {
        let values: Vec<_> = Shape::digits().iter().map(|shape| shape.digit()).collect();
        assert_eq!(values, (0..10).map(Some).collect::<Vec<_>>());
        assert!(Shape::figures().iter().all(|shape| shape.digit().is_none()));
    }
}
