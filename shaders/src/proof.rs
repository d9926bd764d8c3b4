//! Whether our kernels are wanted, and which wgpu devices have been seen to run them rightly.
//!
//! A kernel can be refused (a device that speaks SPIR-V or MSL), miscompiled (a driver bug) or simply wrong on hardware
//! that nobody here owns. So every op starts on its plain body, and [`self_test`] promotes a device once the kernels
//! agree with that body there. Those of the CPU run from the start, and are sent back one op at a time ([`flex`]).

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::DispatchDevice;
use burn::backend::wgpu::CubeTensor;
use burn::cubecl::Device as Key;
use burn::tensor::{Device, Tensor, TensorData};

use crate::ops::{attend, conv3x3, global_context, layer_norm, linear, pointwise, rms_norm_silu};

mod flex;

pub(crate) use flex::{KernelOp, may_serve};

/// A bit for each op.
type Ops = u32;

/// Of the kernels' ops.
const ALL: Ops = Ops::MAX;

struct Proof {
    /// Devices under test, and how far the test is.
    trying: Vec<(Key, Phase)>,
    /// Devices that were tested, and what of the kernels was wrong there.
    proven: Vec<(Key, Refused)>,
}

/// The ops that stay on their plain bodies on a device, and a sentence on why.
#[derive(Debug, Clone, Default)]
struct Refused {
    ops: Ops,
    why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The plain bodies say what is right.
    Plain,
    /// Kernels may run; none has yet.
    Kernels,
    /// Kernels may run, and one has.
    Ran,
}

static PROOF: RwLock<Proof> = RwLock::new(Proof { trying: Vec::new(), proven: Vec::new() });

static SWITCHED_ON: AtomicBool = AtomicBool::new(true);

/// Off: every op goes by its plain body on every device from now on, which is stock Burn. For comparison and for trouble;
/// at first the kernels are on.
pub fn switch_kernels(on: bool) {
    SWITCHED_ON.store(on, Ordering::Relaxed);
}

pub(crate) fn switched_on() -> bool {
    SWITCHED_ON.load(Ordering::Relaxed)
}

/// Whether the kernels of `op` may run where this tensor lives.
pub(crate) fn proven(x: &CubeTensor, op: KernelOp) -> bool {
    switched_on() && may_run(&x.device, op)
}

fn may_run(device: &Key, op: KernelOp) -> bool {
    if let Some(refused) = refused(device) {
        return refused.ops & op.bit() == 0;
    }
    let phase = PROOF.read().ok().and_then(|proof| proof.trying.iter().find(|(key, _)| key == device).map(|it| it.1));
    match phase {
        Some(Phase::Kernels) => {
            set_phase(device, Phase::Ran);
            true
        }
        Some(Phase::Ran) => true,
        Some(Phase::Plain) | None => false,
    }
}

/// What a test found on a device; nothing if there was none.
fn refused(device: &Key) -> Option<Refused> {
    let proof = PROOF.read().ok()?;
    proof.proven.iter().find(|(key, _)| key == device).map(|(_, refused)| refused.clone())
}

fn set_phase(device: &Key, phase: Phase) {
    if let Ok(mut proof) = PROOF.write() {
        proof.trying.iter_mut().filter(|(key, _)| key == device).for_each(|trial| trial.1 = phase);
    }
}

/// A device under test. The test ends with this, also by a panic in a driver, and no other device is touched by it.
#[derive(Debug)]
struct Trial(Key);

impl Trial {
    /// Nothing if the device is under test already.
    fn begin(device: &Key) -> Option<Self> {
        let mut proof = PROOF.write().ok()?;
        if proof.trying.iter().any(|(key, _)| key == device) {
            return None;
        }
        proof.trying.push((device.clone(), Phase::Plain));
        Some(Self(device.clone()))
    }

    /// From now on kernels run, or none does.
    fn go_on(&self, phase: Phase) {
        set_phase(&self.0, phase);
    }

