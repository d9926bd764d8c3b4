//! Halving and doubling of maps.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use firefall_shaders::silu;

use super::Init;
use super::conv::Conv2d;

/// Space to depth: each 2x2 square of pixels becomes four times the channels, `c` slowest.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - output: `[b, 4 c, h / 2, w / 2]`
#[must_use]
pub fn space_to_depth(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let x = x.reshape([b, c, h / 2, 2, w / 2, 2]);
    x.permute([0, 1, 3, 5, 2, 4]).reshape([b, c * 4, h / 2, w / 2])
}

/// The inverse of [`space_to_depth`], PyTorch's `PixelShuffle(2)`.
///
/// # Shapes
/// - x: `[b, 4 c, h, w]`
/// - output: `[b, c, 2 h, 2 w]`
#[must_use]
pub fn depth_to_space(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let x = x.reshape([b, c / 4, 2, 2, h, w]);
    x.permute([0, 1, 4, 2, 5, 3]).reshape([b, c / 4, h * 2, w * 2])
}

/// Every pixel repeated `factor` times in both directions: nearest-neighbour enlargement.
///
/// # Shapes
/// - x: `[b, c, h, w]`
/// - output: `[b, c, factor h, factor w]`
#[must_use]
pub fn enlarge_nearest(x: Tensor<4>, factor: usize) -> Tensor<4> {
    if factor == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    let x = x.reshape([b, c, h, 1, w, 1]).expand([b, c, h, factor, w, factor]);
    x.reshape([b, c, h * factor, w * factor])
}

/// Halves the map: space to depth, then a 1x1 convolution (<https://arxiv.org/abs/2208.03641>).
#[derive(Module, Debug)]
pub struct Downsample {
    /// From `4 c_in` channels.
    pub conv: Conv2d,
}

impl Downsample {
    /// From `c_in` to `c_out` channels.
    pub fn new(init: &mut Init<'_>, c_in: usize, c_out: usize) -> Self {
        Self { conv: Conv2d::same(init, c_in * 4, c_out, 1) }
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - output: `[b, c_out, h / 2, w / 2]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(space_to_depth(x))
    }
}

/// Doubles the map: a 1x1 convolution to four times the channels, SiLU, depth to space.
#[derive(Module, Debug)]
pub struct PixelShuffleUpsample {
    /// To `4 c_out` channels.
    pub conv: Conv2d,
}

impl PixelShuffleUpsample {
    /// From `c_in` to `c_out` channels; the four pixels of a square start with equal weights (ICNR,
    /// <https://arxiv.org/abs/1707.02937>), so that a fresh network paints no checkerboard.
    pub fn new(init: &mut Init<'_>, c_in: usize, c_out: usize) -> Self {
        let mut conv = Conv2d::same(init, c_in, c_out * 4, 1);
        // PyTorch's kaiming_uniform_ with its default slope of 0: bound sqrt(6 / fan_in).
        let once = init.uniform([c_out, c_in, 1, 1], (6.0 / c_in as f64).sqrt());
        let four = once.val().reshape([c_out, 1, c_in]).repeat(&[1, 4, 1]).reshape([c_out * 4, c_in, 1, 1]);
        conv.weight = Param::from_tensor(four.detach());
        conv.bias = init.constant([c_out * 4], 0.0);
        Self { conv }
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - output: `[b, c_out, 2 h, 2 w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        depth_to_space(silu(self.conv.forward(x)))
    }
}

/// Doubles the map: nearest neighbour, then a 3x3 convolution.
#[derive(Module, Debug)]
pub struct NearestUpsample {
    /// At the doubled size.
    pub conv: Conv2d,
}

impl NearestUpsample {
    /// From `c_in` to `c_out` channels.
    pub fn new(init: &mut Init<'_>, c_in: usize, c_out: usize) -> Self {
        Self { conv: Conv2d::same(init, c_in, c_out, 3) }
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - output: `[b, c_out, 2 h, 2 w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(enlarge_nearest(x, 2))
    }
}
