//! SiLU and GELU.
//!
//! On a GPU these are what Burn fuses best, so there they stay Burn's. On the CPU they are vectors; and what is as good as
//! zero is zero, because the tails of both would otherwise fill maps and gradients with subnormal numbers, which are slow
//! on most processors.

use burn::Tensor;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::activation;

use crate::cpu::{self, LANES};
use crate::launch::CubeBackend;
use crate::proof::{KernelOp, switched_on};
use crate::vector::{Eight, Vector};

/// `x / (1 + exp(-x))` (<https://arxiv.org/abs/1702.03118>).
///
/// # Shapes
/// - x, output: any, the same
#[must_use]
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !switched_on() || !on_cpu(&x) {
        return activation::silu(x);
    }
    Tensor::from_dispatch(Dispatch::silu_op(x.into_dispatch()))
}

/// `x / 2 (1 + erf(x / sqrt(2)))` (<https://arxiv.org/abs/1606.08415>). Its gradient is exact on every device; that of Burn's
/// own is another function's on a GPU, the approximation by a hyperbolic tangent.
///
/// # Shapes
/// - x, output: any, the same
#[must_use]
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !switched_on() {
        return activation::gelu(x);
    }
    if !on_cpu(&x) {
        let phi = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5;
        return x * phi;
    }
    Tensor::from_dispatch(Dispatch::gelu_op(x.into_dispatch()))
}

fn on_cpu<const D: usize>(x: &Tensor<D>) -> bool {
    matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// The ops on a backend. Their bodies here are the specification; `Flex` overrides them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait Activation: Backend {
    /// See [`silu`].
    #[fusion(dtype = x, shape = x)]
    fn silu_op(x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference_silu::<Self>(x)
    }

    /// The gradient of [`silu`] for the gradient `dy` of its output.
    #[fusion(dtype = x, shape = x)]
    fn silu_op_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        reference_silu_backward::<Self>(x, dy)
    }

    /// See [`gelu`].
    #[fusion(dtype = x, shape = x)]
    fn gelu_op(x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference_gelu::<Self>(x)
    }

    /// The gradient of [`gelu`] for the gradient `dy` of its output.
    #[fusion(dtype = x, shape = x)]
    fn gelu_op_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        reference_gelu_backward::<Self>(x, dy)
    }
}

fn reference_silu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), B::sigmoid(x))
}

fn reference_silu_backward<B: Backend>(x: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    let s = B::sigmoid(x.clone());
    let rest = B::float_add_scalar(B::float_neg(s.clone()), 1f32.into());
    let slope = B::float_add_scalar(B::float_mul(x, rest), 1f32.into());
    B::float_mul(dy, B::float_mul(s, slope))
}

fn reference_gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), phi::<B>(x))
}

fn reference_gelu_backward<B: Backend>(x: FloatTensor<B>, dy: FloatTensor<B>) -> FloatTensor<B> {
    let exponent = B::float_mul_scalar(B::float_mul(x.clone(), x.clone()), (-0.5f32).into());
    let density = B::float_mul_scalar(B::float_exp(exponent), DENSITY.into());
    let slope = B::float_add(phi::<B>(x.clone()), B::float_mul(x, density));
    B::float_mul(dy, slope)
}

/// The density of the normal distribution at 0.
const DENSITY: f32 = 0.398_942_3;

/// The share of the normal distribution below each value.
fn phi<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let erf = B::float_erf(B::float_mul_scalar(x, std::f32::consts::FRAC_1_SQRT_2.into()));
    B::float_add_scalar(B::float_mul_scalar(erf, 0.5f32.into()), 0.5f32.into())
}

impl Activation for CubeBackend {}

impl Activation for Flex {
    fn silu_op(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if cpu::serves(KernelOp::Silu, &x) { map(x, silu_all) } else { reference_silu::<Self>(x) }
    }

    fn silu_op_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        if cpu::serves(KernelOp::Silu, &x) {
            map_back(x, dy, silu_back_all)
        } else {
            reference_silu_backward::<Self>(x, dy)
        }
    }

    fn gelu_op(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if cpu::serves(KernelOp::Gelu, &x) { map(x, gelu_all) } else { reference_gelu::<Self>(x) }
    }

    fn gelu_op_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        if cpu::serves(KernelOp::Gelu, &x) {
            map_back(x, dy, gelu_back_all)
        } else {
            reference_gelu_backward::<Self>(x, dy)
        }
    }
}

/// Values of a task: fewer take less time than another thread takes to wake up.
const VALUES: usize = 1 << 15;

fn map(x: FlexTensor, of: fn(&[f32], &mut [f32])) -> FlexTensor {
    let x = x.to_contiguous();
    let from = cpu::slice(&x);
    let mut y = vec![0f32; from.len()];
    cpu::for_chunks(&mut y, VALUES, |i, y| of(&from[i * VALUES..][..y.len()], y));
    cpu::tensor(y, x.shape())
}

fn map_back(x: FlexTensor, dy: FlexTensor, of: fn(&[f32], &[f32], &mut [f32])) -> FlexTensor {
    let [x, dy] = [x, dy].map(|t| t.to_contiguous());
    let (from, by) = (cpu::slice(&x), cpu::slice(&dy));
    let mut dx = vec![0f32; from.len()];
    cpu::for_chunks(&mut dx, VALUES, |i, dx| of(&from[i * VALUES..][..dx.len()], &by[i * VALUES..], dx));
    cpu::tensor(dx, x.shape())
}

