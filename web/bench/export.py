"""The other side of the browser's benchmark: the base U-Net of a model, in imagen-pytorch, as an ONNX file.

`cargo xtask bench web` calls it: `$PYTHON web/bench/export.py MODEL.json OUT.onnx`, where that Python has torch, onnx,
onnxscript and imagen-pytorch 2.1. The weights are random: only time is compared. It prints a JSON object, {"missing":
reason} or {"versions", "parameters", "inputs"}, the names and shapes of the inputs.
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
    """One evaluation for one caption without padding."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, c_noise, tokens):
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        return self.net(x, c_noise, text_embeds=tokens, text_mask=mask)


def main():
    model, out = sys.argv[1:]
    stage = json.loads(pathlib.Path(model).read_text())["stages"][0]
    unet, side = stage["unet"], stage["size"]
    text = unet["text"]
    torch.manual_seed(0)
    net = peer.Unet(**peer.arguments(unet)).eval()
    inputs = dict(x=torch.randn(1, unet["channels"], side, side), c_noise=torch.randn(1),
                  tokens=torch.randn(1, text["max_len"], text["embed_dim"]))
    with torch.no_grad():
        torch.onnx.export(Step(net), tuple(inputs.values()), out, input_names=list(inputs), output_names=["y"], dynamo=True,
                          external_data=False)
    peer.answer(versions=f"imagen-pytorch {peer.IMAGEN_VERSION}, torch {torch.__version__}, onnx {onnx.__version__}",
                parameters=sum(param.numel() for param in net.parameters()),
                inputs={name: list(value.shape) for name, value in inputs.items()})


if __name__ == "__main__":
    main()
