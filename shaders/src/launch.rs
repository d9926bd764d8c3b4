//! Launching a kernel on a wgpu device: the only file that names cubecl's launch interface.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use burn::backend::wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::cubecl::Device as Key;
use burn::cubecl::ir::attributes::BufferIOAttr;
use burn::cubecl::prelude::KernelId;
use burn::cubecl::server::{CubeCount, Handle, KernelArguments};
use burn::tensor::{DType, Shape};

use crate::Kernel;

pub(crate) use burn::backend::wgpu::{CubeBackend, into_contiguous};

/// The most workgroups along an axis that every device takes.
pub(crate) const MOST_GROUPS: usize = 65_535;

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.source)
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().cube_dim(dim(self).into()).info(*self)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

fn dim(kernel: &Kernel) -> CubeDim {
    let [x, y, z] = kernel.workgroup_size;
    CubeDim::new_3d(x, y, z)
}

/// Threads that the device of `x` runs in step, at most: the least that it may run is 4 in browsers that do not tell.
pub(crate) fn lanes(x: &CubeTensor) -> u32 {
    x.client.properties().hardware.plane_size_max
}

/// An uninitialised contiguous tensor beside `x`.
pub(crate) fn empty_beside(x: &CubeTensor, shape: Shape) -> CubeTensor {
    let handle = x.client.empty(shape.num_elements() * x.dtype.size());
    CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), shape, handle, x.dtype)
}

/// A few zeros beside `x`, for a binding that nobody reads.
pub(crate) fn nothing_beside(x: &CubeTensor) -> CubeTensor {
    zeros_beside(x, 4)
}

/// Others, for a second such binding of a launch: none may have what another one has.
pub(crate) fn nothing_more_beside(x: &CubeTensor) -> CubeTensor {
    zeros_beside(x, 8)
}

fn zeros_beside(x: &CubeTensor, count: usize) -> CubeTensor {
    let handle = constant(x, &vec![0; count]);
    CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), Shape::new([count]), handle, DType::F32)
}

/// The devices' small buffers by what they hold.
///
/// The queue of a device is submitted before anything is written to it, so a launch that brought its own parameters would
/// be a submission of its own; in a browser that is most of its time. The sizes of a network come again at every step.
static CONSTANTS: Mutex<Vec<(Key, Constants)>> = Mutex::new(Vec::new());
/// The buffers of one device.
type Constants = HashMap<Vec<u32>, Handle>;
/// So many of a device are kept. Then all go, which is right if slow: they are written anew.
const MOST_CONSTANTS: usize = 4096;

/// A buffer on the device of `x` that holds `words` and is never written again.
fn constant(x: &CubeTensor, words: &[u32]) -> Handle {
    let mut devices = CONSTANTS.lock().unwrap_or_else(PoisonError::into_inner);
    let at = devices.iter().position(|(device, _)| *device == x.device).unwrap_or_else(|| {
        devices.push((x.device.clone(), HashMap::new()));
        devices.len() - 1
    });
    let constants = &mut devices[at].1;
    if let Some(handle) = constants.get(words) {
        return handle.clone();
    }
    if constants.len() >= MOST_CONSTANTS {
        constants.clear();
    }
    let handle = x.client.create_from_slice(bytemuck::cast_slice(words));
    constants.insert(words.to_vec(), handle.clone());
    handle
}

/// Launches `kernel` over `count` workgroups. Its bindings are the inputs, one buffer of `params`, then the outputs.
///
/// Inputs are declared read-only, so that a kernel the driver refuses poisons its outputs and not the weights.
pub(crate) fn launch(
    kernel: Kernel,
    count: [usize; 3],
    inputs: &[&CubeTensor],
    params: &[usize],
    outputs: &[&CubeTensor],
) {
    assert_eq!(
        kernel.bindings.len(),
        inputs.len() + 1 + outputs.len(),
        "{} declares the bindings {:?}",
        kernel.name,
        kernel.bindings
    );
    let client = &outputs[0].client;
    let params: Vec<u32> = params.iter().map(|&v| v as u32).collect();
    let params = constant(outputs[0], &params);
    let mut args = KernelArguments::new();
    for input in inputs {
        args = args.with_buffer_io(input.handle.clone().binding(), BufferIOAttr::ReadOnly);
    }
    args = args.with_buffer_io(params.binding(), BufferIOAttr::ReadOnly);
    for output in outputs {
        args = args.with_buffer_io(output.handle.clone().binding(), BufferIOAttr::WriteOnly);
    }
    let [x, y, z] = count.map(|v| v as u32);
    client.launch(Box::new(SourceKernel::new(kernel, dim(&kernel))), CubeCount::Static(x, y, z), args);
}
