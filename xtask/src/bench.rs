//! The benchmarks, and the rows they print.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::shell::{cargo, output, say, target_dir};
use crate::system::software_gpu;
use crate::test::{PRODUCT, programs};
use crate::web;

/// Benchmarks that are asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// The page, in Chromium
    Web,
    /// The page's CPU, in Chromium: where a step of the shipped base spends its time, in milliseconds of itself and as a
    /// share of the whole
    Profile,
}

/// Runs what is asked for, one after the other, as all measure the same cores; then prints the rows as a table, and
/// writes them to `json`. What compares itself with imagen-pytorch or onnxruntime-web does so where $PYTHON (or python3)
/// has these.
pub(crate) fn run(root: &Path, which: Option<Which>, json: Option<&Path>) -> Result<()> {
    let rows = match which {
        Some(Which::Web) => web::bench(root)?,
        Some(Which::Profile) => web::profile(root)?,
        None => {
            software_gpu()?;
            let mut rows = rows(cargo(root).args(["bench", "--benches"]).args(PRODUCT))?;
            rows.push(dispatches(root)?);
            rows
        }
    };
    table(&rows);
    match json {
        Some(path) => {
            let text = serde_json::to_string_pretty(&rows)?;
            fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(()),
    }
}

/// Runs a program, passes on what it prints, and returns the rows in it: lines that are `{ what, ours, other, ratio }`.
pub(crate) fn rows(command: &mut Command) -> Result<Vec<Value>> {
    let line = say(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {line}"))?;
    let mut rows = Vec::new();
    for line in BufReader::new(child.stdout.take().context("its output is piped")?).lines() {
        let line = line?;
        match serde_json::from_str::<Value>(&line) {
            Ok(row) if row.get("what").is_some() => rows.push(row),
            _ => eprintln!("{line}"),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(rows)
}

/// Dispatches of the base network's evaluation for one picture, counted from what `CubeCL` tells: those of a picture in
/// more steps without those of one in fewer.
fn dispatches(root: &Path) -> Result<Value> {
    let (few, many) = (4, 8);
    let folder = target_dir(root).join("dispatches");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("cubecl.toml"), "[profiling]\nlogger = { level = \"basic\", stdout = true }\n")?;
    let firefall = programs(root)?.join("firefall");
    let counted = |kernels: &str, steps: usize| -> Result<usize> {
        let mut sample = Command::new(&firefall);
        sample.current_dir(&folder).env("FIREFALL_KERNELS", kernels).arg("sample").arg("a red star");
        sample.args(["--device", "gpu", "--stage", "1", "--cond-scale", "1", "--seed", "1", "--force"]);
        sample.args(["--steps", &steps.to_string(), "--out", "picture.png", "--model"]).arg(root.join("assets/model"));
        Ok(output(&mut sample)?.lines().filter(|line| line.starts_with("| ")).count())
    };
    let each = |kernels| -> Result<f64> {
        Ok((counted(kernels, many)? as f64 - counted(kernels, few)? as f64) / (many - few) as f64)
    };
    let (ours, stock) = (each("on")?, each("off")?);
    let what = "dispatches of the shipped base network for a picture, against stock Burn";
    Ok(json!({ "what": what, "ours": ours, "other": stock, "ratio": stock / ours }))
}

fn table(rows: &[Value]) {
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    eprintln!("\n{:>12} {:>12} {:>8}  what", "ours", "other", "ratio");
    for row in rows {
        let (ours, other, ratio) = (number(row, "ours"), number(row, "other"), number(row, "ratio"));
        eprintln!("{ours:>12.2} {other:>12.2} {ratio:>8.2}  {}", row["what"].as_str().unwrap_or_default());
    }
}
