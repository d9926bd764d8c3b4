//! Gradients, which the page has none of: by our backward, by Burn's own autodiff of the plain formula, by closed forms and by
//! central differences.

use burn::tensor::{Device, Tensor, TensorData};
use firefall_shaders::{Keys, attend, block_norm, conv3x3, layer_norm, linear, ops, rms_norm_silu};
use pollster::block_on;

use super::activations::{OPS, close_each, inputs, row};
use super::maps::{SHAPES, plain_block_norm, plain_conv, plain_norm};
use super::tokens::{ATTENTIONS, Case, LAYERS, ROWS, plain_attend, plain_layer_norm, plain_linear};
use super::{close, tensor, wave};

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    block_on(super::values(t))
}

/// The values of gradients of `inputs` by the loss `sum(f(inputs) * dy)`, each input a tensor of any rank.
macro_rules! gradients {
    ($f:expr, $dy:expr, $($input:ident),+) => {{
        let grads = ($f * $dy).sum().backward();
        vec![$(values($input.grad(&grads).unwrap())),+]
    }};
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

/// A tensor of these numbers.
fn from<const D: usize>(numbers: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), device)
}

/// `sum(y * dy)`, in f64 so that differences are not lost in rounding.
fn weighed<const D: usize>(y: Tensor<D>, dy: &[f32]) -> f64 {
    values(y).iter().zip(dy).map(|(&y, &d)| f64::from(y) * f64::from(d)).sum()
}

/// Every `step`-th element of the gradient `got` of `f` at `x`, by central differences.
#[track_caller]
fn agree_with_differences(what: &str, got: &[f32], x: &[f32], step: usize, f: &dyn Fn(&[f32]) -> f64) {
    assert_eq!(got.len(), x.len(), "{what}: length");
    for (i, &got) in got.iter().enumerate().step_by(step) {
        let (numeric, got) = (difference(f, x, i), f64::from(got));
        assert!((numeric - got).abs() < 1e-2 * (1.0 + got.abs()), "{what}[{i}]: {got} against {numeric}");
    }
}

/// Slopes against closed forms.
pub(super) fn check_activations(device: &Device) {
    let device = &device.clone().autodiff();
    let x = inputs();
    let dy: Vec<f32> = (0..x.len()).map(|i| 1.0 + (i as f32).cos()).collect();
    for (name, op, _, slope) in OPS {
        let leaf = row(&x, device).require_grad();
        let grads = (op(leaf.clone()) * row(&dy, device)).sum().backward();
        let got = values(leaf.grad(&grads).unwrap());
        let want: Vec<f32> = x.iter().zip(&dy).map(|(&x, dy)| slope(f64::from(x)) as f32 * dy).collect();
        close_each(&format!("gradient of {name}"), &got, &want);
    }
}

#[test]
fn slopes_agree_with_central_differences() {
    let device = Device::flex();
    let x = [-3.0f32, -0.7, 0.0, 0.4, 2.5];
    for (name, op, _, slope) in OPS {
        let sum = |x: &[f32]| values(op(row(x, &device))).iter().map(|v| f64::from(*v)).sum::<f64>();
        for (i, &x_i) in x.iter().enumerate() {
            let (got, want) = (difference(&sum, &x, i), slope(f64::from(x_i)));
            assert!((got - want).abs() < 1e-3, "{name} at {x_i}: {got} against {want}");
        }
    }
}

/// They would make every product with them slow.
#[test]
fn no_value_and_no_gradient_is_subnormal() {
    let device = Device::flex().autodiff();
    let x = inputs();
    for (name, op, ..) in OPS {
        let leaf = row(&x, &device).require_grad();
        let y = op(leaf.clone());
        let grads = (y.clone() * 1e-9).sum().backward();
        for values in [values(y), values(leaf.grad(&grads).unwrap())] {
            let found = values.iter().position(|v| v.is_subnormal());
            assert_eq!(found, None, "{name}: {:?} at {:?}", found.map(|i| values[i]), found.map(|i| x[i]));
        }
    }
}

