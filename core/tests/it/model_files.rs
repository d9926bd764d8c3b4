//! A model's folder: there and back, and every way in which it can be damaged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::cascade::{Model, ModelError, Survey};
use firefall_core::weights::save::Tensors;
use firefall_core::weights::{MAX_HEADER, Storage, WeightFile};
use half::f16;

use crate::tiny::{apart, changed, model, pictures, request, shared};

type Files = BTreeMap<String, Vec<u8>>;

const WEIGHTS: [&str; 3] = ["text.safetensors", "stage1.safetensors", "stage2.safetensors"];

fn files(model: &Model) -> Files {
    pollster::block_on(model.files()).unwrap().into_iter().collect()
}

fn load(files: &Files) -> Result<Model, ModelError> {
    Model::load(|name| files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()), &Device::flex())
}

/// The shared model's files with `change` made to one of them.
fn with(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
    let mut files = files(&shared());
    change(files.get_mut(name).unwrap());
    files
}

#[track_caller]
fn refused(files: &Files, words: &[&str]) -> ModelError {
    let error = load(files).unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
    error
}

/// A weight file made anew with some of its tensors changed.
fn rewritten(bytes: &[u8], change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>)) -> Vec<u8> {
    let file = WeightFile::parse("a", bytes.to_vec()).unwrap();
    let mut tensors = Tensors::new(Storage::F16);
    for key in file.keys() {
        let (mut shape, mut values) = (file.shape(key).unwrap().to_vec(), file.values(key).unwrap());
        change(key, &mut shape, &mut values);
        let n = values.len();
        let values = Tensor::from_data(TensorData::new(values, [n]), &Device::flex());
        pollster::block_on(tensors.add(key.to_owned(), shape, values)).unwrap();
    }
    tensors.assemble(file.metadata())
}

/// A weight file with another header; its numbers stay where they are.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let numbers = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let mut header = serde_json::from_slice(&bytes[8..numbers]).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[numbers..]].concat()
}

#[test]
fn a_model_survives_its_files() {
    let original = shared();
    let written = files(&original);
    let loaded = Arc::new(load(&written).unwrap());
    assert_eq!(loaded.config, original.config);

    // What half precision makes of the weights, by another way.
    let mut rounded = model(7, &Device::flex());
    let round = |_, _, v: f32| f16::from_f32(v).to_f32();
    rounded.text.t5 = changed(rounded.text.t5, round);
    for stage in &mut rounded.stages {
        stage.unet = changed(stage.unet.clone(), round);
    }
    let wishes = || request(&[("a red circle", 1), ("two stars", 2)]);
    let made = pictures(&loaded, wishes());
    assert_eq!(made, pictures(&Arc::new(rounded), wishes()));
    for (loaded, original) in made.iter().zip(pictures(&original, wishes())) {
        assert!(apart(loaded, &original) <= 8, "{} apart", apart(loaded, &original));
    }
}

#[test]
fn the_hash_is_that_of_the_files() {
    let original = shared();
    let written = files(&original);
    assert_eq!(files(&original), written, "a model is always the same bytes");
    let loaded = load(&written).unwrap();
    assert!(loaded.hash.len() == 64 && original.hash.is_empty());
    assert_eq!(files(&loaded), written, "what was loaded is what is saved");
    assert_eq!(load(&written).unwrap().hash, loaded.hash);
    let other = files(&model(8, &Device::flex()));
    assert_ne!(load(&other).unwrap().hash, loaded.hash);
}

#[test]
fn a_missing_file_is_named() {
    let whole = files(&shared());
    assert_eq!(whole.len(), 5);
    for name in whole.keys() {
        let mut files = whole.clone();
        files.remove(name);
        assert!(matches!(refused(&files, &[name]), ModelError::Read { file, .. } if &file == name));
    }
}

