//! What a daemon listens on, by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where one socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "{}", path.display()),
        }
    }
}

/// The sockets of one daemon, by name, once they are listening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<String, Vec<Address>>);

impl Addresses {
    /// No sockets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a socket that listens on a port.
    pub fn with_tcp(mut self, name: &str, address: SocketAddr) -> Self {
        self.insert(name, Address::Tcp(address));
        self
    }

    /// Adds a socket that listens on a path.
    pub fn with_unix(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.insert(name, Address::Unix(path.into()));
        self
    }

    pub(crate) fn insert(&mut self, name: &str, address: Address) {
        self.0.entry(name.to_owned()).or_default().push(address);
    }

    /// The first port address of that name.
    pub fn tcp(&self, name: &str) -> Option<SocketAddr> {
        match self.0.get(name)?.first()? {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The path of that name.
    pub fn unix(&self, name: &str) -> Option<&Path> {
        match self.0.get(name)?.first()? {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self
            .0
            .iter()
            .flat_map(|(name, each)| each.iter().map(move |address| (name, address)));
        for (index, (name, address)) in all.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{name} on {address}")?;
        }
        Ok(())
    }
}
