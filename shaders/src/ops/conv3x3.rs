//! Convolution 3x3, stride 1, zero padding 1, with bias.
//!
//! On the CPU stock Burn builds an im2col matrix for the forward pass and, for the weight gradient, convolves with a
//! kernel as large as the map. Here one padded copy of the input serves all nine taps: its rows are read in place,
//! eight pixels a vector, against weights packed four output channels together. From sixteen channels on Winograd's
//! filtering does a quarter of the work. Maps whose width is not a multiple of eight fall back to stock.
//!
//! On wgpu a tiled kernel computes the forward pass and, with the weights read the other way round, the gradient of the
//! input. Another makes the gradient of the weight, the pixels shared out among so many workgroups that a device is full.

use std::sync::Arc;

use burn::Tensor;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::CubeTensor;
use burn::backend::{Backend, Dispatch, Flex, FloatDType, TensorMetadata, backend_extension};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Shape};

use crate::cpu::{self, LANES};
use crate::kept::{Order, kept};
use crate::kernel::{self, Kernel};
use crate::launch::{CubeBackend, MOST_GROUPS, empty_beside, into_contiguous, lanes, launch, nothing_beside};
use crate::proof::{KernelOp, proven};

mod kernels;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
mod winograd;

/// `y[o] = bias[o] + sum over c and the 3x3 window of weight[o, c] * x[c]`.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - weight: `[o, c, 3, 3]`
/// - bias: `[o]`
/// - output: `[b, o, h, w]`
#[must_use]
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [o, ..] = weight.dims();
    assert_eq!(weight.dims(), [o, x.dims()[1], 3, 3], "conv3x3: weight must be [o, c, 3, 3] of the input");
    Tensor::from_dispatch(Dispatch::conv3x3(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()))
}

/// [`conv3x3`] plus `onto`, which has the shape of its output.
#[must_use]
pub fn conv3x3_onto(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, onto: Tensor<4>) -> Tensor<4> {
    assert_eq!(weight.dims(), [onto.dims()[1], x.dims()[1], 3, 3], "conv3x3: weight must be [o, c, 3, 3]");
    let [x, weight, onto] = [x, weight, onto].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::conv3x3_onto(x, weight, bias.into_dispatch(), onto))
}

/// The gradient of [`conv3x3`] with respect to its input.
///
/// # Shapes
/// - x, output: `[b, c, h, w]`, of `x` only the shape counts
/// - weight: `[o, c, 3, 3]`
/// - dy: `[b, o, h, w]`
#[must_use]
pub fn backward_input(x: Tensor<4>, weight: Tensor<4>, dy: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv3x3_dx(x.into_dispatch(), weight.into_dispatch(), dy.into_dispatch()))
}

/// The gradient of [`conv3x3`] with respect to its weight.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - weight, output: `[o, c, 3, 3]`, of `weight` only the shape counts
/// - dy: `[b, o, h, w]`
#[must_use]
pub fn backward_weight(x: Tensor<4>, weight: Tensor<4>, dy: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::conv3x3_dw(x.into_dispatch(), weight.into_dispatch(), dy.into_dispatch()))
}

fn options() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

fn output_shape(x: &Shape, weight: &Shape) -> Shape {
    let mut shape = x.clone();
    shape[1] = weight[0];
    shape
}

/// The op on a backend. Its bodies here are the specification; `CubeBackend` and `Flex` override them.
#[backend_extension(Cube, Flex, Autodiff: cfg(feature = "autodiff"), Fusion)]
pub trait Conv3x3: Backend {
    /// See [`conv3x3`].
    #[fusion(dtype = x, shape = output_shape(x, weight))]
    fn conv3x3(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::conv2d(x, weight, Some(bias), options())
    }

    /// See [`conv3x3_onto`].
    #[fusion(dtype = x, shape = onto)]
    fn conv3x3_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_add(Self::conv3x3(x, weight, bias), onto)
    }

    /// See [`backward_input`].
    #[fusion(dtype = x, shape = x)]
    fn conv3x3_dx(x: FloatTensor<Self>, weight: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::conv2d_x_backward(x, weight, dy, options())
    }

    /// See [`backward_weight`].
    #[fusion(dtype = weight, shape = weight)]
    fn conv3x3_dw(x: FloatTensor<Self>, weight: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(x, weight, dy, options())
    }
}

