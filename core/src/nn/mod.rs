//! Layers; they know nothing of diffusion.
//!
//! | layer | file | source |
//! | --- | --- | --- |
//! | [`Linear`](linear::Linear) | `linear.rs` | |
//! | [`Conv2d`](conv::Conv2d), [`CrossEmbed`](conv::CrossEmbed) | `conv.rs` | CrossFormer, <https://arxiv.org/abs/2108.00154> |
//! | [`ChanRmsNorm`](norm::ChanRmsNorm), [`LayerNorm`](norm::LayerNorm) | `norm.rs` | RMSNorm, <https://arxiv.org/abs/1910.07467> |
//! | [`Downsample`](resample::Downsample), [`PixelShuffleUpsample`](resample::PixelShuffleUpsample) | `resample.rs` | <https://arxiv.org/abs/2208.03641>, <https://arxiv.org/abs/1609.05158> |
//! | [`LearnedSinusoidal`](embedding::LearnedSinusoidal) | `embedding.rs` | v-diffusion |
//! | [`ResnetBlock`](resnet::ResnetBlock), [`GlobalContext`](resnet::GlobalContext) | `resnet.rs` | Imagen, <https://arxiv.org/abs/2205.11487>; GCNet, <https://arxiv.org/abs/1904.11492> |
//! | [`SelfAttention`](attention::self_attn::SelfAttention), [`CrossAttention`](attention::cross::CrossAttention) | `attention/` | multi-query, <https://arxiv.org/abs/1911.02150>; cosine similarity, <https://arxiv.org/abs/2010.04245> |
//! | [`PerceiverResampler`](attention::perceiver::PerceiverResampler) | `attention/perceiver.rs` | Flamingo, <https://arxiv.org/abs/2204.14198> |
//! | [`Transformer`](transformer::Transformer), [`FeedForward`](transformer::FeedForward) | `transformer.rs` | NormFormer, <https://arxiv.org/abs/2110.09456> |
//!
//! Letters of shapes: `b` batch, `c` channels, `h w` height and width, `n` tokens, `d` features, `nh` heads,
//! `dh` width of a head.

pub mod attention;
pub mod conv;
pub mod embedding;
pub mod init;
pub mod linear;
pub mod norm;
pub mod resample;
pub mod resnet;
pub mod transformer;

pub use init::Init;
