//! Names of things, read back.

/// A word that names nothing of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {what}")]
pub struct UnknownWord {
    /// What was looked for: "colour", "shape", …
    pub what: &'static str,
    /// The word as given.
    pub word: String,
}

/// The one of `all` that has `word` among its words, in any case.
pub(super) fn find<T: Copy>(
    what: &'static str,
    word: &str,
    all: &[T],
    words: impl Fn(T) -> &'static [&'static str],
) -> Result<T, UnknownWord> {
    let named = |&item: &T| words(item).iter().any(|known| known.eq_ignore_ascii_case(word));
    all.iter().copied().find(named).ok_or_else(|| UnknownWord { what, word: word.to_owned() })
}

/// `Display` by the first of a type's words, `FromStr` by any of them.
macro_rules! named_by_words {
    ($type:ty, $what:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.words()[0])
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::world::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                crate::world::words::find($what, word, &Self::ALL, Self::words)
            }
        }
    };
}
pub(super) use named_by_words;
