//! The linear layer, with bias or without.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::kernel;
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch, nothing_beside};
use crate::proof::proven;

/// `y = x W^T + b` over the last axis.
///
/// # Shapes
/// - x: `[.., d_in]`
/// - weight: `[d_out, d_in]`
/// - bias: `[d_out]`
/// - output: `[.., d_out]`
#[must_use]
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let mut shape = x.dims();
    let [d_out, d_in] = weight.dims();
    assert_eq!(shape[D - 1], d_in, "linear: the last axis must be that of the weight");
    let rows = shape.iter().product::<usize>() / d_in;
    let (x, weight) = (x.reshape([rows, d_in]).into_dispatch(), weight.into_dispatch());
    let y = match bias {
        Some(bias) => Dispatch::linear(x, weight, bias.into_dispatch()),
        None => Dispatch::linear_no_bias(x, weight),
    };
    shape[D - 1] = d_out;
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

fn output_shape(x: &Shape, weight: &Shape) -> Shape {
    Shape::new([x[0], weight[0]])
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` overrides them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait Linear: Backend {
    /// See [`linear`]; `x` is `[rows, d_in]`.
    #[fusion(dtype = x, shape = output_shape(x, weight))]
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::<Self>(x, weight, Some(bias))
    }

    /// The same without a bias.
    #[fusion(dtype = x, shape = output_shape(x, weight))]
    fn linear_no_bias(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::<Self>(x, weight, None)
    }
}

fn reference<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, bias: Option<FloatTensor<B>>) -> FloatTensor<B> {
    let y = B::float_matmul(x, B::float_swap_dims(weight, 0, 1));
    match bias {
        Some(bias) => {
            let outputs = bias.shape()[0];
            B::float_add(y, B::float_reshape(bias, Shape::new([1, outputs])))
        }
        None => y,
    }
}

/// Rows, and outputs, that a workgroup of the WGSL kernel makes.
const TILE: usize = 32;

/// The workgroups for `rows` by `outputs` of `inputs`; nothing where the kernel does not apply: it reads four inputs at
/// a time, and indexes by 32 bits.
fn groups([rows, outputs, inputs]: [usize; 3]) -> Option<[usize; 3]> {
    let counts = [rows.checked_mul(inputs)?, outputs.checked_mul(inputs)?, rows.checked_mul(outputs)?];
    let in_reach = counts.iter().all(|&n| n > 0 && u32::try_from(n).is_ok());
    let count = [rows.div_ceil(TILE), outputs.div_ceil(TILE), 1];
    (in_reach && inputs.is_multiple_of(4) && count.iter().all(|&n| n <= MOST_GROUPS)).then_some(count)
}

/// The layer by the WGSL kernel, or by the plain body.
fn on_gpu(x: CubeTensor, weight: CubeTensor, bias: Option<CubeTensor>) -> CubeTensor {
    let [rows, inputs, outputs] = [x.meta.shape()[0], x.meta.shape()[1], weight.meta.shape()[0]];
    let count = groups([rows, outputs, inputs]).filter(|_| x.dtype == DType::F32 && proven(&x));
    let Some(count) = count else { return reference::<CubeBackend>(x, weight, bias) };
    let [x, weight] = [x, weight].map(into_contiguous);
    let with_bias = usize::from(bias.is_some());
    let bias = bias.map_or_else(|| nothing_beside(&x), into_contiguous);
    let y = empty_beside(&x, Shape::new([rows, outputs]));
    launch(kernel::LINEAR, count, &[&x, &weight, &bias], &[rows, outputs, inputs / 4, with_bias], &[&y]);
    y
}

impl Linear for CubeBackend {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(x, weight, Some(bias))
    }

    fn linear_no_bias(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(x, weight, None)
    }
}

impl Linear for Flex {}

#[cfg(feature = "autodiff")]
mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;

    use super::{Backend, Linear};

    impl<B: Backend + Linear, C: CheckpointStrategy> Linear for Autodiff<B, C> {}
}

#[cfg(test)]
mod tests {
    use super::{TILE, groups};

    #[test]
    fn every_row_and_output_has_a_thread() {
        for [rows, outputs] in [[1, 1], [31, 33], [32, 64], [1000, 7]] {
            let [x, y, z] = groups([rows, outputs, 8]).unwrap();
            assert!(x * TILE >= rows && y * TILE >= outputs && z == 1);
        }
    }

    #[test]
    fn what_the_kernel_cannot_do_is_left_to_the_plain_body() {
        for sizes in [[3, 3, 5], [0, 3, 4], [3, 0, 4], [65_536 * TILE, 1, 4], [1 << 16, 4, 1 << 16], [usize::MAX; 3]] {
            assert!(groups(sizes).is_none(), "{sizes:?}");
        }
    }
}
