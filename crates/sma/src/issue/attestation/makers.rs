//! The makers of TPMs whose chips are believed.
//!
//! Whoever can put a certificate into the folder can have software pass as a chip.

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature as aws;
use birthmark_protocol::Timestamp;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
};
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION,
    SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use der::{Decode, Encode, Reader as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

use crate::issue::ca;

/// The purpose of an endorsement key, in its certificate (TCG EK Credential Profile).
const ENDORSEMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// Who made the chip, which model and which firmware: together they name a TPM.
const CHIP_NAMES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.23.133.2.1"),
    ObjectIdentifier::new_unwrap("2.23.133.2.2"),
    ObjectIdentifier::new_unwrap("2.23.133.2.3"),
];
/// Critical extensions that are looked at, or change nothing about what a certificate proves here.
const UNDERSTOOD: [ObjectIdentifier; 5] = [
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_CERTIFICATE_POLICIES,
];
/// No chain of a maker is longer.
const LONGEST: usize = 6;

/// The makers' certificates.
#[derive(Debug)]
pub struct Makers(Vec<Certificate>);

/// Why no maker vouches for a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MakerError {
    /// Not X.509.
    #[error("the endorsement certificate is malformed")]
    Malformed,
    /// No certificate in the folder signed it.
    #[error("the endorsement certificate is of no maker this authority knows")]
    Unknown,
    /// Out of date.
    #[error("the endorsement certificate, or one of its issuers', is not valid at this time")]
    Expired,
    /// A certificate of the same maker for something else.
    #[error("the certificate is not one of a TPM's endorsement key: {0}")]
    NoChip(&'static str),
    /// Its issuers may not sign what they signed.
    #[error("the endorsement certificate's chain does not hold: {0}")]
    Chain(&'static str),
}

impl Makers {
    /// Reads all PEM files in `folder`. Roots and intermediates stand side by side; each
    /// intermediate's root must be there.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut certificates = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "pem" || extension == "crt")
            {
                let text = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
                let read = Certificate::load_pem_chain(&text)
                    .with_context(|| format!("{}", path.display()))?;
                certificates.extend(read);
            }
        }
        let makers = Self(certificates);
        ensure!(
            !makers.0.is_empty(),
            "{} holds no certificate (*.pem, *.crt)",
            folder.display()
        );
        for certificate in &makers.0 {
            let subject = certificate.tbs_certificate().subject();
            ensure!(
                may_sign(certificate),
                "{subject} is not a certificate that may sign others"
            );
            let der = certificate.to_der()?;
            ensure!(
                makers.issuer_of(certificate, &der).is_some(),
                "the issuer of {subject} is not in {}",
                folder.display()
            );
        }
        Ok(makers)
    }

    fn issuer_of(&self, certificate: &Certificate, der: &[u8]) -> Option<&Certificate> {
        let name = certificate.tbs_certificate().issuer();
        self.0.iter().find(|maker| {
            maker.tbs_certificate().subject() == name && is_signed(certificate, der, maker)
        })
    }

    /// Succeeds when this is the certificate of a TPM's endorsement key and a chain of the makers'
    /// leads from it to a root, all valid at `now`; SHA-256 of the endorsement key, which names the
    /// chip.
    pub fn vouch(&self, der: &[u8], now: Timestamp) -> Result<[u8; 32], MakerError> {
        let certificate = Certificate::from_der(der).map_err(|_| MakerError::Malformed)?;
        is_chip(&certificate)?;
        let key = ca::key_hash(&certificate).map_err(|_| MakerError::Malformed)?;
        let mut current = (certificate, der.to_vec());
        for below in 0..LONGEST {
            let (certificate, der) = &current;
            if !is_valid(certificate, now) {
                return Err(MakerError::Expired);
            }
            if below > 0 && is_root(certificate, der) {
                return Ok(*key.as_bytes());
            }
            let issuer = self
                .issuer_of(certificate, der)
                .ok_or(MakerError::Unknown)?;
            may_issue(issuer, below)?;
            let der = issuer.to_der().map_err(|_| MakerError::Malformed)?;
            current = (issuer.clone(), der);
        }
        Err(MakerError::Chain("it is too long"))
    }
}

fn is_valid(certificate: &Certificate, now: Timestamp) -> bool {
    let (from, until) = ca::validity(certificate);
    from <= now && now <= until
}

fn is_root(certificate: &Certificate, der: &[u8]) -> bool {
    let body = certificate.tbs_certificate();
    body.subject() == body.issuer() && is_signed(certificate, der, certificate)
}