/// By our backward and by Burn's own autodiff of the plain formula.
pub(super) fn check_maps(device: &Device) {
    let device = &device.clone().autodiff();
    for shape in SHAPES {
        let [b, c, h, w] = shape;
        let x = || tensor(shape, 0.3, device).require_grad();
        let affine = || tensor([b, 2, c], 0.8, device).require_grad();
        let weight = || tensor([6, c, 3, 3], 1.1, device).require_grad();
        let bias = || tensor([6], 2.0, device).require_grad();
        let dy = |o| tensor([b, o, h, w], 3.3, device);

        let run = |f: fn(Tensor<4>, Tensor<3>) -> Tensor<4>| {
            let (x, a) = (x(), affine());
            let grads = (f(x.clone(), a.clone()) * dy(c)).sum().backward();
            (values(x.grad(&grads).unwrap()), values(a.grad(&grads).unwrap()))
        };
        let (got, want) = (run(rms_norm_silu), run(plain_norm));
        close(&format!("rms_norm_silu dx {shape:?}"), &got.0, &want.0);
        close(&format!("rms_norm_silu daffine {shape:?}"), &got.1, &want.1);

        let run = |f: fn(Tensor<4>, Tensor<1>, Option<Tensor<2>>) -> Tensor<4>| {
            let (x, gamma) = (x(), tensor([c], 0.7, device).require_grad());
            let both = tensor([b, 2 * c], 1.4, device).require_grad();
            let grads = (f(x.clone(), gamma.clone(), Some(both.clone())) * dy(c)).sum().backward();
            [values(x.grad(&grads).unwrap()), values(gamma.grad(&grads).unwrap()), values(both.grad(&grads).unwrap())]
        };
        for (i, (got, want)) in run(block_norm).iter().zip(run(plain_block_norm)).enumerate() {
            close(&format!("block_norm gradient {i} {shape:?}"), got, &want);
        }

        let run = |f: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>| {
            let (x, w, b) = (x(), weight(), bias());
            let grads = (f(x.clone(), w.clone(), b.clone()) * dy(6)).sum().backward();
            (values(x.grad(&grads).unwrap()), values(w.grad(&grads).unwrap()), values(b.grad(&grads).unwrap()))
        };
        let (got, want) = (run(conv3x3), run(plain_conv));
        close(&format!("conv3x3 dx {shape:?}"), &got.0, &want.0);
        close(&format!("conv3x3 dweight {shape:?}"), &got.1, &want.1);
        close(&format!("conv3x3 dbias {shape:?}"), &got.2, &want.2);
    }
    check_views_of_maps(device);
}

/// The same where inputs and the gradient of the output lie another way in memory, against the plain formula on the CPU.
fn check_views_of_maps(device: &Device) {
    for shape in SHAPES {
        let [b, c, h, w] = shape;
        let run = |device: &Device, f: fn(Tensor<4>, Tensor<1>, Option<Tensor<2>>) -> Tensor<4>| {
            let x = tensor([c, b, w, h], 0.3, device).require_grad();
            let gamma = tensor([c + 1], 0.7, device).require_grad();
            let both = tensor([2 * c, b], 1.4, device).require_grad();
            let view = x.clone().swap_dims(0, 1).swap_dims(2, 3);
            let y = f(view, gamma.clone().slice([1..c + 1]), Some(both.clone().transpose()));
            gradients!(y.swap_dims(0, 3), tensor([w, c, h, b], 3.3, device), x, gamma, both)
        };
        let want = run(&Device::flex().autodiff(), plain_block_norm);
        all_close(&format!("block_norm of views {shape:?}"), &run(device, block_norm), &want);
    }
}

