//! Where a network's first parameters come from.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::noise::{Purpose, Stream};

/// Makes parameters on one device: drawn from a seed for training, or zeros that a weight file will replace.
///
/// Parameters are drawn in the order in which a network asks for them, so a seed and a config give one network.
#[derive(Debug)]
pub struct Init<'a> {
    device: &'a Device,
    stream: Option<Stream>,
}

impl<'a> Init<'a> {
    /// Parameters drawn from `seed`.
    #[must_use]
    pub fn seeded(device: &'a Device, seed: u64) -> Self {
        Self { device, stream: Some(Stream::new(seed, Purpose::Parameters, 0)) }
    }

    /// Zeros everywhere: the cheap start of a network whose weights will be loaded.
    #[must_use]
    pub fn blank(device: &'a Device) -> Self {
        Self { device, stream: None }
    }

    /// The device of the parameters.
    #[must_use]
    pub fn device(&self) -> &'a Device {
        self.device
    }

    fn draw<const D: usize>(&mut self, shape: [usize; D], draw: impl Fn(&mut Stream) -> f32) -> Param<Tensor<D>> {
        let n = shape.iter().product();
        let values = match &mut self.stream {
            Some(stream) => (0..n).map(|_| draw(stream)).collect(),
            None => vec![0f32; n],
        };
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    /// Uniform in `[-bound, bound)`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.draw(shape, |s| s.range(-bound, bound) as f32)
    }

    /// Normal with the given standard deviation.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f32) -> Param<Tensor<D>> {
        self.draw(shape, |s| s.normal() * std)
    }

    /// One value everywhere.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.draw(shape, |_| value)
    }
}
