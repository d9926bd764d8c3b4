"""Golden values of the continuous-time diffusion of imagen_pytorch 2.1.0: diffusion_*.safetensors."""
import sys

sys.dont_write_bytecode = True

import torch
from common import Draws, gap, reference as ip, write
from stub import FixedNet, stored_noise

SCHEDULES = ("linear", "cosine")
STEPS = 12


def scheduler(name, steps=1000):
    """The reference's noise schedule."""
    return ip.GaussianDiffusionContinuousTimes(noise_schedule=name, timesteps=steps)


def imagen(net, schedule):
    """A one-stage, unconditional Imagen around `net`."""
    return ip.Imagen((net,), image_sizes=4, condition_on_text=False, noise_schedules=schedule, timesteps=STEPS)


def schedule():
    """log-SNR, alpha and sigma on a grid, in the reference's f32 and in f64."""
    t = torch.linspace(0.0, 1.0, 33)
    outputs = {}
    for name in SCHEDULES:
        for suffix, times in (("", t), ("_f64", t.double())):
            log_snr = scheduler(name).log_snr(times)
            alpha, sigma = ip.log_snr_to_alpha_sigma(log_snr)
            for part, values in (("log_snr", log_snr), ("alpha", alpha), ("sigma", sigma)):
                outputs[f"{name}.{part}{suffix}"] = values.float()
    write("diffusion_schedule", "log-SNR, alpha and sigma of both schedules; *_f64 is the same formula evaluated in "
          "f64 and rounded: near t = 0 and at t = 1 the cosine's f32 values are cancellation error", {"t": t}, outputs)


def posterior():
    """Mean and variance of the step from t to t_next."""
    d = Draws(301)
    pairs = torch.tensor([(0.999, 0.9), (0.95, 0.9), (0.5, 0.499), (0.75, 0.25), (0.3, 0.2), (0.1, 0.0), (0.02, 0.01)])
    t, t_next = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
    inputs = {"x_t": d.normal(7, 1, 2, 2), "x_start": d.between(-1, 1, 7, 1, 2, 2), "t": t, "t_next": t_next}

    def call(i):
        """The posterior with t_next given and left out."""
        outputs = {}
        for name in SCHEDULES:
            for suffix, following in (("", i["t_next"]), ("_default", None)):
                found = scheduler(name).q_posterior(i["x_start"], i["x_t"], i["t"], t_next=following)
                for part, values in zip(("mean", "variance", "log_variance"), found):
                    outputs[f"{name}.{part}{suffix}"] = values
        return outputs

    outputs = call(inputs)
    write("diffusion_posterior", "q_posterior at pairs (t, t_next); *_default leaves t_next out, which then is "
          "max(t - 1/1000, 0)", inputs, outputs, {"timesteps": 1000}, gaps=gap(call, inputs, outputs))


def predict():
    """Noising, and x0 from predictions."""
    d = Draws(302)
    inputs = {"x": d.normal(5, 3, 2, 2), "prediction": d.normal(5, 3, 2, 2), "noise": d.normal(5, 3, 2, 2),
              "t": torch.tensor([0.01, 0.2, 0.5, 0.8, 0.99]), "t_from": torch.tensor([0.01, 0.1, 0.4, 0.7, 0.9])}

    def call(i):
        """Every map, for both schedules."""
        outputs = {}
        for name in SCHEDULES:
            s = scheduler(name)
            outputs[f"{name}.from_v"] = s.predict_start_from_v(i["x"], i["t"], i["prediction"])
            outputs[f"{name}.from_noise"] = s.predict_start_from_noise(i["x"], i["t"], i["prediction"])
            outputs[f"{name}.q_sample"] = s.q_sample(i["x"], i["t"], i["noise"])[0]
            outputs[f"{name}.q_sample_from_to"] = s.q_sample_from_to(i["x"], i["t_from"], i["t"], i["noise"])
        return outputs

    outputs = call(inputs)
    write("diffusion_predict", "predict_start_from_v and _from_noise of `prediction` at t; q_sample of x to t; "
          "q_sample_from_to of x from t_from to t", inputs, outputs, gaps=gap(call, inputs, outputs))


def lowres():
    """The low-resolution condition as Imagen.sample noises it."""
    d = Draws(303)
    inputs = {"image": d.between(0, 1, 2, 3, 8, 8), "noise": d.normal(2, 3, 8, 8)}
    s = scheduler("linear")
    outputs = {}
    for level in (0.2, 0.05):
        times = s.get_times(2, level, device="cpu")
        noised, log_snr, _, _ = s.q_sample(ip.normalize_neg_one_to_one(inputs["image"]), times, inputs["noise"])
        outputs[f"noised_{level}"] = noised
        outputs[f"condition_{level}"] = s.get_condition(times)
        assert torch.equal(log_snr, s.get_condition(times))
    write("diffusion_lowres", "a low-resolution picture in [0,1], normalised to [-1,1] and noised on the linear "
          "schedule at level 0.2 and 0.05; condition_* is the log-SNR the net is given", inputs, outputs)


