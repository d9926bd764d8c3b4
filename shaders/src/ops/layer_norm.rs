//! Layer norm over the last axis, gain, offset.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES, Lane};
use crate::kernel;
use crate::launch::{
    CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch, nothing_beside, nothing_more_beside,
};
use crate::proof::{KernelOp, proven};
use crate::vector::{Eight, Vector};

/// Added to the variance before its root.
const EPS: f32 = 1e-5;

/// `(x - mean) / sqrt(variance + 1e-5) * gain + offset`, mean and variance over the last axis
/// (<https://arxiv.org/abs/1607.06450>).
///
/// # Shapes
/// - x, output: `[.., d]`
/// - gain, offset: `[d]`
#[must_use]
pub fn layer_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, offset: Option<Tensor<1>>) -> Tensor<D> {
    let shape = x.dims();
    let width = shape[D - 1];
    assert_eq!(gain.dims(), [width], "layer_norm: gain must be [d] of the input");
    // A view of three axes stays one.
    let rows = shape[..D - 1].split_last().map_or([1, 1], |(&n, before)| [before.iter().product(), n]);
    let (x, gain) = (x.reshape([rows[0], rows[1], width]).into_dispatch(), gain.into_dispatch());
    let y = match offset {
        Some(offset) => Dispatch::layer_norm_affine(x, gain, offset.into_dispatch()),
        None => Dispatch::layer_norm_gain(x, gain),
    };
    Tensor::<3>::from_dispatch(y).reshape(shape)
}

/// [`layer_norm`] without an offset, plus `onto`: the end of a branch beside it.
///
/// # Shapes
/// - x, onto, output: `[b, n, d]`
/// - gain: `[d]`
#[must_use]
pub fn layer_norm_onto(x: Tensor<3>, gain: Tensor<1>, onto: Tensor<3>) -> Tensor<3> {
    let [x, onto] = [x, onto].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::layer_norm_onto(x, gain.into_dispatch(), onto))
}

/// The same where `onto` is a map: the tokens go back to the pixels that they are of.
///
/// # Shapes
/// - x: `[b, h w, d]`
/// - gain: `[d]`
/// - onto, output: `[b, d, h, w]`
#[must_use]
pub fn layer_norm_onto_map(x: Tensor<3>, gain: Tensor<1>, onto: Tensor<4>) -> Tensor<4> {
    let shape = onto.dims();
    let onto = onto.reshape([shape[0], shape[1], shape[2] * shape[3]]);
    let y = Dispatch::layer_norm_onto_map(x.into_dispatch(), gain.into_dispatch(), onto.into_dispatch());
    Tensor::<3>::from_dispatch(y).reshape(shape)
}

