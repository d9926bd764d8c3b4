//! Stock Burn.

use anyhow::Result;

use crate::{Run, Side};

/// What a side of ours is, with our kernels off for as long as it has its turn.
pub(crate) struct Stock<S>(pub(crate) S);

impl<S: Side> Side for Stock<S> {
    fn name(&self) -> String {
        "stock Burn".to_owned()
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        firefall_shaders::switch_kernels(false);
        let run = self.0.steps(count);
        firefall_shaders::switch_kernels(true);
        run
    }
}
