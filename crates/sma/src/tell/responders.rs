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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::ca::Issuer;
    use crate::keep::keyring::row;
    use crate::keep::store::KeyPurpose;
    use crate::keep::vault::Vault;

    const DAY: i64 = 86_400;

    fn now() -> Timestamp {
        Timestamp::from_unix(1_800_000_000)
    }

    /// A keyring with intermediates that began so many days ago, the last of them in use.
    fn keyring(settings: &Settings, began: &[i64]) -> Keyring {
        let (vault, _) = Vault::create(b"a test credential", [1; 16]).unwrap();
        let root = Issuer::root(settings, now().plus(-3000 * DAY)).unwrap();
        let middles: Vec<_> = began
            .iter()
            .map(|days| {
                root.intermediate(settings, now().plus(-days * DAY))
                    .unwrap()
            })
            .collect();
        let intermediate = |middle: &Issuer| {
            let key = Some(&middle.key);
            row(&vault, KeyPurpose::Intermediate, &middle.der, key).unwrap()
        };
        let mut rows: Vec<_> = middles.iter().map(intermediate).collect();
        for former in rows.iter_mut().rev().skip(1) {
            former.retired_at = Some(now().unix());
        }
        let (key, der) = middles
            .last()
            .unwrap()
            .verdict_key(settings, now())
            .unwrap();
        rows.push(row(&vault, KeyPurpose::Verdict, &der, Some(&key)).unwrap());
        rows.push(row(&vault, KeyPurpose::Root, &root.der, None).unwrap());
        Keyring::open(&vault, rows).unwrap()
    }

    #[test]
    fn each_living_intermediate_has_a_responder_of_its_own() {
        let settings = Settings::rehearsal("responders");
        // Five years: the first of them is over.
        let keyring = keyring(&settings, &[1900, 100, 1]);
        let responders = Responders::new(&settings, &keyring, now()).unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for (issuer, living) in keyring.issuers.iter().zip([true, true, false]) {
            let found = responders.of(issuer.id());
            assert_eq!(found.is_some(), living);
            if let Some(responder) = found {
                assert!(crate::issue::ca::is_signed_by(
                    &responder.certificate,
                    &issuer.public()
                ));
                assert_ne!(responder.key.public(), issuer.public());
                keys.insert(responder.key.public().id());
            }
        }
        assert_eq!(keys.len(), 2);
        assert!(responders.of(KeyId::from_bytes([0; 8])).is_none());
    }

    #[test]
    fn responders_end_within_a_month_and_are_replaced_at_half_of_it() {
        let settings = Settings::rehearsal("responders");
        let keyring = keyring(&settings, &[1]);
        let responders = Responders::new(&settings, &keyring, now()).unwrap();
        let end = responders.of(keyring.issuer.id()).unwrap().until;
        assert!((29..=30).contains(&(end.since(now()) / DAY)));
        assert!(!responders.end_soon(now()));
        assert!(!responders.end_soon(end.plus(-SOON)));
        assert!(responders.end_soon(end.plus(1 - SOON)));
    }
}
