//! The optimiser: AdamW or Muon, the learning rate, and clipping by the global norm.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::muon::{Matrix, orthogonalize};
use super::params::Flat;

/// What a gradient becomes before it is a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// AdamW (<https://arxiv.org/abs/1711.05101>) for all parameters.
    #[default]
    Adamw,
    /// Muon (<https://kellerjordan.github.io/posts/muon/>) for matrices and convolutions between the first and the last
    /// layer, AdamW for the rest, both at one learning rate.
    Muon,
}

/// An optimiser under a warm-up and a cosine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    /// What a gradient becomes before it is a step.
    pub method: Method,
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The share of it at which the text encoder is trained with the first stage. T5's attention has no scale, so that
    /// at a network's own rate it soon looks at single tokens, deaf to their order. At 0 it is left out of the work.
    pub text_share: f64,
    /// The share of it that is left at the end.
    pub final_share: f64,
    /// Steps until the learning rate is reached.
    pub warmup: u64,
    /// Decay of Muon's mean of gradients.
    pub momentum: f64,
    /// Decay of AdamW's mean of gradients.
    pub beta1: f64,
    /// Decay of AdamW's mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Share of a parameter that is lost at learning rate 1; matrices and convolutions only.
    pub weight_decay: f64,
    /// Gradients of a greater global norm are shortened to it.
    pub clip_norm: f64,
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self {
            method: Method::Adamw,
            learning_rate: 1e-3,
            text_share: 1.0,
            final_share: 0.02,
            warmup: 200,
            momentum: 0.95,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.01,
            clip_norm: 1.0,
        }
    }
}

impl OptimConfig {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [("learning_rate", self.learning_rate), ("eps", self.eps), ("clip_norm", self.clip_norm)];
        if let Some((key, value)) = positive.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
            return Err(format!("{key} is {value}; it must be above 0"));
        }
        let shares = [("momentum", self.momentum), ("beta1", self.beta1), ("beta2", self.beta2)];
        if let Some((key, value)) = shares.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Err(format!("{key} is {value}; it must be at least 0 and below 1"));
        }
        let rest =
            [("text_share", self.text_share), ("final_share", self.final_share), ("weight_decay", self.weight_decay)];
        match rest.iter().find(|(_, v)| !(*v >= 0.0 && v.is_finite())) {
            Some((key, value)) => Err(format!("{key} is {value}; it must be at least 0")),
            None => Ok(()),
        }
    }

    /// The learning rate of `step`, from 0, in a run of `total` steps: a line up, a half cosine down.
    #[must_use]
    pub fn rate(&self, step: u64, total: u64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let rest = total.saturating_sub(self.warmup).max(1) as f64;
        let way = (step.saturating_sub(self.warmup) as f64 / rest).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * way).cos());
        self.learning_rate * warm * (self.final_share + (1.0 - self.final_share) * cosine)
    }
}

/// How one parameter is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What a step is.
    pub step: Step,
    /// Whether it is part of the text encoder, which has a share of the learning rate.
    pub text: bool,
}

/// What a step of one parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// By AdamW, with or without decay.
    Adamw {
        /// Whether it loses weight.
        decays: bool,
    },
    /// By Muon, with decay.
    Muon(Matrix),
}

/// The moments of the parameters, and how each is stepped.
#[derive(Debug, Clone)]
pub struct Optimizer {
    /// Steps taken.
    pub steps: u64,
    /// Means of gradients.
    pub mean: Flat,
    /// Means of squared gradients; zeros under Muon.
    pub square: Flat,
    rules: Vec<Rule>,
}

impl Optimizer {
    /// Zero moments for `params`, one rule for each.
    #[must_use]
    pub fn new(params: &Flat, rules: Vec<Rule>) -> Self {
        let zeros = || params.iter().map(Tensor::zeros_like).collect();
        Self { steps: 0, mean: zeros(), square: zeros(), rules }
    }

    /// One step at learning rate `rate`; `grads` are used up.
    ///
    /// # Shapes
    /// - params, grads, output: the flat parameters, in one order
    #[must_use]
    pub fn step(&mut self, config: &OptimConfig, rate: f64, params: Flat, grads: Flat) -> Flat {
        self.steps += 1;
        let mut directions = self.directions(config, grads);
        let matrices: Vec<_> = self.rules.iter().map(Rule::matrix).collect();
        orthogonalize(&mut directions, &matrices);
        let step = |((param, direction), rule): ((Tensor<1>, Tensor<1>), &Rule)| {
            let rate = if rule.text { rate * config.text_share } else { rate };
            let keep = if rule.decays() { 1.0 - rate * config.weight_decay } else { 1.0 };
            let param = if keep < 1.0 { param * keep as f32 } else { param };
            param - direction * rate as f32
        };
        params.into_iter().zip(directions).zip(&self.rules).map(step).collect()
    }

