//! Provisioning: a camera becomes one of ours.

mod form;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::ApiError;
use birthmark_protocol::attestation::CredentialSecret;
use birthmark_protocol::{
    CameraExtensions, CameraToken, DerivationProfile, DeviceKey, Digest, KeyIndex, NucHash,
    SealedNuc, TableId, Timestamp,
};

pub use form::{AttestationProof, ProvisionRequest, Provisioned};

use crate::authority::{Authority, nuc_label};
use crate::issue::ca::{CaError, CameraSubject, PrivateKey, pem};
use crate::issue::device_key;
use crate::keep::store::{CertificateRow, NewDevice, RegisteredDevice, is_duplicate};
use crate::setup::spki_pem;
use crate::{clock, random};

struct Identity {
    key: DeviceKey,
    private: Option<PrivateKey>,
    attested: bool,
}

fn name(field: &str, text: &str, longest: usize) -> Result<(), ApiError> {
    if text.is_empty() || text.len() > longest || text.chars().any(char::is_control) {
        return Err(ApiError::field(
            field,
            format!("expected 1 to {longest} bytes of text without control characters"),
        ));
    }
    Ok(())
}

/// Hexadecimal of exactly `N` bytes.
pub fn hex_field<const N: usize>(field: &str, text: &str) -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        ApiError::field(field, format!("expected {} hexadecimal characters", N * 2))
    })?;
    Ok(bytes)
}

impl Authority {
    /// Registers a camera: certificate, tables, NUC hash. Of two requests for one serial, one succeeds.
    pub async fn provision(
        &self,
        request: &ProvisionRequest,
        actor: &str,
    ) -> Result<Provisioned, ApiError> {
        name("device_serial", &request.device_serial, 128)?;
        name("device_family", &request.device_family, 255)?;
        if let Some(firmware) = &request.firmware {
            name("firmware", firmware, 128)?;
        }
        let nuc = self.nuc_of(request)?;
        let identity = self.identity_of(request)?;
        let now = clock::now();
        let tables = random::tables().map_err(ApiError::internal)?;
        let der = self.certify(request, &identity, &nuc, &tables, now)?;
        let row = self
            .register(request, &identity, &nuc, tables, &der, now)
            .await?;
        self.remember(&row, &nuc).map_err(ApiError::internal)?;
        let action = if identity.attested {
            "provision attested camera"
        } else {
            "provision camera"
        };
        self.log_act(actor, action, &request.device_serial).await;
        self.provisioned(request, &identity, &nuc, tables, &der, now)
    }

    fn nuc_of(&self, request: &ProvisionRequest) -> Result<NucHash, ApiError> {
        match &request.nuc_hash {
            Some(text) => Ok(NucHash::from_bytes(hex_field("nuc_hash", text)?)),
            None if self.settings.provisioning.simulate_nuc => random::bytes()
                .map(NucHash::from_bytes)
                .map_err(ApiError::internal),
            None => Err(ApiError::field(
                "nuc_hash",
                "field required: this authority does not simulate NUC hashes",
            )),
        }
    }

    fn identity_of(&self, request: &ProvisionRequest) -> Result<Identity, ApiError> {
        let brought = match (&request.device_public_key, &request.csr) {
            (Some(_), Some(_)) => {
                return Err(ApiError::field("csr", "send either a CSR or a public key"));
            }
            (Some(pem), None) => Some(
                device_key::from_pem(pem)
                    .map_err(|error| ApiError::field("device_public_key", error.to_string()))?,
            ),
            (None, Some(pem)) => Some(
                device_key::from_csr(pem)
                    .map_err(|error| ApiError::field("csr", error.to_string()))?,
            ),
            (None, None) => None,
        };
        if let Some(proof) = &request.attestation {
            let key = self.attested_key(proof)?;
            return match brought {
                Some(brought) if brought != key => Err(ApiError::field(
                    "device_public_key",
                    "is not the key the chip attested",
                )),
                _ => Ok(Identity {
                    key,
                    private: None,
                    attested: true,
                }),
            };
        }
        if self.settings.provisioning.require_attestation {
            return Err(ApiError::field(
                "attestation",
                "field required: this authority takes only cameras whose TPM attests",
            ));
        }
        match brought {
            Some(key) => Ok(Identity {
                key,
                private: None,
                attested: false,
            }),
            None if self.settings.provisioning.make_keys => {
                let private = PrivateKey::generate().map_err(ApiError::internal)?;
                Ok(Identity {
                    key: DeviceKey::P256(private.public()),
                    private: Some(private),
                    attested: false,
                })
            }
            None => Err(ApiError::field(
                "device_public_key",
                "field required: this authority makes no keys for cameras",
            )),
        }
    }

