//! Samplers on data of which the perfect denoiser and the exact trajectory are known.

use burn::tensor::{Device, Tensor, TensorData};

use super::heun::{self, Churn};
use super::{Sampler, SamplerKind, ancestral, ddim, dpm};
use crate::diffusion::{Denoiser, Elucidated, Level, LogSnrSchedule, Objective, Process};
use crate::noise::{Purpose, Stream};

/// Pictures whose values are normal with this mean and standard deviation.
const MEAN: f64 = 0.3;
const STD: f64 = 0.5;

/// The perfect denoiser: `E[x0 | x_t]`.
struct Ideal;

impl Denoiser for Ideal {
    fn denoise(&self, x_t: Tensor<4>, Level { alpha, sigma }: Level) -> Tensor<4> {
        let gain = alpha * STD * STD / (alpha * alpha * STD * STD + sigma * sigma);
        (x_t - (alpha * MEAN) as f32) * gain as f32 + MEAN as f32
    }
}

/// Standard deviation of `x_t`.
fn spread(Level { alpha, sigma }: Level) -> f64 {
    (alpha * alpha * STD * STD + sigma * sigma).sqrt()
}

/// Where the probability flow takes `x` from one level to another: its standard score stays.
fn exact(x: f64, from: Level, to: Level) -> f64 {
    to.alpha * MEAN + (x - from.alpha * MEAN) / spread(from) * spread(to)
}

fn tensor(values: &[f32]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, 1, values.len()]), &Device::flex())
}

fn values(t: Tensor<4>) -> Vec<f32> {
    t.into_data().try_to_vec().unwrap()
}

/// Levels of both processes at equal steps of log-SNR; the ends leave single precision room for the error.
fn levels(exploding: bool, steps: usize) -> Vec<Level> {
    (0..=steps)
        .map(|i| {
            let log_snr = -5.0 + 9.0 * i as f64 / steps as f64;
            if exploding {
                Level::variance_exploding((-log_snr / 2.0).exp())
            } else {
                Level::variance_preserving(log_snr)
            }
        })
        .collect()
}

/// The error at the last level after `steps` deterministic steps from one value.
fn error(kind: SamplerKind, exploding: bool, steps: usize) -> f64 {
    let levels = levels(exploding, steps);
    let start = 1.7 * spread(levels[0]);
    let mut x = tensor(&[start as f32]);
    let mut last = None;
    for pair in levels.windows(2) {
        let pair = [pair[0], pair[1]];
        let x0_hat = Ideal.denoise(x.clone(), pair[0]);
        x = match kind {
            SamplerKind::Ddim { eta } => ddim::step(x, x0_hat, pair, eta, None),
            SamplerKind::DpmSolver2m => {
                let before = last.replace((pair[0], x0_hat.clone()));
                dpm::step(x, x0_hat, pair, before)
            }
            SamplerKind::Heun(churn) => heun::step(&Ideal, x, pair, churn.amount(steps), &mut || unreachable!()).2,
            SamplerKind::Ddpm => unreachable!("not deterministic"),
        };
    }
    let want = exact(f64::from(start as f32), levels[0], levels[steps]);
    (f64::from(values(x)[0]) - want).abs()
}

#[track_caller]
fn check_order(kind: SamplerKind, order: i32) {
    for exploding in [false, true] {
        let (coarse, fine) = (error(kind, exploding, 40), error(kind, exploding, 80));
        let (low, high) = (0.75 * 2f64.powi(order), 1.6 * 2f64.powi(order));
        let ratio = coarse / fine;
        assert!((low..high).contains(&ratio), "{kind:?}, exploding {exploding}: {coarse:e} to {fine:e}, {ratio}");
    }
}

#[test]
fn ddim_converges_with_first_order() {
    check_order(SamplerKind::Ddim { eta: 0.0 }, 1);
}

#[test]
fn dpm_solver_converges_with_second_order() {
    check_order(SamplerKind::DpmSolver2m, 2);
}

#[test]
fn heun_converges_with_second_order() {
    check_order(SamplerKind::Heun(Churn::default()), 2);
}

