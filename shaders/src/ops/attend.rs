//! Attention by cosine similarity, with a learned null key and value and a mask.
//!
//! On wgpu a kernel walks the keys once with a running softmax, for heads of 32 or 64 features; the gradient there is
//! the plain body. On the CPU forward and backward are products of small blocks. Neither keeps the scores.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, DispatchTensor, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kernel::{self, Kernel};
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch};
use crate::proof::proven;

mod kernels;
mod plain;

/// Queries and keys have unit length, so logits lie in [-8, 8] before the learned scales.
const LOGIT_SCALE: f32 = 8.0;

/// What a query may attend to.
#[derive(Debug, Clone)]
pub struct Keys {
    /// `[b, m, 2 kv_heads d]`: of every token the keys of all heads, then their values.
    pub kv: Tensor<3>,
    /// `[2, d]`, a key and a value that all heads share and that are always there.
    pub null: Option<Tensor<2>>,
    /// `[b, masked]`, 0 for one of the first tokens that is not there, else 1; the others are there.
    pub mask: Option<Tensor<2>>,
}

/// `softmax(8 q k^T) v` of queries and keys brought to unit length and scaled feature by feature, softmax over the keys
/// that are there (<https://arxiv.org/abs/2010.04245>).
///
/// Heads of keys may be fewer than heads of queries, which then share them in order: one is multi-query attention
/// (<https://arxiv.org/abs/1911.02150>).
///
/// # Shapes
/// - q: `[b, n, heads d]`
/// - scales: `[d]` each, of queries and of keys; they tell the width of a head
/// - output: `[b, n, heads d]`
///
/// # Panics
/// If the shapes do not fit together, or if there is a mask but no null key: a query that has nothing to attend to has no
/// output.
#[must_use]
pub fn attend(q: Tensor<3>, keys: Keys, scales: [Tensor<1>; 2]) -> Tensor<3> {
    let ([b, _, width], [d]) = (q.dims(), scales[0].dims());
    let [kv_b, m, kv_width] = keys.kv.dims();
    let (heads, kv_heads) = (width / d, kv_width / (2 * d));
    assert_eq!([heads * d, kv_heads * 2 * d, kv_b], [width, kv_width, b], "attend: whole heads, equal batches");
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "attend: {kv_heads} heads of keys for {heads} of queries");
    assert!(keys.mask.is_none() || keys.null.is_some(), "attend: a mask needs a null key");
    assert!(keys.mask.as_ref().is_none_or(|mask| mask.dims()[0] == b && mask.dims()[1] <= m), "attend: the mask");
    let Arguments { q, kv, null, scales: [scale_q, scale_k], mask, extra } = arguments(q, keys, scales);
    Tensor::from_dispatch(Dispatch::attend(q, kv, null, scale_q, scale_k, mask, extra.null, extra.masked))
}

/// The gradients of [`attend`] with respect to the queries, to `kv`, to `null` (zero where there is none) and to both
/// scales, for the gradient `dy` of its output.
#[must_use]
pub fn backward(
    q: Tensor<3>,
    keys: Keys,
    scales: [Tensor<1>; 2],
    dy: Tensor<3>,
) -> (Tensor<3>, Tensor<3>, Tensor<2>, [Tensor<1>; 2]) {
    let Arguments { q, kv, null, scales: [scale_q, scale_k], mask, extra } = arguments(q, keys, scales);
    let (dq, dkv, dnull, dscale_q, dscale_k) =
        Dispatch::attend_backward(q, kv, null, scale_q, scale_k, mask, dy.into_dispatch(), extra.null, extra.masked);
    let dscales = [dscale_q, dscale_k].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(dq), Tensor::from_dispatch(dkv), Tensor::from_dispatch(dnull), dscales)
}

/// What is there beside queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extra {
    /// A null key and value.
    null: bool,
    /// Keys, the first ones, that the mask speaks of.
    masked: usize,
}

/// The arguments of the op, in which what is not there is a tensor that nobody reads.
struct Arguments {
    q: DispatchTensor,
    kv: DispatchTensor,
    null: DispatchTensor,
    scales: [DispatchTensor; 2],
    mask: DispatchTensor,
    extra: Extra,
}

fn arguments(q: Tensor<3>, keys: Keys, scales: [Tensor<1>; 2]) -> Arguments {
    let ([d], device) = (scales[0].dims(), q.device());
    let extra = Extra { null: keys.null.is_some(), masked: keys.mask.as_ref().map_or(0, |mask| mask.dims()[1]) };
    Arguments {
        q: q.into_dispatch(),
        kv: keys.kv.into_dispatch(),
        null: keys.null.unwrap_or_else(|| Tensor::zeros([2, d], &device)).into_dispatch(),
        scales: scales.map(Tensor::into_dispatch),
        mask: keys.mask.unwrap_or_else(|| Tensor::ones([1, 1], &device)).into_dispatch(),
        extra,
    }
}

