//! The camera's secrets: three master keys and the NUC hash, exactly what one sealed object holds.

use birthmark_protocol::numbers::TABLES_PER_CAMERA;
use birthmark_protocol::{MasterKey, NucHash};
use zeroize::Zeroizing;

/// What is sealed: never printed, wiped when dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// The master keys, in the order of the camera's tables.
    pub master_keys: [MasterKey; TABLES_PER_CAMERA],
    /// What the authority knows the camera by.
    pub nuc_hash: NucHash,
}

impl Secrets {
    /// 128 bytes: the master keys, then the NUC hash.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(128));
        for key in &self.master_keys {
            bytes.extend_from_slice(key.expose());
        }
        bytes.extend_from_slice(self.nuc_hash.expose());
        bytes
    }

    /// Reads what [`Secrets::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 128] = bytes.try_into().ok()?;
        let (parts, _) = bytes.as_chunks::<32>();
        let [first, second, third, nuc] = parts else {
            return None;
        };
        Some(Self {
            master_keys: [first, second, third].map(|key| MasterKey::from_bytes(*key)),
            nuc_hash: NucHash::from_bytes(*nuc),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_128_bytes_and_come_back() {
        let secrets = Secrets {
            master_keys: [1, 2, 3].map(|byte| MasterKey::from_bytes([byte; 32])),
            nuc_hash: NucHash::from_bytes([4; 32]),
        };
        let bytes = secrets.to_bytes();
        assert_eq!(bytes.len(), 128);
        assert_eq!(Secrets::from_bytes(&bytes), Some(secrets.clone()));
        assert_eq!(Secrets::from_bytes(&bytes[1..]), None);
        assert!(!format!("{secrets:?}").contains('1'));
    }
}
