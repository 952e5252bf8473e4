//! The authority's signing keys as they are in use: opened from the database, replaced by rotation.

use birthmark_protocol::verdict::VERDICT_DOMAIN;
use birthmark_protocol::{
    Digest, KeyId, PublicKey, SignedVerdict, Timestamp, Verdict, VerdictItem,
};
use der::Decode;
use x509_cert::Certificate;

use crate::issue::ca::{self, CaError, FastKey, Issuer, PrivateKey};
use crate::keep::store::{KeyPurpose, SigningKeyRow};
use crate::keep::vault::{Vault, VaultError};

/// A verdict key as the public sees it.
#[derive(Debug, Clone)]
pub struct VerdictKey {
    /// The public key.
    pub public: PublicKey,
    /// Its certificate in DER, under the intermediate.
    pub certificate: Vec<u8>,
    /// From when it may have signed.
    pub not_before: Timestamp,
    /// Until when it may have signed.
    pub not_after: Timestamp,
}

/// All signing keys.
#[derive(Debug)]
pub struct Keyring {
    /// The roots' certificates in DER, newest last.
    pub roots: Vec<Vec<u8>>,
    /// The intermediate that certifies cameras now.
    pub issuer: Issuer,
    /// Every intermediate certificate ever used, in DER, newest last.
    pub intermediates: Vec<Vec<u8>>,
    /// Every intermediate with its private key, newest first: former ones still sign their revocation lists.
    pub issuers: Vec<Issuer>,
    /// The keys of all intermediates, newest first.
    pub issuer_keys: Vec<PublicKey>,
    /// Every verdict key ever used, newest last.
    pub verdict_keys: Vec<VerdictKey>,
    signer: FastKey,
}

/// Why the keys are not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A key that must be there is not.
    #[error("the database has no {0} key in use")]
    Missing(&'static str),
    /// A sealed key was changed.
    #[error("a signing key: {0}")]
    Sealed(#[from] VaultError),
    /// A certificate or key does not fit.
    #[error(transparent)]
    Ca(#[from] CaError),
}

impl From<ca::KeyError> for KeyringError {
    fn from(error: ca::KeyError) -> Self {
        Self::Ca(error.into())
    }
}

fn label(purpose: &str, key_id: &[u8]) -> String {
    format!("{purpose} key {}", hex::encode(key_id))
}

/// A row for a key whose private half is sealed, or, for a root, kept elsewhere.
pub fn row(
    vault: &Vault,
    purpose: KeyPurpose,
    der: &[u8],
    key: Option<&PrivateKey>,
) -> Result<SigningKeyRow, KeyringError> {
    let public = ca::public_key_of(der)?;
    let key_id = public.id().as_bytes().to_vec();
    let sealed = key
        .map(|key| vault.seal(&label(purpose.name(), &key_id), key.to_scalar().as_slice()))
        .transpose()?;
    let (not_before, not_after) = ca::validity(&Certificate::from_der(der).map_err(CaError::from)?);
    Ok(SigningKeyRow {
        key_id,
        purpose: purpose.name().into(),
        certificate: der.to_vec(),
        sealed,
        not_before: not_before.unix(),
        not_after: not_after.unix(),
        retired_at: None,
    })
}

fn unseal(vault: &Vault, row: &SigningKeyRow) -> Result<PrivateKey, KeyringError> {
    let sealed = row
        .sealed
        .as_deref()
        .ok_or(KeyringError::Missing("private"))?;
    let scalar = vault.unseal32(&label(&row.purpose, &row.key_id), sealed)?;
    Ok(PrivateKey::from_scalar(&scalar)?)
}

impl Keyring {
    /// Opens the keys as the database has them.
    pub fn open(vault: &Vault, rows: &[SigningKeyRow]) -> Result<Self, KeyringError> {
        let of = |purpose: KeyPurpose| rows.iter().filter(move |row| row.purpose == purpose.name());
        let in_use = |purpose: KeyPurpose, name| {
            of(purpose)
                .rfind(|row| row.retired_at.is_none())
                .ok_or(KeyringError::Missing(name))
        };
        let issuing = in_use(KeyPurpose::Intermediate, "intermediate")?;
        let signing = in_use(KeyPurpose::Verdict, "verdict")?;
        let certificates = |purpose| {
            of(purpose)
                .map(|row| row.certificate.clone())
                .collect::<Vec<_>>()
        };
        let issuers = of(KeyPurpose::Intermediate)
            .rev()
            .map(|row| Ok(Issuer::new(row.certificate.clone(), unseal(vault, row)?)?))
            .collect::<Result<Vec<_>, KeyringError>>()?;
        let mut issuer_keys = of(KeyPurpose::Intermediate)
            .map(|row| ca::public_key_of(&row.certificate))
            .collect::<Result<Vec<_>, _>>()?;
        issuer_keys.reverse();
        Ok(Self {
            roots: certificates(KeyPurpose::Root),
            issuer: Issuer::new(issuing.certificate.clone(), unseal(vault, issuing)?)?,
            intermediates: certificates(KeyPurpose::Intermediate),
            issuers,
            issuer_keys,
            verdict_keys: of(KeyPurpose::Verdict)
                .map(verdict_key)
                .collect::<Result<_, _>>()?,
            signer: unseal(vault, signing)?.fast()?,
        })
    }

    /// Signs an answer.
    pub fn sign(
        &self,
        manufacturer: &str,
        now: Timestamp,
        items: Vec<VerdictItem>,
    ) -> Option<SignedVerdict> {
        let verdict = Verdict::new(manufacturer, now, items).ok()?;
        let signature = self.signer.sign(&Digest::tagged_message(
            VERDICT_DOMAIN,
            &[&verdict.encode()],
        ))?;
        Some(SignedVerdict { verdict, signature })
    }

    /// Signs anything else the public gets: bytes that begin with a domain of their own.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Option<birthmark_protocol::Signature> {
        self.signer.sign(bytes)
    }

    /// The key that signs verdicts now.
    pub fn verdict_key_id(&self) -> Option<KeyId> {
        self.verdict_keys.last().map(|key| key.public.id())
    }

    /// Intermediate and newest root in PEM: what a camera's certificate chains to.
    pub fn chain(&self) -> Vec<String> {
        std::iter::once(&self.issuer.der)
            .chain(self.roots.last())
            .map(|der| ca::pem(der))
            .collect()
    }
}

fn verdict_key(row: &SigningKeyRow) -> Result<VerdictKey, CaError> {
    Ok(VerdictKey {
        public: ca::public_key_of(&row.certificate)?,
        certificate: row.certificate.clone(),
        not_before: Timestamp::from_unix(row.not_before),
        not_after: Timestamp::from_unix(row.retired_at.unwrap_or(row.not_after).min(row.not_after)),
    })
}
