//! The tests in a browser, each in a page of its own: a device opens once in a program, and what it has proved there stays.

use burn::tensor::Device;
use firefall_shaders::self_test;
use wasm_bindgen_test::wasm_bindgen_test;

use super::{check, check_what_is_not_finite, random};
use crate::webgpu;

#[wasm_bindgen_test]
async fn flex_agrees_with_the_plain_formula() {
    check(&Device::flex()).await;
    random::check(&Device::flex()).await;
    check_what_is_not_finite(&Device::flex()).await;
}

#[wasm_bindgen_test]
async fn the_cpu_passes_its_self_test() {
    assert_eq!(self_test(&Device::flex()).await, Ok(None));
    assert_eq!(self_test(&Device::flex()).await, Ok(None), "the same again");
}

/// In what is finite: by SwiftShader's `exp` Burn's own sigmoid of what is no number is 0.
#[wasm_bindgen_test]
async fn webgpu_agrees_before_its_self_test() {
    check(&webgpu().await.unwrap()).await;
}

#[wasm_bindgen_test]
async fn webgpu_agrees_after_its_self_test() {
    let device = webgpu().await.unwrap();
    assert_eq!(self_test(&device).await, Ok(None));
    check(&device).await;
    random::check(&device).await;
    check_what_is_not_finite(&device).await;
}
