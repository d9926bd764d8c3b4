//! Attention by cosine similarity, with a learned null key and value and a mask.
//!
//! On wgpu a kernel walks the keys once with a running softmax, for heads of 32 or 64 features, and for the gradient two
//! make the scores anew. On the CPU forward and backward are products of small blocks. Neither keeps the scores.

use burn::Tensor;
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, Flex, FloatDType, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kernel::{self, Kernel};
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch};
use crate::proof::{KernelOp, proven};

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
    Tensor::from_dispatch(Dispatch::attend(inputs(q, keys, scales)))
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
    let Gradients { q, kv, null, scale_q, scale_k } =
        Dispatch::attend_backward(inputs(q, keys, scales), dy.into_dispatch());
    let dscales = [scale_q, scale_k].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(q), Tensor::from_dispatch(kv), Tensor::from_dispatch(null), dscales)
}

/// What attention reads. What is not there is a tensor that nobody looks at.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion)]
pub struct Inputs<B: Backend> {
    /// `[b, n, heads d]`.
    pub q: FloatTensor<B>,
    /// `[b, m, 2 kv_heads d]`.
    pub kv: FloatTensor<B>,
    /// `[2, d]`.
    pub null: FloatTensor<B>,
    /// `[d]`, of queries.
    pub scale_q: FloatTensor<B>,
    /// `[d]`, of keys.
    pub scale_k: FloatTensor<B>,
    /// `[b, masked]`.
    pub mask: FloatTensor<B>,
    /// There is a null key and value.
    pub with_null: bool,
    /// Keys, the first ones, that the mask speaks of.
    pub masked: usize,
}

/// The gradients of what has any.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion)]
pub struct Gradients<B: Backend> {
    /// `[b, n, heads d]`.
    pub q: FloatTensor<B>,
    /// `[b, m, 2 kv_heads d]`.
    pub kv: FloatTensor<B>,
    /// `[2, d]`, zero where there is no null.
    pub null: FloatTensor<B>,
    /// `[d]`, of the scale of queries.
    pub scale_q: FloatTensor<B>,
    /// `[d]`, of the scale of keys.
    pub scale_k: FloatTensor<B>,
}

fn inputs(q: Tensor<3>, keys: Keys, [scale_q, scale_k]: [Tensor<1>; 2]) -> Inputs<Dispatch> {
    let ([d], device) = (scale_q.dims(), q.device());
    Inputs {
        with_null: keys.null.is_some(),
        masked: keys.mask.as_ref().map_or(0, |mask| mask.dims()[1]),
        q: q.into_dispatch(),
        kv: keys.kv.into_dispatch(),
        null: keys.null.unwrap_or_else(|| Tensor::zeros([2, d], &device)).into_dispatch(),
        scale_q: scale_q.into_dispatch(),
        scale_k: scale_k.into_dispatch(),
        mask: keys.mask.unwrap_or_else(|| Tensor::ones([1, 1], &device)).into_dispatch(),
    }
}

impl<B: Backend> Inputs<B> {
    fn sizes(&self) -> Sizes {
        let (q, kv, d) = (self.q.shape(), self.kv.shape(), self.scale_q.shape()[0]);
        Sizes { b: q[0], n: q[1], m: kv[1], heads: q[2] / d, kv_heads: kv[2] / (2 * d), d }
    }

    /// Each tensor mapped.
    fn map<C: Backend>(self, mut f: impl FnMut(FloatTensor<B>) -> FloatTensor<C>) -> Inputs<C> {
        Inputs {
            q: f(self.q),
            kv: f(self.kv),
            null: f(self.null),
            scale_q: f(self.scale_q),
            scale_k: f(self.scale_k),
            mask: f(self.mask),
            with_null: self.with_null,
            masked: self.masked,
        }
    }
}

