//! Launching a kernel on a wgpu device: the only file that names cubecl's launch interface.

use burn::backend::wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::cubecl::ir::attributes::BufferIOAttr;
use burn::cubecl::prelude::KernelId;
use burn::cubecl::server::{CubeCount, KernelArguments};
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

/// Threads that the device of `x` runs in step, at least.
pub(crate) fn lanes(x: &CubeTensor) -> u32 {
    x.client.properties().hardware.plane_size_min
}

/// An uninitialised contiguous tensor beside `x`.
pub(crate) fn empty_beside(x: &CubeTensor, shape: Shape) -> CubeTensor {
    let handle = x.client.empty(shape.num_elements() * x.dtype.size());
    CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), shape, handle, x.dtype)
}

/// A vector of `values` beside `x`.
pub(crate) fn beside(x: &CubeTensor, values: &[f32]) -> CubeTensor {
    let handle = x.client.create_from_slice(bytemuck::cast_slice(values));
    CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), Shape::new([values.len()]), handle, DType::F32)
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
    let params = client.create_from_slice(bytemuck::cast_slice(&params));
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