def loss_weights():
    """The factor p_losses gives each example: its loss where prediction - target is 1 everywhere."""
    picture, zero = torch.full((1, 3, 4, 4), 0.5), torch.zeros(1, 3, 4, 4)
    net = FixedNet(lambda x, time: torch.ones_like(x))

    def call(i):
        """The weights for each schedule, objective and gamma; picture and noise become 0, and so does the target."""
        outputs = {}
        for name in SCHEDULES:
            model = imagen(net, name)
            for objective in ("noise", "x_start", "v"):
                for gamma in (5, None):
                    loss = lambda times: model.p_losses(
                        net, picture.to(times), times, noise_scheduler=model.noise_schedulers[0], noise=zero.to(times),
                        pred_objective=objective, min_snr_gamma=gamma)
                    key = f"{name}.{objective}." + ("off" if gamma is None else f"gamma{gamma}")
                    outputs[key] = torch.stack([loss(times) for times in i["t"].split(1)])
        return outputs

    # From 1/64 to 63/64: at the ends the cosine's f32 SNR is mostly rounding error.
    inputs = {"t": (torch.arange(32) + 0.5) / 32}
    outputs = call(inputs)
    write("diffusion_loss_weight", "the weight Imagen.p_losses gives the squared error at t, per schedule, objective "
          "and min-SNR gamma (5 or off)", inputs, outputs, gaps=gap(call, inputs, outputs))


def net_output(x, log_snr):
    """The stand-in for a net: 1.2 tanh(0.7 x + 0.01 log_snr), so that the clamp to [-1, 1] acts."""
    return 1.2 * torch.tanh(0.7 * x + 0.01 * log_snr.view(-1, 1, 1, 1))


def clamp(x_start, dynamic):
    """The reference's static clamp, or its dynamic threshold at the 0.95 quantile."""
    if not dynamic:
        return x_start.clamp(-1.0, 1.0)
    s = torch.quantile(x_start.flatten(1).abs(), 0.95, dim=-1).clamp(min=1.0).view(-1, 1, 1, 1)
    return x_start.clamp(-s, s) / s


def ancestral_loop(s, times, start, noises, objective, dynamic):
    """Imagen.p_sample_loop, without conditions: the states after each step and the x0 of each step."""
    x, states, x_starts = start, [], []
    for t, t_next, noise in zip(times[:-1], times[1:], noises):
        t, t_next = t.repeat(2), t_next.repeat(2)
        output = net_output(x, s.log_snr(t))
        x_start = clamp(output if objective == "x_start" else s.predict_start_from_v(x, t, output), dynamic)
        mean, _, log_variance = s.q_posterior(x_start, x, t, t_next=t_next)
        moving = (1 - (t_next == 0).float()).view(-1, 1, 1, 1)
        x = mean + moving * (0.5 * log_variance).exp() * noise
        states.append(x)
        x_starts.append(x_start)
    return torch.stack(states), torch.stack(x_starts)


def ancestral(case, name, times, objective, dynamic, seed):
    """One trajectory, checked bit for bit against Imagen.p_sample_loop fed with the same noise."""
    d = Draws(seed)
    inputs = {"times": times, "start": d.normal(2, 3, 4, 4), "noises": d.normal(STEPS, 2, 3, 4, 4)}

    def call(i):
        """The trajectory and its end."""
        states, x_starts = ancestral_loop(scheduler(name), i["times"], i["start"], i["noises"], objective, dynamic)
        return {"states": states, "x_starts": x_starts, "x0": states[-1].clamp(-1, 1)}

    outputs = call(inputs)

    net = FixedNet(net_output)
    model = imagen(net, name)
    s = model.noise_schedulers[0]
    s.get_sampling_timesteps = lambda batch, device: [
        (a.repeat(batch), b.repeat(batch)) for a, b in zip(times[:-1], times[1:])]
    with stored_noise([inputs["start"], *inputs["noises"]]):
        found = model.p_sample_loop(net, (2, 3, 4, 4), noise_scheduler=s, pred_objective=objective,
                                    dynamic_threshold=dynamic, use_tqdm=False)
    assert torch.equal(found, (outputs["x0"] + 1) * 0.5), case
    write(case, f"ancestral sampling, {name} schedule, 12 steps over in.times, objective {objective}, "
          f"{'dynamic threshold 0.95' if dynamic else 'static clamp'}; the net's output is 1.2 tanh(0.7 x + 0.01 "
          "log_snr(t)); x0 is the last state clamped to [-1,1]", inputs, outputs,
          {"schedule": name, "objective": objective, "dynamic_threshold": dynamic}, gaps=gap(call, inputs, outputs))


if __name__ == "__main__":
    schedule()
    posterior()
    predict()
    lowres()
    loss_weights()
    linear = torch.linspace(1.0, 0.0, STEPS + 1)
    # The cosine's log-SNR at t = 1 is rounding error (-34 in f32, -75 in f64), so it starts just before.
    cosine = torch.linspace(0.999, 0.0, STEPS + 1)
    ancestral("diffusion_ancestral_linear", "linear", linear, "x_start", False, 311)
    ancestral("diffusion_ancestral_cosine", "cosine", cosine, "x_start", False, 312)
    ancestral("diffusion_ancestral_cosine_v", "cosine", cosine, "v", True, 313)
