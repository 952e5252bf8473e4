//! A new certificate for a camera before, or after, the present one ends.
//!
//! No operator and no token: the chip that enrolled the camera attests the same key again, and that
//! is all there is to know. The answer holds no secret. Whoever asks before the last third of the
//! certificate's life is given the present one again, so a lost answer can be fetched again and a
//! busy chip makes no work for the certificate authority.

use birthmark_http::ApiError;
use birthmark_protocol::api::{RenewalRequest, Renewed};
use birthmark_protocol::attestation::CredentialSecret;
use birthmark_protocol::{DeviceKey, Digest, NucHash, TableId, Timestamp};

use super::provision::{ToCertify, certificate_row, hex_field};
use crate::authority::{Authority, nuc_label};
use crate::clock;
use crate::issue::ca::pem;
use crate::keep::rows;
use crate::keep::store::{CertificateRow, DeviceRow};

impl Authority {
    /// The certificate of the camera whose chip has just proven itself: a new one if the present
    /// one ends soon.
    pub async fn renew(&self, request: &RenewalRequest) -> Result<Renewed, ApiError> {
        let (key, chip) = self.proven(request)?;
        let row = self.camera_of(&key, &chip).await?;
        let present = self.store.certificate_of(row.id).await?;
        let present =
            present.ok_or_else(|| ApiError::internal("a camera without a certificate"))?;
        let now = clock::now();
        if !is_due(&present, now) {
            return Ok(self.renewed(&row, &present, false));
        }
        let certificate = self.certify_again(&row, &key, now)?;
        let renewed = self.store.renew(&self.vault, &row, &certificate).await?;
        let Some(row) = renewed else {
            // Somebody changed the camera at the same moment, perhaps the same chip twice.
            return Err(ApiError::conflict(
                "the camera was changed meanwhile; ask again",
            ));
        };
        self.remember_renewal(&row).map_err(ApiError::internal)?;
        self.log_act("its chip", "renew certificate", &row.serial)
            .await;
        Ok(self.renewed(&row, &certificate, true))
    }

    fn proven(&self, request: &RenewalRequest) -> Result<(DeviceKey, [u8; 32]), ApiError> {
        let session = hex_field("session", &request.session)?;
        let secret = CredentialSecret::from_bytes(hex_field("secret", &request.secret)?);
        let now = std::time::Instant::now();
        let proven = self.renewals.finish(&session, &secret, now);
        let proven = proven.map_err(|error| ApiError::field("session", error.to_string()))?;
        Ok((DeviceKey::P256(proven.key), proven.chip))
    }

    /// The camera that this chip enrolled with this key, unless it was revoked.
    async fn camera_of(&self, key: &DeviceKey, chip: &[u8; 32]) -> Result<DeviceRow, ApiError> {
        let unknown = || {
            ApiError::not_found(
                "no camera was enrolled with this chip and this key; after a repair it is provisioned anew",
            )
        };
        let serial = self.store.device_of_chip(chip).await?.ok_or_else(unknown)?;
        let row = self.store.device(&serial).await?.ok_or_else(unknown)?;
        rows::check(&self.vault, &row).map_err(ApiError::internal)?;
        let key_hash = Digest::of(&key.to_spki_der());
        if row.key_hash.as_deref() != Some(key_hash.as_bytes()) {
            return Err(unknown());
        }
        let (rules, now) = (self.rules(), clock::now());
        let is_revoked = self.with_cameras(|cameras| {
            let device = cameras.by_id(row.id);
            device.is_none_or(|device| rules.covering(device, now).is_some())
        });
        match is_revoked {
            true => Err(ApiError::conflict("the camera is revoked")),
            false => Ok(row),
        }
    }

    fn certify_again(
        &self,
        row: &DeviceRow,
        key: &DeviceKey,
        now: Timestamp,
    ) -> Result<CertificateRow, ApiError> {
        let nuc = self
            .vault
            .unseal32(&nuc_label(&row.serial), &row.nuc_sealed)
            .map_err(ApiError::internal)?;
        let [a, b, c] = [row.table_a, row.table_b, row.table_c].map(TableId::try_from);
        let tables = [
            a.map_err(ApiError::internal)?,
            b.map_err(ApiError::internal)?,
            c.map_err(ApiError::internal)?,
        ];
        let about = ToCertify {
            family: &row.family,
            key,
            attested: row.attested,
        };
        let der = self.certify(&about, &NucHash::from_bytes(*nuc), &tables, now)?;
        certificate_row(&der, &self.keyring().issuer.id())
    }

    fn renewed(&self, row: &DeviceRow, certificate: &CertificateRow, is_new: bool) -> Renewed {
        Renewed {
            device_serial: row.serial.clone(),
            device_certificate: pem(&certificate.der),
            certificate_chain: self.keyring().chain(Some(&certificate.issuer)),
            not_after: certificate.expires_at,
            is_new,
        }
    }
}

/// Whether a certificate is in the last third of its life, or past it.
const fn is_due(certificate: &CertificateRow, now: Timestamp) -> bool {
    let life = certificate.expires_at.saturating_sub(certificate.issued_at);
    now.unix() >= certificate.expires_at.saturating_sub(life / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_the_last_third_of_its_life_and_after_it() {
        let certificate = CertificateRow {
            serial: vec![1],
            issuer: Vec::new(),
            key_hash: Vec::new(),
            issued_at: 1_000,
            expires_at: 4_000,
            der: Vec::new(),
        };
        let due = |now| is_due(&certificate, Timestamp::from_unix(now));
        assert_eq!(
            [2_999, 3_000, 4_000, 9_000].map(due),
            [false, true, true, true]
        );
    }
}
