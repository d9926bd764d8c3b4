//! Group `train`: a step of training of the base U-Net.

mod shipped;
mod unet;

use anyhow::{Context, Result};
use burn::tensor::Device;
use firefall_core::nn::attention::AttentionSize;
use firefall_core::train::TrainConfig;
use firefall_core::train::data::{Place, Source};

use crate::stock::Stock;
use crate::{Comparison, Side};
use shipped::ShippedSide;
use unet::UnetSide;

pub(crate) fn comparisons() -> Result<Vec<Comparison>> {
    let (config, device) = (config()?, Device::flex());
    let unet = UnetSide::new(&config, &device)?;
    let (batch, side) = (unet.batch(), unet.side());
    let peer = unet.peer()?;
    let mut sides: Vec<Box<dyn Side>> = vec![Box::new(unet), Box::new(Stock(UnetSide::new(&config, &device)?))];
    if let Some(peer) = peer {
        sides.push(Box::new(peer));
    }
    let what = format!("a step of training of the base U-Net, {batch} pictures of {side}x{side}");
    let fresh = Comparison { what, steps: 8, pictures: Some(batch), sides };
    let whole = ShippedSide::new(&device)?;
    let (batch, stock) = (whole.batch(), Stock(ShippedSide::new(&device)?));
    let what = format!("a step of the trainer at the shipped base and its text encoder, {batch} pictures");
    let sides: Vec<Box<dyn Side>> = vec![Box::new(whole), Box::new(stock)];
    Ok(vec![fresh, Comparison { what, steps: 8, pictures: Some(batch), sides }])
}

/// The preset with what both sides can have: the reference's middle has 8 heads of 64, its padding is null tokens, and a
/// constant learning rate.
fn config() -> Result<TrainConfig> {
    let mut config = TrainConfig::preset("small").map_err(anyhow::Error::msg)?;
    config.model.stages[0].unet.middle_cross = AttentionSize { heads: 8, dim_head: 64 };
    config.model.stages[0].unet.coordinates = false;
    (config.model.stages[0].unet.cond_images_channels, config.stages[0].inpainting) = (0, 0.0);
    let text = config.model.stages[0].unet.text.as_mut().context("a preset with text")?;
    text.masked = false;
    let optim = &mut config.stages[0].optim;
    (optim.warmup, optim.final_share) = (1, 1.0);
    Ok(config)
}

/// The base stage of a run.
fn base(config: &TrainConfig) -> Place<'_> {
    Place {
        index: 0,
        config: &config.model.stages[0],
        training: &config.stages[0],
        below: None,
        source: Source::Shapes,
    }
}
