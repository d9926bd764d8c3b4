//! One resolution level, on the way down and on the way up.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::{LevelConfig, UnetConfig, Upsampling};
use crate::nn::Init;
use crate::nn::attention::Context;
use crate::nn::conv::Conv2d;
use crate::nn::resample::{Downsample, NearestUpsample, PixelShuffleUpsample};
use crate::nn::resnet::{ResnetBlock, ResnetOptions};
use crate::nn::transformer::Transformer;

/// What all blocks of a network are told: the time vector and the condition's tokens.
#[derive(Debug, Clone)]
pub struct Condition {
    /// `[b, d_time]`, through SiLU.
    pub time: Tensor<2>,
    /// `[b, n, d_cond]`.
    pub tokens: Context,
}

/// The blocks that both directions share: a first one with cross attention, more with gates, a transformer.
#[derive(Module, Debug)]
struct Blocks {
    first: ResnetBlock,
    resnets: Vec<ResnetBlock>,
    transformer: Option<Transformer>,
}

impl Blocks {
    fn new(init: &mut Init<'_>, config: &UnetConfig, level: &LevelConfig, [c_in, c_out]: [usize; 2]) -> Self {
        let time = Some(config.time_dim());
        let cross = level.cross_attention.then_some((config.token_dim(), config.attn));
        let inner = ResnetOptions { time, cross: None, global_context: config.global_context };
        Self {
            first: ResnetBlock::new(init, c_in, c_out, ResnetOptions { time, cross, global_context: false }),
            resnets: (0..level.resnet_blocks).map(|_| ResnetBlock::new(init, c_in, c_out, inner)).collect(),
            transformer: (level.attention > 0).then(|| {
                let context = Some(config.token_dim());
                Transformer::new(init, c_out, level.attention, config.attn, config.ff_mult, context)
            }),
        }
    }

    /// These, with the inner blocks and layers that `fresh` has more, which do nothing yet. The skip of a level's last
    /// inner block on the way down is the first that is taken on the way up.
    fn grown(self, fresh: Self, up: bool) -> Self {
        let more = fresh.resnets.into_iter().skip(self.resnets.len()).map(ResnetBlock::idle);
        let resnets =
            if up { more.chain(self.resnets).collect() } else { self.resnets.into_iter().chain(more).collect() };
        Self { first: self.first, resnets, transformer: Transformer::grown(self.transformer, fresh.transformer) }
    }

    fn attend(&self, x: Tensor<4>, cond: &Condition) -> Tensor<4> {
        match &self.transformer {
            Some(transformer) => transformer.forward(x, Some(&cond.tokens)),
            None => x,
        }
    }
}

/// The end of the coarsest level where nothing is halved: a 3x3 and a 1x1 convolution, added.
#[derive(Module, Debug)]
struct Widen {
    conv3: Conv2d,
    conv1: Conv2d,
}

/// A level on the way down.
#[derive(Module, Debug)]
pub struct Down {
    pre: Option<Downsample>,
    blocks: Blocks,
    post: Option<Downsample>,
    widen: Option<Widen>,
}

impl Down {
    /// From `c_in` to `c_out` channels; `last` for the coarsest level.
    pub fn new(
        init: &mut Init<'_>,
        config: &UnetConfig,
        level: &LevelConfig,
        [c_in, c_out]: [usize; 2],
        last: bool,
    ) -> Self {
        let early = config.memory_efficient;
        let width = if early { c_out } else { c_in };
        Self {
            pre: early.then(|| Downsample::new(init, c_in, c_out)),
            blocks: Blocks::new(init, config, level, [width, width]),
            post: (!early && !last).then(|| Downsample::new(init, c_in, c_out)),
            widen: (!early && last).then(|| Widen {
                conv3: Conv2d::same(init, c_in, c_out, 3),
                conv1: Conv2d::same(init, c_in, c_out, 1),
            }),
        }
    }

    /// This level, with what `fresh` has more, which does nothing yet.
    #[must_use]
    pub fn grown(self, fresh: Self) -> Self {
        Self { blocks: self.blocks.grown(fresh.blocks, false), ..self }
    }

    /// Appends a skip for every inner block and one for the level's end.
    ///
    /// # Shapes
    /// - x: `[b, c_in, h, w]`
    /// - output: `[b, c_out, h / 2, w / 2]`, or the same size in the last level if not memory-efficient
    pub fn forward(&self, mut x: Tensor<4>, cond: &Condition, skips: &mut Vec<Tensor<4>>) -> Tensor<4> {
        if let Some(pre) = &self.pre {
            x = pre.forward(x);
        }
        x = self.blocks.first.forward(x, Some(&cond.time), Some(&cond.tokens));
        for block in &self.blocks.resnets {
            x = block.forward(x, Some(&cond.time), None);
            skips.push(x.clone());
        }
        x = self.blocks.attend(x, cond);
        skips.push(x.clone());
        match (&self.post, &self.widen) {
            (Some(post), _) => post.forward(x),
            (_, Some(widen)) => widen.conv1.forward_onto(x.clone(), widen.conv3.forward(x)),
            _ => x,
        }
    }
}

/// A level on the way up.
#[derive(Module, Debug)]
pub struct Up {
    blocks: Blocks,
    shuffle: Option<PixelShuffleUpsample>,
    nearest: Option<NearestUpsample>,
}

impl Up {
    /// From `c_out`, the width below, to `c_in`, the width above; `first` for the finest level.
    pub fn new(
        init: &mut Init<'_>,
        config: &UnetConfig,
        level: &LevelConfig,
        [c_in, c_out]: [usize; 2],
        first: bool,
    ) -> Self {
        let skip = if config.memory_efficient { c_out } else { c_in };
        let grow = !first || config.memory_efficient;
        let shuffle = config.upsampling == Upsampling::PixelShuffle;
        Self {
            blocks: Blocks::new(init, config, level, [c_out + skip, c_out]),
            shuffle: (grow && shuffle).then(|| PixelShuffleUpsample::new(init, c_out, c_in)),
            nearest: (grow && !shuffle).then(|| NearestUpsample::new(init, c_out, c_in)),
        }
    }

    /// This level, with what `fresh` has more, which does nothing yet.
    #[must_use]
    pub fn grown(self, fresh: Self) -> Self {
        Self { blocks: self.blocks.grown(fresh.blocks, true), ..self }
    }

    /// Takes a skip for the first and every inner block from the end of `skips`. Returns the level's map before and
    /// after enlargement.
    ///
    /// # Shapes
    /// - x: `[b, c_out, h, w]`
    /// - output: `[b, c_out, h, w]` and `[b, c_in, 2 h, 2 w]`; the latter not enlarged in the finest level if not
    ///   memory-efficient
    pub fn forward(&self, x: Tensor<4>, cond: &Condition, skips: &mut Vec<Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
        let mut join = |x: Tensor<4>| match skips.pop() {
            Some(skip) => Tensor::cat(vec![x, skip], 1),
            None => x,
        };
        let mut x = self.blocks.first.forward(join(x), Some(&cond.time), Some(&cond.tokens));
        for block in &self.blocks.resnets {
            x = block.forward(join(x), Some(&cond.time), None);
        }
        x = self.blocks.attend(x, cond);
        let grown = match (&self.shuffle, &self.nearest) {
            (Some(shuffle), _) => shuffle.forward(x.clone()),
            (_, Some(nearest)) => nearest.forward(x.clone()),
            _ => x.clone(),
        };
        (x, grown)
    }
}
