//! Group `denoise`: a guided step of a U-Net as imagen-pytorch's README has it.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::diffusion::guidance::guide;
use firefall_core::nn::Init;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::train::params::{Graph, replace, values};
use firefall_core::train::trainer::Networks;
use firefall_core::unet::{Conditioning, LevelConfig, TextInput, Unet, UnetConfig};
use serde_json::json;

use crate::peer::{self, Peer};
use crate::{Comparison, Run, Side, rms, timed};

/// Pictures, channels and side.
const SHAPE: [usize; 4] = [2, 3, 64, 64];
/// Tokens of a prompt.
const TOKENS: usize = 20;
/// Guidance.
const COND_SCALE: f64 = 3.0;
/// The noise level, as the network sees it.
const LEVEL: f32 = 0.5;

pub(crate) fn comparisons() -> Result<Vec<Comparison>> {
    let ours = DenoiseSide::new()?;
    let peer = ours.peer()?;
    let mut sides: Vec<Box<dyn Side>> = vec![Box::new(ours)];
    if let Some(peer) = peer {
        sides.push(Box::new(peer));
    }
    let [b, _, side, _] = SHAPE;
    let what = format!("a guided step of the README's unet1, {b} pictures of {side}x{side}");
    Ok(vec![Comparison { what, steps: 4, pictures: None, sides }])
}

/// `unet1` of <https://github.com/lucidrains/imagen-pytorch#usage>.
fn config() -> UnetConfig {
    let level = |(mult, attends): (usize, bool)| LevelConfig {
        mult,
        resnet_blocks: 3,
        attention: usize::from(attends),
        cross_attention: attends,
    };
    let levels = [(1, false), (2, true), (4, true), (8, true)].map(level).to_vec();
    UnetConfig { dim: 32, cond_dim: Some(512), levels, ..UnetConfig::default() }
}

struct DenoiseSide {
    unet: Unet,
    x: Vec<f32>,
    /// `[b, n, d]`, row-major.
    tokens: Vec<f32>,
    width: usize,
}

impl DenoiseSide {
    fn new() -> Result<Self> {
        let (config, device) = (config(), Device::flex());
        let width = config.text.as_ref().context("unet1 has text")?.embed_dim;
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        let networks = Networks { t5: None, unet: Unet::new(&mut Init::seeded(&device, 1), &config), namer: None };
        // What a network has at zero before it is trained would hide all the rest.
        let awake = |param: Tensor<1>| {
            let n = param.dims()[0];
            param + Tensor::from_data(TensorData::new(stream.normals(n), [n]), &device) * 0.02
        };
        let params = values(&networks).into_iter().map(awake).collect();
        let Networks { unet, .. } = replace(networks, params, Graph::None);
        let [x, tokens] = [SHAPE.iter().product(), SHAPE[0] * TOKENS * width].map(|n| stream.normals(n));
        Ok(Self { unet, x, tokens, width })
    }

    fn peer(&self) -> Result<Option<Peer>> {
        let more = json!({
            "unet": self.unet.config(), "keys": peer::keys(&self.unet), "cond_scale": COND_SCALE, "level": LEVEL,
        });
        let write = |folder: &Path| {
            peer::write_weights(&self.unet, folder)?;
            let tokens = vec![SHAPE[0], TOKENS, self.width];
            peer::write_batch([("x", SHAPE.to_vec(), &self.x), ("tokens", tokens, &self.tokens)], folder)
        };
        Peer::start("denoise", more, peer::parameters(&self.unet), write)
    }
}

impl Side for DenoiseSide {
    fn name(&self) -> String {
        "firefall".to_owned()
    }

    /// As in a run: what does not change from step to step is read once.
    fn steps(&mut self, count: usize) -> Result<Run> {
        let (device, [b, _, h, w]) = (Device::flex(), SHAPE);
        let x = Tensor::<4>::from_data(TensorData::new(self.x.clone(), SHAPE), &device);
        let tokens = TensorData::new(self.tokens.clone(), [b, TOKENS, self.width]);
        let tokens = Tensor::<3>::from_data(tokens, &device).repeat_dim(0, 2);
        let keep = Tensor::cat(vec![Tensor::ones([b], &device), Tensor::zeros([b], &device)], 0);
        let text = TextInput { tokens, mask: Tensor::ones([2 * b, TOKENS], &device), keep };
        let told = self.unet.read(&Conditioning { text: Some(text), ..Conditioning::default() }, [2 * b, h, w]);
        let level = Tensor::<1>::full([2 * b], LEVEL, &device);
        let step = || {
            let both = self.unet.step(x.clone().repeat_dim(0, 2), level.clone(), &told);
            Ok(guide(both, COND_SCALE))
        };
        timed(count, step, rms)
    }
}
