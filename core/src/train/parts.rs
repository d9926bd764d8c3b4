//! The parts of a batch, and the cores that work on them.

use std::ops::Range;
#[cfg(feature = "native")]
use std::sync::OnceLock;

use burn::tensor::Device;

/// Works on the parts of batches: one after the other on a GPU, side by side on a CPU, where most operations are too small
/// to be worth sharing. Cores beyond the parts help within them: operations here give each output to one thread, so the
/// results are the same to the last bit.
#[derive(Debug)]
pub(super) struct Parts {
    #[cfg(feature = "native")]
    device: Device,
    /// The cores of a CPU device, shared out to the parts of the first batch; none on a GPU.
    #[cfg(feature = "native")]
    pools: OnceLock<Vec<rayon::ThreadPool>>,
}

#[cfg(feature = "native")]
impl Parts {
    pub(super) fn new(device: &Device) -> Self {
        Self { device: device.clone(), pools: OnceLock::new() }
    }

    /// What `part` makes of each part of a batch, `most` examples at a time.
    pub(super) fn map<T: Send>(&self, batch: usize, most: usize, part: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
        let ranges = ranges(batch, most);
        let pools = self.pools.get_or_init(|| pools(&self.device, ranges.len()));
        if pools.is_empty() {
            return ranges.into_iter().map(part).collect();
        }
        let mut results = Vec::new();
        for together in ranges.chunks(pools.len()) {
            std::thread::scope(|scope| {
                let part = &part;
                let pools = pools.iter().zip(together);
                let handles: Vec<_> =
                    pools.map(|(pool, range)| scope.spawn(move || pool.install(|| part(range.clone())))).collect();
                for handle in handles {
                    results.push(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                }
            });
        }
        results
    }
}

#[cfg(not(feature = "native"))]
impl Parts {
    pub(super) fn new(_: &Device) -> Self {
        Self {}
    }

    /// What `part` makes of each part of a batch, `most` examples at a time.
    pub(super) fn map<T>(&self, batch: usize, most: usize, part: impl Fn(Range<usize>) -> T) -> Vec<T> {
        ranges(batch, most).into_iter().map(part).collect()
    }
}

fn ranges(batch: usize, most: usize) -> Vec<Range<usize>> {
    (0..batch).step_by(most).map(|start| start..(start + most).min(batch)).collect()
}

/// A pool for each of `parts`, as far as there are cores, if `device` is a CPU.
#[cfg(feature = "native")]
fn pools(device: &Device, parts: usize) -> Vec<rayon::ThreadPool> {
    if *device != Device::flex() {
        return Vec::new();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let [count, threads] = share(cores, parts);
    (0..count).filter_map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok()).collect()
}

/// How many parts work side by side on `cores`, and the threads of each.
#[cfg(feature = "native")]
fn share(cores: usize, parts: usize) -> [usize; 2] {
    let count = cores.min(parts).max(1);
    [count, (cores / count).max(1)]
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use burn::tensor::Device;

    use super::{Parts, share};

    #[test]
    fn every_core_has_work_and_none_has_two() {
        assert_eq!(share(2, 2), [2, 1]);
        assert_eq!(share(16, 2), [2, 8]);
        assert_eq!(share(4, 8), [4, 1]);
        assert_eq!(share(7, 2), [2, 3]);
        assert_eq!(share(1, 2), [1, 1]);
    }

    #[test]
    fn parts_come_back_in_their_order() {
        let parts = Parts::new(&Device::flex());
        assert_eq!(parts.map(7, 2, |range| range), [0..2, 2..4, 4..6, 6..7]);
        assert_eq!(parts.map(3, 8, |range| range), [0..3]);
    }
}
