//! The twelve colours.

use serde::{Deserialize, Serialize};

use super::words::named_by_words;

/// A colour of the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// `e53935`
    Red,
    /// `fb8c00`
    Orange,
    /// `fdd835`
    Yellow,
    /// `43a047`
    Green,
    /// `00acc1`
    Cyan,
    /// `1e5fd9`
    Blue,
    /// `8e24aa`
    Purple,
    /// `f48fb1`
    Pink,
    /// `6d4c41`
    Brown,
    /// `212121`
    Black,
    /// `fafafa`
    White,
    /// `9e9e9e`
    Gray,
}

/// A bound on how far a colour may lie from the palette colour that it is taken for: half the least distance between
/// two of them (blue and cyan, 86.1), so that no colour is within it of two.
pub const TOLERANCE: f64 = 43.0;

impl Colour {
    /// All, in the order of the palette.
    pub const ALL: [Self; 12] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Cyan,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Brown,
        Self::Black,
        Self::White,
        Self::Gray,
    ];

    /// The sRGB bytes.
    #[must_use]
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [0xe5, 0x39, 0x35],
            Self::Orange => [0xfb, 0x8c, 0x00],
            Self::Yellow => [0xfd, 0xd8, 0x35],
            Self::Green => [0x43, 0xa0, 0x47],
            Self::Cyan => [0x00, 0xac, 0xc1],
            Self::Blue => [0x1e, 0x5f, 0xd9],
            Self::Purple => [0x8e, 0x24, 0xaa],
            Self::Pink => [0xf4, 0x8f, 0xb1],
            Self::Brown => [0x6d, 0x4c, 0x41],
            Self::Black => [0x21, 0x21, 0x21],
            Self::White => [0xfa, 0xfa, 0xfa],
            Self::Gray => [0x9e, 0x9e, 0x9e],
        }
    }

    /// Its words, the plain one first.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Red => &["red"],
            Self::Orange => &["orange"],
            Self::Yellow => &["yellow"],
            Self::Green => &["green"],
            Self::Cyan => &["cyan", "turquoise"],
            Self::Blue => &["blue"],
            Self::Purple => &["purple", "violet"],
            Self::Pink => &["pink"],
            Self::Brown => &["brown"],
            Self::Black => &["black"],
            Self::White => &["white"],
            Self::Gray => &["gray", "grey"],
        }
    }

    /// The palette colour nearest to an sRGB value in 0..=255, and its Euclidean distance.
    #[must_use]
    pub fn nearest(rgb: [f64; 3]) -> (Self, f64) {
        let mut best = (Self::Red, f64::INFINITY);
        for colour in Self::ALL {
            let square = squared_distance(rgb, colour.rgb().map(f64::from));
            if square < best.1 {
                best = (colour, square);
            }
        }
        (best.0, best.1.sqrt())
    }
}

/// The square of the Euclidean distance.
pub(super) fn squared_distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum()
}

named_by_words!(Colour, "colour");

#[cfg(test)]
mod tests {
    use super::{Colour, TOLERANCE, squared_distance};

    #[test]
    fn the_tolerance_is_half_the_least_distance() {
        let pairs = Colour::ALL.iter().flat_map(|a| Colour::ALL.iter().map(move |b| (a, b))).filter(|(a, b)| a != b);
        let least = pairs
            .map(|(a, b)| squared_distance(a.rgb().map(f64::from), b.rgb().map(f64::from)).sqrt())
            .fold(f64::INFINITY, f64::min);
        assert!((least / 2.0).floor() == TOLERANCE, "{least}");
    }

    #[test]
    fn every_word_leads_back_to_its_colour() {
        for colour in Colour::ALL {
            assert_eq!(Colour::nearest(colour.rgb().map(f64::from)), (colour, 0.0));
            for word in colour.words() {
                assert_eq!(word.to_uppercase().parse(), Ok(colour));
            }
        }
        assert_eq!("grue".parse::<Colour>().unwrap_err().to_string(), "\"grue\" is no colour");
    }

    #[test]
    fn a_colour_is_written_as_its_word() {
        assert_eq!(serde_json::to_string(&Colour::Gray).unwrap(), "\"gray\"");
        assert_eq!(format!("[{:>5}]", Colour::Red), "[  red]");
    }
}
