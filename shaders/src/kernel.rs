//! The kernels as `build.rs` compiled them.

/// One WGSL kernel, expanded and validated at build time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The stem of its file in `wgsl/`.
    pub name: &'static str,
    /// The whole text, imports in place.
    pub source: &'static str,
    /// Threads in a workgroup.
    pub workgroup_size: [u32; 3],
    /// Bytes of the variables that a workgroup shares.
    pub workgroup_memory: u32,
    /// Names of the storage bindings, in order.
    pub bindings: &'static [&'static str],
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
