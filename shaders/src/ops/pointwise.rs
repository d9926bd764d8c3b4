//! The 1x1 convolution: a linear layer over the channels of every pixel.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kernel;
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch, nothing_beside};
use crate::ops::linear::linear;
use crate::ops::plus;
use crate::product::{self, Product};
use crate::proof::{KernelOp, proven};

/// `y[o] = bias[o] + sum over c of weight[o, c] * x[c]` at every pixel.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - weight: `[o, c, 1, 1]`
/// - bias: `[o]`
/// - output: `[b, o, h, w]`
#[must_use]
pub fn pointwise(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let ([b, c, h, w], [o, ..]) = (x.dims(), weight.dims());
    assert_eq!(weight.dims(), [o, c, 1, 1], "pointwise: weight must be [o, c, 1, 1] of the input");
    if h * w == 1 {
        return linear(x.reshape([b, c]), weight.reshape([o, c]), Some(bias)).reshape([b, o, 1, 1]);
    }
    Tensor::from_dispatch(Dispatch::pointwise(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()))
}

/// [`pointwise`] plus `onto`, which has the shape of its output.
#[must_use]
pub fn pointwise_onto(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, onto: Tensor<4>) -> Tensor<4> {
    let [_, c, h, w] = x.dims();
    assert_eq!(weight.dims(), [onto.dims()[1], c, 1, 1], "pointwise: weight must be [o, c, 1, 1] of input and output");
    if h * w == 1 {
        return pointwise(x, weight, bias) + onto;
    }
    let [x, weight, onto] = [x, weight, onto].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::pointwise_onto(x, weight, bias.into_dispatch(), onto))
}

fn output_shape(x: &Shape, weight: &Shape) -> Shape {
    let mut shape = x.clone();
    shape[1] = weight[0];
    shape
}

/// The op on a backend. Its body here is the specification; `CubeBackend` and `Flex` override it.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait Pointwise: Backend {
    /// See [`pointwise`].
    #[fusion(dtype = x, shape = output_shape(x, weight))]
    fn pointwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::<Self>(x, weight, bias)
    }

    /// See [`pointwise_onto`].
    #[fusion(dtype = x, shape = onto)]
    fn pointwise_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_add(Self::pointwise(x, weight, bias), onto)
    }
}

/// One matrix product per image, which keeps NCHW memory as it is.
fn reference<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let shape = output_shape(&x.shape(), &weight.shape());
    let (b, c, o, hw) = (shape[0], x.shape()[1], shape[1], shape[2] * shape[3]);
    let weight = B::float_reshape(weight, Shape::new([1, o, c]));
    let y = B::float_matmul(weight, B::float_reshape(x, Shape::new([b, c, hw])));
    B::float_reshape(B::float_add(y, B::float_reshape(bias, Shape::new([1, o, 1]))), shape)
}

/// Pixels that a workgroup of the WGSL kernel makes.
const PIXELS: usize = 64;
/// Output channels that a workgroup of the WGSL kernel makes.
const OUTPUTS: usize = 16;

/// The workgroups for `b` images of `hw` pixels, `c` channels to `o`; nothing where the kernel does not apply: it reads
/// four channels and pixels at a time, and indexes by 32 bits.
fn groups([b, c, o, hw]: [usize; 4]) -> Option<[usize; 3]> {
    let pixels = b.checked_mul(hw)?;
    let counts = [pixels.checked_mul(c)?, pixels.checked_mul(o)?, o.checked_mul(c)?];
    let in_reach = counts.iter().all(|&n| n > 0 && u32::try_from(n).is_ok());
    let count = [hw.div_ceil(PIXELS), o.div_ceil(OUTPUTS), b];
    let whole = c.is_multiple_of(4) && hw.is_multiple_of(4);
    (in_reach && whole && count.iter().all(|&n| n <= MOST_GROUPS)).then_some(count)
}

/// The convolution by the WGSL kernel, or by the plain body.
fn on_gpu(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, onto: Option<CubeTensor>) -> CubeTensor {
    let shape = output_shape(x.meta.shape(), weight.meta.shape());
    let (b, c, o, hw) = (shape[0], x.meta.shape()[1], shape[1], shape[2] * shape[3]);
    let count = groups([b, c, o, hw]).filter(|_| x.dtype == DType::F32 && proven(&x, KernelOp::Pointwise));
    let Some(count) = count else {
        return plus::<CubeBackend>(reference::<CubeBackend>(x, weight, bias), onto);
    };
    let [x, weight, bias] = [x, weight, bias].map(into_contiguous);
    let params = [b, c / 4, o, hw / 4, onto.is_some().into()];
    let onto = onto.map_or_else(|| nothing_beside(&x), into_contiguous);
    let y = empty_beside(&x, shape);
    launch(kernel::POINTWISE, count, &[&x, &weight, &bias, &onto], &params, &[&y]);
    y
}

impl Pointwise for CubeBackend {
    fn pointwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(x, weight, bias, None)
    }

    fn pointwise_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        on_gpu(x, weight, bias, Some(onto))
    }
}

