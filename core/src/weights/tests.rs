//! A tiny network out to bytes and back, and every bad file one by one.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Device;

use super::{Leftover, LoadError, SaveError, Storage, WeightFile, load, named, same, save};
use crate::nn::Init;
use crate::nn::linear::Linear;
use crate::nn::norm::ChanRmsNorm;

#[derive(Module, Debug)]
struct Tiny {
    linear: Linear,
    norms: Vec<ChanRmsNorm>,
    absent: Option<Linear>,
}

fn tiny(init: &mut Init<'_>, inputs: usize) -> Tiny {
    let norms = (0..2).map(|_| ChanRmsNorm::new(init, 3)).collect();
    Tiny { linear: Linear::new(init, inputs, 3), norms, absent: None }
}

fn seeded() -> Tiny {
    tiny(&mut Init::seeded(&Device::flex(), 5), 2)
}

fn blank() -> Tiny {
    tiny(&mut Init::blank(&Device::flex()), 2)
}

fn bytes(module: &Tiny, storage: Storage) -> Vec<u8> {
    let metadata = ["one", "two", "three", "four"].map(|k| (k.to_owned(), k.to_uppercase()));
    pollster::block_on(save(module, &BTreeMap::from(metadata), storage, str::to_owned)).unwrap()
}

fn file(bytes: Vec<u8>) -> WeightFile {
    WeightFile::parse("tiny.safetensors", bytes).unwrap()
}

fn values(module: &Tiny) -> Vec<(String, Vec<f32>)> {
    named(module).into_iter().map(|n| (n.path, n.values.into_data().try_to_vec().unwrap())).collect()
}

/// A file of f32 tensors put together by the safetensors crate, not by us.
fn foreign(tensors: &[(&str, &[usize], &[f32])]) -> WeightFile {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let data: Vec<Vec<u8>> = tensors.iter().map(|(.., v)| v.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((key, shape, _), data)| (*key, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap()));
    file(serialize(views, None).unwrap())
}

const LINEAR: &[f32] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
const THREE: &[f32] = &[7.0, 8.0, 9.0];

fn whole() -> Vec<(&'static str, &'static [usize], &'static [f32])> {
    vec![
        ("linear.weight", &[3, 2], LINEAR),
        ("linear.bias", &[3], THREE),
        ("norms.0.gamma", &[3], THREE),
        ("norms.1.gamma", &[3, 1, 1], THREE),
    ]
}

fn try_load(file: &WeightFile) -> Result<Tiny, LoadError> {
    load(blank(), file, same, Leftover::Refuse)
}

/// The error says all of `words`, and the name of the file.
#[track_caller]
fn says(error: &LoadError, words: &[&str]) {
    let text = error.to_string();
    for word in words.iter().chain(&["tiny.safetensors"]) {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

#[track_caller]
fn refused(bytes: Vec<u8>, words: &[&str]) -> LoadError {
    let error = WeightFile::parse("tiny.safetensors", bytes).unwrap_err();
    says(&error, words);
    error
}

/// A header by hand, then `data` bytes.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn paths_are_field_names_joined_by_dots() {
    let found = named(&seeded());
    let paths: Vec<&str> = found.iter().map(|n| n.path.as_str()).collect();
    assert_eq!(paths, ["linear.weight", "linear.bias", "norms.0.gamma", "norms.1.gamma"]);
    assert_eq!(found[0].shape, [3, 2]);
}

#[test]
fn a_network_survives_its_file() {
    let module = seeded();
    let single = try_load(&file(bytes(&module, Storage::F32))).unwrap();
    assert_eq!(values(&single), values(&module));
    let half = try_load(&file(bytes(&module, Storage::F16))).unwrap();
    for ((path, got), (_, want)) in values(&half).iter().zip(values(&module)) {
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() <= w.abs() / 2048.0 + 1e-7, "{path}: {g} for {w}");
        }
    }
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    let first = bytes(&seeded(), Storage::F32);
    assert_eq!(first, bytes(&seeded(), Storage::F32));
    let file = file(first);
    assert_eq!(file.metadata()["three"], "THREE");
    assert_eq!(file.keys().collect::<Vec<_>>(), ["linear.bias", "linear.weight", "norms.0.gamma", "norms.1.gamma"]);
    // The specification: the header's length is such that the numbers are aligned to eight bytes.
    assert_eq!(first_eight(&bytes(&seeded(), Storage::F16)) % 8, 0);
}

fn first_eight(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().unwrap())
}

