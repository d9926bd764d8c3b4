//! The lesson's own files, from end to end: read, trained for a step, sampled, judged.

use std::fs;
use std::path::{Path, PathBuf};

use firefall_core::train::{Data, TrainConfig};
use serde_json::Value;

use super::support::{binary, ended, ends, says, text};

fn lesson() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/lesson/imagen.yaml")
}

/// `[pictures, side, side]` of a gray, and labels.
fn mnist(folder: &Path) {
    let images: [&[u8]; 2] = [&[0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28], &[7; 20 * 28 * 28]];
    fs::write(folder.join("train-images-idx3-ubyte"), images.concat()).unwrap();
    let labels: Vec<u8> = (0..20).map(|i| i % 10).collect();
    fs::write(folder.join("train-labels-idx1-ubyte"), [&[0, 0, 8, 1, 0, 0, 0, 20][..], &labels].concat()).unwrap();
}

#[test]
fn the_lesson_is_trained_sampled_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (run, config) = (folder.path().join("run"), lesson());
    let train = ["train", "--config", text(&config), "--out", text(&run), "--device", "cpu", "--steps", "1"];
    let said = ends(0, &train);
    assert!(said.contains("stage 2 is done"), "{said}");
    let config: TrainConfig = serde_json::from_slice(&fs::read(run.join("train.json")).unwrap()).unwrap();
    assert_eq!((config.data, config.stages[0].batch), (Data::Digits, 64));
    assert_eq!([config.model.stages[0].size, config.model.stages[1].size], [8, 32]);

    let model = run.join("model");
    let picture = folder.path().join("seven.png");
    ends(0, &["sample", "--model", text(&model), "--device", "cpu", "--steps", "2", "--out", text(&picture), "seven"]);
    assert_eq!(image::image_dimensions(&picture).unwrap(), (32, 32));

    let (file, sheet) = (folder.path().join("a.json"), folder.path().join("a.png"));
    let eval = ["eval", "digits", "--model", text(&model), "--device", "cpu", "--pictures", "20"];
    let places = ["--json", text(&file), "--sheet", text(&sheet)];
    let output = binary().args([&eval[..], &places].concat()).output().unwrap();
    ended(0, &output);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains(" of 20 |") && table.contains("| 9 | "), "{table}");
    let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(report["judge"].as_f64().unwrap() > 0.99, "{report}");
    assert!(report["right"].as_u64().unwrap() < 12, "a model of one step draws nothing: {report}");
    assert!(sheet.is_file());
    says(1, &[&eval[..], &places].concat(), &["a.json exists"]);
    says(2, &[&eval[..], &["--data", "pictures"]].concat(), &["--data: the judge learns from mnist:DIR"]);
}

#[test]
fn mnist_takes_the_place_of_drawn_digits() {
    let folder = tempfile::tempdir().unwrap();
    let (run, data, config) = (folder.path().join("run"), folder.path().join("data"), lesson());
    let at = format!("mnist:{}", data.display());
    let train = ["train", "--config", text(&config), "--out", text(&run), "--device", "cpu", "--steps", "1", "--data"];
    says(1, &[&train[..], &[at.as_str()]].concat(), &["no MNIST here", "train-images-idx3-ubyte"]);
    says(2, &[&train[..], &["mnist:"]].concat(), &["names no folder"]);
    assert!(!run.exists(), "nothing is begun without pictures");
    fs::create_dir(&data).unwrap();
    mnist(&data);
    ends(0, &[&train[..], &[at.as_str(), "--stages", "base"]].concat());
    let config: TrainConfig = serde_json::from_slice(&fs::read(run.join("train.json")).unwrap()).unwrap();
    assert_eq!(config.data, Data::Mnist(data));
    let model = run.join("model");
    let eval = ["eval", "digits", "--model", text(&model), "--device", "cpu", "--data", at.as_str()];
    says(1, &eval, &[at.trim_start_matches("mnist:"), "20 digits; the judge needs 1000"]);
}

#[test]
fn a_lesson_that_asks_for_what_there_is_not_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    for name in ["imagen.yaml", "base.yaml", "super_resolution.yaml"] {
        fs::copy(lesson().with_file_name(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("imagen.yaml");
    let base = folder.path().join("base.yaml");
    let good = fs::read_to_string(&base).unwrap();
    for (from, to, says_so) in [
        ("model_name: \"trained\"", "model_name: \"google/t5-v1_1-base\"", "its weights are not here"),
        ("num_features: 32", "num_featurs: 32", "base.yaml: diffusion.score_network.params.num_features is missing"),
        ("diffusion:", "diffusion: [", "base.yaml"),
    ] {
        assert!(good.contains(from));
        fs::write(&base, good.replacen(from, to, 1)).unwrap();
        let args = ["train", "--config", text(&path), "--out", text(&run), "--device", "cpu"];
        says(1, &args, &["imagen.yaml", says_so]);
    }
    fs::remove_file(&base).unwrap();
    says(1, &["train", "--config", text(&path), "--out", text(&run)], &["base.yaml"]);
    assert!(!run.exists());
}
