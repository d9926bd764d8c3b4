//! Goldens: reading, weights and tolerances, as `tests/golden/README.md` says.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::weights::{Leftover, WeightFile, keys, load};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// One file of `tests/golden`.
pub(crate) struct Golden {
    name: String,
    bytes: Vec<u8>,
    gaps: BTreeMap<String, f64>,
    /// The reference's parameters and their shapes.
    pub(crate) params: BTreeMap<String, Vec<usize>>,
    /// What the reference was built from, as JSON, where it is one of transformers.
    pub(crate) config: Option<String>,
    /// A parameter that is zero instead of the formula's.
    pub(crate) zero: Option<&'static str>,
    /// What of the formula's parameters no module takes.
    pub(crate) leftover: Leftover,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let gaps = metadata.get("f64_gap").map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default();
        let params = serde_json::from_str(&metadata["params"]).unwrap();
        let config = metadata.get("config").cloned();
        Self { name: name.to_owned(), bytes, gaps, params, config, zero: None, leftover: Leftover::Refuse }
    }

    /// A tensor as f32, with its axes; of a mask 0 and 1, of ids their numbers.
    pub(crate) fn values(&self, key: &str) -> (Vec<f32>, Vec<usize>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(key).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::BOOL => data.iter().map(|&b| f32::from(b)).collect(),
            Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect(),
            dtype => panic!("{}: {key} holds {dtype}", self.name),
        };
        (values, view.shape().to_vec())
    }

    /// The input `in.<key>`.
    pub(crate) fn input<const D: usize>(&self, key: &str, device: &Device) -> Tensor<D> {
        let (values, shape) = self.values(&format!("in.{key}"));
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// `module` with the formula's weights, by the keys of the reference.
    ///
    /// A layer alone has no place in a network, so `at` gives it one: the paths before it, ours and the reference's.
    pub(crate) fn fill<M: Module>(&self, module: M, [ours, theirs]: [&str; 2]) -> M {
        let rename = |path: &str| {
            let found = keys::imagen_pytorch(&format!("{ours}{path}"));
            found.iter().filter_map(|key| key.strip_prefix(theirs).map(ToOwned::to_owned)).collect()
        };
        load(module, &self.weights(), rename, self.leftover).unwrap()
    }

    /// Every parameter of the reference as a weight file.
    pub(crate) fn weights(&self) -> WeightFile {
        let bytes = |(key, shape): (&String, &Vec<usize>)| {
            let mut values = weight(key, shape);
            if self.zero == Some(key.as_str()) {
                values.fill(0.0);
            }
            (key.clone(), shape.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
        };
        let tensors: Vec<_> = self.params.iter().map(bytes).collect();
        let views = tensors
            .iter()
            .map(|(key, shape, data)| (key.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
        WeightFile::parse(&self.name, serialize(views, None).unwrap()).unwrap()
    }

    /// Holds `got` against `out.<key>`.
    #[track_caller]
    pub(crate) fn check<const D: usize>(&self, key: &str, got: Tensor<D>) {
        let shape = got.dims();
        assert_eq!(shape.as_slice(), self.values(&format!("out.{key}")).1, "{} {key}: shape", self.name);
        self.check_values(key, &got.into_data().try_into_vec::<f32>().unwrap());
    }

    /// The same for numbers alone.
    #[track_caller]
    pub(crate) fn check_values(&self, key: &str, got: &[f32]) {
        let (want, _) = self.values(&format!("out.{key}"));
        self.close(key, got, &want, self.tolerance(key));
    }

    #[track_caller]
    pub(crate) fn close(&self, key: &str, got: &[f32], want: &[f32], tolerance: f64) {
        assert_eq!(got.len(), want.len(), "{} {key}: length", self.name);
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            let error = f64::from((g - w).abs());
            assert!(error <= tolerance, "{} {key}: element {i} is {g}, should be {w} within {tolerance:e}", self.name);
        }
    }

    /// Ten times the distance of the reference's f32 from its own f64, and never below 2e-6 of the largest value: the
    /// sums of another library round in another order.
    pub(crate) fn tolerance(&self, key: &str) -> f64 {
        let (want, _) = self.values(&format!("out.{key}"));
        let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        (10.0 * self.gaps.get(key).copied().unwrap_or_default()).max(2e-6 * f64::from(largest))
    }
}

/// The value of the parameter `name` by the formula of the README.
pub(crate) fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    const GAINS: [&str; 5] = ["gamma", "g", "q_scale", "k_scale", "weight"];
    const UNIT_SCALED: [&str; 6] = ["null_", "latents", "pos_emb", "embed_tokens", "shared", "relative_attention_bias"];
    let count: usize = shape.iter().product();
    let last = name.rsplit('.').next().unwrap();
    let (offset, scale) = match shape {
        [_] | [_, 1, 1] if GAINS.contains(&last) => (1.0, 0.3),
        [_] | [_, 1, 1] if last == "weights" => (0.0, 0.5),
        [_] | [_, 1, 1] => (0.0, 0.2),
        _ if UNIT_SCALED.iter().any(|part| name.contains(part)) => (0.0, 1.0),
        _ => (0.0, (3.0 / (count / shape[0]) as f64).sqrt()),
    };
    uniform(name, count).map(|u| (offset + scale * u) as f32).collect()
}

/// `SplitMix64` of the name's FNV-1a hash, in [-1, 1).
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    (0..count as u64).map(move |i| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    })
}

#[test]
fn the_weight_formula_is_the_references() {
    let golden = Golden::read("weight_formula");
    assert_eq!(golden.params.len(), 22);
    for (name, shape) in &golden.params {
        let (want, stored) = golden.values(&format!("out.{name}"));
        assert_eq!(&stored, shape);
        assert_eq!(weight(name, shape), want, "{name}");
    }
}