/// One of the WGSL kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tile {
    /// 32 output channels of 16 patches a workgroup.
    Large,
    /// 32 output channels of 4 patches a workgroup.
    Small,
    /// 4 output channels of a patch a thread, without shared memory.
    Direct,
}

/// Side of a patch, the pixels of one thread.
const PATCH: usize = 4;
/// Output channels of one thread.
const QUAD: usize = 4;
/// Output channels of a workgroup that has shared memory.
const OUTPUTS: usize = 32;
/// With fewer workgroups of the large tile than this the small one runs, of which there are four times as many: more of
/// a GPU is busy, at the price of a third more work on a rasteriser. Not yet measured on a GPU.
const FILL: usize = 16;
/// Up to so many output channels a tile of 32 would waste half of its work and more.
const NARROW: usize = 16;
/// Devices of fewer lanes than this have shared memory that is memory like any other: SwiftShader, where a barrier costs
/// more than what it saves, and the first Malis.
const LANES_THAT_SHARE: u32 = 8;

impl Tile {
    #[cfg(test)]
    const ALL: [Self; 3] = [Self::Large, Self::Small, Self::Direct];

    fn kernel(self) -> Kernel {
        match self {
            Self::Large => kernel::CONV3X3,
            Self::Small => kernel::CONV3X3_SMALL,
            Self::Direct => kernel::CONV3X3_DIRECT,
        }
    }

    fn groups(self, patches: usize, o: usize) -> [usize; 3] {
        match self {
            Self::Large => [patches.div_ceil(16), o.div_ceil(OUTPUTS), 1],
            Self::Small => [patches.div_ceil(4), o.div_ceil(OUTPUTS), 1],
            Self::Direct => [(patches * o.div_ceil(QUAD)).div_ceil(32), 1, 1],
        }
    }
}

/// The tile and its workgroups for images `[b, c, h, w]` to `o` channels on a device of so many lanes; nothing where an
/// axis is empty, has too many workgroups, or an index would not fit 32 bits.
fn tile([b, c, h, w]: [usize; 4], o: usize, lanes: u32) -> Option<(Tile, [usize; 3])> {
    let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |n, &v| n.checked_mul(v));
    let elements = [product(&[b, c, h, w])?, product(&[b, o, h, w])?, product(&[o, c, 9])?];
    if elements.iter().any(|&n| n == 0 || u32::try_from(n).is_err()) {
        return None;
    }
    let patches = b * h.div_ceil(PATCH) * w.div_ceil(PATCH);
    let tile = if o <= NARROW || lanes < LANES_THAT_SHARE {
        Tile::Direct
    } else if Tile::Large.groups(patches, o).iter().product::<usize>() < FILL {
        Tile::Small
    } else {
        Tile::Large
    };
    let count = tile.groups(patches, o);
    count.iter().all(|&n| n <= MOST_GROUPS).then_some((tile, count))
}

/// Where the weights of a pair of channels lie: elements between output channels, between input channels, and 1 if the
/// window is turned by half a circle.
type Places = [usize; 3];

