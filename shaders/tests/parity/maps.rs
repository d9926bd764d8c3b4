//! The ops over maps.

use burn::tensor::{Device, Tensor, TensorData, activation};
use firefall_shaders::ops::global_context::Layer;
use firefall_shaders::{
    block_norm, conv3x3, conv3x3_onto, global_context, ops, pointwise, pointwise_onto, rms_norm_silu,
};

use super::{close, tensor, values, wave};

/// Shapes `[b, c, h, w]`: common ones, odd ones, a single pixel, more pixels than a block, more images than a chunk.
pub(super) const SHAPES: [[usize; 4]; 7] =
    [[2, 16, 8, 8], [1, 3, 7, 9], [3, 1, 1, 1], [1, 70, 16, 24], [9, 5, 8, 16], [2, 7, 32, 32], [1, 4, 13, 8]];
/// Shapes `[b, c, h, w]` and output channels of convolutions alone, which go by patches of 4 x 4 pixels, 4 or 16 of them
/// and 32 channels a workgroup, and 4 or 8 input channels a step: below, at and above each, both kernels. On the CPU by
/// blocks of 16 channels and rows of tiles.
const CONVOLUTIONS: [([usize; 4], usize); 14] = [
    ([1, 1, 1, 1], 1),
    ([1, 4, 1, 7], 31),
    ([2, 8, 4, 4], 32),
    ([5, 9, 5, 3], 33),
    ([7, 17, 3, 2], 70),
    ([8, 33, 8, 8], 64),
    ([9, 3, 4, 5], 5),
    ([1, 5, 97, 89], 3),
    ([3, 4, 53, 60], 33),
    ([1, 64, 32, 32], 64),
    ([8, 12, 32, 32], 64),
    ([4, 7, 31, 37], 65),
    ([2, 19, 13, 24], 17),
    ([3, 70, 3, 8], 48),
];
/// The gradient of its input goes by the large tile with turned weights, which those above do not.
const LARGE_BACK: ([usize; 4], usize) = ([8, 40, 32, 32], 20);

