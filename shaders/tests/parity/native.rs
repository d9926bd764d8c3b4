//! The tests of cargo's.

use burn::tensor::{Device, DeviceKind};
use firefall_shaders::{ALL, self_test};
use pollster::block_on;

use super::{check, check_what_is_not_finite, gradients, random};

/// The device of the tests that need WGSL: lavapipe, or whatever adapter there is.
fn wgpu() -> Device {
    Device::wgpu(DeviceKind::DefaultDevice)
}

#[test]
fn flex_agrees_with_the_plain_formula() {
    block_on(check(&Device::flex()));
    block_on(random::check(&Device::flex()));
    block_on(check_what_is_not_finite(&Device::flex()));
}

#[test]
fn flex_gradients_agree_with_autodiff() {
    gradients::check_activations(&Device::flex());
    gradients::check_maps(&Device::flex());
    gradients::check_tokens(&Device::flex());
}

#[test]
fn the_cpu_passes_its_self_test() {
    assert_eq!(block_on(self_test(&Device::flex())), Ok(None));
    assert_eq!(block_on(self_test(&Device::flex().autodiff())), Ok(None), "the same again");
}

/// One test, because the proof of a device is state of the process.
#[test]
fn wgpu_agrees_before_and_after_the_self_test() {
    let device = wgpu();
    block_on(check(&device));
    block_on(check_what_is_not_finite(&device));
    gradients::check_activations(&device);
    assert_eq!(block_on(self_test(&device)), Ok(None));
    block_on(check(&device));
    block_on(random::check(&device));
    block_on(check_what_is_not_finite(&device));
    gradients::check_maps(&device);
    gradients::check_tokens(&device);
}

#[test]
fn kernels_stay_within_the_limits_every_browser_has() {
    for kernel in ALL {
        let threads: u32 = kernel.workgroup_size.iter().product();
        assert!(threads <= 256, "{}: {threads} threads", kernel.name);
        assert!(kernel.workgroup_memory <= 16_384, "{}: {} bytes shared", kernel.name, kernel.workgroup_memory);
        assert!(kernel.bindings.len() <= 8, "{}: bindings {:?}", kernel.name, kernel.bindings);
    }
}

/// The build refuses kernels that share too much, by this count.
#[test]
fn what_a_workgroup_shares_is_counted() {
    let bytes = |name: &str| ALL.iter().find(|kernel| kernel.name == name).unwrap().workgroup_memory;
    // Vectors of weights and of inputs, and a number that the compiler has to see as uniform.
    assert_eq!(bytes("conv3x3"), 16 * (4 * 9 * 9 + 4 * 9 * 16) + 16);
    assert_eq!(bytes("conv3x3_small"), 16 * (8 * 9 * 9 + 8 * 9 * 4) + 16);
    assert_eq!([bytes("conv3x3_direct"), bytes("layer_norm_da"), bytes("global_context")], [0, 128 * 8, 3 * 1024 + 16]);
}