/// The convolution of `x` by a WGSL kernel; nothing if none can be launched.
fn on_gpu(
    x: &CubeTensor,
    weight: &CubeTensor,
    bias: &CubeTensor,
    onto: Option<&CubeTensor>,
    places: Places,
) -> Option<CubeTensor> {
    let o = bias.meta.shape()[0];
    let mut shape = x.meta.shape().clone();
    let [b, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
    let (tile, count) = tile([b, c, h, w], o, lanes(x))?;
    if [x, weight, bias].iter().any(|t| t.dtype != DType::F32) || !proven(x, KernelOp::Conv3x3) {
        return None;
    }
    let [x, weight, bias] = [x, weight, bias].map(|t| into_contiguous(t.clone()));
    shape[1] = o;
    let y = empty_beside(&x, shape);
    let [outputs, inputs, turned] = places;
    let params = [b, c, o, h, w, outputs, inputs, turned, onto.is_some().into()];
    let onto = onto.map_or_else(|| nothing_beside(&x), |onto| into_contiguous(onto.clone()));
    launch(tile.kernel(), count, &[&x, &weight, &bias, &onto], &params, &[&y]);
    Some(y)
}

/// Input channels of a workgroup that makes a gradient of weights.
const INPUTS: usize = 16;
/// Workgroups that fill a device, and the least patches that one of them is worth its place for. Not yet measured on a GPU.
const FULL: usize = 128;
const LEAST_PATCHES: usize = 16;

/// The workgroups for the gradient of the weights from images `[b, c, h, w]` to `o` channels, and how many patches each of
/// them takes; nothing where an axis is empty, has too many workgroups, or an index would not fit 32 bits.
fn weight_groups([b, c, h, w]: [usize; 4], o: usize) -> Option<([usize; 3], usize)> {
    let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |n, &v| n.checked_mul(v));
    let elements = [product(&[b, c, h, w])?, product(&[b, o, h, w])?];
    if elements.contains(&0) {
        return None;
    }
    let patches = b * h.div_ceil(PATCH) * w.div_ceil(PATCH);
    let [outputs, inputs] = [o.div_ceil(OUTPUTS), c.div_ceil(INPUTS)];
    let most = FULL.div_ceil(product(&[outputs, inputs])?);
    let share = patches.div_ceil(most).max(LEAST_PATCHES);
    let shares = patches.div_ceil(share);
    let parts = product(&[shares, o, c, 9])?;
    let counted = elements.into_iter().chain([parts]).all(|n| u32::try_from(n).is_ok());
    let count = [outputs, inputs, shares];
    (counted && count.iter().all(|&n| n <= MOST_GROUPS)).then_some((count, share))
}

/// The gradient of the weights by a WGSL kernel; nothing if it cannot be launched.
fn weight_on_gpu(x: &CubeTensor, dy: &CubeTensor) -> Option<CubeTensor> {
    let shape = x.meta.shape();
    let ([b, c, h, w], o) = ([shape[0], shape[1], shape[2], shape[3]], dy.meta.shape()[1]);
    let (count, share) = weight_groups([b, c, h, w], o)?;
    if [x, dy].iter().any(|t| t.dtype != DType::F32) || !proven(x, KernelOp::Conv3x3) {
        return None;
    }
    let [x, dy] = [x, dy].map(|t| into_contiguous(t.clone()));
    let parts = empty_beside(&x, Shape::new([count[2], o * c * 9]));
    launch(kernel::CONV3X3_DW, count, &[&x, &dy], &[b, c, o, h, w, share], &[&parts]);
    let dw = if count[2] == 1 { parts } else { CubeBackend::float_sum_dim(parts, 0) };
    Some(CubeBackend::float_reshape(dw, Shape::new([o, c, 3, 3])))
}

impl Conv3x3 for CubeBackend {
    fn conv3x3(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let c = x.meta.shape()[1];
        let y = on_gpu(&x, &weight, &bias, None, [c * 9, 9, 0]);
        y.unwrap_or_else(|| Self::conv2d(x, weight, Some(bias), options()))
    }

    fn conv3x3_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        onto: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let c = x.meta.shape()[1];
        let y = on_gpu(&x, &weight, &bias, Some(&onto), [c * 9, 9, 0]);
        y.unwrap_or_else(|| Self::float_add(Self::conv2d(x, weight, Some(bias), options()), onto))
    }

    fn conv3x3_dx(x: FloatTensor<Self>, weight: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let c = x.meta.shape()[1];
        let none = Self::float_zeros(Shape::new([c]), &dy.device, FloatDType::F32);
        let dx = on_gpu(&dy, &weight, &none, None, [9, c * 9, 1]);
        dx.unwrap_or_else(|| Self::conv2d_x_backward(x, weight, dy, options()))
    }

    fn conv3x3_dw(x: FloatTensor<Self>, weight: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        weight_on_gpu(&x, &dy).unwrap_or_else(|| Self::conv2d_weight_backward(x, weight, dy, options()))
    }
}

/// Pixels from which on packing is a small part of the work, and a batch is likely to be a step of training, whose
/// weights do not come again.
const MANY: usize = 4096;

/// Whether the CPU kernels take these tensors.
fn fits(x: &FloatTensor<Flex>) -> bool {
    cpu::serves(KernelOp::Conv3x3, x) && x.shape()[3].is_multiple_of(LANES)
}

