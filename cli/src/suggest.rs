//! The known word that a misspelt one was meant to be.

/// The word of `known` nearest to `word`, if it is near enough to be a slip: at most a third of its letters.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    let distance = |k: &str| strsim::damerau_levenshtein(&folded, &fold(k));
    let (best, known) = known.into_iter().map(|k| (distance(k), k)).min()?;
    (best <= (known.chars().count() / 3).max(1)).then_some(known)
}

/// `-` and `_` and the case are no difference.
fn fold(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// What to say of an unknown key of a configuration: the nearest known one, or all.
#[must_use]
pub fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key {key:?}; did you mean {meant:?}?"),
        None => format!("unknown key {key:?}; there are {}", known.join(", ")),
    }
}

/// [`unknown_key`] for a message of serde, "unknown field `stpes`, expected one of `steps`, `seed`"; any other message
/// as it is.
#[must_use]
pub fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        [key, known @ ..] if message.contains("unknown field") && !known.is_empty() => {
            // What stands before and after, the file's line for one, is kept.
            let start = message.find("unknown field").unwrap_or(0);
            let end = message.rfind('`').map_or(message.len(), |at| at + 1);
            format!("{}{}{}", &message[..start], unknown_key(key, known), &message[end..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["steps", "learning_rate", "batch", "seed"];

    #[test]
    fn slips_find_their_key_and_others_do_not() {
        for (slip, key) in [("stpes", "steps"), ("learning-rate", "learning_rate"), ("Seed", "seed"), ("bath", "batch")]
        {
            assert_eq!(nearest(slip, KEYS), Some(key), "{slip}");
        }
        for other in ["optimiser", "", "x"] {
            assert_eq!(nearest(other, KEYS), None, "{other}");
        }
        assert_eq!(nearest("steps", []), None);
    }

    #[test]
    fn serde_messages_are_explained() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Known {
            #[expect(dead_code, reason = "only its name is asked for")]
            steps: Option<u32>,
            #[expect(dead_code, reason = "only its name is asked for")]
            seed: Option<u32>,
        }
        let message = explain(&toml::from_str::<Known>("stpes = 3").unwrap_err().to_string());
        assert!(message.contains("unknown key \"stpes\"; did you mean \"steps\"?"), "{message}");
        let message = explain(&serde_json::from_str::<Known>("{\"colour\": 3}").unwrap_err().to_string());
        assert!(message.contains("there are steps, seed") && message.contains("line 1"), "{message}");
        assert_eq!(explain("a `b` c"), "a `b` c");
    }
}
