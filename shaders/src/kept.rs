//! Weights in the order that a CPU kernel reads them, kept as long as the weights themselves.
//!
//! One small picture is computed in less time than its weights are put in order, and they are the same at every step.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::backend::flex::FlexTensor;
use burn::tensor::Bytes;

use crate::cpu;

/// An order of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Windows at Winograd's points, in blocks of output channels.
    Winograd,
    /// `[inputs, outputs]`.
    Transposed,
}

/// Weights of one tensor in another order.
///
/// Nobody can write to its memory while a `Weak` points there: `Arc` then gives no access, and what Burn does in place
/// goes to a new place.
struct Kept {
    memory: Weak<Bytes>,
    /// Where in that memory the weights begin, how many there are, and of how many outputs: another view is another
    /// tensor.
    view: [usize; 3],
    order: Order,
    values: Arc<Vec<f32>>,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// What `put` makes of the contiguous `weight`, or made of it before.
pub(crate) fn kept(weight: &FlexTensor, order: Order, put: impl FnOnce(&[f32]) -> Vec<f32>) -> Arc<Vec<f32>> {
    let (memory, values) = (weight.data_arc(), cpu::slice(weight));
    let view = [values.as_ptr() as usize, values.len(), weight.layout().shape()[0]];
    let known = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |k: &&Kept| k.view == view && k.order == order && k.memory.as_ptr() == Arc::as_ptr(&memory);
    if let Some(found) = known().iter().find(same) {
        return found.values.clone();
    }
    // Not under the lock: a thread that waits for others meanwhile may take up another layer.
    let values = Arc::new(put(values));
    let mut kept = known();
    kept.retain(|k| k.memory.strong_count() > 0);
    kept.push(Kept { memory: Arc::downgrade(&memory), view, order, values: values.clone() });
    values
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::Shape;

    use super::*;

    fn count(memory: *const Bytes) -> usize {
        KEPT.lock().unwrap().iter().filter(|k| k.memory.as_ptr() == memory).count()
    }

    #[test]
    fn weights_are_put_in_order_once_and_again_when_they_change() {
        let same = |weight: &FlexTensor| kept(weight, Order::Transposed, <[f32]>::to_vec);
        let weight = cpu::tensor(vec![1.0; 6], Shape::new([2, 3]));
        let first = same(&weight);
        assert!(Arc::ptr_eq(&first, &same(&weight)));
        assert!(!Arc::ptr_eq(&first, &kept(&weight, Order::Winograd, <[f32]>::to_vec)));
        assert!(
            !Arc::ptr_eq(&first, &same(&weight.reshape(Shape::new([3, 2])))),
            "another tensor over the same values"
        );
        let memory = Arc::as_ptr(&weight.data_arc());
        assert_eq!(count(memory), 3);
        // In place, because nobody else has them.
        let weight = Flex::float_mul_scalar(weight, 2.0.into());
        assert_eq!(same(&weight)[..], [2.0; 6]);
        assert_eq!(count(memory), 0, "what is gone is forgotten");
    }
}
