//! What is to happen under the mask: settings that go together, and a prompt where the user need not write one.

use firefall_core::diffusion::Resampling;
use firefall_core::image::{Mask, Picture};
use firefall_core::inpaint::region;
use firefall_core::world::{Colour, Statement};
use serde::{Deserialize, Serialize};

/// What is to happen under the mask; sets what goes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Something new, from noise.
    Fill,
    /// What is there, finer: it is the beginning.
    Detail,
    /// Something else in the place of what is there.
    Replace,
    /// The background in the place of what is there.
    Remove,
}

/// What goes with a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner {
    /// How much may change, above 0 and at most 1.
    pub strength: f64,
    /// How much the model sees beside the mask, in lengths of it.
    pub context: f64,
    /// How often the walk from noise turns back; the model's own if absent.
    pub resampling: Option<Resampling>,
}

impl Task {
    /// All, in the order of the menu.
    pub const ALL: [Self; 4] = [Self::Fill, Self::Detail, Self::Replace, Self::Remove];

    /// Its name and what it does.
    #[must_use]
    pub const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Fill => ["Fill", "Something new under the mask"],
            Self::Detail => ["Detail", "What is under the mask, reworked; it stays recognisable"],
            Self::Replace => ["Replace", "Something else in the place of what is under the mask, looked at closely"],
            Self::Remove => ["Remove", "Only the background that is around the mask; the prompt is not used"],
        }
    }

    /// What goes with it.
    #[must_use]
    pub const fn manner(self) -> Manner {
        let [least, usual] = [region::CONTEXTS[0], region::CONTEXT];
        match self {
            Self::Fill => Manner { strength: 1.0, context: usual, resampling: None },
            Self::Detail => Manner { strength: 0.5, context: least, resampling: Some(Resampling::QUICK) },
            Self::Replace => Manner { strength: 1.0, context: least, resampling: None },
            Self::Remove => Manner { strength: 1.0, context: 2.0 * usual, resampling: None },
        }
    }

    /// What it does and sets, in sentences.
    #[must_use]
    pub fn hint(self) -> String {
        format!("{}. Sets {}.", self.words()[1], self.manner().words())
    }

    /// What the model is asked for where that is not what the user has written: the background, in words.
    #[must_use]
    pub fn prompt(self, background: impl FnOnce() -> Colour) -> Option<String> {
        let nothing = || Statement { groups: Vec::new(), relation: None, background: Some(background()) };
        (self == Self::Remove).then(|| nothing().plain())
    }
}

impl Manner {
    /// "strength 0.5, context 0.5, quick work at the seam".
    #[must_use]
    pub fn words(&self) -> String {
        let Self { strength, context, resampling } = self;
        let preset = |value: Resampling| Resampling::PRESETS.into_iter().find(|(_, preset)| *preset == value);
        let work = resampling.map_or("usual", |value| preset(value).map_or("other", |(name, _)| name));
        format!("strength {strength:.2}, context {context:.2}, {work} work at the seam")
    }
}

/// The colour around what is marked, among those that have a name: the middle one of each channel.
pub(super) fn background(picture: &Picture, mask: &Mask) -> Colour {
    let Picture { width, height, .. } = *picture;
    let [columns, rows] = mask.bounds().map_or([0..width, 0..height], |bounds| {
        let room = bounds.long().div_ceil(2);
        let widened = |from: usize, to: usize, of: usize| from.saturating_sub(room)..(to + room).min(of);
        [widened(bounds.left, bounds.right, width), widened(bounds.top, bounds.bottom, height)]
    });
    // How often each value is there, channel by channel: beside the mask and under it.
    let mut counts = [[[0usize; 256]; 3]; 2];
    for y in rows {
        for x in columns.clone() {
            let under = usize::from(mask.alpha[y * width + x] > 0);
            for (counts, value) in counts[under].iter_mut().zip(picture.pixel(x, y)) {
                counts[usize::from(value)] += 1;
            }
        }
    }
    let [beside, under] = counts;
    let counts = if beside[0].iter().any(|count| *count > 0) { beside } else { under };
    Colour::nearest(counts.map(|counts| middle(&counts) as f64)).0
}

