//! Links between validators.
//!
//! Each validator dials every other one, twice: one connection carries what must arrive at once
//! (votes, blocks), the other what may take longer (the shared pool), so that neither waits behind
//! the other. A connection carries messages one way only, from whoever dialled; what comes back is
//! one byte at the start. So there is never a question which of two connections counts.
//!
//! TLS 1.3 with raw public keys (RFC 7250): no certificates, no authority, no dates. Each end knows
//! the other's Ed25519 key beforehand, from its configuration, and nobody else gets past the
//! handshake.
//!
//! Nothing here waits for a validator that is slow or away. A full queue loses its oldest message,
//! and what waited too long is not sent any more: whoever uses a link says important things again.
//!
//! ```text
//! u8 channel, once; u8 1 comes back when the key is a validator's
//! then messages: u32 length ‖ bytes; a length of 0 only shows that the link lives
//! ```

mod dial;
mod hub;
mod identity;
mod listen;
mod queue;
mod seats;
mod tls;

pub use hub::Hub;
pub use identity::{Identity, IdentityError, LinkKey};
pub use queue::{Channel, Incoming};

use std::time::Duration;

use birthmark_ledger::KeyName;

/// How many bytes one message may have.
pub const MAX_FRAME: usize = 10 << 20;

/// Another validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the genesis.
    pub name: KeyName,
    /// Host and port.
    pub address: String,
    /// Its public key.
    pub identity: Identity,
}

/// What a listener says when the key it was shown is a validator's: with TLS 1.3 whoever dials
/// learns it from nothing else.
const KNOWN: u8 = 1;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After this long without a message one without content is sent.
const ALIVE: Duration = Duration::from_secs(10);
/// After this long without any message a connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// How long one message may take on its way into the network.
const WRITE: Duration = Duration::from_secs(20);