impl Conv3x3 for Flex {
    fn conv3x3(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        if !fits(&x) {
            return Self::conv2d(x, weight, Some(bias), options());
        }
        let shape = output_shape(&x.shape(), &weight.shape());
        let [x, weight, bias] = [x, weight, bias].map(|t| t.to_contiguous());
        let size = kernels::Size::of(&x.shape(), shape[1]);
        let (x, bias) = (cpu::slice(&x), Some(cpu::slice(&bias)));
        let y = if winograd::pays(&size) {
            let pack = |weight: &[f32]| winograd::pack(kernels::Weights::Straight(weight), &size);
            let packed = match shape.num_elements() / size.c_out {
                MANY.. => Arc::new(pack(cpu::slice(&weight))),
                _ => kept(&weight, Order::Winograd, pack),
            };
            winograd::forward(&size, x, &packed, bias)
        } else {
            kernels::forward(&size, x, kernels::Weights::Straight(cpu::slice(&weight)), bias)
        };
        cpu::tensor(y, shape)
    }

    fn conv3x3_dx(x: FloatTensor<Self>, weight: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        if !fits(&x) {
            return Self::conv2d_x_backward(x, weight, dy, options());
        }
        let [weight, dy] = [weight, dy].map(|t| t.to_contiguous());
        let size = kernels::Size::of(&dy.shape(), x.shape()[1]);
        let weights = kernels::Weights::Turned(cpu::slice(&weight));
        let dx = if winograd::pays(&size) {
            winograd::forward(&size, cpu::slice(&dy), &winograd::pack(weights, &size), None)
        } else {
            kernels::forward(&size, cpu::slice(&dy), weights, None)
        };
        cpu::tensor(dx, x.shape())
    }

    fn conv3x3_dw(x: FloatTensor<Self>, weight: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        if !fits(&x) {
            return Self::conv2d_weight_backward(x, weight, dy, options());
        }
        let [x, dy] = [x, dy].map(|t| t.to_contiguous());
        let size = kernels::Size::of(&x.shape(), dy.shape()[1]);
        let backward = if winograd::pays(&size) { winograd::backward_weight } else { kernels::backward_weight };
        cpu::tensor(backward(&size, cpu::slice(&x), cpu::slice(&dy)), weight.shape())
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
    use burn::tensor::Shape;

    use super::{Backend, Conv3x3, FloatTensor, TensorMetadata};

    #[derive(Debug)]
    struct Op;

    impl<B: Backend + Conv3x3> Backward<B, 3> for Op {
        type State = (NodeId, NodeId);

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let [node_x, node_weight, node_bias] = ops.parents;
            let dy = grads.consume::<B>(&ops.node);
            let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(ops.state.0);
            let weight = checkpointer.retrieve_node_output::<FloatTensor<B>>(ops.state.1);
            if let Some(node) = node_x {
                grads.register::<B>(node.id, B::conv3x3_dx(x.clone(), weight.clone(), dy.clone()));
            }
            if let Some(node) = node_weight {
                grads.register::<B>(node.id, B::conv3x3_dw(x, weight, dy.clone()));
            }
            if let Some(node) = node_bias {
                let (b, o) = (dy.shape()[0], dy.shape()[1]);
                let hw = dy.shape().num_elements() / (b * o);
                let rows = B::float_sum_dim(B::float_reshape(dy, Shape::new([b, o, hw])), 2);
                let sum = B::float_sum_dim(B::float_reshape(rows, Shape::new([b, o])), 0);
                grads.register::<B>(node.id, B::float_reshape(sum, Shape::new([o])));
            }
        }
    }

