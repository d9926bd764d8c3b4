//! T5's self-attention and its relative positions.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData, activation};

use super::{T5Config, T5Norm};
use crate::nn::Init;
use crate::nn::attention::{merge_heads, split_heads};
use crate::nn::linear::Linear;

/// A learned bias on the logits by relative position, one per bucket and head.
#[derive(Module, Debug)]
pub struct PositionBias {
    /// `[buckets, nh]`.
    pub weight: Param<Tensor<2>>,
    max_distance: usize,
}

/// Standard deviation of the first biases, that of the first logits, where T5 has `1 / sqrt(d_model)`. Small encoders that
/// began so and were trained on captions alone stayed bags of words in our runs.
const FIRST_BIAS: f32 = 1.0;

impl PositionBias {
    /// Each head looks at places of its own from the start.
    pub fn new(init: &mut Init<'_>, config: &T5Config) -> Self {
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        Self { weight: init.normal(shape, FIRST_BIAS), max_distance: config.relative_attention_max_distance }
    }

    /// The bias between each query and each key of a sequence of `n` tokens.
    ///
    /// # Shapes
    /// - output: `[1, nh, n, n]`, queries then keys
    pub fn forward(&self, n: usize) -> Tensor<4> {
        let [buckets, heads] = self.weight.dims();
        // A bias depends on the difference alone, so 2 n - 1 logarithms do for n^2 pairs.
        let last = n as i64 - 1;
        let of_difference: Vec<_> = (-last..=last).map(|d| bucket(d, buckets, self.max_distance)).collect();
        let ids = (0..n).flat_map(|query| (0..n).map(move |key| key + n - 1 - query)).map(|i| of_difference[i]);
        let ids = TensorData::new(ids.collect(), [n * n]);
        let ids = Tensor::<1, Int>::from_data(ids, &self.weight.device());
        self.weight.val().select(0, ids).reshape([1, n, n, heads]).permute([0, 3, 1, 2])
    }
}

/// The bucket of `difference`, key minus query in tokens: exact near by, logarithmic further away, the last of its
/// direction from `max_distance` on.
pub(super) fn bucket(difference: i64, buckets: usize, max_distance: usize) -> i32 {
    let side = buckets / 2;
    let exact = side / 2;
    let distance = difference.unsigned_abs() as usize;
    let within = if distance < exact {
        distance
    } else {
        // In f32, as the reference: a rounded logarithm decides the bucket of a distance on a boundary.
        let progress =
            libm::logf(distance as f32 / exact as f32) / libm::log(max_distance as f64 / exact as f64) as f32;
        (exact + (progress * (side - exact) as f32) as usize).min(side - 1)
    };
    (within + if difference > 0 { side } else { 0 }) as i32
}

/// `1 / sqrt(fan_in)`.
pub(super) fn deviation(fan_in: usize) -> f32 {
    (fan_in as f64).powf(-0.5) as f32
}

/// Norm, self-attention, projection; the residual is the caller's.
#[derive(Module, Debug)]
pub struct T5Attention {
    norm: T5Norm,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    heads: usize,
}

impl T5Attention {
    /// Drawn as T5 does: queries so small that logits need no scale.
    pub fn new(init: &mut Init<'_>, config: &T5Config) -> Self {
        let (d, inner) = (config.d_model, config.inner());
        Self {
            norm: T5Norm::new(init, config),
            q: Linear::normal(init, d, inner, deviation(d * config.d_kv)),
            k: Linear::normal(init, d, inner, deviation(d)),
            v: Linear::normal(init, d, inner, deviation(d)),
            o: Linear::normal(init, inner, d, deviation(inner)),
            heads: config.num_heads,
        }
    }

    /// # Shapes
    /// - x, output: `[b, n, d]`
    /// - bias, positions and mask: `[b, nh, n, n]`
    pub fn forward(&self, x: Tensor<3>, bias: &Tensor<4>) -> Tensor<3> {
        let x = self.norm.forward(x);
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|layer| split_heads(layer.forward(x.clone()), self.heads));
        let logits = q.matmul(k.transpose()) + bias.clone();
        self.o.forward(merge_heads(activation::softmax(logits, 3).matmul(v)))
    }
}
