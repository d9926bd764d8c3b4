//! Memory that a kernel writes before it reads it.
//!
//! Fresh memory is zeroed by the system or by the allocator, page by page, which for the large buffers between the parts
//! of a convolution took more than a tenth of a training step. This one is kept for whoever asks next, with whatever is in
//! it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Values that are kept at most while nobody uses them.
const MOST: usize = 1 << 24;

/// Some numbers, any at all until they are written.
pub(crate) struct Scratch {
    values: Vec<f32>,
    len: usize,
}

static IDLE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

impl Scratch {
    /// `len` of them.
    pub(crate) fn of(len: usize) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is large enough, or the largest, which grows.
        let fits = (0..idle.len()).filter(|&i| idle[i].len() >= len).min_by_key(|&i| idle[i].len());
        let found = fits.or_else(|| (0..idle.len()).max_by_key(|&i| idle[i].len()));
        let mut values = found.map_or_else(Vec::new, |i| idle.swap_remove(i));
        drop(idle);
        if values.len() < len {
            // What was in it need not be moved.
            values.clear();
            values.resize(len, 0.0);
        }
        Self { values, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.iter().map(Vec::len).sum::<usize>() + self.values.len() <= MOST {
            idle.push(std::mem::take(&mut self.values));
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::{IDLE, MOST, Scratch};

    #[test]
    fn what_nobody_uses_is_used_again_and_never_too_much_of_it() {
        let mut first = Scratch::of(1000);
        first.fill(7.0);
        assert_eq!((first.len(), Scratch::of(3).len()), (1000, 3));
        let place = first.as_ptr();
        let second = Scratch::of(1000);
        assert_ne!(second.as_ptr(), place, "two at once are two");
        drop((Scratch::of(MOST + 1), first, second));
        let kept: usize = IDLE.lock().unwrap().iter().map(Vec::len).sum();
        assert!(kept <= MOST, "{kept}");
    }
}
