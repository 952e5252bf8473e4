//! Says whether a token or certificate comes from a genuine camera. No I/O: keys, cameras and
//! revocations are in memory.
//!
//! A pass means: the token opens under its table's key, the NUC hash inside belongs to a registered
//! camera, that camera holds that table, and no revocation covers it now. A certificate passes only
//! if it is the one that was issued to that camera. Of a former answer nothing is reused but that
//! our key signed these bytes.

mod activity;
pub mod cameras;
pub mod checked;
pub mod rules;
pub mod tables;
#[cfg(test)]
mod tests;

use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::token_claim::TokenClaim;
use birthmark_protocol::{
    CameraCertificate, CameraToken, Commitment, DerivationProfile, Digest, OpenedBy, OpenedToken,
    Proof, Timestamp,
};

use crate::judge::cameras::{Cameras, Device, padded};
use crate::judge::checked::CheckedCertificates;
use crate::judge::rules::Rules;
use crate::judge::tables::KeyTables;
use crate::keep::keyring::IssuerKey;

/// Why the answer is no. What a node is told is less precise, see [`Refusal::message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// The token does not open under the key it names.
    NotOpened = 1,
    /// No camera has the NUC hash inside.
    UnknownDevice = 2,
    /// The camera does not hold the table.
    ForeignTable = 3,
    /// A revocation covers the camera or its certificate.
    Revoked = 4,
    /// None of our keys signed the certificate.
    ForeignIssuer = 5,
    /// The certificate is not valid now.
    Expired = 6,
    /// The certificate is not one of a camera.
    Malformed = 7,
    /// Token and certificate are of different cameras.
    Contradiction = 8,
    /// One of our keys signed the certificate, but it was never issued.
    NotIssued = 9,
    /// The key that signed the certificate may have been in other hands.
    Distrusted = 10,
    /// The token is bound to nothing, but this camera binds its tokens.
    Unbound = 11,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::NotOpened,
        Self::UnknownDevice,
        Self::ForeignTable,
        Self::Revoked,
        Self::ForeignIssuer,
        Self::Expired,
        Self::Malformed,
        Self::Contradiction,
        Self::NotIssued,
        Self::Distrusted,
        Self::Unbound,
    ];

    /// The word in statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOpened => "not-opened",
            Self::UnknownDevice => "unknown-device",
            Self::ForeignTable => "foreign-table",
            Self::Revoked => "revoked",
            Self::ForeignIssuer => "foreign-issuer",
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::Contradiction => "contradiction",
            Self::NotIssued => "not-issued",
            Self::Distrusted => "distrusted-issuer",
            Self::Unbound => "unbound",
        }
    }

    /// What a node is told. Those about tokens look alike: the difference would tell somebody who
    /// forges tokens how far they got.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotOpened | Self::UnknownDevice | Self::ForeignTable | Self::Unbound => {
                "the token is not one of a registered camera"
            }
            Self::Revoked => "the camera is revoked",
            Self::ForeignIssuer | Self::NotIssued | Self::Distrusted => {
                "the certificate was not issued by this authority"
            }
            Self::Expired => "the certificate is not valid at this time",
            Self::Malformed => "the certificate is not a camera certificate",
            Self::Contradiction => "the token and the certificate do not belong together",
        }
    }
}

/// A camera that passed.
#[derive(Debug)]
pub struct Passed<'a> {
    /// The camera.
    pub device: &'a Device,
    /// What was judged. A token alone is never more than a token, whatever is known about its
    /// camera.
    pub proof: Proof,
}

/// Everything a judgement rests on.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The master keys.
    pub tables: &'a KeyTables,
    /// The cameras.
    pub cameras: &'a Cameras,
    /// The revocations.
    pub rules: &'a Rules,
    /// The keys that sign or signed camera certificates.
    pub issuers: &'a [IssuerKey],
    /// What those keys were found to have signed.
    pub checked: &'a CheckedCertificates,
    /// The time of the question.
    pub now: Timestamp,
}

