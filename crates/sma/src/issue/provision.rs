//! Provisioning: a camera becomes one of ours.

mod form;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::ApiError;
use birthmark_protocol::attestation::CredentialSecret;
use birthmark_protocol::{
    CameraExtensions, CameraToken, DeviceKey, Digest, KeyIndex, NucHash, TableId, Timestamp,
};

pub use form::{AttestationProof, ProvisionRequest, Provisioned};

use crate::authority::{Authority, nuc_label};
use crate::issue::attestation::Attested;
use crate::issue::ca::{self, CaError, CameraSubject, PrivateKey, pem, spki_pem};
use crate::issue::device_key;
use crate::keep::rows;
use crate::keep::store::{CertificateRow, DeviceRow, NewDevice, is_duplicate};
use crate::tell::operators::{Operator, Permit, Proof};
use crate::{clock, random};

struct Identity {
    key: DeviceKey,
    private: Option<PrivateKey>,
    /// The chip that attested the key.
    chip: Option<[u8; 32]>,
    /// The key of that chip that vouches for others.
    attestation_key: Option<Vec<u8>>,
}

/// What a camera's certificate says beside its token.
pub(super) struct ToCertify<'a> {
    /// The model.
    pub family: &'a str,
    /// The camera's key.
    pub key: &'a DeviceKey,
    /// Whether its chip attested the key.
    pub attested: bool,
}

/// A NUC hash, and whether it was made up here.
struct Nuc {
    hash: NucHash,
    simulated: bool,
}

impl Nuc {
    /// The word in answers.
    const fn name(simulated: bool) -> &'static str {
        if simulated { "made up" } else { "given" }
    }
}

/// What a camera was given.
#[derive(Debug)]
pub struct Provisioning {
    /// The file it loads.
    pub file: Provisioned,
    /// Whether it was registered just now; otherwise the answer was lost and is given again.
    pub is_new: bool,
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
    /// Registers a camera: certificate, tables, NUC hash. Of two requests for one serial, one
    /// succeeds; whoever holds the certified key may ask again for an answer that was lost.
    pub async fn provision(
        &self,
        request: &ProvisionRequest,
        operator: &Operator,
    ) -> Result<Provisioning, ApiError> {
        name("device_serial", &request.device_serial, 128)?;
        name("device_family", &request.device_family, 255)?;
        if let Some(firmware) = &request.firmware {
            name("firmware", firmware, 128)?;
        }
        let identity = self.identity_of(request)?;
        if let Some(row) = self.store.device(&request.device_serial).await? {
            let file = self.again(request, operator, &identity, row).await?;
            let is_new = false;
            return Ok(Provisioning { file, is_new });
        }
        let nuc = self.nuc_of(request)?;
        let permit = self
            .operators
            .permit(&self.vault, operator, &request.device_serial)
            .await?;
        let now = clock::now();
        let tables = random::tables().map_err(ApiError::internal)?;
        let about = ToCertify {
            family: &request.device_family,
            key: &identity.key,
            attested: identity.chip.is_some(),
        };
        let der = self.certify(&about, &nuc.hash, &tables, now)?;
        let device = self.new_device(request, operator, &identity, &nuc, tables, &der, now)?;
        let row = self.register(device, permit).await?;
        self.remember(&row, &nuc.hash).map_err(ApiError::internal)?;
        // If we stop here, the camera asks again for its answer and is enrolled then.
        self.enrol_one_time(&row, &identity).await?;
        let action = if row.attested {
            "provision attested camera"
        } else {
            "provision camera"
        };
        self.log_act(&operator.name, action, &request.device_serial)
            .await;
        let file = self.provisioned(request, &identity, &nuc.hash, &row, &der)?;
        let is_new = true;
        Ok(Provisioning { file, is_new })
    }

    /// The answer to a request that was answered before: for this machine's administrator, who
    /// could read all of it anyway, and for the operator who enrolled the camera if it is shown
    /// that its private key is at hand.
    async fn again(
        &self,
        request: &ProvisionRequest,
        operator: &Operator,
        identity: &Identity,
        row: DeviceRow,
    ) -> Result<Provisioned, ApiError> {
        rows::check(&self.vault, &row).map_err(ApiError::internal)?;
        let key_hash = Digest::of(&identity.key.to_spki_der());
        let same = row.key_hash.as_deref() == Some(key_hash.as_bytes())
            && row.family == request.device_family
            && row.firmware == request.firmware;
        let has_key = request.csr.is_some() || identity.chip.is_some();
        let enrolled = row.enrolled_by == operator.name && has_key;
        let taken = || ApiError::conflict("a camera with this serial is provisioned already");
        if !same || !(operator.proof == Proof::Socket || enrolled) {
            return Err(taken());
        }
        let nuc = self
            .vault
            .unseal32(&nuc_label(&row.serial), &row.nuc_sealed)
            .map_err(ApiError::internal)?;
        let nuc = NucHash::from_bytes(*nuc);
        if let Some(given) = &request.nuc_hash
            && hex_field::<32>("nuc_hash", given)? != *nuc.expose()
        {
            return Err(taken());
        }
        let certificate = self.store.certificate_of(row.id).await?;
        let certificate = certificate.ok_or_else(taken)?;
        if Some(&certificate.serial) != row.certificate_serial.as_ref() {
            return Err(ApiError::internal("a camera has a certificate of another"));
        }
        self.enrol_one_time(&row, identity).await?;
        self.log_act(&operator.name, "provision again", &row.serial)
            .await;
        self.provisioned(request, identity, &nuc, &row, &certificate.der)
    }