    /// The kernels go on running there, but for those that are refused.
    fn end(self, refused: Refused) -> Result<Option<String>, String> {
        let why = refused.why.clone();
        match PROOF.write() {
            Ok(mut proof) if refused.ops == ALL || proof.trying.contains(&(self.0.clone(), Phase::Ran)) => {
                proof.proven.push((self.0.clone(), refused));
                Ok(why)
            }
            _ => Err("no kernel was launched".into()),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Ok(mut proof) = PROOF.write() {
            proof.trying.retain(|(key, _)| *key != self.0);
        }
    }
}

/// Tries `device` against known answers, the plain bodies on the CPU: first its own operations, then every kernel. The
/// kernels that agree run there from now on; an op that has one that does not stays on its plain body.
///
/// On flex the kernels of every op are compared with its plain body, once in a process; they are compared also before a
/// GPU is tried, which is held to what the CPU says. Devices that were tested are not tested again, and none is where the
/// kernels are [switched off](switch_kernels). Of two calls at once for a GPU the first decides. Call it once, before
/// generating or training; without it every op still works, on a GPU by its plain body.
///
/// Returns a sentence that names the ops whose kernels are wrong there and what they did; nothing where all are right.
///
/// # Errors
/// Burn's own operations are wrong on the device: it should not be used.
pub async fn self_test(device: &Device) -> Result<Option<String>, String> {
    if !switched_on() {
        return Ok(None);
    }
    let cpu = flex::verdict();
    let device = device.clone().inner();
    let DispatchDevice::Cube(key) = device.as_dispatch() else { return Ok(cpu) };
    if let Some(refused) = refused(key) {
        return Ok(refused.why);
    }
    let Some(trial) = Trial::begin(key) else { return Ok(None) };
    // What is right is known from the CPU, so that a device whose own operations are wrong is found as well.
    let known = run_all(&Device::flex()).await.map_err(|e| format!("a plain op failed on the CPU: {e}"))?;
    plainly_right(&device, &known).await?;
    trial.go_on(Phase::Kernels);
    let refused = match run_all(&device).await {
        Ok(got) => judged(&known, &got),
        Err(error) => {
            // Which of them cannot be told, but whether the device still works without them.
            trial.go_on(Phase::Plain);
            plainly_right(&device, &known).await?;
            Refused { ops: ALL, why: Some(instead(&format!("one was refused: {error}"))) }
        }
    };
    trial.end(refused)
}

/// The values of some ops.
type Answers = Vec<(&'static str, Vec<f32>)>;

/// How far an answer of a GPU may be from the known one.
fn allowed(known: f32) -> f32 {
    1e-4 * (1.0 + known.abs())
}

async fn plainly_right(device: &Device, known: &Answers) -> Result<(), String> {
    let plain = run_all(device).await.map_err(|e| format!("a plain op failed: {e}"))?;
    known.iter().zip(&plain).try_for_each(|((op, known), (_, got))| agree(op, "the device", [known, got], allowed))
}

/// The ops that a kernel answered wrongly for, with what the first of each was.
fn judged(known: &Answers, got: &Answers) -> Refused {
    let (mut ops, mut faults) = (0, Vec::new());
    for ((what, known), (_, got)) in known.iter().zip(got) {
        if let Err(fault) = agree(what, "the kernel", [known, got], allowed) {
            let op = KernelOp::of(what).map_or(ALL, KernelOp::bit);
            if ops & op != op {
                faults.push(fault);
            }
            ops |= op;
        }
    }
    Refused { ops, why: (!faults.is_empty()).then(|| instead(&faults.join("; "))) }
}

/// What is said of kernels that are wrong, as a part of a sentence.
fn instead(faults: &str) -> String {
    format!("Burn's own operations do the work of kernels that are wrong here ({faults})")
}

/// An error where a value of `got` is further than `allowed` from the known one; what is no number always is.
fn agree(op: &str, who: &str, [known, got]: [&[f32]; 2], allowed: impl Fn(f32) -> f32) -> Result<(), String> {
    match known.iter().zip(got).position(|(&k, &g)| !(k - g).abs().le(&allowed(k))) {
        Some(i) => Err(format!("{op}: element {i} should be {}, {who} says {}", known[i], got[i])),
        None => Ok(()),
    }
}

fn wave(n: usize, phase: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7 + phase).sin()).collect()
}

