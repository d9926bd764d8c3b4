//! Scenes: what is in a picture, and the words for where and how big.

use serde::{Deserialize, Serialize};

use super::words::named_by_words;
use super::{Colour, Font, Shape};

/// Least distance of a bounding circle from the picture's edge.
pub const MARGIN: f64 = 0.02;
/// Least distance between two bounding circles.
pub const GAP: f64 = 0.03;
/// Most objects in a scene.
pub const MOST_OBJECTS: usize = 5;
/// Rounding that a check of a scene forgives.
const SLACK: f64 = 1e-9;

/// A flat picture of a few objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// The colour of everything that is no object.
    pub background: Colour,
    /// The objects, none above another.
    pub objects: Vec<Object>,
}

/// One object of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub shape: Shape,
    /// The colour of all of it.
    pub colour: Colour,
    /// The centre of the smallest circle around it: x and y in sides of the picture, from the top left corner.
    pub centre: [f64; 2],
    /// The diameter of that circle, in sides of the picture.
    pub diameter: f64,
    /// How far it is turned, clockwise.
    pub angle_degrees: f64,
    /// What a digit is drawn in.
    #[serde(default)]
    pub font: Font,
}

/// Why a scene is none of this world.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadScene {
    /// Too many objects.
    #[error("{0} objects; a scene has at most {MOST_OBJECTS}")]
    Count(usize),
    /// An object has a value that no scene has.
    #[error("object {object}: {what} is {value}")]
    Value {
        /// Its index.
        object: usize,
        /// Which value.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// An object that cannot be seen.
    #[error("object {0} has the colour of the background")]
    Invisible(usize),
    /// An object reaches into the margin.
    #[error("object {0} is nearer than {MARGIN} to the edge")]
    Margin(usize),
    /// Two objects come too near to each other.
    #[error("objects {0} and {1} are nearer than {GAP} to each other")]
    Gap(usize, usize),
    /// Sizes that do not go together.
    #[error("{big} big objects among {objects}")]
    Crowded {
        /// How many are big.
        big: usize,
        /// How many there are.
        objects: usize,
    },
}

impl Scene {
    /// Whether the scene keeps all rules of the world.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), BadScene> {
        if self.objects.len() > MOST_OBJECTS {
            return Err(BadScene::Count(self.objects.len()));
        }
        for (index, object) in self.objects.iter().enumerate() {
            object.check(index)?;
            if object.colour == self.background {
                return Err(BadScene::Invisible(index));
            }
            for (other, second) in self.objects.iter().enumerate().skip(index + 1) {
                if object.gap(second) < GAP - SLACK {
                    return Err(BadScene::Gap(index, other));
                }
            }
        }
        let big = self.objects.iter().filter(|o| Size::Big.holds(o.diameter, 1.0)).count();
        if big > 1 || (big == 1 && self.objects.len() > 2) {
            return Err(BadScene::Crowded { big, objects: self.objects.len() });
        }
        Ok(())
    }
}

impl Object {
    fn check(&self, index: usize) -> Result<(), BadScene> {
        let bad = |what, value| Err(BadScene::Value { object: index, what, value });
        if !Size::ALL.iter().any(|size| size.holds(self.diameter, 1.0)) {
            return bad("diameter", self.diameter);
        }
        if self.angle_degrees.is_nan() || self.angle_degrees.abs() > self.shape.turn() {
            return bad("angle_degrees", self.angle_degrees);
        }
        let room = MARGIN + self.diameter / 2.0 - SLACK;
        for (what, value) in [("x", self.centre[0]), ("y", self.centre[1])] {
            if !(0.0..=1.0).contains(&value) {
                return bad(what, value);
            }
            if value < room || value > 1.0 - room {
                return Err(BadScene::Margin(index));
            }
        }
        Ok(())
    }

    /// The distance between the bounding circles of two objects; negative if they overlap.
    #[must_use]
    pub fn gap(&self, other: &Self) -> f64 {
        let apart = (self.centre[0] - other.centre[0]).hypot(self.centre[1] - other.centre[1]);
        apart - (self.diameter + other.diameter) / 2.0
    }
}

/// How big an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Diameter 0.14 to 0.20.
    Small,
    /// Diameter 0.26 to 0.34; what is meant where nothing is said.
    Medium,
    /// Diameter 0.44 to 0.56.
    Big,
}

impl Size {
    /// All, from small to big.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Big];

    /// The least and the greatest diameter.
    #[must_use]
    pub const fn bounds(self) -> [f64; 2] {
        match self {
            Self::Small => [0.14, 0.20],
            Self::Medium => [0.26, 0.34],
            Self::Big => [0.44, 0.56],
        }
    }

