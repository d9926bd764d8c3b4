//! What a model is and knows, in sentences.

use firefall_core::cascade::Survey;
use firefall_core::train::{Data, TrainConfig};
use firefall_core::world::{Colour, Shape, Size};
use serde_json::Value;

/// Kinds of captions as the config of a run has them, and in plain words.
const KINDS: [(&str, &str); 12] = [
    ("single", "one object"),
    ("background", "backgrounds"),
    ("size", "sizes"),
    ("position", "places"),
    ("pair", "two objects"),
    ("relation", "one above or beside another"),
    ("counting", "several of a kind"),
    ("digit", "digits"),
    ("detailed", "objects in detail"),
    ("detailed_pair", "two objects in detail"),
    ("gathering", "groups"),
    ("empty", "empty backgrounds"),
];
/// Words of a vocabulary that are named.
const NAMED: usize = 10;
/// Letters that such a word has at least: the short ones say little.
const LETTERS: usize = 4;

/// How large its pictures are, and the model.
pub(super) fn size(survey: &Survey) -> String {
    let sides: Vec<usize> = survey.config.stages.iter().map(|stage| stage.size).collect();
    let small = match &sides[..] {
        [small, _, ..] => format!(", which are {small} x {small} at first"),
        _ => String::new(),
    };
    let side = survey.config.size();
    let count = in_words(survey.parameters);
    format!(
        "\u{201c}{}\u{201d} makes pictures of {side} x {side} pixels{small}; it has {count} parameters.",
        survey.config.name
    )
}

fn in_words(count: u64) -> String {
    match count as f64 {
        n if n >= 1e9 => format!("{:.1} billion", n / 1e9),
        n if n >= 1e6 => format!("{:.1} million", n / 1e6),
        n if n >= 1e4 => format!("{:.0} thousand", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// What of the shapes world the words of a tokenizer name; nothing if they are not about it.
pub(super) fn known(words: &[String]) -> Option<String> {
    let has = |word: &&str| words.iter().any(|known| known == *word);
    let named = |all: &'static [&'static str]| all.iter().any(has).then_some(all[0]);
    let colours: Vec<&str> = Colour::ALL.iter().filter_map(|colour| named(colour.words())).collect();
    let shapes: Vec<&str> = Shape::figures().iter().filter_map(|shape| named(shape.words())).collect();
    let digits: Vec<&str> = Shape::digits().iter().filter_map(|digit| named(&digit.words()[..1])).collect();
    let sizes: Vec<&str> = Size::ALL.iter().filter_map(|size| named(size.words())).collect();
    if colours.len() < 3 || shapes.len() + digits.len() < 3 {
        return None;
    }
    let digits = match &digits[..] {
        [] => None,
        all if all.len() == Shape::digits().len() => Some("the digits 0 to 9".to_owned()),
        some => Some(format!("the digits {}", list(some))),
    };
    let group = |name: &str, of: &[&str]| (!of.is_empty()).then(|| format!("the {name} {}", list(of)));
    let places = (has(&"left") && has(&"right")).then(|| "places".to_owned());
    let parts = [Some(group("colours", &colours)?), group("shapes", &shapes), digits, group("sizes", &sizes), places];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(format!("It knows {}.", list(&parts.iter().map(String::as_str).collect::<Vec<_>>())))
}

/// What there is to say of other words.
pub(super) fn vocabulary(words: &[String]) -> String {
    let telling = words.iter().map(String::as_str).filter(|word| word.chars().count() >= LETTERS);
    let named: Vec<&str> = telling.take(NAMED).collect();
    match named.is_empty() {
        true => format!("Its vocabulary has {} words.", words.len()),
        false => format!("Its vocabulary has {} words, among them {}.", words.len(), list(&named)),
    }
}

/// What a run learns from.
pub(super) fn learnt(config: &TrainConfig) -> String {
    match &config.data {
        Data::Shapes => {
            format!("It learns from drawings of the shapes world, with captions of {}.", list(&kinds(config)))
        }
        Data::Digits => "It learns from digits that the shapes world draws.".into(),
        Data::Mnist(folder) => format!("It learns from the digits of MNIST in {}.", folder.display()),
        Data::Folder(folder) => format!("It learns from the pictures in {}.", folder.display()),
    }
}

/// The kinds of captions that come at the end of the first stage.
fn kinds(config: &TrainConfig) -> Vec<&'static str> {
    let last = config.stages.first().and_then(|stage| stage.phases.last());
    let weights = last.and_then(|phase| serde_json::to_value(phase.mix.kinds).ok()).unwrap_or(Value::Null);
    let is_drawn = |key: &str| weights[key].as_f64().is_some_and(|weight| weight > 0.0);
    KINDS.into_iter().filter(|(key, _)| is_drawn(key)).map(|(_, words)| words).collect()
}

/// "a, b and c".
fn list(parts: &[&str]) -> String {
    match parts {
        [] => "nothing".into(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_told_by_what_they_name() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let told = known(&words("red green violet circle star moon 0 1 little left right")).unwrap();
        assert_eq!(
            told,
            "It knows the colours red, green and purple, the shapes circle, star and crescent, the digits 0 and 1, the sizes small and places."
        );
        assert_eq!(known(&words("a fox jumps over red green blue grass")), None);
        assert_eq!(
            vocabulary(&words("a fox jumps over grass")),
            "Its vocabulary has 5 words, among them jumps, over and grass."
        );
        assert_eq!(vocabulary(&[]), "Its vocabulary has 0 words.");
    }

    #[test]
    fn every_kind_of_caption_has_words() {
        let mut config = TrainConfig::preset("tiny").unwrap();
        let mut all = serde_json::to_value(config.stages[0].phases[0].mix.kinds).unwrap();
        let keys: Vec<String> = all.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys.len(), KINDS.len());
        for key in keys {
            assert!(KINDS.iter().any(|(known, _)| *known == key), "{key}");
            all[key] = json!(0.0);
        }
        all["pair"] = json!(1.0);
        for stage in &mut config.stages {
            stage.phases.iter_mut().for_each(|phase| phase.mix.kinds = serde_json::from_value(all.clone()).unwrap());
        }
        assert_eq!(learnt(&config), "It learns from drawings of the shapes world, with captions of two objects.");
        config.data = Data::Folder("/pictures".into());
        assert_eq!(learnt(&config), "It learns from the pictures in /pictures.");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [999, 25_400, 2_802_755, 4_600_000_000].map(in_words),
            ["999", "25 thousand", "2.8 million", "4.6 billion"]
        );
    }
}
