//! What held-out pairs would score if a model had learnt colours and shapes, and nothing of how they go together.

use serde::{Deserialize, Serialize};

use super::splits::HELD_OUT_PAIRS;
use super::{Colour, Parsed, Shape, Statement};

/// How often something was right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    right: usize,
    all: usize,
}

/// How often each colour and each shape is right on its own, in pictures of one object that training did show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marginals {
    colours: [Tally; Colour::ALL.len()],
    shapes: [Tally; Shape::ALL.len()],
}

impl Marginals {
    /// Counts a picture, if its prompt says no more than the colour and the shape of one object, and if training may
    /// show it. `parsed` is what was read; nothing if it could not be.
    pub fn add(&mut self, wanted: &Statement, parsed: Option<&Parsed>) {
        let [group] = wanted.groups.as_slice() else { return };
        if *wanted != Statement::single(group.colour, group.shape) || !wanted.is_trainable() {
            return;
        }
        let only = parsed.and_then(|parsed| if let [object] = parsed.objects.as_slice() { Some(object) } else { None });
        let count = |tally: &mut Tally, right: bool| {
            *tally = Tally { right: tally.right + usize::from(right), all: tally.all + 1 };
        };
        count(&mut self.colours[group.colour as usize], only.is_some_and(|object| object.colour == group.colour));
        count(&mut self.shapes[group.shape as usize], only.is_some_and(|object| object.shape == group.shape));
    }

    /// The rate of the colour times that of the shape; nothing if one of them was not seen.
    #[must_use]
    pub fn product(&self, colour: Colour, shape: Shape) -> Option<f64> {
        let rate = |tally: Tally| (tally.all > 0).then(|| tally.right as f64 / tally.all as f64);
        Some(rate(self.colours[colour as usize])? * rate(self.shapes[shape as usize])?)
    }

    /// The mean of the [`product`](Self::product) over the held-out pairs, which stands beside their rate; nothing if one
    /// of them has none.
    #[must_use]
    pub fn held_out(&self) -> Option<f64> {
        let products: Option<Vec<f64>> =
            HELD_OUT_PAIRS.iter().map(|&(colour, shape)| self.product(colour, shape)).collect();
        products.map(|products| products.iter().sum::<f64>() / products.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::Marginals;
    use crate::world::splits::HELD_OUT_PAIRS;
    use crate::world::{Colour, Parsed, ParsedObject, Shape, Statement};

    fn seen(objects: &[(Colour, Shape)]) -> Parsed {
        let object = |&(colour, shape): &(Colour, Shape)| {
            let (centre, diameter, angle_degrees, score) = ([0.5; 2], 0.3, 0.0, 1.0);
            ParsedObject { shape, colour, centre, diameter, angle_degrees, score }
        };
        Parsed { background: Colour::White, objects: objects.iter().map(object).collect() }
    }

    #[test]
    fn colours_and_shapes_count_apart() {
        let mut marginals = Marginals::default();
        assert_eq!(marginals.held_out(), None);
        let purple = |shape| Statement::single(Colour::Purple, shape);
        marginals.add(&purple(Shape::Ring), Some(&seen(&[(Colour::Purple, Shape::Ring)])));
        marginals.add(&purple(Shape::Heart), Some(&seen(&[(Colour::Purple, Shape::Ring)])));
        marginals.add(&purple(Shape::Cross), Some(&seen(&[(Colour::Red, Shape::Cross)])));
        marginals.add(&purple(Shape::Cross), None);
        let star = Statement::single(Colour::Red, Shape::Star);
        marginals.add(&star, Some(&seen(&[(Colour::Blue, Shape::Star)])));
        marginals.add(&star, Some(&seen(&[(Colour::Red, Shape::Star), (Colour::Red, Shape::Star)])));
        // Two of four, and one of two.
        assert_eq!(marginals.product(Colour::Purple, Shape::Star), Some(0.25));
        assert_eq!(marginals.product(Colour::Purple, Shape::Ring), Some(0.5));
        assert_eq!(marginals.product(Colour::Purple, Shape::Five), None);
        assert_eq!(marginals.held_out(), None, "most pairs were not seen");
    }

    #[test]
    fn only_plain_prompts_that_training_shows_count() {
        let mut marginals = Marginals::default();
        let (colour, shape) = HELD_OUT_PAIRS[0];
        marginals.add(&Statement::single(colour, shape), Some(&seen(&[(colour, shape)])));
        let mut other = Statement::single(Colour::Red, Shape::Ring);
        other.background = Some(Colour::Blue);
        marginals.add(&other, Some(&seen(&[(Colour::Red, Shape::Ring)])));
        assert_eq!(marginals, Marginals::default());
    }

    #[test]
    fn the_mean_is_over_all_held_out_pairs() {
        let mut marginals = Marginals::default();
        for (i, (colour, shape)) in HELD_OUT_PAIRS.into_iter().enumerate() {
            let [plain, black] = [Statement::single(colour, Shape::Circle), Statement::single(Colour::Black, shape)];
            // The colour of the first pair is never right, that of the others always; shapes always.
            let found = if i == 0 { Colour::White } else { colour };
            marginals.add(&plain, Some(&seen(&[(found, Shape::Circle)])));
            marginals.add(&black, Some(&seen(&[(Colour::Black, shape)])));
        }
        assert_eq!(marginals.held_out(), Some(7.0 / 8.0));
    }
}
