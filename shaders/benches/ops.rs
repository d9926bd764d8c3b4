//! Fused and plain, same shapes: `cargo bench -p firefall-shaders`. Arguments are batch, channels, size. On the CPU device,
//! and where the name ends in `wgpu` on the default wgpu device, lavapipe where there is no GPU.

use burn::tensor::{Device, Distribution, Tensor, activation};
use divan::Bencher;
use firefall_shaders::ops::global_context::Layer;
use firefall_shaders::{
    Keys, attend, conv3x3, gelu, global_context, layer_norm, linear, ops, pointwise, rms_norm_silu, silu,
};

fn main() {
    divan::main();
}

const SHAPES: [[usize; 3]; 6] = [[8, 64, 32], [8, 128, 16], [32, 128, 8], [1, 64, 64], [1, 64, 16], [1, 96, 8]];

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

#[divan::bench(args = SHAPES)]
fn norm_fused(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, affine) = (random([b, c, s, s]), random([b, 2, c]));
    bencher.bench_local(|| rms_norm_silu(x.clone(), affine.clone()));
}

#[divan::bench(args = SHAPES)]
fn norm_plain(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, affine) = (random([b, c, s, s]), random([b, 2, c]));
    bencher.bench_local(|| {
        let length = (x.clone() * x.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
        let n = x.clone() / length * (c as f32).sqrt();
        let half = |i: usize| affine.clone().slice([0..b, i..i + 1, 0..c]).reshape([b, c, 1, 1]);
        activation::silu(n * half(0) + half(1))
    });
}

#[divan::bench(args = SHAPES)]
fn norm_fused_backward(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, affine, dy) = (random([b, c, s, s]), random([b, 2, c]), random([b, c, s, s]));
    bencher.bench_local(|| ops::rms_norm_silu::backward(x.clone(), affine.clone(), dy.clone()));
}

#[divan::bench(args = SHAPES)]
fn conv_ours(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, w, bias) = (random([b, c, s, s]), random([c, c, 3, 3]), random([c]));
    bencher.bench_local(|| conv3x3(x.clone(), w.clone(), bias.clone()));
}

#[divan::bench(args = SHAPES)]
fn conv_stock(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, w, bias) = (random([b, c, s, s]), random([c, c, 3, 3]), random([c]));
    bencher.bench_local(|| stock(x.clone(), w.clone(), bias.clone()));
}

/// Maps of the base model, as many operations each.
const MAPS: [[usize; 3]; 3] = [[8, 64, 32], [8, 128, 16], [8, 256, 8]];

/// Times a convolution on the wgpu device up to the last value in memory.
fn on_wgpu(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3], conv: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>) {
    let device = wgpu();
    let x = random([b, c, s, s]).to_device(&device);
    let (w, bias) = (random([c, c, 3, 3]).to_device(&device), random([c]).to_device(&device));
    // `into_data` alone does not wait for the device, its bytes do.
    bencher.bench_local(|| conv(x.clone(), w.clone(), bias.clone()).into_data().try_to_vec::<f32>());
}

fn stock(x: Tensor<4>, w: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let options = burn::tensor::ops::ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    burn::tensor::module::conv2d(x, w, Some(bias), options)
}

#[divan::bench(args = MAPS, sample_count = 20)]
fn conv_ours_wgpu(bencher: Bencher<'_, '_>, shape: [usize; 3]) {
    on_wgpu(bencher, shape, conv3x3);
}

#[divan::bench(args = MAPS, sample_count = 20)]
fn conv_stock_wgpu(bencher: Bencher<'_, '_>, shape: [usize; 3]) {
    on_wgpu(bencher, shape, stock);
}

#[divan::bench(args = SHAPES)]
fn conv_ours_backward_weight(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, w, dy) = (random([b, c, s, s]), random([c, c, 3, 3]), random([b, c, s, s]));
    bencher.bench_local(|| ops::conv3x3::backward_weight(x.clone(), w.clone(), dy.clone()));
}

#[divan::bench(args = SHAPES)]
fn conv_ours_backward_input(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let (x, w, dy) = (random([b, c, s, s]), random([c, c, 3, 3]), random([b, c, s, s]));
    bencher.bench_local(|| ops::conv3x3::backward_input(x.clone(), w.clone(), dy.clone()));
}