/// What [`Attend::attend_backward`] gives, as Fusion wants to know it before.
fn gradients_of(inputs: &InputsMetadata) -> GradientsMetadata {
    let scale = &inputs.scale_q;
    GradientsMetadata {
        q: inputs.q.clone(),
        kv: inputs.kv.clone(),
        null: TensorSpec::new(null_shape(&scale.shape), scale.dtype),
        scale_q: scale.clone(),
        scale_k: scale.clone(),
    }
}

fn null_shape(scale: &Shape) -> Shape {
    Shape::new([2, scale[0]])
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` and `Flex` override them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait Attend: Backend {
    /// See [`attend`].
    #[fusion(meta = |inputs| inputs.q.clone())]
    fn attend(#[extension_type] inputs: Inputs<Self>) -> FloatTensor<Self> {
        plain::forward::<Self>(&inputs)
    }

    /// See [`backward`].
    #[fusion(meta = |inputs, _dy| gradients_of(inputs))]
    fn attend_backward(#[extension_type] inputs: Inputs<Self>, dy: FloatTensor<Self>) -> Gradients<Self> {
        plain::backward::<Self>(&inputs, dy)
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
    /// The WGSL kernel and its workgroups; nothing where none applies.
    fn groups(&self) -> Option<(Kernel, [usize; 3])> {
        let kernel = match self.d {
            32 => kernel::ATTEND_32,
            64 => kernel::ATTEND_64,
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

impl Sizes {
    /// Numbers that the backward pass keeps of a query: its gradient, that of the scales, what meets the keys, and four more.
    fn made(&self) -> usize {
        3 * self.d + 4
    }

    /// The WGSL kernels of the backward pass and their workgroups; nothing where none applies.
    fn backward_groups(&self) -> Option<[(Kernel, [usize; 3]); 2]> {
        let (_, queries) = self.groups()?;
        let [to_q, to_kv] = match self.d {
            32 => [kernel::ATTEND_DQ_32, kernel::ATTEND_DKV_32],
            _ => [kernel::ATTEND_DQ_64, kernel::ATTEND_DKV_64],
        };
        let made = [self.b, self.n, self.heads].iter().try_fold(self.made(), |n, &v| n.checked_mul(v))?;
        let keys = [(self.m + 1).div_ceil(GROUP), self.kv_heads, self.b];
        let fits = u32::try_from(made).is_ok() && keys.iter().all(|&n| n <= MOST_GROUPS);
        fits.then_some([(to_q, queries), (to_kv, keys)])
    }
}

/// Queries, or keys, of a workgroup of the WGSL kernels.
const GROUP: usize = 64;

fn on_gpu(inputs: &Inputs<CubeBackend>) -> Option<CubeTensor> {
    let size = inputs.sizes();
    let (kernel, count) = size.groups()?;
    if inputs.q.dtype != DType::F32 || !proven(&inputs.q, KernelOp::Attend) {
        return None;
    }
    let Inputs { q, kv, null, scale_q, scale_k, mask, with_null, masked } =
        inputs.clone().map::<CubeBackend>(into_contiguous);
    let y = empty_beside(&q, q.meta.shape().clone());
    let params = [size.b, size.n, size.m, size.heads, size.kv_heads, masked, with_null.into()];
    launch(kernel, count, &[&q, &kv, &null, &scale_q, &scale_k, &mask], &params, &[&y]);
    Some(y)
}

/// The gradients by the WGSL kernels; nothing if they cannot be launched.
fn backward_on_gpu(inputs: &Inputs<CubeBackend>, dy: &CubeTensor) -> Option<Gradients<CubeBackend>> {
    let size = inputs.sizes();
    let [(to_q, queries), (to_kv, keys)] = size.backward_groups()?;
    if [&inputs.q, dy].iter().any(|t| t.dtype != DType::F32) || !proven(dy, KernelOp::Attend) {
        return None;
    }
    let Inputs { q, kv, null, scale_q, scale_k, mask, with_null, masked } =
        inputs.clone().map::<CubeBackend>(into_contiguous);
    let (dy, scale) = (into_contiguous(dy.clone()), CubeBackend::float_mul(scale_q.clone(), scale_k.clone()));
    let Sizes { b, n, m, heads, kv_heads, d } = size;
    let params = [b, n, m, heads, kv_heads, masked, with_null.into()];
    let made = empty_beside(&q, Shape::new([b * n * heads, size.made()]));
    launch(to_q, queries, &[&q, &kv, &null, &scale, &mask, &dy], &params, &[&made]);
    let (dkv, dnull) = (empty_beside(&q, kv.meta.shape().clone()), empty_beside(&q, Shape::new([b * kv_heads, 2 * d])));
    launch(to_kv, keys, &[&kv, &null, &mask, &dy, &made], &params, &[&dkv, &dnull]);
    let part = |i: usize| {
        let columns = (i * d..(i + 1) * d).into();
        CubeBackend::float_slice(made.clone(), &[(0..b * n * heads).into(), columns])
    };
    let both = CubeBackend::float_reshape(CubeBackend::float_sum_dim(part(1), 0), Shape::new([d]));
    let null = match with_null {
        true => CubeBackend::float_sum_dim(dnull, 0),
        false => CubeBackend::float_zeros(null_shape(scale.meta.shape()), &dy.device, FloatDType::F32),
    };
    Some(Gradients {
        q: CubeBackend::float_reshape(part(0), q.meta.shape().clone()),
        kv: dkv,
        null: CubeBackend::float_reshape(null, null_shape(scale.meta.shape())),
        scale_q: CubeBackend::float_mul(both.clone(), scale_k),
        scale_k: CubeBackend::float_mul(both, scale_q),
    })
}

impl Attend for CubeBackend {
    fn attend(inputs: Inputs<Self>) -> FloatTensor<Self> {
        on_gpu(&inputs).unwrap_or_else(|| plain::forward::<Self>(&inputs))
    }

    fn attend_backward(inputs: Inputs<Self>, dy: FloatTensor<Self>) -> Gradients<Self> {
        backward_on_gpu(&inputs, &dy).unwrap_or_else(|| plain::backward::<Self>(&inputs, dy))
    }
}

/// Whether the CPU kernels take these tensors.
fn fits_cpu(inputs: &Inputs<Flex>) -> bool {
    let size = inputs.sizes();
    cpu::serves(KernelOp::Attend, &inputs.q) && size.d.is_multiple_of(LANES) && size.b * size.n * size.m > 0
}

fn slices<'a>(size: &Sizes, inputs: &'a Inputs<Flex>) -> kernels::Inputs<'a> {
    kernels::Inputs {
        q: cpu::slice(&inputs.q),
        kv: cpu::slice(&inputs.kv),
        null: inputs.with_null.then(|| cpu::slice(&inputs.null)),
        scales: [cpu::slice(&inputs.scale_q), cpu::slice(&inputs.scale_k)],
        mask: &cpu::slice(&inputs.mask)[..size.b * inputs.masked],
        masked: inputs.masked,
    }
}

impl Attend for Flex {
    fn attend(inputs: Inputs<Self>) -> FloatTensor<Self> {
        if !fits_cpu(&inputs) {
            return plain::forward::<Self>(&inputs);
        }
        let (size, inputs) = (inputs.sizes(), inputs.map::<Self>(|t| t.to_contiguous()));
        cpu::tensor(kernels::forward(&size, &slices(&size, &inputs)), inputs.q.shape())
    }

    fn attend_backward(inputs: Inputs<Self>, dy: FloatTensor<Self>) -> Gradients<Self> {
        if !fits_cpu(&inputs) {
            return plain::backward::<Self>(&inputs, dy);
        }
        let (size, inputs, dy) = (inputs.sizes(), inputs.map::<Self>(|t| t.to_contiguous()), dy.to_contiguous());
        let grads = kernels::backward(&size, &slices(&size, &inputs), cpu::slice(&dy));
        let scale = inputs.scale_q.shape();
        let [scale_q, scale_k] = grads.scales.map(|grad| cpu::tensor(grad, scale.clone()));
        Gradients {
            q: cpu::tensor(grads.q, inputs.q.shape()),
            kv: cpu::tensor(grads.kv, inputs.kv.shape()),
            null: cpu::tensor(grads.null, null_shape(&scale)),
            scale_q,
            scale_k,
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

    use super::{Attend, Backend, FloatTensor, Gradients as Grads, Inputs};

    #[derive(Debug)]
    struct Op;

    /// What the gradient needs beside the parents.
    #[derive(Debug, Clone)]
    struct State<T> {
        parents: [NodeId; 5],
        mask: T,
        with_null: bool,
        masked: usize,
    }

    /// The parents are queries, keys and values, null, and both scales; a mask has no gradient.
    impl<B: Backend + Attend> Backward<B, 5> for Op {
        type State = State<FloatTensor<B>>;

        fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let dy = grads.consume::<B>(&ops.node);
            let State { parents, mask, with_null, masked } = ops.state;
            let [q, kv, null, scale_q, scale_k] =
                parents.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
            let inputs = Inputs { q, kv, null, scale_q, scale_k, mask, with_null, masked };
            let Grads { q, kv, null, scale_q, scale_k } = B::attend_backward(inputs, dy);
            for (node, grad) in ops.parents.into_iter().zip([q, kv, null, scale_q, scale_k]) {
                if let Some(node) = node {
                    grads.register::<B>(node.id, grad);
                }
            }
        }
    }

    impl<B: Backend + Attend, C: CheckpointStrategy> Attend for Autodiff<B, C> {
        fn attend(inputs: Inputs<Self>) -> FloatTensor<Self> {
            let parents = [&inputs.q, &inputs.kv, &inputs.null, &inputs.scale_q, &inputs.scale_k];
            match Op.prepare::<C>(parents.map(|t| t.node())).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let parents = parents.map(|t| prep.checkpoint(t));
                    let inputs: Inputs<B> = inputs.map(|t| t.into_primitive());
                    let (mask, with_null, masked) = (inputs.mask.clone(), inputs.with_null, inputs.masked);
                    prep.finish(State { parents, mask, with_null, masked }, B::attend(inputs))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::attend(inputs.map(|t| t.into_primitive()))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUP, Sizes};

    const SIZES: Sizes = Sizes { b: 2, n: 65, m: 64, heads: 4, kv_heads: 2, d: 32 };

    #[test]
    fn every_query_and_key_has_a_thread_and_the_null_key_too() {
        for d in [32, 64] {
            let size = Sizes { d, ..SIZES };
            let [(to_q, queries), (to_kv, keys)] = size.backward_groups().unwrap();
            assert_eq!((queries, keys), ([2, 4, 2], [2, 2, 2]));
            for kernel in [size.groups().unwrap().0, to_q, to_kv] {
                assert_eq!(kernel.workgroup_size, [GROUP as u32, 1, 1]);
                assert!(kernel.name.ends_with(&d.to_string()), "{}", kernel.name);
            }
        }
    }

    #[test]
    fn sizes_beyond_a_launch_are_left_to_the_plain_body() {
        for size in [
            Sizes { d: 48, ..SIZES },
            Sizes { m: 0, ..SIZES },
            Sizes { b: 1 << 16, ..SIZES },
            Sizes { n: 1 << 22, heads: 8, ..SIZES },
            Sizes { n: usize::MAX, ..SIZES },
        ] {
            assert!(size.backward_groups().is_none(), "{size:?}");
        }
        // Queries that the forward pass reaches, and of which the backward pass would have to keep too much.
        let many = Sizes { n: 1 << 20, heads: 32, ..SIZES };
        assert!(many.groups().is_some() && many.backward_groups().is_none());
    }
}
