//! Leaving when nobody needs us: systemd keeps the socket and starts us again at the next call.

use std::time::Duration;

use tokio::sync::watch;

/// Counts what keeps a daemon busy and tells when nothing has for a while.
#[derive(Debug, Clone)]
pub struct Idle {
    busy: watch::Sender<usize>,
    after: Option<Duration>,
}

impl Idle {
    /// Never idle: for daemons nobody would start again.
    pub fn never() -> Self {
        Self {
            busy: watch::Sender::new(0),
            after: None,
        }
    }

    /// Idle once nothing has kept us busy for that long.
    pub fn after(quiet: Duration) -> Self {
        Self {
            busy: watch::Sender::new(0),
            after: Some(quiet),
        }
    }

    /// Keeps the daemon from being idle for as long as the answer lives.
    pub fn busy(&self) -> Busy {
        self.busy.send_modify(|count| *count += 1);
        Busy(self.busy.clone())
    }

    /// Waits until the daemon has been idle for long enough.
    pub async fn expired(&self) {
        let Some(after) = self.after else {
            return std::future::pending().await;
        };
        let mut busy = self.busy.subscribe();
        loop {
            // The sender lives in `self`, so neither wait can fail.
            let _ = busy.wait_for(|count| *count == 0).await;
            tokio::select! {
                () = tokio::time::sleep(after) => return,
                _ = busy.changed() => {}
            }
        }
    }
}

/// A reason not to be idle; dropping it ends the reason.
#[derive(Debug)]
pub struct Busy(watch::Sender<usize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_not_idle_while_something_keeps_it_busy() {
        let idle = Idle::after(Duration::ZERO);
        let (first, second) = (idle.busy(), idle.busy());
        let waiting = tokio::spawn({
            let idle = idle.clone();
            async move { idle.expired().await }
        });
        drop(first);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.expect("idle");
    }

    #[tokio::test]
    async fn without_a_time_it_never_is() {
        let never = Idle::never();
        let first = tokio::select! {
            biased;
            () = never.expired() => "idle",
            () = tokio::time::sleep(Duration::from_millis(20)) => "busy",
        };
        assert_eq!(first, "busy");
    }
}
