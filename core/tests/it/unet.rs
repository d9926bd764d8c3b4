//! Whole networks against imagen-pytorch's `Unet`.

use burn::tensor::{Device, Tensor};
use firefall_core::nn::Init;
use firefall_core::nn::attention::AttentionSize;
use firefall_core::nn::attention::perceiver::PerceiverConfig;
use firefall_core::unet::{
    Conditioning, LevelConfig, Lowres, Stem, TextConfig, TextInput, Unet, UnetConfig, Upsampling,
};

use firefall_core::weights::Leftover;

use crate::support::Golden;

/// What the three have in common, with the given levels.
fn config(levels: &[(usize, usize, bool)]) -> UnetConfig {
    let level = |&(mult, resnet_blocks, attends): &(usize, usize, bool)| LevelConfig {
        mult,
        resnet_blocks,
        attention: usize::from(attends),
        cross_attention: attends,
    };
    let pool = PerceiverConfig { latents: 4, ..PerceiverConfig::default() };
    UnetConfig {
        dim: 8,
        cond_dim: Some(12),
        attn: AttentionSize { heads: 2, dim_head: 8 },
        text: Some(TextConfig { embed_dim: 10, max_len: 12, masked: false, pool: Some(pool) }),
        levels: levels.iter().map(level).collect(),
        ..UnetConfig::default()
    }
}

fn base() -> UnetConfig {
    config(&[(1, 1, false), (2, 2, true)])
}

fn super_resolution() -> UnetConfig {
    UnetConfig {
        memory_efficient: true,
        lowres_cond: true,
        stem_to_end: true,
        combine_upsample_maps: true,
        ..config(&[(1, 1, false), (2, 1, false), (4, 2, true)])
    }
}

fn plain() -> UnetConfig {
    UnetConfig {
        text: Some(TextConfig { embed_dim: 10, max_len: 12, masked: false, pool: None }),
        stem: Stem::Conv(7),
        upsampling: Upsampling::Nearest,
        global_context: false,
        scale_skips: false,
        final_resnet_block: false,
        self_cond: true,
        cond_images_channels: 3,
        middle_attention: 0,
        ..base()
    }
}

fn build(golden: &Golden, config: &UnetConfig, device: &Device) -> Unet {
    config.validate().unwrap();
    golden.fill(Unet::new(&mut Init::blank(device), config), ["", ""])
}

/// Text with its mask, or all ones without; kept or dropped for the whole batch.
fn text(golden: &Golden, mask: bool, keep: bool, device: &Device) -> TextInput {
    let tokens: Tensor<3> = golden.input("text_embeds", device);
    let [b, n, _] = tokens.dims();
    let mask = if mask { golden.input("text_mask", device) } else { Tensor::ones([b, n], device) };
    TextInput { tokens, mask, keep: Tensor::full([b], f32::from(u8::from(keep)), device) }
}

#[track_caller]
fn check(golden: &Golden, key: &str, net: &Unet, conditioning: &Conditioning) {
    let device = Device::flex();
    golden.check(key, net.forward(golden.input("x", &device), golden.input("time", &device), conditioning));
    assert!(golden.tolerance(key) < 1e-4, "{key}: the tolerance grew");
}

/// The output with text and with all text dropped.
#[track_caller]
fn check_both(golden: &Golden, net: &Unet, others: &Conditioning) {
    for (key, keep) in [("y", true), ("y_dropped", false)] {
        let text = Some(text(golden, true, keep, &Device::flex()));
        check(golden, key, net, &Conditioning { text, ..others.clone() });
    }
}

/// The same on a GPU, where Burn fuses what stands between its kernels, in another way in each network.
#[cfg(feature = "train")]
#[track_caller]
fn check_on_gpu(golden: &Golden, key: &str, got: Tensor<4>) {
    let (want, shape) = golden.values(&format!("out.{key}"));
    assert_eq!(got.dims().as_slice(), shape);
    golden.close(key, &got.into_data().try_into_vec::<f32>().unwrap(), &want, 1e-4);
}

