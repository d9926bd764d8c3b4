//! How long frames take: what the window shows of it, and what `--verbose` says after a run.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a frame is remembered.
const RECENT: Duration = Duration::from_secs(5);

/// The frames of the last seconds, and those of the run that goes on.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// When each was begun, and how long the one before it was worked on, in seconds.
    recent: VecDeque<(Instant, f32)>,
    last: Option<Instant>,
    /// From frame to frame while a run went on, in seconds.
    run: Vec<f32>,
}

impl Frames {
    /// A frame begins. The one before took `work` seconds; `is_running` while a run goes on and frames follow without a
    /// pause.
    pub(crate) fn begin(&mut self, now: Instant, work: Option<f32>, is_running: bool) {
        while self.recent.front().is_some_and(|(then, _)| now.duration_since(*then) > RECENT) {
            self.recent.pop_front();
        }
        self.recent.extend(work.map(|work| (now, work)));
        match self.last.filter(|_| is_running) {
            Some(last) => self.run.push(now.duration_since(last).as_secs_f32()),
            None => self.run.clear(),
        }
        self.last = is_running.then_some(now);
    }

    /// The median and the worst frame of the last seconds.
    pub(crate) fn recent(&self) -> Option<String> {
        let (median, worst) = median_and_worst(self.recent.iter().map(|(_, work)| *work).collect())?;
        Some(format!("{} a frame, {} at worst", ms(median), ms(worst)))
    }

    /// What there is to say of the frames of the run.
    pub(crate) fn of_run(&self) -> Option<String> {
        let (median, worst) = median_and_worst(self.run.clone())?;
        let (count, seconds) = (self.run.len(), self.run.iter().sum::<f32>());
        let rate = count as f32 / seconds.max(f32::MIN_POSITIVE);
        Some(format!("{count} frames, {rate:.1} a second: median {}, worst {}", ms(median), ms(worst)))
    }
}

fn median_and_worst(mut times: Vec<f32>) -> Option<(f32, f32)> {
    times.sort_by(f32::total_cmp);
    Some((*times.get(times.len() / 2)?, *times.last()?))
}

fn ms(seconds: f32) -> String {
    format!("{:.0} ms", 1000.0 * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_while_they_follow_each_other() {
        let (mut frames, start) = (Frames::default(), Instant::now());
        assert_eq!((frames.recent(), frames.of_run()), (None, None));
        let at = |ms: u64| start + Duration::from_millis(ms);
        frames.begin(at(0), Some(0.9), false);
        // The pause before the run is none of its frames.
        for (time, work) in [(8000, 0.004), (8010, 0.002), (8030, 0.003), (8070, 0.012)] {
            frames.begin(at(time), Some(work), true);
        }
        assert_eq!(frames.of_run().unwrap(), "3 frames, 42.9 a second: median 20 ms, worst 40 ms");
        assert_eq!(frames.recent().unwrap(), "4 ms a frame, 12 ms at worst", "the slow one is long ago");
        frames.begin(at(9000), Some(0.001), false);
        assert_eq!(frames.of_run(), None);
    }
}