async fn run_all(device: &Device) -> Result<Answers, String> {
    let mut answers = run_maps(device).await?;
    answers.extend(run_tokens(device).await?);
    // Where nothing is trained nobody has to wait for their kernels to be compiled.
    if cfg!(feature = "autodiff") {
        answers.extend(run_gradients(device).await?);
    }
    Ok(answers)
}

/// The ops over maps.
async fn run_maps(device: &Device) -> Result<Answers, String> {
    let row = |n: usize, phase| Tensor::<1>::from_data(TensorData::new(wave(n, phase), [n]), device);
    // More pixels than a workgroup, and not a multiple of it.
    let map = |phase| Tensor::<4>::from_data(TensorData::new(wave(2 * 5 * 9 * 15, phase), [2, 5, 9, 15]), device);
    let affine = Tensor::<3>::from_data(TensorData::new(wave(2 * 2 * 5, 0.3), [2, 2, 5]), device);
    // Output channels for the kernels with shared memory and for that without.
    let weights =
        |o: usize| (Tensor::<4>::from_data(TensorData::new(wave(o * 45, 0.5), [o, 5, 3, 3]), device), row(o, 0.9));
    let ((weight, bias), (few, few_bias), square) = (weights(17), weights(6), weights(5));
    // So many patches that the kernel for large maps runs; the one for small maps runs on the other.
    let wide = Tensor::<4>::from_data(TensorData::new(wave(5 * 90 * 91, 0.2), [1, 5, 90, 91]), device);
    let both = Some(Tensor::<2>::from_data(TensorData::new(wave(2 * 10, 0.3), [2, 10]), device));
    let whole = Tensor::<4>::from_data(TensorData::new(wave(2 * 8 * 68, 0.6), [2, 8, 4, 17]), device);
    let five = Tensor::<4>::from_data(TensorData::new(wave(2 * 5 * 68, 0.8), [2, 5, 4, 17]), device);
    let narrow = Tensor::<4>::from_data(TensorData::new(wave(5 * 8, 1.3), [5, 8, 1, 1]), device);
    let layer = |[o, c]: [usize; 2]| {
        (Tensor::<4>::from_data(TensorData::new(wave(o * c, 0.7), [o, c, 1, 1]), device), row(o, 0.1))
    };
    let (key, squeeze, expand) = (layer([1, 5]), layer([3, 5]), layer([5, 3]));
    Ok(vec![
        ("rms_norm_silu", read(rms_norm_silu::rms_norm_silu(map(0.1), affine)).await?),
        ("block_norm", read(rms_norm_silu::block_norm(map(0.1), row(5, 0.4), None)).await?),
        ("block_norm with a scale and shift", read(rms_norm_silu::block_norm(map(0.1), row(5, 0.4), both)).await?),
        ("conv3x3", read(conv3x3::conv3x3(map(0.1), weight.clone(), bias.clone())).await?),
        ("conv3x3 to few channels", read(conv3x3::conv3x3(map(0.1), few, few_bias)).await?),
        ("conv3x3 onto a map", read(conv3x3::conv3x3_onto(map(0.1), square.0, square.1, map(0.4))).await?),
        ("conv3x3 of a large map", read(conv3x3::conv3x3(wide.clone(), weight, bias)).await?),
        ("global_context", read(global_context::global_context(wide.clone(), key.0, squeeze, expand)).await?),
        ("pointwise", read(pointwise::pointwise(whole.clone(), narrow.clone(), row(5, 0.4))).await?),
        ("pointwise onto a map", read(pointwise::pointwise_onto(whole, narrow, row(5, 0.4), five)).await?),
    ])
}