#[cfg(feature = "train")]
#[test]
fn a_gpu_computes_the_networks_of_the_reference() {
    let Some(device) = crate::tiny::wgpu("a_gpu_computes_the_networks_of_the_reference") else { return };
    for (name, config) in [("unet_base", base()), ("unet_sr", super_resolution())] {
        let golden = Golden::read(name);
        let net = build(&golden, &config, &device);
        let lowres = config.lowres_cond.then(|| Lowres {
            image: golden.input("lowres_cond_img", &device),
            level: golden.input("lowres_noise_times", &device),
        });
        for (key, keep) in [("y", true), ("y_dropped", false)] {
            let text = Some(text(&golden, true, keep, &device));
            let conditioning = Conditioning { text, lowres: lowres.clone(), ..Conditioning::default() };
            let got = net.forward(golden.input("x", &device), golden.input("time", &device), &conditioning);
            check_on_gpu(&golden, key, got);
        }
    }
    let golden = Golden::read("unet_plain");
    let net = build(&golden, &plain(), &device);
    let conditioning = Conditioning {
        text: Some(text(&golden, false, false, &device)),
        self_cond: Some(golden.input("self_cond", &device)),
        cond_images: Some(golden.input("cond_images", &device)),
        ..Conditioning::default()
    };
    let got = net.forward(golden.input("x", &device), golden.input("time", &device), &conditioning);
    check_on_gpu(&golden, "y_dropped", got);
}

#[test]
fn the_base_network() {
    let golden = Golden::read("unet_base");
    check_both(&golden, &build(&golden, &base(), &Device::flex()), &Conditioning::default());
}

#[test]
fn the_super_resolution_network() {
    let (golden, device) = (Golden::read("unet_sr"), Device::flex());
    let lowres =
        Lowres { image: golden.input("lowres_cond_img", &device), level: golden.input("lowres_noise_times", &device) };
    let others = Conditioning { lowres: Some(lowres), ..Conditioning::default() };
    check_both(&golden, &build(&golden, &super_resolution(), &device), &others);
}

/// Without a mask, which `Imagen` always passes, the reference fills a short text with zeros instead of null tokens.
/// All tokens given count, so null tokens fill ours and nothing else: as zeros they make both the same.
#[test]
fn the_network_with_its_parts_off() {
    let (mut golden, device) = (Golden::read("unet_plain"), Device::flex());
    let conditioning = |golden: &Golden, keep| Conditioning {
        text: Some(text(golden, false, keep, &device)),
        self_cond: Some(golden.input("self_cond", &device)),
        cond_images: Some(golden.input("cond_images", &device)),
        ..Conditioning::default()
    };
    check(&golden, "y_dropped", &build(&golden, &plain(), &device), &conditioning(&golden, false));
    golden.zero = Some("null_text_embed");
    let net = build(&golden, &plain(), &device);
    check(&golden, "y", &net, &conditioning(&golden, true));
    check(&golden, "y_no_self_cond", &net, &Conditioning { self_cond: None, ..conditioning(&golden, true) });
}

/// Each picture alone, with its own tokens and no padding, is the same picture of a padded batch; dropped text is no text.
#[test]
fn levels_that_were_read_at_once_are_those_that_are_read_one_by_one() {
    let golden = Golden::read("unet_base");
    let device = Device::flex();
    let net = build(&golden, &base(), &device);
    let silent = UnetConfig { text: None, ..plain() };
    let silent = crate::tiny::shaken(Unet::new(&mut Init::seeded(&device, 3), &silent), 4);
    let x: Tensor<4> = golden.input("x", &device);
    let [b, _, h, w] = x.dims();
    let text = text(&golden, true, true, &device);
    for (net, conditioning) in
        [(&net, Conditioning { text: Some(text), ..Conditioning::default() }), (&silent, Conditioning::default())]
    {
        let told = net.read(&conditioning, [b, h, w]);
        let read = net.read_levels(told.clone(), &[1.5, 0.25, -0.75]);
        let numbers = |y: Tensor<4>| -> Vec<f32> { y.into_data().try_into_vec().unwrap() };
        for level in [0.25, -0.75, 1.5, 0.7] {
            let want = numbers(net.step(x.clone(), Tensor::full([b], level, &device), &told));
            let got = numbers(net.step_at(x.clone(), level, &read));
            let apart = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5 && want.iter().any(|v| *v != 0.0), "{level}: {apart}");
        }
    }
}

