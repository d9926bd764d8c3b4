//! Captions: the grammar that puts a statement into words.
//!
//! ```text
//! caption    = things [background] ["."] | nothing ["."]
//! things     = thing | thing "and" thing | thing relation thing
//! thing      = number [size] [colour] shape [region]
//! number     = "a" | "an" | "the" | "one" … "five" | "2" … "5"
//! background = "on a" colour "background" | "over" colour | "," colour "background"
//! nothing    = "on a" colour "background" | "a" colour "background" | "nothing on a" colour "background"
//! ```
//!
//! Every choice has a plain form, its first; each departs from it with the probability of [`Mix::synonyms`].

use std::ops::Range;

use super::{Colour, Group, Mix, Region, Relation, Shape, Size, Statement};
use crate::noise::Stream;

/// The most words that a caption has.
pub const MOST_WORDS: usize = 40;

/// The number words from none on.
const NUMBERS: [&str; 6] = ["no", "one", "two", "three", "four", "five"];

/// A true attribute that a caption does not tell. The number is the index of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Omission {
    Colour(usize),
    Size(usize),
    Region(usize),
    Background,
}

/// What one wording tells, in the order in which it tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The groups of the statement.
    pub things: Vec<Thing>,
    /// How the first lies to the second.
    pub relation: Option<Relation>,
    /// The background.
    pub background: Option<Colour>,
    /// The bytes of the caption that tell of each thing, and then of the background if it is told.
    pub said: Vec<Range<usize>>,
}

/// What is told of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thing {
    /// How many there are.
    pub count: usize,
    /// Their size.
    pub size: Option<Size>,
    /// Their colour.
    pub colour: Option<Colour>,
    /// Their shape.
    pub shape: Shape,
    /// Where their centres are.
    pub region: Option<Region>,
}

/// The free choices of one caption.
struct Voice<'a> {
    stream: &'a mut Stream,
    /// The probability that a choice departs from the plain form.
    synonyms: f64,
}

impl Statement {
    /// A fresh wording, true wherever the statement is.
    #[must_use]
    pub fn caption(&self, stream: &mut Stream, mix: &Mix) -> String {
        self.wording(stream, mix).0
    }

    /// A fresh wording as [`caption`](Self::caption) makes it, and what it tells.
    #[must_use]
    pub fn wording(&self, stream: &mut Stream, mix: &Mix) -> (String, Told) {
        let omission = if stream.chance(mix.left_out) { self.draw_omission(stream) } else { None };
        let mut voice = Voice { stream, synonyms: mix.synonyms };
        let mut told = voice.choose(self, omission);
        (voice.speak(&mut told), told)
    }

    /// The plain wording, which leaves nothing out.
    #[must_use]
    pub fn plain(&self) -> String {
        // With probability 0 no choice looks at the stream's values.
        let mut stream = Stream::new(0, crate::noise::Purpose::Caption, 0);
        let mut voice = Voice { stream: &mut stream, synonyms: 0.0 };
        let mut told = voice.choose(self, None);
        voice.speak(&mut told)
    }

    /// Any of the attributes that this says.
    fn draw_omission(&self, stream: &mut Stream) -> Option<Omission> {
        let mut said = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            said.push(Omission::Colour(index));
            said.extend(group.size.map(|_| Omission::Size(index)));
            said.extend(group.region.map(|_| Omission::Region(index)));
        }
        said.extend(self.background.map(|_| Omission::Background));
        (!said.is_empty()).then(|| *stream.pick(&said))
    }
}

