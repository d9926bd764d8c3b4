//! Layers against their namesakes in imagen-pytorch.

use burn::tensor::{Device, Tensor, activation};
use firefall_core::nn::Init;
use firefall_core::nn::attention::AttentionSize;
use firefall_core::nn::attention::cross::CrossAttention;
use firefall_core::nn::attention::perceiver::PerceiverAttention;
use firefall_core::nn::attention::self_attn::SelfAttention;
use firefall_core::nn::conv::CrossEmbed;
use firefall_core::nn::embedding::LearnedSinusoidal;
use firefall_core::nn::norm::{ChanRmsNorm, LayerNorm};
use firefall_core::nn::resample::{Downsample, NearestUpsample, PixelShuffleUpsample, enlarge_nearest};
use firefall_core::nn::resnet::{Block, GlobalContext, ResnetBlock, ResnetOptions};
use firefall_core::nn::transformer::{FeedForward, Transformer, to_map, to_tokens};

use crate::support::Golden;

const SIZE: AttentionSize = AttentionSize { heads: 2, dim_head: 8 };
/// A layer whose parameters are called alike with and without a network around it.
const BARE: [&str; 2] = ["", ""];

fn open(name: &str) -> (Golden, Device) {
    (Golden::read(name), Device::flex())
}

#[test]
fn rms_norm_over_channels() {
    let (golden, device) = open("nn_chan_rms_norm");
    let layer = golden.fill(ChanRmsNorm::new(&mut Init::blank(&device), 8), BARE);
    // The layer has SiLU fused in and the reference's has none, so SiLU joins the reference's output.
    let got: Vec<f32> = layer.forward_silu(golden.input("x", &device), None).into_data().try_into_vec().unwrap();
    let want: Vec<f32> = golden.values("out.y").0.iter().map(|v| v / (1.0 + (-v).exp())).collect();
    golden.close("y", &got, &want, golden.tolerance("y"));
}

#[test]
fn layer_norm() {
    let (golden, device) = open("nn_layer_norm");
    let layer = golden.fill(LayerNorm::gain(&mut Init::blank(&device), 12), ["norm.", "norm."]);
    golden.check("y", layer.forward(golden.input::<3>("x", &device)));
}

#[test]
fn cross_embedding() {
    for (name, channels, kernels, stride) in
        [("nn_cross_embed", [3, 8], vec![3, 7, 15], 1), ("nn_cross_embed_down", [8, 12], vec![2, 4], 2)]
    {
        let (golden, device) = open(name);
        let layer = CrossEmbed::new(&mut Init::blank(&device), channels, &kernels, stride);
        let layer = golden.fill(layer, ["stem.", "init_conv."]);
        golden.check("y", layer.forward(golden.input("x", &device)));
    }
}

#[test]
fn ways_up_and_down() {
    let (golden, device) = open("nn_pixel_shuffle_upsample");
    let layer = PixelShuffleUpsample::new(&mut Init::blank(&device), 8, 6);
    let layer = golden.fill(layer, ["ups.0.shuffle.", "ups.0.3."]);
    golden.check("y", layer.forward(golden.input("x", &device)));

    let golden = Golden::read("nn_upsample");
    let layer = golden.fill(NearestUpsample::new(&mut Init::blank(&device), 8, 6), ["ups.0.nearest.", "ups.0.3."]);
    golden.check("y", layer.forward(golden.input("x", &device)));

    let golden = Golden::read("nn_downsample");
    let layer = golden.fill(Downsample::new(&mut Init::blank(&device), 8, 12), ["downs.0.pre.", "downs.0.0."]);
    golden.check("y", layer.forward(golden.input("x", &device)));

    let golden = Golden::read("resize");
    golden.check("nearest_up4", enlarge_nearest(golden.input("x", &device), 4));
}

#[test]
fn block() {
    let (golden, device) = open("nn_block");
    let layer = golden.fill(Block::new(&mut Init::blank(&device), 8, 12), BARE);
    let x: Tensor<4> = golden.input("x", &device);
    golden.check("plain", layer.forward(x.clone(), None));
    let part = |key| golden.input::<4>(key, &device).reshape([2, 8]);
    let scale_shift = Tensor::cat(vec![part("scale"), part("shift")], 1);
    golden.check("scale_shift", layer.forward(x, Some(scale_shift)));
}

