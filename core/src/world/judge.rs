//! What counts as right, and how sure a rate of it is.

use super::{Colour, Parsed, Region, Relation, Shape, Size, Statement, Unreadable, parse};
use crate::image::Picture;

/// The factor by which a size's bounds are widened.
pub const SIZE_WIDENING: f64 = 1.15;
/// How far a region's bounds are moved out.
pub const REGION_SLACK: f64 = 0.05;
/// How far a relation's bounds are moved.
pub const RELATION_SLACK: f64 = 0.05;

/// Right, or why not.
pub type Verdict = Result<(), Fault>;

/// What is wrong with a picture: the first of these that is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The picture could not be read.
    #[error("unreadable: {0}")]
    Unreadable(#[from] Unreadable),
    /// Too many or too few objects.
    #[error("{found} objects and not {wanted}")]
    Number {
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The right number of objects, but not of these.
    #[error("{found} times {colour} {shape} and not {wanted}")]
    Objects {
        /// The colour of a wanted object.
        colour: Colour,
        /// Its shape.
        shape: Shape,
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// Another background.
    #[error("the background is {found} and not {wanted}")]
    Background {
        /// The wanted colour.
        wanted: Colour,
        /// The colour that it has.
        found: Colour,
    },
    /// An object of another size.
    #[error("the {colour} {shape} of diameter {diameter:.3} is not {wanted}")]
    Size {
        /// The object's colour.
        colour: Colour,
        /// Its shape.
        shape: Shape,
        /// The wanted size.
        wanted: Size,
        /// The diameter that it has.
        diameter: f64,
    },
    /// An object in another place.
    #[error("the {colour} {shape} at ({:.3}, {:.3}) is not {wanted}", centre[0], centre[1])]
    Region {
        /// The object's colour.
        colour: Colour,
        /// Its shape.
        shape: Shape,
        /// Where it should be.
        wanted: Region,
        /// Where its centre is.
        centre: [f64; 2],
    },
    /// Two objects that lie otherwise to each other.
    #[error("the first, at ({:.3}, {:.3}), is not {wanted} the second, at ({:.3}, {:.3})",
        centres[0][0], centres[0][1], centres[1][0], centres[1][1])]
    Relation {
        /// How the first should lie to the second.
        wanted: Relation,
        /// Where they are.
        centres: [[f64; 2]; 2],
    },
}

impl Statement {
    /// Whether what was read from a picture is what was said, within the slacks of this module. What is not said is
    /// free, except for the objects: there must be no others.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, parsed: &Parsed) -> Verdict {
        self.judge_objects(parsed)?;
        if let Some(wanted) = self.background.filter(|&wanted| wanted != parsed.background) {
            return Err(Fault::Background { wanted, found: parsed.background });
        }
        self.judge_sizes(parsed)?;
        self.judge_regions(parsed)?;
        self.judge_relation(parsed)
    }

    fn judge_objects(&self, parsed: &Parsed) -> Verdict {
        let (wanted, found) = (self.number(), parsed.objects.len());
        if wanted != found {
            return Err(Fault::Number { wanted, found });
        }
        for group in &self.groups {
            let found = parsed.of(group).count();
            if found != group.count {
                return Err(Fault::Objects { colour: group.colour, shape: group.shape, wanted: group.count, found });
            }
        }
        Ok(())
    }

    fn judge_sizes(&self, parsed: &Parsed) -> Verdict {
        for (group, wanted) in self.groups.iter().filter_map(|group| Some((group, group.size?))) {
            if let Some(object) = parsed.of(group).find(|object| !wanted.holds(object.diameter, SIZE_WIDENING)) {
                let (colour, shape, diameter) = (object.colour, object.shape, object.diameter);
                return Err(Fault::Size { colour, shape, wanted, diameter });
            }
        }
        Ok(())
    }

    fn judge_regions(&self, parsed: &Parsed) -> Verdict {
        for (group, wanted) in self.groups.iter().filter_map(|group| Some((group, group.region?))) {
            if let Some(object) = parsed.of(group).find(|object| !wanted.holds(object.centre, REGION_SLACK)) {
                let (colour, shape, centre) = (object.colour, object.shape, object.centre);
                return Err(Fault::Region { colour, shape, wanted, centre });
            }
        }
        Ok(())
    }

    fn judge_relation(&self, parsed: &Parsed) -> Verdict {
        let (Some(wanted), [first, second, ..]) = (self.relation, self.groups.as_slice()) else { return Ok(()) };
        let (Some(first), Some(second)) = (parsed.of(first).next(), parsed.of(second).next()) else { return Ok(()) };
        let centres = [first.centre, second.centre];
        if wanted.holds(centres[0], centres[1], RELATION_SLACK) {
            return Ok(());
        }
        Err(Fault::Relation { wanted, centres })
    }
}

/// Reads a picture and judges it.
///
/// # Errors
/// What is wrong; a picture that cannot be read is wrong.
pub fn judge_picture(wanted: &Statement, picture: &Picture) -> Verdict {
    wanted.judge(&parse(picture)?)
}