    /// Whether `diameter` is within the bounds, the lower one divided and the upper one multiplied by `widening`.
    #[must_use]
    pub fn holds(self, diameter: f64, widening: f64) -> bool {
        let [least, greatest] = self.bounds();
        (least / widening..=greatest * widening).contains(&diameter)
    }

    /// Its words, the plain one first.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Small => &["small", "tiny", "little"],
            Self::Medium => &["medium"],
            Self::Big => &["big", "large", "huge"],
        }
    }
}

named_by_words!(Size, "size");

/// Where in the picture the centre of an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// Within 0.12 of the middle.
    Centre,
    /// In the outer 0.38 at the top, within 0.2 of the middle sideways.
    Top,
    /// As [`Region::Top`], at the bottom.
    Bottom,
    /// As [`Region::Top`], at the left.
    Left,
    /// As [`Region::Top`], at the right.
    Right,
    /// In the outer 0.38 at the top and at the left.
    TopLeft,
    /// As [`Region::TopLeft`], in that corner.
    TopRight,
    /// As [`Region::TopLeft`], in that corner.
    BottomLeft,
    /// As [`Region::TopLeft`], in that corner.
    BottomRight,
}

impl Region {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::Centre,
        Self::Top,
        Self::Bottom,
        Self::Left,
        Self::Right,
        Self::TopLeft,
        Self::TopRight,
        Self::BottomLeft,
        Self::BottomRight,
    ];

    /// Whether an object with its centre there is in the region, each bound of which is moved out by `slack`.
    #[must_use]
    pub fn holds(self, [x, y]: [f64; 2], slack: f64) -> bool {
        let (outer, inner) = (0.38 + slack, 0.2 + slack);
        let (left, right) = (x <= outer, 1.0 - x <= outer);
        let (top, bottom) = (y <= outer, 1.0 - y <= outer);
        let (middle_x, middle_y) = ((x - 0.5).abs() <= inner, (y - 0.5).abs() <= inner);
        match self {
            Self::Centre => (x - 0.5).hypot(y - 0.5) <= 0.12 + slack,
            Self::Top => top && middle_x,
            Self::Bottom => bottom && middle_x,
            Self::Left => left && middle_y,
            Self::Right => right && middle_y,
            Self::TopLeft => top && left,
            Self::TopRight => top && right,
            Self::BottomLeft => bottom && left,
            Self::BottomRight => bottom && right,
        }
    }

    /// Where in a sentence the object is, the plain phrase first.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Centre => &["in the centre", "in the center", "in the middle"],
            Self::Top => &["at the top"],
            Self::Bottom => &["at the bottom"],
            Self::Left => &["on the left"],
            Self::Right => &["on the right"],
            Self::TopLeft => {
                &["in the top left", "in the upper left", "in the top left corner", "in the upper left corner"]
            }
            Self::TopRight => {
                &["in the top right", "in the upper right", "in the top right corner", "in the upper right corner"]
            }
            Self::BottomLeft => {
                &["in the bottom left", "in the lower left", "in the bottom left corner", "in the lower left corner"]
            }
            Self::BottomRight => &[
                "in the bottom right",
                "in the lower right",
                "in the bottom right corner",
                "in the lower right corner",
            ],
        }
    }
}

named_by_words!(Region, "region");

/// How one object lies to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The first is higher.
    Above,
    /// The first is lower.
    Below,
    /// The first is further left.
    Left,
    /// The first is further right.
    Right,
}

impl Relation {
    /// All.
    pub const ALL: [Self; 4] = [Self::Above, Self::Below, Self::Left, Self::Right];

    /// The relation of the second to the first.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::Below => Self::Above,
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Whether an object with its centre at `first` is so to one at `second`: at least 0.3 apart along the axis, and
    /// less than 0.6 of that along the other, each bound moved by `slack`.
    #[must_use]
    pub fn holds(self, first: [f64; 2], second: [f64; 2], slack: f64) -> bool {
        let (x, y) = (second[0] - first[0], second[1] - first[1]);
        let (along, across) = match self {
            Self::Above => (y, x),
            Self::Below => (-y, x),
            Self::Left => (x, y),
            Self::Right => (-x, y),
        };
        along >= 0.3 - slack && across.abs() < 0.6 * along + slack
    }

    /// What stands between the two in a sentence, the plain phrase first.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Above => &["above", "on top of"],
            Self::Below => &["below", "under"],
            Self::Left => &["left of", "to the left of"],
            Self::Right => &["right of", "to the right of"],
        }
    }
}

named_by_words!(Relation, "relation");

