//! Chips that prove themselves: a challenge, the evidence, a credential only the right chip opens.
//!
//! Three steps, each good once and for five minutes: the camera asks for a nonce; it sends what its
//! TPM certified under that nonce and receives a credential; it sends the secret inside with its
//! provisioning request. Then the signing key lives in a chip whose maker is in the configured
//! folder.

mod makers;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use birthmark_protocol::attestation::{
    AttestationError, Credential, CredentialSecret, EccRandomness, EndorsementKey, Evidence,
    SeedEncryption,
};
use birthmark_protocol::{PublicKey, Timestamp};
use der::Encode;
use der::asn1::BitString;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

pub use makers::{MakerError, Makers};

use crate::random;

/// How long each step may take.
const TIME: Duration = Duration::from_secs(300);
/// How many chips may be proving themselves at once.
const LARGEST: usize = 10_000;

/// Chips that are proving themselves.
#[derive(Debug)]
pub struct Attestations {
    makers: Option<Makers>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    nonces: HashMap<[u8; 32], Instant>,
    sessions: HashMap<[u8; 16], Session>,
}

struct Session {
    until: Instant,
    secret: CredentialSecret,
    signing_key: PublicKey,
    chip: [u8; 32],
    attestation_key: Vec<u8>,
}

/// What the chip gets for its evidence.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// Names the session.
    pub session: [u8; 16],
    /// Opens only in the chip, beside the attestation key.
    pub credential: Credential,
}

/// Why a chip is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Disbelief {
    /// The configuration names no makers.
    #[error("this authority does not take attestations")]
    NotConfigured,
    /// Too many at once.
    #[error("too many cameras are being provisioned at once")]
    Busy,
    /// The nonce was never given, is used, or too old.
    #[error("the nonce is unknown, used or expired")]
    Nonce,
    /// The session was never begun, is used, or too old.
    #[error("the session is unknown, used or expired")]
    Session,
    /// The chip did not open the credential.
    #[error(
        "the credential's secret is wrong: the attestation key is not in the chip of the endorsement certificate"
    )]
    Secret,
    /// The evidence does not hold.
    #[error(transparent)]
    Evidence(#[from] AttestationError),
    /// The endorsement certificate is of nobody we know.
    #[error(transparent)]
    Maker(#[from] MakerError),
    /// No randomness.
    #[error("no randomness")]
    Random(#[from] crate::random::NoRandomness),
}

/// What a chip proved.
#[derive(Debug)]
pub struct Attested {
    /// The key that lives in it.
    pub key: PublicKey,
    /// SHA-256 of its endorsement key.
    pub chip: [u8; 32],
    /// The public area of the key that vouches for its other keys.
    pub attestation_key: Vec<u8>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Waiting({} nonces, {} sessions)",
            self.nonces.len(),
            self.sessions.len()
        )
    }
}

impl Attestations {
    /// Reads the certificates of the makers in `folder`, if there is one.
    pub fn open(folder: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self {
            makers: folder.map(Makers::read).transpose()?,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self, now: Instant) -> std::sync::MutexGuard<'_, Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.nonces.retain(|_, until| *until > now);
        waiting.sessions.retain(|_, session| session.until > now);
        waiting
    }

    /// The first step: a nonce for the chip to include.
    pub fn begin(&self, now: Instant) -> Result<[u8; 32], Disbelief> {
        if self.makers.is_none() {
            return Err(Disbelief::NotConfigured);
        }
        let nonce = random::bytes()?;
        let mut waiting = self.waiting(now);
        if waiting.nonces.len() >= LARGEST {
            return Err(Disbelief::Busy);
        }
        waiting.nonces.insert(nonce, now + TIME);
        Ok(nonce)
    }

    /// The second step: checks the evidence and makes the credential.
    pub fn examine(
        &self,
        nonce: &[u8; 32],
        evidence: &Evidence,
        now: Instant,
        today: Timestamp,
    ) -> Result<Challenge, Disbelief> {
        let makers = self.makers.as_ref().ok_or(Disbelief::NotConfigured)?;
        // Gone with the first attempt, whatever comes of it.
        self.waiting(now)
            .nonces
            .remove(nonce)
            .ok_or(Disbelief::Nonce)?;
        let checked = evidence.check(nonce)?;
        let certificate = evidence
            .endorsement_certificate
            .as_deref()
            .ok_or(AttestationError::Certificate("is missing"))?;
        let chip = makers.vouch(certificate, today)?;
        checked.endorsement_key.is_certified_by(certificate)?;
        let secret = CredentialSecret::from_bytes(random::bytes()?);
        let credential = make_credential(&checked.endorsement_key, |encryption| {
            Credential::make(
                &checked.endorsement_key,
                &checked.attestation_key_name,
                &secret,
                encryption,
            )
        })?;
        let session = random::bytes()?;
        let mut waiting = self.waiting(now);
        if waiting.sessions.len() >= LARGEST {
            return Err(Disbelief::Busy);
        }
        waiting.sessions.insert(
            session,
            Session {
                until: now + TIME,
                secret,
                signing_key: checked.signing_key,
                chip,
                attestation_key: evidence.attestation_key.clone(),
            },
        );
        Ok(Challenge {
            session,
            credential,
        })
    }