/// Whether a certificate is about the endorsement key of a TPM, and not about something else of its
/// maker's.
fn is_chip(certificate: &Certificate) -> Result<(), MakerError> {
    if may_sign(certificate) {
        return Err(MakerError::NoChip("it may sign others"));
    }
    let body = certificate.tbs_certificate();
    let extensions = body.extensions().into_iter().flatten();
    // RFC 5280: what is critical and not understood makes the certificate unusable.
    if extensions
        .filter(|one| one.critical)
        .any(|one| !UNDERSTOOD.contains(&one.extn_id))
    {
        return Err(MakerError::NoChip("a critical extension is not understood"));
    }
    let malformed = |_| MakerError::Malformed;
    let usage = body.get_extension::<KeyUsage>().map_err(malformed)?;
    if let Some((_, usage)) = usage
        && !usage.key_encipherment()
        && !usage.key_agreement()
    {
        return Err(MakerError::NoChip("its key usage is another"));
    }
    let purposes = body
        .get_extension::<ExtendedKeyUsage>()
        .map_err(malformed)?;
    if purposes.is_some_and(|(_, purposes)| purposes.0.contains(&ENDORSEMENT)) {
        return Ok(());
    }
    let names = body.get_extension::<SubjectAltName>().map_err(malformed)?;
    if names.is_some_and(|(_, names)| names_a_chip(&names)) {
        return Ok(());
    }
    Err(MakerError::NoChip(
        "it has neither the purpose nor the names of one",
    ))
}

fn names_a_chip(names: &SubjectAltName) -> bool {
    let attributes: Vec<_> = names
        .0
        .iter()
        .filter_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name),
            _ => None,
        })
        .flat_map(|name| name.iter())
        .map(|attribute| attribute.oid)
        .collect();
    CHIP_NAMES.iter().all(|wanted| attributes.contains(wanted))
}

/// Whether a maker's certificate may have signed one with so many others below it.
fn may_issue(issuer: &Certificate, below: usize) -> Result<(), MakerError> {
    let body = issuer.tbs_certificate();
    let malformed = |_| MakerError::Malformed;
    let constraints = body
        .get_extension::<BasicConstraints>()
        .map_err(malformed)?;
    let Some((_, constraints)) = constraints.filter(|(_, constraints)| constraints.ca) else {
        return Err(MakerError::Chain("an issuer may not sign others"));
    };
    // The leaf itself does not count.
    let longest = constraints.path_len_constraint.map(usize::from);
    if longest.is_some_and(|longest| below > longest) {
        return Err(MakerError::Chain("it is longer than an issuer allows"));
    }
    let usage = body.get_extension::<KeyUsage>().map_err(malformed)?;
    match usage {
        Some((_, usage)) if !usage.key_cert_sign() => Err(MakerError::Chain(
            "an issuer's key may not sign certificates",
        )),
        _ => Ok(()),
    }
}

fn may_sign(certificate: &Certificate) -> bool {
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<BasicConstraints>();
    constraints
        .ok()
        .flatten()
        .is_some_and(|(_, constraints)| constraints.ca)
}

fn algorithm(oid: ObjectIdentifier) -> Option<&'static dyn aws::VerificationAlgorithm> {
    Some(match oid {
        SHA_256_WITH_RSA_ENCRYPTION => &aws::RSA_PKCS1_2048_8192_SHA256,
        SHA_384_WITH_RSA_ENCRYPTION => &aws::RSA_PKCS1_2048_8192_SHA384,
        SHA_512_WITH_RSA_ENCRYPTION => &aws::RSA_PKCS1_2048_8192_SHA512,
        ECDSA_WITH_SHA_256 => &aws::ECDSA_P256_SHA256_ASN1,
        ECDSA_WITH_SHA_384 => &aws::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    })
}

/// Whether `issuer` signed the certificate with these bytes.
fn is_signed(certificate: &Certificate, der: &[u8], issuer: &Certificate) -> bool {
    let key = issuer.tbs_certificate().subject_public_key_info();
    let parts = (
        algorithm(certificate.signature_algorithm().oid),
        key.subject_public_key.as_bytes(),
        certificate.signature().as_bytes(),
        signed_part(der),
    );
    let (Some(algorithm), Some(key), Some(signature), Some(signed)) = parts else {
        return false;
    };
    aws::UnparsedPublicKey::new(algorithm, key)
        .verify(signed, signature)
        .is_ok()
}

