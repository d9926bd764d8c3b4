//! Channel RMS norm, gain and offset, SiLU: the head of every block of the U-Net.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, Flex, FloatDType, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kernel;
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch, nothing_beside};
use crate::proof::{KernelOp, proven};
use crate::vector::{Eight, Vector};

/// Below this length a pixel's channels count as zero (torch's `F.normalize`).
const EPS: f32 = 1e-12;

/// `silu(n * gain + offset)` with `n = x * sqrt(c) / max(|x|, 1e-12)`, the norm taken over channels.
///
/// With `gain = gamma * (1 + scale)` and `offset = shift` this is the `Block` of imagen-pytorch before its convolution:
/// `ChanRMSNorm`, scale-shift, SiLU. One kernel forward and two backward on wgpu; one pass each on the CPU.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - affine: `[b, 2, c]`, gains then offsets
/// - output: `[b, c, h, w]`
#[must_use]
pub fn rms_norm_silu(x: Tensor<4>, affine: Tensor<3>) -> Tensor<4> {
    let [b, c, ..] = x.dims();
    assert_eq!(affine.dims(), [b, 2, c], "rms_norm_silu: affine must be [b, 2, c] of the input");
    Tensor::from_dispatch(Dispatch::rms_norm_silu(x.into_dispatch(), affine.into_dispatch()))
}

/// [`rms_norm_silu`] with `gain = gamma (1 + scale)` and `offset = shift`, or `gamma` and 0 where there is neither: the
/// head of a block, from what the block is told, in one kernel.
///
/// # Shapes
/// - x, output: `[b, c, h, w]`
/// - gamma: `[c]`
/// - `scale_shift`: `[b, 2 c]`, scales then shifts
#[must_use]
pub fn block_norm(x: Tensor<4>, gamma: Tensor<1>, scale_shift: Option<Tensor<2>>) -> Tensor<4> {
    let [b, c, ..] = x.dims();
    assert_eq!(gamma.dims(), [c], "block_norm: gamma must be [c] of the input");
    let (x, gamma) = (x.into_dispatch(), gamma.into_dispatch());
    Tensor::from_dispatch(match scale_shift {
        Some(both) => {
            assert_eq!(both.dims(), [b, 2 * c], "block_norm: scale and shift must be [b, 2 c] of the input");
            Dispatch::block_norm_modulated(x, gamma, both.into_dispatch())
        }
        None => Dispatch::block_norm(x, gamma),
    })
}

