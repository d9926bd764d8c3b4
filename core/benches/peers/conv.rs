//! Group `wgpu`: convolutions 3x3 on the default GPU.

use anyhow::{Result, bail};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use firefall_core::noise::{Purpose, Stream};
use firefall_shaders::{conv3x3, self_test};

use crate::stock::Stock;
use crate::{Comparison, Run, Side, timed};

/// Channels and side; as many operations each.
const MAPS: [[usize; 2]; 3] = [[64, 32], [128, 16], [256, 8]];
/// Maps at a time.
const BATCH: usize = 8;

pub(crate) fn comparisons() -> Result<Vec<Comparison>> {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    if let Some(wrong) = pollster::block_on(self_test(&device)).map_err(anyhow::Error::msg)? {
        bail!(wrong);
    }
    let all = [false, true].into_iter().flat_map(|training| MAPS.map(|map| (training, map)));
    Ok(all.map(|(training, map)| comparison(&device, training, map)).collect())
}

fn comparison(device: &Device, training: bool, [c, side]: [usize; 2]) -> Comparison {
    let sides = || ConvSide::new(device, training, [c, side]);
    let how = if training { "forward and backward" } else { "forward" };
    let what = format!("convolution 3x3 on wgpu, {BATCH} maps of {c} channels at {side}x{side}, {how}");
    Comparison { what, steps: 3, pictures: None, sides: vec![Box::new(sides()), Box::new(Stock(sides()))] }
}

struct ConvSide {
    training: bool,
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
}

impl ConvSide {
    fn new(device: &Device, training: bool, [c, side]: [usize; 2]) -> Self {
        let device = if training { device.clone().autodiff() } else { device.clone() };
        let mut stream = Stream::new(1, Purpose::Evaluation, 0);
        let mut maps = |shape: [usize; 4]| {
            Tensor::from_data(TensorData::new(stream.normals(shape.iter().product()), shape), &device)
        };
        let (x, weight) = (maps([BATCH, c, side, side]), maps([c, c, 3, 3]));
        let bias = Tensor::from_data(TensorData::new(stream.normals(c), [c]), &device);
        Self { training, x, weight, bias }
    }
}

/// Up to the last value in memory: reading waits for the device.
fn read(tensors: impl IntoIterator<Item = Tensor<4>>) -> Result<Vec<Vec<f32>>> {
    let values = tensors.into_iter().map(|t| t.into_data().try_into_vec_as::<f32>());
    values.collect::<Result<_, _>>().map_err(|e| anyhow::anyhow!("{e:?}"))
}

impl Side for ConvSide {
    fn name(&self) -> String {
        "firefall".to_owned()
    }

    fn steps(&mut self, count: usize) -> Result<Run> {
        let step = || {
            if !self.training {
                return read([conv3x3(self.x.clone(), self.weight.clone(), self.bias.clone())]);
            }
            let (x, weight) = (self.x.clone().require_grad(), self.weight.clone().require_grad());
            let y = conv3x3(x.clone(), weight.clone(), self.bias.clone());
            let mut grads = (y.clone() * y).sum().backward();
            read([&x, &weight].into_iter().filter_map(|t| t.grad_remove(&mut grads)))
        };
        timed(count, step, |values| {
            let rms = |values: &Vec<f32>| {
                let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
                (squares / values.len() as f64).sqrt()
            };
            anyhow::ensure!(values.len() == 1 + usize::from(self.training), "a gradient is missing");
            Ok(values.iter().map(rms).sum())
        })
    }
}
