"""What the golden-data scripts share: the offline import, the weight formula, the draws and the writer.

Each script starts with `sys.dont_write_bytecode = True`, so that running it leaves only its `.safetensors` files.
Importing this module sets torch to one thread, answers the one question `imagen_pytorch` asks the Hugging Face hub
while it is being imported, and only then imports it.
"""
import copy
import hashlib
import json
import math
import os
import pathlib
import struct
import warnings

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import torch
import transformers

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

_hub_config = transformers.T5Config.from_pretrained.__func__


def _offline_config(cls, name, *args, **kwargs):
    """The width of the default text encoder, without a hub."""
    if name == "google/t5-v1_1-base":
        return transformers.T5Config(d_model=768)
    return _hub_config(cls, name, *args, **kwargs)


transformers.T5Config.from_pretrained = classmethod(_offline_config)

import imagen_pytorch  # after the patch
from imagen_pytorch import imagen_pytorch as reference
from imagen_pytorch.version import __version__ as IMAGEN_VERSION

# The cap on a file: the folder lives in git.
MAX_BYTES = 64 * 1024
HERE = pathlib.Path(__file__).resolve().parent
MASK = (1 << 64) - 1
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
GAINS = ("gamma", "g", "q_scale", "k_scale", "weight")
UNIT_SCALED = ("null_", "latents", "pos_emb", "embed_tokens", "shared", "relative_attention_bias")


# ---- weights ---------------------------------------------------------------------------------------------------


def fnv1a64(name):
    """The 64-bit FNV-1a hash of the name's UTF-8 bytes."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(name, count):
    """`count` values in [-1, 1), in steps of 2^-23: SplitMix64's finaliser of fnv1a64(name) + i * gamma."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.arange(count, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / float(1 << 23) - 1.0


def weight(name, shape):
    """The f32 tensor both sides compute for the parameter `name` of `shape`.

    The rules, in this order (README.md states them again):
    1. a vector (1-d, or 3-d of shape [d, 1, 1]): 1 + 0.3 u where the last name component is one of GAINS,
       0.5 u where it is `weights`, 0.2 u otherwise;
    2. any other shape whose name contains, as plain text, one of UNIT_SCALED: u;
    3. any other shape: u * sqrt(3 / (numel / shape[0])).
    """
    shape = tuple(shape)
    u = uniform(name, math.prod(shape))
    if len(shape) == 1 or (len(shape) == 3 and shape[1:] == (1, 1)):
        last = name.rsplit(".", 1)[-1]
        values = 1.0 + 0.3 * u if last in GAINS else (0.5 if last == "weights" else 0.2) * u
    elif any(part in name for part in UNIT_SCALED):
        values = u
    else:
        fan_in = math.prod(shape) // shape[0]
        values = u * math.sqrt(3.0 / fan_in)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(module, aliases=()):
    """Give every tensor of the module's state dict its formula value; returns {name: shape} in state-dict order.

    `aliases` are names of tied tensors, which take the value of the tensor they are tied to and are not listed.
    """
    params = {}
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name in aliases:
                continue
            assert tensor.dtype == torch.float32, name
            tensor.copy_(weight(name, tensor.shape))
            params[name] = list(tensor.shape)
    return params


# ---- inputs ----------------------------------------------------------------------------------------------------


class Draws:
    """Inputs of one case, from a generator with a fixed seed."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape, scale=1.0):
        """Normal values times `scale`."""
        return torch.randn(*shape, generator=self.generator) * scale

    def between(self, low, high, *shape):
        """Uniform values in [low, high)."""
        return torch.rand(*shape, generator=self.generator) * (high - low) + low


def length_mask(lengths, width):
    """A bool mask [len(lengths), width] whose row i starts with lengths[i] true values."""
    return torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]


# ---- the cost of f32 ---------------------------------------------------------------------------------------------


def _double_layer_norm(self, x):
    """imagen_pytorch.LayerNorm with the epsilon of f32, which upstream swaps for 1e-3 at any other dtype."""
    variance = torch.var(x, dim=self.dim, unbiased=False, keepdim=True)
    return (x - torch.mean(x, dim=self.dim, keepdim=True)) * (variance + 1e-5).rsqrt() * self.g


def gap(call, inputs, outputs):
    """Per output, the largest |f32 - f64|: how far apart two right answers may be. A floor for tolerances."""
    exact = call({k: v.double() if v.dtype == torch.float32 else v for k, v in inputs.items()})
    gaps = {k: (exact[k].detach() - outputs[k].double()).abs().max().item() for k in outputs if k in exact}
    return {k: float(f"{v:.2e}") for k, v in gaps.items()}


def module_gap(module, inputs, call, outputs):
    """The same for `call(module, inputs)`."""
    kept = reference.LayerNorm.forward
    reference.LayerNorm.forward = _double_layer_norm
    try:
        return gap(lambda wide: call(copy.deepcopy(module).double(), wide), inputs, outputs)
    finally:
        reference.LayerNorm.forward = kept


# ---- files -----------------------------------------------------------------------------------------------------

_DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}


def serialise(tensors, metadata):
    """The bytes of a safetensors file. Written by hand since the library orders metadata at random."""
    header, chunks, offset = {"__metadata__": metadata}, [], 0
    # Eight-byte elements first, bytes last, so that every tensor starts aligned.
    for name in sorted(tensors, key=lambda k: (-tensors[k].element_size(), k)):
        tensor = tensors[name].detach().contiguous()
        data = tensor.numpy().tobytes()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(chunks)


def write(case, what, inputs, outputs, config=None, params=None, gaps=None):
    """Write `<case>.safetensors` beside the scripts and print what is in it."""
    tensors = {f"in.{k}": v for k, v in inputs.items()} | {f"out.{k}": v for k, v in outputs.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            assert torch.isfinite(tensor).all(), f"{case}: {name} is not finite"
    compact = lambda value: json.dumps(value, separators=(",", ":"))
    metadata = {
        "what": what,
        "config": compact(config or {}),
        "params": compact(params or {}),
        "versions": compact({"torch": torch.__version__, "imagen_pytorch": IMAGEN_VERSION,
                             "transformers": transformers.__version__}),
    }
    if gaps:
        metadata["f64_gap"] = compact(gaps)
    data = serialise(tensors, metadata)
    assert len(data) <= MAX_BYTES, f"{case}: {len(data)} bytes"
    (HERE / f"{case}.safetensors").write_bytes(data)
    print(f"{case}.safetensors  {len(data)} bytes  sha256 {hashlib.sha256(data).hexdigest()[:16]}  "
          f"{len(params or {})} params")
    for name, t in tensors.items():
        size = f"max|.| {t.double().abs().max():.4g} rms {t.double().pow(2).mean().sqrt():.4g}"
        print(f"    {name:<34} {str(list(t.shape)):<18} {_DTYPES[t.dtype]:<4} {size}"
              + (f"  gap {gaps[name[4:]]:.1e}" if gaps and name[4:] in gaps and name.startswith("out.") else ""))


def forward_case(case, what, module, config, inputs, call):
    """Fill `module`, run `call(module, inputs)` in eval mode and write its outputs."""
    params = fill(module)
    module.eval()
    with torch.no_grad():
        outputs = call(module, {k: v.clone() for k, v in inputs.items()})
        gaps = module_gap(module, inputs, call, outputs)
    write(case, what, inputs, outputs, config, params, gaps)
