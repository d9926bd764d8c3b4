//! What a training run shows: loss, speed and time left.

use std::time::{Duration, Instant};

use firefall_core::train::{Metrics, ReadMetrics, TrainEvent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::outcome::say;
use crate::progress::left;

/// A bar with loss, speed and time left; a line for every measurement where there is no terminal.
pub(super) struct Show {
    bar: ProgressBar,
    /// When the stage began or was taken up, and how far it was then.
    begun: (Instant, u64),
    /// Steps of the stage in all.
    steps: u64,
    since: Instant,
    pictures: usize,
}

impl Show {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, begun: (Instant::now(), 0), steps: 0, since: Instant::now(), pictures: 0 }
    }

    pub(super) fn event(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::StageStarted { stage, stages, done, steps, parameters } => {
                self.bar.set_prefix(format!("stage {stage} of {stages}"));
                self.bar.set_length(*steps);
                self.bar.set_position(*done);
                self.bar.reset_eta();
                self.note(&format!("stage {stage} of {stages}: {parameters} parameters, step {done} of {steps}"));
                (self.begun, self.steps) = ((Instant::now(), *done), *steps);
                self.restart();
            }
            TrainEvent::Read { step, steps, metrics } => {
                if let Some(metrics) = metrics {
                    self.read(*step, *steps, *metrics);
                }
            }
            TrainEvent::Step { pictures, metrics } => {
                self.pictures += pictures;
                self.bar.inc(1);
                if let Some(metrics) = metrics {
                    self.measured(metrics);
                }
            }
            TrainEvent::Checkpoint { path, .. } => self.note(&format!("saved {}", path.display())),
            TrainEvent::StageDone { stage } => self.note(&format!("stage {stage} is done")),
        }
    }

    fn read(&mut self, step: u64, steps: u64, ReadMetrics { loss, right }: ReadMetrics) {
        let line = format!("reading {step} of {steps}: loss {loss:.3}, {:.0} % of captions understood", 100.0 * right);
        self.bar.set_message(line.clone());
        if self.bar.is_hidden() {
            say(&line);
        }
        // What comes after it is timed without it.
        self.begun.0 = Instant::now();
        self.bar.reset_eta();
        self.restart();
    }

    fn measured(&mut self, metrics: &Metrics) {
        let speed = self.pictures as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_message(format!("loss {:.4}, {speed:.0} pictures/s", metrics.loss));
        if self.bar.is_hidden() {
            say(&line(metrics, speed, self.steps, self.begun.1, self.begun.0.elapsed()));
        }
        self.restart();
    }

    /// The speed is measured from now on: what was just done is no training.
    pub(super) fn restart(&mut self) {
        self.since = Instant::now();
        self.pictures = 0;
    }

    /// Says something without tearing the bar.
    pub(super) fn note(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A measurement of a stage of `steps` steps, of which those after `from` took the time `elapsed`.
fn line(metrics: &Metrics, speed: f64, steps: u64, from: u64, elapsed: Duration) -> String {
    let Metrics { stage, step, loss, grad_norm, .. } = metrics;
    let left = left(elapsed, step.saturating_sub(from) as usize, steps.saturating_sub(from) as usize);
    format!(
        "stage {stage} step {step} of {steps}: loss {loss:.4}, gradient {grad_norm:.2}, {speed:.0} pictures/s{left}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_long_it_takes() {
        let metrics = Metrics { stage: 2, step: 150, pictures: 2400, loss: 0.125, grad_norm: 0.5, learning_rate: 1e-3 };
        // Fifty steps took a minute, and 350 are left.
        let line = line(&metrics, 90.4, 500, 100, Duration::from_secs(60));
        assert_eq!(line, "stage 2 step 150 of 500: loss 0.1250, gradient 0.50, 90 pictures/s, 7 min left");
    }
}