/// Layers of the base model: rows, width before and after.
const ROWS: [[usize; 3]; 4] = [[1, 64, 192], [64, 96, 128], [64, 96, 192], [512, 96, 192]];
/// Convolutions 1x1 of the base model: batch, channels before and after, size.
const PIXELS: [[usize; 4]; 3] = [[1, 128, 64, 16], [1, 96, 256, 8], [8, 128, 64, 16]];

/// Tokens of the base model: rows, their width.
const TOKENS: [[usize; 2]; 2] = [[512, 96], [2048, 128]];

#[divan::bench(args = [1 << 12, 1 << 18])]
fn gelu_ours(bencher: Bencher<'_, '_>, n: usize) {
    let x = random([n]);
    bencher.bench_local(|| gelu(x.clone()));
}

#[divan::bench(args = [1 << 12, 1 << 18])]
fn gelu_stock(bencher: Bencher<'_, '_>, n: usize) {
    let x = random([n]);
    bencher.bench_local(|| activation::gelu(x.clone()));
}

#[divan::bench(args = [1 << 12, 1 << 18])]
fn silu_ours(bencher: Bencher<'_, '_>, n: usize) {
    let x = random([n]);
    bencher.bench_local(|| silu(x.clone()));
}

#[divan::bench(args = [1 << 12, 1 << 18])]
fn silu_stock(bencher: Bencher<'_, '_>, n: usize) {
    let x = random([n]);
    bencher.bench_local(|| activation::silu(x.clone()));
}

/// A gate of the base model, and one of the super-resolution.
const GATES: [[usize; 3]; 2] = [[1, 16, 32], [1, 32, 64]];

fn gate(device: &Device, [b, c, s]: [usize; 3]) -> (Tensor<4>, [Layer; 3]) {
    let layer = |o, c| (random([o, c, 1, 1]).to_device(device), random([o]).to_device(device));
    (random([b, c, s, s]).to_device(device), [layer(1, c), layer(c / 2, c), layer(c, c / 2)])
}

fn plain_gate(x: Tensor<4>, [key, squeeze, expand]: [Layer; 3]) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let layer = |x: Tensor<3>, (weight, bias): Layer| {
        let [o, c, ..] = weight.dims();
        weight.reshape([1, o, c]).matmul(x) + bias.reshape([1, o, 1])
    };
    let x = x.reshape([b, c, h * w]);
    let shares = activation::softmax(layer(x.clone(), key), 2);
    let mean = x.matmul(shares.swap_dims(1, 2));
    activation::sigmoid(layer(activation::silu(layer(mean, squeeze)), expand)).reshape([b, c, 1, 1])
}

#[divan::bench(args = GATES)]
fn global_context_fused(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (x, [key, squeeze, expand]) = gate(&Device::flex(), sizes);
    bencher.bench_local(|| global_context(x.clone(), key.0.clone(), squeeze.clone(), expand.clone()));
}

#[divan::bench(args = GATES)]
fn global_context_plain(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (x, layers) = gate(&Device::flex(), sizes);
    bencher.bench_local(|| plain_gate(x.clone(), layers.clone()));
}

#[divan::bench(args = GATES, sample_count = 20)]
fn global_context_fused_wgpu(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (x, [key, squeeze, expand]) = gate(&wgpu(), sizes);
    let run = || global_context(x.clone(), key.0.clone(), squeeze.clone(), expand.clone());
    bencher.bench_local(|| run().into_data().try_to_vec::<f32>());
}

#[divan::bench(args = GATES, sample_count = 20)]
fn global_context_plain_wgpu(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (x, layers) = gate(&wgpu(), sizes);
    bencher.bench_local(|| plain_gate(x.clone(), layers.clone()).into_data().try_to_vec::<f32>());
}

fn plain_layer_norm(x: Tensor<2>, gain: Tensor<1>) -> Tensor<2> {
    let x = x.clone() - x.mean_dim(1);
    let variance = (x.clone() * x.clone()).mean_dim(1);
    x * (variance + 1e-5).sqrt().recip() * gain.unsqueeze()
}

#[divan::bench(args = TOKENS)]
fn layer_norm_fused(bencher: Bencher<'_, '_>, [rows, width]: [usize; 2]) {
    let (x, gain) = (random([rows, width]), random([width]));
    bencher.bench_local(|| layer_norm(x.clone(), gain.clone(), None));
}

#[divan::bench(args = TOKENS)]
fn layer_norm_plain(bencher: Bencher<'_, '_>, [rows, width]: [usize; 2]) {
    let (x, gain) = (random([rows, width]), random([width]));
    bencher.bench_local(|| plain_layer_norm(x.clone(), gain.clone()));
}