/// The 95 % confidence interval of a rate, after Wilson. Without trials it is everything.
#[must_use]
pub fn wilson(successes: usize, trials: usize) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    // The quantile of the normal distribution that leaves 2.5 % above it.
    let z = 1.959_963_984_540_054;
    let n = trials as f64;
    let rate = successes.min(trials) as f64 / n;
    let centre = rate + z * z / (2.0 * n);
    let spread = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // Both ends of the scale are exact; rounding would miss them.
    let low = if successes == 0 { 0.0 } else { (centre - spread) / scale };
    let high = if successes >= trials { 1.0 } else { (centre + spread) / scale };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::{Fault, judge_picture, wilson};
    use crate::image::Picture;
    use crate::world::{Colour, Group, Parsed, ParsedObject, Region, Relation, Shape, Size, Statement, Unreadable};

    fn red(shape: Shape, centre: [f64; 2], diameter: f64) -> ParsedObject {
        ParsedObject { shape, colour: Colour::Red, centre, diameter, angle_degrees: 0.0, score: 1.0 }
    }

    fn on_white(objects: &[ParsedObject]) -> Parsed {
        Parsed { background: Colour::White, objects: objects.to_vec() }
    }

    #[test]
    fn objects_are_exactly_those_said() {
        let circle = red(Shape::Circle, [0.3, 0.3], 0.3);
        let star = red(Shape::Star, [0.7, 0.7], 0.3);
        let single = Statement::single(Colour::Red, Shape::Circle);
        assert_eq!(single.judge(&on_white(&[circle])), Ok(()));
        assert_eq!(single.judge(&on_white(&[])), Err(Fault::Number { wanted: 1, found: 0 }));
        assert_eq!(single.judge(&on_white(&[circle, star])), Err(Fault::Number { wanted: 1, found: 2 }));
        assert!(matches!(single.judge(&on_white(&[star])), Err(Fault::Objects { found: 0, .. })));
        let two = Statement { groups: vec![Group::of(2, Colour::Red, Shape::Star)], ..single.clone() };
        assert_eq!(two.judge(&on_white(&[star, star])), Ok(()));
        assert!(matches!(two.judge(&on_white(&[star, circle])), Err(Fault::Objects { wanted: 2, found: 1, .. })));
        let blue = Statement { background: Some(Colour::Blue), ..single };
        let fault = blue.judge(&on_white(&[circle])).unwrap_err();
        assert_eq!(fault.to_string(), "the background is white and not blue");
    }

    #[test]
    fn sizes_regions_and_relations_have_their_slack() {
        let circle = Statement::single(Colour::Red, Shape::Circle);
        let with =
            |size, region| Statement { groups: vec![Group { size, region, ..circle.groups[0] }], ..circle.clone() };
        let of = |diameter| on_white(&[red(Shape::Circle, [0.5, 0.5], diameter)]);
        assert_eq!(with(Some(Size::Small), None).judge(&of(0.229)), Ok(()));
        assert!(with(Some(Size::Small), None).judge(&of(0.231)).is_err());
        assert_eq!(with(Some(Size::Small), None).judge(&of(0.122)), Ok(()));
        let at = |x| on_white(&[red(Shape::Circle, [x, 0.5], 0.3)]);
        assert_eq!(with(None, Some(Region::Left)).judge(&at(0.42)), Ok(()));
        assert!(matches!(with(None, Some(Region::Left)).judge(&at(0.44)), Err(Fault::Region { .. })));

        let groups = vec![circle.groups[0], Group::of(1, Colour::Red, Shape::Star)];
        let above = Statement { groups, relation: Some(Relation::Above), background: None };
        // The objects come in any order.
        let apart = |y| on_white(&[red(Shape::Star, [0.5, y], 0.2), red(Shape::Circle, [0.5, 0.2], 0.2)]);
        assert_eq!(above.judge(&apart(0.46)), Ok(()));
        assert!(matches!(above.judge(&apart(0.44)), Err(Fault::Relation { .. })));
    }

    #[test]
    fn an_unreadable_picture_is_wrong() {
        let picture = Picture { width: 128, height: 128, rgb: vec![0; 5] };
        let verdict = judge_picture(&Statement::single(Colour::Red, Shape::Circle), &picture);
        assert!(matches!(verdict, Err(Fault::Unreadable(Unreadable::Format { bytes: 5, .. }))));
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20.
        let close = |(low, high): (f64, f64), expected: (f64, f64)| {
            assert!((low - expected.0).abs() < 5e-5 && (high - expected.1).abs() < 5e-5, "{low} {high}");
        };
        close(wilson(81, 263), (0.2553, 0.3662));
        close(wilson(0, 20), (0.0, 0.1611));
        close(wilson(29, 29), (1.0 - 0.1170, 1.0));
        assert_eq!((wilson(0, 20).0, wilson(400, 400).1), (0.0, 1.0));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}
