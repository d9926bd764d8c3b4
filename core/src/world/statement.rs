//! Statements: what a caption says of a scene.

use serde::{Deserialize, Serialize};

use super::{Colour, Region, Relation, Shape, Size};

/// What is said of one or several like objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// How many there are.
    pub count: usize,
    /// Their colour.
    pub colour: Colour,
    /// Their shape.
    pub shape: Shape,
    /// Their size. A scene takes silence to mean medium, a judge takes it to mean any.
    #[serde(default)]
    pub size: Option<Size>,
    /// Where their centres are.
    #[serde(default)]
    pub region: Option<Region>,
}

impl Group {
    /// So many, of no stated size and place.
    #[must_use]
    pub fn of(count: usize, colour: Colour, shape: Shape) -> Self {
        Self { count, colour, shape, size: None, region: None }
    }
}

/// What a caption says: these objects and no others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Statement {
    /// The objects; no two groups have the same colour and shape.
    pub groups: Vec<Group>,
    /// How the first group's object lies to the second's.
    #[serde(default)]
    pub relation: Option<Relation>,
    /// The background. A scene takes silence to mean white half the time, a judge takes it to mean any.
    #[serde(default)]
    pub background: Option<Colour>,
}

impl Statement {
    /// One object of no stated size and place.
    #[must_use]
    pub fn single(colour: Colour, shape: Shape) -> Self {
        Self { groups: vec![Group::of(1, colour, shape)], relation: None, background: None }
    }

    /// How many objects there are. Counts may come from outside, so their sum is capped rather than overflowing.
    #[must_use]
    pub fn number(&self) -> usize {
        self.groups.iter().fold(0, |sum: usize, group| sum.saturating_add(group.count))
    }

    /// The group of every object in turn.
    pub fn objects(&self) -> impl Iterator<Item = &Group> + Clone {
        self.groups.iter().flat_map(|group| std::iter::repeat_n(group, group.count))
    }

    /// Whether an object of `colour` can be seen on the background and no two groups are alike.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let alike = |a: &Group, b: &Group| (a.colour, a.shape) == (b.colour, b.shape);
        let repeated = |(i, a): (usize, &Group)| self.groups[i + 1..].iter().any(|b| alike(a, b));
        let invisible = |group: &Group| Some(group.colour) == self.background;
        !self.groups.iter().any(invisible) && !self.groups.iter().enumerate().any(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::{Group, Statement};
    use crate::world::{Colour, Shape};

    #[test]
    fn consistent_statements_can_be_seen_and_told_apart() {
        let ring = Group::of(1, Colour::Red, Shape::Ring);
        let says = |groups: &[Group], background| {
            Statement { groups: groups.to_vec(), relation: None, background }.is_consistent()
        };
        assert!(says(&[ring, Group { shape: Shape::Star, ..ring }], Some(Colour::White)));
        assert!(!says(&[ring, Group { count: 2, ..ring }], None));
        assert!(!says(&[ring], Some(Colour::Red)));
    }

    #[test]
    fn silence_need_not_be_written() {
        let text = r#"{"groups":[{"count":2,"colour":"red","shape":"7"}]}"#;
        let statement: Statement = serde_json::from_str(text).unwrap();
        assert_eq!(statement.groups, [Group::of(2, Colour::Red, Shape::Seven)]);
        assert_eq!(statement.objects().count(), 2);
    }
}
