//! The TPM as one of the signer's key stores.

use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::{Digest, PublicKey, Signature};
use zeroize::Zeroizing;

use super::{Tpm, TpmError};
use crate::blob::Blob;
use crate::key_store::{Health, KeyStore, KeyStoreError};
use crate::messages::KeyStoreKind;

impl From<TpmError> for KeyStoreError {
    fn from(error: TpmError) -> Self {
        match error {
            error @ TpmError::NoSigningKey { .. } => Self::NoKey(error.into()),
            error => Self::Other(error.into()),
        }
    }
}

/// A TPM with its policy for sealing.
pub struct TpmStore {
    /// The chip.
    pub tpm: Tpm,
    /// The measurements that sealed secrets are bound to.
    pub pcrs: Vec<u8>,
}

impl KeyStore for TpmStore {
    fn kind(&self) -> KeyStoreKind {
        KeyStoreKind::Tpm
    }

    fn identity(&mut self) -> Result<Vec<u8>, KeyStoreError> {
        Ok(self.tpm.storage_root()?)
    }

    fn pin(&mut self, identity: Option<Vec<u8>>) {
        self.tpm.pin(identity);
    }

    fn public_key(&mut self) -> Result<PublicKey, KeyStoreError> {
        Ok(self.tpm.public_key()?)
    }

    fn enrol(&mut self) -> Result<PublicKey, KeyStoreError> {
        Ok(self.tpm.enrol()?)
    }

    fn forget(&mut self) -> Result<(), KeyStoreError> {
        Ok(self.tpm.forget()?)
    }

    fn sign(&mut self, digest: &Digest) -> Result<Signature, KeyStoreError> {
        Ok(self.tpm.sign(digest)?)
    }

    fn seal(&mut self, secret: &[u8]) -> Result<Blob, KeyStoreError> {
        Ok(self.tpm.seal(secret, &self.pcrs)?)
    }

    fn unseal(&mut self, blob: &Blob) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Ok(self.tpm.unseal(blob)?)
    }

    fn create_attestation_key(&mut self) -> Result<Blob, KeyStoreError> {
        Ok(self.tpm.create_attestation_key()?)
    }

    fn attest(
        &mut self,
        attestation_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<Evidence, KeyStoreError> {
        Ok(self.tpm.attest(attestation_key, nonce)?)
    }

    fn activate(
        &mut self,
        attestation_key: &Blob,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
        Ok(self.tpm.activate(attestation_key, credential)?)
    }

    fn create_one_time_key(&mut self) -> Result<Blob, KeyStoreError> {
        Ok(self.tpm.create_one_time_key()?)
    }

    fn one_time_public_key(&mut self, one_time_key: &Blob) -> Result<PublicKey, KeyStoreError> {
        Ok(super::one_time::public_key(one_time_key)?)
    }

    fn certify_one_time_key(
        &mut self,
        attestation_key: &Blob,
        one_time_key: &Blob,
        nonce: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), KeyStoreError> {
        let tpm = &mut self.tpm;
        Ok(tpm.certify_one_time_key(attestation_key, one_time_key, nonce)?)
    }

    fn knows_one_time_key(&mut self, one_time_key: &Blob) -> Result<bool, KeyStoreError> {
        Ok(self.tpm.knows_one_time_key(one_time_key)?)
    }

    fn sign_once(
        &mut self,
        one_time_key: &Blob,
        digest: &Digest,
    ) -> Result<Signature, KeyStoreError> {
        Ok(self.tpm.sign_once(one_time_key, digest)?)
    }

    fn self_test(&mut self) -> Result<(), KeyStoreError> {
        Ok(self.tpm.self_test()?)
    }

    fn health(&mut self) -> Result<Health, KeyStoreError> {
        self.tpm.test_result()?;
        Ok(Health {
            chip: Some(self.tpm.describe()?),
            lockout: Some(self.tpm.lockout()?),
        })
    }
}
