//! Networks that grow.

use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::nn::Init;
use firefall_core::nn::attention::AttentionSize;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::unet::{Conditioning, LevelConfig, TextConfig, TextInput, Unet, UnetConfig};
use firefall_core::weights::named;

use crate::tiny::{changed, shaken};

/// Two levels of so many inner blocks and layers, with so many layers between them.
fn config(levels: [[usize; 2]; 2], middle_attention: usize) -> UnetConfig {
    let attn = AttentionSize { heads: 2, dim_head: 4 };
    let level = |(mult, [resnet_blocks, attention]): (usize, [usize; 2])| LevelConfig {
        mult,
        resnet_blocks,
        attention,
        cross_attention: true,
    };
    UnetConfig {
        dim: 8,
        levels: [1, 2].into_iter().zip(levels).map(level).collect(),
        middle_attention,
        attn,
        middle_cross: attn,
        text: Some(TextConfig { embed_dim: 6, max_len: 5, masked: true, pool: None }),
        ..UnetConfig::default()
    }
}

fn fresh(seed: u64, config: &UnetConfig) -> Unet {
    config.validate().unwrap();
    Unet::new(&mut Init::seeded(&Device::flex(), seed), config)
}

fn noise<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let values = Stream::new(seed, Purpose::Evaluation, 0).normals(shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// What a network makes of two noises and a text.
fn output(network: &Unet) -> Vec<f32> {
    let [mask, keep] = [vec![1.0f32, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], vec![1.0, 1.0]];
    let text = TextInput {
        tokens: noise(2, [2, 5, 6]),
        mask: Tensor::from_data(TensorData::new(mask, [2, 5]), &Device::flex()),
        keep: Tensor::from_data(TensorData::new(keep, [2]), &Device::flex()),
    };
    let conditioning = Conditioning { text: Some(text), ..Conditioning::default() };
    let level = Tensor::from_data([0.3f32, -1.0], &Device::flex());
    network.forward(noise(1, [2, 3, 8, 8]), level, &conditioning).into_data().try_into_vec().unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_grown_network_makes_the_same_pictures_until_it_learns() {
    let small = config([[0, 0], [1, 1]], 0);
    for early in [false, true] {
        for (levels, middle, cond_images_channels) in [
            ([[1, 0], [1, 1]], 0, 0),
            ([[0, 0], [3, 1]], 0, 0),
            ([[0, 1], [1, 3]], 0, 0),
            ([[0, 0], [1, 1]], 2, 4),
            ([[2, 2], [2, 2]], 1, 4),
        ] {
            let small = UnetConfig { memory_efficient: early, ..small.clone() };
            let large = UnetConfig { memory_efficient: early, cond_images_channels, ..config(levels, middle) };
            assert_eq!(small.clone().grown(&large), large);
            let before = shaken(fresh(1, &small), 2);
            let after = before.clone().grown(fresh(3, &large));
            let (had, has) = (named(&before).len(), named(&after).len());
            assert!(has >= had && after.config() == &large);
            let (before, same) = (output(&before), output(&after));
            assert!(apart(&before, &same) < 1e-5, "{large:?}: {} apart", apart(&before, &same));
            // What it has more is there to learn: no branch of it is deaf for good.
            let learnt = output(&shaken(after.clone(), 4));
            assert!(apart(&before, &learnt) > 1e-3);
        }
    }
}

/// What the new parts end in is zero, and what leads there is not: the first step moves the one, later ones the other.
#[test]
fn each_new_part_can_learn() {
    let large = config([[1, 0], [2, 2]], 1);
    let grown = shaken(fresh(1, &config([[0, 0], [1, 1]], 0)), 2).grown(fresh(3, &large));
    let before = output(&grown);
    let names: Vec<String> = named(&grown).into_iter().map(|param| param.path).collect();
    let ends = [
        "downs.0.blocks.resnets.0.block2.conv.weight",
        "downs.1.blocks.resnets.1.block2.conv.weight",
        "ups.0.blocks.resnets.0.block2.conv.weight",
        "ups.1.blocks.resnets.0.block2.conv.weight",
        "downs.1.blocks.transformer.layers.1.attn.norm_out.weight",
        "downs.1.blocks.transformer.layers.1.ff.norm_out.weight",
        "mid_attn.layers.0.attn.norm_out.weight",
        "mid_attn.layers.0.ff.norm_out.weight",
    ];
    for end in ends {
        let at = names.iter().position(|name| name == end).unwrap_or_else(|| panic!("{end} is not in {names:#?}"));
        let moved = changed(grown.clone(), |i, _, value| {
            assert!(i != at || value == 0.0, "{end}");
            if i == at { 0.1 } else { value }
        });
        assert!(apart(&before, &output(&moved)) > 1e-4, "{end}");
    }
}

#[test]
fn what_cannot_grow_keeps_its_size() {
    let [small, large] = [config([[0, 0], [1, 1]], 0), config([[1, 1], [2, 2]], 1)];
    assert_eq!(large.clone().grown(&small), large);
    let wider = UnetConfig { dim: 16, ..large.clone() };
    assert_eq!(small.grown(&wider), large);
}
