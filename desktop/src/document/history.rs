//! What was done, to be undone and done again.

use std::collections::VecDeque;
use std::sync::Arc;

use firefall_core::png::Origin;

use super::edit::Layers;
use super::tiles::Delta;

/// What a step changed.
#[derive(Debug)]
pub(super) enum Change {
    /// The mask, in parts.
    Mask(Delta),
    /// The picture, in parts.
    Picture(Delta),
    /// All of it, as the size is another: what was and what came.
    Size(Box<[Layers; 2]>),
}

impl Change {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Mask(delta) | Self::Picture(delta) => delta.is_empty(),
            Self::Size(_) => false,
        }
    }

    /// Whether the picture is another than before.
    pub(super) fn is_of_picture(&self) -> bool {
        !matches!(self, Self::Mask(_))
    }

    fn memory(&self) -> usize {
        match self {
            Self::Mask(delta) | Self::Picture(delta) => delta.memory(),
            Self::Size(layers) => layers.iter().map(Layers::memory).sum(),
        }
    }
}

/// A state of a document, by number: the same numbers are the same state, wherever undo and redo led in between.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct State {
    /// Of the picture and the mask together.
    pub(super) document: u64,
    /// Of the picture alone.
    pub(super) picture: u64,
    /// How the picture was made.
    pub(super) origin: Arc<Origin>,
}

/// One edit.
#[derive(Debug)]
pub(super) struct Step {
    /// As menus show it.
    pub(super) name: &'static str,
    /// What it changed.
    pub(super) change: Change,
    /// Where it began.
    pub(super) before: State,
    /// Where it led.
    pub(super) after: State,
}

impl Step {
    fn memory(&self) -> usize {
        size_of::<Self>() + self.change.memory()
    }
}

/// Edits in order, as many as fit into a number of bytes.
#[derive(Debug)]
pub(super) struct History {
    /// Oldest first.
    done: VecDeque<Step>,
    /// The next to do again last.
    undone: Vec<Step>,
    memory: usize,
    memory_max: usize,
}

impl History {
    /// An empty one that takes at most `memory_max` bytes, or one step if that alone is larger.
    pub(super) fn new(memory_max: usize) -> Self {
        Self { done: VecDeque::new(), undone: Vec::new(), memory: 0, memory_max }
    }

    /// Adds a step; what was undone cannot be done again any more, and the oldest steps go where memory is short.
    pub(super) fn push(&mut self, step: Step) {
        self.memory -= self.undone.drain(..).map(|step| step.memory()).sum::<usize>();
        self.memory += step.memory();
        self.done.push_back(step);
        while self.memory > self.memory_max && self.done.len() > 1 {
            self.memory -= self.done.pop_front().map_or(0, |step| step.memory());
        }
    }

    /// The step to undo; from now on it is one to do again.
    pub(super) fn undo(&mut self) -> Option<&Step> {
        self.undone.push(self.done.pop_back()?);
        self.undone.last()
    }

    /// The step to do again; from now on it is one to undo.
    pub(super) fn redo(&mut self) -> Option<&Step> {
        self.done.push_back(self.undone.pop()?);
        self.done.back()
    }

    /// What [`undo`](Self::undo) would undo.
    pub(super) fn undo_name(&self) -> Option<&'static str> {
        self.done.back().map(|step| step.name)
    }

    /// What [`redo`](Self::redo) would do again.
    pub(super) fn redo_name(&self) -> Option<&'static str> {
        self.undone.last().map(|step| step.name)
    }

    /// What all steps take, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::area::whole;
    use crate::document::tiles::Layout;

    fn step(name: &'static str, side: usize) -> Step {
        let layout = Layout { width: side, height: side, channels: 1 };
        let after: Vec<u8> = (0..side * side).map(|i| (i % 7) as u8).collect();
        let delta = Delta::between(layout, &vec![0; side * side], &after, whole(side, side));
        Step { name, change: Change::Mask(delta), before: State::default(), after: State::default() }
    }

    fn undone(history: &mut History) -> Vec<&'static str> {
        std::iter::from_fn(|| history.undo().map(|step| step.name)).collect()
    }

    #[test]
    fn the_oldest_steps_go_first() {
        let one = step("", 64).memory();
        let mut history = History::new(3 * one);
        for name in ["a", "b", "c", "d", "e"] {
            history.push(step(name, 64));
            assert!(history.memory() <= 3 * one);
        }
        assert_eq!(undone(&mut history), ["e", "d", "c"]);
        assert_eq!(history.memory(), 3 * one, "what is undone still takes memory");
        history.push(step("f", 64));
        assert_eq!((history.memory(), history.redo_name()), (one, None));
    }

    #[test]
    fn a_step_too_large_is_kept_alone() {
        let mut history = History::new(10_000);
        history.push(step("a", 64));
        history.push(step("large", 640));
        assert!(history.memory() > 10_000);
        assert_eq!(undone(&mut history), ["large"]);
        history.redo();
        history.push(step("b", 64));
        assert_eq!(undone(&mut history), ["b"], "the next one takes its place");
        assert!(history.memory() < 10_000);
    }
}