#[test]
fn masked_text_is_the_text_without_padding() {
    let (mut golden, device) = (Golden::read("unet_base"), Device::flex());
    // The reference has null tokens and a resampler.
    golden.leftover = Leftover::Allow;
    let text = TextConfig { embed_dim: 10, max_len: 12, masked: true, pool: None };
    let net = build(&golden, &UnetConfig { text: Some(text), ..base() }, &device);
    let (x, level): (Tensor<4>, Tensor<1>) = (golden.input("x", &device), golden.input("time", &device));
    let tokens: Tensor<3> = golden.input("text_embeds", &device);
    let ([b, n, d], [_, c, h, w]) = (tokens.dims(), x.dims());
    let counts: Vec<usize> = (0..b).map(|i| 1 + i % n).collect();
    let forward = |x: Tensor<4>, level: Tensor<1>, tokens: Tensor<3>, counts: &[usize], keep: f32| {
        let [b, n, _] = tokens.dims();
        let mask: Vec<f32> =
            counts.iter().flat_map(|&count| (0..n).map(move |i| f32::from(u8::from(i < count)))).collect();
        let mask = Tensor::<1>::from_data(mask.as_slice(), &device).reshape([b, n]);
        let text = Some(TextInput { tokens, mask, keep: Tensor::full([b], keep, &device) });
        net.forward(x, level, &Conditioning { text, ..Conditioning::default() })
    };
    let far = |a: Tensor<4>, b: Tensor<4>| (a - b).abs().max().into_scalar::<f32>();
    let whole = forward(x.clone(), level.clone(), tokens.clone(), &counts, 1.0);
    for (i, &count) in counts.iter().enumerate() {
        let one = |end: usize| tokens.clone().slice([i..i + 1, 0..end, 0..d]);
        let (x, level) = (x.clone().slice([i..i + 1, 0..c, 0..h, 0..w]), level.clone().slice([i..i + 1]));
        let alone = forward(x.clone(), level.clone(), one(count), &[count], 1.0);
        assert!(far(alone.clone(), whole.clone().slice([i..i + 1])) < 1e-5);
        let dropped = forward(x.clone(), level.clone(), one(n), &[n], 0.0);
        assert!(far(alone, dropped.clone()) > 1e-3, "text counts");
        assert!(far(forward(x, level, one(1) * 3.0, &[1], 0.0), dropped) < 1e-5);
    }
}

#[cfg(feature = "train")]
mod gradients {
    //! Gradients of `sum(y * r)`.

    use std::collections::BTreeMap;

    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::{Device, Gradients, Tensor};
    use firefall_core::unet::Conditioning;
    use firefall_core::weights::keys::imagen_pytorch;

    use super::{base, build, text};
    use crate::support::Golden;

    /// Gradient and value of every parameter, by the reference's key.
    struct Gather<'a> {
        golden: &'a Golden,
        gradients: &'a Gradients,
        path: Vec<String>,
        found: BTreeMap<String, [Vec<f32>; 2]>,
    }

    impl ModuleVisitor for Gather<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            let key = imagen_pytorch(&path).into_iter().find(|key| self.golden.params.contains_key(key)).unwrap();
            let value = param.val();
            // None is zero, as in training: a key's bias in a gate takes no part.
            let gradient = value.grad(self.gradients).unwrap_or_else(|| value.clone().inner().zeros_like());
            let pair = [gradient.into_data(), value.into_data()].map(|data| data.try_into_vec().unwrap());
            self.found.insert(key, pair);
        }
    }

    #[test]
    fn of_the_base_network() {
        check(&Device::flex(), |golden, key, got| golden.check_values(key, got));
    }

    #[test]
    fn of_the_base_network_on_a_gpu() {
        let Some(device) = crate::tiny::wgpu("of_the_base_network_on_a_gpu") else { return };
        check(&device, |golden, key, got| {
            let (want, _) = golden.values(&format!("out.{key}"));
            let largest = want.iter().fold(1f32, |m, v| m.max(v.abs()));
            // Backwards through norms of nearly nothing, rounding grows more than on the way forward.
            golden.close(key, got, &want, 1e-3 * f64::from(largest));
        });
    }

    /// All gradients on `device`, each held against the golden by `close`.
    fn check(device: &Device, close: impl Fn(&Golden, &str, &[f32])) {
        let (golden, device) = (Golden::read("unet_base_grad"), device.clone().autodiff());
        let net = build(&golden, &base(), &device);
        let x: Tensor<4> = golden.input("x", &device).require_grad();
        let text = Some(text(&golden, true, true, &device));
        let conditioning = Conditioning { text, ..Conditioning::default() };
        let y = net.forward(x.clone(), golden.input("time", &device), &conditioning);
        let gradients = (y * golden.input("r", &device)).sum().backward();
        close(&golden, "grad_x", &x.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap());

        let mut gather = Gather { golden: &golden, gradients: &gradients, path: Vec::new(), found: BTreeMap::new() };
        net.visit(&mut gather);
        let found = gather.found;
        assert_eq!(found.len(), golden.params.len());
        for key in ["downs.0.1.block1.project.weight", "downs.1.3.layers.0.0.to_q.weight", "null_text_embed"] {
            close(&golden, &format!("grad.{key}"), &found[key][0]);
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let norms: Vec<f32> = found.values().map(|[g, _]| dot(g, g).sqrt() as f32).collect();
        let dots: Vec<f32> = found.values().map(|[g, v]| dot(g, v) as f32).collect();
        close(&golden, "grad_norms", &norms);
        close(&golden, "grad_dots", &dots);
    }
}