/// The gradients of one call: of queries, keys and values, null, and both scales.
type Gradients<T> = (T, T, T, T, T);

fn null_shape(scale: &Shape) -> Shape {
    Shape::new([2, scale[0]])
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` and `Flex` override them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait Attend: Backend {
    /// See [`attend`].
    #[fusion(dtype = q, shape = q)]
    fn attend(
        q: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        null: FloatTensor<Self>,
        scale_q: FloatTensor<Self>,
        scale_k: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        with_null: bool,
        masked: usize,
    ) -> FloatTensor<Self> {
        plain::forward::<Self>(&plain::Inputs {
            q,
            kv,
            null,
            scales: [scale_q, scale_k],
            mask,
            extra: Extra { null: with_null, masked },
        })
    }

    /// See [`backward`].
    #[fusion(meta = |q, kv, _null, scale_q, scale_k, _mask, _dy, _with_null, _masked| {
        let null = burn::backend::fusion::custom::TensorSpec { shape: null_shape(&scale_q.shape), ..scale_q.clone() };
        (q.clone(), kv.clone(), null, scale_q.clone(), scale_k.clone())
    })]
    fn attend_backward(
        q: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        null: FloatTensor<Self>,
        scale_q: FloatTensor<Self>,
        scale_k: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        with_null: bool,
        masked: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        plain::backward::<Self>(
            &plain::Inputs { q, kv, null, scales: [scale_q, scale_k], mask, extra: Extra { null: with_null, masked } },
            dy,
        )
    }
}

/// The sizes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    b: usize,
    /// Queries.
    n: usize,
    /// Keys without the null one.
    m: usize,
    heads: usize,
    kv_heads: usize,
    /// Features of a head.
    d: usize,
}

impl Sizes {
    fn of(q: &Shape, kv: &Shape, scale: &Shape) -> Self {
        let d = scale[0];
        Self { b: q[0], n: q[1], m: kv[1], heads: q[2] / d, kv_heads: kv[2] / (2 * d), d }
    }

    /// The WGSL kernel and its workgroups; nothing where none applies.
    fn groups(&self) -> Option<(Kernel, [usize; 3])> {
        let kernel = match self.d {
            32 => kernel::ATTEND32,
            64 => kernel::ATTEND64,
            _ => return None,
        };
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |n, &v| n.checked_mul(v));
        let q = product(&[self.b, self.n, self.heads, self.d])?;
        let kv = product(&[self.b, self.m.max(1), 2, self.kv_heads, self.d])?;
        let count = [self.n.div_ceil(GROUP), self.heads, self.b];
        let fits = [q, kv].iter().all(|&n| n > 0 && u32::try_from(n).is_ok());
        (fits && self.m > 0 && count.iter().all(|&n| n <= MOST_GROUPS)).then_some((kernel, count))
    }
}

/// Queries of a workgroup of the WGSL kernels.
const GROUP: usize = 64;

fn on_gpu(inputs: &plain::Inputs<CubeBackend>) -> Option<CubeTensor> {
    let plain::Inputs { q, kv, null, scales: [scale_q, scale_k], mask, extra } = inputs;
    let size = inputs.sizes();
    let (kernel, count) = size.groups()?;
    if q.dtype != DType::F32 || !proven(q) {
        return None;
    }
    let [q, kv, null, scale_q, scale_k, mask] =
        [q, kv, null, scale_q, scale_k, mask].map(|t| into_contiguous(t.clone()));
    let y = empty_beside(&q, q.meta.shape().clone());
    let params = [size.b, size.n, size.m, size.heads, size.kv_heads, extra.masked, extra.null.into()];
    launch(kernel, count, &[&q, &kv, &null, &scale_q, &scale_k, &mask], &params, &[&y]);
    Some(y)
}

impl Attend for CubeBackend {
    fn attend(
        q: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        null: FloatTensor<Self>,
        scale_q: FloatTensor<Self>,
        scale_k: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        with_null: bool,
        masked: usize,
    ) -> FloatTensor<Self> {
        let inputs =
            plain::Inputs { q, kv, null, scales: [scale_q, scale_k], mask, extra: Extra { null: with_null, masked } };
        on_gpu(&inputs).unwrap_or_else(|| plain::forward::<Self>(&inputs))
    }
}

/// Contiguous inputs of the CPU kernels, and their sizes; nothing where those do not apply.
fn on_cpu(inputs: &plain::Inputs<Flex>) -> Option<(plain::Inputs<Flex>, Sizes)> {
    let size = inputs.sizes();
    if inputs.q.dtype() != DType::F32 || !size.d.is_multiple_of(LANES) || size.b * size.n * size.m == 0 {
        return None;
    }
    Some((inputs.map(|t| t.to_contiguous()), size))
}

fn slices<'a>(size: &Sizes, inputs: &'a plain::Inputs<Flex>) -> kernels::Inputs<'a> {
    kernels::Inputs {
        q: cpu::slice(&inputs.q),
        kv: cpu::slice(&inputs.kv),
        null: inputs.extra.null.then(|| cpu::slice(&inputs.null)),
        scales: [cpu::slice(&inputs.scales[0]), cpu::slice(&inputs.scales[1])],
        mask: &cpu::slice(&inputs.mask)[..size.b * inputs.extra.masked],
        masked: inputs.extra.masked,
    }
}

impl Attend for Flex {
    fn attend(
        q: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        null: FloatTensor<Self>,
        scale_q: FloatTensor<Self>,
        scale_k: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        with_null: bool,
        masked: usize,
    ) -> FloatTensor<Self> {
        let inputs =
            plain::Inputs { q, kv, null, scales: [scale_q, scale_k], mask, extra: Extra { null: with_null, masked } };
        match on_cpu(&inputs) {
            Some((inputs, size)) => cpu::tensor(kernels::forward(&size, &slices(&size, &inputs)), inputs.q.shape()),
            None => plain::forward::<Self>(&inputs),
        }
    }

    fn attend_backward(
        q: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        null: FloatTensor<Self>,
        scale_q: FloatTensor<Self>,
        scale_k: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        with_null: bool,
        masked: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let inputs =
            plain::Inputs { q, kv, null, scales: [scale_q, scale_k], mask, extra: Extra { null: with_null, masked } };
        let Some((inputs, size)) = on_cpu(&inputs) else { return plain::backward::<Self>(&inputs, dy) };
        let dy = dy.to_contiguous();
        let grads = kernels::backward(&size, &slices(&size, &inputs), cpu::slice(&dy));
        let scale = inputs.scales[0].shape();
        let [scale_q, scale_k] = grads.scales.map(|grad| cpu::tensor(grad, scale.clone()));
        let null = cpu::tensor(grads.null, null_shape(&scale));
        (cpu::tensor(grads.q, inputs.q.shape()), cpu::tensor(grads.kv, inputs.kv.shape()), null, scale_q, scale_k)
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

    use super::{Attend, Backend, Extra, FloatTensor};

    #[derive(Debug)]
    struct Op;

    /// The parents are queries, keys and values, null, and both scales; a mask has no gradient.
    impl<B: Backend + Attend> Backward<B, 5> for Op {
        type State = ([NodeId; 5], FloatTensor<B>, Extra);

        fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let dy = grads.consume::<B>(&ops.node);
            let (nodes, mask, extra) = ops.state;
            let [q, kv, null, scale_q, scale_k] =
                nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
            let (dq, dkv, dnull, dscale_q, dscale_k) =
                B::attend_backward(q, kv, null, scale_q, scale_k, mask, dy, extra.null, extra.masked);
            for (node, grad) in ops.parents.into_iter().zip([dq, dkv, dnull, dscale_q, dscale_k]) {
                if let Some(node) = node {
                    grads.register::<B>(node.id, grad);
                }
            }
        }
    }

    impl<B: Backend + Attend, C: CheckpointStrategy> Attend for Autodiff<B, C> {
        fn attend(
            q: FloatTensor<Self>,
            kv: FloatTensor<Self>,
            null: FloatTensor<Self>,
            scale_q: FloatTensor<Self>,
            scale_k: FloatTensor<Self>,
            mask: FloatTensor<Self>,
            with_null: bool,
            masked: usize,
        ) -> FloatTensor<Self> {
            let mask = mask.into_primitive();
            let inputs = [q, kv, null, scale_q, scale_k];
            let run = |inputs: [FloatTensor<Self>; 5], mask| {
                let [q, kv, null, scale_q, scale_k] = inputs.map(|t| t.into_primitive());
                B::attend(q, kv, null, scale_q, scale_k, mask, with_null, masked)
            };
            match Op.prepare::<C>(inputs.each_ref().map(|t| t.node())).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let nodes = inputs.each_ref().map(|t| prep.checkpoint(t));
                    let extra = Extra { null: with_null, masked };
                    prep.finish((nodes, mask.clone(), extra), run(inputs, mask))
                }
                OpsKind::UnTracked(prep) => prep.finish(run(inputs, mask)),
            }
        }
    }
}