/// Attentions of the base model at batch 8, four heads of 32: queries, keys, heads of keys.
const ATTENTIONS: [[usize; 3]; 2] = [[64, 85, 1], [64, 21, 4]];

/// Queries, keys and values, and both scales.
fn attention(device: &Device, [n, m, kv_heads]: [usize; 3]) -> (Tensor<3>, Tensor<3>, [Tensor<1>; 2]) {
    let q = random([8, n, 128]).to_device(device);
    let kv = random([8, m, 64 * kv_heads]).to_device(device);
    (q, kv, [0, 1].map(|_| Tensor::ones([32], device)))
}

fn plain_attend(q: Tensor<3>, kv: Tensor<3>, [scale_q, scale_k]: [Tensor<1>; 2]) -> Tensor<3> {
    let ([b, n, _], [_, m, width]) = (q.dims(), kv.dims());
    let kv_heads = width / 64;
    let unit = |x: Tensor<4>| {
        let length = (x.clone() * x.clone()).sum_dim(3).sqrt().clamp_min(1e-12);
        x * length.recip()
    };
    let q = q.reshape([b, n, 4, 32]).swap_dims(1, 2).reshape([b, kv_heads, 4 / kv_heads * n, 32]);
    let half = |i: usize| {
        let x = kv.clone().slice([0..b, 0..m, i * width / 2..(i + 1) * width / 2]);
        x.reshape([b, m, kv_heads, 32]).swap_dims(1, 2)
    };
    let q = unit(q) * (scale_q * 8.0).unsqueeze();
    let k = unit(half(0)) * scale_k.unsqueeze();
    let y = activation::softmax(q.matmul(k.transpose()), 3).matmul(half(1));
    y.reshape([b, 4, n, 32]).swap_dims(1, 2).reshape([b, n, 128])
}

#[divan::bench(args = ATTENTIONS)]
fn attend_fused(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (q, kv, scales) = attention(&Device::flex(), sizes);
    bencher.bench_local(|| attend(q.clone(), Keys { kv: kv.clone(), null: None, mask: None }, scales.clone()));
}

#[divan::bench(args = ATTENTIONS)]
fn attend_plain(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (q, kv, scales) = attention(&Device::flex(), sizes);
    bencher.bench_local(|| plain_attend(q.clone(), kv.clone(), scales.clone()));
}

/// The wgpu device, its kernels proven.
fn wgpu() -> Device {
    let device = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    assert_eq!(pollster::block_on(firefall_shaders::self_test(&device)), Ok(None), "a kernel is wrong on this device");
    device
}

#[divan::bench(args = ATTENTIONS, sample_count = 20)]
fn attend_fused_wgpu(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (q, kv, scales) = attention(&wgpu(), sizes);
    let keys = || Keys { kv: kv.clone(), null: None, mask: None };
    bencher.bench_local(|| attend(q.clone(), keys(), scales.clone()).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = ATTENTIONS, sample_count = 20)]
fn attend_plain_wgpu(bencher: Bencher<'_, '_>, sizes: [usize; 3]) {
    let (q, kv, scales) = attention(&wgpu(), sizes);
    bencher.bench_local(|| plain_attend(q.clone(), kv.clone(), scales.clone()).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = TOKENS, sample_count = 20)]
fn layer_norm_fused_wgpu(bencher: Bencher<'_, '_>, [rows, width]: [usize; 2]) {
    let device = wgpu();
    let (x, gain) = (random([rows, width]).to_device(&device), random([width]).to_device(&device));
    bencher.bench_local(|| layer_norm(x.clone(), gain.clone(), None).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = TOKENS, sample_count = 20)]
fn layer_norm_plain_wgpu(bencher: Bencher<'_, '_>, [rows, width]: [usize; 2]) {
    let device = wgpu();
    let (x, gain) = (random([rows, width]).to_device(&device), random([width]).to_device(&device));
    bencher.bench_local(|| plain_layer_norm(x.clone(), gain.clone()).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = ROWS)]
fn linear_ours(bencher: Bencher<'_, '_>, [rows, d_in, d_out]: [usize; 3]) {
    let (x, w) = (random([rows, d_in]), random([d_out, d_in]));
    bencher.bench_local(|| linear(x.clone(), w.clone(), None));
}

