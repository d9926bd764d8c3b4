//! Painting pixels whose distribution, given what is known, is known itself.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Known, Move, Resampling};
use crate::diffusion::sampler::{Churn, Sampler};
use crate::diffusion::{Denoiser, Elucidated, Level, LogSnrSchedule, Objective, Process, SamplerKind};
use crate::noise::{Purpose, Stream};

/// Pictures are two pixels of mean 0, this standard deviation and this correlation.
const STD: f64 = 0.5;
const CORRELATION: f64 = 0.8;
const PICTURES: usize = 20_000;

fn tensor(values: Vec<f32>) -> Tensor<4> {
    let n = values.len() / 2;
    Tensor::from_data(TensorData::new(values, [n, 1, 1, 2]), &Device::flex())
}

fn columns(t: Tensor<4>) -> [Vec<f64>; 2] {
    let values: Vec<f32> = t.into_data().try_to_vec().unwrap();
    [0, 1].map(|c| values.iter().skip(c).step_by(2).map(|&v| f64::from(v)).collect())
}

/// `E[x0 | x_t]` for pixels of a correlation: their sum and their difference are independent.
struct Ideal(f64);

impl Denoiser for Ideal {
    fn denoise(&self, x_t: Tensor<4>, Level { alpha, sigma }: Level) -> Tensor<4> {
        let gain = |variance: f64| (alpha * variance / (alpha * alpha * variance + sigma * sigma)) as f32;
        let (sum, difference) = (gain(STD * STD * (1.0 + self.0)), gain(STD * STD * (1.0 - self.0)));
        let other = x_t.clone().flip([3]);
        (x_t.clone() + other.clone()) * (0.5 * sum) + (x_t - other) * (0.5 * difference)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (ma, mb) = (mean(a), mean(b));
    mean(&a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).collect::<Vec<_>>())
}

/// Pictures of which the first pixel is known.
fn known(stream: &mut Stream) -> Known {
    let values = (0..PICTURES).flat_map(|_| [stream.normal() * STD as f32, 0.0]).collect();
    Known { x0: tensor(values), keep: tensor([1.0, 0.0].repeat(PICTURES)) }
}

fn processes() -> [Process; 2] {
    let gaussian = Process::Gaussian { schedule: LogSnrSchedule::Cosine, objective: Objective::V };
    [gaussian, Process::Elucidated(Elucidated::default())]
}

fn samplers() -> [(SamplerKind, usize); 4] {
    let churn = Churn { s_churn: 10.0, s_noise: 1.0, ..Churn::default() };
    [
        (SamplerKind::Ddpm, 100),
        (SamplerKind::Ddim { eta: 0.0 }, 100),
        (SamplerKind::DpmSolver2m, 40),
        (SamplerKind::Heun(churn), 40),
    ]
}

/// The painted pixel given the known one: regression, and variance of what is left.
fn painted(kind: SamplerKind, process: &Process, steps: usize, resampling: Resampling) -> (f64, f64) {
    let mut stream = Stream::new(4, Purpose::Evaluation, 0);
    let known = known(&mut stream);
    let [a, _] = columns(known.x0.clone());
    let mut eps = move |_| tensor(stream.normals(2 * PICTURES));
    let mut sampler = Sampler::new(kind, kind.levels(process, steps), eps(0)).painting(known, resampling);
    while sampler.step(&Ideal(CORRELATION), &mut eps).is_some() {}
    let [kept, b] = columns(sampler.x_t().clone());
    assert_eq!(kept, a, "what is known stays, to the bit");
    let slope = covariance(&a, &b) / covariance(&a, &a);
    (slope, covariance(&b, &b) - slope * slope * covariance(&a, &a))
}

#[test]
fn a_network_is_told_what_is_known_and_where() {
    let known = Known { x0: tensor(vec![0.5, f32::NAN]), keep: tensor(vec![1.0, 0.0]) };
    let told = known.told();
    assert_eq!(told.dims(), [1, 2, 1, 2]);
    assert_eq!(told.into_data().try_to_vec::<f32>().unwrap(), [0.5, 0.0, 1.0, 0.0]);
}