    fn attested_key(&self, proof: &AttestationProof) -> Result<DeviceKey, ApiError> {
        let session = hex_field("attestation.session", &proof.session)?;
        let secret = CredentialSecret::from_bytes(hex_field("attestation.secret", &proof.secret)?);
        let key = self
            .attestations
            .finish(&session, &secret, std::time::Instant::now());
        key.map(DeviceKey::P256)
            .map_err(|error| ApiError::field("attestation", error.to_string()))
    }

    /// A certificate with the camera's NUC hash inside, under one of its tables.
    fn certify(
        &self,
        request: &ProvisionRequest,
        identity: &Identity,
        nuc: &NucHash,
        tables: &[TableId; 3],
        now: Timestamp,
    ) -> Result<Vec<u8>, ApiError> {
        let draw: [u8; 4] = random::bytes().map_err(ApiError::internal)?;
        let [a, b, high, low] = draw;
        let table = *tables
            .get(usize::from(a ^ b) % tables.len())
            .ok_or_else(|| ApiError::internal("no table"))?;
        let index = KeyIndex::try_from(i64::from(u16::from_be_bytes([high, low])) % 1000)
            .map_err(ApiError::internal)?;
        let master = self
            .tables()
            .get(table)
            .ok_or_else(|| ApiError::internal("no master key"))?;
        let nonce = random::bytes().map_err(ApiError::internal)?;
        let sealed = SealedNuc::seal(
            nuc,
            &master.table_key(index, DerivationProfile::A),
            nonce,
            &[],
        );
        let extensions = CameraExtensions {
            manufacturer_id: self.settings.manufacturer_id.clone(),
            ma_endpoint: self.settings.endpoint.clone(),
            token: CameraToken {
                sealed,
                table,
                index,
            },
            device_family: request.device_family.clone(),
        };
        let subject = CameraSubject {
            key: &identity.key,
            extensions,
            attested: identity.attested,
        };
        let issued = self.keyring().issuer.certify(&self.settings, subject, now);
        issued.map_err(|error| match error {
            CaError::Expired => {
                log::error!(
                    "the intermediate certificate has expired: run `birthmark-sma rotate-ca`"
                );
                ApiError::unavailable(
                    "the certificate authority has expired",
                    std::time::Duration::from_secs(3600),
                )
            }
            other => ApiError::internal(other),
        })
    }