/// Pixels of an image beyond this are Burn's too, but for a browser; there the two have not been timed apart.
const MOST_PIXELS: usize = if cfg!(target_arch = "wasm32") { 1 << 24 } else { 256 };
/// Output channels of a task.
const ROWS: usize = 32;

/// Whether the CPU kernel takes the convolution, and is the faster one.
fn fits(x: &FlexTensor, weight: &FlexTensor) -> bool {
    let (x_shape, hw) = (x.shape(), x.shape()[2] * x.shape()[3]);
    let small = hw.is_multiple_of(LANES) && hw <= MOST_PIXELS && x_shape.num_elements() > 0;
    let weights = x_shape[1] * weight.shape()[0];
    cpu::serves(KernelOp::Pointwise, x) && product::pays() && small && (1..=product::MOST_WEIGHTS).contains(&weights)
}

/// The convolution by the CPU kernel, or by the plain body.
fn on_cpu(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, onto: Option<FlexTensor>) -> FlexTensor {
    if fits(&x, &weight) {
        return by_product(x, weight, bias, onto);
    }
    plus::<Flex>(reference::<Flex>(x, weight, bias), onto)
}

/// The convolution by the CPU kernel, for a number of pixels that is a multiple of [`LANES`].
fn by_product(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, onto: Option<FlexTensor>) -> FlexTensor {
    let shape = output_shape(&x.shape(), &weight.shape());
    let (c, o, hw) = (x.shape()[1], shape[1], shape[2] * shape[3]);
    let [x, weight, bias] = [x, weight, bias].map(|t| t.to_contiguous());
    let (x, weight, bias) = (cpu::slice(&x), cpu::slice(&weight), cpu::slice(&bias));
    let none = || vec![0f32; shape.num_elements()];
    let mut y = onto.map_or_else(none, |onto| cpu::slice(&onto.to_contiguous()).to_vec());
    // A task is some channels where these tile the output, and one image where they do not.
    let rows = if o.is_multiple_of(ROWS) { ROWS } else { o };
    cpu::for_chunks(&mut y, rows * hw, |i, y| {
        let (image, first) = (i * rows / o, i * rows % o);
        channels(&x[image * c * hw..][..c * hw], &weight[first * c..], &bias[first..], y);
    });
    cpu::tensor(y, shape)
}

impl Pointwise for Flex {
    fn pointwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        on_cpu(x, weight, bias, None)
    }

    fn pointwise_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        on_cpu(x, weight, bias, Some(onto))
    }
}

cpu::multiversion! {
    /// Some channels of one image, as many as `y` has, added to what is there.
    fn channels(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) = channels_body
}

#[inline(always)]
fn channels_body<const FMA: bool>(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let inputs = weight.len() / bias.len();
    let n = x.len() / inputs;
    for (y, &bias) in y.chunks_exact_mut(n).zip(bias) {
        y.iter_mut().for_each(|y| *y += bias);
    }
    Product { a: weight, strides: [inputs, 1], b: x, n, add: true }.into::<FMA>(y);
}

#[cfg(feature = "autodiff")]
mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;

    use super::{Backend, Pointwise};

    impl<B: Backend + Pointwise, C: CheckpointStrategy> Pointwise for Autodiff<B, C> {}
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::{OUTPUTS, PIXELS, by_product, groups, plus, reference};
    use crate::cpu::{close, wave};

    /// Also where Burn's product is the faster one, and this is not asked.
    #[test]
    fn the_product_is_the_plain_body() {
        for [b, c, o, h, w] in [[1, 1, 1, 1, 8], [2, 5, 7, 3, 8], [3, 16, 64, 4, 8], [1, 96, 33, 8, 16]] {
            let (x, weight, bias) = (wave([b, c, h, w], 0.1), wave([o, c, 1, 1], 0.7), wave([o], 1.9));
            for onto in [None, Some(wave([b, o, h, w], 1.3))] {
                let want = plus::<Flex>(reference::<Flex>(x.clone(), weight.clone(), bias.clone()), onto.clone());
                close(&by_product(x.clone(), weight.clone(), bias.clone(), onto), &want);
            }
        }
    }

    #[test]
    fn every_pixel_and_output_has_a_thread() {
        for [b, o, hw] in [[1, 1, 4], [3, 17, 68], [2, 16, 64], [9, 70, 1024]] {
            let [x, y, z] = groups([b, 8, o, hw]).unwrap();
            assert!(x * PIXELS >= hw && y * OUTPUTS >= o && z == b);
        }
    }

    #[test]
    fn what_the_kernel_cannot_do_is_left_to_the_plain_body() {
        for sizes in [[1, 6, 4, 4], [1, 4, 4, 6], [0, 4, 4, 4], [65_536, 4, 1, 4], [1, 4, 4, 1 << 30], [usize::MAX; 4]]
        {
            assert!(groups(sizes).is_none(), "{sizes:?}");
        }
    }
}
