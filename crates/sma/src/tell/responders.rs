//! The keys that answer about single certificates (OCSP), one for each intermediate.
//!
//! The intermediate's own key signs certificates and nothing that a stranger's request has a part
//! in. A responder's key lives in this process alone, for as long as it runs and at most a month.

use birthmark_protocol::{KeyId, Timestamp};

use crate::issue::ca::{CaError, PrivateKey};
use crate::keep::keyring::Keyring;
use crate::settings::Settings;

/// A responder is replaced when it has this many seconds left.
const SOON: i64 = 15 * 86400;

/// All responders.
#[derive(Debug)]
pub struct Responders(Vec<Responder>);

/// Answers for one intermediate.
#[derive(Debug)]
pub struct Responder {
    issuer: KeyId,
    /// What signs.
    pub key: PrivateKey,
    /// The responder's certificate under the intermediate, in DER.
    pub certificate: Vec<u8>,
    until: Timestamp,
}

impl Responders {
    /// Makes one for each intermediate. One that has expired gets none: so have all its
    /// certificates.
    pub fn new(settings: &Settings, keyring: &Keyring, now: Timestamp) -> Result<Self, CaError> {
        let living = keyring
            .issuers
            .iter()
            .filter(|issuer| now <= issuer.not_after());
        let responders = living.map(|issuer| {
            let (key, certificate, until) = issuer.responder(settings, now)?;
            Ok(Responder {
                issuer: issuer.id(),
                key,
                certificate,
                until,
            })
        });
        responders.collect::<Result<_, _>>().map(Self)
    }

    /// The responder for this intermediate.
    pub fn of(&self, issuer: KeyId) -> Option<&Responder> {
        self.0.iter().find(|responder| responder.issuer == issuer)
    }

    /// Whether one of them ends soon.
    pub fn end_soon(&self, now: Timestamp) -> bool {
        self.0
            .iter()
            .any(|responder| responder.until.since(now) < SOON)
    }
}
