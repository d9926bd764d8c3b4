//! The specification of attention, in ordinary tensor operations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, FloatDType, TensorMetadata};
use burn::tensor::Shape;

use super::{Gradients, Inputs, LOGIT_SCALE, Sizes, null_shape};

/// Taken from the logit of a key that is not there; no other comes near.
const ABSENT: f32 = 1e9;
/// Length below which a vector counts as zero (torch's `F.normalize`).
const SHORTEST: f32 = 1e-12;

/// What both directions need, by heads of keys, the null one first: `r` rows of queries share a head.
struct Parts<B: Backend> {
    /// Unit length, `[b, kv_heads, r, d]`, and one over the lengths.
    q: (FloatTensor<B>, FloatTensor<B>),
    /// Unit length, `[b, kv_heads, m, d]`, and one over the lengths.
    k: (FloatTensor<B>, FloatTensor<B>),
    /// `[b, kv_heads, m, d]`.
    v: FloatTensor<B>,
    /// Unit queries, scaled, times [`LOGIT_SCALE`].
    scaled_q: FloatTensor<B>,
    /// Unit keys, scaled.
    scaled_k: FloatTensor<B>,
    /// The shares of the keys, `[b, kv_heads, r, m]`.
    p: FloatTensor<B>,
}

/// `[b, n, heads d]` as `[b, kv_heads, heads / kv_heads n, d]`.
fn by_head<B: Backend>(size: &Sizes, x: FloatTensor<B>) -> FloatTensor<B> {
    let Sizes { b, n, heads, kv_heads, d, .. } = *size;
    let x = B::float_swap_dims(B::float_reshape(x, Shape::new([b, n, heads, d])), 1, 2);
    B::float_reshape(x, Shape::new([b, kv_heads, heads / kv_heads * n, d]))
}

/// The way back.
fn by_position<B: Backend>(size: &Sizes, x: FloatTensor<B>) -> FloatTensor<B> {
    let Sizes { b, n, heads, d, .. } = *size;
    let x = B::float_swap_dims(B::float_reshape(x, Shape::new([b, heads, n, d])), 1, 2);
    B::float_reshape(x, Shape::new([b, n, heads * d]))
}

fn unit<B: Backend>(x: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let squares = B::float_sum_dim(B::float_mul(x.clone(), x.clone()), 3);
    let inverse = B::float_recip(B::float_clamp_min(B::float_sqrt(squares), SHORTEST.into()));
    (B::float_mul(x, inverse.clone()), inverse)
}

fn broadcast<B: Backend>(scale: &FloatTensor<B>) -> FloatTensor<B> {
    let d = scale.shape()[0];
    B::float_reshape(scale.clone(), Shape::new([1, 1, 1, d]))
}

/// One half of `kv`, `[b, kv_heads, m, d]`, the null one first.
fn half<B: Backend>(size: &Sizes, inputs: &Inputs<B>, i: usize) -> FloatTensor<B> {
    let Sizes { b, m, kv_heads, d, .. } = *size;
    let kv = B::float_reshape(inputs.kv.clone(), Shape::new([b, m, 2, kv_heads * d]));
    let x = B::float_slice(kv, &[(0..b).into(), (0..m).into(), (i..i + 1).into(), (0..kv_heads * d).into()]);
    let x = B::float_swap_dims(B::float_reshape(x, Shape::new([b, m, kv_heads, d])), 1, 2);
    if !inputs.with_null {
        return x;
    }
    let row = B::float_slice(inputs.null.clone(), &[(i..i + 1).into(), (0..d).into()]);
    let row = B::float_expand(B::float_reshape(row, Shape::new([1, 1, 1, d])), Shape::new([b, kv_heads, 1, d]));
    B::float_cat(vec![row, x], 2)
}

/// 0 for the logits of keys that are there, and minus infinity as far as softmax goes: `[b, 1, 1, m]`.
fn bias<B: Backend>(size: &Sizes, inputs: &Inputs<B>) -> Option<FloatTensor<B>> {
    let masked = inputs.masked;
    if masked == 0 {
        return None;
    }
    let mask = inputs.mask.clone();
    let device = mask.device();
    let ones = |n| B::float_ones(Shape::new([size.b, n]), &device, FloatDType::F32);
    let (before, after) = (usize::from(inputs.with_null), size.m - masked);
    let mut parts = vec![mask];
    if before > 0 {
        parts.insert(0, ones(before));
    }
    if after > 0 {
        parts.push(ones(after));
    }
    let bias = B::float_mul_scalar(B::float_sub_scalar(B::float_cat(parts, 1), 1f32.into()), ABSENT.into());
    Some(B::float_reshape(bias, Shape::new([size.b, 1, 1, before + size.m])))
}

