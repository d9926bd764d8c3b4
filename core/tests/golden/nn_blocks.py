"""Golden outputs of the building blocks of imagen_pytorch 2.1.0: nn_*.safetensors."""
import sys

sys.dont_write_bytecode = True

import torch
from common import Draws, fill, forward_case, length_mask, reference as ip, write


def case(name, what, make, kwargs, inputs, call):
    """One block: `make(**kwargs)` is the reference constructor; the config records its name and arguments."""
    label = make if isinstance(make, str) else make.__name__
    constructor = getattr(ip, label)
    forward_case(name, what, constructor(**kwargs), {"class": label, **kwargs}, inputs, call)


def norms():
    """The three norms, each with its gain."""
    d = Draws(101)
    one = lambda m, i: {"y": m(i["x"])}
    x = d.normal(2, 8, 6, 6, scale=1.5)
    x[0, :, 0, 0] = 0.0  # a pixel of norm 0 takes the epsilon's way
    case("nn_chan_rms_norm", "ChanRMSNorm over channels; one pixel is all zero", "ChanRMSNorm",
         {"dim": 8}, {"x": x}, one)
    case("nn_layer_norm", "LayerNorm over the last axis, gain only, eps 1e-5", "LayerNorm", {"feats": 12},
         {"x": d.normal(2, 5, 12) + 0.5}, one)
    case("nn_chan_layer_norm", "ChanLayerNorm (LayerNorm over channels), gain [d,1,1]", "LayerNorm",
         {"feats": 8, "dim": -3}, {"x": d.normal(2, 8, 6, 6) + 0.5}, one)


def convolutions():
    """Cross embedding and the ways up and down."""
    d = Draws(102)
    one = lambda m, i: {"y": m(i["x"])}
    case("nn_cross_embed", "CrossEmbedLayer, kernels 3, 7 and 15, stride 1", "CrossEmbedLayer",
         {"dim_in": 3, "dim_out": 8, "kernel_sizes": (3, 7, 15), "stride": 1}, {"x": d.normal(2, 3, 12, 12)}, one)
    case("nn_cross_embed_down", "CrossEmbedLayer, kernels 2 and 4, stride 2 (cross_embed_downsample)",
         "CrossEmbedLayer", {"dim_in": 8, "dim_out": 12, "kernel_sizes": (2, 4), "stride": 2},
         {"x": d.normal(2, 8, 8, 8)}, one)
    case("nn_pixel_shuffle_upsample", "PixelShuffleUpsample: 1x1 conv, SiLU, pixel shuffle 2", "PixelShuffleUpsample",
         {"dim": 8, "dim_out": 6}, {"x": d.normal(2, 8, 6, 6)}, one)
    case("nn_upsample", "Upsample: nearest 2x, then a 3x3 conv", "Upsample", {"dim": 8, "dim_out": 6},
         {"x": d.normal(2, 8, 6, 6)}, one)
    case("nn_downsample", "Downsample: 2x2 pixels into channels (c s1 s2), then a 1x1 conv", "Downsample",
         {"dim": 8, "dim_out": 12}, {"x": d.normal(2, 8, 8, 8)}, one)


