//! How long the head of a request may take, kept by the alarm that every connection has anyway:
//! hyper by itself would set and clear a timer of the runtime, which all connections share, with
//! each request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// No head is waited for.
const NEVER: u64 = u64::MAX;

/// When the head that a connection waits for has to be complete.
#[derive(Debug)]
pub(crate) struct HeadClock {
    begun: Instant,
    /// In microseconds since the beginning.
    due: AtomicU64,
}

impl HeadClock {
    /// The clock of a new connection.
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            due: AtomicU64::new(NEVER),
        })
    }

    fn set(&self, deadline: Instant) {
        let micros = deadline.saturating_duration_since(self.begun).as_micros();
        #[expect(
            clippy::disallowed_methods,
            reason = "in half a million years is never"
        )]
        let micros = u64::try_from(micros).unwrap_or(NEVER);
        self.due.store(micros, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.due.store(NEVER, Ordering::Relaxed);
    }

    /// When it rings, if a head is waited for.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.due.load(Ordering::Relaxed) {
            NEVER => None,
            micros => self.begun.checked_add(Duration::from_micros(micros)),
        }
    }
}

/// What hyper takes for a timer.
pub(crate) struct HeadTimer(pub(crate) Arc<HeadClock>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.0.set(deadline);
        Box::pin(HeadSleep {
            deadline,
            clock: Arc::clone(&self.0),
        })
    }
}

/// Wakes nobody by itself: the connection's alarm does, and then this is looked at.
struct HeadSleep {
    deadline: Instant,
    clock: Arc<HeadClock>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() < self.deadline {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Sleep for HeadSleep {}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        self.clock.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_while_a_head_is_waited_for_and_no_longer() {
        let clock = HeadClock::start();
        let timer = HeadTimer(Arc::clone(&clock));
        assert_eq!(clock.due(), None);
        let before = Instant::now();
        let sleep = timer.sleep(Duration::from_secs(10));
        let due = clock.due().unwrap();
        // The clock counts whole microseconds.
        assert!(due + Duration::from_micros(1) >= before + Duration::from_secs(10));
        assert!(due <= Instant::now() + Duration::from_secs(10));
        drop(sleep);
        assert_eq!(clock.due(), None);
    }
}