fn parts<B: Backend>(size: &Sizes, inputs: &Inputs<B>) -> Parts<B> {
    let q = unit::<B>(by_head::<B>(size, inputs.q.clone()));
    let k = unit::<B>(half::<B>(size, inputs, 0));
    let scale = B::float_mul_scalar(broadcast::<B>(&inputs.scale_q), LOGIT_SCALE.into());
    let scaled_q = B::float_mul(q.0.clone(), scale);
    let scaled_k = B::float_mul(k.0.clone(), broadcast::<B>(&inputs.scale_k));
    let mut logits = B::float_matmul(scaled_q.clone(), B::float_swap_dims(scaled_k.clone(), 2, 3));
    if let Some(bias) = bias::<B>(size, inputs) {
        logits = B::float_add(logits, bias);
    }
    let p = B::float_exp(B::float_sub(logits.clone(), B::float_max_dim(logits, 3)));
    let p = B::float_div(p.clone(), B::float_sum_dim(p, 3));
    Parts { q, k, v: half::<B>(size, inputs, 1), scaled_q, scaled_k, p }
}

pub(super) fn forward<B: Backend>(inputs: &Inputs<B>) -> FloatTensor<B> {
    let size = inputs.sizes();
    let parts = parts::<B>(&size, inputs);
    by_position::<B>(&size, B::float_matmul(parts.p, parts.v))
}

/// The gradient `d` of `unit * scale` into those of the vectors before they were of unit length, and of the scale.
fn through_unit<B: Backend>(
    d: FloatTensor<B>,
    (unit, inverse): (FloatTensor<B>, FloatTensor<B>),
    scale: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let width = scale.shape()[3];
    let dscale = B::float_mul(d.clone(), unit.clone());
    let rows = dscale.shape().num_elements() / width;
    let dscale = B::float_sum_dim(B::float_reshape(dscale, Shape::new([rows, width])), 0);
    let d = B::float_mul(d, scale);
    let along = B::float_sum_dim(B::float_mul(d.clone(), unit.clone()), 3);
    let d = B::float_mul(B::float_sub(d, B::float_mul(unit, along)), inverse);
    (d, B::float_reshape(dscale, Shape::new([width])))
}

pub(super) fn backward<B: Backend>(inputs: &Inputs<B>, dy: FloatTensor<B>) -> Gradients<B> {
    let size = inputs.sizes();
    let Parts { q, k, v, scaled_q, scaled_k, p } = parts::<B>(&size, inputs);
    let dy = by_head::<B>(&size, dy);
    let dv = B::float_matmul(B::float_swap_dims(p.clone(), 2, 3), dy.clone());
    let dp = B::float_matmul(dy, B::float_swap_dims(v, 2, 3));
    let mean = B::float_sum_dim(B::float_mul(dp.clone(), p.clone()), 3);
    let dlogits = B::float_mul(p, B::float_sub(dp, mean));
    let dk = B::float_matmul(B::float_swap_dims(dlogits.clone(), 2, 3), scaled_q);
    let dq = B::float_matmul(dlogits, scaled_k);
    let scale = B::float_mul_scalar(broadcast::<B>(&inputs.scale_q), LOGIT_SCALE.into());
    let (dq, dscale_q) = through_unit::<B>(dq, q, scale);
    let dscale_q = B::float_mul_scalar(dscale_q, LOGIT_SCALE.into());
    let (dk, dscale_k) = through_unit::<B>(dk, k, broadcast::<B>(&inputs.scale_k));
    let (dkv, dnull) = gather::<B>(&size, inputs, [dk, dv]);
    Gradients { q: by_position::<B>(&size, dq), kv: dkv, null: dnull, scale_q: dscale_q, scale_k: dscale_k }
}

/// The gradients of keys and values, `[b, kv_heads, m, d]` each with the null one first, into those of `kv` and of the
/// null.
fn gather<B: Backend>(
    size: &Sizes,
    inputs: &Inputs<B>,
    halves: [FloatTensor<B>; 2],
) -> (FloatTensor<B>, FloatTensor<B>) {
    let Sizes { b, m, kv_heads, d, .. } = *size;
    let before = usize::from(inputs.with_null);
    let rows = |t: &FloatTensor<B>, range: std::ops::Range<usize>| {
        B::float_slice(t.clone(), &[(0..b).into(), (0..kv_heads).into(), range.into(), (0..d).into()])
    };
    let tokens = halves.each_ref().map(|t| {
        let t = B::float_swap_dims(rows(t, before..before + m), 1, 2);
        B::float_reshape(t, Shape::new([b, m, kv_heads * d]))
    });
    let dkv = B::float_cat(tokens.to_vec(), 2);
    if before == 0 {
        let device = dkv.device();
        return (dkv, B::float_zeros(null_shape(&inputs.scale_q.shape()), &device, FloatDType::F32));
    }
    let null = halves.each_ref().map(|t| {
        let t = B::float_reshape(rows(t, 0..1), Shape::new([b * kv_heads, d]));
        B::float_sum_dim(t, 0)
    });
    (dkv, B::float_cat(null.to_vec(), 0))
}