    /// An attested camera may have one-time keys signed that its chip vouches for.
    async fn enrol_one_time(&self, row: &DeviceRow, identity: &Identity) -> Result<(), ApiError> {
        if let Some(key) = &identity.attestation_key {
            let enrolled = self.store.enrol_one_time(&self.vault, row.id, key);
            enrolled.await?;
        }
        Ok(())
    }

    fn nuc_of(&self, request: &ProvisionRequest) -> Result<Nuc, ApiError> {
        let (hash, simulated) = match &request.nuc_hash {
            Some(text) => (hex_field("nuc_hash", text)?, false),
            None if self.settings.provisioning.simulate_nuc => {
                (random::bytes().map_err(ApiError::internal)?, true)
            }
            None => {
                return Err(ApiError::field(
                    "nuc_hash",
                    "field required: this authority makes up no NUC hashes",
                ));
            }
        };
        let hash = NucHash::from_bytes(hash);
        Ok(Nuc { hash, simulated })
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
            let Attested {
                key,
                chip,
                attestation_key,
            } = self.attested_key(proof)?;
            let key = DeviceKey::P256(key);
            return match brought {
                Some(brought) if brought != key => Err(ApiError::field(
                    "device_public_key",
                    "is not the key the chip attested",
                )),
                _ => Ok(Identity {
                    key,
                    private: None,
                    chip: Some(chip),
                    attestation_key: Some(attestation_key),
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
                chip: None,
                attestation_key: None,
            }),
            None if self.settings.provisioning.make_keys => {
                let private = PrivateKey::generate().map_err(ApiError::internal)?;
                Ok(Identity {
                    key: DeviceKey::P256(private.public()),
                    private: Some(private),
                    chip: None,
                    attestation_key: None,
                })
            }
            None => Err(ApiError::field(
                "device_public_key",
                "field required: this authority makes no keys for cameras",
            )),
        }
    }

    fn attested_key(&self, proof: &AttestationProof) -> Result<Attested, ApiError> {
        let session = hex_field("attestation.session", &proof.session)?;
        let secret = CredentialSecret::from_bytes(hex_field("attestation.secret", &proof.secret)?);
        let proven = self
            .attestations
            .finish(&session, &secret, std::time::Instant::now());
        proven.map_err(|error| ApiError::field("attestation", error.to_string()))
    }

