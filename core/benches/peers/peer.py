"""The other side of benches/peers: the same in imagen-pytorch, by PyTorch, on the same numbers.

Recipe. Nothing has to be called by hand: `cargo bench --workspace --exclude xtask --bench peers` writes a folder and
starts `$PYTHON core/benches/peers/peer.py <folder>` (python3 if PYTHON is not set), where that Python has torch and
imagen-pytorch 2.1. The folder holds

    task.json             "task" (train, block, denoise), "threads", and what else that task wants: the U-Net as our
                          config says it, and for each of our parameters the keys under which imagen-pytorch may keep it
    weights.safetensors   our parameters, f32, where there is a U-Net
    batch.safetensors     the inputs, f32

The first line this program prints is a JSON object, {"missing": reason} or {"versions", "threads", "parameters"}. Then
for each line it reads, a number of steps, it takes that many steps and prints {"seconds": [...], "numbers": [...]},
the second what each step computed, in one number. It ends with its input.
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
    from imagen_pytorch.imagen_pytorch import Block
    from imagen_pytorch.version import __version__ as IMAGEN_VERSION
    from safetensors.torch import load_file
except ImportError as error:
    answer(missing=str(error))
    sys.exit(0)


def arguments(unet):
    """Our UnetConfig in the arguments of imagen-pytorch's Unet."""
    assert unet["middle_cross"] == {"heads": 8, "dim_head": 64}, "the middle's cross attention is fixed in the reference"
    text, levels, (stem, kernels) = unet["text"], unet["levels"], *unet["stem"].items()
    pool = text["pool"]
    mapped = dict(mean_latents=4, depth=2)
    assert pool is None or all(pool[key] == value for key, value in mapped.items()), "a pool of another kind"
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
        attn_pool_text=pool is not None,
        attn_pool_num_latents=pool["latents"] if pool else 32,
        use_global_context_attn=unet["global_context"],
        scale_skip_connection=unet["scale_skips"],
        init_conv_to_final_conv_residual=unet["stem_to_end"],
        combine_upsample_fmaps=unet["combine_upsample_maps"],
        final_conv_kernel_size=unet["final_conv_kernel"],
        pixel_shuffle_upsample=unet["upsampling"] == "pixel_shuffle",
    )


def build(task, weights):
    """The network with our parameters, and these in groups: what decays here decays there."""
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
    return net, groups


def rms(x):
    return x.square().mean().sqrt().item()


def train(task, batch, weights):
    """Loss, backward, clipping by the global norm, AdamW, average, as ours. The whole batch goes through at once, on all
    threads, and AdamW is torch's fused one."""
    net, groups = build(task, weights)
    optim, ema = task["optim"], task["ema"]
    adamw = torch.optim.AdamW(
        [dict(params=group, weight_decay=optim["weight_decay"] * decays) for decays, group in groups.items()],
        lr=optim["learning_rate"], betas=(optim["beta1"], optim["beta2"]), eps=optim["eps"], fused=True)
    params = list(net.parameters())
    average = [param.detach().clone() for param in params]
    mask = torch.ones(batch["tokens"].shape[:2], dtype=torch.bool)
    taken = 0

    def step():
        nonlocal taken
        output = net(batch["input"], batch["c_noise"], text_embeds=batch["tokens"], text_mask=mask)
        error = (output - batch["target"]).square().flatten(1).mean(1)
        loss = (error * batch["weight"]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, optim["clip_norm"])
        adamw.step()
        adamw.zero_grad()
        if taken % ema["update_every"] == 0:
            torch._foreach_lerp_(average, [param.detach() for param in params], 1 - ema["beta"])
        taken += 1
        return loss.item()

    return params, step, lambda loss: loss


def block_of(batch):
    """Norm, SiLU and convolution of imagen-pytorch."""
    net = Block(*batch["weight"].shape[:2])
    named = {"norm.gamma": "gamma", "project.weight": "weight", "project.bias": "bias"}
    net.load_state_dict({key: batch[name] for key, name in named.items()})
    return net


def block(task, batch, weights):
    """A block; with the gradients of all, where it is trained."""
    net = block_of(batch)
    params = list(net.parameters())
    if not task["training"]:
        def forward():
            with torch.no_grad():
                return net(batch["x"])

        return params, forward, rms

    def step():
        x = batch["x"].detach().requires_grad_()
        return torch.autograd.grad((net(x) * batch["dy"]).sum(), [x, *params])

    return params, step, lambda grads: sum(rms(grad) for grad in grads)


def denoise(task, batch, weights):
    """A step with guidance: two evaluations, as imagen-pytorch does it."""
    net, _ = build(task, weights)
    net.eval()
    mask = torch.ones(batch["tokens"].shape[:2], dtype=torch.bool)
    level = torch.full(batch["x"].shape[:1], task["level"])

    def step():
        with torch.no_grad():
            return net.forward_with_cond_scale(
                batch["x"], level, text_embeds=batch["tokens"], text_mask=mask, cond_scale=task["cond_scale"],
                remove_parallel_component=False)

    return list(net.parameters()), step, rms


def main():
    folder = pathlib.Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    torch.set_num_threads(task["threads"])
    weights = folder / "weights.safetensors"
    begin = dict(train=train, block=block, denoise=denoise)[task["task"]]
    params, step, number = begin(
        task, load_file(folder / "batch.safetensors"), load_file(weights) if weights.exists() else None)
    answer(versions=f"imagen-pytorch {IMAGEN_VERSION}, torch {torch.__version__}", threads=torch.get_num_threads(),
           parameters=sum(param.numel() for param in params))
    for line in sys.stdin:
        seconds, numbers = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            done = step()
            seconds.append(time.perf_counter() - start)
            numbers.append(number(done))
        answer(seconds=seconds, numbers=numbers)


if __name__ == "__main__":
    main()
