//! Every op on every device it can run on, against its plain formula; gradients against that formula's autodiff and
//! against central differences.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not know as such")]

mod activations;
mod maps;
mod tokens;

use burn::tensor::{Device, Tensor, TensorData};
use firefall_shaders::{ALL, self_test};

/// Single precision sums of up to 70 * 9 terms in another order.
const TOLERANCE: f32 = 2e-5;

fn wave(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 12.9898 + seed).sin() * 1.3 + (i as f32 * 0.37 + seed).cos() * 0.4).collect()
}

fn tensor<const D: usize>(shape: [usize; D], seed: f32, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(wave(shape.iter().product(), seed), shape), device)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_to_vec().unwrap()
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(g.is_finite(), "{what}: element {i} is {g}");
        assert!((g - w).abs() <= TOLERANCE * scale, "{what}: element {i} is {g}, should be {w}");
    }
}

/// The derivative of `f` at `x` along its element `i`, by a central difference.
fn difference(f: &dyn Fn(&[f32]) -> f64, x: &[f32], i: usize) -> f64 {
    let h = 1e-2f32;
    let at = |h: f32| {
        let mut x = x.to_vec();
        x[i] += h;
        f(&x)
    };
    (at(h) - at(-h)) / f64::from(2.0 * h)
}

/// The device of the tests that need WGSL: lavapipe, or whatever adapter there is.
fn wgpu() -> Device {
    Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)
}

#[test]
fn flex_agrees_with_the_plain_formula() {
    activations::check(&Device::flex());
    maps::check(&Device::flex());
    tokens::check(&Device::flex());
}

#[test]
fn flex_gradients_agree_with_autodiff() {
    activations::check_gradients(&Device::flex());
    maps::check_gradients(&Device::flex());
    tokens::check_gradients(&Device::flex());
}

#[test]
fn the_cpu_passes_its_self_test() {
    assert_eq!(pollster::block_on(self_test(&Device::flex())), Ok(()));
    assert_eq!(pollster::block_on(self_test(&Device::flex().autodiff())), Ok(()), "the same again");
}

/// One test, because the proof of a device is state of the process.
#[test]
fn wgpu_agrees_before_and_after_the_self_test() {
    let device = wgpu();
    activations::check(&device);
    activations::check_gradients(&device);
    maps::check(&device);
    tokens::check(&device);
    pollster::block_on(self_test(&device)).unwrap();
    maps::check(&device);
    maps::check_gradients(&device);
    tokens::check(&device);
    tokens::check_gradients(&device);
}

#[test]
fn kernels_stay_within_the_limits_every_browser_has() {
    for kernel in ALL {
        let threads: u32 = kernel.workgroup_size.iter().product();
        assert!(threads <= 256, "{}: {threads} threads", kernel.name);
        assert!(kernel.bindings.len() <= 8, "{}: bindings {:?}", kernel.name, kernel.bindings);
    }
}