#[test]
fn gradients_over_maps_agree_with_central_differences() {
    let device = &Device::flex();
    let shape = [2, 4, 8, 8];
    let n: usize = shape.iter().product();
    let dy = wave(n, 3.3);
    let loss = |x: &[f32], affine: &[f32]| {
        weighed(rms_norm_silu(from(x, shape, device), from(affine, [2, 2, 4], device)), &dy)
    };
    let (x, affine) = (wave(n, 0.3), wave(16, 0.8));
    let (dx, da) = ops::rms_norm_silu::backward(
        tensor(shape, 0.3, device),
        tensor([2, 2, 4], 0.8, device),
        tensor(shape, 3.3, device),
    );
    let (dx, da) = (values(dx), values(da));
    for i in (0..n).step_by(37) {
        let numeric = difference(&|x| loss(x, &affine), &x, i);
        assert!((numeric - f64::from(dx[i])).abs() < 5e-3, "dx[{i}]: {} against {numeric}", dx[i]);
    }
    for (i, da) in da.into_iter().enumerate() {
        let numeric = difference(&|affine| loss(&x, affine), &affine, i);
        assert!((numeric - f64::from(da)).abs() < 2e-2, "daffine[{i}]: {da} against {numeric}");
    }
}

/// By our backward, and by Burn's own autodiff of the plain formula on the CPU.
pub(super) fn check_tokens(device: &Device) {
    let (device, flex) = (&device.clone().autodiff(), &Device::flex().autodiff());
    for [rows, outputs, inputs] in LAYERS {
        let run = |device: &Device, f: fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>) -> Tensor<2>| {
            let x = tensor([rows, inputs], 0.3, device).require_grad();
            let weight = tensor([outputs, inputs], 1.1, device).require_grad();
            let bias = tensor([outputs], 2.0, device).require_grad();
            let y = f(x.clone(), weight.clone(), Some(bias.clone()));
            gradients!(y, tensor([rows, outputs], 3.3, device), x, weight, bias)
        };
        all_close(&format!("linear {rows} x {outputs} x {inputs}"), &run(device, linear), &run(flex, plain_linear));
    }
    for [rows, width] in ROWS {
        for with_offset in [false, true] {
            let run = |device: &Device, f: fn(Tensor<2>, Tensor<1>, Option<Tensor<1>>) -> Tensor<2>| {
                let x = tensor([rows, width], 0.3, device).require_grad();
                let gain = tensor([width], 1.1, device).require_grad();
                let offset = tensor([width], 2.0, device).require_grad();
                let y = f(x.clone(), gain.clone(), with_offset.then(|| offset.clone()));
                let dy = tensor([rows, width], 3.3, device);
                if with_offset { gradients!(y, dy, x, gain, offset) } else { gradients!(y, dy, x, gain) }
            };
            all_close(&format!("layer_norm {rows} x {width}"), &run(device, layer_norm), &run(flex, plain_layer_norm));
        }
    }
    for case in ATTENTIONS {
        let run = |device: &Device, f: &dyn Fn(Tensor<3>, Keys, [Tensor<1>; 2]) -> Tensor<3>| {
            let q = case.q(device).require_grad();
            let kv = case.kv(device).require_grad();
            let null = case.null(device).map(Tensor::require_grad);
            let [scale_q, scale_k] = case.scales(device).map(Tensor::require_grad);
            let keys = Keys { kv: kv.clone(), null: null.clone(), mask: case.mask(device) };
            let y = f(q.clone(), keys, [scale_q.clone(), scale_k.clone()]);
            let dy = tensor([case.b, case.n, case.heads * case.d], 3.3, device);
            match null {
                Some(null) => gradients!(y, dy, q, kv, scale_q, scale_k, null),
                None => gradients!(y, dy, q, kv, scale_q, scale_k),
            }
        };
        let want = run(flex, &|q, keys, scales| plain_attend(&case, q, keys, scales));
        all_close(&format!("attend {case:?}"), &run(device, &attend), &want);
        check_views_of_keys(&case, device);
    }
}

