//! Packed weights, kept as long as the weights themselves.
//!
//! One small picture is computed in less time than its weights are carried to Winograd's points, and they are the same at
//! every step.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::backend::flex::FlexTensor;
use burn::tensor::Bytes;

use super::kernels::{Size, Weights};
use super::winograd;
use crate::cpu;

/// Pixels from which on packing is a small part of the work, and a batch is likely to be a step of training, whose
/// weights do not come again.
const MANY: usize = 4096;

/// Packed weights of one tensor.
///
/// Nobody can write to its memory while a `Weak` points there: `Arc` then gives no access, and what Burn does in place
/// goes to a new place.
struct Kept {
    memory: Weak<Bytes>,
    /// Where in that memory the weights begin, and their channels: another view is another tensor.
    view: [usize; 3],
    packed: Arc<Vec<f32>>,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// [`winograd::pack`] of contiguous weights.
pub(super) fn weights(size: &Size, weight: &FlexTensor) -> Arc<Vec<f32>> {
    let pack = || Arc::new(winograd::pack(Weights::Straight(cpu::slice(weight)), size));
    if size.batch * size.h * size.w >= MANY {
        return pack();
    }
    let memory = weight.data_arc();
    let view = [cpu::slice(weight).as_ptr() as usize, size.c_out, size.c_in];
    let known = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |k: &&Kept| k.view == view && k.memory.as_ptr() == Arc::as_ptr(&memory);
    if let Some(found) = known().iter().find(same) {
        return found.packed.clone();
    }
    // Not under the lock: a thread that waits for others while it packs may take up another convolution.
    let packed = pack();
    let mut kept = known();
    kept.retain(|k| k.memory.strong_count() > 0);
    kept.push(Kept { memory: Arc::downgrade(&memory), view, packed: packed.clone() });
    packed
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::Shape;

    use super::*;

    fn kept(weight: &FlexTensor) -> usize {
        let memory = weight.data_arc();
        KEPT.lock().unwrap().iter().filter(|k| k.memory.as_ptr() == Arc::as_ptr(&memory)).count()
    }

    #[test]
    fn weights_are_packed_once_and_again_when_they_change() {
        let size = Size::of(&Shape::new([1, 16, 8, 8]), 16);
        let weight = cpu::tensor(vec![1.0; 16 * 16 * 9], Shape::new([16, 16, 3, 3]));
        let first = weights(&size, &weight);
        assert!(Arc::ptr_eq(&first, &weights(&size, &weight)) && kept(&weight) == 1);
        // In place, because nobody else has them.
        let weight = Flex::float_mul_scalar(weight, 2.0.into());
        let second = weights(&size, &weight);
        assert!(first.iter().zip(second.iter()).all(|(a, b)| 2.0 * a == *b));
        let many = Size::of(&Shape::new([64, 16, 8, 8]), 16);
        assert!(!Arc::ptr_eq(&second, &weights(&many, &weight)) && kept(&weight) == 1);
        let place = Arc::as_ptr(&weight.data_arc());
        drop(weight);
        let other = cpu::tensor(vec![0.5; 16 * 16 * 9], Shape::new([16, 16, 3, 3]));
        weights(&size, &other);
        assert!(KEPT.lock().unwrap().iter().all(|k| k.memory.as_ptr() != place), "what is gone is forgotten");
    }
}
