//! Convolutions.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use firefall_shaders::{conv3x3, conv3x3_onto, pointwise, pointwise_onto};

use super::Init;

/// A square convolution with bias.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[c_out, c_in, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[c_out]`.
    pub bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Stride 1, padded so that the size stays, for an odd `kernel`.
    pub fn same(init: &mut Init<'_>, c_in: usize, c_out: usize, kernel: usize) -> Self {
        Self::new(init, [c_in, c_out], kernel, 1)
    }

    /// With padding `(kernel - stride) / 2`; drawn uniformly within `1 / sqrt(fan_in)`, as PyTorch does.
    pub fn new(init: &mut Init<'_>, [c_in, c_out]: [usize; 2], kernel: usize, stride: usize) -> Self {
        let bound = ((c_in * kernel * kernel) as f64).powf(-0.5);
        Self {
            weight: init.uniform([c_out, c_in, kernel, kernel], bound),
            bias: init.uniform([c_out], bound),
            stride,
            padding: (kernel - stride) / 2,
        }
    }

    /// The same layer with all parameters zero, as the last of a network starts.
    pub fn zeros(init: &mut Init<'_>, c_in: usize, c_out: usize, kernel: usize) -> Self {
        Self {
            weight: init.constant([c_out, c_in, kernel, kernel], 0.0),
            bias: init.constant([c_out], 0.0),
            stride: 1,
            padding: kernel / 2,
        }
    }

    /// The same layer with parameters of zero.
    #[must_use]
    pub fn silenced(mut self) -> Self {
        self.weight = self.weight.map(|weight| weight.zeros_like());
        self.bias = self.bias.map(|bias| bias.zeros_like());
        self
    }

    /// The same 1x1 layer, which passes its first channels on and leaves the others out.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.weight = self.weight.map(|weight| {
            let [c_out, c_in, ..] = weight.dims();
            let eye = Tensor::<2>::eye(c_out, &weight.device());
            let rest = Tensor::zeros([c_out, c_in - c_out], &weight.device());
            Tensor::cat(vec![eye, rest], 1).reshape([c_out, c_in, 1, 1])
        });
        self.bias = self.bias.map(|bias| bias.zeros_like());
        self
    }

    /// The same layer over inputs with so many channels more, before its own, that count nothing yet.
    #[must_use]
    pub fn with_more_inputs(mut self, channels: usize) -> Self {
        if channels == 0 {
            return self;
        }
        self.weight = self.weight.map(|weight| {
            let [c_out, _, kernel, _] = weight.dims();
            let more = Tensor::zeros([c_out, channels, kernel, kernel], &weight.device());
            Tensor::cat(vec![more, weight], 1)
        });
        self
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - output: `[b, c_out, h / stride, w / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let [.., kernel, _] = weight.dims();
        match (kernel, self.stride) {
            (1, 1) => pointwise(x, weight, bias),
            (3, 1) => conv3x3(x, weight, bias),
            _ => {
                let [stride, padding] = [[self.stride; 2], [self.padding; 2]];
                conv2d(x, weight, Some(bias), ConvOptions::new(stride, padding, [1, 1], 1))
            }
        }
    }

    /// [`forward`](Self::forward) plus `onto`, which has the shape of its output.
    pub fn forward_onto(&self, x: Tensor<4>, onto: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let [.., kernel, _] = weight.dims();
        match (kernel, self.stride) {
            (1, 1) => pointwise_onto(x, weight, bias, onto),
            (3, 1) => conv3x3_onto(x, weight, bias, onto),
            _ => self.forward(x) + onto,
        }
    }
}

/// Several convolutions of growing kernels side by side, their outputs concatenated: the stem of the U-Net.
///
/// The smallest kernel gets half of the channels, the next a quarter, and so on; the last the rest.
#[derive(Module, Debug)]
pub struct CrossEmbed {
    /// In the order of the kernels.
    pub convs: Vec<Conv2d>,
}

impl CrossEmbed {
    /// `kernels` must have the parity of `stride`.
    pub fn new(init: &mut Init<'_>, [c_in, c_out]: [usize; 2], kernels: &[usize], stride: usize) -> Self {
        let mut kernels = kernels.to_vec();
        kernels.sort_unstable();
        let mut left = c_out;
        let convs = kernels
            .iter()
            .enumerate()
            .map(|(i, &kernel)| {
                let width = if i + 1 == kernels.len() { left } else { c_out >> (i + 1) };
                left -= width;
                Conv2d::new(init, [c_in, width], kernel, stride)
            })
            .collect();
        Self { convs }
    }

    /// [`Conv2d::with_more_inputs`] of each.
    #[must_use]
    pub fn with_more_inputs(self, channels: usize) -> Self {
        Self { convs: self.convs.into_iter().map(|conv| conv.with_more_inputs(channels)).collect() }
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - output: `[b, c_out, h / stride, w / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        Tensor::cat(self.convs.iter().map(|conv| conv.forward(x.clone())).collect(), 1)
    }
}
