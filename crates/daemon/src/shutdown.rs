//! Stopping: asked for once, heard everywhere, and over within a deadline.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The wish to stop, shared by everything in one daemon.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
    grace: Duration,
}

impl Shutdown {
    /// How long a daemon may take to stop, unless told otherwise.
    pub const GRACE: Duration = Duration::from_secs(20);

    /// A shutdown that nobody has asked for yet. Once asked for, everything must be done within
    /// `grace`.
    pub fn with_grace(grace: Duration) -> Self {
        Self {
            token: CancellationToken::new(),
            grace,
        }
    }

    /// Asks everybody to stop. Asking again changes nothing.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether somebody has asked.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until somebody asks.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// The same wish in the form other crates take.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// The time allowed between the wish and the end.
    pub fn grace(&self) -> Duration {
        self.grace
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::with_grace(Self::GRACE)
    }
}
