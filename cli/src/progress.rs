//! How far the work is: a bar on a terminal, plain lines in a log.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::outcome::say;

/// Lines of a stage in a log, about.
const LINES: usize = 10;

/// Progress through the stages of a cascade, or through many pictures.
pub struct Progress {
    place: Place,
    title: String,
    /// What is counted: "step".
    unit: &'static str,
    steps: usize,
    /// The step of the last line.
    told: usize,
    started: Instant,
}

enum Place {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
}

impl Progress {
    /// On stderr: a bar if that is a terminal, else lines.
    #[must_use]
    pub fn stderr() -> Self {
        if std::io::stderr().is_terminal() {
            Self::new(Place::Bar(ProgressBar::no_length()))
        } else {
            Self::lines(Box::new(std::io::stderr()))
        }
    }

    /// Lines into `out`.
    #[must_use]
    pub fn lines(out: Box<dyn Write + Send>) -> Self {
        Self::new(Place::Lines(out))
    }

    fn new(place: Place) -> Self {
        Self { place, title: String::new(), unit: "step", steps: 0, told: 0, started: Instant::now() }
    }

    /// Stage `stage` of `stages`, from 1, starts: pictures of `size` by `size` pixels in `steps` steps.
    pub fn stage_started(&mut self, stage: usize, stages: usize, size: usize, steps: usize) {
        self.begin(format!("stage {stage} of {stages}, {size} x {size}"), "step", steps);
    }

    /// Something starts that takes so many steps, each called a `unit`.
    pub fn begin(&mut self, title: String, unit: &'static str, steps: usize) {
        (self.steps, self.told, self.started) = (steps, 0, Instant::now());
        (self.title, self.unit) = (title, unit);
        match &mut self.place {
            Place::Bar(bar) => {
                bar.reset();
                bar.set_style(style());
                bar.set_length(steps as u64);
                bar.set_prefix(unit);
                bar.set_message(self.title.clone());
            }
            Place::Lines(out) => line(out, &format!("{}: {steps} {unit}s", self.title)),
        }
    }

    /// `step` steps are done.
    pub fn step(&mut self, step: usize) {
        match &mut self.place {
            Place::Bar(bar) => bar.set_position(step as u64),
            Place::Lines(out) => {
                let every = self.steps.div_ceil(LINES).max(1);
                if step / every > self.told / every || (step == self.steps && self.told < step) {
                    self.told = step;
                    let left = left(self.started.elapsed(), step, self.steps);
                    line(out, &format!("{}: {} {step} of {}{left}", self.title, self.unit, self.steps));
                }
            }
        }
    }

    /// Says something without tearing the bar.
    pub fn note(&mut self, text: &str) {
        match &mut self.place {
            Place::Bar(bar) => bar.suspend(|| say(text)),
            Place::Lines(out) => line(out, text),
        }
    }

    /// All is done: the bar goes.
    pub fn done(&mut self) {
        if let Place::Bar(bar) = &self.place {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// An error message must not start in the middle of a bar.
    fn drop(&mut self) {
        self.done();
    }
}

fn style() -> ProgressStyle {
    let template = "{msg} {wide_bar} {prefix} {pos}/{len}, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Progress that cannot be told is no reason to stop the work.
fn line(out: &mut dyn Write, text: &str) {
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// ", 12 s left" by the steps so far; nothing for less than a second.
pub(crate) fn left(elapsed: Duration, step: usize, steps: usize) -> String {
    let left = elapsed.as_secs_f64() / step.max(1) as f64 * steps.saturating_sub(step) as f64;
    match left.round() as u64 {
        0 => String::new(),
        s @ 1..120 => format!(", {s} s left"),
        s @ 120..7200 => format!(", {} min left", s.div_ceil(60)),
        s => format!(", {} h left", s.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_gets_ten_lines_a_stage() {
        let out = Shared::default();
        let mut progress = Progress::lines(Box::new(out.clone()));
        progress.stage_started(1, 2, 32, 50);
        (1..=50).for_each(|step| progress.step(step));
        progress.note("warning: cut");
        progress.stage_started(2, 2, 128, 3);
        (1..=3).for_each(|step| progress.step(step));
        progress.done();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 10 + 1 + 1 + 3, "{text}");
        assert_eq!(lines[0], "stage 1 of 2, 32 x 32: 50 steps");
        assert_eq!(lines[10], "stage 1 of 2, 32 x 32: step 50 of 50");
        assert_eq!(lines[15], "stage 2 of 2, 128 x 128: step 3 of 3");
    }

    #[test]
    fn steps_may_come_in_leaps_and_more_than_once() {
        let out = Shared::default();
        let mut progress = Progress::lines(Box::new(out.clone()));
        progress.begin("single".to_owned(), "picture", 100);
        [3, 3, 16, 16, 19, 48, 100, 100].into_iter().for_each(|step| progress.step(step));
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let want = ["single: 100 pictures", "picture 16 of 100", "picture 48 of 100", "single: picture 100 of 100"];
        assert_eq!(text.lines().count(), want.len(), "{text}");
        assert!(text.lines().zip(want).all(|(line, want)| line.contains(want)), "{text}");
    }

    #[test]
    fn time_left_goes_by_the_steps_so_far() {
        assert_eq!(left(Duration::from_secs(10), 10, 30), ", 20 s left");
        assert_eq!(left(Duration::from_secs(60), 1, 11), ", 10 min left");
        assert_eq!(left(Duration::from_secs(3600), 1, 3), ", 2 h left");
        assert_eq!(left(Duration::from_secs(3600), 3, 3), "");
        assert_eq!(left(Duration::ZERO, 0, 3), "");
    }
}