    async fn register(
        &self,
        request: &ProvisionRequest,
        identity: &Identity,
        nuc: &NucHash,
        tables: [TableId; 3],
        der: &[u8],
        now: Timestamp,
    ) -> Result<RegisteredDevice, ApiError> {
        let certificate = certificate_row(der, &self.keyring().issuer.id())?;
        let sealed = self
            .vault
            .seal(&nuc_label(&request.device_serial), nuc.expose())
            .map_err(ApiError::internal)?;
        let device = NewDevice {
            serial: request.device_serial.clone(),
            nuc_index: self.vault.index_of(nuc.expose()),
            nuc_sealed: sealed,
            tables,
            family: request.device_family.clone(),
            firmware: request.firmware.clone(),
            attested: identity.attested,
            provisioned_at: now,
            certificate: Some(certificate),
        };
        match self.store.register(&device).await {
            Ok(id) => Ok(registered(id, device)),
            Err(error) if is_duplicate(&error) => {
                match self.store.device(&request.device_serial).await? {
                    Some(_) => Err(ApiError::conflict(
                        "a camera with this serial is provisioned already",
                    )),
                    None => Err(ApiError::conflict("another camera has this NUC hash")),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn provisioned(
        &self,
        request: &ProvisionRequest,
        identity: &Identity,
        nuc: &NucHash,
        tables: [TableId; 3],
        der: &[u8],
        now: Timestamp,
    ) -> Result<Provisioned, ApiError> {
        let keys: BTreeMap<String, String> = tables
            .iter()
            .filter_map(|table| {
                Some((
                    table.to_string(),
                    hex::encode(self.tables().get(*table)?.expose()),
                ))
            })
            .collect();
        let sealing = request.attestation.as_ref().filter(|proof| proof.seal_keys);
        let sealed = sealing.map(|proof| seal_keys(proof, &keys)).transpose()?;
        let nuc_hash = hex::encode(nuc.expose());
        let private = identity
            .private
            .as_ref()
            .map(PrivateKey::to_pem)
            .transpose()
            .map_err(ApiError::internal)?;
        let tail = Digest::of(der).to_hex();
        let day: String = clock::readable(now)
            .chars()
            .take(10)
            .filter(|c| *c != '-')
            .collect();
        Ok(Provisioned {
            device_serial: request.device_serial.clone(),
            device_certificate: pem(der),
            certificate_chain: self.keyring().chain(),
            table_assignments: tables.iter().map(|table| table.get()).collect(),
            master_keys: if sealed.is_some() {
                BTreeMap::new()
            } else {
                keys
            },
            sealed_master_keys: sealed,
            simulated_nuc_hash: nuc_hash.clone(),
            nuc_hash,
            device_family: request.device_family.clone(),
            provisioning_id: format!("PROV-{day}-{}", tail.get(..12).unwrap_or_default()),
            manufacturer_id: self.settings.manufacturer_id.clone(),
            assurance: if identity.attested {
                "attested"
            } else {
                "token"
            }
            .into(),
            provisioned_at: clock::readable(now),
            device_private_key: private.map(|pem| pem.to_string()),
            device_public_key: spki_pem(&identity.key.to_spki_der()),
        })
    }
}

/// What is stored about a certificate.
pub fn certificate_row(
    der: &[u8],
    issuer: &birthmark_protocol::KeyId,
) -> Result<CertificateRow, ApiError> {
    use der::Decode;
    let certificate = x509_cert::Certificate::from_der(der).map_err(ApiError::internal)?;
    let (from, until) = crate::issue::ca::validity(&certificate);
    Ok(CertificateRow {
        serial: certificate
            .tbs_certificate()
            .serial_number()
            .as_bytes()
            .to_vec(),
        issuer: issuer.as_bytes().to_vec(),
        issued_at: from.unix(),
        expires_at: until.unix(),
        der: der.to_vec(),
    })
}

/// What the memory keeps of a new camera.
pub fn registered(id: i64, device: NewDevice) -> RegisteredDevice {
    let [table_a, table_b, table_c] = device.tables.map(i64::from);
    RegisteredDevice {
        id,
        serial: device.serial,
        nuc_sealed: device.nuc_sealed,
        table_a,
        table_b,
        table_c,
        family: device.family,
        firmware: device.firmware,
        attested: device.attested,
        certificate_serial: device.certificate.as_ref().map(|row| row.serial.clone()),
        certificate_issuer: device.certificate.as_ref().map(|row| row.issuer.clone()),
        issued_at: device.certificate.as_ref().map(|row| row.issued_at),
    }
}

/// Seals the master keys under a key from the credential's secret: nobody on the way, and no other chip, can read them.
fn seal_keys(
    proof: &AttestationProof,
    keys: &BTreeMap<String, String>,
) -> Result<String, ApiError> {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    let secret: [u8; 32] = hex_field("attestation.secret", &proof.secret)?;
    let mut key = zeroize::Zeroizing::new([0; 32]);
    hkdf::Hkdf::<sha2::Sha256>::new(None, &secret)
        .expand(b"birthmark/provisioning/v1", key.as_mut_slice())
        .map_err(ApiError::internal)?;
    let nonce: [u8; 12] = random::bytes().map_err(ApiError::internal)?;
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(keys).map_err(ApiError::internal)?);
    let payload = Payload {
        msg: &plain,
        aad: proof.session.as_bytes(),
    };
    let sealed = aes_gcm::Aes256Gcm::new((&*key).into())
        .encrypt(&nonce.into(), payload)
        .map_err(ApiError::internal)?;
    Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
}