/// The bytes the issuer signed, as they were sent.
fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut reader = der::SliceReader::new(der).ok()?;
    der::Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::ca::{Issuer, PrivateKey, Request};
    use crate::settings::Settings;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn makers() -> (Makers, Issuer, Issuer) {
        let settings = Settings::rehearsal("Chip maker");
        let root = Issuer::root(&settings, NOW).unwrap();
        let middle = root.intermediate(&settings, NOW).unwrap();
        let both = [&root, &middle].map(|issuer| issuer.certificate.clone());
        (Makers(both.into()), root, middle)
    }

    /// A leaf under the maker's intermediate, changed as a test wants it.
    fn leaf(middle: &Issuer, change: impl FnOnce(&mut Request)) -> Vec<u8> {
        let key = PrivateKey::generate().unwrap().public().to_spki_der();
        let name = "CN=something".parse().unwrap();
        let mut request = Request::leaf(name, (NOW.plus(-10), NOW.plus(1000)));
        request.usage(x509_cert::ext::pkix::KeyUsages::KeyAgreement);
        change(&mut request);
        let issuer = middle.certificate.tbs_certificate().subject().clone();
        request
            .sign(&key, &middle.key, &issuer, Some(&middle.certificate))
            .unwrap()
    }

    #[test]
    fn a_leaf_without_the_endorsement_purpose_is_no_chip() {
        let (makers, _, middle) = makers();
        let chip = leaf(&middle, |request| request.purpose(ENDORSEMENT).unwrap());
        assert!(makers.vouch(&chip, NOW).is_ok());
        let plain = makers.vouch(&leaf(&middle, |_| {}), NOW).unwrap_err();
        assert!(matches!(plain, MakerError::NoChip(_)), "{plain}");
        let other = leaf(&middle, |request| {
            request
                .purpose(const_oid::db::rfc5280::ID_KP_SERVER_AUTH)
                .unwrap()
        });
        assert!(matches!(
            makers.vouch(&other, NOW),
            Err(MakerError::NoChip(_))
        ));
        // The maker's own certificates are of no chip either.
        let signing = makers.vouch(&middle.der, NOW).unwrap_err();
        assert!(signing.to_string().contains("may sign"), "{signing}");
    }

    #[test]
    fn every_certificate_of_the_chain_must_be_in_date() {
        let (makers, _, middle) = makers();
        let chip = leaf(&middle, |request| request.purpose(ENDORSEMENT).unwrap());
        let expired = Err(MakerError::Expired);
        assert_eq!(makers.vouch(&chip, NOW.plus(2000)), expired);
        assert_eq!(makers.vouch(&chip, NOW.plus(-20)), expired);
        // An intermediate whose root ended before it.
        let settings = Settings::rehearsal("Chip maker");
        let long_ago = NOW.plus(-11 * 365 * 86400);
        let root = Issuer::root(&settings, long_ago).unwrap();
        let name = "CN=middle".parse().unwrap();
        let request = Request::authority(name, (long_ago, NOW.plus(1000)), Some(0));
        let key = PrivateKey::generate().unwrap();
        let subject = root.certificate.tbs_certificate().subject().clone();
        let spki = key.public().to_spki_der();
        let der = request
            .sign(&spki, &root.key, &subject, Some(&root.certificate))
            .unwrap();
        let middle = Issuer::new(der, key).unwrap();
        let makers = Makers(vec![root.certificate, middle.certificate.clone()]);
        let chip = leaf(&middle, |request| request.purpose(ENDORSEMENT).unwrap());
        assert_eq!(makers.vouch(&chip, NOW), expired);
    }

    #[test]
    fn an_issuer_signs_no_longer_chain_than_it_may() {
        let (makers, _, middle) = makers();
        // The intermediate may have no others below it.
        let key = PrivateKey::generate().unwrap();
        let name = "CN=below".parse().unwrap();
        let request = Request::authority(name, (NOW.plus(-10), NOW.plus(1000)), None);
        let subject = middle.certificate.tbs_certificate().subject().clone();
        let spki = key.public().to_spki_der();
        let der = request
            .sign(&spki, &middle.key, &subject, Some(&middle.certificate))
            .unwrap();
        let below = Issuer::new(der, key).unwrap();
        let mut all = makers.0;
        all.push(below.certificate.clone());
        let chip = leaf(&below, |request| request.purpose(ENDORSEMENT).unwrap());
        let refused = Makers(all).vouch(&chip, NOW).unwrap_err();
        assert!(matches!(refused, MakerError::Chain(_)), "{refused}");
    }
}
