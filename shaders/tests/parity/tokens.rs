//! The ops over tokens.

use burn::tensor::{Device, Tensor, TensorData, activation};
use firefall_shaders::{Keys, attend, layer_norm, layer_norm_onto, layer_norm_onto_map, linear, linear_onto};

use super::{close, tensor, values, wave};

/// Rows, outputs and inputs: common ones, odd ones, below, at and above the 32 by 32 of a workgroup and its vectors.
pub(super) const LAYERS: [[usize; 3]; 8] =
    [[1, 1, 1], [3, 5, 7], [2, 128, 64], [31, 33, 20], [32, 32, 64], [33, 65, 68], [70, 1, 4], [257, 96, 128]];
/// Rows and their width.
pub(super) const ROWS: [[usize; 2]; 7] = [[1, 4], [3, 5], [33, 20], [64, 96], [65, 7], [32, 128], [200, 192]];

/// The sizes of one attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) b: usize,
    pub(super) n: usize,
    pub(super) m: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) d: usize,
    pub(super) null: bool,
    pub(super) masked: usize,
}

pub(super) const ATTENTIONS: [Case; 9] = [
    Case { b: 1, n: 1, m: 1, heads: 1, kv_heads: 1, d: 32, null: false, masked: 0 },
    Case { b: 2, n: 64, m: 85, heads: 4, kv_heads: 1, d: 32, null: true, masked: 21 },
    Case { b: 2, n: 64, m: 21, heads: 4, kv_heads: 4, d: 32, null: true, masked: 21 },
    Case { b: 3, n: 37, m: 7, heads: 2, kv_heads: 2, d: 64, null: true, masked: 3 },
    Case { b: 1, n: 65, m: 40, heads: 6, kv_heads: 3, d: 64, null: false, masked: 0 },
    Case { b: 9, n: 5, m: 3, heads: 2, kv_heads: 1, d: 8, null: true, masked: 3 },
    Case { b: 2, n: 3, m: 4, heads: 2, kv_heads: 1, d: 5, null: true, masked: 2 },
    Case { b: 1, n: 128, m: 9, heads: 3, kv_heads: 3, d: 48, null: true, masked: 0 },
    Case { b: 1, n: 300, m: 300, heads: 1, kv_heads: 1, d: 32, null: true, masked: 0 },
];

impl Case {
    pub(super) fn q(&self, device: &Device) -> Tensor<3> {
        tensor([self.b, self.n, self.heads * self.d], 0.3, device)
    }

    pub(super) fn kv(&self, device: &Device) -> Tensor<3> {
        tensor([self.b, self.m, 2 * self.kv_heads * self.d], 1.7, device)
    }

    pub(super) fn null(&self, device: &Device) -> Option<Tensor<2>> {
        self.null.then(|| tensor([2, self.d], 0.6, device))
    }

    pub(super) fn scales(&self, device: &Device) -> [Tensor<1>; 2] {
        [0.9, 2.2].map(|seed| tensor([self.d], seed, device) + 1.0)
    }

    /// The third key of the first image, the fourth of the second and so on, and all of the last image.
    pub(super) fn mask(&self, device: &Device) -> Option<Tensor<2>> {
        let there = |image: usize, key: usize| image + 1 < self.b && key != image + 2;
        let values: Vec<f32> =
            (0..self.b * self.masked).map(|i| f32::from(u8::from(there(i / self.masked, i % self.masked)))).collect();
        (self.masked > 0).then(|| Tensor::from_data(TensorData::new(values, [self.b, self.masked]), device))
    }

