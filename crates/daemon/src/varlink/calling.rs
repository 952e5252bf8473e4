//! Calling another daemon, with a deadline and an eye on who answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use zlink::Connection;
use zlink::varlink_service::Error as ServiceError;

use super::bounded::Bounded;
use super::peers::Peers;

/// Why a call brought no answer of the interface's own.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("cannot reach {path}: {source}", path = path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else listens than should.
    #[error("{path} is served by user {user}, who is not expected there", path = path.display())]
    Impostor {
        /// The socket.
        path: PathBuf,
        /// The number of the user.
        user: u32,
    },
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// We are not allowed to call.
    #[error("the call was refused: permission denied")]
    Refused,
    /// The connection or the message failed.
    #[error("the call failed: {0}")]
    Failed(zlink::Error),
}

impl From<zlink::Error> for CallError {
    fn from(error: zlink::Error) -> Self {
        match error {
            zlink::Error::VarlinkService(ref said)
                if *said.inner() == ServiceError::PermissionDenied =>
            {
                Self::Refused
            }
            error => Self::Failed(error),
        }
    }
}

/// Connects to the socket at `path`, which one of `servers` must have opened.
///
/// A socket that systemd listens on belongs to root, whoever serves it.
pub async fn connect(
    path: &Path,
    servers: &Peers,
    deadline: Duration,
) -> Result<Connection<Bounded>, CallError> {
    let unreachable = |source| CallError::Unreachable {
        path: path.to_owned(),
        source,
    };
    let stream = tokio::time::timeout(deadline, UnixStream::connect(path))
        .await
        .map_err(|_| CallError::Late(deadline))?
        .map_err(unreachable)?;
    let user = stream.peer_cred().map_err(unreachable)?.uid();
    if !servers.contain(user) {
        let path = path.to_owned();
        return Err(CallError::Impostor { path, user });
    }
    Ok(Connection::new(Bounded::try_from(stream)?))
}

/// Waits for the answer of a call, at most for `deadline`. The inner result is the interface's own.
pub async fn within<T, E>(
    deadline: Duration,
    call: impl Future<Output = zlink::Result<Result<T, E>>>,
) -> Result<Result<T, E>, CallError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::Late(deadline)),
    }
}
