//! The moving average of parameters that a model ships.

use serde::{Deserialize, Serialize};

use super::params::Flat;

/// How the average forgets, as in ema-pytorch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// The largest share of itself that the average keeps.
    pub beta: f64,
    /// Until this step the average is a copy.
    pub update_after_step: u64,
    /// Steps between updates; the shares hold for an update, however long that is.
    pub update_every: u64,
    /// Steps after which the warm-up counts as one.
    pub inv_gamma: f64,
    /// How fast the warm-up ends: the share kept is `1 - (1 + steps / inv_gamma)^-power`.
    pub power: f64,
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self { beta: 0.9999, update_after_step: 100, update_every: 10, inv_gamma: 1.0, power: 2.0 / 3.0 }
    }
}

impl EmaConfig {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// A sentence that names the key and its value.
    pub fn validate(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.beta) {
            return Err(format!("beta is {}; it must be from 0 to 1", self.beta));
        }
        let positive = [("inv_gamma", self.inv_gamma), ("power", self.power)];
        match positive.iter().find(|(_, v)| !(*v > 0.0 && v.is_finite())) {
            Some((key, value)) => Err(format!("{key} is {value}; it must be above 0")),
            None => Ok(()),
        }
    }

    /// The share that the average keeps in an update after `steps` steps.
    #[must_use]
    pub fn decay(&self, steps: u64) -> f64 {
        let epoch = steps as f64 - self.update_after_step as f64 - 1.0;
        if epoch <= 0.0 {
            return 0.0;
        }
        (1.0 - (1.0 + epoch / self.inv_gamma).powf(-self.power)).clamp(0.0, self.beta)
    }
}

/// The average of the parameters of a run.
#[derive(Debug, Clone)]
pub struct Ema {
    /// Steps seen.
    pub steps: u64,
    /// The average.
    pub average: Flat,
}

impl Ema {
    /// Starts at `params`.
    #[must_use]
    pub fn new(params: Flat) -> Self {
        Self { steps: 0, average: params }
    }

    /// Takes the parameters after a step into the average, if it is time.
    pub fn update(&mut self, config: &EmaConfig, params: &Flat) {
        let before = self.steps;
        self.steps += 1;
        if before == 0 {
            self.average.clone_from(params);
            return;
        }
        if !before.is_multiple_of(config.update_every.max(1)) {
            return;
        }
        let decay = if before <= config.update_after_step { 0.0 } else { config.decay(self.steps) };
        for (average, param) in self.average.iter_mut().zip(params) {
            *average = if decay == 0.0 {
                param.clone()
            } else {
                let step = (param.clone() - average.clone()) * (1.0 - decay) as f32;
                average.clone() + step
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ema, EmaConfig};
    use crate::testing::{Golden, close};

    #[test]
    fn the_decay_and_the_average_are_those_of_ema_pytorch() {
        let golden = Golden::read("ema");
        let config = EmaConfig::default();
        for (step, want) in golden.integers("in.step").into_iter().zip(golden.values("out.decay")) {
            let got = config.decay(u64::try_from(step).unwrap());
            assert!((got - f64::from(want)).abs() < 1e-6, "{step}: {got} not {want}");
        }
        let mut ema = Ema::new(vec![golden.row("in.online", 0)]);
        for i in 0..300 {
            ema.update(&config, &vec![golden.row("in.online", i)]);
            close(&ema.average[0], &golden.row("out.average", i), 1e-6);
        }
    }
}
