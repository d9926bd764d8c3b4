//! The linear layer, with bias or without.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kept::{Order, kept};
use crate::kernel;
use crate::launch::{
    CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch, nothing_beside, nothing_more_beside,
};
use crate::ops::plus;
use crate::product::{self, Product, transposed};
use crate::proof::{KernelOp, proven};

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

/// `y = x W^T + onto`, a layer without bias that ends a branch beside `onto`.
///
/// # Shapes
/// - x: `[.., d_in]`
/// - weight: `[d_out, d_in]`
/// - onto, output: `[.., d_out]`
#[must_use]
pub fn linear_onto<const D: usize>(x: Tensor<D>, weight: Tensor<2>, onto: Tensor<D>) -> Tensor<D> {
    let (shape, [d_out, d_in]) = (onto.dims(), weight.dims());
    let rows = shape.iter().product::<usize>() / d_out;
    let (x, onto) = (x.reshape([rows, d_in]), onto.reshape([rows, d_out]));
    let y = Dispatch::linear_onto(x.into_dispatch(), weight.into_dispatch(), onto.into_dispatch());
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

fn output_shape(x: &Shape, weight: &Shape) -> Shape {
    Shape::new([x[0], weight[0]])
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` and `Flex` override them.
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

    /// See [`linear_onto`].
    #[fusion(dtype = x, shape = onto)]
    fn linear_onto(x: FloatTensor<Self>, weight: FloatTensor<Self>, onto: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_add(Self::linear_no_bias(x, weight), onto)
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
fn on_gpu(x: CubeTensor, weight: CubeTensor, bias: Option<CubeTensor>, onto: Option<CubeTensor>) -> CubeTensor {
    let [rows, inputs, outputs] = [x.meta.shape()[0], x.meta.shape()[1], weight.meta.shape()[0]];
    let count = groups([rows, outputs, inputs]).filter(|_| x.dtype == DType::F32 && proven(&x, KernelOp::Linear));
    let Some(count) = count else {
        return plus::<CubeBackend>(reference::<CubeBackend>(x, weight, bias), onto);
    };
    let [x, weight] = [x, weight].map(into_contiguous);
    let params = [rows, outputs, inputs / 4, bias.is_some().into(), onto.is_some().into()];
    let bias = bias.map_or_else(|| nothing_beside(&x), into_contiguous);
    let onto = onto.map_or_else(|| nothing_more_beside(&x), into_contiguous);
    let y = empty_beside(&x, Shape::new([rows, outputs]));
    launch(kernel::LINEAR, count, &[&x, &weight, &bias, &onto], &params, &[&y]);
    y
}

impl Linear for CubeBackend {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(x, weight, Some(bias), None)
    }

    fn linear_no_bias(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(x, weight, None, None)
    }

    fn linear_onto(x: FloatTensor<Self>, weight: FloatTensor<Self>, onto: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(x, weight, None, Some(onto))
    }
}

/// Rows beyond this are Burn's too, but for a browser; there the two have not been timed apart.
const MOST_ROWS: usize = if cfg!(target_arch = "wasm32") { 1 << 24 } else { ROWS };
/// Rows of a task.
const ROWS: usize = 64;

/// Whether the CPU kernel takes `[rows, d_in]` times `[d_out, d_in]`.
fn fits(x: &FlexTensor, weight: &FlexTensor) -> bool {
    let [outputs, inputs] = [weight.shape()[0], weight.shape()[1]];
    let whole = outputs.is_multiple_of(LANES) && (1..=product::MOST_WEIGHTS).contains(&(outputs * inputs));
    cpu::serves(KernelOp::Linear, x)
        && cpu::serves(KernelOp::Linear, weight)
        && product::pays()
        && whole
        && x.shape()[0] <= MOST_ROWS
}

/// What the sums of a layer begin with.
enum Start {
    Nothing,
    /// `[d_out]`.
    Bias(FlexTensor),
    /// `[rows, d_out]`.
    Onto(FlexTensor),
}

/// The layer by the CPU kernel, for what [`fits`].
fn on_cpu(x: FlexTensor, weight: FlexTensor, start: Start) -> FlexTensor {
    let [x, weight] = [x, weight].map(|t| t.to_contiguous());
    let (rows, inputs, outputs) = (x.shape()[0], x.shape()[1], weight.shape()[0]);
    let turned = kept(&weight, Order::Transposed, |weight| transposed(weight, inputs));
    let (mut y, add) = match start {
        Start::Nothing => (vec![0f32; rows * outputs], false),
        Start::Bias(bias) => (cpu::slice(&bias.to_contiguous()).repeat(rows), true),
        Start::Onto(onto) => (cpu::slice(&onto.to_contiguous()).to_vec(), true),
    };
    cpu::for_chunks(&mut y, ROWS * outputs, |i, y| {
        rows_of(&cpu::slice(&x)[i * ROWS * inputs..], [inputs, outputs], &turned, add, y);
    });
    cpu::tensor(y, Shape::new([rows, outputs]))
}

cpu::multiversion! {
    fn rows_of(x: &[f32], sizes: [usize; 2], turned: &[f32], add: bool, y: &mut [f32]) = rows_of_body
}

#[inline(always)]
fn rows_of_body<const FMA: bool>(x: &[f32], [inputs, outputs]: [usize; 2], turned: &[f32], add: bool, y: &mut [f32]) {
    Product { a: x, strides: [inputs, 1], b: turned, n: outputs, add }.into::<FMA>(y);
}

impl Linear for Flex {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        if !fits(&x, &weight) {
            return reference::<Self>(x, weight, Some(bias));
        }
        on_cpu(x, weight, Start::Bias(bias))
    }

    fn linear_no_bias(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        if fits(&x, &weight) { on_cpu(x, weight, Start::Nothing) } else { reference::<Self>(x, weight, None) }
    }

    fn linear_onto(x: FloatTensor<Self>, weight: FloatTensor<Self>, onto: FloatTensor<Self>) -> FloatTensor<Self> {
        if !fits(&x, &weight) {
            return plus::<Self>(reference::<Self>(x, weight, None), Some(onto));
        }
        on_cpu(x, weight, Start::Onto(onto))
    }
}

#[cfg(feature = "autodiff")]
mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;

    use super::{Backend, Linear};

    impl<B: Backend + Linear, C: CheckpointStrategy> Linear for Autodiff<B, C> {}
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::{Start, TILE, groups, on_cpu, plus, reference};
    use crate::cpu::{close, wave};

    /// Also where Burn's product is the faster one, and this is not asked.
    #[test]
    fn the_product_is_the_plain_body() {
        for [rows, inputs, outputs] in [[1, 1, 8], [5, 7, 16], [64, 96, 128], [130, 20, 40]] {
            let (x, weight) = (wave([rows, inputs], 0.1), wave([outputs, inputs], 0.7));
            let (bias, onto) = (wave([outputs], 1.9), wave([rows, outputs], 1.3));
            let plain = |bias, onto| plus::<Flex>(reference::<Flex>(x.clone(), weight.clone(), bias), onto);
            let ours = |start| on_cpu(x.clone(), weight.clone(), start);
            close(&ours(Start::Nothing), &plain(None, None));
            close(&ours(Start::Bias(bias.clone())), &plain(Some(bias), None));
            close(&ours(Start::Onto(onto.clone())), &plain(None, Some(onto)));
        }
    }

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
