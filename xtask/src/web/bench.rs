//! The page against what else runs such a network in a browser.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::test::native;
use super::{build, folder};
use crate::bench::rows;
use crate::shell::{output, run, succeeds, target_dir};
use crate::system::browser;

/// Channels and side of the map of the block.
const BLOCK: [usize; 2] = [64, 32];

/// The rows. Compares with onnxruntime-web where $PYTHON (or python3) can export a U-Net and a block.
pub(crate) fn bench(root: &Path) -> Result<Vec<Value>> {
    browser()?;
    let program = build::program(root)?;
    let ops = build::ops(root)?;
    let firefall = native(root)?;
    let scratch = target_dir(root).join("web-bench");
    let model = scratch.join("run/model");
    if !model.join("stage2.safetensors").exists() {
        train(&firefall, &scratch)?;
    }
    folder::write_package(root, &program, &model, &scratch.join("package"))?;
    folder::write(root, &program, &root.join("assets/model"), &scratch.join("page"))?;
    fs::write(scratch.join("block.json"), block().to_string())?;
    export(root, &model.join("model.json"), &scratch)?;
    let here = root.join("web/bench");
    build::packages(&here, "onnxruntime-web")?;
    build::packages(&root.join("web/tests"), "playwright-core")?;
    rows(Command::new("node").arg(here.join("bench.mjs")).arg(&scratch).arg(&ops).env("FIREFALL", &firefall))
}

/// Where a step on the CPU goes, function by function of a program that keeps their names.
pub(crate) fn profile(root: &Path) -> Result<Vec<Value>> {
    browser()?;
    let program = build::named(root)?;
    let package = target_dir(root).join("web-bench/named");
    folder::write_package(root, &program, &root.join("assets/model"), &package)?;
    build::packages(&root.join("web/tests"), "playwright-core")?;
    rows(Command::new("node").arg(root.join("web/bench/profile.mjs")).arg(&package))
}

/// A model of the preset with the base U-Net that the reference can be, see `benches/peers/peer.py`; weights of one step.
fn train(firefall: &Path, scratch: &Path) -> Result<()> {
    let trained = |with: &[&str], out: &str| -> Result<()> {
        let mut train = Command::new(firefall);
        train.args(["train", "--device", "cpu", "--steps", "1,1"]).args(with);
        run(train.arg("--out").arg(scratch.join(out)))
    };
    trained(&["--preset", "small"], "preset")?;
    let read = fs::read(scratch.join("preset/train.json"))?;
    let mut config: Value = serde_json::from_slice(&read)?;
    let unet = &mut config["model"]["stages"][0]["unet"];
    unet["middle_cross"] = json!({ "heads": 8, "dim_head": 64 });
    unet["coordinates"] = json!(false);
    // Only its time counts.
    config["reading"] = Value::Null;
    let path = scratch.join("config.json");
    fs::write(&path, config.to_string())?;
    trained(&["--config", path.to_str().context("the path is no UTF-8")?], "run")
}

/// The numbers of a block, for all sides the same: a map, the gain of its norm, weights and bias of its convolution.
fn block() -> Value {
    let [c, side] = BLOCK;
    let list = |shape: &[usize], scale: f64, phase: f64| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| ((i as f64 * 12.9898 + phase).sin() * scale) as f32).collect();
        json!({ "shape": shape, "values": values })
    };
    json!({
        "x": list(&[1, c, side, side], 1.5, 0.3),
        "gamma": list(&[c, 1, 1], 1.0, 0.7),
        "weight": list(&[c, c, 3, 3], 1.0 / (9.0 * c as f64).sqrt(), 1.1),
        "bias": list(&[c], 0.5, 2.0),
    })
}

/// What the other side is: `unet.onnx`, `inputs.json` and `block.onnx` in `scratch`, as far as there is a Python for it.
fn export(root: &Path, config: &Path, scratch: &Path) -> Result<()> {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    if !succeeds(Command::new(&python).arg("--version")) {
        eprintln!("note: nothing to compare with: no {}", python.display());
        return Ok(());
    }
    let mut export = Command::new(&python);
    export.arg(root.join("web/bench/export.py")).arg(config).arg(scratch);
    let told: Value = serde_json::from_str(output(&mut export)?.trim())?;
    match told.get("inputs") {
        Some(inputs) => {
            eprintln!("against {}: {} parameters", told["versions"], told["parameters"]);
            Ok(fs::write(scratch.join("inputs.json"), inputs.to_string())?)
        }
        None => {
            eprintln!("note: nothing to compare with: {}", told["missing"]);
            Ok(())
        }
    }
}
