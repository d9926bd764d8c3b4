//! What the parser itself gets wrong: the ceiling of every rate that it measures.

use std::fmt;

use serde::Serialize;

use super::degrade::degrade;
use super::{Category, Mix, Parsed, Scene, Shape, Size, draw, example_scene, judge_picture, parse, prompts, render};
use crate::image::Picture;
use crate::noise::{Purpose, Stream};

/// The side of the pictures that are judged.
const SIDE: usize = 128;
/// The greatest distance, in sides of the picture, between a read and a true centre.
const PLACE: f64 = 0.02;
/// The column of objects in pictures that could not be read, or that no read object lies at.
const UNREAD: usize = Shape::ALL.len();

/// How scenes were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Objects by true shape (rows) and read shape (columns, the last one for objects that were not read).
    pub counts: [[u32; Shape::ALL.len() + 1]; Shape::ALL.len()],
    /// Pictures read exactly: background, number, shapes, colours, size classes, and centres within 0.02.
    pub exact: usize,
    /// Pictures.
    pub scenes: usize,
}

/// How scenes of the default mix were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// As rendered.
    pub clean: Table,
    /// [Degraded](degrade).
    pub degraded: Table,
}

/// Reads `scenes` training scenes of `seed`, clean and degraded.
#[must_use]
pub fn confusion(scenes: usize, seed: u64) -> Confusion {
    let mut confusion = Confusion { clean: Table::new(), degraded: Table::new() };
    for index in 0..scenes as u64 {
        let mut stream = Stream::new(seed, Purpose::Evaluation, index);
        let scene = draw(&mut stream, &Mix::default()).scene;
        let picture = render(&scene, SIDE);
        confusion.clean.add(&scene, &picture);
        confusion.degraded.add(&scene, &degrade(&picture, &mut stream));
    }
    confusion
}

/// Of how many prompts of a category a clean render is judged right, out of `count`.
#[must_use]
pub fn ceiling(category: Category, count: usize, seed: u64) -> usize {
    let mut stream = Stream::new(seed, Purpose::Evaluation, category as u64);
    let prompts = prompts(category, count, &mut stream);
    let mut right = |prompt: &super::EvalPrompt| {
        let scene = example_scene(prompt, &mut stream);
        scene.is_ok_and(|scene| judge_picture(&prompt.wanted, &render(&scene, SIDE)).is_ok())
    };
    prompts.iter().filter(|prompt| right(prompt)).count()
}

/// Whether a picture was read exactly; the objects may come in any order.
#[must_use]
pub fn is_exact(scene: &Scene, parsed: &Parsed) -> bool {
    let class = |diameter: f64| Size::ALL.into_iter().find(|size| size.holds(diameter, 1.0));
    let found = |object: &super::Object| {
        parsed.objects.iter().any(|read| {
            let apart = (read.centre[0] - object.centre[0]).hypot(read.centre[1] - object.centre[1]);
            let same = (read.shape, read.colour) == (object.shape, object.colour);
            let size =
                class(object.diameter).is_some_and(|size| size.holds(read.diameter, super::judge::SIZE_WIDENING));
            same && size && apart <= PLACE
        })
    };
    // The gap between objects exceeds the tolerance, so no read object can stand for two.
    parsed.background == scene.background
        && parsed.objects.len() == scene.objects.len()
        && scene.objects.iter().all(found)
}

impl Table {
    fn new() -> Self {
        Self { counts: [[0; Shape::ALL.len() + 1]; Shape::ALL.len()], exact: 0, scenes: 0 }
    }

    fn add(&mut self, scene: &Scene, picture: &Picture) {
        let parsed = parse(picture).ok();
        self.scenes += 1;
        self.exact += usize::from(parsed.as_ref().is_some_and(|parsed| is_exact(scene, parsed)));
        for object in &scene.objects {
            let at = |read: &&super::ParsedObject| {
                (read.centre[0] - object.centre[0]).hypot(read.centre[1] - object.centre[1]) < object.diameter / 2.0
            };
            let read = parsed.as_ref().and_then(|parsed| parsed.objects.iter().find(at));
            self.counts[object.shape as usize][read.map_or(UNREAD, |read| read.shape as usize)] += 1;
        }
    }

    /// The share of pictures that were read exactly.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.exact as f64 / self.scenes.max(1) as f64
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} pictures read exactly ({:.2} %)", self.exact, self.scenes, 100.0 * self.rate())?;
        write!(f, "{:<9}", "true")?;
        for shape in Shape::ALL {
            write!(f, "{:>9}", shape.words()[0])?;
        }
        writeln!(f, "{:>9}", "unread")?;
        for (shape, row) in Shape::ALL.into_iter().zip(&self.counts) {
            write!(f, "{:<9}", shape.words()[0])?;
            for count in row {
                write!(f, "{count:>9}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clean: {}\ndegraded: {}", self.clean, self.degraded)
    }
}

#[cfg(test)]
mod tests {
    use super::{ceiling, confusion, is_exact};
    use crate::noise::{Purpose, Stream};
    use crate::world::{Category, Mix, Parsed, draw};

    #[test]
    fn the_parser_reads_what_it_must() {
        let confusion = confusion(400, 3);
        assert!(confusion.clean.rate() >= 0.995, "{}", confusion.clean);
        assert!(confusion.degraded.rate() >= 0.99, "{}", confusion.degraded);
        assert_eq!(confusion.clean.scenes, 400);
    }

    #[test]
    fn the_ceiling_of_every_category_is_high() {
        for category in Category::ALL {
            let right = ceiling(category, 100, 4);
            assert!(right >= 99, "{category}: {right}");
        }
    }

    #[test]
    fn exact_is_exact() {
        let scene = draw(&mut Stream::new(1, Purpose::Evaluation, 0), &Mix::default()).scene;
        let whole = Parsed::from(&scene);
        assert!(is_exact(&scene, &whole));
        let alter = |change: fn(&mut Parsed)| {
            let mut parsed = whole.clone();
            change(&mut parsed);
            is_exact(&scene, &parsed)
        };
        assert!(alter(|parsed| parsed.objects.reverse()));
        assert!(alter(|parsed| parsed.objects[0].centre[0] += 0.019));
        assert!(!alter(|parsed| parsed.objects[0].centre[0] += 0.021));
        assert!(!alter(|parsed| parsed.objects[0].diameter *= 2.0));
        assert!(!alter(|parsed| parsed.objects.truncate(0)));
    }
}
