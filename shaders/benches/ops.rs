//! Fused and plain, same shapes: `cargo bench -p firefall-shaders`. Arguments are batch, channels, size. On the CPU device,
//! and where the name ends in `wgpu` on the default wgpu device, lavapipe where there is no GPU.

use burn::tensor::{Device, Distribution, Tensor, activation};
use divan::Bencher;
use firefall_shaders::{conv3x3, ops, rms_norm_silu};

fn main() {
    divan::main();
}

const SHAPES: [[usize; 3]; 4] = [[8, 64, 32], [8, 128, 16], [32, 128, 8], [1, 64, 64]];

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
    let device = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    pollster::block_on(firefall_shaders::self_test(&device)).expect("the kernels are right on this device");
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
