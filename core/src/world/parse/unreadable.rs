//! The reasons for which a picture is not read.

use crate::world::{Colour, Shape};

/// Why a picture cannot be read. Places are in sides of the picture, scores from 0 to 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// No square picture of at least 16 by 16 pixels.
    #[error("{width} by {height} pixels in {bytes} bytes; a picture to read is square, from 16 by 16 pixels on")]
    Format {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// Its bytes.
        bytes: usize,
    },
    /// The border has no one colour.
    #[error("no background: only {:.0} % of the border is {colour}", 100.0 * share)]
    NoBackground {
        /// The most frequent colour of the border.
        colour: Colour,
        /// Its share.
        share: f64,
    },
    /// More regions than any scene has objects.
    #[error("more than {most} regions")]
    TooMany {
        /// How many are looked at.
        most: usize,
    },
    /// A region reaches the border.
    #[error("a region touches the edge at ({:.3}, {:.3})", at[0], at[1])]
    AtTheEdge {
        /// Where.
        at: [f64; 2],
    },
    /// A region is like no template.
    #[error("the region at ({:.3}, {:.3}) is no shape; the nearest is {nearest}, at {score:.3}", at[0], at[1])]
    NoShape {
        /// Its middle.
        at: [f64; 2],
        /// The template that is nearest.
        nearest: Shape,
        /// How well that overlaps.
        score: f64,
    },
    /// A region is as much one shape as another.
    #[error("the region at ({:.3}, {:.3}) may be {first}, at {:.3}, or {second}, at {:.3}", at[0], at[1], scores[0],
        scores[1])]
    Ambiguous {
        /// Its middle.
        at: [f64; 2],
        /// The better shape.
        first: Shape,
        /// The other one.
        second: Shape,
        /// How well both overlap.
        scores: [f64; 2],
    },
    /// A region is like a template but for one place.
    #[error("the {shape} at ({:.3}, {:.3}) has a flaw of {flaw:.2}", at[0], at[1])]
    Flawed {
        /// Its middle.
        at: [f64; 2],
        /// What it would be.
        shape: Shape,
        /// The greatest disagreement in one place, from 0 to 1.
        flaw: f64,
    },
    /// An object of no size of this world, even with the judge's widening.
    #[error("the {shape} at ({:.3}, {:.3}) has diameter {diameter:.3}", at[0], at[1])]
    Scale {
        /// Its centre.
        at: [f64; 2],
        /// What it would be.
        shape: Shape,
        /// The diameter of its bounding circle.
        diameter: f64,
    },
    /// A region of more than one colour.
    #[error("the region at ({:.3}, {:.3}) is {:.0} % of other colours than {colour}", at[0], at[1], 100.0 * share)]
    Mixed {
        /// Its middle.
        at: [f64; 2],
        /// Its main colour.
        colour: Colour,
        /// The share of others.
        share: f64,
    },
    /// A region of a colour that is none of the palette.
    #[error("the region at ({:.3}, {:.3}) is {distance:.0} from the nearest colour, {nearest}", at[0], at[1])]
    NoColour {
        /// Its middle.
        at: [f64; 2],
        /// The nearest colour.
        nearest: Colour,
        /// The Euclidean distance in sRGB bytes.
        distance: f64,
    },
    /// The bounding circles of two objects overlap.
    #[error("the objects at ({:.3}, {:.3}) and ({:.3}, {:.3}) overlap", at[0][0], at[0][1], at[1][0], at[1][1])]
    Overlap {
        /// Their centres.
        at: [[f64; 2]; 2],
    },
}
