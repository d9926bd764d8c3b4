//! The mathematics of diffusion against `GaussianDiffusionContinuousTimes`, `Imagen` and `ElucidatedImagen`.
//!
//! Two things of the reference are left out on purpose: `q_sample_from_to`, which subtracts standard deviations where
//! variances belong, and the cosine's log-SNR beyond ±20, which is clipped here.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor, TensorData};
use firefall_core::diffusion::sampler::{ancestral, heun};
use firefall_core::diffusion::schedule::LOG_SNR_LIMIT;
use firefall_core::diffusion::threshold::abs_quantile;
use firefall_core::diffusion::{
    Elucidated, Level, LogSnrSchedule, Objective, Process, Threshold, Weighting, sampler::Churn,
};

use crate::support::Golden;

const SCHEDULES: [(&str, LogSnrSchedule); 2] = [("linear", LogSnrSchedule::Linear), ("cosine", LogSnrSchedule::Cosine)];

fn level(schedule: LogSnrSchedule, t: f32) -> Level {
    Level::variance_preserving(schedule.log_snr(f64::from(t)))
}

/// Part `i` of a tensor's first axis, as a batch of one.
fn row(x: &Tensor<4>, i: usize) -> Tensor<4> {
    x.clone().slice([i..i + 1])
}

fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn vec(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

#[test]
fn schedules() {
    let golden = Golden::read("diffusion_schedule");
    let (times, _) = golden.values("in.t");
    for (name, schedule) in SCHEDULES {
        let want = |part| golden.values(&format!("out.{name}.{part}_f64")).0;
        let (log_snr, alpha, sigma) = (want("log_snr"), want("alpha"), want("sigma"));
        for (i, &t) in times.iter().enumerate() {
            let got = schedule.log_snr(f64::from(t));
            let wanted = f64::from(log_snr[i]).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT);
            assert!((got - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{name} log_snr at {t}: {got}, not {wanted}");
            if f64::from(log_snr[i]).abs() < LOG_SNR_LIMIT {
                let Level { alpha: a, sigma: s } = Level::variance_preserving(got);
                for (got, want) in [(a, alpha[i]), (s, sigma[i])] {
                    assert!((got / f64::from(want) - 1.0).abs() < 1e-6, "{name} at {t}: {got}, not {want}");
                }
            }
        }
    }
}

#[test]
fn posteriors() {
    let (golden, device) = (Golden::read("diffusion_posterior"), Device::flex());
    let (t, t_next) = (golden.values("in.t").0, golden.values("in.t_next").0);
    let (x_t, x0): (Tensor<4>, Tensor<4>) = (golden.input("x_t", &device), golden.input("x_start", &device));
    for (name, schedule) in SCHEDULES {
        for suffix in ["", "_default"] {
            let (mut means, mut variances, mut logs) = (Vec::new(), Vec::new(), Vec::new());
            for i in 0..t.len() {
                let next = if suffix.is_empty() { t_next[i] } else { (t[i] - 1e-3).max(0.0) };
                let levels = [level(schedule, t[i]), level(schedule, next)];
                means.extend(vec(ancestral::step(row(&x_t, i), row(&x0, i), levels, None)));
                let (.., variance) = ancestral::posterior(levels);
                variances.push(variance as f32);
                logs.push(variance.ln() as f32);
            }
            golden.check_values(&format!("{name}.mean{suffix}"), &means);
            golden.check_values(&format!("{name}.variance{suffix}"), &variances);
            golden.check_values(&format!("{name}.log_variance{suffix}"), &logs);
        }
    }
}

#[test]
fn noising_and_predictions() {
    let (golden, device) = (Golden::read("diffusion_predict"), Device::flex());
    let (times, _) = golden.values("in.t");
    let [x, prediction, noise] = ["x", "prediction", "noise"].map(|key| golden.input::<4>(key, &device));
    for (name, schedule) in SCHEDULES {
        let all = |f: &dyn Fn(Level, usize) -> Tensor<4>| {
            Tensor::cat(times.iter().enumerate().map(|(i, &t)| f(level(schedule, t), i)).collect(), 0)
        };
        for (key, objective) in [("from_v", Objective::V), ("from_noise", Objective::Noise)] {
            let process = Process::Gaussian { schedule, objective };
            let estimate = |level: Level, i: usize| {
                let s = process.scalings(level);
                row(&x, i) * s.c_skip as f32 + row(&prediction, i) * s.c_out as f32
            };
            golden.check(&format!("{name}.{key}"), all(&estimate));
        }
        golden.check(&format!("{name}.q_sample"), all(&|level, i| level.noise(row(&x, i), row(&noise, i))));
    }
}

#[test]
fn noise_on_the_smaller_picture() {
    let (golden, device) = (Golden::read("diffusion_lowres"), Device::flex());
    for (suffix, t) in [("0.2", 0.2), ("0.05", 0.05)] {
        let level = level(LogSnrSchedule::Linear, t);
        let image = golden.input::<4>("image", &device) * 2.0 - 1.0;
        golden.check(&format!("noised_{suffix}"), level.noise(image, golden.input("noise", &device)));
        golden.check_values(&format!("condition_{suffix}"), &[level.log_snr() as f32; 2]);
    }
}

#[test]
fn loss_weights() {
    let golden = Golden::read("diffusion_loss_weight");
    let (times, _) = golden.values("in.t");
    for (name, schedule) in SCHEDULES {
        for (label, objective) in [("noise", Objective::Noise), ("x_start", Objective::XStart), ("v", Objective::V)] {
            for (suffix, weighting) in [("gamma5", Weighting::MinSnr { gamma: 5.0 }), ("off", Weighting::Uniform)] {
                let process = Process::Gaussian { schedule, objective };
                let weight = |&t: &f32| weighting.weight(&process, level(schedule, t)) as f32;
                let weights: Vec<f32> = times.iter().map(weight).collect();
                golden.check_values(&format!("{name}.{label}.{suffix}"), &weights);
            }
        }
    }
}

/// The reference's threshold, its quantile interpolated; ours takes the upper neighbour. Static without a quantile.
fn reference_threshold(x0_hat: Tensor<4>, quantile: Option<f64>) -> Tensor<4> {
    let Some(quantile) = quantile else { return Threshold::Static.apply(x0_hat) };
    let shape = x0_hat.dims();
    let mut values = vec(x0_hat);
    for picture in values.chunks_mut(shape[1..].iter().product()) {
        let (below, above, share) = neighbours(picture, quantile);
        let s = (below + (above - below) * share).max(1.0);
        picture.iter_mut().for_each(|v| *v = v.clamp(-s, s) / s);
    }
    tensor(values, shape)
}

/// The absolute values on both sides of a quantile, and how far it lies between them.
fn neighbours(values: &[f32], quantile: f64) -> (f32, f32, f32) {
    let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let place = quantile * (sizes.len() - 1) as f64;
    let below = place.floor() as usize;
    (sizes[below], sizes[(below + 1).min(sizes.len() - 1)], place.fract() as f32)
}

#[track_caller]
fn check_ancestral(case: &str, schedule: LogSnrSchedule, objective: Objective, quantile: Option<f64>) {
    let (golden, device) = (Golden::read(case), Device::flex());
    let levels: Vec<Level> = golden.values("in.times").0.iter().map(|&t| level(schedule, t)).collect();
    let noises: Tensor<5> = golden.input("noises", &device);
    let process = Process::Gaussian { schedule, objective };
    let mut x: Tensor<4> = golden.input("start", &device);
    let (mut states, mut estimates) = (Vec::new(), Vec::new());
    for (i, pair) in levels.windows(2).enumerate() {
        let s = process.scalings(pair[0]);
        let output = (x.clone() * 0.7 + (0.01 * s.c_noise) as f32).tanh() * 1.2;
        let x0_hat = reference_threshold(x.clone() * s.c_skip as f32 + output * s.c_out as f32, quantile);
        let z = noises.clone().slice([i..i + 1]).reshape(x.dims());
        let z = (i + 2 < levels.len()).then_some(z);
        x = ancestral::step(x, x0_hat.clone(), [pair[0], pair[1]], z);
        states.extend(vec(x.clone()));
        estimates.extend(vec(x0_hat));
    }
    golden.check_values("states", &states);
    golden.check_values("x_starts", &estimates);
    golden.check("x0", x.clamp(-1.0, 1.0));
}

#[test]
fn ancestral_sampling() {
    let (linear, cosine) = (LogSnrSchedule::Linear, LogSnrSchedule::Cosine);
    check_ancestral("diffusion_ancestral_linear", linear, Objective::XStart, None);
    check_ancestral("diffusion_ancestral_cosine", cosine, Objective::XStart, None);
    check_ancestral("diffusion_ancestral_cosine_v", cosine, Objective::V, Some(0.95));
}

#[test]
fn elucidated_levels_and_churn() {
    let golden = Golden::read("edm_schedule");
    let process = Process::Elucidated(Elucidated::default());
    for (steps, churns) in [(8, vec![2, 80]), (32, vec![80])] {
        let levels = process.sampling_levels(steps);
        let sigmas: Vec<f32> = levels.iter().map(|level| level.sigma as f32).collect();
        golden.check_values(&format!("sigmas_{steps}"), &sigmas);
        for s_churn in churns {
            let amount = Churn { s_churn: f64::from(s_churn), ..Churn::default() }.amount(steps);
            let gammas: Vec<f32> = levels.iter().map(|level| amount.gamma(level.sigma) as f32).collect();
            golden.check_values(&format!("gammas_{steps}_churn{s_churn}"), &gammas);
        }
    }
}

/// The stand-in for a network in the goldens of EDM.
fn elucidated_net(x: Tensor<4>, c_noise: f64) -> Tensor<4> {
    (x * -0.2 + (0.1 * c_noise) as f32).tanh()
}

fn elucidated_estimate(x_t: Tensor<4>, level: Level) -> Tensor<4> {
    let s = Process::Elucidated(Elucidated::default()).scalings(level);
    x_t.clone() * s.c_skip as f32 + elucidated_net(x_t * s.c_in as f32, s.c_noise) * s.c_out as f32
}

#[test]
fn elucidated_preconditioning() {
    let (golden, device) = (Golden::read("edm_precond"), Device::flex());
    let process = Process::Elucidated(Elucidated::default());
    let levels: Vec<Level> =
        golden.values("in.sigma").0.iter().map(|&s| Level::variance_exploding(f64::from(s))).collect();
    let each = |f: &dyn Fn(Level) -> f64| levels.iter().map(|&level| f(level) as f32).collect::<Vec<_>>();
    golden.check_values("c_skip", &each(&|level| process.scalings(level).c_skip));
    golden.check_values("c_out", &each(&|level| process.scalings(level).c_out));
    golden.check_values("c_in", &each(&|level| process.scalings(level).c_in));
    golden.check_values("c_noise", &each(&|level| process.scalings(level).c_noise));
    // The reference's lambda weighs the error of the estimate, ours that of the output, which is smaller by c_out.
    let lambda = |level| Weighting::default().weight(&process, level) / process.scalings(level).c_out.powi(2);
    golden.check_values("loss_weight", &each(&lambda));

    let x: Tensor<4> = golden.input("x", &device);
    let estimate = |(i, &level): (usize, &Level)| elucidated_estimate(row(&x, i) * (level.sigma + 1.0) as f32, level);
    let denoised = Tensor::cat(levels.iter().enumerate().map(estimate).collect(), 0);
    golden.check("denoised", denoised.clone());
    golden.check("denoised_clamped", Threshold::Static.apply(denoised));
}

#[track_caller]
fn check_heun(case: &str, s_churn: f64, quantile: Option<f64>) {
    let (golden, device) = (Golden::read(case), Device::flex());
    let levels = Process::Elucidated(Elucidated::default()).sampling_levels(8);
    let amount = Churn { s_churn, ..Churn::default() }.amount(8);
    let noises: Tensor<5> = golden.input("noises", &device);
    let mut x: Tensor<4> = golden.input("start", &device) * levels[0].sigma as f32;
    let last = RefCell::new(Vec::new());
    let denoiser = |x_t: Tensor<4>, level: Level| {
        let x0_hat = reference_threshold(elucidated_estimate(x_t, level), quantile);
        last.replace(vec(x0_hat.clone()));
        x0_hat
    };
    let (mut states, mut cleans) = (Vec::new(), Vec::new());
    for (i, pair) in levels.windows(2).enumerate() {
        let shape = x.dims();
        let mut noise = || noises.clone().slice([i..i + 1]).reshape(shape);
        x = heun::step(&denoiser, x, [pair[0], pair[1]], amount, &mut noise).2;
        states.extend(vec(x.clone()));
        cleans.extend(last.take());
    }
    golden.check_values("states", &states);
    golden.check_values("cleans", &cleans);
    golden.check("x0", x.clamp(-1.0, 1.0));
}

#[test]
fn heun_sampling() {
    check_heun("edm_heun", 80.0, None);
    check_heun("edm_heun_dynamic", 2.0, Some(0.95));
}

/// Our quantile is the upper neighbour of the reference's, which interpolates.
#[test]
fn dynamic_thresholding() {
    let (golden, device) = (Golden::read("dynamic_threshold"), Device::flex());
    let x: Tensor<2> = golden.input("x", &device);
    let got: Vec<f32> = abs_quantile(x.clone(), 0.95).into_data().try_into_vec().unwrap();
    let y = vec(Threshold::Dynamic { quantile: 0.95, most: None }.apply(x.clone().reshape([3, 1, 1, 192])));
    let (want_y, _) = golden.values("out.y");
    let (want, _) = golden.values("out.quantile");
    let rows: Vec<f32> = x.into_data().try_into_vec().unwrap();
    for (i, row) in rows.chunks(192).enumerate() {
        let (below, above, share) = neighbours(row, 0.95);
        let interpolated = below + (above - below) * share;
        assert!((interpolated - want[i]).abs() < 1e-6 * want[i], "row {i}: {interpolated}, not {}", want[i]);
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!((got[i] - above).abs() <= largest * 2e-6, "row {i}: {}, not {above}", got[i]);
        // y = clamp(x, ±s) / s changes by at most the relative change of s.
        let change = (above / want[i] - 1.0).max(0.0) + 1e-5;
        let part = i * 192..(i + 1) * 192;
        golden.close("y", &y[part.clone()], &want_y[part], f64::from(change));
    }
}
