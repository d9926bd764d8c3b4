"""Golden values of ElucidatedImagen (imagen_pytorch 2.1.0) and of dynamic thresholding: edm_*, dynamic_threshold."""
import sys

sys.dont_write_bytecode = True

from math import sqrt

import torch
from common import Draws, gap, imagen_pytorch, reference as ip, write
from stub import FixedNet, stored_noise

STEPS = 8


def net_output(x, c_noise):
    """The stand-in for a net: tanh(0.1 c_noise - 0.2 x)."""
    return torch.tanh(0.1 * c_noise.view(-1, 1, 1, 1) - 0.2 * x)


def elucidated(steps=STEPS, churn=80):
    """A one-stage, unconditional ElucidatedImagen with default hyperparameters but for steps and churn."""
    return imagen_pytorch.ElucidatedImagen((FixedNet(net_output),), image_sizes=4, condition_on_text=False,
                                           num_sample_steps=steps, S_churn=churn)


def sigmas_and_gammas(model):
    """The sample schedule and the churn factors as one_unet_sample computes them."""
    hp = model.hparams[0]
    sigmas = model.sample_schedule(hp.num_sample_steps, hp.rho, hp.sigma_min, hp.sigma_max)
    most = min(hp.S_churn / hp.num_sample_steps, sqrt(2) - 1)
    return sigmas, torch.where((sigmas >= hp.S_tmin) & (sigmas <= hp.S_tmax), most, 0.0)


def schedule():
    """Noise levels and churn."""
    outputs = {}
    for steps, churn in ((8, 80), (8, 2), (32, 80)):
        sigmas, gammas = sigmas_and_gammas(elucidated(steps, churn))
        outputs[f"sigmas_{steps}"] = sigmas
        outputs[f"gammas_{steps}_churn{churn}"] = gammas
    config = {"sigma_min": 0.002, "sigma_max": 80, "rho": 7, "S_tmin": 0.05, "S_tmax": 50}
    write("edm_schedule", "sample_schedule (n + 1 sigmas, the last 0) and gammas of ElucidatedImagen for 8 and 32 "
          "steps; the sampler uses the first n gammas", {}, outputs, config)


def preconditioning():
    """The scalings of Table 1, the training weight and the preconditioned output."""
    d = Draws(401)
    model = elucidated()
    inputs = {"sigma": torch.tensor([0.002, 0.01, 0.05, 0.2, 0.5, 0.75, 1.5, 4.0, 12.0, 30.0, 50.0, 80.0]),
              "x": d.normal(12, 3, 2, 2)}

    def call(i):
        """Everything that depends on sigma; the picture is x (sigma + 1)."""
        sigma = i["sigma"]
        noised = i["x"] * (sigma.view(-1, 1, 1, 1) + 1)
        forward = lambda **kw: model.preconditioned_network_forward(net_output, noised, sigma, sigma_data=0.5, **kw)
        return {
            "c_skip": model.c_skip(0.5, sigma), "c_out": model.c_out(0.5, sigma), "c_in": model.c_in(0.5, sigma),
            "c_noise": model.c_noise(sigma), "loss_weight": model.loss_weight(0.5, sigma),
            "denoised": forward(), "denoised_clamped": forward(clamp=True, dynamic_threshold=False),
        }

    outputs = call(inputs)
    write("edm_precond", "c_skip, c_out, c_in, c_noise and loss_weight at sigma; the preconditioned output for the "
          "picture x (sigma + 1) and the net tanh(0.1 c_noise - 0.2 input)", inputs, outputs, {"sigma_data": 0.5},
          gaps=gap(call, inputs, outputs))