#[cfg(test)]
mod tests {
    use super::{BadScene, Object, Region, Relation, Scene, Size};
    use crate::world::{Colour, Font, Shape};

    fn object(centre: [f64; 2], diameter: f64) -> Object {
        let (shape, colour, font) = (Shape::Circle, Colour::Red, Font::Dejavu);
        Object { shape, colour, centre, diameter, angle_degrees: 0.0, font }
    }

    #[test]
    fn a_check_names_the_rule() {
        let check = |objects: &[Object]| Scene { background: Colour::White, objects: objects.to_vec() }.check();
        assert_eq!(check(&[object([0.5, 0.5], 0.3)]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[object([0.5, 0.5], 0.3); 6]), Err(BadScene::Count(6)));
        assert_eq!(check(&[object([0.16, 0.5], 0.3)]), Err(BadScene::Margin(0)));
        assert_eq!(check(&[object([0.2, 0.5], 0.3), object([0.52, 0.5], 0.3)]), Err(BadScene::Gap(0, 1)));
        let value = BadScene::Value { object: 0, what: "diameter", value: 0.4 };
        assert_eq!(check(&[object([0.5, 0.5], 0.4)]), Err(value.clone()));
        assert_eq!(value.to_string(), "object 0: diameter is 0.4");
        let three = [object([0.3, 0.3], 0.5), object([0.8, 0.8], 0.2), object([0.2, 0.8], 0.2)];
        assert_eq!(check(&three), Err(BadScene::Crowded { big: 1, objects: 3 }));
        let white = Object { colour: Colour::White, ..object([0.5, 0.5], 0.3) };
        assert_eq!(check(&[white]), Err(BadScene::Invisible(0)));
    }

    #[test]
    fn regions_hold_by_their_bounds() {
        for (region, inside, outside) in [
            (Region::Centre, [0.5, 0.61], [0.5, 0.63]),
            (Region::Top, [0.31, 0.37], [0.29, 0.37]),
            (Region::Bottom, [0.5, 0.63], [0.5, 0.61]),
            (Region::Left, [0.37, 0.69], [0.37, 0.71]),
            (Region::Right, [0.63, 0.5], [0.61, 0.5]),
            (Region::TopLeft, [0.37, 0.37], [0.39, 0.37]),
            (Region::TopRight, [0.63, 0.37], [0.63, 0.39]),
            (Region::BottomLeft, [0.37, 0.63], [0.37, 0.61]),
            (Region::BottomRight, [0.63, 0.63], [0.61, 0.63]),
        ] {
            assert!(region.holds(inside, 0.0), "{region}");
            assert!(!region.holds(outside, 0.0), "{region}");
            assert!(region.holds(outside, 0.05), "{region}");
        }
    }

    #[test]
    fn relations_hold_by_their_bounds() {
        for relation in Relation::ALL {
            let unit = match relation {
                Relation::Above => [0.0, 1.0],
                Relation::Below => [0.0, -1.0],
                Relation::Left => [1.0, 0.0],
                Relation::Right => [-1.0, 0.0],
            };
            let at = |along: f64, across: f64| {
                [0.5 + along * unit[0] - across * unit[1], 0.5 + along * unit[1] + across * unit[0]]
            };
            let holds = |along, across, slack| relation.holds([0.5, 0.5], at(along, across), slack);
            assert!(holds(0.31, 0.18, 0.0) && !holds(0.29, 0.0, 0.0) && !holds(0.31, 0.19, 0.0));
            assert!(holds(0.26, 0.0, 0.05) && !holds(0.24, 0.0, 0.05) && holds(0.31, -0.23, 0.05));
            assert!(relation.inverse().holds(at(0.31, 0.1), [0.5, 0.5], 0.0));
        }
    }

    #[test]
    fn sizes_do_not_meet_but_their_widened_bounds_do() {
        for diameter in [0.21, 0.25, 0.35, 0.43] {
            assert!(Size::ALL.iter().all(|size| !size.holds(diameter, 1.0)), "{diameter}");
            assert!(Size::ALL.iter().any(|size| size.holds(diameter, 1.15)), "{diameter}");
        }
    }

    #[test]
    fn a_scene_survives_json() {
        let digit = Object { shape: Shape::Seven, font: Font::Noto, ..object([0.3, 0.4], 0.3) };
        let scene = Scene { background: Colour::Gray, objects: vec![object([0.7, 0.7], 0.3), digit] };
        let text = serde_json::to_string(&scene).unwrap();
        assert!(text.contains(r#""shape":"7","colour":"red","centre":[0.3,0.4]"#), "{text}");
        assert_eq!(serde_json::from_str::<Scene>(&text).unwrap(), scene);
    }
}