def resnet_blocks():
    """Block, global context and four variants of ResnetBlock."""
    d = Draws(103)
    inputs = {"x": d.normal(2, 8, 6, 6), "scale": d.normal(2, 8, 1, 1, scale=0.5), "shift": d.normal(2, 8, 1, 1)}
    case("nn_block", "Block without and with scale_shift", "Block", {"dim": 8, "dim_out": 12}, inputs,
         lambda m, i: {"plain": m(i["x"]), "scale_shift": m(i["x"], (i["scale"], i["shift"]))})
    case("nn_global_context", "GlobalContext: the gate [b,c,1,1]", "GlobalContext", {"dim_in": 8, "dim_out": 8},
         {"x": d.normal(2, 8, 6, 6, scale=4.0)}, lambda m, i: {"y": m(i["x"])})

    def variant(name, what, kwargs, **inputs):
        call = lambda m, i: {"y": m(i["x"], i.get("time_emb"), i.get("cond"))}
        case(f"nn_resnet_{name}", what, "ResnetBlock", kwargs, inputs, call)

    variant("plain", "ResnetBlock that changes the width, no time", {"dim": 8, "dim_out": 12}, x=d.normal(2, 8, 6, 6))
    variant("time", "ResnetBlock with a time embedding", {"dim": 8, "dim_out": 8, "time_cond_dim": 16},
            x=d.normal(2, 8, 6, 6), time_emb=d.normal(2, 16))
    variant("cross", "ResnetBlock with time and cross attention between its two blocks",
            {"dim": 8, "dim_out": 12, "time_cond_dim": 16, "cond_dim": 10, "heads": 2, "dim_head": 8},
            x=d.normal(2, 8, 6, 6), time_emb=d.normal(2, 16), cond=d.normal(2, 5, 10))
    variant("gca", "ResnetBlock with time and global context",
            {"dim": 8, "dim_out": 12, "time_cond_dim": 16, "use_gca": True},
            x=d.normal(2, 8, 6, 6), time_emb=d.normal(2, 16))


def attentions():
    """Self, cross and linear attention."""
    d = Draws(104)
    heads = {"heads": 2, "dim_head": 8}
    case("nn_attention", "Attention, one key and value for all heads; keys: context, null, self. Without, with context",
         "Attention", {"dim": 12, "context_dim": 10, **heads}, {"x": d.normal(2, 9, 12), "context": d.normal(2, 5, 10)},
         lambda m, i: {"plain": m(i["x"]), "context": m(i["x"], context=i["context"])})
    inputs = {"x": d.normal(2, 9, 12), "context": d.normal(2, 5, 10), "mask": length_mask([5, 3], 5)}
    both = lambda m, i: {"y": m(i["x"], i["context"]), "masked": m(i["x"], i["context"], mask=i["mask"])}
    case("nn_cross_attention", "CrossAttention, without and with a mask over the context", "CrossAttention",
         {"dim": 12, "context_dim": 10, **heads}, inputs, both)
    case("nn_cross_attention_norm", "CrossAttention with norm_context", "CrossAttention",
         {"dim": 12, "context_dim": 10, "norm_context": True, **heads}, inputs, both)
    # No mask here: upstream's mask [b, n, 1] does not fit its keys [(b h), n, d] and raises.
    case("nn_linear_cross_attention", "LinearCrossAttention without a mask (upstream raises with one)",
         "LinearCrossAttention", {"dim": 12, "context_dim": 10, **heads},
         {"x": d.normal(2, 9, 12), "context": d.normal(2, 5, 10)}, lambda m, i: {"y": m(i["x"], i["context"])})
    case("nn_linear_attention", "LinearAttention on a map, without and with context", "LinearAttention",
         {"dim": 8, "context_dim": 10, **heads}, {"x": d.normal(2, 8, 6, 6), "context": d.normal(2, 5, 10)},
         lambda m, i: {"plain": m(i["x"]), "context": m(i["x"], context=i["context"])})


def transformers():
    """Feed-forwards and transformer blocks."""
    d = Draws(105)
    case("nn_feed_forward", "FeedForward: norm, linear, GELU (erf), norm, linear; no biases", "FeedForward",
         {"dim": 12, "mult": 2}, {"x": d.normal(2, 5, 12)}, lambda m, i: {"y": m(i["x"])})
    case("nn_chan_feed_forward", "ChanFeedForward, the same over channels", "ChanFeedForward", {"dim": 8, "mult": 2},
         {"x": d.normal(2, 8, 6, 6)}, lambda m, i: {"y": m(i["x"])})
    kwargs = {"dim": 8, "depth": 2, "heads": 2, "dim_head": 8, "ff_mult": 2, "context_dim": 10}
    inputs = {"x": d.normal(2, 8, 6, 6), "context": d.normal(2, 5, 10)}
    call = lambda m, i: {"plain": m(i["x"]), "context": m(i["x"], i["context"])}
    case("nn_transformer_block", "TransformerBlock of depth 2, without and with context", "TransformerBlock", kwargs,
         inputs, call)
    case("nn_linear_transformer_block", "LinearAttentionTransformerBlock of depth 1, without and with context",
         "LinearAttentionTransformerBlock", {**kwargs, "depth": 1}, inputs, call)