/// The gradients of [`layer_norm`] with respect to `x`, `gain` and `offset`, for the gradient `dy` of its output.
///
/// # Shapes
/// - x, dy, first output: `[b, n, d]`
/// - gain, second and third output: `[d]`
#[must_use]
pub fn backward(x: Tensor<3>, gain: Tensor<1>, dy: Tensor<3>) -> (Tensor<3>, Tensor<1>, Tensor<1>) {
    let (dx, dgain, doffset) =
        Dispatch::layer_norm_backward(x.into_dispatch(), gain.into_dispatch(), dy.into_dispatch());
    (Tensor::from_dispatch(dx), Tensor::from_dispatch(dgain), Tensor::from_dispatch(doffset))
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` and `Flex` override them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait LayerNorm: Backend {
    /// See [`layer_norm`]; `x` is `[b, n, d]`.
    #[fusion(dtype = x, shape = x)]
    fn layer_norm_affine(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::<Self>(x, gain, Some(offset))
    }

    /// The same without an offset.
    #[fusion(dtype = x, shape = x)]
    fn layer_norm_gain(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::<Self>(x, gain, None)
    }

    /// See [`layer_norm_onto`].
    #[fusion(dtype = x, shape = x)]
    fn layer_norm_onto(x: FloatTensor<Self>, gain: FloatTensor<Self>, onto: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_add(Self::layer_norm_gain(x, gain), onto)
    }

    /// See [`layer_norm_onto_map`]; `onto` is `[b, d, n]`.
    #[fusion(dtype = x, shape = onto)]
    fn layer_norm_onto_map(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_add(onto, Self::float_swap_dims(Self::layer_norm_gain(x, gain), 1, 2))
    }

    /// See [`backward`].
    #[fusion(meta = |x, gain, _dy| (x.clone(), gain.clone(), gain.clone()))]
    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference_backward::<Self>(x, gain, dy)
    }
}

/// Rows of mean 0 and variance 1, and `1 / sqrt(variance + eps)` of each.
fn normal<B: Backend>(x: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let x = B::float_sub(x.clone(), B::float_mean_dim(x, 2));
    let variance = B::float_mean_dim(B::float_mul(x.clone(), x.clone()), 2);
    let scale = B::float_recip(B::float_sqrt(B::float_add_scalar(variance, EPS.into())));
    (B::float_mul(x, scale.clone()), scale)
}

fn row<B: Backend>(v: FloatTensor<B>) -> FloatTensor<B> {
    let width = v.shape()[0];
    B::float_reshape(v, Shape::new([1, 1, width]))
}

fn reference<B: Backend>(x: FloatTensor<B>, gain: FloatTensor<B>, offset: Option<FloatTensor<B>>) -> FloatTensor<B> {
    let y = B::float_mul(normal::<B>(x).0, row::<B>(gain));
    match offset {
        Some(offset) => B::float_add(y, row::<B>(offset)),
        None => y,
    }
}

fn reference_backward<B: Backend>(
    x: FloatTensor<B>,
    gain: FloatTensor<B>,
    dy: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let shape = gain.shape();
    let x_rows = x.shape().num_elements() / shape[0];
    let (n, scale) = normal::<B>(x);
    let rows = Shape::new([x_rows, shape[0]]);
    let sum = |t| B::float_reshape(B::float_sum_dim(B::float_reshape(t, rows.clone()), 0), shape.clone());
    let dgain = sum(B::float_mul(dy.clone(), n.clone()));
    let doffset = sum(dy.clone());
    let g = B::float_mul(dy, row::<B>(gain));
    let along = B::float_mul(n.clone(), B::float_mean_dim(B::float_mul(g.clone(), n), 2));
    let dx = B::float_mul(B::float_sub(B::float_sub(g.clone(), B::float_mean_dim(g, 2)), along), scale);
    (dx, dgain, doffset)
}

/// Rows of a workgroup of the WGSL kernel.
const GROUP: usize = 32;

/// The workgroups for `rows` of `width`; nothing where there is nothing, or where 32 bits do not index it.
fn groups(rows: usize, width: usize) -> Option<[usize; 3]> {
    let elements = rows.checked_mul(width)?;
    let count = rows.div_ceil(GROUP);
    (elements > 0 && u32::try_from(elements).is_ok() && count <= MOST_GROUPS).then_some([count, 1, 1])
}

/// Columns of a workgroup that sums over rows, and the rows of one.
const COLUMNS: usize = 32;
const ROWS_OF_SUM: usize = 64;

/// The workgroups that sum over `rows` of `width`; nothing where there are too many.
fn sum_groups(rows: usize, width: usize) -> Option<[usize; 3]> {
    let count = [width.div_ceil(COLUMNS), rows.div_ceil(ROWS_OF_SUM), 1];
    count.iter().all(|&n| n <= MOST_GROUPS).then_some(count)
}

/// The gradients by the WGSL kernels; nothing if they cannot be launched.
fn backward_on_gpu(x: &CubeTensor, gain: &CubeTensor, dy: &CubeTensor) -> Option<[CubeTensor; 3]> {
    let (shape, width) = (x.meta.shape().clone(), gain.meta.shape()[0]);
    let rows = shape[0] * shape[1];
    let (count, sums) = groups(rows, width).zip(sum_groups(rows, width))?;
    if [x, gain, dy].iter().any(|t| t.dtype != DType::F32) || !proven(x, KernelOp::LayerNorm) {
        return None;
    }
    let [x, gain, dy] = [x, gain, dy].map(|t| into_contiguous(t.clone()));
    let (dx, known) = (empty_beside(&x, shape), empty_beside(&x, Shape::new([rows, 2])));
    launch(kernel::LAYER_NORM_DX, count, &[&x, &gain, &dy], &[rows, width], &[&dx, &known]);
    let parts = empty_beside(&x, Shape::new([sums[1], 2 * width]));
    launch(kernel::LAYER_NORM_DA, sums, &[&x, &dy, &known], &[rows, width, ROWS_OF_SUM], &[&parts]);
    let both = if sums[1] == 1 { parts } else { CubeBackend::float_sum_dim(parts, 0) };
    let both = CubeBackend::float_reshape(both, Shape::new([2 * width]));
    let [dgain, doffset] = [0, width].map(|at| CubeBackend::float_slice(both.clone(), &[(at..at + width).into()]));
    Some([dx, dgain, doffset])
}

/// What the WGSL kernel adds the norm to.
enum Onto {
    Nothing,
    Tokens(CubeTensor),
    /// `[b, d, n]`, and so is then the output.
    Map(CubeTensor),
}

/// The norm by the WGSL kernel; nothing if it cannot be launched.
fn on_gpu(x: &CubeTensor, gain: &CubeTensor, offset: Option<&CubeTensor>, onto: &Onto) -> Option<CubeTensor> {
    let shape = x.meta.shape().clone();
    let [b, n, width] = [shape[0], shape[1], shape[2]];
    let count = groups(b * n, width).filter(|_| x.dtype == DType::F32 && proven(x, KernelOp::LayerNorm))?;
    let gain = into_contiguous(gain.clone());
    let with_offset = usize::from(offset.is_some());
    let offset = offset.map_or_else(|| nothing_beside(x), |offset| into_contiguous(offset.clone()));
    let strides = |t: &CubeTensor| [t.meta.strides()[0], t.meta.strides()[1], t.meta.strides()[2]];
    let (beside, shape, [image, row, step], to) = match onto {
        Onto::Nothing => (nothing_more_beside(x), shape, [0; 3], [n * width, width, 1]),
        Onto::Tokens(onto) => (onto.clone(), shape, strides(onto), [n * width, width, 1]),
        Onto::Map(onto) => {
            let [image, channel, pixel] = strides(onto);
            (onto.clone(), onto.meta.shape().clone(), [image, pixel, channel], [n * width, 1, n])
        }
    };
    let with_onto = usize::from(!matches!(onto, Onto::Nothing));
    let y = empty_beside(x, shape);
    let from = strides(x);
    let params = [
        &[b * n, n, width, from[0], from[1], from[2], with_offset][..],
        &[with_onto, image, row, step, to[0], to[1], to[2]],
    ];
    launch(kernel::LAYER_NORM, count, &[x, &gain, &offset, &beside], &params.concat(), &[&y]);
    Some(y)
}

impl LayerNorm for CubeBackend {
    fn layer_norm_affine(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let y = on_gpu(&x, &gain, Some(&offset), &Onto::Nothing);
        y.unwrap_or_else(|| reference::<Self>(x, gain, Some(offset)))
    }

    fn layer_norm_gain(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self> {
        on_gpu(&x, &gain, None, &Onto::Nothing).unwrap_or_else(|| reference::<Self>(x, gain, None))
    }

    fn layer_norm_onto(x: FloatTensor<Self>, gain: FloatTensor<Self>, onto: FloatTensor<Self>) -> FloatTensor<Self> {
        let y = on_gpu(&x, &gain, None, &Onto::Tokens(onto.clone()));
        y.unwrap_or_else(|| Self::float_add(reference::<Self>(x, gain, None), onto))
    }

    fn layer_norm_onto_map(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let y = on_gpu(&x, &gain, None, &Onto::Map(onto.clone()));
        y.unwrap_or_else(|| Self::float_add(onto, Self::float_swap_dims(reference::<Self>(x, gain, None), 1, 2)))
    }

    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        match backward_on_gpu(&x, &gain, &dy) {
            Some([dx, dgain, doffset]) => (dx, dgain, doffset),
            None => reference_backward::<Self>(x, gain, dy),
        }
    }
}

/// Rows of a task of the CPU kernels: by the size of the input and never by the number of cores, which must not change
/// a sum.
const ROWS: usize = 64;
/// Values, at least, of a task of the forward pass: fewer take less time than another thread takes to wake up.
const VALUES: usize = 1 << 16;

/// The norm by the CPU kernel, or by the plain body.
fn on_cpu(x: FlexTensor, gain: FlexTensor, offset: Option<FlexTensor>) -> FlexTensor {
    if !cpu::serves(KernelOp::LayerNorm, &x) || x.shape().num_elements() == 0 {
        return reference::<Flex>(x, gain, offset);
    }
    let [x, gain] = [x, gain].map(|t| t.to_contiguous());
    let offset = offset.map(|t| t.to_contiguous());
    let (xs, gain) = (cpu::slice(&x), cpu::slice(&gain));
    let none = vec![0f32; gain.len()];
    let offset = offset.as_ref().map_or(&none[..], cpu::slice);
    let mut y = vec![0f32; xs.len()];
    let len = VALUES.div_ceil(gain.len()) * gain.len();
    cpu::for_chunks(&mut y, len, |i, y| forward_rows(&xs[i * len..][..y.len()], gain, offset, y));
    cpu::tensor(y, x.shape())
}

impl LayerNorm for Flex {
    fn layer_norm_affine(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        on_cpu(x, gain, Some(offset))
    }

    fn layer_norm_gain(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self> {
        on_cpu(x, gain, None)
    }

    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if !cpu::serves(KernelOp::LayerNorm, &x) || x.shape().num_elements() == 0 {
            return reference_backward::<Self>(x, gain, dy);
        }
        let [x, gain, dy] = [x, gain, dy].map(|t| t.to_contiguous());
        let (shape, width) = (gain.shape(), gain.shape()[0]);
        let (xs, gain, dy) = (cpu::slice(&x), cpu::slice(&gain), cpu::slice(&dy));
        let mut dx = vec![0f32; xs.len()];
        let len = ROWS * width;
        let mut partial = vec![0f32; xs.len().div_ceil(len) * 2 * width];
        cpu::for_chunks2(&mut dx, len, &mut partial, 2 * width, |i, dx, sums| {
            let at = i * len..i * len + dx.len();
            backward_rows(&xs[at.clone()], gain, &dy[at], dx, sums);
        });
        let mut sums = vec![0f32; 2 * width];
        for part in partial.chunks_exact(2 * width) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let doffset = sums.split_off(width);
        (cpu::tensor(dx, x.shape()), cpu::tensor(sums, shape.clone()), cpu::tensor(doffset, shape))
    }
}

cpu::multiversion! {
    fn forward_rows(x: &[f32], gain: &[f32], offset: &[f32], y: &mut [f32]) = forward_rows_body
}

cpu::multiversion! {
    fn backward_rows(x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], sums: &mut [f32]) = backward_rows_body
}

/// The sum of `f(v)` over the values of a row, in eight partial sums.
#[inline(always)]
fn sum_over(x: &[f32], f: impl Fn(Eight) -> Eight, one: impl Fn(f32) -> f32) -> f32 {
    let whole = x.len() / LANES * LANES;
    let acc = x.chunks_exact(LANES).fold(Eight::splat(0.0), |acc, v| acc + f(Eight::load(v)));
    acc.lanes().iter().sum::<f32>() + x[whole..].iter().map(|&v| one(v)).sum::<f32>()
}

/// The sum of `f(i)` over the values of a row, in eight partial sums.
#[inline(always)]
fn sum_of(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let whole = len - len % LANES;
    let mut acc: Lane = [0f32; LANES];
    for i in (0..whole).step_by(LANES) {
        for (l, acc) in acc.iter_mut().enumerate() {
            *acc += f(i + l);
        }
    }
    acc.iter().sum::<f32>() + (whole..len).map(f).sum::<f32>()
}

/// Mean and `1 / sqrt(variance + eps)` of a row.
#[inline(always)]
fn moments(x: &[f32]) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mean = sum_over(x, |v| v, |v| v) * share;
    let square = |v: Eight| {
        let v = v - Eight::splat(mean);
        v * v
    };
    let variance = sum_over(x, square, |v| (v - mean) * (v - mean)) * share;
    (mean, 1.0 / (variance + EPS).sqrt())
}

#[inline(always)]
fn forward_rows_body<const FMA: bool>(x: &[f32], gain: &[f32], offset: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(gain.len()).zip(y.chunks_exact_mut(gain.len())) {
        let (mean, scale) = moments(x);
        for ((y, &x), (&gain, &offset)) in y.iter_mut().zip(x).zip(gain.iter().zip(offset)) {
            *y = cpu::mul_add::<FMA>((x - mean) * scale, gain, offset);
        }
    }
}

/// `sums` are the gradients of the gain, then of the offset.
#[inline(always)]
fn backward_rows_body<const FMA: bool>(x: &[f32], gain: &[f32], dy: &[f32], dx: &mut [f32], sums: &mut [f32]) {
    let width = gain.len();
    let share = 1.0 / width as f32;
    let (dgain, doffset) = sums.split_at_mut(width);
    for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
        let (mean, scale) = moments(x);
        let n = |i: usize| (x[i] - mean) * scale;
        let mean_g = sum_of(width, |i| dy[i] * gain[i]) * share;
        let along = sum_of(width, |i| dy[i] * gain[i] * n(i)) * share;
        for i in 0..width {
            let n = n(i);
            dgain[i] = cpu::mul_add::<FMA>(dy[i], n, dgain[i]);
            doffset[i] += dy[i];
            dx[i] = (dy[i] * gain[i] - mean_g - n * along) * scale;
        }
    }
}

#[cfg(feature = "autodiff")]
mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::{Backend, FloatTensor, LayerNorm};

    #[derive(Debug)]
    struct Op;

    /// The parents are input, gain and, where there is one, offset.
    impl<const N: usize, B: Backend + LayerNorm> Backward<B, N> for Op {
        /// Input and gain.
        type State = [NodeId; 2];

        fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let dy = grads.consume::<B>(&ops.node);
            let [x, gain] = ops.state.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
            let (dx, dgain, doffset) = B::layer_norm_backward(x, gain, dy);
            for (node, grad) in ops.parents.into_iter().zip([dx, dgain, doffset]) {
                if let Some(node) = node {
                    grads.register::<B>(node.id, grad);
                }
            }
        }
    }

    impl<B: Backend + LayerNorm, C: CheckpointStrategy> LayerNorm for Autodiff<B, C> {
        fn layer_norm_affine(
            x: FloatTensor<Self>,
            gain: FloatTensor<Self>,
            offset: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), gain.node(), offset.node()];
            match Op.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = [prep.checkpoint(&x), prep.checkpoint(&gain)];
                    let [x, gain, offset] = [x, gain, offset].map(|t| t.into_primitive());
                    prep.finish(state, B::layer_norm_affine(x, gain, offset))
                }
                OpsKind::UnTracked(prep) => {
                    let [x, gain, offset] = [x, gain, offset].map(|t| t.into_primitive());
                    prep.finish(B::layer_norm_affine(x, gain, offset))
                }
            }
        }

        fn layer_norm_gain(x: FloatTensor<Self>, gain: FloatTensor<Self>) -> FloatTensor<Self> {
            match Op.prepare::<C>([x.node(), gain.node()]).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = [prep.checkpoint(&x), prep.checkpoint(&gain)];
                    prep.finish(state, B::layer_norm_gain(x.into_primitive(), gain.into_primitive()))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::layer_norm_gain(x.into_primitive(), gain.into_primitive())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, GROUP, ROWS_OF_SUM, groups, sum_groups};
    use crate::kernel;

    #[test]
    fn rows_beyond_a_launch_are_left_to_the_plain_body() {
        assert_eq!(groups(33, 8), Some([2, 1, 1]));
        for (rows, width) in [(0, 4), (3, 0), (65_536 * GROUP, 4), (1 << 20, 1 << 12), (usize::MAX, 4)] {
            assert!(groups(rows, width).is_none(), "{rows} {width}");
        }
        assert_eq!(sum_groups(ROWS_OF_SUM + 1, COLUMNS), Some([1, 2, 1]));
        assert!(sum_groups(ROWS_OF_SUM << 16, 1).is_none());
        for kernel in [kernel::LAYER_NORM, kernel::LAYER_NORM_DX] {
            assert_eq!(kernel.workgroup_size, [GROUP as u32, 1, 1]);
        }
        assert_eq!(kernel::LAYER_NORM_DA.workgroup_size, [4 * COLUMNS as u32, 1, 1]);
    }
}