/// Our backward of views of everything is that of the same in order.
fn check_views_of_keys(case: &Case, device: &Device) {
    let device = &device.clone().inner();
    let width = case.heads * case.d;
    let view = |seed| tensor([case.n, case.b, width], seed, device).swap_dims(0, 1);
    let in_order = |t: Tensor<3>| from(&values(t.clone()), t.dims(), device);
    let run = |q, keys, dy| {
        let (dq, dkv, dnull, [dscale_q, dscale_k]) = ops::attend::backward(q, keys, case.scales(device), dy);
        [values(dq), values(dkv), values(dnull), values(dscale_q), values(dscale_k)]
    };
    let want = run(in_order(view(0.3)), case.keys(device), in_order(view(3.3)));
    all_close(&format!("attend of views {case:?}"), &run(view(0.3), case.views(device), view(3.3)), &want);
}

#[track_caller]
fn all_close(what: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        close(&format!("{what}: gradient {i}"), got, want);
    }
}

#[test]
fn gradients_over_tokens_agree_with_central_differences() {
    let device = &Device::flex();
    let case = Case { b: 2, n: 5, m: 4, heads: 2, kv_heads: 1, d: 8, null: true, masked: 3 };
    let dims = [case.b, case.n, case.heads * case.d];
    let n: usize = dims.iter().product();
    let dy = wave(n, 3.3);
    let loss = |y: Tensor<3>| weighed(y, &dy);
    let (q, kv) = (values(case.q(device)), values(case.kv(device)));
    let of_q = |q: &[f32]| {
        let q = Tensor::from_data(TensorData::new(q.to_vec(), dims), device);
        loss(attend(q, case.keys(device), case.scales(device)))
    };
    let of_kv = |kv: &[f32]| {
        let kv = Tensor::from_data(TensorData::new(kv.to_vec(), [case.b, case.m, 2 * case.d]), device);
        loss(attend(case.q(device), Keys { kv, ..case.keys(device) }, case.scales(device)))
    };
    let dy = Tensor::from_data(TensorData::new(dy.clone(), dims), device);
    let (dq, dkv, ..) = ops::attend::backward(case.q(device), case.keys(device), case.scales(device), dy);
    for (what, got, f, x) in
        [("dq", values(dq), &of_q as &dyn Fn(&[f32]) -> f64, &q), ("dkv", values(dkv), &of_kv, &kv)]
    {
        for i in (0..x.len()).step_by(7) {
            let numeric = difference(f, x, i);
            assert!((numeric - f64::from(got[i])).abs() < 2e-2, "{what}[{i}]: {} against {numeric}", got[i]);
        }
    }
}

/// With few channels and, on the CPU, by Winograd's filtering.
#[test]
fn gradients_of_convolutions_agree_with_central_differences() {
    let device = &Device::flex();
    for [c, o] in [[3, 5], [16, 17]] {
        let (shape, window, dy) = ([2, c, 8, 8], [o, c, 3, 3], wave(2 * o * 64, 3.3));
        // Small, so that what a step changes is not lost in rounding.
        let small = |n, seed| wave(n, seed).iter().map(|v| 0.2 * v).collect::<Vec<f32>>();
        let (x, weight, bias) = (small(2 * c * 64, 0.3), small(o * c * 9, 1.1), small(o, 2.0));
        let loss = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let y = conv3x3(from(x, shape, device), from(weight, window, device), from(bias, [o], device));
            weighed(y, &dy)
        };
        let got = {
            let device = &device.clone().autodiff();
            let [x, weight] = [from(&x, shape, device), from(&weight, window, device)].map(Tensor::require_grad);
            let bias = from(&bias, [o], device).require_grad();
            let y = conv3x3(x.clone(), weight.clone(), bias.clone());
            gradients!(y, from(&dy, [2, o, 8, 8], device), x, weight, bias)
        };
        let what = |of: &str| format!("conv3x3 {c} to {o}: d{of}");
        agree_with_differences(&what("x"), &got[0], &x, 37, &|x| loss(x, &weight, &bias));
        agree_with_differences(&what("weight"), &got[1], &weight, 29, &|weight| loss(&x, weight, &bias));
        agree_with_differences(&what("bias"), &got[2], &bias, 1, &|bias| loss(&x, &weight, bias));
    }
}

