//! The text encoder against transformers' `T5EncoderModel`, its weights by the loader of models.

use burn::tensor::{Device, Int, Tensor, TensorData};
use firefall_core::nn::Init;
use firefall_core::text::{FeedForwardProj, T5Config, T5Encoder};
use firefall_core::weights::load;

use crate::support::Golden;

fn config_of(golden: &Golden) -> T5Config {
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(golden.config.as_ref().unwrap()).unwrap();
    for other in ["class", "dropout_rate", "pad_token_id", "eos_token_id", "is_decoder", "tie_word_embeddings"] {
        config.remove(other);
    }
    serde_json::from_value(config.into()).unwrap()
}

fn filled(golden: &Golden) -> T5Encoder {
    let config = config_of(golden);
    config.validate().unwrap();
    let encoder = T5Encoder::new(&mut Init::blank(&Device::flex()), &config);
    load(encoder, &golden.weights(), T5Encoder::hf_keys, T5Encoder::LEFTOVER).unwrap()
}

fn run(encoder: &T5Encoder, ids: &[i32], mask: &[f32], shape: [usize; 2]) -> Vec<f32> {
    let device = Device::flex();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), shape), &device);
    let mask = Tensor::<2>::from_data(TensorData::new(mask.to_vec(), shape), &device);
    let output = encoder.forward(ids, mask);
    assert_eq!(output.dims(), [shape[0], shape[1], encoder.width()]);
    output.into_data().try_into_vec().unwrap()
}

#[track_caller]
fn near(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    let gap = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max);
    assert!(gap <= tolerance, "largest difference {gap}");
}

/// `unmasked` is larger than 1e-5 where the reference's own f32 is that far from its f64.
#[track_caller]
fn check(case: &str, proj: FeedForwardProj, unmasked: f32) {
    let golden = Golden::read(case);
    assert_eq!(config_of(&golden).feed_forward_proj, proj);
    let encoder = filled(&golden);
    let ids: Vec<_> = golden.values("in.ids").0.into_iter().map(|id| id as i32).collect();
    let (mask, _) = golden.values("in.mask");
    near(&run(&encoder, &ids, &mask, [2, 12]), &golden.values("out.masked").0, 1e-5);
    near(&run(&encoder, &ids, &[1.0; 24], [2, 12]), &golden.values("out.unmasked").0, unmasked);
}

#[test]
fn version_1_0_equals_the_reference() {
    check("t5_v1_0", FeedForwardProj::Relu, 1e-5);
}

#[test]
fn version_1_1_equals_the_reference() {
    check("t5_v1_1", FeedForwardProj::GatedGelu, 2.4e-5);
}

#[test]
fn padding_changes_nothing() {
    let encoder = filled(&Golden::read("t5_v1_1"));
    let alone = run(&encoder, &[5, 9, 2, 1], &[1.0; 4], [1, 4]);
    // The ids under the padding differ, so an unmasked key would show.
    let ids = [5, 9, 2, 1, 0, 0, 0, 5, 9, 2, 1, 7, 8, 9];
    let mask = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0].repeat(2);
    let padded = run(&encoder, &ids, &mask, [2, 7]);
    for row in padded.chunks_exact(7 * encoder.width()) {
        let (text, padding) = row.split_at(4 * encoder.width());
        near(text, &alone, 1e-6);
        assert!(padding.iter().all(|&v| v == 0.0));
    }
}
