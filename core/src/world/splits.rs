//! What training never shows, so that an evaluation can ask for it.

use super::{Colour, Scene, Shape, Statement};

/// Colours and shapes that never meet in one object of the training set.
pub const HELD_OUT_PAIRS: [(Colour, Shape); 8] = [
    (Colour::Purple, Shape::Star),
    (Colour::Orange, Shape::Ring),
    (Colour::Cyan, Shape::Heart),
    (Colour::Brown, Shape::Triangle),
    (Colour::Pink, Shape::Hexagon),
    (Colour::Green, Shape::Crescent),
    (Colour::Blue, Shape::Seven),
    (Colour::Red, Shape::Three),
];

/// Numbers of objects of one colour, whatever their shapes, that no scene of the training set has.
pub const HELD_OUT_COUNTS: [(usize, Colour); 2] = [(4, Colour::Yellow), (5, Colour::Blue)];

/// Whether no object of these, colour and shape, breaks the rules of the training set.
fn trainable(objects: impl Iterator<Item = (Colour, Shape)> + Clone) -> bool {
    let held_out_count =
        |&(count, colour): &(usize, Colour)| objects.clone().filter(|o| o.0 == colour).count() == count;
    !objects.clone().any(|object| HELD_OUT_PAIRS.contains(&object)) && !HELD_OUT_COUNTS.iter().any(held_out_count)
}

impl Scene {
    /// Whether the training set may have this scene.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        trainable(self.objects.iter().map(|object| (object.colour, object.shape)))
    }
}

impl Statement {
    /// Whether the training set may say this.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        trainable(self.objects().map(|group| (group.colour, group.shape)))
    }
}

#[cfg(test)]
mod tests {
    use crate::world::{Colour, Group, Shape, Statement};

    #[test]
    fn pairs_and_counts_are_held_out() {
        let says = |groups: &[(usize, Colour, Shape)]| {
            let groups = groups.iter().map(|&(count, colour, shape)| Group::of(count, colour, shape)).collect();
            Statement { groups, relation: None, background: None }.is_trainable()
        };
        assert!(!says(&[(1, Colour::Red, Shape::Circle), (1, Colour::Blue, Shape::Seven)]));
        assert!(says(&[(1, Colour::Red, Shape::Seven), (1, Colour::Blue, Shape::Three)]));
        assert!(!says(&[(4, Colour::Yellow, Shape::Circle)]));
        // Four yellow objects, though of two shapes.
        assert!(!says(&[(3, Colour::Yellow, Shape::Circle), (1, Colour::Yellow, Shape::Star)]));
        assert!(says(&[(4, Colour::Blue, Shape::Circle), (1, Colour::Yellow, Shape::Star)]));
        assert!(says(&[(5, Colour::Yellow, Shape::Circle)]));
    }
}
