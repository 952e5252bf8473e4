//! The authority's signing keys as they are in use: opened from the database, replaced by rotation.

use birthmark_protocol::verdict::VERDICT_DOMAIN;
use birthmark_protocol::{
    Digest, KeyId, PublicKey, SignedVerdict, Timestamp, Verdict, VerdictItem,
};
use der::Decode;
use x509_cert::Certificate;

use crate::issue::ca::{self, CaError, FastKey, Issuer, PrivateKey};
use crate::keep::rows::{self, Changed};
use crate::keep::store::{KeyPurpose, SigningKeyRow, Store};
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
    /// Until when it may have signed: until it was replaced, or until it may have been in other
    /// hands.
    pub not_after: Timestamp,
    /// Since when it may have been in other hands.
    pub distrusted_from: Option<Timestamp>,
}

/// A key that signs or signed certificates of cameras, as far as checking them goes.
#[derive(Debug, Clone)]
pub struct IssuerKey {
    /// The public key.
    pub public: PublicKey,
    /// From when to when it may sign.
    pub validity: (Timestamp, Timestamp),
    /// Since when it may have been in other hands.
    pub distrusted_from: Option<Timestamp>,
}

impl IssuerKey {
    /// Whether nothing that this key signed is believed any more.
    pub fn is_distrusted(&self, now: Timestamp) -> bool {
        self.distrusted_from.is_some_and(|from| from <= now)
    }
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
    /// Every intermediate with its private key, newest first: former ones still sign their
    /// revocation lists.
    pub issuers: Vec<Issuer>,
    /// The keys of all intermediates, newest first.
    pub issuer_keys: Vec<IssuerKey>,
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
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Another program wrote the rows.
    #[error(transparent)]
    Changed(#[from] Changed),
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
        distrusted_from: None,
        // Computed where it is stored.
        mac: Vec::new(),
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
    /// Reads the keys of a database and makes sure that this program wrote them.
    pub async fn load(store: &Store, vault: &Vault) -> Result<Self, KeyringError> {
        let rows = store.signing_keys().await?;
        let all = store.row_set("signing_keys").await?;
        rows::check_set(vault, &rows, all.as_deref())?;
        Self::open(vault, rows)
    }

    /// Opens keys.
    pub(crate) fn open(vault: &Vault, mut rows: Vec<SigningKeyRow>) -> Result<Self, KeyringError> {
        // Oldest first, and the one still in use last, also where the clock stood later when an
        // earlier one was made.
        rows.sort_by_key(|row| (row.retired_at.is_none(), row.not_before, row.retired_at));
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
        let newest_first = || of(KeyPurpose::Intermediate).rev();
        let issuers = newest_first()
            .map(|row| Ok(Issuer::new(row.certificate.clone(), unseal(vault, row)?)?))
            .collect::<Result<Vec<_>, KeyringError>>()?;
        Ok(Self {
            roots: certificates(KeyPurpose::Root),
            issuer: Issuer::new(issuing.certificate.clone(), unseal(vault, issuing)?)?,
            intermediates: certificates(KeyPurpose::Intermediate),
            issuers,
            issuer_keys: newest_first().map(issuer_key).collect::<Result<_, _>>()?,
            verdict_keys: of(KeyPurpose::Verdict)
                .map(verdict_key)
                .collect::<Result<_, _>>()?,
            signer: unseal(vault, signing)?.fast()?,
        })
    }

    /// Whether nothing that this intermediate signed is believed any more, and since when.
    pub fn distrusted(&self, issuer: KeyId, now: Timestamp) -> Option<Timestamp> {
        let mut keys = self.issuer_keys.iter();
        let key = keys.find(|key| key.public.id() == issuer)?;
        key.distrusted_from.filter(|from| *from <= now)
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

    /// Intermediate and newest root in PEM: what the certificate of this issuer chains to.
    pub fn chain(&self, issuer: Option<&[u8]>) -> Vec<String> {
        let by_id = |one: &&Issuer| Some(&one.id().as_bytes()[..]) == issuer;
        let issuer = self.issuers.iter().find(by_id);
        std::iter::once(issuer.map_or(&self.issuer.der, |issuer| &issuer.der))
            .chain(self.roots.last())
            .map(|der| ca::pem(der))
            .collect()
    }
}

fn issuer_key(row: &SigningKeyRow) -> Result<IssuerKey, CaError> {
    Ok(IssuerKey {
        public: ca::public_key_of(&row.certificate)?,
        validity: (
            Timestamp::from_unix(row.not_before),
            Timestamp::from_unix(row.not_after),
        ),
        distrusted_from: row.distrusted_from.map(Timestamp::from_unix),
    })
}

fn verdict_key(row: &SigningKeyRow) -> Result<VerdictKey, CaError> {
    let ends = [Some(row.not_after), row.retired_at, row.distrusted_from];
    let not_after = ends.into_iter().flatten().fold(row.not_after, i64::min);
    Ok(VerdictKey {
        public: ca::public_key_of(&row.certificate)?,
        certificate: row.certificate.clone(),
        not_before: Timestamp::from_unix(row.not_before),
        not_after: Timestamp::from_unix(not_after),
        distrusted_from: row.distrusted_from.map(Timestamp::from_unix),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    const DAY: i64 = 86_400;

    fn now() -> Timestamp {
        Timestamp::from_unix(1_800_000_000)
    }

    fn vault() -> Vault {
        Vault::create(b"a test credential", [1; 16]).unwrap().0
    }

    /// A root, an intermediate and verdict keys made at these moments, the last of them in use.
    fn rows(vault: &Vault, verdict_keys: &[Timestamp]) -> Vec<SigningKeyRow> {
        let settings = Settings::rehearsal("keyring");
        let root = Issuer::root(&settings, now().plus(-900 * DAY)).unwrap();
        let middle = root
            .intermediate(&settings, now().plus(-800 * DAY))
            .unwrap();
        let mut rows = vec![
            row(vault, KeyPurpose::Root, &root.der, None).unwrap(),
            row(
                vault,
                KeyPurpose::Intermediate,
                &middle.der,
                Some(&middle.key),
            )
            .unwrap(),
        ];
        for moment in verdict_keys {
            for former in rows.iter_mut().filter(|row| row.purpose == "verdict") {
                former.retired_at.get_or_insert(now().unix());
            }
            let (key, der) = middle.verdict_key(&settings, *moment).unwrap();
            rows.push(row(vault, KeyPurpose::Verdict, &der, Some(&key)).unwrap());
        }
        rows
    }

    /// A clock that stood in the future when the former key was made, and was set right since,
    /// must not make verdicts name a key that did not sign them.
    #[test]
    fn verdicts_name_the_key_that_signed_them_whatever_the_clock_did() {
        let vault = vault();
        for moments in [[-2 * DAY, 0], [0, 0], [0, -2 * DAY]] {
            let mut rows = rows(&vault, &moments.map(|seconds| now().plus(seconds)));
            let in_use = rows.last().unwrap().key_id.clone();
            rows.reverse();
            let keyring = Keyring::open(&vault, rows).unwrap();
            let named = keyring.verdict_key_id().unwrap();
            assert_eq!(named.as_bytes(), &in_use[..], "{moments:?}");
            let signature = keyring.sign_bytes(b"a message").unwrap();
            let key = &keyring.verdict_keys.last().unwrap().public;
            assert!(key.verify(b"a message", &signature).is_ok(), "{moments:?}");
        }
    }

    #[test]
    fn what_is_missing_or_was_changed_is_named() {
        let vault = vault();
        let all = rows(&vault, &[now()]);
        let without = |purpose: &str| {
            let left = all.iter().filter(|row| row.purpose != purpose);
            let opened = Keyring::open(&vault, left.cloned().collect());
            opened.unwrap_err().to_string()
        };
        assert!(without("verdict").contains("no verdict key in use"));
        assert!(without("intermediate").contains("no intermediate key in use"));

        let mut retired = all.clone();
        retired[2].retired_at = Some(1);
        let refused = Keyring::open(&vault, retired).unwrap_err().to_string();
        assert!(refused.contains("no verdict key in use"), "{refused}");

        let mut unsealed = all.clone();
        unsealed[2].sealed = None;
        let refused = Keyring::open(&vault, unsealed).unwrap_err().to_string();
        assert!(refused.contains("no private key"), "{refused}");

        // The sealed key of one row in another: what was sealed opens under its own label only.
        let mut swapped = all.clone();
        swapped[2].sealed = swapped[1].sealed.clone();
        let refused = Keyring::open(&vault, swapped).unwrap_err();
        assert!(matches!(refused, KeyringError::Sealed(_)), "{refused}");
    }

    #[test]
    fn what_a_key_signed_counts_until_the_first_of_its_ends() {
        let vault = vault();
        let mut all = rows(&vault, &[now()]);
        let verdict = all.last_mut().unwrap();
        let natural = verdict.not_after;
        for (retired, distrusted, end) in [
            (None, None, natural),
            (Some(500), None, 500),
            (Some(500), Some(400), 400),
            (Some(500), Some(600), 500),
        ] {
            (verdict.retired_at, verdict.distrusted_from) = (retired, distrusted);
            let public = verdict_key(verdict).unwrap();
            assert_eq!(public.not_after.unix(), end);
            assert_eq!(public.distrusted_from.map(Timestamp::unix), distrusted);
        }
    }

    #[test]
    fn a_distrusted_intermediate_is_so_from_its_moment_on() {
        let vault = vault();
        let mut all = rows(&vault, &[now()]);
        all[1].distrusted_from = Some(now().unix());
        let keyring = Keyring::open(&vault, all).unwrap();
        let id = keyring.issuer.id();
        assert_eq!(keyring.distrusted(id, now().plus(-1)), None);
        assert_eq!(keyring.distrusted(id, now()), Some(now()));
        let stranger = KeyId::from_bytes([0; 8]);
        assert_eq!(keyring.distrusted(stranger, now()), None);
        // A chain is intermediate and root; of an issuer nobody knows, the one in use.
        let chain = keyring.chain(Some(id.as_bytes()));
        assert_eq!(
            chain,
            [ca::pem(&keyring.issuer.der), ca::pem(&keyring.roots[0])]
        );
        assert_eq!(keyring.chain(Some(stranger.as_bytes())), chain);
    }
}
