//! Painting into what is known: `RePaint` (Lugmayr et al. 2022, <https://arxiv.org/abs/2201.09865>).
//!
//! Before every step the known pixels are put in place at the level of the step, and the walk from noise to picture turns
//! back now and then, so that what is painted can agree with what is known. Both are done so that `x_t` has the right
//! distribution at every level, for any sampler and both processes.

use std::collections::VecDeque;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Level;

/// How often the walk turns back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// Steps of a way back; the paper's `jump_length`.
    pub jump: usize,
    /// How often each stretch of so many steps is walked; the paper's `jump_n_sample`.
    pub repeats: usize,
}

/// A move of a sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// To the next level.
    Step,
    /// Back by so many levels.
    Back(usize),
}

impl Resampling {
    /// Never back: as dear as a picture without anything known.
    pub const QUICK: Self = Self { jump: 1, repeats: 1 };
    /// Up to three times as dear: the nearer to it, the more steps there are.
    pub const BALANCED: Self = Self { jump: 4, repeats: 3 };
    /// Up to ten times as dear, as in the paper.
    pub const THOROUGH: Self = Self { jump: 10, repeats: 10 };
    /// The names a user can type, with what they stand for.
    pub const PRESETS: [(&'static str, Self); 3] =
        [("quick", Self::QUICK), ("balanced", Self::BALANCED), ("thorough", Self::THOROUGH)];

    /// The preset of a name.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let preset = Self::PRESETS.iter().find(|(known, _)| *known == name);
        let names = Self::PRESETS.map(|(name, _)| name).join(", ");
        preset.map(|(_, value)| *value).ok_or_else(|| format!("no preset is called {name:?}; there are {names}"))
    }

    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(self) -> Result<(), String> {
        let bad = [("jump", self.jump), ("repeats", self.repeats)].into_iter().find(|(_, v)| !(1..=100).contains(v));
        bad.map_or(Ok(()), |(key, value)| Err(format!("{key} is {value}; it must be from 1 to 100")))
    }

    /// The moves through `steps` steps. The way is counted from its clean end: wherever a multiple of `jump` steps is
    /// left, and a way back fits, the last `jump` of them are walked again.
    pub(crate) fn moves(self, steps: usize) -> VecDeque<Move> {
        let mut moves = VecDeque::new();
        let mut again: Vec<usize> = (0..steps).map(|_| self.repeats - 1).collect();
        let mut left = steps;
        while left > 0 {
            left -= 1;
            moves.push_back(Move::Step);
            let turns = left.is_multiple_of(self.jump) && left + self.jump < steps && again[left] > 0;
            if turns {
                again[left] -= 1;
                left += self.jump;
                moves.push_back(Move::Back(self.jump));
            }
        }
        moves
    }

    /// Steps in all where a picture without anything known has `steps`; a preset says what it costs before it runs.
    #[must_use]
    pub fn steps(self, steps: usize) -> usize {
        self.moves(steps).iter().filter(|m| **m == Move::Step).count()
    }
}

/// What is known of the pictures of a batch.
#[derive(Debug, Clone)]
pub struct Known {
    /// `[b, c, h, w]` in [-1, 1].
    pub x0: Tensor<4>,
    /// `[b, 1, h, w]`, 1 where a pixel is known and 0 where it is to be painted.
    pub keep: Tensor<4>,
}

impl Known {
    /// `x_t` with the known pixels in place, noised to its level.
    ///
    /// # Shapes
    /// - `x_t`, eps, output: `[b, c, h, w]`
    #[must_use]
    pub fn paste_noised(&self, x_t: Tensor<4>, level: Level, eps: Tensor<4>) -> Tensor<4> {
        self.mix(x_t, level.noise(self.x0.clone(), eps))
    }

    /// A picture with the known pixels in place.
    ///
    /// # Shapes
    /// - x0, output: `[b, c, h, w]`
    #[must_use]
    pub fn paste(&self, x0: Tensor<4>) -> Tensor<4> {
        self.mix(x0, self.x0.clone())
    }

    /// What a network is told that was trained to paint into pictures (GLIDE, <https://arxiv.org/abs/2112.10741>, section
    /// 3.3): the known pixels, zeros elsewhere, and which they are.
    ///
    /// # Shapes
    /// - output: `[b, c + 1, h, w]`
    #[must_use]
    pub fn told(&self) -> Tensor<4> {
        let known = self.paste(self.x0.zeros_like());
        Tensor::cat(vec![known, self.keep.clone()], 1)
    }

    fn mix(&self, painted: Tensor<4>, known: Tensor<4>) -> Tensor<4> {
        // By a choice and not by a sum, so that what is not a number on one side stays there.
        let keep = self.keep.clone().greater_elem(0.5).expand(painted.dims());
        painted.mask_where(keep, known)
    }
}

#[cfg(test)]
mod tests;