impl Voice<'_> {
    /// What of the statement is told, and in which order.
    fn choose(&mut self, statement: &Statement, omission: Option<Omission>) -> Told {
        let thing = |(index, group): (usize, &Group)| Thing {
            count: group.count,
            size: group.size.filter(|_| omission != Some(Omission::Size(index))),
            colour: Some(group.colour).filter(|_| omission != Some(Omission::Colour(index))),
            shape: group.shape,
            region: group.region.filter(|_| omission != Some(Omission::Region(index))),
        };
        let mut things: Vec<_> = statement.groups.iter().enumerate().map(thing).collect();
        let mut relation = statement.relation;
        if things.len() == 2 && self.departs() {
            things.reverse();
            relation = relation.map(Relation::inverse);
        }
        // Where there is nothing else to say, the background is not left out.
        let omitted = omission == Some(Omission::Background) && !things.is_empty();
        Told { things, relation, background: statement.background.filter(|_| !omitted), said: Vec::new() }
    }

    /// The caption; notes in `told` where it tells what.
    fn speak(mut self, told: &mut Told) -> String {
        let mut text = self.things(told);
        if let Some(colour) = told.background {
            let start = text.len();
            text += &if told.things.is_empty() { self.nothing(colour) } else { self.background(colour) };
            told.said.push(start..text.len());
        }
        if self.departs()
            && let Some(first) = text.get_mut(..1)
        {
            first.make_ascii_uppercase();
        }
        if self.departs() {
            text.push('.');
        }
        text
    }

    fn things(&mut self, told: &mut Told) -> String {
        let link = told.relation.map_or("and", |relation| self.word(relation.words()));
        let mut text = String::new();
        for thing in &told.things {
            if !text.is_empty() {
                text += &format!(" {link} ");
            }
            let start = text.len();
            text += &self.thing(thing);
            told.said.push(start..text.len());
        }
        text
    }

    fn thing(&mut self, thing: &Thing) -> String {
        let size = thing.size.map(|size| self.word(size.words()));
        let colour = thing.colour.map(|colour| self.word(colour.words()));
        let region = thing.region.map(|region| self.word(region.words()));
        let shape = self.word(if thing.count == 1 { thing.shape.words() } else { thing.shape.plurals() });
        let rest = [size, colour, Some(shape), region];
        let rest = rest.into_iter().flatten().collect::<Vec<_>>().join(" ");
        format!("{} {rest}", self.number(thing.count, &rest))
    }

    /// An article or a number for what `follows`.
    fn number(&mut self, count: usize, follows: &str) -> String {
        // "the digit 7", which only the singular has.
        if follows.contains("digit ") || follows.contains("number ") {
            return self.word(&["the", article(follows)]).to_owned();
        }
        match NUMBERS.get(count) {
            Some(word) if count == 1 => self.word(&[article(follows), word]).to_owned(),
            Some(word) if !self.departs() => (*word).to_owned(),
            _ => count.to_string(),
        }
    }

    fn background(&mut self, colour: Colour) -> String {
        let word = self.word(colour.words());
        let forms = [
            format!(" on {} {word} background", article(word)),
            format!(" over {word}"),
            format!(", {word} background"),
        ];
        let form = if self.departs() { 1 + self.stream.below(2) } else { 0 };
        forms[form].clone()
    }

    /// A background and no more.
    fn nothing(&mut self, colour: Colour) -> String {
        let word = self.word(colour.words());
        let start = self.word(&["on ", "", "nothing on "]);
        format!("{start}{} {word} background", article(word))
    }

    /// The plain word, or one of the others.
    fn word<'w>(&mut self, words: &[&'w str]) -> &'w str {
        match words {
            [_, others @ ..] if !others.is_empty() && self.departs() => self.stream.pick::<&'w str>(others),
            words => words[0],
        }
    }

    fn departs(&mut self) -> bool {
        self.stream.chance(self.synonyms)
    }
}