#[test]
fn a_file_cut_short_is_named() {
    let whole = files(&shared());
    for (name, bytes) in &whole {
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let cuts = [0, 1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1];
        let of_weights = [header - 1, header, header + 1];
        let of_weights = of_weights.iter().filter(|_| WEIGHTS.contains(&name.as_str()));
        for &cut in cuts.iter().chain(of_weights) {
            refused(&with(name, |bytes| bytes.truncate(cut)), &[name]);
        }
    }
    for name in WEIGHTS {
        refused(&with(name, |bytes| bytes.push(0)), &[name, "too long"]);
    }
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    for name in WEIGHTS {
        let first = |file: &WeightFile| file.keys().find(|key| file.shape(key).unwrap().len() >= 2).unwrap().to_owned();
        let key = first(&WeightFile::parse(name, files(&shared())[name].clone()).unwrap());
        let files = with(name, |bytes| {
            *bytes = rewritten(bytes, |found, shape, _| {
                if found == key {
                    *shape = vec![shape.iter().product()];
                }
            });
        });
        refused(&files, &[name, &key, "has shape"]);
    }
}

#[test]
fn a_tensor_too_many_is_named() {
    for name in [WEIGHTS[1], WEIGHTS[2]] {
        // It has no numbers, and lies where those of the others end.
        let more = |bytes: &mut Vec<u8>| {
            *bytes = with_header(bytes, |header| {
                let ends = header.as_object().unwrap().values().filter_map(|info| info["data_offsets"][1].as_u64());
                let end = ends.max().unwrap();
                header["lora.scale"] = serde_json::json!({ "dtype": "F16", "shape": [0], "data_offsets": [end, end] });
            });
        };
        refused(&with(name, more), &[name, "no place for 1 of its tensors: lora.scale"]);
    }
}

#[test]
fn a_tensor_of_other_numbers_is_named() {
    for name in WEIGHTS {
        let whole = files(&shared());
        let key = WeightFile::parse(name, whole[name].clone()).unwrap().keys().last().unwrap().to_owned();
        let typed = |dtype: &str| {
            with(name, |bytes| *bytes = with_header(bytes, |header| header[key.as_str()]["dtype"] = dtype.into()))
        };
        refused(&typed("I16"), &[name, &format!("{key} holds I16; weights are F32, F16 or BF16")]);
        refused(&typed("F32"), &[name, "not a safetensors header"]);
        assert!(load(&typed("F16")).is_ok());
    }
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    for name in WEIGHTS {
        // The last two bytes are a number of half precision; these are its NaN.
        let files = with(name, |bytes| {
            let n = bytes.len();
            bytes[n - 2..].copy_from_slice(&[0x00, 0x7e]);
        });
        refused(&files, &[name, "NaN"]);
    }
}

#[test]
fn a_file_of_another_network_is_told_apart() {
    let whole = files(&shared());
    for (name, other) in [("stage1.safetensors", "stage2.safetensors"), ("stage2.safetensors", "text.safetensors")] {
        let files = with(name, |bytes| bytes.clone_from(&whole[other]));
        assert!(matches!(refused(&files, &[name, "another network"]), ModelError::Astray { file } if file == name));
    }
    // Without the metadata, as another program may write it, the tensors themselves say so.
    let bare = |bytes: &[u8]| {
        let view = safetensors::SafeTensors::deserialize(bytes).unwrap();
        safetensors::tensor::serialize(view.tensors(), None).unwrap()
    };
    let files = with("stage1.safetensors", |bytes| *bytes = bare(&whole["stage2.safetensors"]));
    refused(&files, &["stage1.safetensors"]);
    assert!(load(&with("stage1.safetensors", |bytes| *bytes = bare(&bytes.clone()))).is_ok());
}

