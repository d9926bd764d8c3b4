"""The other side of the browser's benchmark: the base U-Net of a model and one block, in imagen-pytorch, as ONNX files.

`cargo xtask bench web` calls it: `$PYTHON web/bench/export.py MODEL.json FOLDER`, where that Python has torch, onnx,
onnxscript and imagen-pytorch 2.1. It writes unet.onnx, whose weights are random, as only its time is compared, and
block.onnx with the numbers of FOLDER/block.json, {"x", "gamma", "weight", "bias"}, each {"shape", "values"}. It prints a
JSON object, {"missing": reason} or {"versions", "parameters", "inputs"}, the names and shapes of the U-Net's inputs.
"""
import sys

sys.dont_write_bytecode = True

import json
import pathlib

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "core/benches/peers"))
import peer  # prints {"missing": reason} and ends where something is missing

try:
    import onnx
except ImportError as error:
    peer.answer(missing=str(error))
    sys.exit(0)

import torch


class Step(torch.nn.Module):
    """One evaluation for one caption without padding; `known` is what a network that can paint gets beside the map."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, c_noise, tokens, known=None):
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        return self.net(x, c_noise, text_embeds=tokens, text_mask=mask, cond_images=known)


def export(net, inputs, path):
    with torch.no_grad():
        torch.onnx.export(net.eval(), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=["y"],
                          dynamo=True, external_data=False)


def export_block(folder):
    told = json.loads((folder / "block.json").read_text())
    batch = {name: torch.tensor(numbers["values"]).reshape(numbers["shape"]) for name, numbers in told.items()}
    export(peer.block_of(batch), dict(x=batch["x"]), folder / "block.onnx")


def main():
    model, folder = map(pathlib.Path, sys.argv[1:])
    stage = json.loads(model.read_text())["stages"][0]
    unet, side = stage["unet"], stage["size"]
    text = unet["text"]
    torch.manual_seed(0)
    net = peer.Unet(**peer.arguments(unet))
    inputs = dict(x=torch.randn(1, unet["channels"], side, side), c_noise=torch.randn(1),
                  tokens=torch.randn(1, text["max_len"], text["embed_dim"]))
    if unet["cond_images_channels"]:
        inputs["known"] = torch.randn(1, unet["cond_images_channels"], side, side)
    export(Step(net), inputs, folder / "unet.onnx")
    export_block(folder)
    peer.answer(versions=f"imagen-pytorch {peer.IMAGEN_VERSION}, torch {torch.__version__}, onnx {onnx.__version__}",
                parameters=sum(param.numel() for param in net.parameters()),
                inputs={name: list(value.shape) for name, value in inputs.items()})


if __name__ == "__main__":
    main()