#[test]
fn the_crate_reads_what_we_write() {
    let bytes = bytes(&seeded(), Storage::F16);
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.tensor("linear.weight").unwrap().shape(), [3, 2]);
}

#[test]
fn axes_of_length_one_do_not_count() {
    let loaded = try_load(&foreign(&whole())).unwrap();
    assert_eq!(values(&loaded)[0].1, LINEAR);
    assert_eq!(values(&loaded)[3].1, THREE);
    assert_eq!(named(&loaded)[3].shape, [3]);
}

#[test]
fn half_precisions_are_read() {
    let header = r#"{"b":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},"h":{"dtype":"F16","shape":[1],"data_offsets":[2,4]},"i":{"dtype":"I16","shape":[1],"data_offsets":[4,6]}}"#;
    let mut bytes = with_header(header, 0);
    // -2.5 in bfloat16 and in half precision.
    bytes.extend([0x20, 0xC0, 0x00, 0xC1, 0, 0]);
    let file = file(bytes);
    assert_eq!((file.values("b").unwrap(), file.values("h").unwrap()), (vec![-2.5], vec![-2.5]));
    says(&file.values("i").unwrap_err(), &["i holds I16", "BF16"]);
}

#[test]
fn the_first_key_that_is_there_is_taken() {
    let mut tensors = whole();
    tensors[1].0 = "linear.b";
    let file = foreign(&tensors);
    let rename = |path: &str| vec![path.to_owned(), path.replace("bias", "b")];
    assert_eq!(values(&load(blank(), &file, rename, Leftover::Refuse).unwrap())[1].1, THREE);
}

#[test]
fn a_missing_key_is_named_with_the_nearest() {
    let mut tensors = whole();
    tensors[1].0 = "linear.bais";
    says(&try_load(&foreign(&tensors)).unwrap_err(), &["no tensor linear.bias", "nearest is linear.bais"]);
    let error = try_load(&foreign(&[("x", &[1], &[0.0])])).unwrap_err();
    assert!(matches!(&error, LoadError::Missing { nearest: None, .. }), "{error}");
}

#[test]
fn a_wrong_shape_is_refused_with_both_shapes() {
    let mut tensors = whole();
    // As many numbers, but the transpose is another matrix.
    tensors[0].1 = &[2, 3];
    says(&try_load(&foreign(&tensors)).unwrap_err(), &["linear.weight", "[2, 3]", "[3, 2]"]);
    tensors[0].1 = &[6];
    assert!(matches!(try_load(&foreign(&tensors)), Err(LoadError::Shape { .. })));
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut tensors = whole();
        let gains = [1.0, 1.0, bad];
        tensors[2].2 = &gains;
        says(&try_load(&foreign(&tensors)).unwrap_err(), &["norms.0.gamma", &bad.to_string(), "element 2"]);
    }
}

#[test]
fn leftovers_are_refused_unless_allowed() {
    let mut tensors = whole();
    for key in ["a", "b", "c", "d"] {
        tensors.push((key, &[1], &[0.0]));
    }
    let file = foreign(&tensors);
    says(&try_load(&file).unwrap_err(), &["no place for 4", "a, b, c, .."]);
    assert!(load(blank(), &file, same, Leftover::Allow).is_ok());
    assert!(load(blank(), &file, same, Leftover::RefuseUnder("linear.")).is_ok());
    says(&load(blank(), &file, same, Leftover::RefuseUnder("c")).unwrap_err(), &["no place for 1", "tensors: c"]);
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let whole = bytes(&seeded(), Storage::F32);
    for length in 0..whole.len() {
        let error = WeightFile::parse("tiny.safetensors", whole[..length].to_vec());
        assert!(error.is_err(), "{length} of {} bytes were taken", whole.len());
    }
    refused(Vec::new(), &["empty"]);
    refused(whole[..5].to_vec(), &["5 bytes", "cut short"]);
    refused(whole[..40].to_vec(), &["32 bytes follow", "cut short"]);
    refused(whole[..whole.len() - 1].to_vec(), &["cut short"]);
    let mut long = whole;
    long.push(0);
    refused(long, &["too long"]);
}

#[test]
fn a_header_bomb_is_refused_before_it_is_parsed() {
    let mut bytes = vec![0xFF; 64];
    refused(bytes.clone(), &["18446744073709551615"]);
    bytes[..8].copy_from_slice(&(100u64 << 20).to_le_bytes());
    refused(bytes, &["104857600"]);
    // Above the limit although the bytes are there.
    let header = format!("{{}}{}", " ".repeat(16 << 20));
    assert!(matches!(refused(with_header(&header, 0), &["16777218"]), LoadError::HeaderLength { .. }));
}

