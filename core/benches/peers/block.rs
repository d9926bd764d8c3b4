//! Group `block`: norm, SiLU, convolution.

use std::path::Path;

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::noise::{Purpose, Stream};
use firefall_shaders::{block_norm, conv3x3};
use serde_json::json;

use crate::peer::{self, Peer};
use crate::stock::Stock;
use crate::{Comparison, Run, Side, rms, timed};

/// Pictures, channels and side of the map.
const SHAPE: [usize; 4] = [8, 64, 32, 32];

pub(crate) fn comparisons() -> Result<Vec<Comparison>> {
    [false, true].into_iter().map(comparison).collect()
}

fn comparison(training: bool) -> Result<Comparison> {
    let sides = || BlockSide::new(training);
    let peer = sides().peer()?;
    let mut all: Vec<Box<dyn Side>> = vec![Box::new(sides()), Box::new(Stock(sides()))];
    if let Some(peer) = peer {
        all.push(Box::new(peer));
    }
    let [b, c, side, _] = SHAPE;
    let how = if training { "forward and backward" } else { "forward" };
    let what = format!("a block of norm, SiLU and convolution, {b} maps of {c} channels at {side}x{side}, {how}");
    Ok(Comparison { what, steps: if training { 20 } else { 40 }, pictures: None, sides: all })
}

/// The block, and a gradient of its output.
struct BlockSide {
    training: bool,
    x: Vec<f32>,
    dy: Vec<f32>,
    gamma: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl BlockSide {
    fn new(training: bool) -> Self {
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        let (c, n) = (SHAPE[1], SHAPE.iter().product());
        let weight = stream.normals(c * c * 9).into_iter().map(|v| v / (9.0 * c as f32).sqrt()).collect();
        let [x, dy, gamma, bias] = [n, n, c, c].map(|n| stream.normals(n));
        Self { training, x, dy, gamma, weight, bias }
    }

    fn peer(&self) -> Result<Option<Peer>> {
        let c = SHAPE[1];
        let parameters = c * c * 9 + 2 * c;
        let write = |folder: &Path| {
            let lists = [
                ("x", SHAPE.to_vec(), &self.x),
                ("dy", SHAPE.to_vec(), &self.dy),
                ("gamma", vec![c, 1, 1], &self.gamma),
                ("weight", vec![c, c, 3, 3], &self.weight),
                ("bias", vec![c], &self.bias),
            ];
            peer::write_batch(lists, folder)
        };
        Peer::start("block", json!({ "training": self.training }), parameters, write)
    }
}

impl Side for BlockSide {
    fn name(&self) -> String {
        "firefall".to_owned()
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        let device = if self.training { Device::flex().autodiff() } else { Device::flex() };
        let maps = |values: &Vec<f32>, shape| Tensor::<4>::from_data(TensorData::new(values.clone(), shape), &device);
        let row = |values: &Vec<f32>| Tensor::<1>::from_data(TensorData::new(values.clone(), [SHAPE[1]]), &device);
        let (x, dy) = (maps(&self.x, SHAPE), maps(&self.dy, SHAPE));
        let weight = maps(&self.weight, [SHAPE[1], SHAPE[1], 3, 3]);
        let (gamma, bias) = (row(&self.gamma), row(&self.bias));
        if !self.training {
            let forward = || Ok(conv3x3(block_norm(x.clone(), gamma.clone(), None), weight.clone(), bias.clone()));
            return timed(count, forward, rms);
        }
        let step = || {
            let (x, weight) = (x.clone().require_grad(), weight.clone().require_grad());
            let (gamma, bias) = (gamma.clone().require_grad(), bias.clone().require_grad());
            let y = conv3x3(block_norm(x.clone(), gamma.clone(), None), weight.clone(), bias.clone());
            let mut grads = (y * dy.clone()).sum().backward();
            let missing = || anyhow::anyhow!("a gradient is missing");
            let maps = [&x, &weight].map(|t| t.grad_remove(&mut grads).ok_or_else(missing));
            let rows = [&gamma, &bias].map(|t| t.grad_remove(&mut grads).ok_or_else(missing));
            Ok((maps, rows))
        };
        timed(count, step, |(maps, rows)| {
            let mut sum = 0.0;
            for map in maps {
                sum += rms(map?)?;
            }
            for row in rows {
                sum += rms(row?)?;
            }
            Ok(sum)
        })
    }
}
