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
