//! A daemon inside this process: the same `run` that its own program calls.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use birthmark_daemon::{Context, Credentials, Settings, Shutdown};
use tokio::task::JoinHandle;

/// A daemon that is ready.
#[derive(Debug)]
pub(crate) struct Embedded {
    name: &'static str,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Embedded {
    /// Starts a daemon and waits until it serves, or until it says why it does not.
    pub(crate) async fn start<S, R, F>(
        settings: S,
        credentials: Credentials,
        shutdown: &Shutdown,
        run: R,
    ) -> anyhow::Result<Self>
    where
        S: Settings,
        R: FnOnce(S, Context) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        settings.check()?;
        let (context, ready) = Context::embedded(credentials, shutdown.clone());
        let mut task = tokio::spawn(run(settings, context));
        tokio::select! {
            ready = ready => match ready {
                Ok(_) => Ok(Self { name: S::DAEMON, task }),
                Err(_) => Err(failure(task.await)),
            },
            ended = &mut task => Err(failure(ended)),
        }
    }

    /// Waits until the daemon, which has been asked to stop, is gone.
    pub(crate) async fn stopped(mut self, grace: Duration) {
        match tokio::time::timeout(grace, &mut self.task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => eprintln!("birthmark-demo: {} ended badly: {error:#}", self.name),
            Ok(Err(error)) => eprintln!("birthmark-demo: {} broke: {error}", self.name),
            Err(_) => self.task.abort(),
        }
    }
}

fn failure(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended.context("it broke") {
        Ok(Err(error)) | Err(error) => error,
        Ok(Ok(())) => anyhow!("it ended before it was ready"),
    }
}

/// A port that is free now. `wanted` is taken as it is unless it is 0.
pub(crate) fn free_port(wanted: u16) -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", wanted)).with_context(|| {
        format!("port {wanted} cannot be used: choose another, or 0 for a free one")
    })?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use birthmark_daemon::ConfigError;
    use serde::{Deserialize, Serialize};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[derive(Serialize, Deserialize)]
    struct Plan {
        port: u16,
    }

    impl Settings for Plan {
        const DAEMON: &'static str = "birthmark-test";

        fn check(&self) -> Result<(), ConfigError> {
            match self.port {
                0 => Err(ConfigError::field("port", "must not be 0")),
                _ => Ok(()),
            }
        }
    }

    async fn start<R, F>(port: u16, shutdown: &Shutdown, run: R) -> Result<Embedded, String>
    where
        R: FnOnce(Plan, Context) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let started = Embedded::start(Plan { port }, Credentials::at("/"), shutdown, run);
        let started = tokio::time::timeout(SOON, started).await.unwrap();
        started.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_come_up_says_why() {
        let shutdown = Shutdown::default();
        let refused = start(0, &shutdown, |_, _| async { Ok(()) }).await;
        assert!(refused.unwrap_err().contains("port"));
        let refused = start(1, &shutdown, |_, context| async move {
            let _held = context;
            Err(anyhow!("the database is gone"))
        });
        assert_eq!(refused.await.unwrap_err(), "the database is gone");
        let ended = start(1, &shutdown, |_, _| async { Ok(()) }).await;
        assert!(ended.unwrap_err().contains("before it was ready"));
        let broke = start(1, &shutdown, |_, _| async { panic!("on purpose") }).await;
        assert!(broke.unwrap_err().contains("it broke"));
    }

    #[tokio::test]
    async fn a_daemon_that_was_asked_to_stop_ends_by_itself_and_one_that_does_not_is_ended() {
        let (shutdown, done) = (Shutdown::default(), Arc::new(AtomicBool::new(false)));
        let noted = Arc::clone(&done);
        let polite = start(1, &shutdown, |_, context| async move {
            let shutdown = context.shutdown.clone();
            context.ready();
            shutdown.requested().await;
            noted.store(true, Ordering::SeqCst);
            Ok(())
        });
        let polite = polite.await.unwrap();
        let deaf = start(1, &shutdown, |_, context| async move {
            context.ready();
            std::future::pending().await
        });
        let deaf = deaf.await.unwrap();
        shutdown.request();
        let stopping = async {
            polite.stopped(SOON).await;
            deaf.stopped(Duration::from_millis(50)).await;
        };
        tokio::time::timeout(SOON, stopping).await.unwrap();
        assert!(done.load(Ordering::SeqCst));
    }

    #[test]
    fn a_port_is_taken_as_asked_or_refused() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let refused = format!("{:#}", free_port(taken).unwrap_err());
        assert!(refused.contains(&format!("port {taken}")), "{refused}");
        drop(listener);
        assert_eq!(free_port(taken).unwrap(), taken);
        assert_ne!(free_port(0).unwrap(), 0);
    }
}
