//! The gate of a global context: a factor for each channel from all pixels.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kernel;
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, launch};
use crate::proof::{KernelOp, proven};
use crate::vector::{Eight, Vector};

/// Weights and bias of a 1x1 convolution: `[c_out, c_in, 1, 1]` and `[c_out]`.
pub type Layer = (Tensor<4>, Tensor<1>);

/// `sigmoid(expand(silu(squeeze(mean))))`, where `mean` weighs the pixels of `x` by the softmax over them of `key(x)`
/// (GCNet, <https://arxiv.org/abs/1904.11492>). The key has no bias, with which a softmax does not change.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - key: `[1, c, 1, 1]`, squeeze: from `c` to `d`, expand: from `d` to `c`
/// - output: `[b, c, 1, 1]`
#[must_use]
pub fn global_context(x: Tensor<4>, key: Tensor<4>, squeeze: Layer, expand: Layer) -> Tensor<4> {
    let ([b, c, h, w], [d, ..]) = (x.dims(), squeeze.0.dims());
    let given = [key.dims(), squeeze.0.dims(), expand.0.dims()];
    assert_eq!(given, [[1, c, 1, 1], [d, c, 1, 1], [c, d, 1, 1]], "global_context: layers of the input's channels");
    let y = Dispatch::global_context(
        x.reshape([b, c, h * w]).into_dispatch(),
        key.reshape([1, c]).into_dispatch(),
        squeeze.0.reshape([d, c]).into_dispatch(),
        squeeze.1.into_dispatch(),
        expand.0.reshape([c, d]).into_dispatch(),
        expand.1.into_dispatch(),
    );
    Tensor::<2>::from_dispatch(y).reshape([b, c, 1, 1])
}

fn output_shape(x: &Shape) -> Shape {
    Shape::new([x[0], x[1]])
}

/// The op on a backend. Its body here is the specification; `CubeBackend` and `Flex` override it.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait GlobalContext: Backend {
    /// See [`global_context`]; `x` is `[b, c, h w]`, weights are `[c_out, c_in]`.
    #[fusion(dtype = x, shape = output_shape(x))]
    fn global_context(
        x: FloatTensor<Self>,
        key: FloatTensor<Self>,
        squeeze: FloatTensor<Self>,
        squeeze_bias: FloatTensor<Self>,
        expand: FloatTensor<Self>,
        expand_bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::<Self>(x, key, [squeeze, squeeze_bias], [expand, expand_bias])
    }
}

fn reference<B: Backend>(
    x: FloatTensor<B>,
    key: FloatTensor<B>,
    [squeeze, squeeze_bias]: [FloatTensor<B>; 2],
    [expand, expand_bias]: [FloatTensor<B>; 2],
) -> FloatTensor<B> {
    let (b, c) = (x.shape()[0], x.shape()[1]);
    let row = |v: FloatTensor<B>| {
        let n = v.shape()[0];
        B::float_reshape(v, Shape::new([1, n]))
    };
    let key = B::float_reshape(key, Shape::new([1, 1, c]));
    let logits = B::float_matmul(key, x.clone());
    // The pixels are transposed, not the attention: with the gradient of a softmax transposed, Burn 0.22.1's fusion
    // computes another one on wgpu.
    let mean = B::float_matmul(B::softmax(logits, 2), B::float_swap_dims(x, 1, 2));
    let layer = |x, weight, bias| B::float_add(B::float_matmul(x, B::float_swap_dims(weight, 0, 1)), row(bias));
    let hidden = layer(B::float_reshape(mean, Shape::new([b, c])), squeeze, squeeze_bias);
    let hidden = B::float_mul(hidden.clone(), B::sigmoid(hidden));
    B::sigmoid(layer(hidden, expand, expand_bias))
}

/// Threads of the WGSL kernel: the most channels it takes.
const THREADS: usize = 256;

/// The workgroups for `[b, c, hw]` with `d` channels inside; nothing where the kernel does not apply.
fn groups([b, c, hw]: [usize; 3], d: usize) -> Option<[usize; 3]> {
    let elements = b.checked_mul(c)?.checked_mul(hw)?;
    let fits = (1..=THREADS).contains(&c) && (1..=THREADS).contains(&d) && b <= MOST_GROUPS;
    (fits && elements > 0 && u32::try_from(elements).is_ok()).then_some([b, 1, 1])
}

impl GlobalContext for CubeBackend {
    fn global_context(
        x: FloatTensor<Self>,
        key: FloatTensor<Self>,
        squeeze: FloatTensor<Self>,
        squeeze_bias: FloatTensor<Self>,
        expand: FloatTensor<Self>,
        expand_bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let shape = x.meta.shape().clone();
        let [b, c, hw, d] = [shape[0], shape[1], shape[2], squeeze.meta.shape()[0]];
        let count = groups([b, c, hw], d).filter(|_| x.dtype == DType::F32 && proven(&x, KernelOp::GlobalContext));
        let Some(count) = count else {
            return reference::<Self>(x, key, [squeeze, squeeze_bias], [expand, expand_bias]);
        };
        let inputs = [x, key, squeeze, squeeze_bias, expand, expand_bias].map(into_contiguous);
        let y = empty_beside(&inputs[0], Shape::new([b, c]));
        launch(kernel::GLOBAL_CONTEXT, count, &inputs.each_ref(), &[c, hw, d], &[&y]);
        y
    }
}

