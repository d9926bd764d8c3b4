//! The prompts of an evaluation.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::splits::{HELD_OUT_COUNTS, HELD_OUT_PAIRS};
use super::words::named_by_words;
use super::{Colour, Group, Mix, Region, Relation, Scene, Shape, Size, Statement, Unplaceable};
use crate::noise::Stream;

/// Draws in a row that repeat a prompt before the category counts as used up and starts again.
const REPEATS: usize = 5000;
/// How free the wording of paraphrases is.
const PARAPHRASE: f64 = 0.6;

/// What a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// "a red circle"
    Single,
    /// "a red circle on a blue background"
    Background,
    /// "a small red circle"
    Size,
    /// "a red circle in the top left"
    Position,
    /// "a red circle and a blue star"
    Pair,
    /// "a red circle above a blue star"
    Relation,
    /// "four green squares"
    Counting,
    /// "a red 7"
    Digit,
    /// "a purple star"
    HeldOutPair,
    /// "four yellow circles"
    HeldOutCount,
    /// Any of the others but the held-out ones, in other words.
    Paraphrase,
}

impl Category {
    /// All, in the order of the published table.
    pub const ALL: [Self; 11] = [
        Self::Single,
        Self::Background,
        Self::Size,
        Self::Position,
        Self::Pair,
        Self::Relation,
        Self::Counting,
        Self::Digit,
        Self::HeldOutPair,
        Self::HeldOutCount,
        Self::Paraphrase,
    ];

    /// Its name.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Single => &["single"],
            Self::Background => &["colour on background"],
            Self::Size => &["size"],
            Self::Position => &["position"],
            Self::Pair => &["two objects"],
            Self::Relation => &["relation"],
            Self::Counting => &["counting"],
            Self::Digit => &["digit"],
            Self::HeldOutPair => &["held-out pair"],
            Self::HeldOutCount => &["held-out count"],
            Self::Paraphrase => &["paraphrase"],
        }
    }
}

named_by_words!(Category, "category");

/// A prompt and what a picture of it must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalPrompt {
    /// What it tests.
    pub category: Category,
    /// The words for the model.
    pub text: String,
    /// What they say: [`Statement::judge`] is the judge.
    pub wanted: Statement,
}

/// `count` prompts of a category, no two alike unless it has fewer; then each comes as often as any other, give or
/// take one.
#[must_use]
pub fn prompts(category: Category, count: usize, stream: &mut Stream) -> Vec<EvalPrompt> {
    let (mut prompts, mut seen, mut repeats) = (Vec::with_capacity(count), HashSet::new(), 0);
    while prompts.len() < count {
        let wanted = draw_wanted(category, stream);
        let text = if category == Category::Paraphrase { paraphrase(&wanted, stream) } else { wanted.plain() };
        if seen.insert(wanted.clone()) {
            prompts.push(EvalPrompt { category, text, wanted });
            repeats = 0;
        } else {
            repeats += 1;
        }
        if repeats == REPEATS {
            seen.clear();
        }
    }
    prompts
}

/// A scene that a prompt describes; what it leaves open is as in training.
///
/// # Errors
/// If the prompt, made elsewhere than by [`prompts`], describes none.
pub fn example_scene(prompt: &EvalPrompt, stream: &mut Stream) -> Result<Scene, Unplaceable> {
    prompt.wanted.scene(stream)
}

/// A statement of the category: only the held-out categories have what training never shows.
fn draw_wanted(category: Category, stream: &mut Stream) -> Statement {
    loop {
        let statement = match category {
            Category::HeldOutPair => {
                let &(colour, shape) = stream.pick(&HELD_OUT_PAIRS);
                return Statement::single(colour, shape);
            }
            Category::HeldOutCount => {
                let &(count, colour) = stream.pick(&HELD_OUT_COUNTS);
                let group = Group::of(count, colour, *stream.pick(Shape::figures()));
                return Statement { groups: vec![group], relation: None, background: None };
            }
            Category::Paraphrase => {
                let plain = stream.below(Category::Digit as usize + 1);
                return draw_wanted(Category::ALL[plain], stream);
            }
            _ => draw_plain(category, stream),
        };
        if statement.is_consistent() && statement.is_trainable() {
            return statement;
        }
    }
}