/// The error of the variance at the last level after `steps` steps, by the moments of one step after the other: with
/// the perfect denoiser a step is `x_to = a + k x + n z`, so no picture has to be drawn.
fn variance_error(kind: SamplerKind, exploding: bool, steps: usize) -> f64 {
    let levels = levels(exploding, steps);
    let (mut mean, mut variance) = (levels[0].alpha * MEAN, spread(levels[0]).powi(2));
    for pair in levels.windows(2) {
        let pair = [pair[0], pair[1]];
        let (x, z) = (tensor(&[0.0, 1.0, 0.0]), tensor(&[0.0, 0.0, 1.0]));
        let estimate = || Ideal.denoise(x.clone(), pair[0]);
        let next = match kind {
            SamplerKind::Ddpm => ancestral::step(x.clone(), estimate(), pair, Some(z)),
            SamplerKind::Ddim { eta } => ddim::step(x.clone(), estimate(), pair, eta, Some(z)),
            SamplerKind::Heun(churn) => heun::step(&Ideal, x.clone(), pair, churn.amount(steps), &mut || z.clone()).2,
            SamplerKind::DpmSolver2m => unreachable!("it adds no noise"),
        };
        let next: Vec<f64> = values(next).into_iter().map(f64::from).collect();
        let (k, n) = (next[1] - next[0], next[2] - next[0]);
        mean = next[0] + k * mean;
        variance = k * k * variance + n * n;
    }
    let last = levels[steps];
    assert!((mean - last.alpha * MEAN).abs() < 1e-4, "{kind:?}: mean {mean}");
    (variance - spread(last).powi(2)).abs()
}

#[test]
fn noise_on_the_way_converges_as_it_should() {
    let churn = Churn { s_churn: 5.0, s_tmin: 0.0, s_tmax: 1e9, s_noise: 1.0 };
    for (kind, order) in [(SamplerKind::Ddpm, 1), (SamplerKind::Ddim { eta: 0.5 }, 1), (SamplerKind::Heun(churn), 2)] {
        for exploding in [false, true] {
            let (coarse, fine) = (variance_error(kind, exploding, 40), variance_error(kind, exploding, 80));
            let ratio = coarse / fine;
            let (low, high) = (0.9 * 2f64.powi(order), 1.1 * 2f64.powi(order));
            assert!((low..high).contains(&ratio), "{kind:?}, exploding {exploding}: {coarse:e} to {fine:e}");
        }
    }
}

#[test]
fn ddim_with_eta_one_is_ancestral_sampling() {
    let mut stream = Stream::new(1, Purpose::Evaluation, 0);
    for exploding in [false, true] {
        let levels = levels(exploding, 7);
        for pair in levels.windows(2) {
            let pair = [pair[0], pair[1]];
            let [x, x0, z] = [0; 3].map(|_| tensor(&stream.normals(5)));
            let a = values(ancestral::step(x.clone(), x0.clone(), pair, Some(z.clone())));
            let b = values(ddim::step(x, x0, pair, 1.0, Some(z)));
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a} and {b}");
            }
        }
    }
}

/// Samples of a test.
const MANY: usize = 20_000;

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (ma, mb) = (mean(a), mean(b));
    mean(&a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).collect::<Vec<_>>())
}

/// Many samples, and the level at which they stand. The last estimate is a conditional mean and a little narrower, so
/// this is the state before it, divided by alpha.
fn nearly(mut sampler: Sampler, stream: &mut Stream) -> (Vec<f64>, Level) {
    while sampler.done + 1 < sampler.total() {
        sampler.step(&Ideal, &mut |_| tensor(&stream.normals(MANY)));
    }
    let level = sampler.levels[sampler.done];
    (values(sampler.x_t.clone()).iter().map(|&v| f64::from(v) / level.alpha).collect(), level)
}

/// Mean and standard deviation of many samples.
fn moments(kind: SamplerKind, process: &Process, steps: usize) -> (f64, f64) {
    let mut stream = Stream::new(2, Purpose::Evaluation, 0);
    let sampler = Sampler::new(kind, kind.levels(process, steps), tensor(&stream.normals(MANY)));
    let (x, level) = nearly(sampler, &mut stream);
    (mean(&x), (covariance(&x, &x) - level.sigma_edm().powi(2)).sqrt())
}

