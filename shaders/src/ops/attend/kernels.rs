//! The CPU kernels of attention, over plain slices.

use crate::cpu::{self, LANES};
use crate::product::{Product, transposed};
use crate::vector::{Eight, Vector};

use super::{LOGIT_SCALE, Sizes};

/// Query positions of a task, at most.
const POSITIONS: usize = 16;
/// Length below which a vector counts as zero.
const SHORTEST: f32 = 1e-12;
/// The logit of a key that is not there.
const ABSENT: f32 = -1e9;

/// What attention reads.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// `[b, n, heads, d]`.
    pub(super) q: &'a [f32],
    /// `[b, m, 2, kv_heads, d]`.
    pub(super) kv: &'a [f32],
    /// `[2, d]`.
    pub(super) null: Option<&'a [f32]>,
    /// `[d]` each, of queries and keys.
    pub(super) scales: [&'a [f32]; 2],
    /// `[b, masked]`.
    pub(super) mask: &'a [f32],
    /// Keys, the first ones, that the mask speaks of.
    pub(super) masked: usize,
}

impl Inputs<'_> {
    /// Key `key` of head `head`, then its value: the null ones come first.
    fn row(&self, size: &Sizes, image: usize, head: usize, key: usize) -> [&[f32]; 2] {
        let d = size.d;
        match (self.null, key) {
            (Some(null), 0) => [&null[..d], &null[d..]],
            _ => {
                let key = key - usize::from(self.null.is_some());
                let rows = &self.kv[(image * size.m + key) * 2 * size.kv_heads * d..];
                [0, 1].map(|half| &rows[(half * size.kv_heads + head) * d..][..d])
            }
        }
    }

    /// Whether a key, counted with the null one, is there.
    fn there(&self, image: usize, key: usize) -> bool {
        match key.checked_sub(usize::from(self.null.is_some())) {
            Some(key) if key < self.masked => self.mask[image * self.masked + key] != 0.0,
            _ => true,
        }
    }
}

/// The keys and values of one head of one image, the null ones first, padded with absent ones to whole vectors.
struct Keys {
    /// Keys, the null one among them, without the padding.
    count: usize,
    /// With it.
    padded: usize,
    /// 0, or [`ABSENT`].
    bias: Vec<f32>,
    /// Unit length, unscaled, `[padded, d]`.
    unit: Vec<f32>,
    /// One over the length of each key.
    inverse: Vec<f32>,
    /// Unit length and scaled, `[d, padded]`.
    scaled_t: Vec<f32>,
    /// `[padded, d]`.
    values: Vec<f32>,
}

impl Keys {
    fn of(size: &Sizes, inputs: &Inputs<'_>, image: usize, head: usize) -> Self {
        let d = size.d;
        let count = size.m + usize::from(inputs.null.is_some());
        let padded = count.next_multiple_of(LANES);
        let mut keys = Self {
            count,
            padded,
            bias: vec![ABSENT; padded],
            unit: vec![0f32; padded * d],
            inverse: vec![0f32; padded],
            scaled_t: vec![0f32; padded * d],
            values: vec![0f32; padded * d],
        };
        for key in 0..count {
            let [k, v] = inputs.row(size, image, head, key);
            if inputs.there(image, key) {
                keys.bias[key] = 0.0;
            }
            keys.values[key * d..][..d].copy_from_slice(v);
            keys.inverse[key] = inverse_length(k);
            for (i, &k) in k.iter().enumerate() {
                let unit = k * keys.inverse[key];
                keys.unit[key * d + i] = unit;
                keys.scaled_t[i * padded + key] = unit * inputs.scales[1][i];
            }
        }
        keys
    }
}

fn inverse_length(v: &[f32]) -> f32 {
    1.0 / v.iter().map(|v| v * v).sum::<f32>().sqrt().max(SHORTEST)
}

