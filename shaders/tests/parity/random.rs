//! The ops at sizes that nobody chose: drawn at random, the same ones in every run, and named where an op is wrong.

use burn::tensor::{Device, Tensor};
use firefall_shaders::{Keys, attend, block_norm, global_context, layer_norm, linear, pointwise, rms_norm_silu};

use super::maps::{self, plain_block_norm, plain_global_context, plain_norm, plain_pointwise};
use super::tokens::{Case, plain_attend, plain_layer_norm, plain_linear};
use super::{close, tensor, values};

/// Draws of every op.
const DRAWS: usize = 24;

/// Numbers without a pattern (SplitMix).
struct Draws(u64);

impl Draws {
    /// From 0 up to, but not including, `n`.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// From 1 to `most`.
    fn size(&mut self, most: usize) -> usize {
        1 + self.below(most)
    }

    /// From 1 to about `most`, every other time a multiple of `step`, for which kernels have a way of their own.
    fn often(&mut self, most: usize, step: usize) -> usize {
        let n = self.size(most);
        if self.coin() { n.next_multiple_of(step) } else { n }
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// `[b, c, h, w]`.
    fn map(&mut self) -> [usize; 4] {
        [self.size(4), self.often(40, 4), self.size(20), self.often(24, 8)]
    }
}

/// Every op on `device`; what is right is known from the CPU.
pub(super) async fn check(device: &Device) {
    let mut draws = Draws(20);
    for _ in 0..DRAWS {
        check_convolution(&mut draws, device).await;
        check_pointwise(&mut draws, device).await;
        check_norms(&mut draws, device).await;
        check_global_context(&mut draws, device).await;
        check_rows(&mut draws, device).await;
        check_attend(&mut draws, device).await;
    }
}

async fn check_convolution(draws: &mut Draws, device: &Device) {
    let (shape, o) = (draws.map(), draws.often(40, 4));
    let [b, c, h, w] = shape;
    let on = |device: &Device| {
        let (x, dy) = (tensor(shape, 0.3, device), tensor([b, o, h, w], 1.9, device));
        (x, dy, tensor([o, c, 3, 3], 1.1, device), tensor([o], 2.0, device))
    };
    maps::check_convolution(&format!("{shape:?} to {o}"), on(device), on(&Device::flex())).await;
}

async fn check_pointwise(draws: &mut Draws, device: &Device) {
    let (shape, o) = (draws.map(), draws.often(40, 4));
    let on = |device: &Device| {
        let weight = tensor([o, shape[1], 1, 1], 1.1, device);
        (tensor(shape, 0.3, device), weight, tensor([o], 2.0, device))
    };
    let ((x, weight, bias), known) = (on(device), on(&Device::flex()));
    let want = values(plain_pointwise(known.0, known.1, known.2)).await;
    close(&format!("pointwise {shape:?} to {o}"), &values(pointwise(x, weight, bias)).await, &want);
}

async fn check_norms(draws: &mut Draws, device: &Device) {
    let (shape, modulated) = (draws.map(), draws.coin());
    let [b, c, ..] = shape;
    let on = |device: &Device| (tensor(shape, 0.3, device), tensor([b, 2, c], 0.8, device));
    let ((x, affine), known) = (on(device), on(&Device::flex()));
    let want = values(plain_norm(known.0, known.1)).await;
    close(&format!("rms_norm_silu {shape:?}"), &values(rms_norm_silu(x, affine)).await, &want);
    let on = |device: &Device| {
        let both = modulated.then(|| tensor([b, 2 * c], 1.4, device));
        (tensor(shape, 0.3, device), tensor([c], 0.7, device), both)
    };
    let ((x, gamma, both), known) = (on(device), on(&Device::flex()));
    let want = values(plain_block_norm(known.0, known.1, known.2)).await;
    let got = values(block_norm(x, gamma, both)).await;
    close(&format!("block_norm {shape:?}, modulated: {modulated}"), &got, &want);
}

async fn check_global_context(draws: &mut Draws, device: &Device) {
    let (shape, d) = (draws.map(), draws.size(24));
    let c = shape[1];
    let on = |device: &Device| {
        // As small as weights are, so that no gate is 0 or 1 whatever is seen.
        let layer =
            |o: usize, c: usize| (tensor([o, c, 1, 1], 0.9, device) / (c as f32).sqrt(), tensor([o], 0.4, device));
        (tensor(shape, 0.3, device), layer(1, c), layer(d, c), layer(c, d))
    };
    let ((x, key, squeeze, expand), known) = (on(device), on(&Device::flex()));
    let want = values(plain_global_context(known.0, known.1, known.2, known.3)).await;
    close(&format!("global_context {shape:?} by {d}"), &values(global_context(x, key.0, squeeze, expand)).await, &want);
}

async fn check_rows(draws: &mut Draws, device: &Device) {
    let (rows, outputs, inputs, some) = (draws.size(80), draws.size(80), draws.often(68, 4), draws.coin());
    let on = |device: &Device| {
        let bias = some.then(|| tensor([outputs], 2.0, device));
        (tensor([rows, inputs], 0.3, device), tensor([outputs, inputs], 1.1, device), bias)
    };
    let ((x, weight, bias), known) = (on(device), on(&Device::flex()));
    let want = values(plain_linear(known.0, known.1, known.2)).await;
    let what = format!("linear {rows} x {outputs} x {inputs}, with a bias: {some}");
    close(&what, &values(linear(x, weight, bias)).await, &want);

    // Fewer could be so alike that their variance is lost in rounding.
    let (rows, width, some) = (draws.size(90), 3 + draws.size(140), draws.coin());
    let on = |device: &Device| {
        let offset = some.then(|| tensor([width], 2.0, device));
        (tensor([rows, width], 0.3, device), tensor([width], 1.1, device), offset)
    };
    let ((x, gain, offset), known) = (on(device), on(&Device::flex()));
    let want = values(plain_layer_norm(known.0, known.1, known.2)).await;
    let what = format!("layer_norm {rows} x {width}, with an offset: {some}");
    close(&what, &values(layer_norm(x, gain, offset)).await, &want);
}

async fn check_attend(draws: &mut Draws, device: &Device) {
    let (kv_heads, m, null) = (draws.size(2), draws.size(70), draws.coin());
    let case = Case {
        b: draws.size(3),
        n: draws.size(70),
        m,
        heads: kv_heads * draws.size(2),
        kv_heads,
        d: [32, 64, 32, 64, 8][draws.below(5)],
        null,
        masked: if null { draws.below(m + 1) } else { 0 },
    };
    let on = |device: &Device| -> (Tensor<3>, Keys, [Tensor<1>; 2]) {
        // Near 1, as in a network: where logits are large, single precision knows little of what comes of them.
        let scales = [0.9, 2.2].map(|seed| tensor([case.d], seed, device) * 0.2 + 1.0);
        (case.q(device), case.keys(device), scales)
    };
    let ((q, keys, scales), known) = (on(device), on(&Device::flex()));
    let want = values(plain_attend(&case, known.0, known.1, known.2)).await;
    close(&format!("attend {case:?}"), &values(attend(q, keys, scales)).await, &want);
}