/// A statement of a category that is neither held out nor a paraphrase; it may contradict itself or be held out.
fn draw_plain(category: Category, stream: &mut Stream) -> Statement {
    let mut figure = || Group::of(1, *stream.pick(&Colour::ALL), *stream.pick(Shape::figures()));
    let mut group = figure();
    let mut groups = Vec::new();
    if matches!(category, Category::Pair | Category::Relation) {
        groups.push(figure());
    }
    let (mut relation, mut background) = (None, None);
    match category {
        Category::Background => background = Some(*stream.pick(&Colour::ALL)),
        // Medium is what silence means: asking for it would test little.
        Category::Size => group.size = Some(*stream.pick(&[Size::Small, Size::Big])),
        Category::Position => group.region = Some(*stream.pick(&Region::ALL)),
        Category::Relation => relation = Some(*stream.pick(&Relation::ALL)),
        Category::Counting => group.count = 2 + stream.below(4),
        Category::Digit => group.shape = *stream.pick(Shape::digits()),
        _ => {}
    }
    groups.insert(0, group);
    Statement { groups, relation, background }
}

/// The statement in other words than the plain ones, not just with a capital or in another order.
fn paraphrase(statement: &Statement, stream: &mut Stream) -> String {
    let words = |text: &str| {
        let text = text.to_lowercase().replace(['.', ','], "");
        let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let plain = words(&statement.plain());
    let mix = Mix { synonyms: PARAPHRASE, left_out: 0.0, ..Mix::default() };
    loop {
        // Every statement has a number or an article, and that has another form, so this ends.
        let text = statement.caption(stream, &mix);
        if words(&text) != plain {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::{Category, EvalPrompt, example_scene, prompts};
    use crate::noise::{Purpose, Stream};

    fn hundred(category: Category) -> Vec<EvalPrompt> {
        prompts(category, 100, &mut Stream::new(9, Purpose::Evaluation, category as u64))
    }

    #[test]
    fn prompts_are_distinct_where_there_are_enough() {
        for category in Category::ALL {
            let prompts = hundred(category);
            let mut counts = HashMap::new();
            for prompt in &prompts {
                *counts.entry(&prompt.wanted).or_insert(0) += 1;
            }
            let distinct = match category {
                Category::HeldOutPair => 8,
                Category::HeldOutCount => 20,
                _ => 100,
            };
            assert_eq!(counts.len(), distinct, "{category}");
            let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
            assert!(most - least <= 1, "{category}: {least} to {most}");
            assert_eq!(prompts, hundred(category));
        }
    }

    #[test]
    fn only_held_out_categories_are_held_out() {
        for category in Category::ALL {
            let held_out = matches!(category, Category::HeldOutPair | Category::HeldOutCount);
            for prompt in hundred(category) {
                assert_eq!(prompt.wanted.is_trainable(), !held_out, "{prompt:?}");
                assert_eq!(prompt.text == prompt.wanted.plain(), category != Category::Paraphrase, "{prompt:?}");
                assert!(prompt.text.is_ascii());
            }
        }
    }

    #[test]
    fn a_described_scene_is_right() {
        let mut stream = Stream::new(9, Purpose::Evaluation, 100);
        for category in Category::ALL {
            for prompt in hundred(category) {
                let scene = example_scene(&prompt, &mut stream).unwrap();
                assert_eq!(scene.check(), Ok(()), "{prompt:?}");
                assert_eq!(prompt.wanted.judge(&(&scene).into()), Ok(()), "{prompt:?}");
            }
        }
    }

    #[test]
    fn categories_are_read_by_their_names() {
        let names: HashSet<_> = Category::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 11);
        for category in Category::ALL {
            assert_eq!(category.to_string().parse(), Ok(category));
        }
    }
}