#[test]
fn a_header_that_lies_is_refused() {
    let tensor =
        |shape: &str, offsets: &str| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
    for header in [
        tensor("[2]", "[0,4]"),
        tensor("[1]", "[4,8]"),
        tensor("[1]", "[8,4]"),
        tensor("[4294967296,4294967296,4294967296]", "[0,8]"),
        tensor("[-1]", "[0,8]"),
        r#"{"__metadata__":{"a":1}}"#.to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "[".repeat(100_000),
    ] {
        let error = refused(with_header(&header, 8), &["header"]);
        assert!(matches!(error, LoadError::Header { .. }), "{error}");
    }
    let huge = tensor("[2305843009213693951]", "[0,9223372036854775804]");
    assert!(WeightFile::parse("tiny.safetensors", with_header(&huge, 8)).is_err());
    let mut latin = with_header("{}", 0);
    latin[9] = 0xE9;
    refused(latin, &["header"]);
}

#[test]
fn tensors_that_share_bytes_or_a_key_are_refused() {
    let tensor = |key: &str, [from, to]: [usize; 2]| {
        let count = (to - from) / 4;
        format!(r#""{key}":{{"dtype":"F32","shape":[{count}],"data_offsets":[{from},{to}]}}"#)
    };
    let file = |tensors: [String; 2]| with_header(&format!("{{{}}}", tensors.join(",")), 8);
    assert!(WeightFile::parse("tiny.safetensors", file([tensor("first", [0, 4]), tensor("second", [4, 8])])).is_ok());
    // The second begins before the first ends, or where it does.
    let error = refused(file([tensor("first", [0, 8]), tensor("second", [4, 8])]), &["header", "second"]);
    assert!(matches!(error, LoadError::Header { .. }), "{error}");
    refused(file([tensor("first", [0, 8]), tensor("second", [0, 8])]), &["header", "invalid offset"]);
    // Of two readers, one would take the one and the other the other.
    for others in [[4, 8], [0, 4], [0, 8]] {
        let error = refused(file([tensor("first", [0, 8]), tensor("first", others)]), &["first is there twice"]);
        assert!(matches!(error, LoadError::Header { .. }), "{error}");
    }
    refused(with_header(r#"{"__metadata__":{},"__metadata__":{"a":"b"}}"#, 0), &["__metadata__ is there twice"]);
}

#[test]
fn a_tensor_of_another_type_than_its_bytes_is_refused() {
    let tensor = |dtype: &str| format!(r#"{{"first":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,4]}}}}"#);
    for dtype in ["F32", "F64", "U8", "F65", "f16"] {
        refused(with_header(&tensor(dtype), 4), &["header"]);
    }
    for dtype in ["I16", "U16"] {
        let file = file(with_header(&tensor(dtype), 4));
        says(&file.values("first").unwrap_err(), &["first holds", dtype, "F32, F16 or BF16"]);
    }
}

#[test]
fn a_pickle_is_called_one() {
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(100, 0);
    refused(zip, &["pickle", "safetensors"]);
    for protocol in 2..=5 {
        refused([&[0x80, protocol], b"}q\x00X\x05\x00\x00\x00model".as_slice()].concat(), &["pickle"]);
    }
    // A header of 640 bytes begins with the same two bytes.
    let header = format!("{{}}{}", " ".repeat(638));
    assert!(WeightFile::parse("tiny.safetensors", with_header(&header, 0)).is_ok());
}

#[test]
fn what_a_file_cannot_hold_is_not_written() {
    let mut tensors = whole();
    tensors[0].2 = &[1.0, 70_000.0, 0.0, 0.0, 0.0, 0.0];
    let module = try_load(&foreign(&tensors)).unwrap();
    let none = BTreeMap::new();
    let error = pollster::block_on(save(&module, &none, Storage::F16, str::to_owned)).unwrap_err();
    assert!(matches!(&error, SaveError::NotFinite { key, index: 1, .. } if key == "linear.weight"), "{error}");
    assert!(pollster::block_on(save(&module, &none, Storage::F32, str::to_owned)).is_ok());
    let error = pollster::block_on(save(&module, &none, Storage::F32, |_| "same".into())).unwrap_err();
    assert!(matches!(error, SaveError::Duplicate { .. }), "{error}");
}
