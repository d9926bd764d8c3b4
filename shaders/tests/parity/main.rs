//! Every op on every device it can run on, against its plain formula. Natively these are tests of cargo's, and gradients are
//! held against that formula's autodiff and against central differences; in a browser they are a part of
//! `examples/browser.rs`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not know as such")]

mod activations;
#[cfg(target_family = "wasm")]
mod browser;
#[cfg(not(target_family = "wasm"))]
mod gradients;
mod maps;
#[cfg(not(target_family = "wasm"))]
mod native;
mod random;
mod tokens;

use burn::tensor::{Device, Tensor, TensorData};

/// Single precision sums of up to 70 * 9 terms in another order.
const TOLERANCE: f32 = 2e-5;

/// Every op on `device`.
async fn check(device: &Device) {
    activations::check(device).await;
    maps::check(device).await;
    tokens::check(device).await;
}

/// What is not finite stays so.
async fn check_what_is_not_finite(device: &Device) {
    activations::check_what_is_not_finite(device).await;
    maps::check_what_is_not_finite(device).await;
    tokens::check_what_is_not_finite(device).await;
}

fn wave(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 12.9898 + seed).sin() * 1.3 + (i as f32 * 0.37 + seed).cos() * 0.4).collect()
}

fn tensor<const D: usize>(shape: [usize; D], seed: f32, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(wave(shape.iter().product(), seed), shape), device)
}

/// Not at once, because a browser cannot wait for its GPU.
async fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data_async().await.unwrap().try_to_vec().unwrap()
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
