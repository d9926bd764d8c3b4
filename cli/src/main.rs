//! Temporary.
use std::time::Instant;
use firefall_core::train::*;
use burn::tensor::Device;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut config: TrainConfig = match a[1].as_str() {
        p if p.ends_with(".json") => serde_json::from_slice(&std::fs::read(p).unwrap()).unwrap(),
        p => TrainConfig::preset(p).unwrap(),
    };
    if a[1] == "dump" { println!("{}", serde_json::to_string_pretty(&config).unwrap()); return; }
    if let Some(n) = a.get(4) { config.stages[0].steps = n.parse().unwrap(); }
    let options = RunOptions { stages: a[3].split(',').filter_map(|s| s.parse().ok()).collect(), resume: std::path::Path::new(&a[2]).join("train.json").exists() };
    let mut run = TrainRun::open(config, std::path::Path::new(&a[2]), &options, &Device::flex()).unwrap();
    let (mut t, mut n) = (Instant::now(), 0usize);
    loop {
        match pollster::block_on(run.next()).unwrap() {
            None => break,
            Some(TrainEvent::Step { pictures, metrics }) => { n += pictures; if let Some(m) = metrics { println!("{m:?} {:.1} pic/s", n as f64 / t.elapsed().as_secs_f64()); t = Instant::now(); n = 0; } }
            Some(TrainEvent::StageStarted { stage, steps, parameters, done, .. }) => { println!("stage {stage} {done}/{steps} {parameters} parameters"); t = Instant::now(); }
            Some(TrainEvent::Checkpoint { step, .. }) => println!("checkpoint {step}"),
            Some(_) => println!("stage done"),
        }
    }
}
