//! Scenes of which a statement is true, by rejection.

use super::scene::{GAP, MARGIN, MOST_OBJECTS};
use super::{Colour, Font, Group, Object, Scene, Size, Statement};
use crate::noise::Stream;

/// Layouts tried before a statement is given up. Of the statements that the module makes, relations and five medium
/// objects need about six on average and seventy at most; a few pairs of a big object and a place do not fit at all.
const LAYOUTS: usize = 2000;
/// Places tried for one object before its layout is given up.
const PLACES: usize = 40;

/// No scene was found of which the statement is true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found no scene for {statement:?}")]
pub struct Unplaceable {
    /// The statement.
    pub statement: Statement,
}

impl Statement {
    /// A scene of which the statement is true. An unstated size is medium; an unstated background is white half the
    /// time and any other colour otherwise; all else is drawn uniformly.
    ///
    /// # Errors
    /// If the statement is [inconsistent](Self::is_consistent), has more than five objects, none in a group, or more big
    /// ones than a scene may have, or asks for more than fits.
    pub fn scene(&self, stream: &mut Stream) -> Result<Scene, Unplaceable> {
        let unplaceable = || Unplaceable { statement: self.clone() };
        let none = self.groups.iter().any(|group| group.count == 0);
        if none || self.number() > MOST_OBJECTS || !self.is_consistent() {
            return Err(unplaceable());
        }
        let background = self.background.unwrap_or_else(|| self.free_background(stream));
        for _ in 0..LAYOUTS {
            let Some(objects) = self.layout(stream) else { continue };
            let scene = Scene { background, objects };
            if self.relation_holds(&scene) && scene.check().is_ok() {
                return Ok(scene);
            }
        }
        Err(unplaceable())
    }

    /// A background of which nothing is said.
    fn free_background(&self, stream: &mut Stream) -> Colour {
        let taken = |colour: Colour| self.groups.iter().any(|group| group.colour == colour);
        if stream.chance(0.5) && !taken(Colour::White) {
            return Colour::White;
        }
        // Five objects cannot take all the others.
        loop {
            let colour = *stream.pick(&Colour::ALL);
            if colour != Colour::White && !taken(colour) {
                return colour;
            }
        }
    }

    /// All objects in free places, or `None` if one found none.
    fn layout(&self, stream: &mut Stream) -> Option<Vec<Object>> {
        let mut objects: Vec<Object> = Vec::new();
        for group in self.objects() {
            let object = place(group, &objects, stream)?;
            objects.push(object);
        }
        Some(objects)
    }

    fn relation_holds(&self, scene: &Scene) -> bool {
        match (self.relation, scene.objects.as_slice()) {
            (None, _) => true,
            (Some(relation), [first, second]) => relation.holds(first.centre, second.centre, 0.0),
            (Some(_), _) => false,
        }
    }
}

/// An object of `group` that keeps clear of `others`.
fn place(group: &Group, others: &[Object], stream: &mut Stream) -> Option<Object> {
    let [least, greatest] = group.size.unwrap_or(Size::Medium).bounds();
    let turn = group.shape.turn();
    let mut object = Object {
        shape: group.shape,
        colour: group.colour,
        centre: [0.0; 2],
        diameter: stream.range(least, greatest),
        angle_degrees: stream.range(-turn, turn),
        font: *stream.pick(&Font::ALL),
    };
    let room = MARGIN + object.diameter / 2.0;
    (0..PLACES).find_map(|_| {
        object.centre = [stream.range(room, 1.0 - room), stream.range(room, 1.0 - room)];
        let fits = group.region.is_none_or(|region| region.holds(object.centre, 0.0))
            && others.iter().all(|other| object.gap(other) >= GAP);
        fits.then_some(object)
    })
}

#[cfg(test)]
mod tests {
    use crate::noise::{Purpose, Stream};
    use crate::world::{Colour, Group, Region, Relation, Shape, Size, Statement};

    #[test]
    fn the_hardest_statements_find_a_scene() {
        let mut stream = Stream::new(1, Purpose::Scene, 0);
        let five = Statement { groups: vec![Group::of(5, Colour::Red, Shape::Ring)], relation: None, background: None };
        let mut statements = vec![five];
        for relation in Relation::ALL {
            let big = Group { size: Some(Size::Big), ..Group::of(1, Colour::Red, Shape::One) };
            let groups = vec![big, Group::of(1, Colour::Blue, Shape::Star)];
            statements.push(Statement { groups, relation: Some(relation), background: None });
        }
        for region in Region::ALL {
            let big = Group { size: Some(Size::Big), region: Some(region), ..Group::of(1, Colour::Red, Shape::One) };
            statements.push(Statement { groups: vec![big], relation: None, background: None });
        }
        for statement in statements {
            for _ in 0..100 {
                let scene = statement.scene(&mut stream).unwrap();
                assert_eq!(scene.check(), Ok(()), "{statement:?}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut stream = Stream::new(1, Purpose::Scene, 0);
        let group = Group::of(1, Colour::Red, Shape::Ring);
        let mut fails = |group: Group| {
            Statement { groups: vec![group], relation: None, background: None }.scene(&mut stream).is_err()
        };
        assert!(fails(Group { count: 0, ..group }));
        assert!(fails(Group { count: usize::MAX, ..group }));
        assert!(fails(Group { count: 2, size: Some(Size::Big), ..group }));
        assert!(fails(Group { count: 3, region: Some(Region::Centre), ..group }));
        let relation = Some(Relation::Above);
        assert!(Statement { groups: vec![group], relation, background: None }.scene(&mut stream).is_err());
    }

    #[test]
    fn an_unnamed_background_is_white_half_the_time() {
        let mut stream = Stream::new(1, Purpose::Scene, 0);
        let mut white = |colour| {
            let statement = Statement::single(colour, Shape::Circle);
            let scenes = (0..4000).map(|_| statement.scene(&mut stream).unwrap());
            scenes.filter(|scene| scene.background == Colour::White).count()
        };
        // Five standard errors around a half.
        assert!((1842..=2158).contains(&white(Colour::Red)));
        assert_eq!(white(Colour::White), 0);
    }
}
