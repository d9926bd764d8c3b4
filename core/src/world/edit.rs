//! Tasks for inpainting of which everything is known: a picture, a mask, a prompt, and what the result must show.

use serde::{Deserialize, Serialize};

use super::words::named_by_words;
use super::{Colour, Fault, Object, Parsed, Scene, Shape, Statement, Unplaceable, Unreadable, parse, render};
use crate::image::{Mask, Picture};
use crate::noise::Stream;

/// Side of the pictures.
const SIDE: usize = 128;
/// How much wider than what it covers a mask is, for an object that goes and for one that comes.
const ROOM: [f64; 2] = [1.15, 2.0];
/// How far an object may reach beyond its mask, in sides: the blend is as wide.
const SLACK: f64 = 0.04;

/// What is to happen under the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edit {
    /// An object goes, the background stays.
    Remove,
    /// An object comes onto an empty background.
    Put,
    /// One object goes, another comes.
    Replace,
}

impl Edit {
    /// All, in the order of the published table.
    pub const ALL: [Self; 3] = [Self::Remove, Self::Put, Self::Replace];

    /// Its name.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Remove => &["remove"],
            Self::Put => &["put in"],
            Self::Replace => &["replace"],
        }
    }
}

named_by_words!(Edit, "edit");

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct EditTask {
    /// What it tests.
    pub edit: Edit,
    /// What the result shows, in words.
    pub prompt: String,
    /// 128 x 128 pixels, on white.
    pub picture: Picture,
    /// A disc, of the same size.
    pub mask: Mask,
    /// What the result shows; nothing but the background if absent.
    pub wanted: Option<Statement>,
}

/// Why a result is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EditFault {
    /// It does not show what was asked for.
    #[error(transparent)]
    Shows(#[from] Fault),
    /// Nothing but the background was asked for.
    #[error("{found} object{} left on a background that is {background}", if *.found == 1 { "" } else { "s" })]
    NotClean {
        /// Objects that the parser finds.
        found: usize,
        /// What they stand on.
        background: Colour,
    },
    /// The object reaches beyond the mask.
    #[error("the object at ({:.2}, {:.2}) is not inside the mask", centre[0], centre[1])]
    Outside {
        /// Where it is.
        centre: [f64; 2],
    },
}

impl EditTask {
    /// Draws a task.
    ///
    /// # Errors
    /// If no scene is found, which no statement made here should cause.
    pub fn draw(edit: Edit, stream: &mut Stream) -> Result<Self, Unplaceable> {
        let single = |stream: &mut Stream| loop {
            let colour = *stream.pick(&Colour::ALL);
            if colour != Colour::White {
                break Statement::single(colour, *stream.pick(Shape::figures()));
            }
        };
        let on_white = |said: &Statement, stream: &mut Stream| {
            Statement { background: Some(Colour::White), ..said.clone() }.scene(stream)
        };
        let said = single(stream);
        let scene = on_white(&said, stream)?;
        let object = scene.objects[0];
        let empty = Picture::filled(SIDE, SIDE, Colour::White.rgb());
        let of =
            |edit, prompt, picture, room, wanted| Ok(Self { edit, prompt, picture, mask: disc(&object, room), wanted });
        match edit {
            Edit::Remove => of(edit, "on a white background".into(), render(&scene, SIDE), ROOM[0], None),
            Edit::Put => of(edit, said.plain(), empty, ROOM[1], Some(said)),
            Edit::Replace => {
                let new = loop {
                    let new = single(stream);
                    if new != said {
                        break new;
                    }
                };
                of(edit, new.plain(), render(&scene, SIDE), ROOM[1], Some(new))
            }
        }
    }

