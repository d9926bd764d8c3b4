//! What goes wrong in a run: other runs in its folder, kills, damage, divergence, configs without sense.

use std::fs;

use firefall_core::diffusion::Weighting;
use firefall_core::train::folder::FolderError;
use firefall_core::train::{TrainConfig, TrainError};

use super::{advance, finish, list, outcome, resume, same, save, start, steps, try_open};
use crate::tiny::config;

#[test]
fn a_folder_is_for_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path(), steps(2));
    let refused = |config: &TrainConfig, resume| match try_open(path, config, resume).unwrap_err() {
        TrainError::Folder(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(refused(&config, true), FolderError::Nothing(_)));
    assert!(list(path).is_empty(), "a refusal leaves nothing");

    let mut run = start(path, &config);
    for resume in [false, true] {
        let error = refused(&config, resume);
        assert!(matches!(error, FolderError::Locked(_)), "{error}");
    }
    advance(&mut run, 1);
    save(&mut run);
    drop(run);
    let error = refused(&config, false);
    assert!(matches!(error, FolderError::Occupied(_)) && error.to_string().contains("--resume"), "{error}");

    let mut other = config.clone();
    other.stages[1].optim.learning_rate = 0.5;
    let error = refused(&other, true);
    assert!(matches!(error, FolderError::OtherConfig { .. }), "{error}");
    for words in ["stages[1].optim.learning_rate is 0.003 there and 0.5 here", path.to_str().unwrap()] {
        assert!(error.to_string().contains(words), "{error} does not say {words}");
    }
    // How long and how often may change.
    let mut longer = TrainConfig { checkpoint_every: 7, keep_checkpoints: 1, log_every: 9, ..config.clone() };
    longer.stages[0].steps = 3;
    drop(resume(path, &longer));
    let kept: TrainConfig = serde_json::from_slice(&fs::read(path.join("train.json")).unwrap()).unwrap();
    assert_eq!(kept, longer);
    drop(resume(path, &config));
    // A config that says the same in other words is the same.
    let compact = serde_json::to_string(&config).unwrap().replace("0.003", "3.0e-3");
    fs::write(path.join("train.json"), compact).unwrap();
    drop(resume(path, &config));
    // A config that was cut short is another one, and one that is lost makes no new run of an old one's checkpoints.
    fs::write(path.join("train.json"), b"").unwrap();
    assert!(matches!(refused(&config, true), FolderError::OtherConfig { .. }));
    fs::remove_file(path.join("train.json")).unwrap();
    assert!(matches!(refused(&config, false), FolderError::Occupied(_)));
    assert!(matches!(refused(&config, true), FolderError::Nothing(_)));
}

#[test]
fn what_a_killed_run_left_is_cleared_and_never_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path(), steps(2));
    let mut run = start(path, &config);
    advance(&mut run, 1);
    save(&mut run);
    drop(run);
    let left = ["checkpoints/stage1-00000002.safetensors.77.scratch", "model/model.json.77.scratch", "a.1.scratch"];
    for name in left {
        fs::write(path.join(name), b"half").unwrap();
    }
    let others = ["notes.scratch", "1.scratch", "model/plan.b.scratch"];
    for name in others {
        fs::write(path.join(name), b"not ours").unwrap();
    }
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    fs::write(path.join("metrics.jsonl"), format!("{metrics}{{\"stage\":1,\"st")).unwrap();
    let events = finish(resume(path, &config)).unwrap();
    assert_eq!(events[0], "stage 1/2 1/2");
    for name in left {
        assert!(!path.join(name).exists(), "{name} is still there");
    }
    for name in others {
        assert!(path.join(name).exists(), "{name} was not ours to remove");
    }
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4);
    assert!(metrics.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{metrics}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path(), steps(3));
    finish(start(path, &config)).unwrap();
    let want = outcome(path, 3);
    let newest = path.join("checkpoints/stage2-00000003.safetensors");
    let bytes = fs::read(&newest).unwrap();

    let mut run = resume(path, &config);
    fs::remove_file(&newest).unwrap();
    advance(&mut run, 1);
    save(&mut run);
    drop(run);
    let first = fs::read(path.join("checkpoints/stage1-00000003.safetensors")).unwrap();
    let damages: [&[u8]; 6] = [&[], &bytes[..7], &bytes[..1000], &bytes[..bytes.len() - 1], b"PK\x03\x04 zip", &first];
    for damage in damages {
        fs::write(&newest, damage).unwrap();
        let error = finish(resume(path, &config)).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint(_)), "{error}");
        for words in ["stage2-00000003.safetensors", "goes on from the checkpoint before it"] {
            assert!(error.to_string().contains(words), "{error} does not say {words}");
        }
    }
    fs::remove_file(&newest).unwrap();
    assert!(finish(resume(path, &config)).unwrap().contains(&"stage 2/2 1/3".to_owned()));
    same(&outcome(path, 3), &want);
}

