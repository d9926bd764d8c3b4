//! Residual blocks.

use burn::module::Module;
use burn::tensor::Tensor;
use firefall_shaders::global_context;

use super::Init;
use super::attention::cross::CrossAttention;
use super::attention::{AttentionSize, Context};
use super::conv::Conv2d;
use super::linear::Linear;
use super::norm::ChanRmsNorm;

/// RMS norm, scale-shift, SiLU, convolution 3x3.
#[derive(Module, Debug)]
pub struct Block {
    norm: ChanRmsNorm,
    conv: Conv2d,
}

impl Block {
    /// From `c_in` to `c_out` channels.
    pub fn new(init: &mut Init<'_>, c_in: usize, c_out: usize) -> Self {
        Self { norm: ChanRmsNorm::new(init, c_in), conv: Conv2d::same(init, c_in, c_out, 3) }
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - `scale_shift`: `[b, 2 c_in]`
    /// - output: `[b, c_out, h, w]`
    pub fn forward(&self, x: Tensor<4>, scale_shift: Option<Tensor<2>>) -> Tensor<4> {
        self.conv.forward(self.norm.forward_silu(x, scale_shift))
    }

    /// [`forward`](Self::forward) plus `onto`, which has the shape of its output.
    pub fn forward_onto(&self, x: Tensor<4>, scale_shift: Option<Tensor<2>>, onto: Tensor<4>) -> Tensor<4> {
        self.conv.forward_onto(self.norm.forward_silu(x, scale_shift), onto)
    }
}

/// A gate per channel from an attention-weighted mean of all pixels (GCNet, <https://arxiv.org/abs/1904.11492>).
#[derive(Module, Debug)]
pub struct GlobalContext {
    to_k: Conv2d,
    squeeze: Conv2d,
    expand: Conv2d,
}

impl GlobalContext {
    /// Over `channels`.
    pub fn new(init: &mut Init<'_>, channels: usize) -> Self {
        let hidden = (channels / 2).max(3);
        Self {
            to_k: Conv2d::same(init, channels, 1, 1),
            squeeze: Conv2d::same(init, channels, hidden, 1),
            expand: Conv2d::same(init, hidden, channels, 1),
        }
    }

    /// # Shapes
    /// - x: `[b, c, h, w]`
    /// - output, in (0, 1): `[b, c, 1, 1]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let layer = |conv: &Conv2d| (conv.weight.val(), conv.bias.val());
        // Not with the bias of the keys, which the reference has too, and with which a softmax does not change.
        global_context(x, self.to_k.weight.val(), layer(&self.squeeze), layer(&self.expand))
    }
}

/// What a [`ResnetBlock`] has besides its two blocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResnetOptions {
    /// Width of the time embedding that scales and shifts the second block.
    pub time: Option<usize>,
    /// Cross attention between the blocks: width of the tokens, and heads.
    pub cross: Option<(usize, AttentionSize)>,
    /// The gate of [`GlobalContext`].
    pub global_context: bool,
}

/// Two blocks with a residual; between them cross attention, after them a gate.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    time: Option<Linear>,
    cross_attn: Option<CrossAttention>,
    block1: Block,
    block2: Block,
    gca: Option<GlobalContext>,
    res_conv: Option<Conv2d>,
}

impl ResnetBlock {
    /// From `c_in` to `c_out` channels.
    pub fn new(init: &mut Init<'_>, c_in: usize, c_out: usize, options: ResnetOptions) -> Self {
        Self {
            time: options.time.map(|width| Linear::new(init, width, c_out * 2)),
            cross_attn: options.cross.map(|(width, size)| CrossAttention::new(init, c_out, width, size)),
            block1: Block::new(init, c_in, c_out),
            block2: Block::new(init, c_out, c_out),
            gca: options.global_context.then(|| GlobalContext::new(init, c_out)),
            res_conv: (c_in != c_out).then(|| Conv2d::same(init, c_in, c_out, 1)),
        }
    }

    /// The same block, which passes its first `c_out` channels on and adds nothing to them yet.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.block2.conv = self.block2.conv.silenced();
        self.res_conv = self.res_conv.map(Conv2d::passing);
        self
    }

    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - time: `[b, d_time]`, through SiLU already: once for all blocks, not in each as in imagen-pytorch
    /// - cond: `[b, n, d_cond]`; used only by a block with cross attention
    /// - output: `[b, c_out, h, w]`
    pub fn forward(&self, x: Tensor<4>, time: Option<&Tensor<2>>, cond: Option<&Context>) -> Tensor<4> {
        let scale_shift = match (&self.time, time) {
            (Some(linear), Some(time)) => Some(linear.forward(time.clone())),
            _ => None,
        };
        let mut h = self.block1.forward(x.clone(), None);
        if let (Some(cross), Some(cond)) = (&self.cross_attn, cond) {
            h = cross.forward(h, cond);
        }
        match (&self.gca, &self.res_conv) {
            (None, None) => self.block2.forward_onto(h, scale_shift, x),
            (None, Some(conv)) => conv.forward_onto(x, self.block2.forward(h, scale_shift)),
            (Some(gca), conv) => {
                let h = self.block2.forward(h, scale_shift);
                let x = conv.as_ref().map_or_else(|| x.clone(), |conv| conv.forward(x.clone()));
                h.clone() * gca.forward(h) + x
            }
        }
    }
}