impl<'a> Judge<'a> {
    /// Judges a token; `commitment` is what it may be bound to. A token alone says that a camera
    /// stands behind it, never that the key did which the camera's chip attested.
    fn token(
        &self,
        token: &CameraToken,
        commitment: Option<&Commitment>,
    ) -> Result<Passed<'a>, Refusal> {
        let master = self.tables.get(token.table).ok_or(Refusal::NotOpened)?;
        let opened = token.open(master, commitment).ok_or(Refusal::NotOpened)?;
        let device = self.holder(token, &opened)?;
        if device.binds_tokens && !opened.bound {
            return Err(Refusal::Unbound);
        }
        let proof = Proof::Token;
        Ok(Passed { device, proof })
    }

    /// Judges a certificate: issuer, dates, the token inside, revocation, and whether it was
    /// issued.
    fn certificate(&self, certificate: &CameraCertificate) -> Result<Passed<'a>, Refusal> {
        let issuer = self.checked.issuer(certificate, self.issuers);
        let issuer = issuer.ok_or(Refusal::ForeignIssuer)?;
        if issuer.is_distrusted(self.now) {
            return Err(Refusal::Distrusted);
        }
        let (from, until) = issuer.validity;
        let begins = certificate.validity().0;
        // A photo that waited in its camera may come after the certificate's end. When it was taken
        // is not known here: that it lies within the validity is the validator's to see.
        if !certificate.serves_at(self.now) || begins < from || until < begins {
            return Err(Refusal::Expired);
        }
        let token = &certificate.extensions().token;
        let master = self.tables.get(token.table).ok_or(Refusal::NotOpened)?;
        let spki = certificate.key().to_spki_der();
        let opened = token.open_certificate(master, &spki);
        let opened = opened.ok_or(Refusal::NotOpened)?;
        if opened.by != OpenedBy::Derived(DerivationProfile::A) {
            log::info!(
                "a certificate of an earlier form was opened with {:?}",
                opened.by
            );
        }
        let device = self.holder(token, &opened)?;
        // The token inside can be copied out of any published certificate, and somebody else may
        // have the key of a former intermediate: only what was issued counts.
        let (serial, key_hash) = (padded(certificate.serial()), Digest::of(&spki));
        let issued = device
            .certificates()
            .any(|issued| issued.serial == serial && issued.key_hash == key_hash);
        if !issued {
            return Err(Refusal::NotIssued);
        }
        let proof = Proof::Certificate {
            key: key_hash,
            attested: device.attested,
        };
        Ok(Passed { device, proof })
    }

    /// Judges what a camera showed: a token, or a certificate with or without a token, which must
    /// then be of one camera.
    pub fn proof(
        &self,
        proof: &CameraProof,
        commitment: Option<&Commitment>,
    ) -> Result<Passed<'a>, Refusal> {
        match proof {
            CameraProof::Token(claim) => self.token_claim(claim, commitment),
            CameraProof::Certificate(certificate, None) => self.certificate(certificate),
            CameraProof::Certificate(certificate, Some(token)) => {
                let by_certificate = self.certificate(certificate)?;
                let by_token = self.token_claim(token, commitment)?;
                if by_token.device.id == by_certificate.device.id {
                    Ok(by_certificate)
                } else {
                    Err(Refusal::Contradiction)
                }
            }
        }
    }

    /// Tries every key a token may have; decoys fail, and the most telling failure is reported.
    fn token_claim(
        &self,
        claim: &TokenClaim,
        commitment: Option<&Commitment>,
    ) -> Result<Passed<'a>, Refusal> {
        let mut refusal = Refusal::NotOpened;
        for token in claim.candidates() {
            match self.token(&token, commitment) {
                Ok(passed) => return Ok(passed),
                Err(Refusal::NotOpened) => {}
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }

    /// The camera whose NUC hash was in the token, if it holds the table and is not revoked.
    fn holder(&self, token: &CameraToken, opened: &OpenedToken) -> Result<&'a Device, Refusal> {
        let device = self
            .cameras
            .find(&opened.nuc)
            .ok_or(Refusal::UnknownDevice)?;
        if !device.tables.contains(&token.table) {
            return Err(Refusal::ForeignTable);
        }
        if self.rules.covering(device, self.now).is_some() {
            return Err(Refusal::Revoked);
        }
        Ok(device)
    }
}
