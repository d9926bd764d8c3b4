//! The judge of the lesson: a small network that reads digits, trained where it is needed, on draws that no model saw.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use firefall_shaders::silu;

use super::optim::{Method, OptimConfig, Optimizer, clip};
use super::params::{Graph, gradients, replace, values};
use super::trainer::rule;
use crate::image::{Picture, PixelError, resized};
use crate::nn::Init;
use crate::nn::conv::Conv2d;
use crate::nn::linear::Linear;
use crate::noise::{Purpose, Stream};
use crate::weights::named;
use crate::world::degrade::degrade;
use crate::world::{draw_digit, render};

/// Side of the pictures it sees; others are brought to it.
pub const SIDE: usize = 32;
/// Pictures in a step.
const BATCH: usize = 64;
/// The share of pictures that are made worse, as a model would.
const WORSE: f64 = 0.3;
/// Channels of its maps.
const WIDTHS: [usize; 2] = [16, 32];
/// Width of its hidden layer.
const HIDDEN: usize = 64;

/// Two convolutions that halve, two layers.
#[derive(Module, Debug)]
struct Network {
    conv1: Conv2d,
    conv2: Conv2d,
    hidden: Linear,
    out: Linear,
}

impl Network {
    fn new(init: &mut Init<'_>) -> Self {
        let [first, second] = WIDTHS;
        Self {
            conv1: Conv2d::new(init, [1, first], 4, 2),
            conv2: Conv2d::new(init, [first, second], 4, 2),
            hidden: Linear::new(init, second * (SIDE / 4).pow(2), HIDDEN),
            out: Linear::new(init, HIDDEN, 10),
        }
    }

    /// # Shapes
    /// - x: `[b, 1, 32, 32]`
    /// - output: `[b, 10]`, logits
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = silu(self.conv2.forward(silu(self.conv1.forward(x))));
        let [b, c, h, w] = x.dims();
        self.out.forward(silu(self.hidden.forward(x.reshape([b, c * h * w]))))
    }
}

/// A network that reads digits.
#[derive(Debug)]
pub struct DigitReader {
    network: Network,
    device: Device,
}

impl DigitReader {
    /// Learns by AdamW from `steps` times 64 pictures of `draw`, a part of them blurred and noised; `tell` hears of every
    /// step that is done.
    #[must_use]
    pub fn learn(
        seed: u64,
        steps: u64,
        draw: impl Fn(&mut Stream) -> (Picture, usize),
        device: &Device,
        mut tell: impl FnMut(u64),
    ) -> Self {
        let autodiff = device.clone().autodiff();
        let network = Network::new(&mut Init::seeded(&autodiff, seed));
        let optim = OptimConfig { warmup: 20, ..OptimConfig::default() };
        let mut params = values(&network);
        let rules = named(&network).iter().map(|p| rule(Method::Adamw, &p.path, &p.shape)).collect();
        let mut optimizer = Optimizer::new(&params, rules);
        for step in 0..steps {
            let network = replace(network.clone(), params.clone(), Graph::Tracked);
            let mut stream = Stream::new(seed, Purpose::Evaluation, step);
            let examples = (0..BATCH).map(|_| {
                let (picture, digit) = draw(&mut stream);
                let worse = stream.chance(WORSE);
                (if worse { degrade(&picture, &mut stream) } else { picture }, digit)
            });
            let (pictures, digits): (Vec<_>, Vec<_>) = examples.unzip();
            let ids: Vec<i32> = digits.into_iter().map(|digit| digit as i32).collect();
            let wanted = Tensor::<2, Int>::from_data(TensorData::new(ids, [BATCH, 1]), &autodiff);
            let logits = network.forward(gray(&pictures, &autodiff));
            let loss = -activation::log_softmax(logits, 1).gather(1, wanted).mean();
            let (grads, _) = clip(gradients(&network, loss.backward()), optim.clip_norm);
            params = optimizer.step(&optim, optim.rate(step, steps), params, grads);
            tell(step + 1);
        }
        Self { network: replace(network, params, Graph::None), device: device.clone() }
    }

    /// The digit on each picture.
    ///
    /// # Errors
    /// If the device does not hand its answers over.
    pub async fn read(&self, pictures: &[Picture]) -> Result<Vec<usize>, PixelError> {
        let mut digits = Vec::new();
        for batch in pictures.chunks(BATCH) {
            let best = self.network.forward(gray(batch, &self.device)).argmax(1);
            let data = best.into_data_async().await.map_err(|e| PixelError::Device(format!("{e:?}")))?;
            digits.extend(data.iter::<i64>().map(|digit| digit as usize));
        }
        Ok(digits)
    }
}

/// A digit of the shapes world at the reader's size.
#[must_use]
pub fn drawn(stream: &mut Stream) -> (Picture, usize) {
    let sample = draw_digit(stream);
    (render(&sample.scene, SIDE), sample.digit)
}

/// `[b, 1, 32, 32]`, the mean of the channels in [-1, 1].
fn gray(pictures: &[Picture], device: &Device) -> Tensor<4> {
    let mean = |rgb: &[u8]| rgb.iter().map(|&v| f32::from(v)).sum::<f32>() / 382.5 - 1.0;
    let of = |picture: &Picture| {
        let sized = resized(picture, SIDE, SIDE);
        sized.rgb.chunks_exact(3).map(mean).collect::<Vec<f32>>()
    };
    let values: Vec<f32> = pictures.iter().flat_map(of).collect();
    Tensor::from_data(TensorData::new(values, [pictures.len(), 1, SIDE, SIDE]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::{DigitReader, drawn};
    use crate::image::Picture;
    use crate::noise::{Purpose, Stream};

    #[test]
    fn it_learns_to_read() {
        let mut told = 0;
        let reader = DigitReader::learn(1, 150, drawn, &Device::flex(), |step| told = step);
        assert_eq!(told, 150);
        let mut stream = Stream::new(2, Purpose::Scene, 0);
        let (pictures, digits): (Vec<Picture>, Vec<usize>) = (0..200).map(|_| drawn(&mut stream)).unzip();
        let read = |pictures: &[Picture]| pollster::block_on(reader.read(pictures)).unwrap();
        let right = read(&pictures).iter().zip(&digits).filter(|(a, b)| a == b).count();
        assert!(right >= 195, "{right} of 200");
        // Larger pictures, and as one batch or many.
        let large: Vec<Picture> = pictures.iter().map(|p| crate::image::resized(p, 64, 64)).collect();
        let right = read(&large).iter().zip(&digits).filter(|(a, b)| a == b).count();
        assert!(right >= 190, "{right} of 200, twice as large");
        let one: Vec<usize> = pictures[..9].iter().flat_map(|p| read(std::slice::from_ref(p))).collect();
        assert_eq!(one, read(&pictures[..9]));
    }
}