/// The ops over tokens.
async fn run_tokens(device: &Device) -> Result<Answers, String> {
    let row = |n: usize, phase| Tensor::<1>::from_data(TensorData::new(wave(n, phase), [n]), device);
    let table = |[n, d]: [usize; 2], phase| Tensor::<2>::from_data(TensorData::new(wave(n * d, phase), [n, d]), device);
    let tokens = |[b, n, d]: [usize; 3], phase| {
        Tensor::<3>::from_data(TensorData::new(wave(b * n * d, phase), [b, n, d]), device)
    };
    let x = || table([37, 20], 0.1);
    let three = |phase| tokens([2, 35, 20], phase);
    let pixels = Tensor::<4>::from_data(TensorData::new(wave(2 * 20 * 35, 0.9), [2, 20, 5, 7]), device);
    let mut answers = vec![
        ("linear", read(linear::linear(x(), table([35, 20], 0.5), None)).await?),
        ("linear with a bias", read(linear::linear(x(), table([35, 20], 0.5), Some(row(35, 0.9)))).await?),
        ("linear onto rows", read(linear::linear_onto(x(), table([35, 20], 0.5), table([37, 35], 0.2))).await?),
        ("layer_norm onto tokens", read(layer_norm::layer_norm_onto(three(0.1), row(20, 0.3), three(0.6))).await?),
        ("layer_norm onto a map", read(layer_norm::layer_norm_onto_map(three(0.1), row(20, 0.3), pixels)).await?),
        ("layer_norm", read(layer_norm::layer_norm(x(), row(20, 0.3), None)).await?),
        ("layer_norm with an offset", read(layer_norm::layer_norm(x(), row(20, 0.3), Some(row(20, 0.7)))).await?),
    ];
    // Heads that share a key and heads with their own, more queries than a workgroup has.
    for (op, d, kv_heads) in [("attend of 32", 32, 1), ("attend of 64", 64, 2)] {
        let mask = Tensor::<2>::from_data([[1f32, 0.0, 1.0], [0.0, 0.0, 1.0]], device);
        let null = Some(table([2, d], 0.6));
        let keys = attend::Keys { kv: tokens([2, 5, 2 * kv_heads * d], 0.2), null, mask: Some(mask) };
        let y = attend::attend(tokens([2, 70, 2 * d], 1.2), keys, [row(d, 0.8), row(d, 1.1)]);
        answers.push((op, read(y).await?));
    }
    Ok(answers)
}

/// The gradients.
async fn run_gradients(device: &Device) -> Result<Answers, String> {
    let row = |n: usize, phase| Tensor::<1>::from_data(TensorData::new(wave(n, phase), [n]), device);
    let maps = |shape: [usize; 4], phase| {
        Tensor::<4>::from_data(TensorData::new(wave(shape.iter().product(), phase), shape), device)
    };
    let tokens = |shape: [usize; 3], phase| {
        Tensor::<3>::from_data(TensorData::new(wave(shape.iter().product(), phase), shape), device)
    };
    let map = |phase| maps([2, 5, 9, 15], phase);
    let (weight, dy) = (maps([17, 5, 3, 3], 0.5), maps([2, 17, 9, 15], 2.1));
    // Of pixels for one workgroup and for several, and of rows for more than one.
    let (wide, square) = (maps([1, 5, 90, 91], 0.2), maps([5, 5, 3, 3], 0.5));
    let norm = rms_norm_silu::backward(map(0.1), tokens([2, 2, 5], 0.3), map(1.7));
    let layer = layer_norm::backward(tokens([2, 35, 20], 0.1), row(20, 0.3), tokens([2, 35, 20], 1.7));
    let mut answers = vec![
        ("rms_norm_silu dx", read(norm.0).await?),
        ("rms_norm_silu da", read(norm.1).await?),
        ("conv3x3 dx", read(conv3x3::backward_input(map(0.1), weight.clone(), dy.clone())).await?),
        ("conv3x3 dw", read(conv3x3::backward_weight(map(0.1), weight, dy)).await?),
        ("conv3x3 dw of a large map", read(conv3x3::backward_weight(wide.clone(), square, wide)).await?),
        ("layer_norm dx", read(layer.0).await?),
        ("layer_norm dgain", read(layer.1).await?),
        ("layer_norm doffset", read(layer.2).await?),
    ];
    for (d, kv_heads) in [(32, 1), (64, 2)] {
        let mask = Some(Tensor::<2>::from_data([[1f32, 0.0, 1.0], [0.0, 0.0, 1.0]], device));
        let null = Some(Tensor::<2>::from_data(TensorData::new(wave(2 * d, 0.6), [2, d]), device));
        let keys = attend::Keys { kv: tokens([2, 5, 2 * kv_heads * d], 0.2), null, mask };
        let (q, dy) = (tokens([2, 70, 2 * d], 1.2), tokens([2, 70, 2 * d], 2.2));
        let (dq, dkv, dnull, [dscale_q, dscale_k]) = attend::backward(q, keys, [row(d, 0.8), row(d, 1.1)], dy);
        answers.push(("attend dq", read(dq).await?));
        answers.push(("attend dkv", read(dkv).await?));
        answers.push(("attend dnull", read(dnull).await?));
        answers.push(("attend dscale_q", read(dscale_q).await?));
        answers.push(("attend dscale_k", read(dscale_k).await?));
    }
    Ok(answers)
}