def perceivers():
    """Attention pooling."""
    d = Draws(106)
    heads = {"heads": 2, "dim_head": 8}
    case("nn_perceiver_attention", "PerceiverAttention, without and with a mask over x", "PerceiverAttention",
         {"dim": 12, **heads},
         {"x": d.normal(2, 7, 12), "latents": d.normal(2, 4, 12), "mask": length_mask([7, 4], 7)},
         lambda m, i: {"y": m(i["x"], i["latents"]), "masked": m(i["x"], i["latents"], mask=i["mask"])})
    case("nn_perceiver_resampler", "PerceiverResampler: 3 mean-pooled latents, then 4 learned ones",
         "PerceiverResampler",
         {"dim": 12, "depth": 2, "num_latents": 4, "num_latents_mean_pooled": 3, "max_seq_len": 16, "ff_mult": 2,
          **heads},
         {"x": d.normal(2, 7, 12), "mask": length_mask([7, 4], 7)},
         lambda m, i: {"y": m(i["x"]), "masked": m(i["x"], mask=i["mask"])})


def positions():
    """The time embedding."""
    x = torch.tensor([-9.0, -2.25, -0.5, 0.0, 0.125, 1.0, 3.5, 8.75])
    case("nn_learned_sinusoidal", "LearnedSinusoidalPosEmb: x, sines, cosines of 2 pi x w", "LearnedSinusoidalPosEmb",
         {"dim": 16}, {"x": x}, lambda m, i: {"y": m(i["x"])})


def formula():
    """The weight formula itself, on one name of each kind."""
    class Names(torch.nn.Module):
        """A module with nothing but parameters of the given names."""

        def __init__(self, shapes):
            super().__init__()
            self.shapes = shapes

        def state_dict(self):
            """Fresh tensors under the names."""
            self.values = {k: torch.zeros(v) for k, v in self.shapes.items()}
            return self.values

    module = Names({
        "final_conv.weight": (3, 4, 3, 3), "final_conv.bias": (3,), "downs.0.1.block1.norm.gamma": (5, 1, 1),
        "mid_attn.layers.0.0.norm.g": (6,), "mid_attn.layers.0.0.q_scale": (4,), "mid_attn.layers.0.0.k_scale": (4,),
        "norm_cond.weight": (6,), "norm_cond.bias": (6,), "to_time_hiddens.0.weights": (8,),
        "to_time_cond.0.weight": (5, 4), "null_text_embed": (1, 3, 4), "null_text_hidden": (1, 6),
        "mid_attn.layers.0.0.null_kv": (2, 4), "attn_pool.latents": (3, 4), "attn_pool.pos_emb.weight": (4, 3),
        "attn_pool.to_latents_from_mean_pooled_seq.1.weight": (6, 4),
        "attn_pool.layers.0.0.norm_latents.weight": (5,), "attn_pool.layers.0.0.norm_latents.bias": (5,),
        "shared.weight": (5, 3), "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (4, 2),
        "ups.0.0.res_conv.weight": (3, 4, 1, 1), "downs.0.1.gca.to_k.weight": (1, 4, 1, 1),
    })
    params = fill(module)
    write("weight_formula", "the values the weight formula gives to one parameter of each kind", {}, module.values,
          {"class": "formula"}, params)


if __name__ == "__main__":
    norms()
    convolutions()
    resnet_blocks()
    attentions()
    transformers()
    perceivers()
    positions()
    formula()