#[test]
fn a_model_is_known_by_the_beginnings_of_its_files() {
    let files = files(&shared());
    let asked = RefCell::new(Vec::new());
    let survey = |files: &Files| {
        Survey::of(|name, most| {
            asked.borrow_mut().push((name.to_owned(), most));
            let bytes = files.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(bytes[..bytes.len().min(usize::try_from(most).unwrap())].to_vec())
        })
    };
    let known = survey(&files).unwrap();
    assert_eq!(known.config, shared().config);
    let numbers = |name: &&str| {
        let file = WeightFile::parse(*name, files[*name].clone()).unwrap();
        file.keys().map(|key| file.values(key).unwrap().len()).sum::<usize>()
    };
    assert_eq!(known.parameters, WEIGHTS.iter().map(numbers).sum::<usize>() as u64);
    for name in WEIGHTS {
        let most = asked.borrow().iter().filter(|(file, _)| file == name).map(|(_, most)| *most).max();
        let header = u64::from_le_bytes(*files[name].first_chunk().unwrap());
        assert_eq!(most, Some(8 + header), "{name}: its numbers are left alone");
    }
    assert!(["red", "circle", "background"].iter().all(|word| known.words.iter().any(|known| known == word)));
    assert!(!known.words.iter().any(|word| word.contains(['<', '▁', '.'])), "{:?}", known.words);
    for name in files.keys() {
        let mut less = files.clone();
        less.remove(name);
        assert!(survey(&less).unwrap_err().to_string().contains(name.as_str()), "{name}");
    }
    let mut cut = files.clone();
    cut.get_mut("stage2.safetensors").unwrap().truncate(100);
    assert!(survey(&cut).unwrap_err().to_string().contains("stage2.safetensors: a header of"));
    for (bytes, why) in
        [(vec![7; 5], "5 bytes, where 8 are needed"), (vec![255; 99], "a header of 18446744073709551615 bytes")]
    {
        cut.insert("stage2.safetensors".into(), bytes);
        assert!(survey(&cut).unwrap_err().to_string().contains(why), "{why}");
    }
    assert!(asked.borrow().iter().all(|(file, most)| !file.ends_with(".safetensors") || *most <= 8 + MAX_HEADER));
}

#[test]
fn a_pickle_is_never_opened() {
    for name in WEIGHTS {
        for begin in [&b"PK\x03\x04archive/data.pkl"[..], b"\x80\x02}q\x00(X\x06\x00\x00\x00"] {
            refused(&with(name, |bytes| *bytes = begin.to_vec()), &[name, "pickle"]);
        }
    }
}

#[test]
fn a_config_that_makes_no_sense_is_explained() {
    let replaced = |from: &str, to: &str| {
        with("model.json", |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{from} is not in {text}");
            *bytes = text.replacen(from, to, 1).into_bytes();
        })
    };
    for (from, to, words) in [
        ("\"format\": 1", "\"format\": 2", "format is 2; this build reads 1: a newer Firefall wrote it"),
        ("\"format\": 1", "\"format\": 0", "format is 0; this build reads 1"),
        ("\"format\": 1", "\"format\": 3, \"rooms\": []", "format is 3; this build reads 1: a newer Firefall"),
        ("\"name\"", "\"nmae\"", "nmae"),
        ("\"max_len\": 24", "\"max_len\": 0", "max_len is 0"),
        ("\"max_len\": 24", "\"max_len\": 32", "unet.text.max_len is 24; it must be at least text.max_len, 32"),
        ("\"self_cond\": false", "\"self_cond\": true", "unet.self_cond is true"),
        ("\"d_ff\": 32", "\"d_ff\": 1000000000000", "text.t5.d_ff is 1000000000000"),
        ("\"ff_mult\": 2.0", "\"ff_mult\": 1e30", "unet.ff_mult is 1"),
        ("\"sampler\": \"dpm++2m\"", "\"sampler\": {\"ddim\": {\"eta\": 1.5}}", "sampling.sampler.ddim.eta is 1.5"),
        ("\"threshold\": \"static\"", "\"threshold\": {\"dynamic\": {\"quantile\": 95}}", "quantile is 95"),
        ("\"cond_scale\": 2.0", "\"cond_scale\": 1e200", "sampling.cond_scale is 1"),
        ("\"sample_std\": 0.1", "\"sample_std\": 1e155", "lowres.sample_std is 1"),
        ("\"num_heads\": 4", "\"num_heads\": 0", "text.t5.num_heads is 0"),
        ("\"size\": 8", "\"size\": 9", "stages[0].size is 9"),
        ("\"size\": 8", "\"size\": 1048576", "stages[0].size is 1048576"),
        ("\"size\": 16", "\"size\": 20", "stages[1].size is 20"),
        ("\"channels\": 3", "\"channels\": 1", "stages[0].unet.channels is 1"),
        ("\"channels_out\": null", "\"channels_out\": 6", "unet.channels_out is 6"),
        (
            "\"cond_images_channels\": 4",
            "\"cond_images_channels\": 3",
            "unet.cond_images_channels is 3; it must be 0, or 4",
        ),
        ("\"embed_dim\": 16", "\"embed_dim\": 17", "unet.text.embed_dim is 17"),
        ("\"lowres_cond\": true", "\"lowres_cond\": false", "lowres_cond must be set"),
        ("\"steps\": 3", "\"steps\": 0", "sampling.steps is 0"),
        ("\"cond_scale\": 2.0", "\"cond_scale\": 1e999", "model.json"),
        ("\"sample_std\": 0.1", "\"sample_std\": -0.1", "lowres.sample_std is -0.1"),
        ("\"sigma_min\": 0.01", "\"sigma_min\": 60.0", "sigma_min 60 is not below"),
    ] {
        let error = refused(&replaced(from, to), &["model.json", words]);
        assert!(matches!(error, ModelError::Config(_)), "{error:?}");
    }
    // A smaller network than the files hold.
    refused(&replaced("\"dim\": 8", "\"dim\": 4"), &["stage1.safetensors", "another network"]);
    // The same network, trained for something else; how it samples may change.
    refused(&replaced("\"p_mean\": 0.8", "\"p_mean\": 0.5"), &["stage1.safetensors", "another network"]);
    assert!(load(&replaced("\"steps\": 3", "\"steps\": 4")).is_ok());
}

