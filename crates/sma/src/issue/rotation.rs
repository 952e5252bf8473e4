//! New keys in the place of old ones. What the old ones signed stays checkable.

use birthmark_http::ApiError;
use birthmark_protocol::{KeyId, Timestamp};

use crate::authority::Authority;
use crate::clock;
use crate::issue::ca::{Issuer, PrivateKey, spki_pem};
use crate::keep::keyring;
use crate::keep::store::KeyPurpose;

impl Authority {
    /// Makes a new intermediate under the root, whose private key is needed for this moment only.
    pub async fn rotate_ca(
        &self,
        root_key: &str,
        passphrase: Option<&str>,
    ) -> Result<String, ApiError> {
        let key = PrivateKey::from_pem(root_key, passphrase)
            .map_err(|error| ApiError::field("root_key", error.to_string()))?;
        let _changing = self.change().await;
        let der = self
            .keyring()
            .roots
            .last()
            .cloned()
            .ok_or_else(|| ApiError::internal("there is no root"))?;
        let root = Issuer::new(der, key)
            .map_err(|error| ApiError::field("root_key", error.to_string()))?;
        let now = clock::now();
        let next = root
            .intermediate(&self.settings, now)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let row = keyring::row(
            &self.vault,
            KeyPurpose::Intermediate,
            &next.der,
            Some(&next.key),
        )
        .map_err(ApiError::internal)?;
        self.store.replace_key(&self.vault, &row, now).await?;
        // If we stop here, the new intermediate is used from the next start on.
        self.reload_keyring().await.map_err(ApiError::internal)?;
        Ok(next.certificate.tbs_certificate().subject().to_string())
    }

    /// Declares that a key may have been in other hands since `from`: nothing it signed is believed
    /// any more. A key in use has to be replaced first, or nothing would be signed at all.
    pub async fn distrust(&self, key: KeyId, from: Timestamp) -> Result<(), ApiError> {
        let _changing = self.change().await;
        let keyring = self.keyring();
        if key == keyring.issuer.id() || Some(key) == keyring.verdict_key_id() {
            return Err(ApiError::conflict(
                "this key is in use: put another in its place first, with rotate-ca or rotate-verdict-key",
            ));
        }
        let known = keyring.issuer_keys.iter().any(|one| one.public.id() == key)
            || keyring
                .verdict_keys
                .iter()
                .any(|one| one.public.id() == key);
        if !known {
            return Err(ApiError::not_found(
                "no intermediate and no verdict key has this id",
            ));
        }
        let stored = self.store.distrust_key(&self.vault, key.as_bytes(), from);
        if !stored.await? {
            return Err(ApiError::internal("a key in use has no row"));
        }
        // If we stop here, the key is distrusted from the next start on.
        self.reload_keyring().await.map_err(ApiError::internal)
    }

    /// Makes a new verdict key; its public half in PEM.
    pub async fn rotate_verdict_key(&self) -> Result<String, ApiError> {
        let _changing = self.change().await;
        let now = clock::now();
        still_certifies(self.keyring().issuer.not_after(), now)?;
        let (key, der) = self
            .keyring()
            .issuer
            .verdict_key(&self.settings, now)
            .map_err(ApiError::internal)?;
        let row = keyring::row(&self.vault, KeyPurpose::Verdict, &der, Some(&key))
            .map_err(ApiError::internal)?;
        self.store.replace_key(&self.vault, &row, now).await?;
        // If we stop here, the new key is used from the next start on.
        self.reload_keyring().await.map_err(ApiError::internal)?;
        Ok(spki_pem(&key.public().to_spki_der()))
    }
}

/// Refuses what an intermediate would have to certify that has ended, with what to do first.
fn still_certifies(end: Timestamp, now: Timestamp) -> Result<(), ApiError> {
    if now <= end {
        return Ok(());
    }
    Err(ApiError::conflict(format!(
        "the intermediate's certificate ended at {}: make a new one first, with `birthmark-sma rotate-ca`",
        clock::readable(end)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intermediate_that_has_ended_is_named_with_what_to_do() {
        let end = Timestamp::from_unix(1_790_000_000);
        assert!(still_certifies(end, end).is_ok());
        let refused = still_certifies(end, end.plus(1)).unwrap_err().to_string();
        assert!(
            refused.contains("ended at 2026-09-21") && refused.contains("rotate-ca"),
            "{refused}"
        );
    }
}
