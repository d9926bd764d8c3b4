//! What of the encoder cannot be seen from outside; `tests/it/t5.rs` holds it against transformers.

#[cfg(feature = "train")]
use burn::module::Module;
use burn::module::Param;
use burn::tensor::{Device, Tensor};
#[cfg(feature = "train")]
use burn::tensor::{Int, TensorData};

use super::attention::bucket;
use super::{FeedForwardProj, T5Config, T5Encoder};
use crate::nn::Init;
use crate::testing::Golden;

#[test]
fn buckets_equal_the_reference() {
    let golden = Golden::read("t5_buckets");
    for (name, buckets, most) in [("out.bucket_32_128", 32, 128), ("out.bucket_8_16", 8, 16)] {
        for (position, expected) in golden.integers("in.position").into_iter().zip(golden.integers(name)) {
            assert_eq!(i64::from(bucket(position, buckets, most)), expected, "{name} at {position}");
        }
    }
}

#[test]
fn first_values_have_the_deviations_of_t5() {
    let config = T5Config { vocab_size: 600, num_layers: 1, ..T5Config::default() };
    let encoder = T5Encoder::new(&mut Init::seeded(&Device::flex(), 1), &config);
    let deviation = |weight: &Param<Tensor<2>>| weight.val().powf_scalar(2.0).mean().sqrt().into_scalar::<f32>();
    let block = &encoder.blocks[0];
    let expected = [
        (&encoder.shared, 1.0),
        (&block.attn.q.weight, (512.0f32 * 64.0).powf(-0.5)),
        (&block.attn.k.weight, 512f32.powf(-0.5)),
        (&block.attn.o.weight, 512f32.powf(-0.5)),
        (&block.ff.wo.weight, 2048f32.powf(-0.5)),
    ];
    // Not of T5: order is heard from the start.
    let bias = deviation(&encoder.relative_attention_bias.weight);
    assert!((bias - 1.0).abs() < 0.2, "{bias}");
    for (weight, expected) in expected {
        let actual = deviation(weight);
        assert!((actual / expected - 1.0).abs() < 0.02, "{actual} for {expected}");
    }
}

#[test]
fn a_config_that_cannot_work_is_refused() {
    let broken = [
        ("d_kv", T5Config { d_kv: 0, ..T5Config::default() }),
        ("num_buckets", T5Config { relative_attention_num_buckets: 2, ..T5Config::default() }),
        ("max_distance", T5Config { relative_attention_max_distance: 8, ..T5Config::default() }),
        ("epsilon", T5Config { layer_norm_epsilon: f64::NAN, ..T5Config::default() }),
    ];
    T5Config::default().validate().unwrap();
    for (key, config) in broken {
        let message = config.validate().unwrap_err();
        assert!(message.contains(key), "{message}");
    }
    assert!(serde_json::from_str::<T5Config>(r#"{"d_modle": 8}"#).is_err());
    let config: T5Config = serde_json::from_str(r#"{"feed_forward_proj": "gated-gelu"}"#).unwrap();
    assert_eq!(config, T5Config { feed_forward_proj: FeedForwardProj::GatedGelu, ..T5Config::default() });
}

/// The length of each parameter's gradient.
#[cfg(feature = "train")]
struct Gradients<'a> {
    gradients: &'a burn::tensor::Gradients,
    lengths: Vec<f32>,
}

#[cfg(feature = "train")]
impl burn::module::ModuleVisitor for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).expect("every parameter takes part");
        self.lengths.push((gradient.clone() * gradient).sum().sqrt().into_scalar());
    }
}

#[cfg(feature = "train")]
#[test]
fn every_parameter_has_a_gradient() {
    use crate::noise::{Purpose, Stream};

    let device = Device::flex().autodiff();
    let config = T5Config {
        vocab_size: 10,
        d_model: 16,
        d_kv: 4,
        d_ff: 24,
        num_layers: 2,
        num_heads: 3,
        feed_forward_proj: FeedForwardProj::GatedGelu,
        ..T5Config::default()
    };
    let encoder = T5Encoder::new(&mut Init::seeded(&device, 9), &config);
    let ids = Tensor::<2, Int>::from_data([[4, 8, 1], [6, 1, 0]], &device);
    let mask = Tensor::<2>::from_data([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], &device);
    let direction = TensorData::new(Stream::new(9, Purpose::Training, 0).normals(6 * 16), [2, 3, 16]);
    let loss = (encoder.forward(ids, mask) * Tensor::from_data(direction, &device)).sum();
    let gradients = loss.backward();
    let mut visitor = Gradients { gradients: &gradients, lengths: Vec::new() };
    encoder.visit(&mut visitor);
    assert_eq!(visitor.lengths.len(), 3 + 2 * 9);
    assert!(visitor.lengths.iter().all(|length| (1e-3..1e3).contains(length)), "{:?}", visitor.lengths);
}
