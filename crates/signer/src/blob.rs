//! What a key store keeps outside of itself, on the disk.

use serde::{Deserialize, Serialize};

/// An object that only its key store can load: a sealed secret or a private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// The public area (TPMT_PUBLIC), in hexadecimal.
    #[serde(with = "crate::text::hex_bytes")]
    pub public: Vec<u8>,
    /// The private area, encrypted by the chip.
    #[serde(with = "crate::text::hex_bytes")]
    pub private: Vec<u8>,
    /// The measurements it is bound to; none means the chip alone.
    #[serde(default)]
    pub pcrs: Vec<u8>,
}
