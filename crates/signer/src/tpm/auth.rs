//! The value that the chip asks for before it signs or unseals.
//!
//! Without it, everybody who may open the chip's device (root, and the group `tss`) could have the
//! camera's key sign and its secrets unsealed, past this daemon. The value comes from a systemd
//! credential of the signer alone. It never travels: commands prove by HMAC that they know it.
//!
//! Whoever can read that credential, which root can, has what the daemon has. A chip cannot tell
//! two programs of one machine apart, unless its system is measured (`sealed_to_pcrs`).

use birthmark_protocol::Digest;
use tss_esapi::structures::Auth;
use zeroize::Zeroizing;

use super::error::TpmError;

/// A credential shorter than this is somebody's password, not a random value.
const SHORTEST: usize = 32;

/// The credential is too short to be random.
#[derive(Debug, thiserror::Error)]
#[error("has {0} bytes, and must have at least {SHORTEST} random ones")]
pub struct TooShort(usize);

/// What this daemon knows and nobody else: 32 bytes, wiped when dropped.
pub struct ChipAuth(Zeroizing<[u8; 32]>);

impl ChipAuth {
    /// Derives the value from a credential, whatever form its random bytes have.
    pub fn from_credential(credential: &[u8]) -> Result<Self, TooShort> {
        if credential.len() < SHORTEST {
            return Err(TooShort(credential.len()));
        }
        let mut text = Zeroizing::new(b"birthmark/chip-auth/v1\0".to_vec());
        text.extend_from_slice(credential);
        Ok(Self(Zeroizing::new(*Digest::of(&text).as_bytes())))
    }

    /// The value as the software stack takes it. It wipes its copy as well.
    pub(super) fn value(&self) -> Result<Auth, TpmError> {
        Auth::try_from(self.0.as_slice())
            .map_err(|source| TpmError::from_tss("take the signer's credential", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_credential_is_refused_and_two_credentials_are_two_values() {
        let refused = ChipAuth::from_credential(b"hunter2").map(drop).unwrap_err();
        assert!(refused.to_string().contains("has 7 bytes"), "{refused}");
        let value = |byte| ChipAuth::from_credential(&[byte; 32]).unwrap().0;
        assert_ne!(value(1), value(2));
        assert_ne!(value(1).as_slice(), [1; 32]);
    }
}