    /// Judges a result.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, picture: &Picture) -> Result<(), EditFault> {
        let read: Result<Parsed, Unreadable> = parse(picture);
        let parsed = read.map_err(Fault::from)?;
        let Some(wanted) = &self.wanted else {
            let (found, background) = (parsed.objects.len(), parsed.background);
            let clean = found == 0 && background == Colour::White;
            return if clean { Ok(()) } else { Err(EditFault::NotClean { found, background }) };
        };
        wanted.judge(&parsed)?;
        let Some(bounds) = self.mask.bounds() else { return Ok(()) };
        let side = SIDE as f64;
        let [across, down] =
            [[bounds.left, bounds.right], [bounds.top, bounds.bottom]].map(|e| e.map(|v| v as f64 / side));
        match parsed.objects.iter().find(|object| {
            let reach = object.diameter / 2.0 - SLACK;
            let inside = |at: f64, [from, to]: [f64; 2]| at - reach >= from && at + reach <= to;
            !inside(object.centre[0], across) || !inside(object.centre[1], down)
        }) {
            Some(object) => Err(EditFault::Outside { centre: object.centre }),
            None => Ok(()),
        }
    }
}

/// A disc around an object, `room` times as wide.
fn disc(object: &Object, room: f64) -> Mask {
    let radius = room * object.diameter / 2.0 * SIDE as f64;
    let [x, y] = object.centre.map(|c| c * SIDE as f64);
    let inside = |i: usize| ((i % SIDE) as f64 + 0.5 - x).hypot((i / SIDE) as f64 + 0.5 - y) <= radius;
    let alpha = (0..SIDE * SIDE).map(|i| if inside(i) { 255 } else { 0 }).collect();
    Mask { width: SIDE, height: SIDE, alpha }
}

/// A perfect result of a task, for the ceiling of its judge.
///
/// # Errors
/// If no scene is found for what is wanted.
pub fn perfect(task: &EditTask, stream: &mut Stream) -> Result<Picture, Unplaceable> {
    let Some(wanted) = &task.wanted else { return Ok(Picture::filled(SIDE, SIDE, Colour::White.rgb())) };
    let mut scene: Scene = Statement { background: Some(Colour::White), ..wanted.clone() }.scene(stream)?;
    if let Some(bounds) = task.mask.bounds() {
        let middle = |from: usize, to: usize| (from + to) as f64 / 2.0 / SIDE as f64;
        let object = &mut scene.objects[0];
        object.centre = [middle(bounds.left, bounds.right), middle(bounds.top, bounds.bottom)];
        object.diameter = object.diameter.min((bounds.right - bounds.left) as f64 / SIDE as f64);
    }
    Ok(render(&scene, SIDE))
}

#[cfg(test)]
mod tests {
    use super::{Colour, Edit, EditFault, EditTask, perfect};
    use crate::image::Picture;
    use crate::noise::{Purpose, Stream};

    #[test]
    fn perfect_results_are_right_and_the_pictures_as_given_are_wrong() {
        let mut stream = Stream::new(3, Purpose::Evaluation, 0);
        for edit in Edit::ALL {
            for _ in 0..40 {
                let task = EditTask::draw(edit, &mut stream).unwrap();
                assert!(task.judge(&task.picture).is_err(), "{edit}: {}", task.prompt);
                let result = perfect(&task, &mut stream).unwrap();
                assert_eq!(task.judge(&result), Ok(()), "{edit}: {}", task.prompt);
                let outside = |p: &Picture, i: usize| p.rgb[3 * i..3 * i + 3].to_vec();
                let known = (0..128 * 128).filter(|i| task.mask.alpha[*i] == 0);
                assert!(
                    known.into_iter().all(|i| outside(&task.picture, i) == Colour::White.rgb()),
                    "all of it is under the mask"
                );
            }
        }
    }

    #[test]
    fn an_object_elsewhere_is_outside() {
        let mut stream = Stream::new(4, Purpose::Evaluation, 0);
        let task = EditTask::draw(Edit::Put, &mut stream).unwrap();
        let result = perfect(&task, &mut stream).unwrap();
        let moved = EditTask { mask: crate::image::Mask::filled(128, 128, 0), ..task.clone() };
        let mut mask = moved.mask.clone();
        mask.alpha[..20].fill(255);
        let fault = EditTask { mask, ..task }.judge(&result).unwrap_err();
        assert!(matches!(fault, EditFault::Outside { .. }), "{fault}");
    }
}