/// Some query positions of one head of keys, a row for each position and head of queries that shares it.
struct Queries {
    /// Unit length, unscaled, `[rows, d]`.
    unit: Vec<f32>,
    inverse: Vec<f32>,
    /// Unit length and scaled, times [`LOGIT_SCALE`].
    scaled: Vec<f32>,
    /// Where each row begins in the `[positions, heads, d]` it came from.
    places: Vec<usize>,
}

impl Queries {
    fn of(size: &Sizes, q: &[f32], scale: &[f32], head: usize) -> Self {
        let d = size.d;
        let share = size.heads / size.kv_heads;
        let places: Vec<usize> = (0..q.len() / (size.heads * d))
            .flat_map(|position| (0..share).map(move |i| (position * size.heads + head * share + i) * d))
            .collect();
        let inverse: Vec<f32> = places.iter().map(|&at| inverse_length(&q[at..at + d])).collect();
        let rows = places.iter().zip(&inverse);
        let unit: Vec<f32> = rows.flat_map(|(&at, &inverse)| q[at..at + d].iter().map(move |q| q * inverse)).collect();
        let scaled = unit.iter().zip(scale.iter().cycle()).map(|(q, s)| q * s * LOGIT_SCALE).collect();
        Self { unit, inverse, scaled, places }
    }

    /// The rows of these heads out of `[positions, heads, d]`.
    fn gather(&self, from: &[f32], d: usize) -> Vec<f32> {
        self.places.iter().flat_map(|&at| &from[at..at + d]).copied().collect()
    }

    fn scatter(&self, rows: &[f32], d: usize, to: &mut [f32]) {
        for (&at, row) in self.places.iter().zip(rows.chunks_exact(d)) {
            to[at..at + d].copy_from_slice(row);
        }
    }
}

/// The shares of the keys for each row of queries, `[rows, padded]`.
#[inline(always)]
fn shares<const FMA: bool>(size: &Sizes, queries: &Queries, keys: &Keys) -> Vec<f32> {
    let n = keys.padded;
    let mut p = vec![0f32; queries.places.len() * n];
    Product { a: &queries.scaled, strides: [size.d, 1], b: &keys.scaled_t, n, add: false }.into::<FMA>(&mut p);
    for p in p.chunks_exact_mut(n) {
        let mut highest = Eight::splat(f32::NEG_INFINITY);
        for (p, bias) in p.chunks_exact_mut(LANES).zip(keys.bias.chunks_exact(LANES)) {
            let logit = Eight::load(p) + Eight::load(bias);
            logit.store(p);
            highest = highest.max(logit);
        }
        let highest = Eight::splat(highest.lanes().into_iter().fold(f32::NEG_INFINITY, f32::max));
        let mut sum = Eight::splat(0.0);
        for p in p.chunks_exact_mut(LANES) {
            let share = (Eight::load(p) - highest).exp().or_nothing();
            share.store(p);
            sum = sum + share;
        }
        let whole = Eight::splat(1.0 / sum.lanes().iter().sum::<f32>());
        for p in p.chunks_exact_mut(LANES) {
            (Eight::load(p) * whole).store(p);
        }
    }
    p
}

/// The values that queries attend to, `[b, n, heads, d]`.
pub(super) fn forward(size: &Sizes, inputs: &Inputs<'_>) -> Vec<f32> {
    let width = size.heads * size.d;
    let keys = all_keys(size, inputs);
    let mut y = vec![0f32; size.b * size.n * width];
    // So many positions that a task stays within an image.
    let positions = (1..=POSITIONS.min(size.n)).rev().find(|&p| size.n.is_multiple_of(p)).unwrap_or(1);
    let len = positions * width;
    cpu::for_chunks(&mut y, len, |i, y| {
        let image = i * positions / size.n;
        let q = &inputs.q[i * len..][..len];
        for (head, keys) in keys[image * size.kv_heads..][..size.kv_heads].iter().enumerate() {
            forward_head(size, q, inputs.scales[0], (head, keys), y);
        }
    });
    y
}

