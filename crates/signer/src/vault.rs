//! The camera's secrets and key at work. Lives on the thread that owns the key store.

mod one_time;

use std::path::{Path, PathBuf};

use birthmark_daemon::random;
use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::gps::{GpsSalt, GpsSecret};
use birthmark_protocol::{
    Bundle, CameraCertificate, CameraToken, Commitment, Digest, KeyIndex, PublicKey, Signature,
    Timestamp,
};
use zeroize::Zeroizing;

use crate::camera::{Camera, Enrolment};
use crate::error::SignerError;
use crate::key_store::{Health, KeyStore, KeyStoreError};
use crate::messages::KeyStoreKind;
use crate::provisioning::{Provisioning, Renewal};
use crate::secrets::Secrets;
use crate::state;

/// A bundle's digest with the camera's signature over it.
#[derive(Debug)]
pub struct Signed {
    /// What was signed.
    pub digest: Digest,
    /// The signature.
    pub signature: Signature,
    /// The certificate it verifies under, DER.
    pub certificate: Vec<u8>,
}

/// The key store and what is known about the camera.
pub struct Vault {
    store: Box<dyn KeyStore>,
    folder: PathBuf,
    camera: Option<Camera>,
    /// Until when photos may be taken, once the key in the store was compared with the certificate.
    usable_until: Option<Timestamp>,
    secrets: Option<Secrets>,
    gps_secret: Option<GpsSecret>,
    last_signature: Option<Timestamp>,
    signatures: u64,
}

impl Vault {
    /// Opens the state in `folder`. The key store is touched at the first request.
    pub fn open(mut store: Box<dyn KeyStore>, folder: &Path) -> Result<Self, SignerError> {
        state::prepare(folder)?;
        store.pin(Enrolment::load(folder)?.map(|enrolment| enrolment.identity));
        let vault = Self {
            store,
            folder: folder.to_owned(),
            camera: Camera::load(folder)?,
            usable_until: None,
            secrets: None,
            gps_secret: None,
            last_signature: None,
            signatures: 0,
        };
        vault.destroy_used_keys()?;
        Ok(vault)
    }

    /// Where the keys live.
    pub fn kind(&self) -> KeyStoreKind {
        self.store.kind()
    }

    /// The camera, if it was provisioned.
    pub fn camera(&self) -> Option<&Camera> {
        self.camera.as_ref()
    }

    /// When the last signature of this run was made, and how many there were.
    pub fn signatures(&self) -> (Option<Timestamp>, u64) {
        (self.last_signature, self.signatures)
    }

    /// How the key store is.
    pub fn health(&mut self) -> Result<Health, SignerError> {
        Ok(self.store.health()?)
    }

    /// The camera's key.
    pub fn public_key(&mut self) -> Result<PublicKey, SignerError> {
        Ok(self.store.public_key()?)
    }

    /// Signs the digest of a bundle that this process parsed. `anchor_block` is the hash of the
    /// block at its anchor.
    pub fn sign(
        &mut self,
        bundle: &Bundle,
        anchor_block: Option<&Digest>,
        now: Timestamp,
    ) -> Result<Signed, SignerError> {
        check_source(bundle, self.kind())?;
        let certificate = self.checked_camera()?.certificate.clone();
        // No validator takes in a photo that was taken after its certificate's end, so signing one
        // would only use it up: unsigned it waits for the renewal.
        if let Some(until) = self.usable_until.filter(|until| bundle.time() > *until) {
            return Err(SignerError::CertificateEnded { until });
        }
        let digest = bundle
            .digest(anchor_block)
            .map_err(|error| SignerError::input("anchor_block", error))?;
        let signature = self.store.sign(&digest)?;
        self.last_signature = Some(now);
        self.signatures = self.signatures.saturating_add(1);
        Ok(Signed {
            digest,
            signature,
            certificate,
        })
    }

    /// Issues a token for one photo, under a random key of a random one of the three tables.
    pub fn issue_token(&mut self, commitment: &Commitment) -> Result<CameraToken, SignerError> {
        let tables = self.checked_camera()?.tables;
        let secrets = self.secrets()?;
        let (table, key) = random::choose(tables.iter().zip(&secrets.master_keys))?
            .ok_or(SignerError::Damaged("master keys"))?;
        let index = random::below(birthmark_protocol::numbers::KEYS_PER_TABLE.into())?;
        let index = index.and_then(|index| KeyIndex::try_from(i64::from(index)).ok());
        let index = index.ok_or(SignerError::Randomness)?;
        let nonce = random::bytes()?;
        Ok(CameraToken::issue(
            &secrets.nuc_hash,
            key,
            *table,
            index,
            nonce,
            commitment,
        ))
    }

