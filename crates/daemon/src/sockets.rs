//! Listening sockets: taken from systemd by name if it passes them, bound otherwise.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

use crate::addresses::{Address, Addresses};

/// As many as the kernel allows (`net.core.somaxconn`), as systemd asks for its sockets: with a
/// short queue, clients that come at once wait a second each.
const BACKLOG: u32 = i32::MAX as u32;

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// systemd passed something else under this name.
    #[error("the socket `{name}` that systemd passed is not usable: {source}")]
    Passed {
        /// The name of the socket.
        name: String,
        /// What was wrong with it.
        source: Error,
    },
    /// The address or path could not be listened on.
    #[error("cannot listen on {address} for `{name}`: {source}")]
    Bind {
        /// The name of the socket.
        name: String,
        /// Where it should have listened.
        address: Address,
        /// Why it does not.
        source: Error,
    },
}

/// The sockets systemd passed, and those we bound ourselves.
pub struct Sockets {
    passed: ListenFd,
    /// The name of each passed socket; emptied once it is taken.
    names: Vec<Option<String>>,
    listening: Addresses,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Sockets(passed: {:?}, {})", self.names, self.listening)
    }
}

impl Sockets {
    /// What `LISTEN_FDS` and `LISTEN_FDNAMES` announce. Only the first call in a process finds
    /// anything.
    pub fn from_environment() -> Self {
        // Without names every socket is `unknown`, as systemd itself calls one that has none.
        let names = std::env::var_os("LISTEN_FDNAMES");
        let names = names.as_deref().map(std::ffi::OsStr::to_string_lossy);
        let mut names = names.iter().flat_map(|names| names.split(':'));
        let passed = ListenFd::from_env();
        let mut name = || names.find(|name| !name.is_empty()).unwrap_or("unknown");
        let names = (0..passed.len()).map(|_| Some(name().to_owned()));
        Self {
            names: names.collect(),
            passed,
            listening: Addresses::new(),
        }
    }

    /// Nothing was passed: every socket is bound.
    pub fn none() -> Self {
        Self {
            passed: ListenFd::empty(),
            names: Vec::new(),
            listening: Addresses::new(),
        }
    }

    /// Whether systemd listens for us, and so can start us again when somebody calls.
    pub fn activated(&self) -> bool {
        self.passed.len() > 0
    }

    /// What is listening by now.
    pub fn addresses(&self) -> &Addresses {
        &self.listening
    }

    /// The names of passed sockets nobody has taken.
    pub fn unclaimed(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }

    /// Every TCP socket of that name, as a unit may listen at several addresses; without any, one
    /// bound to `fallback`.
    pub async fn tcp(
        &mut self,
        name: &str,
        fallback: SocketAddr,
    ) -> Result<Vec<TcpListener>, SocketError> {
        let mut listeners = Vec::new();
        while let Some(index) = self.position(name) {
            let passed = self.passed_tcp(index);
            listeners.push(passed.map_err(|source| SocketError::Passed {
                name: name.to_owned(),
                source,
            })?);
        }
        if listeners.is_empty() {
            listeners.push(bind_tcp(name, fallback)?);
        }
        for listener in &listeners {
            let address = listener
                .local_addr()
                .map_err(|source| SocketError::Passed {
                    name: name.to_owned(),
                    source,
                })?;
            self.listening.insert(name, Address::Tcp(address));
        }
        Ok(listeners)
    }

    /// The Unix socket of that name, or one bound to `fallback` with these permission bits.
    pub async fn unix(
        &mut self,
        name: &str,
        fallback: &Path,
        mode: u32,
    ) -> Result<UnixListener, SocketError> {
        let Some(index) = self.position(name) else {
            let listener = bind_unix(fallback, mode).map_err(|source| SocketError::Bind {
                name: name.to_owned(),
                address: Address::Unix(fallback.to_owned()),
                source,
            })?;
            self.listening
                .insert(name, Address::Unix(fallback.to_owned()));
            return Ok(listener);
        };
        let listener = self
            .passed_unix(index)
            .map_err(|source| SocketError::Passed {
                name: name.to_owned(),
                source,
            })?;
        let address = listener.local_addr().ok();
        let path = address.as_ref().and_then(|address| address.as_pathname());
        let path = path.unwrap_or(Path::new("(unnamed)")).to_owned();
        self.listening.insert(name, Address::Unix(path));
        Ok(listener)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names
            .iter()
            .position(|passed| passed.as_deref() == Some(name))
    }

    fn passed_tcp(&mut self, index: usize) -> Result<TcpListener, Error> {
        let listener = self.passed.take_tcp_listener(index)?;
        let listener = listener.ok_or(ErrorKind::NotFound)?;
        self.claim(index);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    fn passed_unix(&mut self, index: usize) -> Result<UnixListener, Error> {
        let listener = self.passed.take_unix_listener(index)?;
        let listener = listener.ok_or(ErrorKind::NotFound)?;
        self.claim(index);
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    }

    fn claim(&mut self, index: usize) {
        if let Some(name) = self.names.get_mut(index) {
            *name = None;
        }
    }
}

fn bind_tcp(name: &str, address: SocketAddr) -> Result<TcpListener, SocketError> {
    listen_tcp(address).map_err(|source| SocketError::Bind {
        name: name.to_owned(),
        address: Address::Tcp(address),
        source,
    })
}

fn listen_tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait until the connections of the process before it are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds under a temporary name and moves it into place, so that the socket never has other
/// permissions than asked for and a file left by a killed process is replaced.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket is no file that has to survive a power failure"
)]
fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener, Error> {
    refuse_occupied(path)?;
    let fresh = temporary_name(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(&fresh)?;
    let listener = socket.listen(BACKLOG)?;
    let placed = std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))
        .and_then(|()| std::fs::rename(&fresh, path));
    // If we stop here, an unused socket file with our process id stays in the folder; the next
    // start does not mind it.
    if let Err(error) = placed {
        let _ = std::fs::remove_file(&fresh);
        return Err(error);
    }
    Ok(listener)
}

fn temporary_name(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "not the path of a file"))?;
    let fresh = path.with_file_name(format!(".{name}.{}", std::process::id()));
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(fresh),
    }
}

fn refuse_occupied(path: &Path) -> Result<(), Error> {
    let Ok(about) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !about.file_type().is_socket() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "a file that is no socket is in the way",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(Error::new(
            ErrorKind::AddrInUse,
            "another process is listening there",
        )),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thousand_clients_may_come_before_the_first_is_accepted() {
        let mut sockets = Sockets::none();
        let listeners = sockets
            .tcp("http", ([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let address = listeners[0].local_addr().unwrap();
        let begin = std::time::Instant::now();
        let mut clients = Vec::new();
        for _ in 0..1000 {
            // Where the queue is full, the kernel drops the first packet and the client waits a
            // second.
            let client =
                std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(3));
            clients.push(client.unwrap());
        }
        assert!(begin.elapsed().as_millis() < 900, "{:?}", begin.elapsed());
    }
}
