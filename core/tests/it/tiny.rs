//! A cascade of two tiny stages with random weights, its tokenizer, and the devices to run it on.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use burn::module::Module;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use firefall_core::cascade::{Event, Model, PictureRequest, Request, Run, RunError, Stage};
use firefall_core::image::Picture;
use firefall_core::nn::Init;
use firefall_core::noise::{Purpose, Stream};
use firefall_core::text::tokenizer_training::train_tokenizer;
use firefall_core::text::{T5Encoder, TextEncoder, Tokenizer};
use firefall_core::train::TrainConfig;
use firefall_core::train::params::{Flat, Graph, replace, values};
use firefall_core::unet::{Unet, UnetConfig};
use firefall_core::weights::named;
use firefall_core::world::{Mix, draw};

/// The preset of tests.
pub(crate) fn config() -> TrainConfig {
    TrainConfig::preset("tiny").unwrap()
}

/// A tokenizer from a few captions: a run's own takes twenty thousand.
pub(crate) fn tokenizer() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let caption = |i| draw(&mut Stream::new(1, Purpose::Caption, i), &Mix::default()).caption;
        train_tokenizer((0..300).map(caption), config().vocabulary).unwrap()
    })
}

/// The numbers of a tensor.
pub(crate) fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().unwrap()
}

/// Every parameter through `change`, which knows the parameter's place and the number's place in it.
pub(crate) fn changed<M: Module>(module: M, mut change: impl FnMut(usize, usize, f32) -> f32) -> M {
    let flat: Flat = values(&module)
        .iter()
        .enumerate()
        .map(|(at, tensor)| {
            let values: Vec<f32> = numbers(tensor).iter().enumerate().map(|(i, &v)| change(at, i, v)).collect();
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), &tensor.device())
        })
        .collect();
    replace(module, flat, Graph::None)
}

/// A little noise on every parameter: a fresh network's last convolution is zero, and all its pictures are alike.
pub(crate) fn shaken<M: Module>(module: M, seed: u64) -> M {
    let mut stream = Stream::new(seed, Purpose::Evaluation, 0);
    changed(module, |_, _, value| value + 0.06 * stream.normal())
}

/// The model of the preset, its parameters from `seed`.
pub(crate) fn model(seed: u64, device: &Device) -> Model {
    let config = config().model;
    let t5 = shaken(T5Encoder::new(&mut Init::seeded(device, seed), &config.text.t5), seed + 1);
    let text = TextEncoder::new(Tokenizer::from_bytes(tokenizer()).unwrap(), t5, config.text.max_len).unwrap();
    let stages = config.stages.iter().zip(2..).map(|(stage, i)| {
        let unet = shaken(Unet::new(&mut Init::seeded(device, seed + i), &stage.unet), seed + 10 * i);
        Stage { config: stage.clone(), unet }
    });
    let stages = stages.collect();
    Model { config, text, stages, device: device.clone(), hash: String::new(), licence: String::new() }
}

/// A model that many tests share.
pub(crate) fn shared() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| Arc::new(model(7, &Device::flex()))).clone()
}

/// Three models: one whose stage is not told what is known, the same that could be told and makes nothing of it, and the
/// same that listens.
pub(crate) fn told_what_is_known(stage: usize) -> [Arc<Model>; 3] {
    let with = |unet: Unet| {
        let mut model = model(7, &Device::flex());
        (model.config.stages[stage].unet, model.stages[stage].config.unet) =
            (unet.config().clone(), unet.config().clone());
        model.stages[stage].unet = unet;
        Arc::new(model)
    };
    let config = UnetConfig { cond_images_channels: 0, ..model(7, &Device::flex()).config.stages[stage].unet.clone() };
    let unet = shaken(Unet::new(&mut Init::seeded(&Device::flex(), 5), &config), 8);
    let more = UnetConfig { cond_images_channels: 4, ..config };
    let grown = unet.clone().grown(Unet::new(&mut Init::seeded(&Device::flex(), 6), &more));
    let stem = named(&grown).iter().position(|p| p.path == "stem.convs.0.weight").unwrap();
    let inputs = grown.config().input_channels();
    let told = |at: usize, i: usize| at == stem && i / 9 % inputs < 4;
    let hearing = changed(grown.clone(), |at, i, value| if told(at, i) { 0.2 } else { value });
    [unet, grown, hearing].map(with)
}

/// Pictures of prompts, each with its seed.
pub(crate) fn request(wishes: &[(&str, u64)]) -> Request {
    let wish = |&(prompt, seed): &(&str, u64)| PictureRequest { prompt: prompt.to_owned(), negative: None, seed };
    Request { pictures: wishes.iter().map(wish).collect(), ..Request::default() }
}

/// All events of a run that should end well.
pub(crate) fn events(model: &Arc<Model>, request: Request) -> Vec<Event> {
    let mut run = Run::new(model.clone(), request).unwrap();
    let mut events = Vec::new();
    while let Some(event) = pollster::block_on(run.next()).unwrap() {
        events.push(event);
    }
    events
}

/// The pictures of a run, or why there are none.
pub(crate) fn try_pictures(model: &Arc<Model>, request: Request) -> Result<Vec<Picture>, RunError> {
    let mut run = Run::new(model.clone(), request)?;
    while let Some(event) = pollster::block_on(run.next())? {
        if let Event::Done { pictures } = event {
            return Ok(pictures);
        }
    }
    panic!("a run without pictures");
}

pub(crate) fn pictures(model: &Arc<Model>, request: Request) -> Vec<Picture> {
    try_pictures(model, request).unwrap()
}

/// The largest difference of two pictures, of 255.
pub(crate) fn apart(a: &Picture, b: &Picture) -> u8 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// A wgpu device on which our kernels have proven right: lavapipe, or whatever adapter there is. Where there is none
/// the test that asks is skipped, and says so past the harness.
pub(crate) fn wgpu(test: &str) -> Option<Device> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let opened = DEVICE.get_or_init(|| {
        // Without a driver Burn panics deep inside.
        let open = || {
            let device = Device::wgpu(DeviceKind::DefaultDevice);
            let sum = Tensor::<1>::ones([4], &device).sum().into_data().try_to_vec::<f32>();
            assert_eq!(sum.unwrap(), [4.0]);
            device
        };
        let device = catch_unwind(AssertUnwindSafe(open)).map_err(|_| "no wgpu device opens".to_owned())?;
        assert_eq!(pollster::block_on(firefall_shaders::self_test(&device)), Ok(None));
        Ok(device)
    });
    match opened {
        Ok(device) => Some(device.clone()),
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
            None
        }
    }
}