/// The value that as many lie below as above.
fn middle(counts: &[usize; 256]) -> usize {
    let half = counts.iter().sum::<usize>() / 2;
    let mut below = 0;
    let passes = |count: &usize| {
        below += count;
        below > half
    };
    counts.iter().position(passes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Batch, Order, Wishes};
    use super::*;

    /// Blue, with a red square and a mask over it.
    fn scene() -> (Picture, Mask) {
        let inside = |i: usize, reach: usize| (i % 900).abs_diff(450) <= reach && (i / 900).abs_diff(450) <= reach;
        let colour = |i: usize| if inside(i, 40) { Colour::Red } else { Colour::Blue };
        let rgb = (0..900 * 900).flat_map(|i| colour(i).rgb()).collect();
        let alpha = (0..900 * 900).map(|i| if inside(i, 50) { 255 } else { 0 }).collect();
        (Picture { width: 900, height: 900, rgb }, Mask { width: 900, height: 900, alpha })
    }

    fn batch(task: Task, prompt: &str) -> Batch {
        let config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let mut wishes = Wishes { prompt: prompt.into(), ..Wishes::default() };
        wishes.take(task);
        let (picture, mask) = scene();
        let order = Order { picture: Arc::new(picture), mask: Arc::new(mask), wishes };
        order.prepare(&config, "hash").unwrap()
    }

    #[test]
    fn each_task_asks_for_what_it_says() {
        let config = firefall_core::train::TrainConfig::preset("tiny").unwrap().model;
        let usual = config.resampling();
        let tasks = [
            (Task::Fill, 1.0, 202, usual, "a green star"),
            (Task::Detail, 0.5, 152, Resampling::QUICK, "a green star"),
            (Task::Replace, 1.0, 152, usual, "a green star"),
            (Task::Remove, 1.0, 303, usual, "on a blue background"),
        ];
        for (task, strength, side, resampling, prompt) in tasks {
            let batch = batch(task, "a green star");
            let canvas = batch.request.canvas.unwrap();
            assert_eq!((canvas.strength, canvas.resampling), (strength, resampling), "{task:?}");
            assert_eq!(batch.job.region().side, side, "{task:?}");
            assert!(batch.request.pictures.iter().all(|picture| picture.prompt == prompt), "{task:?}");
            assert_eq!(batch.origins[0].prompt.as_deref(), Some(prompt));
            let said = &batch.origins[0].settings.as_ref().unwrap()["inpaint"];
            assert_eq!(said["context"].as_f64(), Some(task.manner().context));
            let Manner { strength, context, .. } = task.manner();
            let hint = task.hint();
            assert!(hint.contains(&format!("strength {strength:.2}, context {context:.2}, ")), "{hint}");
        }
        assert!(Task::Detail.hint().ends_with("quick work at the seam."), "{}", Task::Detail.hint());
    }

    #[test]
    fn what_is_removed_needs_no_prompt() {
        assert_eq!(batch(Task::Remove, " ").request.pictures[0].prompt, "on a blue background");
    }

    #[test]
    fn the_background_is_that_around_the_mask() {
        let (picture, mask) = scene();
        assert_eq!(background(&picture, &mask), Colour::Blue);
        assert_eq!(background(&picture, &Mask::filled(900, 900, 0)), Colour::Blue);
        // Yellow all around, but not near.
        let far = |i: usize| (i % 900).abs_diff(450).max((i / 900).abs_diff(450)) > 150;
        let mut framed = picture.clone();
        for i in (0..900 * 900).filter(|i| far(*i)) {
            framed.rgb[3 * i..3 * i + 3].copy_from_slice(&Colour::Yellow.rgb());
        }
        assert_eq!(background(&framed, &mask), Colour::Blue);
        assert_eq!(background(&framed, &Mask::filled(900, 900, 0)), Colour::Yellow);
        assert_eq!(background(&framed, &Mask::filled(900, 900, 9)), Colour::Yellow, "where all is marked, all of it");
        assert_eq!(background(&Picture::filled(1, 1, Colour::Pink.rgb()), &Mask::filled(1, 1, 255)), Colour::Pink);
    }
}