#[test]
fn global_context() {
    let (golden, device) = open("nn_global_context");
    let layer = golden.fill(GlobalContext::new(&mut Init::blank(&device), 8), BARE);
    golden.check("y", layer.forward(golden.input("x", &device)));
}

#[track_caller]
fn check_resnet(name: &str, width: usize, options: ResnetOptions) {
    let (golden, device) = open(name);
    let layer = golden.fill(ResnetBlock::new(&mut Init::blank(&device), 8, width, options), BARE);
    let time: Option<Tensor<2>> = options.time.map(|_| activation::silu(golden.input("time_emb", &device)));
    let cond: Option<Tensor<3>> = options.cross.map(|_| golden.input("cond", &device));
    golden.check("y", layer.forward(golden.input("x", &device), time.as_ref(), cond.map(Into::into).as_ref()));
}

#[test]
fn resnet_blocks() {
    let time = ResnetOptions { time: Some(16), ..ResnetOptions::default() };
    check_resnet("nn_resnet_plain", 12, ResnetOptions::default());
    check_resnet("nn_resnet_time", 8, time);
    check_resnet("nn_resnet_cross", 12, ResnetOptions { cross: Some((10, SIZE)), ..time });
    check_resnet("nn_resnet_gca", 12, ResnetOptions { global_context: true, ..time });
}

#[test]
fn self_attention() {
    let (golden, device) = open("nn_attention");
    let layer = golden.fill(SelfAttention::new(&mut Init::blank(&device), 12, SIZE, Some(10)), BARE);
    let x: Tensor<3> = golden.input("x", &device);
    // The reference adds the residual outside.
    golden.check("plain", layer.forward(x.clone(), None) - x.clone());
    let context = golden.input::<3>("context", &device).into();
    golden.check("context", layer.forward(x.clone(), Some(&context)) - x);
}

/// Without its mask: padding reaches these layers as learned null tokens.
#[test]
fn cross_attention() {
    let (golden, device) = open("nn_cross_attention");
    let layer = golden.fill(CrossAttention::new(&mut Init::blank(&device), 12, 10, SIZE), BARE);
    let x: Tensor<3> = golden.input("x", &device);
    // The reference has no map here, and adds the residual outside.
    let map = to_map(x.clone(), [x.dims()[1], 1]);
    let y = layer.forward(map, &golden.input::<3>("context", &device).into());
    golden.check("y", to_tokens(y) - x);
}

/// Without its mask, as above; the whole resampler is part of `unet_base`.
#[test]
fn perceiver_attention() {
    let (golden, device) = open("nn_perceiver_attention");
    let layer = golden.fill(PerceiverAttention::new(&mut Init::blank(&device), 12, SIZE), BARE);
    golden.check("y", layer.forward(golden.input("x", &device), golden.input("latents", &device)));
}

#[test]
fn feed_forward() {
    let (golden, device) = open("nn_feed_forward");
    let layer = golden.fill(FeedForward::new(&mut Init::blank(&device), 12, 2.0), ["a.ff.", "a.1."]);
    let x: Tensor<3> = golden.input("x", &device);
    golden.check("y", layer.forward(x.clone()) - x);
}

#[test]
fn transformer() {
    let (golden, device) = open("nn_transformer_block");
    let layer = golden.fill(Transformer::new(&mut Init::blank(&device), 8, 2, SIZE, 2.0, Some(10)), BARE);
    let x: Tensor<4> = golden.input("x", &device);
    golden.check("plain", layer.forward(x.clone(), None));
    golden.check("context", layer.forward(x, Some(&golden.input::<3>("context", &device).into())));
}

#[test]
fn time_embedding() {
    let (golden, device) = open("nn_learned_sinusoidal");
    let layer = golden.fill(LearnedSinusoidal::new(&mut Init::blank(&device), 8), BARE);
    golden.check("y", layer.forward(golden.input("x", &device)));
}