    /// The same keys as parts of larger tensors that lie another way.
    pub(super) fn views(&self, device: &Device) -> Keys {
        let Keys { kv, null, mask } = self.keys(device);
        let around = |t: Tensor<2>| {
            let [rows, columns] = t.dims();
            let turned = Tensor::cat(vec![t.transpose(), Tensor::ones([1, rows], device)], 0);
            turned.transpose().slice([0..rows, 0..columns])
        };
        let [b, m, width] = kv.dims();
        let kv = Tensor::cat(vec![kv.swap_dims(0, 2), Tensor::ones([1, m, b], device)], 0);
        let kv = kv.swap_dims(0, 2).slice([0..b, 0..m, 0..width]);
        Keys { kv, null: null.map(around), mask: mask.map(around) }
    }

    pub(super) fn keys(&self, device: &Device) -> Keys {
        Keys { kv: self.kv(device), null: self.null(device), mask: self.mask(device) }
    }
}

fn unit(x: Tensor<4>) -> Tensor<4> {
    let length = (x.clone() * x.clone()).sum_dim(3).sqrt().clamp_min(1e-12);
    x / length
}

/// The formula in ordinary tensor operations, every head with its own copy of the keys.
pub(super) fn plain_attend(case: &Case, q: Tensor<3>, keys: Keys, [scale_q, scale_k]: [Tensor<1>; 2]) -> Tensor<3> {
    let Case { b, n, m, heads, kv_heads, d, .. } = *case;
    let share = heads / kv_heads;
    let half = |i: usize| {
        let kv = keys.kv.clone().reshape([b, m, 2, kv_heads, 1, d]).slice([0..b, 0..m, i..i + 1]);
        let x = kv.expand([b, m, 1, kv_heads, share, d]).reshape([b, m, heads, d]).swap_dims(1, 2);
        match &keys.null {
            Some(null) => {
                let row = null.clone().slice([i..i + 1]).reshape([1, 1, 1, d]).expand([b, heads, 1, d]);
                Tensor::cat(vec![row, x], 2)
            }
            None => x,
        }
    };
    let q = unit(q.reshape([b, n, heads, d]).swap_dims(1, 2)) * scale_q.reshape([1, 1, 1, d]);
    let k = unit(half(0)) * scale_k.reshape([1, 1, 1, d]);
    let mut logits = q.matmul(k.transpose()) * 8.0;
    if let Some(mask) = &keys.mask {
        let ones = |n| Tensor::ones([b, n], &mask.device());
        let before = usize::from(keys.null.is_some());
        let mut parts = vec![mask.clone()];
        if before > 0 {
            parts.insert(0, ones(before));
        }
        if m > case.masked {
            parts.push(ones(m - case.masked));
        }
        logits = logits + ((Tensor::cat(parts, 1) - 1.0) * 1e9).reshape([b, 1, 1, before + m]);
    }
    activation::softmax(logits, 3).matmul(half(1)).swap_dims(1, 2).reshape([b, n, heads * d])
}

pub(super) fn plain_linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

pub(super) fn plain_layer_norm(x: Tensor<2>, gain: Tensor<1>, offset: Option<Tensor<1>>) -> Tensor<2> {
    let x = x.clone() - x.mean_dim(1);
    let variance = (x.clone() * x.clone()).mean_dim(1);
    let y = x / (variance + 1e-5).sqrt() * gain.unsqueeze();
    match offset {
        Some(offset) => y + offset.unsqueeze(),
        None => y,
    }
}

/// Beside a branch: the same and a sum, also onto a view and from one.
async fn check_onto(device: &Device) {
    for [rows, outputs, inputs] in LAYERS {
        let (x, weight) = (|| tensor([rows, inputs], 0.3, device), || tensor([outputs, inputs], 1.1, device));
        for onto in [tensor([rows, outputs], 0.9, device), tensor([outputs, rows], 0.9, device).swap_dims(0, 1)] {
            let (got, want) = (linear_onto(x(), weight(), onto.clone()), linear(x(), weight(), None) + onto);
            close(&format!("linear_onto {rows} x {outputs} x {inputs}"), &values(got).await, &values(want).await);
        }
    }
    for [rows, width] in ROWS {
        let gain = || tensor([width], 1.1, device);
        let view = || tensor([2, width, rows], 0.7, device).swap_dims(1, 2);
        for x in [tensor([2, rows, width], 0.3, device), view()] {
            let what = |op: &str| format!("{op} {rows} x {width}");
            let want = layer_norm(x.clone(), gain(), None) + view();
            let got = layer_norm_onto(x.clone(), gain(), view());
            close(&what("layer_norm_onto"), &values(got).await, &values(want).await);
            let onto = tensor([2, width, 1, rows], 0.9, device);
            let norm = layer_norm(x.clone(), gain(), None).swap_dims(1, 2).reshape([2, width, 1, rows]);
            let got = layer_norm_onto_map(x, gain(), onto.clone());
            close(&what("layer_norm_onto_map"), &values(got).await, &values(norm + onto).await);
        }
    }
}