    /// The salt that hides the place of the photo with this raw digest.
    pub fn gps_salt(&mut self, raw: &Digest) -> Result<GpsSalt, SignerError> {
        if let Some(secret) = &self.gps_secret {
            return Ok(secret.salt(raw));
        }
        let blob = self.checked_camera()?.gps_secret.clone();
        let bytes = self.store.unseal(&blob)?;
        let bytes: &[u8; 32] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| SignerError::Damaged("GPS secret"))?;
        Ok(self
            .gps_secret
            .insert(GpsSecret::from_bytes(*bytes))
            .salt(raw))
    }

    /// Makes the camera's key, or finds it. With `again`, everything of an earlier camera is
    /// destroyed first.
    pub fn enrol(&mut self, again: bool) -> Result<PublicKey, SignerError> {
        if again {
            self.start_over()?;
        }
        // The identity is noted before there is a key: a chip exchanged in between is noticed.
        let identity = self.store.identity()?;
        if Enrolment::load(&self.folder)?.is_none() {
            Enrolment::new(identity.clone()).store(&self.folder)?;
            self.store.pin(Some(identity));
        }
        // If we stop here, the next enrolment finds the note and makes the key.
        Ok(self.store.enrol()?)
    }

    fn start_over(&mut self) -> Result<(), SignerError> {
        (
            self.camera,
            self.secrets,
            self.gps_secret,
            self.usable_until,
        ) = (None, None, None, None);
        Camera::forget(&self.folder)?;
        Enrolment::forget(&self.folder)?;
        self.destroy_one_time_keys()?;
        self.store.pin(None);
        // If we stop here, the key is without a camera and the next enrolment takes it over.
        match self.store.forget() {
            Err(KeyStoreError::NoKey(_)) => Ok(()),
            other => Ok(other?),
        }
    }

    /// What the chip says about the camera's key, as an answer to `nonce`.
    pub fn attest(&mut self, nonce: &[u8; 32]) -> Result<Evidence, SignerError> {
        let mut enrolment = Enrolment::load(&self.folder)?.ok_or(SignerError::NotEnrolled)?;
        let key = match enrolment.attestation_key {
            Some(key) => key,
            None => self.store.create_attestation_key()?,
        };
        let evidence = self.store.attest(&key, nonce)?;
        enrolment.attestation_key = Some(key);
        // If we stop here, the next attestation makes another attestation key.
        enrolment.store(&self.folder)?;
        Ok(evidence)
    }

    /// Opens a credential made for this camera's chip.
    pub fn activate(&mut self, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, SignerError> {
        let enrolment = Enrolment::load(&self.folder)?.ok_or(SignerError::NotEnrolled)?;
        let key = enrolment.attestation_key.ok_or(SignerError::NotEnrolled)?;
        Ok(self.store.activate(&key, credential)?)
    }

    /// Whether the camera was provisioned.
    pub const fn is_provisioned(&self) -> bool {
        self.camera.is_some()
    }

    /// Takes over what the authority gave: seals it, stores it, and proves that it works.
    pub fn provision(&mut self, text: &str, now: Timestamp) -> Result<&Camera, SignerError> {
        let provisioning = Provisioning::parse(text, now)?;
        #[cfg(feature = "software-keys")]
        self.take_private_key(&provisioning)?;
        let key = self.enrol(false)?;
        provisioning.must_be_for(&key)?;
        let secrets = self.store.seal(&provisioning.secrets.to_bytes())?;
        let gps_secret = Zeroizing::new(random::bytes::<32>()?);
        let gps_secret = self.store.seal(gps_secret.as_slice())?;
        let camera = Camera::new(&provisioning, secrets, gps_secret);
        self.self_test(&camera, &provisioning.secrets)?;
        // If we stop here, nothing was imported and the clear copy is still there to be imported.
        camera.store(&self.folder)?;
        (self.secrets, self.gps_secret) = (None, None);
        self.usable_until = Some(last_moment(&camera)?);
        Ok(self.camera.insert(camera))
    }

    /// Puts a new certificate for the same key in the place of the present one.
    pub fn renew(
        &mut self,
        certificate: &str,
        chain: &str,
        now: Timestamp,
    ) -> Result<&Camera, SignerError> {
        let renewal = Renewal::parse(certificate, chain, now)?;
        let mut camera = self.checked_camera()?.clone();
        renewal.must_be_for(&self.store.public_key()?)?;
        let present = CameraCertificate::from_der(&camera.certificate)
            .map_err(|_| SignerError::Damaged("certificate"))?;
        if renewal.certificate.validity().1 < present.validity().1 {
            return Err(SignerError::Renewal("it ends before the present one"));
        }
        if renewal.certificate.extensions().device_family != camera.device_family {
            return Err(SignerError::Renewal("it is for another model"));
        }
        renewal.check_tables(camera.tables, self.secrets()?)?;
        camera.certificate = renewal.certificate.der().to_vec();
        camera.certificate_chain = renewal.chain;
        // If we stop here, the camera goes on with the old certificate and is given the same new
        // one again.
        camera.store(&self.folder)?;
        self.usable_until = Some(last_moment(&camera)?);
        Ok(self.camera.insert(camera))
    }

    /// Only a development key store takes a private key that somebody else made.
    #[cfg(feature = "software-keys")]
    fn take_private_key(&mut self, provisioning: &Provisioning) -> Result<(), SignerError> {
        let (KeyStoreKind::Software, Some(pem)) = (self.kind(), &provisioning.private_key) else {
            return Ok(());
        };
        let key = crate::software::private_key(pem).map_err(KeyStoreError::from)?;
        provisioning.must_be_for(&PublicKey::from(*key.verifying_key()))?;
        Ok(crate::software::SoftwareStore::new(&self.folder)
            .write(&key)
            .map_err(KeyStoreError::from)?)
    }

    /// Does with the sealed secrets what the camera will do, before the clear ones are destroyed.
    fn self_test(&mut self, camera: &Camera, expected: &Secrets) -> Result<(), SignerError> {
        let failed = |error: &dyn std::fmt::Display| SignerError::SelfTest(error.to_string());
        let opened = self
            .store
            .unseal(&camera.secrets)
            .map_err(|error| failed(&error))?;
        if Secrets::from_bytes(&opened).as_ref() != Some(expected) {
            return Err(failed(&"the master keys came back changed"));
        }
        self.store
            .unseal(&camera.gps_secret)
            .map_err(|error| failed(&error))?;
        let digest = Digest::of(b"birthmark/self-test/v1");
        let signature = self.store.sign(&digest).map_err(|error| failed(&error))?;
        let certificate =
            CameraCertificate::from_der(&camera.certificate).map_err(|error| failed(&error))?;
        let key = certificate
            .key()
            .p256()
            .ok_or_else(|| failed(&"the certificate has no P-256 key"))?;
        key.verify_digest(&digest, &signature)
            .map_err(|error| failed(&error))?;
        self.store.self_test().map_err(|error| failed(&error))
    }

    /// Tests the key store.
    pub fn test(&mut self) -> Result<(), SignerError> {
        Ok(self.store.self_test()?)
    }

    /// Seals the secrets anew, to the measurements of now.
    pub fn reseal(&mut self) -> Result<&Camera, SignerError> {
        let mut camera = self.checked_camera()?.clone();
        let secrets = self.store.unseal(&camera.secrets)?;
        let gps_secret = self.store.unseal(&camera.gps_secret)?;
        camera.secrets = self.store.seal(&secrets)?;
        camera.gps_secret = self.store.seal(&gps_secret)?;
        // If we stop here, the old sealed secrets are still in place.
        camera.store(&self.folder)?;
        Ok(self.camera.insert(camera))
    }

    /// The camera, after a look whether the key store still holds its key.
    fn checked_camera(&mut self) -> Result<&Camera, SignerError> {
        let camera = self.camera.as_ref().ok_or(SignerError::NotProvisioned)?;
        if self.usable_until.is_none() {
            let key = self.store.public_key()?;
            let certificate = CameraCertificate::from_der(&camera.certificate);
            if !certificate.is_ok_and(|certificate| certificate.key().p256() == Some(&key)) {
                return Err(SignerError::OtherKey);
            }
            self.usable_until = Some(last_moment(camera)?);
        }
        Ok(camera)
    }

    fn secrets(&mut self) -> Result<&Secrets, SignerError> {
        if self.secrets.is_none() {
            let blob = self.checked_camera()?.secrets.clone();
            let bytes = self.store.unseal(&blob)?;
            self.secrets =
                Some(Secrets::from_bytes(&bytes).ok_or(SignerError::Damaged("master keys"))?);
        }
        self.secrets.as_ref().ok_or(SignerError::NotProvisioned)
    }
}

/// Under a key that an authority answers for, only what a sensor delivered is signed. The caller
/// builds the bundle, so this stops a mistake and a rehearsal in the wrong place, not a caller that
/// lies.
fn check_source(bundle: &Bundle, keys: KeyStoreKind) -> Result<(), SignerError> {
    let Some(capture) = bundle.capture() else {
        return Err(SignerError::input(
            "bundle",
            "states no source: a camera of ours says where its pixels come from",
        ));
    };
    let is_rehearsal = capture.source.is_rehearsal();
    // Keys in a file exist in development builds only, and every answer names them.
    if is_rehearsal && keys == KeyStoreKind::Tpm && !cfg!(feature = "rehearsal") {
        let source = capture.source.name();
        return Err(SignerError::input(
            "bundle",
            format!(
                "has `{source}` as its source: under a key of the TPM this program signs only what a sensor \
                 delivered; rehearsals need a build made for them (cargo feature rehearsal)"
            ),
        ));
    }
    Ok(())
}

/// The last moment of which photos are signed: certificate and chain were checked when they were
/// taken over, and end on their own days.
fn last_moment(camera: &Camera) -> Result<Timestamp, SignerError> {
    camera
        .last_moment()
        .ok_or(SignerError::Damaged("certificate"))
}