/// The indefinite article for what `follows`.
fn article(follows: &str) -> &'static str {
    // The digit 1 is "one", which sounds like "won"; the digit 8 is "eight".
    let vowel = follows.starts_with(['a', 'e', 'i', 'o', 'u', '8']) && !follows.starts_with("one");
    if vowel { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::MOST_WORDS;
    use crate::noise::{Purpose, Stream};
    use crate::world::{Colour, Group, Mix, Region, Relation, Shape, Size, Statement, draw};

    fn stream(index: u64) -> Stream {
        Stream::new(5, Purpose::Caption, index)
    }

    fn rich() -> Statement {
        let circle = Group { size: Some(Size::Small), ..Group::of(1, Colour::Gray, Shape::Circle) };
        let eight = Group { region: Some(Region::TopLeft), ..Group::of(1, Colour::Orange, Shape::Eight) };
        Statement { groups: vec![circle, eight], relation: Some(Relation::Above), background: Some(Colour::Blue) }
    }

    #[test]
    fn the_plain_form_says_everything() {
        assert_eq!(Statement::single(Colour::Orange, Shape::Star).plain(), "an orange star");
        assert_eq!(Statement::single(Colour::Red, Shape::Seven).plain(), "a red 7");
        let three =
            Statement { groups: vec![Group::of(3, Colour::Red, Shape::Cross)], relation: None, background: None };
        assert_eq!(three.plain(), "three red crosses");
        let nothing = Statement { groups: Vec::new(), relation: None, background: Some(Colour::White) };
        assert_eq!(nothing.plain(), "on a white background");
        assert_eq!(rich().plain(), "a small gray circle above an orange 8 in the top left on a blue background");
    }

    #[test]
    fn one_statement_has_many_wordings() {
        let mix = Mix { synonyms: 0.5, left_out: 0.0, ..Mix::default() };
        let captions: HashSet<_> = (0..4000).map(|i| rich().caption(&mut stream(i), &mix)).collect();
        assert!(captions.len() > 2000, "{}", captions.len());
        for expected in
            ["below", "on top of", "tiny grey", "dot", "upper left corner", "over blue", ", blue b", "One l"]
        {
            assert!(captions.iter().any(|caption| caption.contains(expected)), "{expected}");
        }
        let whole = |caption: &String| {
            let caption = caption.to_lowercase();
            let one_of = |words: &[&str]| words.iter().any(|word| caption.contains(word));
            let order = caption.find("orange") < caption.find("gr");
            one_of(Size::Small.words())
                && one_of(Colour::Gray.words())
                && one_of(Shape::Circle.words())
                && one_of(if order { Relation::Below.words() } else { Relation::Above.words() })
                && one_of(Region::TopLeft.words())
                && one_of(Shape::Eight.words())
                && one_of(&["on a blue background", "over blue", ", blue background"])
        };
        for caption in &captions {
            assert!(whole(caption), "{caption}");
        }
    }

    /// Each part is told where its word is heard, and the first thing is the one heard first.
    #[test]
    fn what_is_told_is_what_is_heard() {
        let mix = Mix { synonyms: 0.5, left_out: 0.5, ..Mix::default() };
        let (mut swapped, mut short) = (0, 0);
        for index in 0..2000 {
            let (caption, told) = rich().wording(&mut stream(index), &mix);
            let caption = caption.to_lowercase();
            let at = |words: &[&str]| words.iter().filter_map(|word| caption.find(word)).min();
            let [first, second] = &told.things[..] else { panic!("{told:?}") };
            assert!(at(first.shape.words()) < at(second.shape.words()), "{caption}: {told:?}");
            let circle = if first.shape == Shape::Circle { first } else { second };
            assert_eq!(circle.size.is_some(), at(Size::Small.words()).is_some(), "{caption}: {told:?}");
            assert_eq!(circle.colour.is_some(), at(Colour::Gray.words()).is_some(), "{caption}: {told:?}");
            assert_eq!(told.background.is_some(), caption.contains("blue"), "{caption}: {told:?}");
            for (thing, said) in told.things.iter().zip(&told.said) {
                let at = |words: &[&str]| words.iter().any(|word| caption[said.clone()].contains(word));
                assert!(at(thing.shape.words()), "{caption}: {told:?}");
                assert_eq!(at(Colour::Gray.words()), thing.colour == Some(Colour::Gray), "{caption}: {told:?}");
                assert_eq!(at(Colour::Orange.words()), thing.colour == Some(Colour::Orange), "{caption}: {told:?}");
                assert!(!at(&["blue"]), "{caption}: {told:?}");
            }
            assert_eq!(told.said.len(), 2 + usize::from(told.background.is_some()));
            let relation = told.relation.expect("a relation is never left out");
            assert!(at(relation.words()).is_some(), "{caption}: {told:?}");
            swapped += usize::from(relation == Relation::Below);
            short += usize::from(told.background.is_none());
        }
        // Half are swapped, and of a tenth that many are without the background; five standard errors.
        assert!((888..=1112).contains(&swapped), "{swapped}");
        assert!((133..=267).contains(&short), "{short}");
    }

    #[test]
    fn articles_fit_what_follows() {
        for index in 0..5000 {
            let sample = draw(&mut stream(index), &Mix { synonyms: 0.5, ..Mix::default() });
            let caption = sample.caption.to_lowercase();
            let words: Vec<_> = caption.split([' ', ',', '.']).filter(|word| !word.is_empty()).collect();
            for pair in words.windows(2) {
                let vowel = pair[1].starts_with(['a', 'e', 'i', 'o', 'u', '8']) && pair[1] != "one";
                assert!(pair[0] != "a" || !vowel, "{caption}");
                assert!(pair[0] != "an" || vowel, "{caption}");
            }
            assert!(words.len() <= MOST_WORDS, "{caption}");
        }
    }

    #[test]
    fn a_tenth_leaves_one_attribute_out() {
        let mix = Mix { synonyms: 0.0, ..Mix::default() };
        let captions: Vec<_> = (0..4000).map(|i| rich().caption(&mut stream(i), &mix)).collect();
        let short: Vec<_> = captions.iter().filter(|caption| **caption != rich().plain()).collect();
        // Five standard errors around a tenth.
        assert!((305..=495).contains(&short.len()), "{}", short.len());
        let kinds: HashSet<_> = short.into_iter().collect();
        assert_eq!(kinds.len(), 5, "{kinds:?}");
        assert!(kinds.contains(&"a small circle above an orange 8 in the top left on a blue background".to_owned()));
        assert!(kinds.contains(&"a small gray circle above an 8 in the top left on a blue background".to_owned()));
        assert!(kinds.contains(&"a small gray circle above an orange 8 in the top left".to_owned()));
    }
}