/// The formula in ordinary tensor operations, independent of the op's own plain body.
pub(super) fn plain_norm(x: Tensor<4>, affine: Tensor<3>) -> Tensor<4> {
    let [b, c, ..] = x.dims();
    let length = (x.clone() * x.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
    let n = x / length * (c as f32).sqrt();
    let half = |i: usize| affine.clone().slice([0..b, i..i + 1, 0..c]).reshape([b, c, 1, 1]);
    activation::silu(n * half(0) + half(1))
}

pub(super) fn plain_block_norm(x: Tensor<4>, gamma: Tensor<1>, both: Option<Tensor<2>>) -> Tensor<4> {
    let [b, c, ..] = x.dims();
    let gain = gamma.reshape([1, 1, c]).expand([b, 1, c]);
    let affine = match both {
        Some(both) => {
            let both = both.reshape([b, 2, c]);
            Tensor::cat(vec![(both.clone().slice([0..b, 0..1]) + 1.0) * gain, both.slice([0..b, 1..2])], 1)
        }
        None => Tensor::cat(vec![gain.clone(), gain.zeros_like()], 1),
    };
    plain_norm(x, affine)
}

pub(super) fn plain_conv(x: Tensor<4>, w: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    burn::tensor::module::conv2d(x, w, Some(bias), burn::tensor::ops::ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
}

fn plain_conv_by(x: Tensor<4>, w: Tensor<4>) -> Tensor<4> {
    burn::tensor::module::conv2d(x, w, None, burn::tensor::ops::ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
}

/// The gradient of the input: the convolution of `dy` with channels exchanged and windows turned.
fn plain_dx(weight: Tensor<4>, dy: Tensor<4>) -> Tensor<4> {
    let none = Tensor::zeros([weight.dims()[1]], &dy.device());
    plain_conv(dy, weight.swap_dims(0, 1).flip([2, 3]), none)
}

/// The gradient of the weight: the convolution of `x` with `dy`, images in the place of channels.
fn plain_dw(x: Tensor<4>, dy: Tensor<4>) -> Tensor<4> {
    let [images, kernels] = [x, dy].map(|t| t.swap_dims(0, 1));
    plain_conv_by(images, kernels).swap_dims(0, 1)
}

/// Every op on `device`.
pub(super) async fn check(device: &Device) {
    check_shapes(device).await;
    check_convolutions(device).await;
    check_pointwise(device).await;
    check_onto(device).await;
    check_global_context(device).await;
}

pub(super) fn plain_global_context(x: Tensor<4>, key: Layer, squeeze: Layer, expand: Layer) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let shares = activation::softmax(plain_pointwise(x.clone(), key.0, key.1).reshape([b, 1, h * w]), 2);
    let mean = (x.reshape([b, c, h * w]) * shares).sum_dim(2).reshape([b, c, 1, 1]);
    activation::sigmoid(plain_pointwise(
        activation::silu(plain_pointwise(mean, squeeze.0, squeeze.1)),
        expand.0,
        expand.1,
    ))
}

async fn check_global_context(device: &Device) {
    let flex = &Device::flex();
    // Below, at and above the pixels of a chunk; as many channels as threads, and more.
    let more = [[2, 16, 16, 16], [1, 64, 15, 17], [3, 5, 1, 257], [1, 256, 3, 5], [1, 257, 3, 5]];
    for shape in SHAPES.into_iter().chain(more) {
        let (c, d) = (shape[1], shape[1].div_ceil(2));
        let on = |device: &Device| {
            let layer = |o: usize, c: usize| (tensor([o, c, 1, 1], 0.9, device), tensor([o], 0.4, device));
            (tensor(shape, 0.3, device), layer(1, c), layer(d, c), layer(c, d))
        };
        let ((x, key, squeeze, expand), known) = (on(device), on(flex));
        let got = values(global_context(x, key.0, squeeze, expand)).await;
        let want = values(plain_global_context(known.0, known.1, known.2, known.3)).await;
        close(&format!("global_context {shape:?}"), &got, &want);

        let [b, c, h, w] = shape;
        let views = |device: &Device| {
            let layer = |o: usize, c: usize| {
                let weight = (tensor([c, o, 1, 1], 0.9, device) / (c as f32).sqrt()).swap_dims(0, 1);
                (weight, tensor([o + 1], 0.4, device).slice([1..o + 1]))
            };
            (tensor([c, b, w, h], 0.3, device).swap_dims(0, 1).swap_dims(2, 3), layer(1, c), layer(d, c), layer(c, d))
        };
        let ((x, key, squeeze, expand), known) = (views(device), views(flex));
        let got = values(global_context(x, key.0, squeeze, expand)).await;
        let want = values(plain_global_context(known.0, known.1, known.2, known.3)).await;
        close(&format!("global_context of views {shape:?}"), &got, &want);
    }
}

/// The second image of two has a pixel with one channel, the second, that is not finite.
fn with_one(wrong: f32, [c, h, w]: [usize; 3], [row, column]: [usize; 2], device: &Device) -> Tensor<4> {
    let mut pixels = wave(2 * c * h * w, 0.2);
    pixels[((c + 1) * h + row) * w + column] = wrong;
    Tensor::from_data(TensorData::new(pixels, [2, c, h, w]), device)
}

/// What comes out of something that is not finite is not finite, and nothing else is touched.
pub(super) async fn check_what_is_not_finite(device: &Device) {
    check_gates_that_are_not_finite(device).await;
    check_pixels_that_are_not_finite(device).await;
    check_windows_that_are_not_finite(device).await;
}

/// Every channel of a pixel is divided by the length of all, and a pointwise layer sums over all.
async fn check_pixels_that_are_not_finite(device: &Device) {
    for [c, h, w] in [[3, 5, 8], [16, 8, 8], [8, 9, 4]] {
        let (row, column, o) = (h - 2, w - 3, 6);
        let x = || with_one(f32::NAN, [c, h, w], [row, column], device);
        let gamma = || tensor([c], 0.7, device);
        let weight = tensor([o, c, 1, 1], 1.1, device);
        let outputs = [
            ("rms_norm_silu", c, rms_norm_silu(x(), tensor([2, 2, c], 0.8, device))),
            ("block_norm", c, block_norm(x(), gamma(), None)),
            ("block_norm, modulated", c, block_norm(x(), gamma(), Some(tensor([2, 2 * c], 1.4, device)))),
            ("pointwise", o, pointwise(x(), weight, tensor([o], 2.0, device))),
        ];
        for (op, channels, y) in outputs {
            for (i, v) in values(y).await.into_iter().enumerate() {
                let there = i / (channels * h * w) == 1 && i % (h * w) == row * w + column;
                let right = if there { v.is_nan() } else { v.is_finite() };
                assert!(right, "{op} of {c} x {h} x {w}: element {i} is {v}, and the wrong pixel is its own: {there}");
            }
        }
    }
}

/// Few channels and, on the CPU, so many that tiles of 4 x 4 outputs are made together.
async fn check_windows_that_are_not_finite(device: &Device) {
    const H: usize = 12;
    const W: usize = 16;
    // Beside the corner of four tiles, and in that of the map.
    for (at, [c, o]) in [([4, 7], [3, 5]), ([4, 7], [16, 17]), ([11, 15], [3, 5]), ([11, 15], [16, 17])] {
        for wrong in [f32::NAN, f32::INFINITY] {
            let x = with_one(wrong, [c, H, W], at, device);
            let y = values(conv3x3(x, tensor([o, c, 3, 3], 1.1, device), tensor([o], 2.0, device))).await;
            for (i, v) in y.into_iter().enumerate() {
                let second = i / (o * H * W) == 1;
                let place = [i / W % H, i % W];
                let sees = second && place[0].abs_diff(at[0]) <= 1 && place[1].abs_diff(at[1]) <= 1;
                // What the tile of this output is made from reaches one further than it.
                let near = |k: usize| (place[k] / 4 * 4..=place[k] / 4 * 4 + 5).contains(&(at[k] + 1));
                let reached = second && near(0) && near(1);
                let right = if sees { !v.is_finite() } else { reached || v.is_finite() };
                assert!(right, "conv3x3 of {wrong} at {at:?}, {c} to {o}: element {i} at {place:?} is {v}");
            }
        }
    }
}

/// One image of two has a pixel that is no number, and its whole gate is none.
async fn check_gates_that_are_not_finite(device: &Device) {
    let layer = |o: usize, c: usize| (tensor([o, c, 1, 1], 0.9, device), tensor([o], 0.4, device));
    let mut pixels = wave(2 * 3 * 40, 0.2);
    pixels[3 * 40 + 50] = f32::NAN;
    let x = Tensor::from_data(TensorData::new(pixels, [2, 3, 5, 8]), device);
    let got = values(global_context(x, layer(1, 3).0, layer(2, 3), layer(3, 2))).await;
    assert!(got[..3].iter().all(|v| v.is_finite()) && got[3..].iter().all(|v| v.is_nan()), "{got:?}");
}

/// Beside a branch: the same and a sum, also onto a view.
async fn check_onto(device: &Device) {
    for (shape, o) in CONVOLUTIONS {
        let [b, c, h, w] = shape;
        let (x, bias) = (|| tensor(shape, 0.3, device), || tensor([o], 2.0, device));
        let weight = |k| tensor([o, c, k, k], 1.1, device);
        for onto in [tensor([b, o, h, w], 0.9, device), tensor([o, b, h, w], 0.9, device).swap_dims(0, 1)] {
            let got = values(conv3x3_onto(x(), weight(3), bias(), onto.clone())).await;
            let want = values(conv3x3(x(), weight(3), bias()) + onto.clone()).await;
            close(&format!("conv3x3_onto {shape:?} to {o}"), &got, &want);
            let got = values(pointwise_onto(x(), weight(1), bias(), onto.clone())).await;
            let want = values(pointwise(x(), weight(1), bias()) + onto).await;
            close(&format!("pointwise_onto {shape:?} to {o}"), &got, &want);
        }
    }
}

async fn check_shapes(device: &Device) {
    for shape in SHAPES {
        let [b, c, h, w] = shape;
        let x = || tensor(shape, 0.3, device);
        let affine = || tensor([b, 2, c], 0.8, device);
        let got = values(rms_norm_silu(x(), affine())).await;
        close(&format!("rms_norm_silu {shape:?}"), &got, &values(plain_norm(x(), affine())).await);
        let gamma = || tensor([c], 0.7, device);
        for modulated in [false, true] {
            let both = || modulated.then(|| tensor([b, 2 * c], 1.4, device));
            let got = values(block_norm(x(), gamma(), both())).await;
            let what = format!("block_norm {shape:?}, modulated: {modulated}");
            close(&what, &got, &values(plain_block_norm(x(), gamma(), both())).await);
        }
        for o in [1, 8, 10] {
            let weight = || tensor([o, c, 3, 3], 1.1, device);
            let bias = || tensor([o], 2.0, device);
            let got = values(conv3x3(x(), weight(), bias())).await;
            close(&format!("conv3x3 {shape:?} to {o}"), &got, &values(plain_conv(x(), weight(), bias())).await);
        }
        let view = tensor([c, b, h, w], 0.4, device).swap_dims(0, 1);
        let got = values(rms_norm_silu(view.clone(), affine())).await;
        close(&format!("rms_norm_silu of a view {shape:?}"), &got, &values(plain_norm(view.clone(), affine())).await);
        let both = tensor([2 * c, b], 1.4, device).transpose();
        let gamma = tensor([c + 1], 0.7, device).slice([1..c + 1]);
        let got = values(block_norm(view.clone(), gamma.clone(), Some(both.clone()))).await;
        let want = values(plain_block_norm(view, gamma, Some(both))).await;
        close(&format!("block_norm of views {shape:?}"), &got, &want);
    }
}

/// What a convolution and its gradients are made of: x, dy, weight, bias.
pub(super) type Convolution = (Tensor<4>, Tensor<4>, Tensor<4>, Tensor<1>);

/// A convolution and its gradients, against the plain formula of the same on the CPU.
pub(super) async fn check_convolution(what: &str, (x, dy, weight, bias): Convolution, known: Convolution) {
    let want = values(plain_conv(known.0.clone(), known.2.clone(), known.3)).await;
    close(&format!("conv3x3 {what}"), &values(conv3x3(x.clone(), weight.clone(), bias)).await, &want);
    let want = values(plain_dx(known.2, known.1.clone())).await;
    let got = values(ops::conv3x3::backward_input(x.clone(), weight.clone(), dy.clone())).await;
    close(&format!("conv3x3 dx {what}"), &got, &want);
    let want = values(plain_dw(known.0, known.1)).await;
    let got = values(ops::conv3x3::backward_weight(x, weight, dy)).await;
    close(&format!("conv3x3 dw {what}"), &got, &want);
}

/// Convolutions and their gradients, of contiguous tensors and of views.
async fn check_convolutions(device: &Device) {
    let flex = &Device::flex();
    for (shape, o) in CONVOLUTIONS.into_iter().chain([LARGE_BACK]) {
        let [b, c, h, w] = shape;
        let on = |device: &Device| {
            let (x, dy) = (tensor(shape, 0.3, device), tensor([b, o, h, w], 1.9, device));
            (x, dy, tensor([o, c, 3, 3], 1.1, device), tensor([o], 2.0, device))
        };
        check_convolution(&format!("{shape:?} to {o}"), on(device), on(flex)).await;
        let views = |device: &Device| {
            let x = tensor([w, c, h, b + 1], 0.4, device).swap_dims(0, 3).slice([1..b + 1, 0..c, 0..h, 0..w]);
            let dy = tensor([h, o, b, w + 1], 1.9, device).swap_dims(0, 2).slice([0..b, 0..o, 0..h, 1..w + 1]);
            (x, dy, tensor([c, o, 3, 3], 1.6, device).swap_dims(0, 1), tensor([o], 2.0, device))
        };
        check_convolution(&format!("of views {shape:?} to {o}"), views(device), views(flex)).await;
    }
}

pub(super) fn plain_pointwise(x: Tensor<4>, w: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    burn::tensor::module::conv2d(x, w, Some(bias), burn::tensor::ops::ConvOptions::new([1, 1], [0, 0], [1, 1], 1))
}

async fn check_pointwise(device: &Device) {
    let flex = &Device::flex();
    for (shape, o) in CONVOLUTIONS {
        let [b, c, h, w] = shape;
        let on =
            |device: &Device| (tensor(shape, 0.3, device), tensor([o, c, 1, 1], 1.1, device), tensor([o], 2.0, device));
        let ((x, weight, bias), known) = (on(device), on(flex));
        let got = values(pointwise(x, weight, bias)).await;
        close(&format!("pointwise {shape:?} to {o}"), &got, &values(plain_pointwise(known.0, known.1, known.2)).await);
        let views = |device: &Device| {
            let x = tensor([w, c, h, b + 1], 0.4, device).swap_dims(0, 3).slice([1..b + 1, 0..c, 0..h, 0..w]);
            (x, tensor([c, o, 1, 1], 1.6, device).swap_dims(0, 1), tensor([o], 2.0, device))
        };
        let ((x, weight, bias), known) = (views(device), views(flex));
        let got = values(pointwise(x, weight, bias)).await;
        close(
            &format!("pointwise of views {shape:?} to {o}"),
            &got,
            &values(plain_pointwise(known.0, known.1, known.2)).await,
        );
    }
}