#[test]
fn the_way_back_has_the_marginal_of_its_level() {
    for process in processes() {
        let levels = process.sampling_levels(30);
        for (from, to) in [(20, 19), (20, 3), (29, 0), (30, 12)] {
            let (from, to) = (levels[from], levels[to]);
            // A picture of one value, then noise of one: the coefficients of both.
            let one = |a: f32, b: f32| tensor(vec![a, b]);
            let spread = |level: Level| (level.alpha * STD).powi(2) + level.sigma.powi(2);
            let [[picture], [noise]] = columns(from.renoise(to, one(1.0, 0.0), one(0.0, 1.0))).map(|c| [c[0]]);
            let variance = picture * picture * spread(from) + noise * noise;
            assert!((variance / spread(to) - 1.0).abs() < 1e-5, "{from:?} to {to:?}: {variance}");
        }
    }
}

/// The widest error of a pixel's standard deviation on the way, against the closed form; nothing is known or one is.
fn widest_error(kind: SamplerKind, process: &Process, steps: usize, correlation: f64, paints: bool) -> f64 {
    let mut stream = Stream::new(5, Purpose::Evaluation, 0);
    let known = known(&mut stream);
    let mut eps = move |_| tensor(stream.normals(2 * PICTURES));
    let (levels, resampling) = (kind.levels(process, steps), Resampling { jump: 8, repeats: 3 });
    let mut sampler = Sampler::new(kind, levels, eps(0));
    if paints {
        sampler = sampler.painting(known, resampling);
    }
    let mut widest = 0f64;
    while sampler.step(&Ideal(correlation), &mut eps).is_some() {
        let Level { alpha, sigma } = sampler.level();
        // A last estimate is narrower than the data.
        if sigma >= 0.05 {
            let want = ((alpha * STD).powi(2) + sigma * sigma).sqrt();
            let errors = columns(sampler.x_t().clone()).map(|x| (covariance(&x, &x).sqrt() / want - 1.0).abs());
            widest = errors.into_iter().fold(widest, f64::max);
        }
    }
    widest
}

#[test]
fn every_level_has_its_marginal() {
    for process in processes() {
        for (kind, steps) in samplers() {
            // A sampler of so many steps has an error of its own.
            let of = |correlation, paints| widest_error(kind, &process, steps, correlation, paints);
            let (own, error) = (of(0.0, false), of(0.0, true));
            assert!(error < own + 0.05, "{kind:?}, {process:?}: {error}, {own} without a picture");
            // What is painted learns of what is known only by and by, and is a little narrower until then.
            let error = of(CORRELATION, true);
            assert!(error < 0.16, "{kind:?}, {process:?}, correlated: {error}, {own} without a picture");
        }
    }
}

#[test]
fn turning_back_makes_the_painted_agree_with_the_known() {
    let variance = STD * STD * (1.0 - CORRELATION * CORRELATION);
    for process in processes() {
        for (kind, steps) in samplers() {
            let (once, _) = painted(kind, &process, steps, Resampling::QUICK);
            let (often, left) = painted(kind, &process, steps, Resampling::THOROUGH);
            let off = |slope: f64| (slope - CORRELATION).abs();
            assert!(off(often) < 0.7 * off(once) + 0.01 && off(often) < 0.2, "{kind:?}, {process:?}: {once}, {often}");
            assert!((left / variance - 1.0).abs() < 0.5, "{kind:?}, {process:?}: {left} not {variance}");
        }
    }
}

#[test]
fn the_walk_is_the_papers() {
    use Move::{Back, Step};
    assert_eq!(Resampling::QUICK.moves(3), [Step; 3]);
    let twice = Resampling { jump: 2, repeats: 2 };
    // Five steps: after the third two are left, and back; after the last none is left, and back.
    assert_eq!(twice.moves(5), [Step, Step, Step, Back(2), Step, Step, Step, Step, Back(2), Step, Step]);
    for (resampling, steps) in [(Resampling::BALANCED, 18), (Resampling::THOROUGH, 32), (twice, 1), (twice, 2)] {
        let moves = resampling.moves(steps);
        let end = moves.iter().fold(0isize, |at, m| match m {
            Step => at + 1,
            Back(n) => at - *n as isize,
        });
        assert_eq!(end, steps as isize);
        assert_eq!(moves.back(), Some(&Step));
        assert_eq!(resampling.steps(steps), moves.iter().filter(|m| **m == Step).count());
    }
    assert_eq!(Resampling::from_name("thorough"), Ok(Resampling::THOROUGH));
    assert!(Resampling::from_name("slow").unwrap_err().contains("quick, balanced, thorough"));
    assert!(Resampling { jump: 0, repeats: 1 }.validate().unwrap_err().contains("jump is 0"));
}
