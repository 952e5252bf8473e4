//! Says whether a token or certificate comes from a genuine camera. No I/O: keys, cameras and revocations are in memory.
//!
//! A pass means: the token opens under its table's key, the NUC hash inside belongs to a registered camera, that camera
//! holds that table, and no revocation covers it now. Nothing of a former answer is reused.

mod activity;
pub mod cameras;
pub mod rules;
pub mod tables;

use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::token_claim::TokenClaim;
use birthmark_protocol::{
    CameraCertificate, CameraToken, Commitment, DerivationProfile, OpenedBy, Proof, PublicKey,
    Timestamp,
};

use crate::judge::cameras::{Cameras, Device, IssuedCertificate};
use crate::judge::rules::Rules;
use crate::judge::tables::KeyTables;

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
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::NotOpened,
        Self::UnknownDevice,
        Self::ForeignTable,
        Self::Revoked,
        Self::ForeignIssuer,
        Self::Expired,
        Self::Malformed,
        Self::Contradiction,
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
        }
    }

    /// The byte in the audit log.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The reason behind a byte of the audit log.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|refusal| refusal.to_byte() == byte)
    }

    /// What a node is told. The first three look alike: the difference would tell somebody who forges tokens how far they got.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotOpened | Self::UnknownDevice | Self::ForeignTable => {
                "the token is not one of a registered camera"
            }
            Self::Revoked => "the camera is revoked",
            Self::ForeignIssuer => "the certificate was not issued by this authority",
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
    /// What was judged. A token alone is never more than a token, whatever is known about its camera.
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
    pub issuers: &'a [PublicKey],
    /// The time of the question.
    pub now: Timestamp,
}

impl<'a> Judge<'a> {
    /// Judges a token; `commitment` is what it may be bound to.
    pub fn token(
        &self,
        token: &CameraToken,
        commitment: Option<&Commitment>,
    ) -> Result<Passed<'a>, Refusal> {
        let master = self.tables.get(token.table).ok_or(Refusal::NotOpened)?;
        let opened = token.open(master, commitment).ok_or(Refusal::NotOpened)?;
        self.opened(token, opened, Proof::Token)
    }

    /// Judges a certificate: issuer, validity, the token inside, revocation.
    pub fn certificate(&self, certificate: &CameraCertificate) -> Result<Passed<'a>, Refusal> {
        if !self
            .issuers
            .iter()
            .any(|issuer| signed_by(certificate, issuer))
        {
            return Err(Refusal::ForeignIssuer);
        }
        if !certificate.valid_at(self.now) {
            return Err(Refusal::Expired);
        }
        let token = &certificate.extensions().token;
        let master = self.tables.get(token.table).ok_or(Refusal::NotOpened)?;
        let opened = token.open_certificate(master).ok_or(Refusal::NotOpened)?;
        if opened.1 != OpenedBy::Derived(DerivationProfile::A) {
            log::info!(
                "a certificate of an earlier form was opened with {:?}",
                opened.1
            );
        }
        let proof = Proof::Certificate {
            key: certificate.key().digest(),
            attested: false,
        };
        let passed = self.opened(token, opened, proof)?;
        let issued =
            IssuedCertificate::new(certificate.serial(), certificate.validity().0.unix(), None);
        match self.rules.covering_certificate(&issued, self.now) {
            Some(_) => Err(Refusal::Revoked),
            None => Ok(attested(passed)),
        }
    }

    /// Judges what a camera showed: a token, or a certificate with or without a token, which must then be of one camera.
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

    fn opened(
        &self,
        token: &CameraToken,
        (nuc, _): (birthmark_protocol::NucHash, OpenedBy),
        proof: Proof,
    ) -> Result<Passed<'a>, Refusal> {
        let device = self.cameras.find(&nuc).ok_or(Refusal::UnknownDevice)?;
        if !device.tables.contains(&token.table) {
            return Err(Refusal::ForeignTable);
        }
        if self.rules.covering(device, self.now).is_some() {
            return Err(Refusal::Revoked);
        }
        Ok(Passed { device, proof })
    }
}

/// The same pass over a certificate, with what the authority saw of its key.
fn attested(passed: Passed<'_>) -> Passed<'_> {
    let proof = match passed.proof {
        Proof::Certificate { key, .. } => Proof::Certificate {
            key,
            attested: passed.device.attested,
        },
        Proof::Token => Proof::Token,
    };
    Passed { proof, ..passed }
}

/// Whether `issuer` signed the certificate. The measured hot path of certificate validation, so not the protocol's own check.
fn signed_by(certificate: &CameraCertificate, issuer: &PublicKey) -> bool {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, issuer.to_sec1());
    key.verify(certificate.tbs_der(), &certificate.signature().to_bytes())
        .is_ok()
}
