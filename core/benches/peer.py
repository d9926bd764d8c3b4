"""The other side of benches/train.rs: the same U-Net in imagen-pytorch, trained on the same batch.

Recipe. Nothing has to be called by hand: `cargo bench --workspace --bench train` writes a folder with three files and
starts `$PYTHON core/benches/peer.py <folder>` (python3 if PYTHON is not set), where that Python has torch and
imagen-pytorch 2.1. The folder holds

    task.json             the U-Net as our config says it, optimiser, average, threads, and for each of our parameters
                          the keys under which imagen-pytorch may keep it
    weights.safetensors   our first parameters, f32
    batch.safetensors     input, target, c_noise, weight, tokens of a batch, f32

The first line this program prints is a JSON object, {"missing": reason} or {"versions", "threads", "parameters"}. Then
for each line it reads, a number of steps, it takes that many steps and prints {"seconds": [...], "losses": [...]}.
It ends with its input.

A step is what ours is: loss, backward, clipping by the global norm, AdamW, average. The whole batch goes through at
once, on all threads, and AdamW is torch's fused one.
"""
import sys

sys.dont_write_bytecode = True

import json
import os
import pathlib
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"

# imagen-pytorch prints advice; our answers must have their lines to themselves.
ANSWERS, sys.stdout = sys.stdout, open(os.devnull, "w")


def answer(**values):
    print(json.dumps(values), file=ANSWERS, flush=True)


try:
    import torch
    import transformers

    _hub_config = transformers.T5Config.from_pretrained.__func__

    def _offline_config(cls, name, *args, **kwargs):
        """The width of the default text encoder, which imagen-pytorch asks a hub for while it is being imported."""
        if name == "google/t5-v1_1-base":
            return transformers.T5Config(d_model=768)
        return _hub_config(cls, name, *args, **kwargs)

    transformers.T5Config.from_pretrained = classmethod(_offline_config)

    from imagen_pytorch import Unet  # after the patch
    from imagen_pytorch.version import __version__ as IMAGEN_VERSION
    from safetensors.torch import load_file
except ImportError as error:
    answer(missing=str(error))
    sys.exit(0)


def arguments(unet):
    """Our UnetConfig in the arguments of imagen-pytorch's Unet."""
    assert unet["middle_cross"] == {"heads": 8, "dim_head": 64}, "the middle's cross attention is fixed in the reference"
    text, levels, (stem, kernels) = unet["text"], unet["levels"], *unet["stem"].items()
    assert text["pool"] is None, "a pool is not mapped"
    stems = {
        "conv": lambda: dict(init_cross_embed=False, init_conv_kernel_size=kernels),
        "cross_embed": lambda: dict(init_cross_embed=True, init_cross_embed_kernel_sizes=tuple(kernels)),
    }
    same = ("dim", "channels", "channels_out", "init_dim", "ff_mult", "cond_dim", "lowres_cond", "self_cond",
            "cond_images_channels", "memory_efficient", "final_resnet_block")
    return dict(
        **{key: unet[key] for key in same},
        **stems[stem](),
        dim_mults=tuple(level["mult"] for level in levels),
        num_resnet_blocks=tuple(level["resnet_blocks"] for level in levels),
        layer_attns=tuple(level["attention"] > 0 for level in levels),
        layer_attns_depth=tuple(max(1, level["attention"]) for level in levels),
        layer_cross_attns=tuple(level["cross_attention"] for level in levels),
        attend_at_middle=unet["middle_attention"] > 0,
        layer_mid_attns_depth=max(1, unet["middle_attention"]),
        attn_heads=unet["attn"]["heads"],
        attn_dim_head=unet["attn"]["dim_head"],
        num_time_tokens=unet["time_tokens"],
        learned_sinu_pos_emb_dim=unet["time_frequencies"] * 2,
        text_embed_dim=text["embed_dim"],
        max_text_len=text["max_len"],
        attn_pool_text=False,
        use_global_context_attn=unet["global_context"],
        scale_skip_connection=unet["scale_skips"],
        init_conv_to_final_conv_residual=unet["stem_to_end"],
        combine_upsample_fmaps=unet["combine_upsample_maps"],
        final_conv_kernel_size=unet["final_conv_kernel"],
        pixel_shuffle_upsample=unet["upsampling"] == "pixel_shuffle",
    )


def build(task, weights):
    """The network with our parameters, and AdamW over it; what decays here decays there."""
    net = Unet(**arguments(task["unet"])).train()
    params, groups = dict(net.named_parameters()), {True: [], False: []}
    for path, keys in task["keys"].items():
        param = params.pop(next(key for key in keys if key in params))
        value = weights[path]
        assert value.numel() == param.numel(), f"{path}: {tuple(value.shape)} is not {tuple(param.shape)}"
        with torch.no_grad():
            param.copy_(value.reshape(param.shape))
        groups[value.ndim >= 2 and "null" not in path].append(param)
    assert not params, f"without a value: {sorted(params)}"
    optim = task["optim"]
    adamw = torch.optim.AdamW(
        [dict(params=group, weight_decay=optim["weight_decay"] * decays) for decays, group in groups.items()],
        lr=optim["learning_rate"], betas=(optim["beta1"], optim["beta2"]), eps=optim["eps"], fused=True)
    return net, adamw


def main():
    folder = pathlib.Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    torch.set_num_threads(task["threads"])
    batch = load_file(folder / "batch.safetensors")
    net, adamw = build(task, load_file(folder / "weights.safetensors"))
    params = list(net.parameters())
    average = [param.detach().clone() for param in params]
    mask = torch.ones(batch["tokens"].shape[:2], dtype=torch.bool)
    answer(versions=f"imagen-pytorch {IMAGEN_VERSION}, torch {torch.__version__}", threads=torch.get_num_threads(),
           parameters=sum(param.numel() for param in params))

    taken = 0
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            output = net(batch["input"], batch["c_noise"], text_embeds=batch["tokens"], text_mask=mask)
            error = (output - batch["target"]).square().flatten(1).mean(1)
            loss = (error * batch["weight"]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, task["optim"]["clip_norm"])
            adamw.step()
            adamw.zero_grad()
            if taken % task["ema"]["update_every"] == 0:
                torch._foreach_lerp_(average, [param.detach() for param in params], 1 - task["ema"]["beta"])
            taken += 1
            losses.append(loss.item())
            seconds.append(time.perf_counter() - start)
        answer(seconds=seconds, losses=losses)


if __name__ == "__main__":
    main()
