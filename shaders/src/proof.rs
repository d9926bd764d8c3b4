//! Which wgpu devices have been seen to run our kernels rightly.
//!
//! A kernel can be refused (a device that speaks SPIR-V or MSL), miscompiled (a driver bug) or simply wrong on hardware
//! that nobody here owns. So every op starts on its plain body, and [`self_test`] promotes a device once the kernels
//! agree with that body there.

use std::sync::RwLock;

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{Device, Tensor, TensorData};

use crate::ops::{conv3x3, rms_norm_silu};

struct Proof {
    /// The self-test is launching kernels right now.
    trying: bool,
    /// Devices on which it launched some.
    tried: Vec<String>,
    /// Devices on which all agreed.
    proven: Vec<String>,
}

static PROOF: RwLock<Proof> = RwLock::new(Proof { trying: false, tried: Vec::new(), proven: Vec::new() });

/// Whether the kernels may run where this tensor lives.
pub(crate) fn proven(x: &CubeTensor) -> bool {
    let key = format!("{:?}", x.device);
    let trying = match PROOF.read() {
        Ok(proof) if proof.proven.contains(&key) => return true,
        Ok(proof) => proof.trying,
        Err(_) => false,
    };
    if let (true, Ok(mut proof)) = (trying, PROOF.write()) {
        proof.tried.push(key);
    }
    trying
}

/// Tries every kernel on `device` against its plain body and, where all agree, lets them run there from now on.
///
/// Devices without hand-written WGSL (flex) have nothing to prove and pass. Call it once, before generating or
/// training; without it every op still works, by its plain body.
///
/// # Errors
/// A sentence that names the op and what it did. The device then stays on the plain bodies.
pub async fn self_test(device: &Device) -> Result<(), String> {
    let device = device.clone().inner();
    let want = run_all(&device).await.map_err(|e| format!("a plain op failed: {e}"))?;
    set_trying(true);
    let got = run_all(&device).await;
    let tried = set_trying(false);
    let got = got.map_err(|e| format!("a kernel was refused: {e}"))?;
    for ((op, want), (_, got)) in want.iter().zip(&got) {
        compare(op, want, got)?;
    }
    if let Ok(mut proof) = PROOF.write() {
        proof.proven.extend(tried);
    }
    Ok(())
}

/// Turns the trial on or off; returns the devices tried since it was last turned on.
fn set_trying(on: bool) -> Vec<String> {
    match PROOF.write() {
        Ok(mut proof) => {
            proof.trying = on;
            std::mem::take(&mut proof.tried)
        }
        Err(_) => Vec::new(),
    }
}

fn compare(op: &str, want: &[f32], got: &[f32]) -> Result<(), String> {
    let off = want.iter().zip(got).position(|(w, g)| !(w - g).abs().le(&(1e-4 * (1.0 + w.abs()))));
    match off {
        Some(i) => Err(format!("{op}: element {i} should be {}, the kernel says {}", want[i], got[i])),
        None => Ok(()),
    }
}

async fn run_all(device: &Device) -> Result<Vec<(&'static str, Vec<f32>)>, String> {
    let wave = |n: usize, phase: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * 0.7 + phase).sin()).collect() };
    let map = |phase| Tensor::<4>::from_data(TensorData::new(wave(2 * 5 * 8 * 8, phase), [2, 5, 8, 8]), device);
    let affine = Tensor::<3>::from_data(TensorData::new(wave(2 * 2 * 5, 0.3), [2, 2, 5]), device);
    let weight = Tensor::<4>::from_data(TensorData::new(wave(6 * 5 * 9, 0.5), [6, 5, 3, 3]), device);
    let bias = Tensor::<1>::from_data(TensorData::new(wave(6, 0.9), [6]), device);
    let (dx, da) = rms_norm_silu::backward(map(0.1), affine.clone(), map(1.7));
    Ok(vec![
        ("rms_norm_silu", read(rms_norm_silu::rms_norm_silu(map(0.1), affine)).await?),
        ("rms_norm_silu dx", read(dx).await?),
        ("rms_norm_silu da", read(da).await?),
        ("conv3x3", read(conv3x3::conv3x3(map(0.1), weight, bias)).await?),
    ])
}

async fn read<const D: usize>(t: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = t.into_data_async().await.map_err(|e| format!("{e:?}"))?;
    data.try_to_vec::<f32>().map_err(|e| format!("{e:?}"))
}