/// Every op on `device`; what is right is known from the CPU.
pub(super) async fn check(device: &Device) {
    check_onto(device).await;
    let flex = &Device::flex();
    for [rows, outputs, inputs] in LAYERS {
        let x = |device: &Device| tensor([rows, inputs], 0.3, device);
        let view = |device: &Device| tensor([inputs, rows], 0.3, device).transpose();
        let weight = |device: &Device| tensor([outputs, inputs], 1.1, device);
        let bias = |device: &Device, some: bool| some.then(|| tensor([outputs], 2.0, device));
        for some in [false, true] {
            let what = format!("linear {rows} x {outputs} x {inputs}");
            let want = plain_linear(x(flex), weight(flex), bias(flex, some));
            close(&what, &values(linear(x(device), weight(device), bias(device, some))).await, &values(want).await);
            let want = plain_linear(view(flex), weight(flex), bias(flex, some));
            let got = linear(view(device), weight(device), bias(device, some));
            close(&format!("{what}, a view"), &values(got).await, &values(want).await);
        }
    }
    for [rows, width] in ROWS {
        // Rows far from zero as well: what counts is how they vary.
        for away in [0.0, 50.0] {
            let x = |device: &Device| tensor([width, rows], 0.3, device).transpose() + away;
            let gain = |device: &Device| tensor([width], 1.1, device);
            for some in [false, true] {
                let offset = |device: &Device| some.then(|| tensor([width], 2.0, device));
                let want = values(plain_layer_norm(x(flex), gain(flex), offset(flex))).await;
                let got = values(layer_norm(x(device), gain(device), offset(device))).await;
                close_by(&format!("layer_norm {rows} x {width} + {away}"), &got, &want, 2e-5 * (1.0 + away));
            }
        }
    }
    // Views of three axes: the pixels of a map, and some of the rows.
    let x = |device: &Device| tensor([3, 20, 35], 0.3, device).swap_dims(1, 2);
    let part = |device: &Device| tensor([3, 40, 20], 0.3, device).slice([1..3, 2..37, 0..20]);
    let gain = |device: &Device| tensor([20], 1.1, device);
    for (what, x) in [("a map", &x as &dyn Fn(&Device) -> Tensor<3>), ("a part", &part)] {
        let [b, n, d] = x(flex).dims();
        let want = plain_layer_norm(x(flex).reshape([b * n, d]), gain(flex), None);
        close(
            &format!("layer_norm of {what}"),
            &values(layer_norm(x(device), gain(device), None)).await,
            &values(want).await,
        );
    }
    for case in ATTENTIONS {
        let got = attend(case.q(device), case.keys(device), case.scales(device));
        let want = plain_attend(&case, case.q(flex), case.keys(flex), case.scales(flex));
        close(&format!("attend {case:?}"), &values(got).await, &values(want).await);
        let view = |device: &Device| tensor([case.b, case.heads * case.d, case.n], 0.4, device).swap_dims(1, 2);
        let got = attend(view(device), case.keys(device), case.scales(device));
        let want = plain_attend(&case, view(flex), case.keys(flex), case.scales(flex));
        close(&format!("attend, a view, {case:?}"), &values(got).await, &values(want).await);
        let got = attend(case.q(device), case.views(device), case.scales(device));
        let want = plain_attend(&case, case.q(flex), case.views(flex), case.scales(flex));
        close(&format!("attend, views of keys, {case:?}"), &values(got).await, &values(want).await);
    }
}

