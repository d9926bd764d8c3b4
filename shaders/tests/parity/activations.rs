//! SiLU and GELU, against closed forms in double precision.

use burn::tensor::{Device, Tensor, TensorData};
use firefall_shaders::{gelu, silu};

use super::{close, values};

type Op = fn(Tensor<1>) -> Tensor<1>;
type Closed = fn(f64) -> f64;

/// The ops, their closed forms, and those of their slopes.
pub(super) const OPS: [(&str, Op, Closed, Closed); 2] = [
    ("silu", silu, |x| x * sigmoid(x), |x| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))),
    ("gelu", gelu, |x| x * below(x), |x| below(x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()),
];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The share of the normal distribution below `x`, by Simpson's rule from 0.
fn below(x: f64) -> f64 {
    const PARTS: usize = 2000;
    let (x, sign) = (x.abs().min(12.0), x.signum());
    let step = x / PARTS as f64;
    let density = |i: usize| (-0.5 * (i as f64 * step).powi(2)).exp();
    let inner: f64 = (1..PARTS).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    let half = (density(0) + inner + density(PARTS)) * step / 3.0 / (2.0 * std::f64::consts::PI).sqrt();
    0.5 + sign * half
}

/// The middle finely, and both tails up to where everything is 0 or 1; so many that a vector is left over.
pub(super) fn inputs() -> Vec<f32> {
    let middle = (-600..=600).map(|i| i as f32 * 0.01);
    let tails = (6..=110).flat_map(|i| [i as f32, -(i as f32)]);
    middle.chain(tails).chain([1e4, -1e4, 0.0]).collect()
}

pub(super) fn row(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

pub(super) async fn check(device: &Device) {
    let x = inputs();
    for (name, op, known, _) in OPS {
        let want: Vec<f32> = x.iter().map(|&x| known(f64::from(x)) as f32).collect();
        let got = values(op(row(&x, device))).await;
        close_each(name, &got, &want);
        // Few, one vector, and a view.
        for n in [1, 3, 8, 9] {
            close(&format!("{name} of {n}"), &values(op(row(&x[..n], device))).await, &want[..n]);
        }
        let view = values(op(row(&x, device).slice([5..505]))).await;
        close_each(&format!("{name} of a view"), &view, &want[5..505]);
    }
}

pub(super) async fn check_what_is_not_finite(device: &Device) {
    for (name, op, ..) in OPS {
        for wrong in [f32::NAN, f32::INFINITY] {
            let got = values(op(row(&[0.5, wrong, 1.0], device))).await;
            assert!(got[0].is_finite() && !got[1].is_finite() && got[2].is_finite(), "{name} of {wrong}: {got:?}");
        }
    }
}

/// Close in the size of each, not in that of the largest.
#[track_caller]
pub(super) fn close_each(what: &str, got: &[f32], want: &[f32]) {
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 2e-6 * w.abs().max(1.0), "{what}: element {i} is {g}, should be {w}");
    }
}
