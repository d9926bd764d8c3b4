//! What a browser runs of this crate: the tests in `tests/parity`, and a block of the U-Net for `web/bench`. `cargo xtask
//! parity` and `cargo xtask bench web` build it.
//!
//! It is an example, because cargo builds tests without `panic = "abort"`, and Burn would be built for the browser twice.

#![cfg(target_family = "wasm")]
#![recursion_limit = "256"]

#[path = "../tests/parity/main.rs"]
mod parity;

use burn::tensor::wgpu::{WgpuBackend, WgpuInitError};
use burn::tensor::{Device, Tensor, TensorData};
use firefall_shaders::{block_norm, conv3x3, self_test, switch_kernels};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_test::console_error;

#[expect(unsafe_code, reason = "the linker's own function has no other declaration")]
unsafe extern "C" {
    /// What the linker makes of all functions that want to run before everything else.
    fn __wasm_call_ctors();
}

/// Runs once, before everything else; why it calls the constructors itself is told in `web/src/lib.rs`.
#[wasm_bindgen(start)]
pub fn start() {
    #[expect(unsafe_code, reason = "the linker's own function")]
    // SAFETY: they are called here, once, before anything that relies on them.
    unsafe {
        __wasm_call_ctors();
    }
    std::panic::set_hook(Box::new(|info| console_error!("{info}")));
}

/// The browser's GPU, which opens once in a program.
async fn webgpu() -> Result<Device, WgpuInitError> {
    Device::wgpu_options().graphics_api(WgpuBackend::WebGpu).init_async().await
}

/// Norm, SiLU and a convolution 3x3 of one square map, as `core/benches/peers` times them without a browser.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Block {
    x: Tensor<4>,
    gamma: Tensor<1>,
    weight: Tensor<4>,
    bias: Tensor<1>,
}

#[wasm_bindgen]
impl Block {
    /// The block on `webgpu` or `cpu`, by our kernels or by stock Burn, with as many channels as `gamma` has numbers.
    ///
    /// # Errors
    /// If the GPU does not open, or a kernel is wrong on the device.
    pub async fn open(
        kind: &str,
        kernels: bool,
        x: Vec<f32>,
        gamma: Vec<f32>,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<Self, JsError> {
        switch_kernels(kernels);
        let device = match kind {
            "cpu" => Device::flex(),
            _ => webgpu().await?,
        };
        if let Some(wrong) = self_test(&device).await.map_err(|wrong| JsError::new(&wrong))? {
            return Err(JsError::new(&wrong));
        }
        let c = gamma.len();
        let side = (x.len() / c).isqrt();
        let maps =
            |values: Vec<f32>, shape: [usize; 4]| Tensor::<4>::from_data(TensorData::new(values, shape), &device);
        let row = |values: Vec<f32>| Tensor::<1>::from_data(TensorData::new(values, [c]), &device);
        Ok(Self {
            x: maps(x, [1, c, side, side]),
            gamma: row(gamma),
            weight: maps(weight, [c, c, 3, 3]),
            bias: row(bias),
        })
    }

    /// The map that it makes, read back.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn forward(&self) -> Result<Vec<f32>, JsError> {
        let x = block_norm(self.x.clone(), self.gamma.clone(), None);
        let y = conv3x3(x, self.weight.clone(), self.bias.clone());
        let data = y.into_data_async().await.map_err(|e| JsError::new(&format!("{e:?}")))?;
        data.try_into_vec().map_err(|e| JsError::new(&format!("{e:?}")))
    }
}