/// For every image and head.
fn all_keys(size: &Sizes, inputs: &Inputs<'_>) -> Vec<Keys> {
    let heads = (0..size.b).flat_map(|image| (0..size.kv_heads).map(move |head| (image, head)));
    heads.map(|(image, head)| Keys::of(size, inputs, image, head)).collect()
}

cpu::multiversion! {
    fn forward_head(size: &Sizes, q: &[f32], scale: &[f32], keys: (usize, &Keys), y: &mut [f32]) = forward_head_body
}

#[inline(always)]
fn forward_head_body<const FMA: bool>(
    size: &Sizes,
    q: &[f32],
    scale: &[f32],
    (head, keys): (usize, &Keys),
    y: &mut [f32],
) {
    let queries = Queries::of(size, q, scale, head);
    let p = shares::<FMA>(size, &queries, keys);
    let mut out = vec![0f32; queries.scaled.len()];
    Product { a: &p, strides: [keys.padded, 1], b: &keys.values, n: size.d, add: false }.into::<FMA>(&mut out);
    queries.scatter(&out, size.d, y);
}

/// The gradients of everything but the mask.
pub(super) struct Gradients {
    /// `[b, n, heads, d]`.
    pub(super) q: Vec<f32>,
    /// `[b, m, 2, kv_heads, d]`.
    pub(super) kv: Vec<f32>,
    /// `[2, d]`, zero where there is no null.
    pub(super) null: Vec<f32>,
    /// `[d]` each.
    pub(super) scales: [Vec<f32>; 2],
}

/// From the gradient `dy: [b, n, heads, d]` of the output; the shares are computed again rather than kept.
pub(super) fn backward(size: &Sizes, inputs: &Inputs<'_>, dy: &[f32]) -> Gradients {
    let d = size.d;
    let image_q = size.n * size.heads * d;
    let image_kv = size.m * 2 * size.kv_heads * d;
    // An image's gradients of keys and values, then its part of the null's and of the scales'.
    let rest = 4 * d;
    let mut dq = vec![0f32; inputs.q.len()];
    let mut others = vec![0f32; size.b * (image_kv + rest)];
    cpu::for_chunks2(&mut dq, image_q, &mut others, image_kv + rest, |image, dq, others| {
        let (dkv, rest) = others.split_at_mut(image_kv);
        for head in 0..size.kv_heads {
            let keys = Keys::of(size, inputs, image, head);
            let mut out = HeadGradients { dq, dkv, rest };
            let (q, dy) = (&inputs.q[image * image_q..][..image_q], &dy[image * image_q..][..image_q]);
            backward_head(size, inputs, (head, &keys), [q, dy], &mut out);
        }
    });
    let mut dkv = Vec::with_capacity(inputs.kv.len());
    let mut sums = vec![0f32; rest];
    for image in others.chunks_exact(image_kv + rest) {
        dkv.extend_from_slice(&image[..image_kv]);
        sums.iter_mut().zip(&image[image_kv..]).for_each(|(sum, v)| *sum += v);
    }
    let scales = [2, 3].map(|i| sums[i * d..][..d].to_vec());
    sums.truncate(2 * d);
    Gradients { q: dq, kv: dkv, null: sums, scales }
}

/// Where the gradients of one image go.
struct HeadGradients<'a> {
    /// `[n, heads, d]`.
    dq: &'a mut [f32],
    /// `[m, 2, kv_heads, d]`.
    dkv: &'a mut [f32],
    /// Of the null key, the null value, the scales of queries, those of keys; `[4, d]`, added to.
    rest: &'a mut [f32],
}

cpu::multiversion! {
    fn backward_head(
        size: &Sizes,
        inputs: &Inputs<'_>,
        keys: (usize, &Keys),
        q_dy: [&[f32]; 2],
        out: &mut HeadGradients<'_>,
    ) = backward_head_body
}

