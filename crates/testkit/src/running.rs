//! A daemon inside this process: the same `run` that its own program calls, on a free port.

use anyhow::{Context as _, anyhow};
use birthmark_daemon::{Addresses, Context, Credentials, Shutdown};
use tokio::task::{JoinError, JoinHandle};

/// A daemon that serves.
#[derive(Debug)]
pub struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    shutdown: Shutdown,
    addresses: Addresses,
}

impl Running {
    /// Starts a daemon and waits until it serves, or until it says why it does not.
    pub async fn start<S, R, F>(
        settings: S,
        credentials: Credentials,
        run: R,
    ) -> anyhow::Result<Self>
    where
        R: FnOnce(S, Context) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = Shutdown::default();
        let (context, ready) = Context::embedded(credentials, shutdown.clone());
        let mut task = tokio::spawn(run(settings, context));
        let addresses = tokio::select! {
            addresses = ready => match addresses {
                Ok(addresses) => addresses,
                Err(_) => return Err(failure(task.await)),
            },
            ended = &mut task => return Err(failure(ended)),
        };
        Ok(Self {
            task,
            shutdown,
            addresses,
        })
    }

    /// Where it serves.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Asks it to stop, and waits until it has; what it says then.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.request();
        self.task.await.context("it broke")?
    }
}

fn failure(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended.context("it broke") {
        Ok(Err(error)) | Err(error) => error,
        Ok(Ok(())) => anyhow!("it ended before it was ready"),
    }
}