    /// The third step: what is now known to live in a chip.
    pub fn finish(
        &self,
        session: &[u8; 16],
        secret: &CredentialSecret,
        now: Instant,
    ) -> Result<Attested, Disbelief> {
        let session = self
            .waiting(now)
            .sessions
            .remove(session)
            .ok_or(Disbelief::Session)?;
        if session.secret == *secret {
            Ok(Attested {
                key: session.signing_key,
                chip: session.chip,
                attestation_key: session.attestation_key,
            })
        } else {
            Err(Disbelief::Secret)
        }
    }
}

fn make_credential(
    key: &EndorsementKey,
    make: impl Fn(SeedEncryption<'_>) -> Result<Credential, AttestationError>,
) -> Result<Credential, Disbelief> {
    let encryption = match key {
        EndorsementKey::Rsa { .. } => SeedEncryption::Rsa {
            seed: Zeroizing::new(random::bytes()?),
            encrypt: &oaep,
        },
        EndorsementKey::P256(_) => SeedEncryption::P256(EccRandomness(random::bytes()?)),
    };
    Ok(make(encryption)?)
}

/// RSA-OAEP with SHA-256 over an RSAPublicKey.
fn oaep(key_der: &[u8], label: &[u8], seed: &[u8]) -> Result<Vec<u8>, String> {
    let reason = |error: &dyn std::fmt::Display| error.to_string();
    let spki = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: const_oid::db::rfc5912::RSA_ENCRYPTION,
            parameters: Some(der::Any::null()),
        },
        subject_public_key: BitString::from_bytes(key_der).map_err(|error| reason(&error))?,
    };
    let spki = spki.to_der().map_err(|error| reason(&error))?;
    let key = PublicEncryptingKey::from_der(&spki).map_err(|error| reason(&error))?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|error| reason(&error))?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let sealed = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, seed, &mut sealed, Some(label))
        .map_err(|error| reason(&error))?;
    Ok(sealed.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attestations() -> Attestations {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::Settings::rehearsal("makers");
        let root = crate::issue::ca::Issuer::root(&settings, crate::clock::now()).unwrap();
        let pem = crate::issue::ca::pem(&root.der);
        std::fs::write(folder.path().join("root.pem"), pem).unwrap();
        Attestations::open(Some(folder.path())).unwrap()
    }

    /// Nonces of strangers who never come back must not grow without end, nor for good keep out
    /// those who do.
    #[test]
    fn so_many_nonces_wait_and_are_forgotten_in_time() {
        let (chips, start) = (attestations(), Instant::now());
        for _ in 0..LARGEST {
            chips.begin(start).unwrap();
        }
        assert!(matches!(chips.begin(start), Err(Disbelief::Busy)));
        let late = start + TIME;
        chips.begin(late).unwrap();
        assert_eq!(chips.waiting(late).nonces.len(), 1);
    }

    #[test]
    fn where_no_maker_is_named_nothing_is_attested() {
        let chips = Attestations::open(None).unwrap();
        let refused = chips.begin(Instant::now());
        assert!(matches!(refused, Err(Disbelief::NotConfigured)));
    }

    #[test]
    fn a_session_is_finished_once_in_time_and_with_its_own_secret() {
        let (chips, start) = (attestations(), Instant::now());
        let secret = || CredentialSecret::from_bytes([5; 32]);
        let key = crate::issue::ca::PrivateKey::generate().unwrap().public();
        let wait = |name: u8| {
            let session = Session {
                until: start + TIME,
                secret: secret(),
                signing_key: key.clone(),
                chip: [name; 32],
                attestation_key: Vec::new(),
            };
            chips.waiting(start).sessions.insert([name; 16], session);
        };
        (1..=3).for_each(wait);
        let finish = |name: u8, secret: &CredentialSecret, now| {
            let done = chips.finish(&[name; 16], secret, now);
            done.map(|attested| attested.chip)
        };
        assert_eq!(finish(1, &secret(), start).unwrap(), [1; 32]);
        let again = finish(1, &secret(), start);
        assert!(matches!(again, Err(Disbelief::Session)));
        // A wrong secret ends the session: there is one guess.
        let wrong = finish(2, &CredentialSecret::from_bytes([6; 32]), start);
        assert!(matches!(wrong, Err(Disbelief::Secret)));
        let after = finish(2, &secret(), start);
        assert!(matches!(after, Err(Disbelief::Session)));
        let late = finish(3, &secret(), start + TIME);
        assert!(matches!(late, Err(Disbelief::Session)));
    }
}