def heun_loop(model, start, noises, dynamic):
    """ElucidatedImagen.one_unet_sample, without conditions: the states and the clean pictures after each step."""
    hp = model.hparams[0]
    sigmas, gammas = sigmas_and_gammas(model)
    denoise = lambda x, sigma: model.preconditioned_network_forward(
        net_output, x, torch.full((2,), sigma, dtype=x.dtype), sigma_data=hp.sigma_data, clamp=True,
        dynamic_threshold=dynamic)
    x, states, cleans = sigmas[0].to(start.dtype) * start, [], []
    for sigma, sigma_next, gamma, noise in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), gammas[:-1].tolist(), noises):
        sigma_hat = sigma + gamma * sigma
        x_hat = x + sqrt(sigma_hat**2 - sigma**2) * (hp.S_noise * noise)
        clean = denoise(x_hat, sigma_hat)
        slope = (x_hat - clean) / sigma_hat
        x = x_hat + (sigma_next - sigma_hat) * slope
        if sigma_next != 0:
            clean = denoise(x, sigma_next)
            x = x_hat + 0.5 * (sigma_next - sigma_hat) * (slope + (x - clean) / sigma_next)
        states.append(x)
        cleans.append(clean)
    return torch.stack(states), torch.stack(cleans)


def heun(case, churn, dynamic, seed):
    """One trajectory, checked bit for bit against ElucidatedImagen.one_unet_sample fed with the same noise."""
    d = Draws(seed)
    inputs = {"start": d.normal(2, 3, 4, 4), "noises": d.normal(STEPS, 2, 3, 4, 4)}
    model = elucidated(churn=churn)

    def call(i):
        """The trajectory and its end."""
        states, cleans = heun_loop(model, i["start"], i["noises"], dynamic)
        return {"states": states, "cleans": cleans, "x0": states[-1].clamp(-1, 1)}

    outputs = call(inputs)
    with stored_noise([inputs["start"], *inputs["noises"]]):
        found = model.one_unet_sample(model.unets[0], (2, 3, 4, 4), unet_number=1, dynamic_threshold=dynamic,
                                      use_tqdm=False)
    assert torch.equal(found, (outputs["x0"] + 1) * 0.5), case
    sigmas, gammas = sigmas_and_gammas(model)
    inputs |= {"sigmas": sigmas, "gammas": gammas[:-1].contiguous()}
    write(case, f"stochastic Heun sampling, 8 steps, S_churn {churn}, "
          f"{'dynamic threshold 0.95' if dynamic else 'static clamp'}, net tanh(0.1 c_noise - 0.2 input); in.start "
          "is standard normal (times sigmas[0] at the start), in.noises standard normal (times S_noise); states after "
          "each step, cleans the last denoised picture of each step, x0 the last state clamped to [-1,1]", inputs,
          outputs,
          {"steps": STEPS, "sigma_min": 0.002, "sigma_max": 80, "rho": 7, "sigma_data": 0.5, "S_churn": churn,
           "S_tmin": 0.05, "S_tmax": 50, "S_noise": 1.003, "dynamic_threshold": dynamic},
          gaps=gap(call, inputs, outputs))


def dynamic_threshold():
    """One row with outliers, one inside [-1, 1], one wide."""
    d = Draws(402)
    x = torch.stack([d.normal(192, scale=0.5), d.between(-0.9, 0.9, 192), d.normal(192, scale=3.0)])
    x[0, ::12] *= 8.0
    s = torch.quantile(x.abs(), 0.95, dim=-1)
    y = elucidated().threshold_x_start(x.view(3, 3, 8, 8)).view(3, 192)
    assert torch.equal(y, torch.stack([r.clamp(-v, v) / v for r, v in zip(x, s.clamp(min=1.0))]))
    write("dynamic_threshold", "dynamic thresholding at the 0.95 quantile (linear interpolation) of |x| per row: the "
          "quantile before its clamp at 1, and x clamped to it and divided by it", {"x": x}, {"quantile": s, "y": y},
          {"percentile": 0.95})


if __name__ == "__main__":
    schedule()
    preconditioning()
    heun("edm_heun", 80, False, 411)
    heun("edm_heun_dynamic", 2, True, 412)
    dynamic_threshold()