/// The gradients of [`rms_norm_silu`] with respect to `x` and `affine`, for the gradient `dy` of its output.
///
/// # Shapes
/// - x, dy, first output: `[b, c, h, w]`
/// - affine, second output: `[b, 2, c]`
#[must_use]
pub fn backward(x: Tensor<4>, affine: Tensor<3>, dy: Tensor<4>) -> (Tensor<4>, Tensor<3>) {
    let (dx, da) = Dispatch::rms_norm_silu_backward(x.into_dispatch(), affine.into_dispatch(), dy.into_dispatch());
    (Tensor::from_dispatch(dx), Tensor::from_dispatch(da))
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` and `Flex` override them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait RmsNormSilu: Backend {
    /// See [`rms_norm_silu`].
    #[fusion(dtype = x, shape = x)]
    fn rms_norm_silu(x: FloatTensor<Self>, affine: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::<Self>(x, affine)
    }

    /// See [`block_norm`].
    #[fusion(dtype = x, shape = x)]
    fn block_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>) -> FloatTensor<Self> {
        let affine = affine::<Self>(&x.shape(), gamma, None);
        Self::rms_norm_silu(x, affine)
    }

    /// The same with a scale and a shift.
    #[fusion(dtype = x, shape = x)]
    fn block_norm_modulated(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        scale_shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let affine = affine::<Self>(&x.shape(), gamma, Some(scale_shift));
        Self::rms_norm_silu(x, affine)
    }

    /// See [`backward`].
    #[fusion(meta = |x, affine, _dy| (x.clone(), affine.clone()))]
    fn rms_norm_silu_backward(
        x: FloatTensor<Self>,
        affine: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference_backward::<Self>(x, affine, dy)
    }
}

/// Gains and offsets for an input `[b, c, h, w]`, `[b, 2, c]`.
fn affine<B: Backend>(x: &Shape, gamma: FloatTensor<B>, scale_shift: Option<FloatTensor<B>>) -> FloatTensor<B> {
    let (b, c) = (x[0], x[1]);
    let gamma = B::float_reshape(gamma, Shape::new([1, 1, c]));
    let Some(both) = scale_shift else {
        let offset = B::float_zeros(Shape::new([b, 1, c]), &gamma.device(), FloatDType::F32);
        return B::float_cat(vec![B::float_expand(gamma, Shape::new([b, 1, c])), offset], 1);
    };
    let both = B::float_reshape(both, Shape::new([b, 2, c]));
    let half = |i: usize| B::float_slice(both.clone(), &[(0..b).into(), (i..i + 1).into(), (0..c).into()]);
    let gain = B::float_mul(B::float_add_scalar(half(0), 1f32.into()), gamma);
    B::float_cat(vec![gain, half(1)], 1)
}

/// `1 / rms` of every pixel, `[b, 1, h, w]`.
fn inverse_rms<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let c = x.shape()[1];
    let ss = B::float_sum_dim(B::float_mul(x.clone(), x), 1);
    let length = B::float_clamp_min(B::float_sqrt(ss), EPS.into());
    B::float_mul_scalar(B::float_recip(length), (c as f32).sqrt().into())
}

/// Gain and offset as `[b, c, 1, 1]`.
fn split<B: Backend>(affine: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    let (b, c) = (affine.shape()[0], affine.shape()[2]);
    [0, 1].map(|i| {
        let half = B::float_slice(affine.clone(), &[(0..b).into(), (i..i + 1).into(), (0..c).into()]);
        B::float_reshape(half, Shape::new([b, c, 1, 1]))
    })
}

fn reference<B: Backend>(x: FloatTensor<B>, affine: FloatTensor<B>) -> FloatTensor<B> {
    let [gain, offset] = split::<B>(affine);
    let n = B::float_mul(x.clone(), inverse_rms::<B>(x));
    let u = B::float_add(B::float_mul(n, gain), offset);
    B::float_mul(u.clone(), B::sigmoid(u))
}

fn reference_backward<B: Backend>(
    x: FloatTensor<B>,
    affine: FloatTensor<B>,
    dy: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = affine.shape();
    let (b, c) = (shape[0], shape[2]);
    let [gain, offset] = split::<B>(affine);
    let r = inverse_rms::<B>(x.clone());
    let n = B::float_mul(x, r.clone());
    let u = B::float_add(B::float_mul(n.clone(), gain.clone()), offset);
    let s = B::sigmoid(u.clone());
    // silu'(u) = s (1 + u (1 - s)) = s + y (1 - s)
    let y = B::float_mul(u, s.clone());
    let slope = B::float_add(s.clone(), B::float_sub(y.clone(), B::float_mul(y, s)));
    let du = B::float_mul(dy, slope);
    let sum = |t| {
        let t = B::float_sum_dim(B::float_sum_dim(t, 3), 2);
        B::float_reshape(t, Shape::new([b, 1, c]))
    };
    let da = B::float_cat(vec![sum(B::float_mul(du.clone(), n.clone())), sum(du.clone())], 1);
    let g = B::float_mul(du, gain);
    let mean = B::float_mean_dim(B::float_mul(g.clone(), n.clone()), 1);
    let dx = B::float_mul(r, B::float_sub(g, B::float_mul(n, mean)));
    (dx, da)
}

/// Pixels a workgroup of the WGSL kernels covers.
const GROUP: usize = 64;

/// Whether the WGSL kernels can be launched over `[b, c, h w]`: groups along each axis within the limit, and every
/// element within reach of a 32-bit index.
fn fits([b, c, hw]: [usize; 3]) -> bool {
    let elements = [b, c, hw].iter().try_fold(2usize, |n, &v| n.checked_mul(v));
    [hw.div_ceil(GROUP), b, c].iter().all(|&groups| groups <= MOST_GROUPS)
        && elements.is_some_and(|n| u32::try_from(n).is_ok())
}

/// The head of a block by the WGSL kernel, or by the plain body.
fn block_on_gpu(x: CubeTensor, gamma: CubeTensor, scale_shift: Option<CubeTensor>) -> CubeTensor {
    let shape = x.meta.shape().clone();
    let (b, c, hw) = (shape[0], shape[1], shape[2] * shape[3]);
    if x.dtype != DType::F32 || !fits([b, c, hw]) || !proven(&x, KernelOp::RmsNormSilu) {
        let affine = affine::<CubeBackend>(&shape, gamma, scale_shift);
        return reference::<CubeBackend>(x, affine);
    }
    let [x, gamma] = [x, gamma].map(into_contiguous);
    let modulated = usize::from(scale_shift.is_some());
    let both = scale_shift.map_or_else(|| nothing_beside(&x), into_contiguous);
    let y = empty_beside(&x, shape);
    let count = [hw.div_ceil(GROUP), b, 1];
    launch(kernel::RMS_NORM_SILU_BLOCK, count, &[&x, &gamma, &both], &[b, c, hw, modulated], &[&y]);
    y
}

impl RmsNormSilu for CubeBackend {
    fn block_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>) -> FloatTensor<Self> {
        block_on_gpu(x, gamma, None)
    }

    fn block_norm_modulated(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        scale_shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        block_on_gpu(x, gamma, Some(scale_shift))
    }

    fn rms_norm_silu(x: FloatTensor<Self>, affine: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = x.meta.shape().clone();
        let (b, c, hw) = (shape[0], shape[1], shape[2] * shape[3]);
        if x.dtype != DType::F32 || !fits([b, c, hw]) || !proven(&x, KernelOp::RmsNormSilu) {
            return reference::<Self>(x, affine);
        }
        let [x, affine] = [x, affine].map(into_contiguous);
        let y = empty_beside(&x, shape);
        launch(kernel::RMS_NORM_SILU, [hw.div_ceil(GROUP), b, 1], &[&x, &affine], &[b, c, hw], &[&y]);
        y
    }

    fn rms_norm_silu_backward(
        x: FloatTensor<Self>,
        affine: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let shape = x.meta.shape().clone();
        let (b, c, hw) = (shape[0], shape[1], shape[2] * shape[3]);
        if x.dtype != DType::F32 || !fits([b, c, hw]) || !proven(&x, KernelOp::RmsNormSilu) {
            return reference_backward::<Self>(x, affine, dy);
        }
        let [x, affine, dy] = [x, affine, dy].map(into_contiguous);
        let dx = empty_beside(&x, shape);
        let r = empty_beside(&x, Shape::new([b, hw]));
        let da = empty_beside(&x, affine.meta.shape().clone());
        let params = [b, c, hw];
        launch(kernel::RMS_NORM_SILU_DX, [hw.div_ceil(GROUP), b, 1], &[&x, &affine, &dy], &params, &[&dx, &r]);
        launch(kernel::RMS_NORM_SILU_DA, [c, b, 1], &[&x, &affine, &dy, &r], &params, &[&da]);
        (dx, da)
    }
}

/// Pixels a CPU kernel keeps the norm of at a time.
const BLOCK: usize = 64;

impl RmsNormSilu for Flex {
    fn rms_norm_silu(x: FloatTensor<Self>, affine: FloatTensor<Self>) -> FloatTensor<Self> {
        if !cpu::serves(KernelOp::RmsNormSilu, &x) {
            return reference::<Self>(x, affine);
        }
        let [x, affine] = [x, affine].map(|t| t.to_contiguous());
        let shape = x.layout().shape().clone();
        let (c, hw) = (shape[1], shape[2] * shape[3]);
        let (xs, affine) = (cpu::slice(&x), cpu::slice(&affine));
        let mut y = vec![0f32; xs.len()];
        cpu::for_chunks(&mut y, c * hw, |i, y| {
            forward_image(&xs[i * c * hw..][..c * hw], &affine[i * 2 * c..][..2 * c], y);
        });
        cpu::tensor(y, shape)
    }

    fn rms_norm_silu_backward(
        x: FloatTensor<Self>,
        affine: FloatTensor<Self>,
        dy: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !cpu::serves(KernelOp::RmsNormSilu, &x) {
            return reference_backward::<Self>(x, affine, dy);
        }
        let [x, affine, dy] = [x, affine, dy].map(|t| t.to_contiguous());
        let shape = x.layout().shape().clone();
        let affine_shape = affine.layout().shape().clone();
        let (c, hw) = (shape[1], shape[2] * shape[3]);
        let (xs, affine, dy) = (cpu::slice(&x), cpu::slice(&affine), cpu::slice(&dy));
        let mut dx = vec![0f32; xs.len()];
        let mut da = vec![0f32; affine.len()];
        cpu::for_chunks2(&mut dx, c * hw, &mut da, 2 * c, |i, dx, da| {
            let image = i * c * hw..(i + 1) * c * hw;
            backward_image(&xs[image.clone()], &affine[i * 2 * c..][..2 * c], &dy[image], dx, da);
        });
        (cpu::tensor(dx, shape), cpu::tensor(da, affine_shape))
    }
}

cpu::multiversion! {
    fn forward_image(x: &[f32], affine: &[f32], y: &mut [f32]) = forward_image_body
}

cpu::multiversion! {
    fn backward_image(x: &[f32], affine: &[f32], dy: &[f32], dx: &mut [f32], da: &mut [f32]) = backward_image_body
}

/// `1 / rms` of the pixels `p0..` of one image into `r`.
#[inline(always)]
fn rms_block<const FMA: bool>(x: &[f32], c: usize, p0: usize, r: &mut [f32]) {
    let hw = x.len() / c;
    r.fill(0.0);
    for row in x.chunks_exact(hw) {
        for (r, &v) in r.iter_mut().zip(&row[p0..]) {
            *r = cpu::mul_add::<FMA>(v, v, *r);
        }
    }
    let root = (c as f32).sqrt();
    for r in r {
        let length = r.sqrt();
        // No `max`, of which what is no number comes out as a number, nor what a compiler for wasm makes one of.
        *r = if length < EPS { root / EPS } else { root / length };
    }
}

#[inline(always)]
fn forward_image_body<const FMA: bool>(x: &[f32], affine: &[f32], y: &mut [f32]) {
    let c = affine.len() / 2;
    let hw = x.len() / c;
    let mut r = [0f32; BLOCK];
    for p0 in (0..hw).step_by(BLOCK) {
        let r = &mut r[..BLOCK.min(hw - p0)];
        rms_block::<FMA>(x, c, p0, r);
        for (i, (x, y)) in x.chunks_exact(hw).zip(y.chunks_exact_mut(hw)).enumerate() {
            let (a, t) = (affine[i], affine[c + i]);
            let (x, y) = (&x[p0..][..r.len()], &mut y[p0..][..r.len()]);
            let (vectors, shift) = (r.len() / LANES * LANES, Eight::splat(t));
            for ((x, y), r) in x.chunks_exact(LANES).zip(y.chunks_exact_mut(LANES)).zip(r.chunks_exact(LANES)) {
                (Eight::load(x) * Eight::load(r)).times::<FMA>(a, shift).silu().store(y);
            }
            for ((&x, y), &r) in x[vectors..].iter().zip(&mut y[vectors..]).zip(&r[vectors..]) {
                let u = cpu::mul_add::<FMA>(x * r, a, t);
                *y = u * cpu::sigmoid(u);
            }
        }
    }
}

#[inline(always)]
fn backward_image_body<const FMA: bool>(x: &[f32], affine: &[f32], dy: &[f32], dx: &mut [f32], da: &mut [f32]) {
    let c = affine.len() / 2;
    let hw = x.len() / c;
    let mut r = [0f32; BLOCK];
    for p0 in (0..hw).step_by(BLOCK) {
        let len = BLOCK.min(hw - p0);
        let r = &mut r[..len];
        rms_block::<FMA>(x, c, p0, r);
        let mut dot = [0f32; BLOCK];
        let dot = &mut dot[..len];
        for i in 0..c {
            let at = i * hw + p0;
            let (a, t) = (affine[i], affine[c + i]);
            let rows = x[at..at + len].iter().zip(&dy[at..at + len]).zip(&mut dx[at..at + len]);
            let (mut du_n, mut du) = ([0f32; BLOCK], [0f32; BLOCK]);
            let sums = du_n.iter_mut().zip(&mut du);
            for ((((&x, &dy), dx), (&r, dot)), (du_n, du)) in rows.zip(r.iter().zip(&mut *dot)).zip(sums) {
                let n = x * r;
                let u = cpu::mul_add::<FMA>(n, a, t);
                let s = cpu::sigmoid(u);
                *du = dy * s * cpu::mul_add::<FMA>(u, 1.0 - s, 1.0);
                *du_n = *du * n;
                *dx = *du * a;
                *dot = cpu::mul_add::<FMA>(*dx, n, *dot);
            }
            da[i] += cpu::sum(&du_n);
            da[c + i] += cpu::sum(&du);
        }
        let share = 1.0 / c as f32;
        for i in 0..c {
            let at = i * hw + p0;
            for ((dx, &x), (&r, &dot)) in dx[at..at + len].iter_mut().zip(&x[at..at + len]).zip(r.iter().zip(&*dot)) {
                *dx = r * (*dx - x * r * dot * share);
            }
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

    use super::{Backend, FloatTensor, RmsNormSilu};

    #[derive(Debug)]
    struct Op;

    impl<B: Backend + RmsNormSilu> Backward<B, 2> for Op {
        type State = (NodeId, NodeId);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let [node_x, node_affine] = ops.parents;
            let dy = grads.consume::<B>(&ops.node);
            let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(ops.state.0);
            let affine = checkpointer.retrieve_node_output::<FloatTensor<B>>(ops.state.1);
            let (dx, da) = B::rms_norm_silu_backward(x, affine, dy);
            if let Some(node) = node_x {
                grads.register::<B>(node.id, dx);
            }
            if let Some(node) = node_affine {
                grads.register::<B>(node.id, da);
            }
        }
    }

    impl<B: Backend + RmsNormSilu, C: CheckpointStrategy> RmsNormSilu for Autodiff<B, C> {
        fn rms_norm_silu(x: FloatTensor<Self>, affine: FloatTensor<Self>) -> FloatTensor<Self> {
            match Op.prepare::<C>([x.node(), affine.node()]).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = (prep.checkpoint(&x), prep.checkpoint(&affine));
                    prep.finish(state, B::rms_norm_silu(x.into_primitive(), affine.into_primitive()))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::rms_norm_silu(x.into_primitive(), affine.into_primitive())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUP, fits};
    use crate::kernel;

    #[test]
    fn maps_beyond_a_launch_are_left_to_the_plain_body() {
        assert!(fits([16, 128, 256 * 256]));
        assert!(fits([1, 8, 2047 * 2047]));
        for too_much in [[1, 8, 2048 * 2048], [65_536, 1, 1], [1, 65_536, 1], [64, 512, 1 << 17], [usize::MAX; 3]] {
            assert!(!fits(too_much), "{too_much:?}");
        }
        for kernel in [kernel::RMS_NORM_SILU, kernel::RMS_NORM_SILU_DX, kernel::RMS_NORM_SILU_BLOCK] {
            assert_eq!(kernel.workgroup_size, [GROUP as u32, 1, 1]);
        }
    }
}