/// A network of many gigabytes is not begun for a file of a few bytes, whether or not the file names its network.
#[test]
fn a_network_beyond_its_file_is_not_built() {
    for (name, place) in [("stage1.safetensors", "unet"), ("text.safetensors", "t5")] {
        let mut files = files(&shared());
        let mut config: serde_json::Value = serde_json::from_slice(&files["model.json"]).unwrap();
        if place == "unet" {
            config["stages"][0]["unet"]["dim"] = 8192.into();
        } else {
            config["text"]["t5"]["d_ff"] = 65_536.into();
            config["text"]["t5"]["num_layers"] = 1000.into();
        }
        files.insert("model.json".into(), serde_json::to_vec(&config).unwrap());
        let bare = (2u64.to_le_bytes().into_iter().chain(*b"{}")).collect();
        files.insert(name.into(), bare);
        assert!(matches!(refused(&files, &[name, "10 bytes"]), ModelError::TooLarge { .. }));
    }
}

/// As `T5ForConditionalGeneration` saves it: the encoder is one part of the file.
#[test]
fn a_whole_t5_gives_its_encoder() {
    let whole = files(&shared());
    let view = safetensors::SafeTensors::deserialize(&whole["text.safetensors"]).unwrap();
    let decoder = safetensors::tensor::TensorView::new(safetensors::Dtype::F16, vec![1], &[0, 0]).unwrap();
    let with = |more: &[&str], renamed: &str| {
        let tensors = view.tensors().into_iter().map(|(key, tensor)| match key.as_str() {
            "shared.weight" => (renamed.to_owned(), tensor),
            _ => (key, tensor),
        });
        let more = more.iter().map(|key| ((*key).to_owned(), decoder.clone()));
        let bytes = safetensors::tensor::serialize(tensors.chain(more), None).unwrap();
        let mut files = whole.clone();
        files.insert("text.safetensors".into(), bytes);
        files
    };
    let others = ["decoder.block.0.layer.0.layer_norm.weight", "lm_head.weight"];
    let prompts = || request(&[("a red circle", 1)]);
    let want = pictures(&Arc::new(load(&whole).unwrap()), prompts());
    for renamed in ["shared.weight", "encoder.embed_tokens.weight"] {
        let loaded = load(&with(&others, renamed)).unwrap();
        assert_eq!(pictures(&Arc::new(loaded), prompts()), want);
    }
    let longer = with(&["encoder.block.9.layer.0.layer_norm.weight"], "shared.weight");
    refused(&longer, &["text.safetensors", "encoder.block.9"]);
}

#[test]
fn a_tokenizer_the_encoder_does_not_know_is_refused() {
    refused(&with("tokenizer.json", |bytes| *bytes = b"{}".to_vec()), &["tokenizer.json"]);
    let larger = with("tokenizer.json", |bytes| {
        let mut json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        json["model"]["vocab"]["new"] = 512.into();
        *bytes = serde_json::to_vec(&json).unwrap();
    });
    refused(&larger, &["tokenizer.json", "513 tokens", "vocab_size is 512"]);
}