    /// Takes the gradients into the moments. Returns AdamW's steps at learning rate 1, and Muon's before they are made
    /// orthogonal.
    fn directions(&mut self, config: &OptimConfig, grads: Flat) -> Flat {
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (b1, b2) = (config.beta1, config.beta2);
        let root = (1.0 - b2.powi(power)).sqrt();
        let length = 1.0 / (1.0 - b1.powi(power));
        // Taken out and put back, so that no tensor has a second owner and arithmetic can reuse its memory.
        let moments = std::mem::take(&mut self.mean).into_iter().zip(std::mem::take(&mut self.square));
        let mut directions = Vec::with_capacity(grads.len());
        for ((grad, (mean, square)), rule) in grads.into_iter().zip(moments).zip(&self.rules) {
            let momentum = if rule.matrix().is_some() { config.momentum } else { b1 };
            let mean = mean * momentum as f32 + grad.clone() * (1.0 - momentum) as f32;
            let (direction, square) = match rule.step {
                Step::Adamw { .. } => {
                    let square = square * b2 as f32 + grad.clone() * grad * (1.0 - b2) as f32;
                    let size = square.clone().sqrt() * (1.0 / root) as f32 + config.eps as f32;
                    (mean.clone() / size * length as f32, square)
                }
                // Nesterov's look ahead.
                Step::Muon(_) => (mean.clone() * momentum as f32 + grad * (1.0 - momentum) as f32, square),
            };
            directions.push(direction);
            self.mean.push(mean);
            self.square.push(square);
        }
        directions
    }
}

impl Rule {
    fn decays(&self) -> bool {
        self.step != Step::Adamw { decays: false }
    }

    fn matrix(&self) -> Option<Matrix> {
        match self.step {
            Step::Muon(matrix) => Some(matrix),
            Step::Adamw { .. } => None,
        }
    }
}

/// The gradients, shortened to a global norm of at most `max`, and the norm before, which stays on the device: nothing
/// here waits for it.
///
/// # Shapes
/// - output: the flat gradients, and `[1]`
#[must_use]
pub fn clip(grads: Flat, max: f64) -> (Flat, Tensor<1>) {
    let squares = grads.iter().map(|grad| (grad.clone() * grad.clone()).sum()).collect();
    let norm = Tensor::cat(squares, 0).sum().sqrt();
    let factor = (norm.clone() + 1e-6).recip().mul_scalar(max as f32).clamp_max(1.0);
    (grads.into_iter().map(|grad| grad * factor.clone()).collect(), norm)
}

#[cfg(test)]
mod tests {
    use super::{Matrix, Method, OptimConfig, Optimizer, Rule, Step, clip};
    use crate::testing::{Golden, close};
    use burn::tensor::Tensor;

    fn network(step: Step) -> Rule {
        Rule { step, text: false }
    }

    #[test]
    fn the_text_encoder_goes_at_its_share() {
        let config = OptimConfig { text_share: 0.25, weight_decay: 0.5, ..OptimConfig::default() };
        let device = burn::tensor::Device::flex();
        let start = Tensor::<1>::from_data([1.0f32, -2.0, 3.0], &device);
        let grad = Tensor::<1>::from_data([0.5f32, 0.1, -0.3], &device);
        let stepped = |text, rate| {
            let rule = Rule { step: Step::Adamw { decays: true }, text };
            let mut optimizer = Optimizer::new(&vec![start.clone()], vec![rule]);
            optimizer.step(&config, rate, vec![start.clone()], vec![grad.clone()]).remove(0)
        };
        close(&stepped(true, 0.4), &stepped(false, 0.1), 0.0);
    }

    #[test]
    fn adamw_takes_the_steps_of_torch() {
        let golden = Golden::read("adamw");
        let config = OptimConfig { learning_rate: 1e-2, weight_decay: 0.01, ..OptimConfig::default() };
        let mut params = vec![golden.flat("in.start")];
        let mut adamw = Optimizer::new(&params, vec![network(Step::Adamw { decays: true })]);
        for step in 0..5 {
            params = adamw.step(&config, 1e-2, params, vec![golden.row("in.grads", step)]);
            close(&params[0], &golden.row("out.params", step), 1e-6);
        }
        close(&adamw.mean[0], &golden.flat("out.exp_avg"), 1e-6);
        close(&adamw.square[0], &golden.flat("out.exp_avg_sq"), 1e-6);
    }

    #[test]
    fn muon_takes_the_steps_of_torch() {
        let golden = Golden::read("muon");
        let config = OptimConfig { method: Method::Muon, weight_decay: 0.1, ..OptimConfig::default() };
        let mut params = vec![golden.flat("in.start")];
        let mut muon = Optimizer::new(&params, vec![network(Step::Muon(Matrix { rows: 4, cols: 6 }))]);
        for step in 0..4 {
            params = muon.step(&config, 1e-2, params, vec![golden.row("in.grads", step)]);
            close(&params[0], &golden.row("out.params", step), 2e-6);
        }
        close(&muon.mean[0], &golden.flat("out.momentum"), 1e-6);
    }

    #[test]
    fn clipping_is_that_of_torch() {
        let golden = Golden::read("clip_grad_norm");
        for max in [1, 100] {
            let grads = ["a", "b", "c"].map(|name| golden.flat(&format!("in.{name}"))).to_vec();
            let (clipped, norm) = clip(grads, f64::from(max));
            close(&norm, &golden.flat(&format!("out.norm_{max}")), 1e-5);
            for (name, got) in ["a", "b", "c"].iter().zip(clipped) {
                close(&got, &golden.flat(&format!("out.{name}_{max}")), 1e-6);
            }
        }
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let config = OptimConfig { learning_rate: 2.0, final_share: 0.1, warmup: 10, ..OptimConfig::default() };
        for (step, want) in [(0, 0.2), (9, 2.0), (10, 2.0), (60, 0.5 * (2.0 + 0.2)), (110, 0.2), (500, 0.2)] {
            assert!((config.rate(step, 110) - want).abs() < 1e-9, "{step}: {}", config.rate(step, 110));
        }
    }
}
