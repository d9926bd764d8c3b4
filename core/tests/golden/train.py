"""Golden values of what training uses: ema-pytorch's decay, AdamW, Muon, clipping; and resizing: ema, adamw, muon,
clip, resize."""
import inspect
import sys

sys.dont_write_bytecode = True

import torch
import torch.nn.functional as F
from common import Draws, write
from ema_pytorch import EMA

EMA_CONFIG = dict(beta=0.9999, update_after_step=100, update_every=10, inv_gamma=1.0, power=2 / 3, min_value=0.0)


def ema():
    """The decay at given steps, and 300 updates of a two-number model."""
    step = torch.arange(0, 2001, 50)
    shadow = EMA(torch.nn.Linear(2, 1, bias=False), **EMA_CONFIG)
    decays = []
    for value in step:
        shadow.step = value
        decays.append(shadow.get_current_decay())
    online = torch.stack([torch.sin(torch.arange(300) * 0.05), torch.cos(torch.arange(300) * 0.02) + 1.0], dim=-1)
    net = torch.nn.Linear(2, 1, bias=False)
    shadow = EMA(net, **EMA_CONFIG)
    averages = []
    for row in online:
        with torch.no_grad():
            net.weight.copy_(row[None])
        shadow.update()
        averages.append(shadow.ema_model.weight[0].clone())
    write("ema", "ema-pytorch: get_current_decay where its counter reads in.step; and a model of two numbers set to "
          "in.online[i] before update i: out.average[i] is the shadow after it", {"step": step, "online": online},
          {"decay": torch.tensor(decays, dtype=torch.float32), "average": torch.stack(averages)}, EMA_CONFIG)


def adamw():
    """Five steps on 0.5 sum(c (p - target)^2), the gradients stored."""
    d = Draws(601)
    config = dict(lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01)
    start, target, curvature = d.normal(7), d.normal(7), d.between(0.1, 3.0, 7)
    p = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([p], foreach=False, **config)
    grads, params = [], []
    for _ in range(5):
        p.grad = curvature * (p.detach() - target)
        grads.append(p.grad.clone())
        optimiser.step()
        params.append(p.detach().clone())
    state = optimiser.state[p]
    write("adamw", "torch.optim.AdamW: in.grads[i] is the gradient of step i, out.params[i] the parameter after it; "
          "the moments after the last step", {"start": start, "grads": torch.stack(grads)},
          {"params": torch.stack(params), "exp_avg": state["exp_avg"], "exp_avg_sq": state["exp_avg_sq"]}, config)


def muon():
    """Four steps on a matrix; and each gradient alone, as 4 by 6 and as 6 by 4. PyTorch iterates in bfloat16, to which
    nothing could be compared; here its own source runs in float32."""
    source = inspect.getsource(torch.optim._muon._zeropower_via_newtonschulz)
    assert source.count("torch.bfloat16") == 1
    exec(source.replace("torch.bfloat16", "torch.float32"), torch.optim._muon.__dict__)
    d = Draws(604)
    config = dict(lr=1e-2, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    start, grads = d.normal(4, 6), d.normal(4, 4, 6)
    p = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Muon([p], **config)
    params = []
    for grad in grads:
        p.grad = grad.clone()
        optimiser.step()
        params.append(p.detach().clone())

    def alone(grad):
        muon = torch.optim._muon
        length = muon._adjust_lr(1.0, config["adjust_lr_fn"], grad.shape)
        values = muon.DEFAULT_A, muon.DEFAULT_B, muon.DEFAULT_C
        return muon._zeropower_via_newtonschulz(grad, values, muon.DEFAULT_NS_STEPS, muon.EPS).flatten() * length

    outputs = {"params": torch.stack(params).flatten(1), "momentum": optimiser.state[p]["momentum_buffer"].flatten(),
               "wide": torch.stack([alone(g) for g in grads]),
               "tall": torch.stack([alone(g.flatten().view(6, 4)) for g in grads])}
    write("muon", "torch.optim.Muon in float32: in.grads[i] is the gradient of step i, out.params[i] the 4 x 6 parameter "
          "after it; out.momentum after the last step; out.wide[i] and out.tall[i] the step at learning rate 1 of in.grads[i] "
          "alone, as 4 x 6 and as 6 x 4", {"start": start.flatten(), "grads": grads.flatten(1)}, outputs, config)


def clip():
    """Gradients of three parameters, above and below the greatest norm."""
    d = Draws(602)
    shapes = {"a": (4, 3), "b": (5,), "c": (2, 2, 2)}
    inputs = {k: d.normal(*v) for k, v in shapes.items()}
    outputs = {}
    for most in (1.0, 100.0):
        params = [torch.nn.Parameter(torch.zeros_like(v)) for v in inputs.values()]
        for p, g in zip(params, inputs.values()):
            p.grad = g.clone()
        outputs[f"norm_{most:g}"] = torch.nn.utils.clip_grad_norm_(params, most)
        outputs |= {f"{k}_{most:g}": p.grad for k, p in zip(inputs, params)}
    write("clip_grad_norm", "torch.nn.utils.clip_grad_norm_ of the gradients in.a, in.b and in.c at max_norm 1 and "
          "100: the total norm before, the gradients after (factor min(1, max_norm / (norm + 1e-6)))", inputs, outputs)


def resize():
    """The three ways of F.interpolate."""
    inputs = {"x": Draws(603).normal(1, 3, 8, 8)}
    x = inputs["x"]
    outputs = {
        "area_down4": F.interpolate(x, scale_factor=0.25, mode="area"),
        "nearest_up4": F.interpolate(x, scale_factor=4, mode="nearest"),
        "bilinear_up4": F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False),
        "nearest_8_to_5": F.interpolate(x, 5, mode="nearest"),
        "nearest_8_to_12": F.interpolate(x, 12, mode="nearest"),
    }
    assert torch.equal(outputs["nearest_up4"], F.interpolate(x, 32, mode="nearest"))
    write("resize", "F.interpolate of [1,3,8,8]: area to 2 x 2; nearest and bilinear (align_corners False) to 32 x 32; "
          "nearest to 5 x 5 and to 12 x 12", inputs, outputs)


if __name__ == "__main__":
    ema()
    adamw()
    muon()
    clip()
    resize()
