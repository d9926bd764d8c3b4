//! What training is made of: how often each kind of caption is drawn, and how free its words are.

use serde::{Deserialize, Serialize};

/// Weights of the kinds of caption; what counts is their ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kinds {
    /// "a red circle"
    pub single: f64,
    /// "a red circle on a blue background"
    pub background: f64,
    /// "a small red circle"
    pub size: f64,
    /// "a red circle in the top left"
    pub position: f64,
    /// "a red circle and a blue star"
    pub pair: f64,
    /// "a red circle above a blue star"
    pub relation: f64,
    /// "four green squares"
    pub counting: f64,
    /// "a red 7"
    pub digit: f64,
    /// "a small red circle in the top left on a blue background", or two of these three things
    pub detailed: f64,
    /// "a small red circle and a big blue star on a white background", with a place or a relation at times
    pub detailed_pair: f64,
    /// "two small red circles and a blue star"
    pub gathering: f64,
    /// "a white background": nothing on it, as where an object is to be removed
    pub empty: f64,
}

/// The distribution of training draws.
///
/// A weight or probability that is negative or not a number counts as 0; [`Mix::check`] reports it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// How often each kind is drawn.
    pub kinds: Kinds,
    /// The share of scenes in black on white. Without colours to tell apart, forms and places are learnt from far fewer
    /// pictures.
    pub monochrome: f64,
    /// The share of the other scenes on white, objects in all colours but that.
    pub on_white: f64,
    /// The share of what is left in black, gray and white, each on each: what an object is, apart from being dark.
    pub grays: f64,
    /// The share of digits among the shapes of all kinds but `digit`.
    pub digits: f64,
    /// The probability that a caption names the background, in all kinds but `background`, which always does.
    pub backgrounds: f64,
    /// The share of white among backgrounds that no caption names, beyond those that are so anyway, where no object is white.
    #[serde(default)]
    pub unnamed_white: f64,
    /// The share of small and big where a caption names a size; the others are medium.
    pub other_sizes: f64,
    /// The share of big among these others.
    pub big: f64,
    /// The probability that a free choice of wording (a synonym, "one" for "a", B below A for A above B, a capital, a
    /// full stop, …) departs from the plain form.
    pub synonyms: f64,
    /// The probability that a caption leaves out one of the colours, sizes, places and backgrounds that it would name.
    pub left_out: f64,
}

/// A value that makes no mix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadMix {
    /// A weight that is negative or not finite.
    #[error("the weight of {kind} is {value}; it must be finite and at least 0")]
    Weight {
        /// The field of [`Kinds`].
        kind: &'static str,
        /// Its value.
        value: f64,
    },
    /// No kind has a weight.
    #[error("all kinds have weight 0")]
    NoKind,
    /// A probability outside `[0, 1]`.
    #[error("{knob} is {value}; it must be from 0 to 1")]
    Probability {
        /// The field of [`Mix`].
        knob: &'static str,
        /// Its value.
        value: f64,
    },
}

/// A kind of caption: a field of [`Kinds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Background,
    Size,
    Position,
    Pair,
    Relation,
    Counting,
    Digit,
    Detailed,
    DetailedPair,
    Gathering,
    Empty,
}

impl Kinds {
    /// No kind at all: the start of a mix of few kinds.
    pub const NONE: Self = Self {
        single: 0.0,
        background: 0.0,
        size: 0.0,
        position: 0.0,
        pair: 0.0,
        relation: 0.0,
        counting: 0.0,
        digit: 0.0,
        detailed: 0.0,
        detailed_pair: 0.0,
        gathering: 0.0,
        empty: 0.0,
    };

    /// The kinds with their fields' names and weights.
    pub(super) fn weights(&self) -> [(Kind, &'static str, f64); 12] {
        [
            (Kind::Single, "single", self.single),
            (Kind::Background, "background", self.background),
            (Kind::Size, "size", self.size),
            (Kind::Position, "position", self.position),
            (Kind::Pair, "pair", self.pair),
            (Kind::Relation, "relation", self.relation),
            (Kind::Counting, "counting", self.counting),
            (Kind::Digit, "digit", self.digit),
            (Kind::Detailed, "detailed", self.detailed),
            (Kind::DetailedPair, "detailed_pair", self.detailed_pair),
            (Kind::Gathering, "gathering", self.gathering),
            (Kind::Empty, "empty", self.empty),
        ]
    }
}

impl Default for Kinds {
    /// Harder kinds oftener: two objects, relations and numbers are what takes long to learn. None is empty.
    fn default() -> Self {
        Self {
            single: 1.0,
            background: 1.0,
            size: 1.0,
            position: 1.0,
            pair: 2.0,
            relation: 2.0,
            counting: 2.0,
            digit: 1.0,
            detailed: 1.0,
            detailed_pair: 1.5,
            gathering: 1.0,
            empty: 0.0,
        }
    }
}

impl Mix {
    /// Whether all values make sense.
    ///
    /// # Errors
    /// The first value that does not.
    pub fn check(&self) -> Result<(), BadMix> {
        let weights = self.kinds.weights();
        for (_, kind, value) in weights {
            if !value.is_finite() || value < 0.0 {
                return Err(BadMix::Weight { kind, value });
            }
        }
        if weights.iter().all(|weight| weight.2 == 0.0) {
            return Err(BadMix::NoKind);
        }
        for (knob, value) in [
            ("monochrome", self.monochrome),
            ("on_white", self.on_white),
            ("grays", self.grays),
            ("digits", self.digits),
            ("backgrounds", self.backgrounds),
            ("unnamed_white", self.unnamed_white),
            ("other_sizes", self.other_sizes),
            ("big", self.big),
            ("synonyms", self.synonyms),
            ("left_out", self.left_out),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(BadMix::Probability { knob, value });
            }
        }
        Ok(())
    }
}

impl Default for Mix {
    fn default() -> Self {
        let kinds = Kinds::default();
        Self {
            kinds,
            monochrome: 0.0,
            on_white: 0.0,
            grays: 0.0,
            digits: 0.3,
            backgrounds: 0.25,
            unnamed_white: 0.0,
            other_sizes: 0.85,
            big: 0.5,
            synonyms: 0.3,
            left_out: 0.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BadMix, Kinds, Mix};

    #[test]
    fn the_default_is_good() {
        assert_eq!(Mix::default().check(), Ok(()));
    }

    #[test]
    fn a_check_names_the_value() {
        let check = |mix: Mix| mix.check().map_err(|error| error.to_string());
        let message = "synonyms is 1.5; it must be from 0 to 1".to_owned();
        assert_eq!(check(Mix { synonyms: 1.5, ..Mix::default() }), Err(message));
        assert_eq!(Mix { kinds: Kinds::NONE, ..Mix::default() }.check(), Err(BadMix::NoKind));
        let kinds = Kinds { pair: f64::NAN, ..Kinds::default() };
        assert!(matches!(Mix { kinds, ..Mix::default() }.check(), Err(BadMix::Weight { kind: "pair", .. })));
    }

    #[test]
    fn what_is_not_written_is_the_default() {
        let mix: Mix = serde_json::from_str(r#"{"digits": 0.4, "kinds": {"single": 3}}"#).unwrap();
        let kinds = Kinds { single: 3.0, ..Kinds::default() };
        assert_eq!(mix, Mix { digits: 0.4, kinds, ..Mix::default() });
        assert!(serde_json::from_str::<Mix>(r#"{"digit": 0.4}"#).is_err());
    }
}