/// A learning rate beyond all reason: the loss soon is no number, and neither the run nor what it saves goes on.
#[test]
fn a_run_that_diverges_ends_and_keeps_its_checkpoint() {
    let good = steps(6);
    for checkpoint_every in [1, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut run = start(path, &good);
        advance(&mut run, 2);
        save(&mut run);
        drop(run);
        let before = fs::read(path.join("checkpoints/stage1-00000002.safetensors")).unwrap();
        let mut wild = TrainConfig { checkpoint_every, ..good.clone() };
        wild.stages[0].optim.learning_rate = 1e30;
        fs::write(path.join("train.json"), serde_json::to_vec_pretty(&wild).unwrap()).unwrap();

        let error = finish(resume(path, &wild)).unwrap_err();
        assert!(error.to_string().contains("the last checkpoint is kept"), "{error}");
        match checkpoint_every {
            1 => assert!(matches!(error, TrainError::Save(_)), "{error}"),
            _ => assert!(matches!(error, TrainError::Diverged { stage: 1, step: 4, .. }), "{error}"),
        }
        assert_eq!(list(&path.join("checkpoints")), ["stage1-00000002.safetensors"]);
        assert!(fs::read(path.join("checkpoints/stage1-00000002.safetensors")).unwrap() == before);
        fs::write(path.join("train.json"), serde_json::to_vec_pretty(&good).unwrap()).unwrap();
        assert_eq!(finish(resume(path, &good)).unwrap()[0], "stage 1/2 2/6");
    }
}

#[test]
fn a_config_that_makes_no_sense_names_its_key() {
    type Check = (fn(&mut TrainConfig), &'static str);
    let checks: [Check; 28] = [
        (|c| c.stages[0].steps = 0, "stages[0].steps"),
        (|c| c.stages[1].micro_batch = 0, "micro_batch"),
        (|c| c.stages[0].drop_caption = 1.5, "stages[0].drop_caption is 1.5"),
        (|c| c.stages[0].drop_caption = f64::NAN, "drop_caption is NaN"),
        (|c| c.stages[0].inpainting = -0.1, "stages[0].inpainting is -0.1; it must be from 0 to 1"),
        (|c| c.stages[1].inpainting = 0.1, "stages[1].inpainting is 0.1; the network must have cond_images_channels 4"),
        (|c| c.stages[0].optim.learning_rate = f64::NAN, "stages[0].optim.learning_rate is NaN"),
        (|c| c.stages[0].optim.beta2 = 1.0, "stages[0].optim.beta2 is 1"),
        (|c| c.stages[0].optim.clip_norm = 0.0, "stages[0].optim.clip_norm is 0"),
        (|c| c.stages[0].optim.weight_decay = -1.0, "stages[0].optim.weight_decay is -1"),
        (|c| c.stages[1].ema.beta = 2.0, "stages[1].ema.beta is 2"),
        (|c| c.stages[1].crop = Some(6), "stages[1].crop is 6; it must be a multiple of 4 up to 16"),
        (|c| c.stages[1].crop = Some(32), "stages[1].crop is 32"),
        (
            |c| (c.stages[1].crop, c.model.stages[1].unet.coordinates) = (Some(8), true),
            "stages[1].crop is 8; a network with coordinates must see whole pictures",
        ),
        (|c| c.stages[0].phases.clear(), "stages[0].phases is empty"),
        (|c| c.vocabulary = 513, "vocabulary is 513"),
        (|c| c.keep_checkpoints = 0, "keep_checkpoints"),
        (|c| c.model.stages[0].size = 7, "model.stages[0].size is 7"),
        (|c| c.stages.truncate(1), "stages has 1 entries"),
        (|c| c.stages[0].steps = 1 << 40, "stages[0].steps is 1099511627776"),
        (|c| c.stages[0].batch = 1 << 40, "stages[0].batch is 1099511627776"),
        (|c| c.stages[0].phases[0].until = f64::NAN, "stages[0].phases[0].until is NaN"),
        (
            |c| (c.stages[0].phases[0].until, c.stages[0].phases[1].until) = (0.25, 0.01),
            "stages[0].phases[1].until is 0.01; it must be above 0.25",
        ),
        (|c| c.stages[0].weighting = Weighting::MinSnr { gamma: -1.0 }, "stages[0].weighting.min_snr.gamma is -1"),
        (|c| c.stages[1].weighting = Weighting::MinSnr { gamma: 0.0 }, "weighting.min_snr.gamma is 0"),
        (|c| c.model.text.max_len = 1 << 40, "model.text.max_len is 1099511627776"),
        (|c| c.model.text.t5.d_ff = 1 << 40, "model.text.t5.d_ff is 1099511627776"),
        (|c| c.model.text.t5.num_layers = 1 << 40, "model.text.t5.num_layers is 1099511627776"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (change, words) in checks {
        let mut config = config();
        change(&mut config);
        let error = try_open(folder.path(), &config, false).unwrap_err();
        assert!(matches!(error, TrainError::Config(_)), "{error}");
        assert!(error.to_string().contains(words), "{error} does not say {words}");
    }
    assert!(list(folder.path()).is_empty());
    // The picture below is enlarged eight times, so a square of it is eight pixels here, more than the network asks for.
    let mut config = config();
    config.model.stages[1].size = 64;
    assert_eq!(config.validate(), Ok(()));
    config.stages[1].crop = Some(12);
    assert!(config.validate().unwrap_err().contains("a multiple of 8 up to 64"));
}
