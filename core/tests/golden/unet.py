"""Golden outputs and gradients of the Unet of imagen_pytorch 2.1.0: unet_*.safetensors."""
import sys

sys.dont_write_bytecode = True

import contextlib
import io

import torch
from common import Draws, module_gap, fill, length_mask, reference as ip, write

# What the three nets share.
COMMON = dict(dim=8, cond_dim=12, attn_heads=2, attn_dim_head=8, text_embed_dim=10, max_text_len=12)

BASE = dict(**COMMON, dim_mults=(1, 2), num_resnet_blocks=(1, 2), layer_attns=(False, True),
            layer_cross_attns=(False, True), attn_pool_num_latents=4, memory_efficient=False)
SR = dict(**COMMON, dim_mults=(1, 2, 4), num_resnet_blocks=(1, 1, 2), layer_attns=(False, False, True),
          layer_cross_attns=(False, False, True), attn_pool_num_latents=4, memory_efficient=True, lowres_cond=True,
          init_conv_to_final_conv_residual=True, combine_upsample_fmaps=True)
PLAIN = dict(**COMMON, dim_mults=(1, 2), num_resnet_blocks=(1, 2), layer_attns=(False, True),
             layer_cross_attns=(False, True), attn_pool_text=False, init_cross_embed=False, init_conv_kernel_size=7,
             pixel_shuffle_upsample=False, use_global_context_attn=False, scale_skip_connection=False,
             final_resnet_block=False, self_cond=True, cond_images_channels=3, attend_at_middle=False,
             cond_on_text=True)

# The parameters of unet_base whose gradients are stored whole: a conv, an attention and the null text.
WHOLE_GRADIENTS = ("downs.0.1.block1.project.weight", "downs.1.3.layers.0.0.to_q.weight", "null_text_embed")


def build(config):
    """The net with formula weights, and its parameters' shapes."""
    with contextlib.redirect_stdout(io.StringIO()):
        net = ip.Unet(**config).eval()
    return net, fill(net)


def conditions(draws):
    """Picture, log-SNR and text of a batch of two; the second caption is shorter."""
    return {
        "x": draws.normal(2, 3, 16, 16),
        "time": torch.tensor([1.5, -2.25]),
        "text_embeds": draws.normal(2, 7, 10),
        "text_mask": length_mask([7, 4], 7),
    }


def guided(net, inputs):
    """The output with its conditions and with all text dropped."""
    kwargs = {k: v for k, v in inputs.items() if k not in ("x", "time", "r")}
    return {
        "y": net(inputs["x"], inputs["time"], cond_drop_prob=0.0, **kwargs),
        "y_dropped": net(inputs["x"], inputs["time"], cond_drop_prob=1.0, **kwargs),
    }


def gradients(net, inputs, params):
    """The gradients of sum(y * r) with respect to x and the parameters."""
    x = inputs["x"].clone().requires_grad_(True)
    kwargs = {k: inputs[k] for k in ("text_embeds", "text_mask")}
    net.zero_grad()
    (net(x, inputs["time"], cond_drop_prob=0.0, **kwargs) * inputs["r"]).sum().backward()
    found = dict(net.named_parameters())
    assert set(found) == set(params)
    grads = {k: found[k].grad for k in sorted(params)}
    outputs = {"grad_x": x.grad} | {f"grad.{k}": grads[k] for k in WHOLE_GRADIENTS}
    # One norm and one inner product with the value per parameter pin every other gradient cheaply.
    outputs["grad_norms"] = torch.stack([g.double().norm() for g in grads.values()]).float()
    dots = [(g.double() * found[k].detach().double()).sum() for k, g in grads.items()]
    outputs["grad_dots"] = torch.stack(dots).float()
    return outputs


def base():
    """The base net: outputs with and without text, and gradients in a second file with the same inputs."""
    d = Draws(201)
    net, params = build(BASE)
    inputs = conditions(d)
    with torch.no_grad():
        outputs = guided(net, inputs)
        gaps = module_gap(net, inputs, guided, outputs)
    config = {"class": "Unet", **BASE}
    write("unet_base", "Unet of the base stage: output with text, and with all text dropped", inputs, outputs, config,
          params, gaps)
    inputs["r"] = d.normal(2, 3, 16, 16, scale=0.03)  # small, so that gradients are of the order of 1
    outputs = gradients(net, inputs, params)
    gaps = module_gap(net, inputs, lambda n, i: gradients(n, i, params), outputs)
    write("unet_base_grad", "gradients of sum(y * r) for unet_base with text: of x, of three parameters whole, and per "
          "parameter (in byte order of the names) the norm and the inner product with its value", inputs, outputs,
          config, params, gaps)


def super_resolution():
    """The memory-efficient net with a low-resolution condition."""
    d = Draws(202)
    net, params = build(SR)
    inputs = conditions(d)
    inputs["lowres_cond_img"] = d.normal(2, 3, 16, 16, scale=0.7)
    inputs["lowres_noise_times"] = torch.tensor([2.0, 3.25])
    with torch.no_grad():
        outputs = guided(net, inputs)
        gaps = module_gap(net, inputs, guided, outputs)
    write("unet_sr", "memory-efficient Unet with low-resolution condition, combined upsampling maps and the residual "
          "from the first convolution", inputs, outputs, {"class": "Unet", **SR}, params, gaps)


def plain():
    """Every default switched the other way; no text mask; a conditioning picture of 10 x 10."""
    d = Draws(203)
    net, params = build(PLAIN)
    inputs = conditions(d)
    del inputs["text_mask"]
    inputs["self_cond"] = d.normal(2, 3, 16, 16, scale=0.7)
    inputs["cond_images"] = d.normal(2, 3, 10, 10)
    without = {k: v for k, v in inputs.items() if k != "self_cond"}

    def call(n, i):
        """Also without the self-condition, which then is zeros."""
        bare = {k: i[k] for k in without}
        return guided(n, i) | {"y_no_self_cond": guided(n, bare)["y"]}

    with torch.no_grad():
        outputs = call(net, inputs)
        gaps = module_gap(net, inputs, call, outputs)
    write("unet_plain", "Unet with the optional parts off: no pooling, plain first convolution, nearest upsampling, no "
          "global context, unscaled skips, no final block; with self-conditioning and a conditioning picture resized "
          "from 10 to 16 (nearest); no text mask", inputs, outputs, {"class": "Unet", **PLAIN}, params, gaps)


if __name__ == "__main__":
    base()
    super_resolution()
    plain()