cpu::multiversion! {
    fn silu_all(x: &[f32], y: &mut [f32]) = silu_all_body
}

#[inline(always)]
fn silu_all_body<const FMA: bool>(x: &[f32], y: &mut [f32]) {
    each(x, x, y, |x, _| x.silu());
}

cpu::multiversion! {
    fn silu_back_all(x: &[f32], dy: &[f32], dx: &mut [f32]) = silu_back_all_body
}

#[inline(always)]
fn silu_back_all_body<const FMA: bool>(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    each(x, dy, dx, |x, dy| {
        let (s, one) = (x.sigmoid(), Eight::splat(1.0));
        dy * s * (x * (one - s) + one)
    });
}

cpu::multiversion! {
    fn gelu_all(x: &[f32], y: &mut [f32]) = gelu_all_body
}

#[inline(always)]
fn gelu_all_body<const FMA: bool>(x: &[f32], y: &mut [f32]) {
    each(x, x, y, |x, _| x * share_below(x));
}

cpu::multiversion! {
    fn gelu_back_all(x: &[f32], dy: &[f32], dx: &mut [f32]) = gelu_back_all_body
}

#[inline(always)]
fn gelu_back_all_body<const FMA: bool>(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    each(x, dy, dx, |x, dy| {
        let density = (x * x * Eight::splat(-0.5)).exp().or_nothing() * Eight::splat(DENSITY);
        dy * (share_below(x) + x * density)
    });
}

/// `f` of each pair of vectors, the last of which may be short.
#[inline(always)]
fn each(a: &[f32], b: &[f32], to: &mut [f32], f: impl Fn(Eight, Eight) -> Eight) {
    let whole = to.len() / LANES * LANES;
    let vectors = a.chunks_exact(LANES).zip(b.chunks_exact(LANES));
    for ((a, b), to) in vectors.zip(to.chunks_exact_mut(LANES)) {
        f(Eight::load(a), Eight::load(b)).store(to);
    }
    let rest = to.len() - whole;
    if rest > 0 {
        let padded = |from: &[f32]| {
            let mut lanes = [0f32; LANES];
            lanes[..rest].copy_from_slice(&from[whole..whole + rest]);
            Eight::load(&lanes)
        };
        to[whole..].copy_from_slice(&f(padded(a), padded(b)).lanes()[..rest]);
    }
}

/// Of `erf(x) = x P(x^2) / Q(x^2)` on [-3.8325, 3.8325], beyond which it is 1 in f32, from the highest power down: the
/// minimax quotient that XLA and Eigen use. With it GELU is right to 1.2e-6.
const P: [f32; 5] = [2.290_506_6e-4, 3.408_291e-3, 5.095_569_5e-2, 1.852_083_2e-1, std::f32::consts::FRAC_2_SQRT_PI];
const Q: [f32; 7] =
    [-1.179_160_3e-7, 2.354_796_6e-5, 1.017_962_5e-3, 1.407_047e-2, 1.109_850_5e-1, 4.974_692_5e-1, 1.0];
const ERF_END: f32 = 3.832_507;

/// The share of the normal distribution below `x`; 0 from about -5.4 down.
#[inline(always)]
fn share_below(x: Eight) -> Eight {
    let end = Eight::splat(ERF_END);
    let x = (x * Eight::splat(std::f32::consts::FRAC_1_SQRT_2)).min(end).max(Eight::splat(0.0) - end);
    let square = x * x;
    let polynomial = |c: &[f32]| c[1..].iter().fold(Eight::splat(c[0]), |p, &c| p * square + Eight::splat(c));
    let erf = x * polynomial(&P) / polynomial(&Q);
    // In this order, so that what is no number stays none.
    Eight::splat(0.0).max(erf * Eight::splat(0.5) + Eight::splat(0.5))
}

#[cfg(feature = "autodiff")]
mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::NodeId;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::{Activation, Backend, FloatTensor};

    #[derive(Debug)]
    enum Op {
        Silu,
        Gelu,
    }

    impl<B: Backend + Activation> Backward<B, 1> for Op {
        /// The input.
        type State = NodeId;

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let dy = grads.consume::<B>(&ops.node);
            let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(ops.state);
            if let [Some(node)] = ops.parents {
                let dx = match self {
                    Self::Silu => B::silu_op_backward(x, dy),
                    Self::Gelu => B::gelu_op_backward(x, dy),
                };
                grads.register::<B>(node.id, dx);
            }
        }
    }

    impl<B: Backend + Activation, C: CheckpointStrategy> Activation for Autodiff<B, C> {
        fn silu_op(x: FloatTensor<Self>) -> FloatTensor<Self> {
            match Op::Silu.prepare::<C>([x.node()]).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = prep.checkpoint(&x);
                    prep.finish(state, B::silu_op(x.into_primitive()))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::silu_op(x.into_primitive())),
            }
        }

        fn gelu_op(x: FloatTensor<Self>) -> FloatTensor<Self> {
            match Op::Gelu.prepare::<C>([x.node()]).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = prep.checkpoint(&x);
                    prep.finish(state, B::gelu_op(x.into_primitive()))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::gelu_op(x.into_primitive())),
            }
        }
    }
}
