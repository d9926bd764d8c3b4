//! The encoder against the goldens of transformers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::SafeTensors;

use super::attention::bucket;
use super::{FeedForwardProj, T5Config, T5Encoder};
use crate::nn::Init;

/// One file of `tests/golden`.
struct Golden {
    bytes: Vec<u8>,
    metadata: HashMap<String, String>,
}

impl Golden {
    fn open(case: &str) -> Self {
        let path = format!("{}/tests/golden/{case}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).expect(&path);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        Self { bytes, metadata }
    }

    /// The elements of a tensor, each by `read` from its `N` bytes.
    fn values<const N: usize, T>(&self, name: &str, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap();
        data.data().chunks_exact(N).map(|bytes| read(bytes.try_into().unwrap())).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.values(name, f32::from_le_bytes)
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        self.values(name, i64::from_le_bytes)
    }

    fn params(&self) -> BTreeMap<String, Vec<usize>> {
        serde_json::from_str(&self.metadata["params"]).unwrap()
    }
}

/// The value of a golden's parameter: the formula of `tests/golden/README.md`.
fn formula(key: &str, shape: &[usize]) -> Vec<f32> {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    let count: usize = shape.iter().product();
    let uniform = |i: usize| {
        let mut z = hash.wrapping_add((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let scaled = |u: f64| match shape {
        [_] => 1.0 + 0.3 * u,
        _ if key.contains("shared") || key.contains("relative_attention_bias") => u,
        _ => u * (3.0 * shape[0] as f64 / count as f64).sqrt(),
    };
    (0..count).map(|i| scaled(uniform(i)) as f32).collect()
}

/// Fills an encoder by the formula and notes the keys it met.
#[derive(Default)]
struct Filler {
    path: Vec<String>,
    keys: BTreeSet<String>,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let key = T5Encoder::hf_key(&self.path.join("."));
        let shape = param.dims();
        let values = formula(&key, &shape);
        assert!(self.keys.insert(key));
        param.map(|old| Tensor::from_data(TensorData::new(values, shape), &old.device()))
    }
}

fn config_of(golden: &Golden) -> T5Config {
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&golden.metadata["config"]).unwrap();
    for other in ["class", "dropout_rate", "pad_token_id", "eos_token_id", "is_decoder", "tie_word_embeddings"] {
        config.remove(other);
    }
    serde_json::from_value(config.into()).unwrap()
}

fn run(encoder: &T5Encoder, ids: &[i32], mask: &[f32], shape: [usize; 2]) -> Vec<f32> {
    let device = Device::flex();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), shape), &device);
    let mask = Tensor::<2>::from_data(TensorData::new(mask.to_vec(), shape), &device);
    let output = encoder.forward(ids, mask);
    assert_eq!(output.dims(), [shape[0], shape[1], encoder.width()]);
    pollster::block_on(output.into_data_async()).unwrap().try_to_vec().unwrap()
}

#[track_caller]
fn assert_near(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len());
    let gap = actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    assert!(gap <= tolerance, "largest difference {gap}");
}

fn filled(golden: &Golden) -> T5Encoder {
    let config = config_of(golden);
    config.validate().unwrap();
    let mut filler = Filler::default();
    let encoder = T5Encoder::new(&mut Init::blank(&Device::flex()), &config).map(&mut filler);
    assert_eq!(filler.keys, golden.params().into_keys().collect());
    encoder
}

#[track_caller]
fn check(case: &str, proj: FeedForwardProj) {
    let golden = Golden::open(case);
    assert_eq!(config_of(&golden).feed_forward_proj, proj);
    let encoder = filled(&golden);
    let ids: Vec<_> = golden.integers("in.ids").into_iter().map(|id| id as i32).collect();
    let mask = golden.values("in.mask", |[byte]: [u8; 1]| f32::from(byte));
    let masked = run(&encoder, &ids, &mask, [2, 12]);
    assert_near(&masked, &golden.floats("out.masked"), 1e-5);
    let unmasked = run(&encoder, &ids, &[1.0; 24], [2, 12]);
    assert_near(&unmasked, &golden.floats("out.unmasked"), 2.4e-5);
}

#[test]
fn version_1_0_equals_the_reference() {
    check("t5_v1_0", FeedForwardProj::Relu);
}

#[test]
fn version_1_1_equals_the_reference() {
    check("t5_v1_1", FeedForwardProj::GatedGelu);
}

#[test]
fn padding_changes_nothing() {
    let encoder = filled(&Golden::open("t5_v1_1"));
    let alone = run(&encoder, &[5, 9, 2, 1], &[1.0; 4], [1, 4]);
    // The ids under the padding differ, so an unmasked key would show.
    let ids = [5, 9, 2, 1, 0, 0, 0, 5, 9, 2, 1, 7, 8, 9];
    let mask = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0].repeat(2);
    let padded = run(&encoder, &ids, &mask, [2, 7]);
    for row in padded.chunks_exact(7 * encoder.width()) {
        let (text, padding) = row.split_at(4 * encoder.width());
        assert_near(text, &alone, 1e-6);
        assert!(padding.iter().all(|&v| v == 0.0));
    }
}

#[test]
fn buckets_equal_the_reference() {
    let golden = Golden::open("t5_buckets");
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
    let config = config_of(&Golden::open("t5_v1_1"));
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