impl GlobalContext for Flex {
    fn global_context(
        x: FloatTensor<Self>,
        key: FloatTensor<Self>,
        squeeze: FloatTensor<Self>,
        squeeze_bias: FloatTensor<Self>,
        expand: FloatTensor<Self>,
        expand_bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if !cpu::serves(KernelOp::GlobalContext, &x) || x.shape().num_elements() == 0 {
            return reference::<Self>(x, key, [squeeze, squeeze_bias], [expand, expand_bias]);
        }
        let shape = output_shape(&x.shape());
        let c = shape[1];
        let [x, key, squeeze, squeeze_bias, expand, expand_bias] =
            [x, key, squeeze, squeeze_bias, expand, expand_bias].map(|t| t.to_contiguous());
        let (xs, key) = (cpu::slice(&x), cpu::slice(&key));
        let squeeze = [cpu::slice(&squeeze), cpu::slice(&squeeze_bias)];
        let expand = [cpu::slice(&expand), cpu::slice(&expand_bias)];
        let image = xs.len() / shape[0];
        let mut y = vec![0f32; shape.num_elements()];
        cpu::for_chunks(&mut y, c, |i, y| gate(&xs[i * image..][..image], key, squeeze, expand, y));
        cpu::tensor(y, shape)
    }
}

cpu::multiversion! {
    /// The gates of one image.
    fn gate(x: &[f32], key: &[f32], squeeze: [&[f32]; 2], expand: [&[f32]; 2], y: &mut [f32]) = gate_body
}

#[inline(always)]
fn gate_body<const FMA: bool>(x: &[f32], key: &[f32], squeeze: [&[f32]; 2], expand: [&[f32]; 2], y: &mut [f32]) {
    let hw = x.len() / key.len();
    // Whole vectors, and what is added to the pixels has no share.
    let mut shares = vec![0f32; hw.next_multiple_of(LANES)];
    for (x, &key) in x.chunks_exact(hw).zip(key) {
        for (logit, &x) in shares.iter_mut().zip(x) {
            *logit = cpu::mul_add::<FMA>(key, x, *logit);
        }
    }
    shares[hw..].fill(f32::NEG_INFINITY);
    let highest = shares.chunks_exact(LANES).fold(Eight::splat(f32::NEG_INFINITY), |most, v| most.max(Eight::load(v)));
    let highest = highest.lanes().into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut total = Eight::splat(0.0);
    for share in shares.chunks_exact_mut(LANES) {
        let of = (Eight::load(share) - Eight::splat(highest)).exp().or_nothing();
        of.store(share);
        total = total + of;
    }
    let whole = 1.0 / total.lanes().iter().sum::<f32>();
    let mean: Vec<f32> = x.chunks_exact(hw).map(|x| dot(x, &shares) * whole).collect();
    let layer = |[weight, bias]: [&[f32]; 2], x: &[f32], to: &mut [f32]| {
        for ((to, weight), bias) in to.iter_mut().zip(weight.chunks_exact(x.len())).zip(bias) {
            *to = bias + dot(weight, x);
        }
    };
    let mut hidden = vec![0f32; squeeze[1].len()];
    layer(squeeze, &mean, &mut hidden);
    hidden.iter_mut().for_each(|v| *v *= cpu::sigmoid(*v));
    layer(expand, &hidden, y);
    y.iter_mut().for_each(|v| *v = cpu::sigmoid(*v));
}

/// The sum of products of the first values of both, in eight partial sums.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let whole = a.len() / LANES * LANES;
    let mut acc = Eight::splat(0.0);
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        acc = acc + Eight::load(a) * Eight::load(b);
    }
    acc.lanes().iter().sum::<f32>() + a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(feature = "autodiff")]
mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;

    use super::{Backend, GlobalContext};

    impl<B: Backend + GlobalContext, C: CheckpointStrategy> GlobalContext for Autodiff<B, C> {}
}

#[cfg(test)]
mod tests {
    use super::{THREADS, groups};
    use crate::kernel;

    #[test]
    fn what_the_kernel_cannot_do_is_left_to_the_plain_body() {
        assert_eq!(groups([3, 256, 1024], 128), Some([3, 1, 1]));
        for (shape, d) in [
            ([0, 4, 4], 2),
            ([1, 257, 4], 2),
            ([1, 4, 4], 0),
            ([1, 4, 4], 257),
            ([65_536, 1, 1], 1),
            ([1, 256, 1 << 24], 1),
            ([usize::MAX; 3], 1),
        ] {
            assert!(groups(shape, d).is_none(), "{shape:?} {d}");
        }
        assert_eq!(kernel::GLOBAL_CONTEXT.workgroup_size, [THREADS as u32, 1, 1]);
    }
}