#[test]
fn gradients_of_layer_norm_agree_with_central_differences() {
    let device = &Device::flex();
    let (shape, width) = ([2, 3, 20], 20);
    let (x, gain, offset, dy) = (wave(120, 0.3), wave(width, 1.1), wave(width, 2.0), wave(120, 3.3));
    let loss = |x: &[f32], gain: &[f32], offset: &[f32]| {
        let offset = Some(from(offset, [width], device));
        weighed(layer_norm(from(x, shape, device), from(gain, [width], device), offset), &dy)
    };
    let (dx, dgain, doffset) =
        ops::layer_norm::backward(from(&x, shape, device), from(&gain, [width], device), from(&dy, shape, device));
    agree_with_differences("layer_norm dx", &values(dx), &x, 3, &|x| loss(x, &gain, &offset));
    agree_with_differences("layer_norm dgain", &values(dgain), &gain, 1, &|gain| loss(&x, gain, &offset));
    agree_with_differences("layer_norm doffset", &values(doffset), &offset, 1, &|offset| loss(&x, &gain, offset));
}

#[test]
fn gradients_of_null_and_scales_agree_with_central_differences() {
    let device = &Device::flex();
    let case = Case { b: 2, n: 5, m: 4, heads: 2, kv_heads: 1, d: 8, null: true, masked: 3 };
    let (d, dims) = (case.d, [case.b, case.n, case.heads * case.d]);
    let dy = wave(dims.iter().product(), 3.3);
    let null = wave(2 * d, 0.6);
    let [scale_q, scale_k] = [0.9, 2.2].map(|seed| wave(d, seed).iter().map(|v| 1.0 + 0.2 * v).collect::<Vec<f32>>());
    let inputs = |null: &[f32], scale_q: &[f32], scale_k: &[f32]| {
        let keys = Keys { null: Some(from(null, [2, d], device)), ..case.keys(device) };
        (keys, [scale_q, scale_k].map(|scale| from(scale, [d], device)))
    };
    let loss = |null: &[f32], scale_q: &[f32], scale_k: &[f32]| {
        let (keys, scales) = inputs(null, scale_q, scale_k);
        weighed(attend(case.q(device), keys, scales), &dy)
    };
    let (keys, scales) = inputs(&null, &scale_q, &scale_k);
    let (.., dnull, [dscale_q, dscale_k]) =
        ops::attend::backward(case.q(device), keys, scales, from(&dy, dims, device));
    agree_with_differences("attend dnull", &values(dnull), &null, 1, &|null| loss(null, &scale_q, &scale_k));
    agree_with_differences("attend dscale_q", &values(dscale_q), &scale_q, 1, &|scale| loss(&null, scale, &scale_k));
    agree_with_differences("attend dscale_k", &values(dscale_k), &scale_k, 1, &|scale| loss(&null, &scale_q, scale));
}

#[test]
fn what_is_masked_has_no_say() {
    let device = &Device::flex();
    let case = Case { b: 1, n: 5, m: 4, heads: 2, kv_heads: 1, d: 8, null: true, masked: 2 };
    let y = |first: f32| {
        let mut kv = values(case.kv(device));
        kv[..case.d * 2].fill(first);
        let kv = Tensor::from_data(TensorData::new(kv, [1, case.m, 2 * case.d]), device);
        let mask = Some(Tensor::from_data([[0f32, 1.0]], device));
        values(attend(case.q(device), Keys { kv, mask, ..case.keys(device) }, case.scales(device)))
    };
    assert_eq!(y(0.5), y(-70.0));
    // Not even one that is nearly 0, which would be subnormal, and slow in all that comes of it.
    let mask = Some(Tensor::from_data([[0f32, 1.0]], device));
    let keys = Keys { mask, ..case.keys(device) };
    let (_, dkv, ..) =
        ops::attend::backward(case.q(device), keys, case.scales(device), tensor([1, 5, 16], 3.3, device));
    let dkv = values(dkv);
    assert!(dkv[..case.d * 2].iter().all(|&v| v == 0.0) && dkv[case.d * 2..].iter().all(|&v| v != 0.0), "{dkv:?}");
}