#[test]
fn every_sampler_draws_from_the_data() {
    let gaussian = Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective: Objective::V };
    let linear = Process::Gaussian { schedule: LogSnrSchedule::Linear, objective: Objective::V };
    let edm = Process::Elucidated(Elucidated::default());
    let churn = Churn { s_churn: 20.0, s_noise: 1.0, ..Churn::default() };
    for process in [gaussian, linear, edm] {
        for (kind, steps) in [
            (SamplerKind::Ddpm, 150),
            (SamplerKind::Ddim { eta: 0.5 }, 100),
            (SamplerKind::DpmSolver2m, 40),
            (SamplerKind::Heun(Churn::default()), 40),
            (SamplerKind::Heun(churn), 60),
        ] {
            let (mean, std) = moments(kind, &process, steps);
            assert!((mean - MEAN).abs() < 0.02, "{kind:?} {process:?}: mean {mean}");
            assert!((std - STD).abs() < 0.03, "{kind:?} {process:?}: standard deviation {std}");
        }
    }
}

/// From pictures of the data come pictures of the data, as like the first ones as the noise between them leaves them.
#[test]
fn every_strength_keeps_the_data() {
    let gaussian = Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective: Objective::V };
    let samplers = [
        (SamplerKind::Ddpm, 150),
        (SamplerKind::Ddim { eta: 0.5 }, 100),
        (SamplerKind::DpmSolver2m, 40),
        (SamplerKind::Heun(Churn::default()), 40),
    ];
    for process in [gaussian, Process::Elucidated(Elucidated::default())] {
        for ((kind, steps), strength) in samplers.into_iter().flat_map(|sampler| [(sampler, 0.3f64), (sampler, 0.7)]) {
            let mut stream = Stream::new(6, Purpose::Evaluation, 0);
            let x0: Vec<f32> = stream.normals(MANY).iter().map(|v| MEAN as f32 + STD as f32 * v).collect();
            let (levels, left) = (kind.levels(&process, steps), (strength * steps as f64).round() as usize);
            let eps = tensor(&stream.normals(MANY));
            let sampler = Sampler::from_picture(kind, &levels, strength, tensor(&x0), eps);
            assert_eq!(sampler.total(), left);
            let (x, end) = nearly(sampler, &mut stream);
            let std = (covariance(&x, &x) - end.sigma_edm().powi(2)).sqrt();
            assert!((mean(&x) - MEAN).abs() < 0.02, "{kind:?} {process:?} {strength}: mean {}", mean(&x));
            assert!((std - STD).abs() < 0.03, "{kind:?} {process:?} {strength}: standard deviation {std}");
            if matches!(kind, SamplerKind::DpmSolver2m | SamplerKind::Heun(_)) {
                let start = levels[steps - left];
                let slope = (exact(1.0, start, end) - exact(0.0, start, end)) / end.alpha;
                let want = start.alpha * STD * STD * slope;
                let before: Vec<f64> = x0.iter().map(|&v| f64::from(v)).collect();
                let got = covariance(&before, &x);
                assert!((got - want).abs() < 0.012, "{kind:?} {process:?} {strength}: {got}, not {want}");
            }
        }
    }
}

/// At full strength the picture is as much as other noise: what the first level keeps of it.
#[test]
fn at_full_strength_all_begins_with_noise() {
    let mut stream = Stream::new(7, Purpose::Evaluation, 0);
    for exploding in [false, true] {
        for name in SamplerKind::NAMES {
            let kind = SamplerKind::from_name(name).unwrap();
            let levels = levels(exploding, 12);
            let [x0, eps] = [0; 2].map(|_| stream.normals(6));
            let fresh: Vec<Vec<f32>> = (0..=12).map(|_| stream.normals(6)).collect();
            let walked = |mut sampler: Sampler| {
                assert_eq!(sampler.total(), 12);
                while sampler.step(&Ideal, &mut |i: usize| tensor(&fresh[i])).is_some() {}
                values(sampler.x_t().clone())
            };
            let from_picture = |x0: &[f32]| Sampler::from_picture(kind, &levels, 1.0, tensor(x0), tensor(&eps));
            let plain = walked(Sampler::new(kind, levels.clone(), tensor(&eps)));
            assert_eq!(walked(from_picture(&[0.0; 6])), plain, "{name}: a picture of nothing");
            let share = (levels[0].alpha / levels[0].sigma) as f32;
            let noise: Vec<f32> = eps.iter().zip(&x0).map(|(e, x)| e + share * x).collect();
            let (a, b) = (walked(from_picture(&x0)), walked(Sampler::new(kind, levels.clone(), tensor(&noise))));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{name}: {a:?} and {b:?}");
            let shifted = a.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-3);
            assert!(shifted || kind != SamplerKind::DpmSolver2m, "{name}: the first level keeps some of the picture");
        }
    }
}

