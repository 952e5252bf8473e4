//! What happened when, counted from the shutter. Shown to people; nothing depends on it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use birthmark_protocol::numbers::at_most;

/// One piece of work on the way from the shutter to the stored proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done, in one or two words.
    pub name: String,
    /// Microseconds after the shutter at which it began.
    pub start_us: u64,
    /// How many microseconds it took.
    pub duration_us: u64,
}

/// The steps of one photo, recorded from several threads.
#[derive(Debug, Clone)]
pub struct Timeline {
    shutter: Instant,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Timeline {
    /// Starts counting at `shutter`.
    pub fn starting_at(shutter: Instant) -> Self {
        Self {
            shutter,
            steps: Arc::default(),
        }
    }

    /// Does `work` and records how long it took.
    pub fn measure<T>(&self, name: &str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let outcome = work();
        self.record(name, begin, Instant::now());
        outcome
    }

    /// Records work that lasted from `begin` to `end`.
    pub fn record(&self, name: &str, begin: Instant, end: Instant) {
        let step = Step {
            name: name.to_owned(),
            start_us: micros(begin.saturating_duration_since(self.shutter)),
            duration_us: micros(end.saturating_duration_since(begin)),
        };
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(step);
    }

    /// The steps so far, in the order in which they began.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self
            .steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        steps.sort_by_key(|step| step.start_us);
        steps
    }

    /// How long ago the shutter was.
    pub fn elapsed(&self) -> Duration {
        self.shutter.elapsed()
    }
}

fn micros(duration: Duration) -> u64 {
    at_most(duration.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_back_in_the_order_in_which_they_began() {
        let shutter = Instant::now();
        let timeline = Timeline::starting_at(shutter);
        let later = shutter + Duration::from_millis(5);
        timeline.record("second", later, later + Duration::from_millis(1));
        timeline.record("first", shutter, later);
        let names: Vec<_> = timeline.steps().into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["first", "second"]);
    }

    #[test]
    fn a_clock_that_seems_to_run_backwards_gives_zero() {
        let shutter = Instant::now() + Duration::from_secs(60);
        let timeline = Timeline::starting_at(shutter);
        timeline.measure("early", || ());
        assert_eq!(timeline.steps()[0].start_us, 0);
    }
}