#[inline(always)]
fn backward_head_body<const FMA: bool>(
    size: &Sizes,
    inputs: &Inputs<'_>,
    (head, keys): (usize, &Keys),
    [q, dy]: [&[f32]; 2],
    out: &mut HeadGradients<'_>,
) {
    let (d, n) = (size.d, keys.padded);
    let values_t = transposed(&keys.values, d);
    let scaled = transposed(&keys.scaled_t, n);
    let mut dk = vec![0f32; n * d];
    let mut dv = vec![0f32; n * d];
    let len = POSITIONS * size.heads * d;
    for ((q, dy), dq) in q.chunks(len).zip(dy.chunks(len)).zip(out.dq.chunks_mut(len)) {
        let queries = Queries::of(size, q, inputs.scales[0], head);
        let dy = queries.gather(dy, d);
        let p = shares::<FMA>(size, &queries, keys);
        let mut ds = vec![0f32; p.len()];
        Product { a: &dy, strides: [d, 1], b: &values_t, n, add: false }.into::<FMA>(&mut ds);
        for (ds, p) in ds.chunks_exact_mut(n).zip(p.chunks_exact(n)) {
            let mut acc = [0f32; LANES];
            for (ds, p) in ds.chunks_exact(LANES).zip(p.chunks_exact(LANES)) {
                for ((acc, ds), p) in acc.iter_mut().zip(ds).zip(p) {
                    *acc = cpu::mul_add::<FMA>(*ds, *p, *acc);
                }
            }
            let mean: f32 = acc.iter().sum();
            for (ds, p) in ds.iter_mut().zip(p) {
                *ds = p * (*ds - mean);
            }
        }
        Product { a: &p, strides: [1, n], b: &dy, n: d, add: true }.into::<FMA>(&mut dv);
        Product { a: &ds, strides: [1, n], b: &queries.scaled, n: d, add: true }.into::<FMA>(&mut dk);
        let mut dscaled = vec![0f32; dy.len()];
        Product { a: &ds, strides: [n, 1], b: &scaled, n: d, add: false }.into::<FMA>(&mut dscaled);
        let mut through = Unit { unit: &queries.unit, inverse: &queries.inverse, scale: inputs.scales[0] };
        through.backward(LOGIT_SCALE, &mut dscaled, &mut out.rest[2 * d..3 * d]);
        queries.scatter(&dscaled, d, dq);
    }
    let mut through = Unit { unit: &keys.unit, inverse: &keys.inverse, scale: inputs.scales[1] };
    through.backward(1.0, &mut dk, &mut out.rest[3 * d..]);
    for key in 0..keys.count {
        let rows = [&dk, &dv].map(|rows| &rows[key * d..][..d]);
        for (half, row) in rows.into_iter().enumerate() {
            let to = match key.checked_sub(usize::from(inputs.null.is_some())) {
                Some(key) => &mut out.dkv[((key * 2 + half) * size.kv_heads + head) * d..][..d],
                None => &mut out.rest[half * d..][..d],
            };
            to.iter_mut().zip(row).for_each(|(to, v)| *to += v);
        }
    }
}

/// Vectors brought to unit length and scaled.
struct Unit<'a> {
    unit: &'a [f32],
    inverse: &'a [f32],
    scale: &'a [f32],
}

impl Unit<'_> {
    /// The gradient of `factor * unit(x) * scale` into that of `x`, in place; that of the scale is added to `dscale`.
    #[inline(always)]
    fn backward(&mut self, factor: f32, dx: &mut [f32], dscale: &mut [f32]) {
        let d = self.scale.len();
        for ((dx, unit), inverse) in dx.chunks_exact_mut(d).zip(self.unit.chunks_exact(d)).zip(self.inverse) {
            let mut along = 0.0;
            for (((dx, unit), scale), dscale) in dx.iter_mut().zip(unit).zip(self.scale).zip(&mut *dscale) {
                *dscale += *dx * unit * factor;
                *dx *= scale * factor;
                along += *dx * unit;
            }
            for (dx, unit) in dx.iter_mut().zip(unit) {
                *dx = (*dx - unit * along) * inverse;
            }
        }
    }
}