    /// A certificate with the camera's NUC hash inside, under one of its tables.
    pub(super) fn certify(
        &self,
        about: &ToCertify<'_>,
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
        let spki = about.key.to_spki_der();
        let token = CameraToken::issue_certificate(nuc, master, table, index, nonce, &spki);
        let extensions = CameraExtensions {
            manufacturer_id: self.settings.manufacturer_id.clone(),
            ma_endpoint: self.settings.endpoint.clone(),
            token,
            device_family: about.family.to_owned(),
        };
        let subject = CameraSubject {
            key: about.key,
            extensions,
            attested: about.attested,
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

    #[expect(clippy::too_many_arguments, reason = "a camera has so many sides")]
    fn new_device(
        &self,
        request: &ProvisionRequest,
        operator: &Operator,
        identity: &Identity,
        nuc: &Nuc,
        tables: [TableId; 3],
        der: &[u8],
        now: Timestamp,
    ) -> Result<NewDevice, ApiError> {
        let older = self.settings.provisioning.older_cameras;
        let label = nuc_label(&request.device_serial);
        let sealed = self.vault.seal(&label, nuc.hash.expose());
        Ok(NewDevice {
            serial: request.device_serial.clone(),
            nuc_index: self.vault.index_of(nuc.hash.expose()),
            nuc_sealed: sealed.map_err(ApiError::internal)?,
            simulated_nuc: nuc.simulated,
            tables,
            family: request.device_family.clone(),
            firmware: request.firmware.clone(),
            attested: identity.chip.is_some(),
            chip: identity.chip,
            binds_tokens: request.binds_tokens.unwrap_or(!older),
            provisioned_at: now,
            enrolled_by: operator.name.clone(),
            certificate: Some(certificate_row(der, &self.keyring().issuer.id())?),
        })
    }

    async fn register(
        &self,
        device: NewDevice,
        permit: Option<Permit<'_>>,
    ) -> Result<DeviceRow, ApiError> {
        let (serial, chip) = (device.serial.clone(), device.chip);
        let key_hash = device.certificate.as_ref().map(|row| row.key_hash.clone());
        let spent = permit.as_ref().map(|permit| &permit.spent);
        let registered = self.store.register(&self.vault, vec![device], spent).await;
        let registered = match registered {
            Ok(rows) => rows,
            Err(error) if is_duplicate(&error) => {
                return Err(self.taken(&serial, key_hash, chip).await?);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(permit) = permit {
            self.operators.spend(permit);
        }
        let row = registered.into_iter().next();
        row.ok_or_else(|| ApiError::internal("no camera was registered"))
    }

    /// Says what another camera has already.
    async fn taken(
        &self,
        serial: &str,
        key_hash: Option<Vec<u8>>,
        chip: Option<[u8; 32]>,
    ) -> Result<ApiError, ApiError> {
        if self.store.device(serial).await?.is_some() {
            let message = "a camera with this serial is provisioned already";
            return Ok(ApiError::conflict(message));
        }
        if let Some(key_hash) = key_hash
            && let Some(other) = self.store.device_of_key(&key_hash).await?
        {
            let message = format!("the same key is certified already, for camera {other}");
            return Ok(ApiError::conflict(message));
        }
        if let Some(chip) = chip
            && let Some(other) = self.store.device_of_chip(&chip).await?
        {
            return Ok(ApiError::conflict(format!(
                "this chip has enrolled camera {other} already; `birthmark-sma release-chip {other}` lets it enrol again"
            )));
        }
        Ok(ApiError::conflict("another camera has this NUC hash"))
    }

    fn provisioned(
        &self,
        request: &ProvisionRequest,
        identity: &Identity,
        nuc: &NucHash,
        row: &DeviceRow,
        der: &[u8],
    ) -> Result<Provisioned, ApiError> {
        let tables = [row.table_a, row.table_b, row.table_c].map(TableId::try_from);
        let tables: Vec<TableId> = tables
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(ApiError::internal)?;
        let key = |table: &TableId| {
            let master = self.tables().get(*table);
            let master = master.ok_or_else(|| ApiError::internal("no master key"))?;
            Ok((table.to_string(), hex::encode(master.expose())))
        };
        let keys: BTreeMap<String, String> =
            tables.iter().map(key).collect::<Result<_, ApiError>>()?;
        let sealing = request.attestation.as_ref().filter(|proof| proof.seal_keys);
        let sealed = sealing.map(|proof| seal_keys(proof, &keys)).transpose()?;
        let nuc_hash = hex::encode(nuc.expose());
        let private = identity
            .private
            .as_ref()
            .map(PrivateKey::to_pem)
            .transpose()
            .map_err(ApiError::internal)?;
        let tail: String = Digest::of(der).to_hex().chars().take(12).collect();
        let now = Timestamp::from_unix(row.provisioned_at);
        let day: String = clock::readable(now)
            .chars()
            .take(10)
            .filter(|c| *c != '-')
            .collect();
        Ok(Provisioned {
            device_serial: request.device_serial.clone(),
            device_certificate: pem(der),
            certificate_chain: self.keyring().chain(row.certificate_issuer.as_deref()),
            table_assignments: tables.iter().map(|table| table.get()).collect(),
            master_keys: if sealed.is_some() {
                BTreeMap::new()
            } else {
                keys
            },
            sealed_master_keys: sealed,
            simulated_nuc_hash: nuc_hash.clone(),
            nuc_hash,
            nuc: Nuc::name(row.simulated_nuc).into(),
            device_family: request.device_family.clone(),
            provisioning_id: format!("PROV-{day}-{tail}"),
            manufacturer_id: self.settings.manufacturer_id.clone(),
            assurance: if row.attested { "attested" } else { "token" }.into(),
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
    let (from, until) = ca::validity(&certificate);
    let key_hash = ca::key_hash(&certificate).map_err(ApiError::internal)?;
    let number = certificate.tbs_certificate().serial_number();
    Ok(CertificateRow {
        serial: number.as_bytes().to_vec(),
        issuer: issuer.as_bytes().to_vec(),
        key_hash: key_hash.as_bytes().to_vec(),
        issued_at: from.unix(),
        expires_at: until.unix(),
        der: der.to_vec(),
    })
}

/// Seals the master keys under a key from the credential's secret: nobody on the way, and no other
/// chip, can read them.
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
