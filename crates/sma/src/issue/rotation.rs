//! New keys in the place of old ones. What the old ones signed stays checkable.

use birthmark_http::ApiError;

use crate::authority::Authority;
use crate::clock;
use crate::issue::ca::{Issuer, PrivateKey};
use crate::keep::keyring;
use crate::keep::store::KeyPurpose;
use crate::setup::spki_pem;

impl Authority {
    /// Makes a new intermediate under the root, whose private key is needed for this moment only.
    pub async fn rotate_ca(
        &self,
        root_key: &str,
        passphrase: Option<&str>,
    ) -> Result<String, ApiError> {
        let key = PrivateKey::from_pem(root_key, passphrase)
            .map_err(|error| ApiError::field("root_key", error.to_string()))?;
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
        self.store.replace_key(&row, now).await?;
        // If we stop here, the new intermediate is used from the next start on.
        self.reload_keyring().await.map_err(ApiError::internal)?;
        Ok(next.certificate.tbs_certificate().subject().to_string())
    }

    /// Makes a new verdict key; its public half in PEM.
    pub async fn rotate_verdict_key(&self) -> Result<String, ApiError> {
        let now = clock::now();
        let (key, der) = self
            .keyring()
            .issuer
            .verdict_key(&self.settings, now)
            .map_err(ApiError::internal)?;
        let row = keyring::row(&self.vault, KeyPurpose::Verdict, &der, Some(&key))
            .map_err(ApiError::internal)?;
        self.store.replace_key(&row, now).await?;
        // If we stop here, the new key is used from the next start on.
        self.reload_keyring().await.map_err(ApiError::internal)?;
        Ok(spki_pem(&key.public().to_spki_der()))
    }
}
