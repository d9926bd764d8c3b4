//! AdamW, its learning rate, and clipping by the global norm.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::params::Flat;

/// AdamW (<https://arxiv.org/abs/1711.05101>) under a warm-up and a cosine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The share of it that is left at the end.
    pub final_share: f64,
    /// Steps until the learning rate is reached.
    pub warmup: u64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
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
            learning_rate: 1e-3,
            final_share: 0.02,
            warmup: 200,
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
        let shares = [("beta1", self.beta1), ("beta2", self.beta2)];
        if let Some((key, value)) = shares.iter().find(|(_, v)| !(0.0..1.0).contains(v)) {
            return Err(format!("{key} is {value}; it must be at least 0 and below 1"));
        }
        let rest = [("final_share", self.final_share), ("weight_decay", self.weight_decay)];
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

/// The moments of AdamW.
#[derive(Debug, Clone)]
pub struct Adamw {
    /// Steps taken.
    pub steps: u64,
    /// Means of gradients.
    pub mean: Flat,
    /// Means of squared gradients.
    pub square: Flat,
    /// Which parameters decay.
    decays: Vec<bool>,
}

impl Adamw {
    /// Zero moments for `params`; `decays` says which of them lose weight.
    #[must_use]
    pub fn new(params: &Flat, decays: Vec<bool>) -> Self {
        let zeros = || params.iter().map(Tensor::zeros_like).collect();
        Self { steps: 0, mean: zeros(), square: zeros(), decays }
    }

    /// One step at learning rate `rate`; `grads` are used up.
    ///
    /// # Shapes
    /// - params, grads, output: the flat parameters, in one order
    #[must_use]
    pub fn step(&mut self, config: &OptimConfig, rate: f64, params: Flat, grads: Flat) -> Flat {
        self.steps += 1;
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (b1, b2) = (config.beta1, config.beta2);
        let root = (1.0 - b2.powi(power)).sqrt();
        let length = rate / (1.0 - b1.powi(power));
        // Taken out and put back, so that no tensor has a second owner and arithmetic can reuse its memory.
        let moments = std::mem::take(&mut self.mean).into_iter().zip(std::mem::take(&mut self.square));
        let mut next = Vec::with_capacity(params.len());
        for (((param, grad), (mean, square)), &decays) in params.into_iter().zip(grads).zip(moments).zip(&self.decays) {
            let mean = mean * b1 as f32 + grad.clone() * (1.0 - b1) as f32;
            let square = square * b2 as f32 + grad.clone() * grad * (1.0 - b2) as f32;
            let size = square.clone().sqrt() * (1.0 / root) as f32 + config.eps as f32;
            let keep = if decays { 1.0 - rate * config.weight_decay } else { 1.0 };
            let param = if keep < 1.0 { param * keep as f32 } else { param };
            next.push(param - mean.clone() / size * length as f32);
            self.mean.push(mean);
            self.square.push(square);
        }
        next
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
    use super::{Adamw, OptimConfig, clip};
    use crate::testing::{Golden, close};

    #[test]
    fn adamw_takes_the_steps_of_torch() {
        let golden = Golden::read("adamw");
        let config = OptimConfig { learning_rate: 1e-2, weight_decay: 0.01, ..OptimConfig::default() };
        let mut params = vec![golden.flat("in.start")];
        let mut adamw = Adamw::new(&params, vec![true]);
        for step in 0..5 {
            params = adamw.step(&config, 1e-2, params, vec![golden.row("in.grads", step)]);
            close(&params[0], &golden.row("out.params", step), 1e-6);
        }
        close(&adamw.mean[0], &golden.flat("out.exp_avg"), 1e-6);
        close(&adamw.square[0], &golden.flat("out.exp_avg_sq"), 1e-6);
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
