//! A text encoder that reads before the first picture.

use burn::tensor::Device;
use firefall_core::train::reading::{Reader, ReadingTrainer};
use firefall_core::train::trainer::Words;
use firefall_core::train::{Data, Reading, RunOptions, TrainConfig, TrainError, TrainRun};
use firefall_core::weights::WeightFile;

use super::{finish, model, outcome, resume, same, save, start, steps};
use crate::tiny::{config, numbers, tokenizer};

fn reads(reading: Reading) -> TrainConfig {
    TrainConfig { reading: Some(reading), log_every: 1, ..steps(1) }
}

#[test]
fn it_reads_once_and_then_draws() {
    let folder = tempfile::tempdir().unwrap();
    let config = reads(Reading { steps: 2, batch: 3, anew: false });
    let events = finish(start(folder.path(), &config)).unwrap();
    let stage = |n: usize| ["4 measured 1".to_owned(), format!("checkpoint {n} 1"), format!("done {n}")];
    let begin = ["stage 1/2 0/1", "read 1/2", "read 2/2"].map(str::to_owned);
    assert_eq!(events, [&begin[..], &stage(1), &["stage 2/2 0/1".to_owned()], &stage(2)].concat());
    let again = finish(resume(folder.path(), &config)).unwrap();
    assert_eq!(again, ["stage 1/2 1/1", "done 1", "stage 2/2 1/1", "done 2"]);
}

/// Stopped while it reads it begins to read anew, and comes to the same.
#[test]
fn a_run_that_was_stopped_reads_again() {
    let config = reads(Reading { steps: 3, batch: 2, anew: false });
    let whole = tempfile::tempdir().unwrap();
    finish(start(whole.path(), &config)).unwrap();
    let stopped = tempfile::tempdir().unwrap();
    let mut run = start(stopped.path(), &config);
    for _ in 0..2 {
        pollster::block_on(run.next()).unwrap();
    }
    save(&mut run);
    drop(run);
    // What has only begun to read is no base for what comes after it.
    let only = RunOptions { stages: vec![2], resume: true, from: None };
    let run = TrainRun::open(config.clone(), stopped.path(), &only, &Device::flex()).unwrap();
    assert!(matches!(finish(run).unwrap_err(), TrainError::Order { stage: 2 }));
    finish(resume(stopped.path(), &config)).unwrap();
    same(&outcome(stopped.path(), 1), &outcome(whole.path(), 1));
}

#[test]
fn captions_of_a_folder_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir(&out).unwrap();
    image::RgbImage::new(16, 16).save(data.join("a.png")).unwrap();
    std::fs::write(data.join("a.txt"), "a red circle\n").unwrap();
    let config = TrainConfig { data: Data::Folder(data), ..reads(Reading { steps: 2, batch: 3, anew: false }) };
    let events = finish(start(&out, &config)).unwrap();
    assert!(events.iter().all(|event| !event.starts_with("read")), "{events:?}");
}

/// At a rate of next to nothing an encoder stays what it was: the model's, or a fresh one if that is asked for.
#[test]
fn a_run_that_begins_with_a_model_reads_with_its_encoder_unless_told_otherwise() {
    let first = tempfile::tempdir().unwrap();
    finish(start(first.path(), &steps(1))).unwrap();
    let from = Some(model(first.path()));
    let encoder = |anew: bool| {
        let mut config = reads(Reading { steps: 1, batch: 2, anew });
        config.seed += 1;
        config.stages[0].optim.learning_rate = 1e-12;
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions { stages: vec![1], resume: false, from: from.clone() };
        finish(TrainRun::open(config, out.path(), &options, &Device::flex()).unwrap()).unwrap();
        let bytes = std::fs::read(out.path().join("model/text.safetensors")).unwrap();
        WeightFile::parse("text", bytes).unwrap()
    };
    let bytes = std::fs::read(first.path().join("model/text.safetensors")).unwrap();
    let model = WeightFile::parse("text", bytes).unwrap();
    let [kept, fresh] = [false, true].map(encoder);
    let key = model.keys().find(|key| key.ends_with("SelfAttention.q.weight")).unwrap().to_owned();
    assert_eq!(kept.values(&key).unwrap(), model.values(&key).unwrap());
    assert_ne!(fresh.values(&key).unwrap(), model.values(&key).unwrap());
}

/// A narrow encoder of one layer gets far within a few hundred captions: what is in doubt falls from about 23 nats.
#[test]
fn reading_is_learnt() {
    let device = Device::flex();
    let config = config();
    let tokenizer = firefall_core::text::Tokenizer::from_bytes(tokenizer()).unwrap();
    let words = Words { tokenizer, max_len: config.model.text.max_len, frozen: None };
    let reading = Reading { steps: 120, batch: 16, anew: false };
    let mut optim = config.stages[0].optim;
    optim.learning_rate = 0.01;
    let reader = Reader::new(1, &config.model.text.t5, None, &device);
    let mut trainer = ReadingTrainer::new(reader, reading, optim, &device);
    let losses: Vec<f32> = (0..120).map(|_| numbers(&trainer.step(1, &words).unwrap().loss)[0]).collect();
    let [begin, end] = [&losses[..5], &losses[115..]].map(|part| part.iter().sum::<f32>() / 5.0);
    assert!(begin > 18.0 && end < 0.6 * begin, "{begin} to {end}");
}