    impl<B: Backend + Conv3x3, C: CheckpointStrategy> Conv3x3 for Autodiff<B, C> {
        fn conv3x3(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
            match Op.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
                OpsKind::Tracked(mut prep) => {
                    let state = (prep.checkpoint(&x), prep.checkpoint(&weight));
                    let y = B::conv3x3(x.into_primitive(), weight.into_primitive(), bias.into_primitive());
                    prep.finish(state, y)
                }
                OpsKind::UnTracked(prep) => {
                    prep.finish(B::conv3x3(x.into_primitive(), weight.into_primitive(), bias.into_primitive()))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{INPUTS, OUTPUTS, PATCH, QUAD, Tile, tile, weight_groups};

    #[test]
    fn tiles_by_size_and_device_and_every_patch_a_place() {
        let of = |shape, o| tile(shape, o, 32).unwrap().0;
        assert_eq!(of([1, 64, 128, 128], 64), Tile::Large);
        assert_eq!(of([8, 128, 16, 16], 128), Tile::Large);
        for small in [[1, 64, 32, 32], [4, 256, 8, 8], [1, 40, 1, 1]] {
            assert_eq!(of(small, small[1]), Tile::Small, "{small:?}");
        }
        for narrow in [1, 3, 16] {
            assert_eq!(of([8, 64, 32, 32], narrow), Tile::Direct);
        }
        // A rasteriser of four lanes.
        assert_eq!(tile([8, 128, 16, 16], 128, 4).unwrap().0, Tile::Direct);
        // What the self-test and the tests of parity take for either.
        assert_eq!([of([1, 5, 90, 91], 17), of([2, 5, 9, 15], 17), of([2, 5, 9, 15], 6)], Tile::ALL);
        assert_eq!([of([8, 12, 32, 32], 64), of([8, 33, 8, 8], 64), of([1, 5, 97, 89], 3)], Tile::ALL);
        let odd: [([usize; 4], usize); 3] = [([5, 3, 1, 7], 33), ([16, 64, 67, 65], 40), ([3, 5, 9, 9], 7)];
        for (shape, o) in odd {
            let patches = shape[0] * shape[2].div_ceil(PATCH) * shape[3].div_ceil(PATCH);
            for (tile, patches_of, outputs) in [(Tile::Large, 16, OUTPUTS), (Tile::Small, 4, OUTPUTS)] {
                let [x, y, _] = tile.groups(patches, o);
                assert!(x * patches_of >= patches && y * outputs >= o);
                assert_eq!(tile.kernel().workgroup_size, [128, 1, 1]);
            }
            let [threads, ..] = Tile::Direct.groups(patches, o);
            assert!(threads * 32 >= patches * o.div_ceil(QUAD));
            assert_eq!(Tile::Direct.kernel().workgroup_size, [32, 1, 1]);
        }
    }

    #[test]
    fn every_pair_of_channels_and_every_patch_has_a_workgroup_of_the_gradient() {
        for (shape, o) in [([8, 64, 32, 32], 64), ([8, 256, 8, 8], 256), ([1, 5, 90, 91], 17), ([1, 1, 1, 1], 1)] {
            let ([outputs, inputs, shares], share) = weight_groups(shape, o).unwrap();
            let patches = shape[0] * shape[2].div_ceil(PATCH) * shape[3].div_ceil(PATCH);
            assert!(outputs * OUTPUTS >= o && inputs * INPUTS >= shape[1], "{shape:?} to {o}");
            assert!(
                shares * share >= patches && (shares - 1) * share < patches,
                "{shape:?} to {o}: {shares} of {share}"
            );
        }
        // A device is filled, and not more.
        let groups = |shape, o| weight_groups(shape, o).unwrap().0.iter().product::<usize>();
        assert_eq!([groups([8, 64, 32, 32], 64), groups([8, 256, 8, 8], 256)], [128, 128]);
        for (shape, o) in [([0, 3, 8, 8], 8), ([1, 3, 8, 8], 0), ([1, 1, 1 << 16, 1 << 16], 1), ([usize::MAX; 4], 1)] {
            assert!(weight_groups(shape, o).is_none(), "{shape:?} to {o}");
        }
    }

    #[test]
    fn sizes_beyond_a_launch_are_left_to_the_plain_body() {
        for (shape, o) in [([1, 1, 1 << 16, 1 << 16], 1), ([1, 1, 4, 1 << 23], 1), ([1, 1, 1, 1], 1 << 22)] {
            assert!(tile(shape, o, 32).is_none(), "{shape:?} to {o}");
        }
        assert!(tile([0, 3, 8, 8], 8, 32).is_none() && tile([1, 3, 8, 8], 0, 32).is_none());
        assert!(tile([usize::MAX; 4], 1, 32).is_none());
    }
}