#[divan::bench(args = ROWS)]
fn linear_stock(bencher: Bencher<'_, '_>, [rows, d_in, d_out]: [usize; 3]) {
    let (x, w) = (random([rows, d_in]), random([d_out, d_in]));
    bencher.bench_local(|| x.clone().matmul(w.clone().transpose()));
}

#[divan::bench(args = PIXELS)]
fn pointwise_ours(bencher: Bencher<'_, '_>, [b, c, o, s]: [usize; 4]) {
    let (x, w, bias) = (random([b, c, s, s]), random([o, c, 1, 1]), random([o]));
    bencher.bench_local(|| pointwise(x.clone(), w.clone(), bias.clone()));
}

#[divan::bench(args = PIXELS)]
fn pointwise_stock(bencher: Bencher<'_, '_>, [b, c, o, s]: [usize; 4]) {
    let (x, w, bias) = (random([b, c, s, s]), random([o, c, 1, 1]), random([o]));
    bencher.bench_local(|| {
        let y = w.clone().reshape([1, o, c]).matmul(x.clone().reshape([b, c, s * s]));
        y + bias.clone().reshape([1, o, 1])
    });
}

#[divan::bench(args = TOKENS, sample_count = 20)]
fn linear_ours_wgpu(bencher: Bencher<'_, '_>, [rows, width]: [usize; 2]) {
    let device = wgpu();
    let (x, w) = (random([rows, width]).to_device(&device), random([width, width]).to_device(&device));
    bencher.bench_local(|| linear(x.clone(), w.clone(), None).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = TOKENS, sample_count = 20)]
fn linear_stock_wgpu(bencher: Bencher<'_, '_>, [rows, width]: [usize; 2]) {
    let device = wgpu();
    let (x, w) = (random([rows, width]).to_device(&device), random([width, width]).to_device(&device));
    bencher.bench_local(|| x.clone().matmul(w.clone().transpose()).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = MAPS, sample_count = 20)]
fn pointwise_ours_wgpu(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let device = wgpu();
    let (x, w) = (random([b, c, s, s]).to_device(&device), random([c, c, 1, 1]).to_device(&device));
    let bias = random([c]).to_device(&device);
    bencher.bench_local(|| pointwise(x.clone(), w.clone(), bias.clone()).into_data().try_to_vec::<f32>());
}

#[divan::bench(args = MAPS, sample_count = 20)]
fn pointwise_stock_wgpu(bencher: Bencher<'_, '_>, [b, c, s]: [usize; 3]) {
    let device = wgpu();
    let (x, w) = (random([b, c, s, s]).to_device(&device), random([c, c, 1, 1]).to_device(&device));
    let bias = random([c]).to_device(&device);
    bencher.bench_local(|| {
        let y = w.clone().reshape([1, c, c]).matmul(x.clone().reshape([b, c, s * s]));
        (y + bias.clone().reshape([1, c, 1])).into_data().try_to_vec::<f32>()
    });
}

/// Times a layer and its gradients of input and weights.
fn with_gradients<const D: usize>(
    bencher: Bencher<'_, '_>,
    x: [usize; 4],
    w: [usize; D],
    layer: impl Fn(Tensor<4>, Tensor<D>) -> Tensor<4>,
) {
    let device = Device::flex().autodiff();
    let normal = Distribution::Normal(0.0, 1.0);
    let (x, w) = (Tensor::<4>::random(x, normal, &device), Tensor::<D>::random(w, normal, &device));
    bencher.bench_local(|| {
        let (x, w) = (x.clone().detach().require_grad(), w.clone().detach().require_grad());
        let grads = layer(x.clone(), w.clone()).sum().backward();
        (x.grad(&grads), w.grad(&grads))
    });
}

#[divan::bench(args = ROWS)]
fn linear_with_gradients(bencher: Bencher<'_, '_>, [rows, d_in, d_out]: [usize; 3]) {
    with_gradients(bencher, [1, 1, rows, d_in], [d_out, d_in], |x, w| linear(x, w, None));
}

#[divan::bench(args = PIXELS)]
fn pointwise_with_gradients(bencher: Bencher<'_, '_>, [b, c, o, s]: [usize; 4]) {
    let bias = Tensor::zeros([o], &Device::flex().autodiff());
    with_gradients(bencher, [b, c, s, s], [o, c, 1, 1], move |x, w| pointwise(x, w, bias.clone()));
}