#[track_caller]
fn close_by(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
    let off = got.iter().zip(want).position(|(g, w)| !(g - w).abs().le(&(tolerance * scale)));
    assert!(
        off.is_none(),
        "{what}: element {off:?} is {:?}, should be {:?}",
        off.map(|i| got[i]),
        off.map(|i| want[i])
    );
}

/// What comes out of something that is no number is no number.
pub(super) async fn check_what_is_not_finite(device: &Device) {
    let row = |n: usize| {
        let mut values = wave(n, 0.2);
        values[n / 2] = f32::NAN;
        Tensor::<2>::from_data(TensorData::new(values, [1, n]), device)
    };
    let all_nan = |t: Vec<f32>| t.iter().all(|v| v.is_nan());
    assert!(all_nan(values(linear(row(8), tensor([5, 8], 0.1, device), None)).await), "linear");
    assert!(all_nan(values(layer_norm(row(8), tensor([8], 0.1, device), None)).await), "layer_norm");
    let [scale_q, scale_k] = [0, 1].map(|_| Tensor::ones([32], device));
    let keys = Keys { kv: tensor([1, 6, 64], 0.5, device), null: None, mask: None };
    let y = attend(row(32).unsqueeze(), keys, [scale_q, scale_k]);
    assert!(all_nan(values(y).await), "attend");
    check_rows_that_are_not_finite(device).await;
    check_values_that_are_not_finite(device).await;
}

/// Each row is by itself.
async fn check_rows_that_are_not_finite(device: &Device) {
    let (rows, width, wrong) = (37, 20, 33);
    let mut numbers = wave(rows * width, 0.2);
    numbers[wrong * width + 7] = f32::NAN;
    let x = || Tensor::<2>::from_data(TensorData::new(numbers.clone(), [rows, width]), device);
    let outputs = [
        ("linear", linear(x(), tensor([5, width], 0.1, device), Some(tensor([5], 2.0, device)))),
        ("layer_norm", layer_norm(x(), tensor([width], 0.1, device), Some(tensor([width], 2.0, device)))),
    ];
    for (op, y) in outputs {
        let columns = y.dims()[1];
        for (i, v) in values(y).await.into_iter().enumerate() {
            let right = if i / columns == wrong { v.is_nan() } else { v.is_finite() };
            assert!(right, "{op}: element {i} of rows of {columns} is {v}, and row {wrong} is no number");
        }
    }
}

/// A feature of one value is no number: so is that feature of every query whose head it belongs to, however small a share of
/// it they have.
async fn check_values_that_are_not_finite(device: &Device) {
    let case = Case { b: 2, n: 5, m: 4, heads: 4, kv_heads: 2, d: 32, null: true, masked: 0 };
    let (key, head, feature) = (2, 1, 5);
    let width = 2 * case.kv_heads * case.d;
    let mut kv = wave(case.b * case.m * width, 1.7);
    // In the second image; values follow the keys of all heads.
    kv[(case.m + key) * width + (case.kv_heads + head) * case.d + feature] = f32::NAN;
    let kv = Tensor::from_data(TensorData::new(kv, [case.b, case.m, width]), device);
    let y = values(attend(case.q(device), Keys { kv, ..case.keys(device) }, case.scales(device))).await;
    for (i, v) in y.into_iter().enumerate() {
        let (image, of) = (i / (case.n * case.heads * case.d), i / case.d % case.heads);
        let its = image == 1 && of / (case.heads / case.kv_heads) == head && i % case.d == feature;
        let right = if its { v.is_nan() } else { v.is_finite() };
        assert!(right, "attend: element {i} is {v}, and it is of the value that is no number: {its}");
    }
}