async fn read<const D: usize>(t: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = t.into_data_async().await.map_err(|e| format!("{e:?}"))?;
    data.try_to_vec::<f32>().map_err(|e| format!("{e:?}"))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::tensor::Device;

    use super::{ALL, KernelOp, Key, Phase, Refused, Trial, judged, may_run, refused, run_all};

    const OP: KernelOp = KernelOp::Linear;

    /// One test, because the proof of a device is state of the process.
    #[test]
    fn kernels_run_on_trust_only_as_long_as_a_trial_lasts() {
        let device = Key::Wgpu(Default::default());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let trial = Trial::begin(&device).unwrap();
            assert!(!may_run(&device, OP), "the plain bodies come first");
            assert!(Trial::begin(&device).is_none(), "one trial at a time");
            trial.go_on(Phase::Kernels);
            assert!(may_run(&device, OP));
            panic!("deep inside a driver");
        }));
        assert!(panicked.is_err() && !may_run(&device, OP));

        let trial = Trial::begin(&device).unwrap();
        assert!(!may_run(&device, OP), "a trial after a panic starts from the plain bodies as well");
        trial.go_on(Phase::Kernels);
        assert!(refused(&device).is_none(), "asking runs nothing");
        assert!(trial.end(Refused::default()).is_err(), "a kernel that never ran has proven nothing");
        assert!(!may_run(&device, OP));

        let trial = Trial::begin(&device).unwrap();
        trial.go_on(Phase::Kernels);
        assert!(may_run(&device, OP));
        let wrong = Refused { ops: KernelOp::Attend.bit(), why: Some("attend is wrong".into()) };
        assert_eq!(trial.end(wrong).unwrap().unwrap(), "attend is wrong");
        assert!(may_run(&device, OP) && !may_run(&device, KernelOp::Attend), "one op stays on its plain body");
        assert_eq!(refused(&device).unwrap().why.unwrap(), "attend is wrong", "told again");
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_op() {
        let known = pollster::block_on(run_all(&Device::flex())).unwrap();
        assert!(known.iter().all(|(what, _)| KernelOp::of(what).is_some()), "every answer is of an op");
        assert_eq!(judged(&known, &known).ops, 0);
        let mut got = known.clone();
        for (what, values) in &mut got {
            if what.starts_with("linear") {
                values[0] += 1.0;
            }
            if *what == "attend of 64" {
                values[3] = f32::NAN;
            }
        }
        let refused = judged(&known, &got);
        assert_eq!(refused.ops, KernelOp::Linear.bit() | KernelOp::Attend.bit());
        let why = refused.why.unwrap();
        assert!(why.contains("linear: element 0") && why.contains("attend of 64: element 3"), "{why}");
        assert!(!why.contains("linear onto rows"), "an op is named once: {why}");
        assert_ne!(refused.ops, ALL);
    }
}
