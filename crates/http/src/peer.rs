//! The other end of a connection. Every request carries it in its extensions.

use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Tcp {
        /// Their address.
        remote: SocketAddr,
        /// The address of ours they reached.
        local: SocketAddr,
    },
    /// A process on this machine.
    Unix {
        /// Its user, as the kernel says.
        uid: u32,
    },
}

impl Peer {
    /// The network address, if there is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { remote, .. } => Some(remote.ip()),
            Self::Unix { .. } => None,
        }
    }

    /// Whether both ends are on this machine.
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Tcp { remote, local } => remote.ip().is_loopback() && local.ip().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

#[cfg(test)]
impl Peer {
    /// Somebody at this address, who reached one of ours.
    pub(crate) fn calling_from(address: &str) -> Self {
        Self::Tcp {
            remote: format!("{address}:1").parse().unwrap(),
            local: "10.0.0.9:80".parse().unwrap(),
        }
    }
}
