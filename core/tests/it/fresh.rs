//! First values: what a network that has learnt nothing does.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::nn::Init;
use firefall_core::nn::attention::AttentionSize;
use firefall_core::nn::resample::PixelShuffleUpsample;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::unet::{Conditioning, LevelConfig, Unet, UnetConfig};
use firefall_core::weights::named;

fn noise(shape: [usize; 4]) -> Tensor<4> {
    let values = Stream::new(5, Purpose::Evaluation, 0).normals(shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn network(seed: u64) -> Unet {
    let attn = AttentionSize { heads: 2, dim_head: 8 };
    let levels = [1, 2].map(|mult| LevelConfig { mult, ..LevelConfig::default() }).to_vec();
    let config = UnetConfig { dim: 8, levels, attn, middle_cross: attn, text: None, ..UnetConfig::default() };
    config.validate().unwrap();
    Unet::new(&mut Init::seeded(&Device::flex(), seed), &config)
}

#[test]
fn a_fresh_network_says_nothing() {
    let level = Tensor::<1>::from_data([0.3f32, -1.0], &Device::flex());
    let output = network(1).forward(noise([2, 3, 8, 8]), level, &Conditioning::default());
    assert!(values(output).iter().all(|&v| v == 0.0));
}

#[test]
fn a_fresh_way_up_paints_no_checkerboard() {
    let layer = PixelShuffleUpsample::new(&mut Init::seeded(&Device::flex(), 1), 6, 4);
    let up = layer.forward(noise([1, 6, 5, 5]));
    assert_eq!(up.dims(), [1, 4, 10, 10]);
    let up = values(up);
    let at = |c: usize, y: usize, x: usize| up[(c * 10 + y) * 10 + x];
    for (c, y, x) in (0..4).flat_map(|c| (0..10).flat_map(move |y| (0..10).map(move |x| (c, y, x)))) {
        assert!((at(c, y, x) - at(c, y - y % 2, x - x % 2)).abs() < 1e-6, "{c} {y} {x}");
    }
    assert!(at(0, 0, 0) != at(0, 2, 0) && at(0, 0, 0) != at(1, 0, 0));
}

#[test]
fn first_values_are_drawn_within_their_bounds_and_by_the_seed() {
    let first = named(&network(1));
    let (again, other) = (named(&network(1)), named(&network(2)));
    let mut drawn = 0;
    for ((a, b), c) in first.into_iter().zip(again).zip(other) {
        let (path, shape) = (a.path, a.shape);
        let [a, b, c] = [a.values, b.values, c.values].map(values);
        assert_eq!(a, b, "{path}");
        drawn += usize::from(a != c);
        // Convolutions but those of the ways up and the last, as PyTorch draws them.
        if let ([_, c_in, k, _], false) = (&shape[..], path.contains("shuffle") || path.starts_with("final_conv")) {
            let bound = ((c_in * k * k) as f32).powf(-0.5);
            let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
            // A few numbers may all be small.
            let least = if a.len() < 64 { 0.0 } else { 0.5 * bound };
            assert!(largest <= 1.0001 * bound && largest > least, "{path}: {largest} of {bound}");
        }
        if path.starts_with("final_conv") {
            assert!(a.iter().all(|&v| v == 0.0), "{path}");
        }
    }
    assert!(drawn > 50, "{drawn}");
    assert!(network(1).num_params() > 10_000);
}