#[test]
fn at_hardly_any_strength_the_picture_stays() {
    let gaussian = Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective: Objective::V };
    let (x0, eps) = ([-0.6, 0.0, 0.3, 1.2], [0.5, -1.0, 1.0, 0.2]);
    for process in [gaussian, Process::Elucidated(Elucidated::default())] {
        for name in SamplerKind::NAMES {
            let kind = SamplerKind::from_name(name).unwrap();
            let levels = kind.levels(&process, 50);
            let mut sampler = Sampler::from_picture(kind, &levels, 1e-9, tensor(&x0), tensor(&eps));
            let mut noise = |_: usize| tensor(&[0.0; 4]);
            let step = sampler.step(&Ideal, &mut noise).unwrap();
            assert_eq!((step.done, step.total, step.level), (1, 1, levels[49]), "{name}");
            assert!(sampler.step(&Ideal, &mut noise).is_none());
            let sigma = levels[49].sigma_edm();
            // The estimate goes a little to the mean, by the share of the noise in the variance.
            let room = sigma + (sigma / STD).powi(2) + 1e-5;
            for (before, after) in x0.iter().zip(values(sampler.x_t().clone())) {
                let off = f64::from((after - before).abs());
                assert!(sigma < 0.1 && off < room, "{name} {process:?}: {before} became {after}");
            }
        }
    }
}

#[test]
fn a_run_ends_on_its_last_estimate() {
    let gaussian = Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective: Objective::V };
    let edm = Process::Elucidated(Elucidated::default());
    for name in SamplerKind::NAMES {
        let kind = SamplerKind::from_name(name).unwrap();
        assert_eq!(kind.name(), name);
        for (process, steps) in [(gaussian, 1), (gaussian, 3), (edm, 1), (edm, 3)] {
            let calls = std::cell::Cell::new(0);
            let counted = |x: Tensor<4>, level: Level| {
                calls.set(calls.get() + 1);
                Ideal.denoise(x, level)
            };
            let levels = kind.levels(&process, steps);
            assert_eq!(levels.len(), steps + 1);
            let mut sampler = Sampler::new(kind, levels, tensor(&[0.3, -1.2]));
            let mut last = None;
            while let Some(step) = sampler.step(&counted, &mut |_| tensor(&[0.1, 0.2])) {
                last = Some(step);
            }
            let last = last.unwrap();
            assert_eq!((last.done, last.total), (steps, steps));
            // Heun's last step is Euler's, so no estimate is made in vain.
            assert_eq!(calls.get(), if name == "heun" { 2 * steps - 1 } else { steps }, "{name}");
            for (estimate, end) in values(last.x0_hat).iter().zip(values(sampler.x_t().clone())) {
                let room = if process == edm { 1e-4 } else { 0.0 };
                assert!((estimate - end).abs() <= room, "{name}: {estimate} and {end}");
            }
        }
    }
    assert!(SamplerKind::from_name("euler").unwrap_err().contains("dpm++2m"));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let churn = |change: fn(&mut Churn)| {
        let mut churn = Churn::default();
        change(&mut churn);
        SamplerKind::Heun(churn)
    };
    for (kind, words) in [
        (SamplerKind::Ddim { eta: -1.0 }, "ddim.eta is -1"),
        (SamplerKind::Ddim { eta: 1.5 }, "ddim.eta is 1.5"),
        (SamplerKind::Ddim { eta: f64::NAN }, "ddim.eta is NaN"),
        (churn(|c| c.s_churn = -1.0), "heun.s_churn is -1"),
        (churn(|c| c.s_tmin = f64::NAN), "heun.s_tmin is NaN"),
        (churn(|c| c.s_noise = -1.0), "heun.s_noise is -1"),
        (churn(|c| c.s_noise = 1e9), "heun.s_noise is 1000000000"),
    ] {
        let error = kind.validate().unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    for name in SamplerKind::NAMES {
        assert_eq!(SamplerKind::from_name(name).unwrap().validate(), Ok(()));
    }
    let dynamic = |quantile| crate::diffusion::Threshold::Dynamic { quantile, most: None }.validate();
    assert!(dynamic(0.95).is_ok());
    for quantile in [95.0, 1.0, 0.0, -0.5, f64::NAN] {
        assert!(dynamic(quantile).unwrap_err().contains(&format!("quantile is {quantile}")));
    }
}
