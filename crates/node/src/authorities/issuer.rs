//! Who certifies cameras and software, and what it has taken back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use anyhow::Context as _;
use birthmark_protocol::certificate::IssuerCertificate;
use birthmark_protocol::{CameraCertificate, Signature, Timestamp};
use const_oid::AssociatedOid as _;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::{Decode as _, Encode as _};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlNumber;

use crate::list_numbers::ListNumbers;
use crate::signatures;

/// How far a list's date may be ahead of our clock, in seconds.
const LIST_TOLERANCE: i64 = 300;

/// A certificate authority's certificate, and what it has taken back.
#[derive(Debug)]
pub struct Issuer {
    /// Its certificate.
    pub certificate: IssuerCertificate,
    revoked: RwLock<HashSet<Vec<u8>>>,
}

/// A list of revoked certificates that is in force now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The list's name, for its number.
    pub list: String,
    /// Its number: a later list has a higher one.
    pub number: u64,
    /// How many certificates stand on it.
    pub count: usize,
    /// When a newer one should be there.
    pub next: Option<Timestamp>,
}

/// Why a list of revoked certificates is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// No list.
    #[error("not a revocation list: {0}")]
    Format(String),
    /// Signed in another way than its issuers sign.
    #[error("the list is not signed with ecdsa-with-SHA256")]
    Algorithm,
    /// By nobody we know.
    #[error("the list is not signed by a pinned key")]
    Unsigned,
    /// It says something that must be understood, and is not.
    #[error("the list has the critical extension {0}, which this program does not know")]
    Critical(String),
    /// Its date has not come.
    #[error("the list is dated {ahead} seconds in the future")]
    Future {
        /// By how many seconds.
        ahead: i64,
    },
    /// A newer one was seen.
    #[error("the list has number {found}, and one with number {seen} was seen before")]
    Older {
        /// Its number.
        found: u64,
        /// The highest number seen.
        seen: u64,
    },
}

impl Issuer {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the CA certificate {}", path.display()))?;
        let certificate = IssuerCertificate::from_pem_or_der(&bytes)
            .with_context(|| format!("{} is no CA certificate", path.display()))?;
        Ok(Self {
            certificate,
            revoked: RwLock::default(),
        })
    }

    /// Whether it took this serial number back.
    pub fn has_revoked(&self, serial: &[u8]) -> bool {
        self.revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(significant(serial))
    }

    /// Replaces the list of what it took back. Returns how many there are.
    pub fn replace_revoked(&self, serials: impl IntoIterator<Item = Vec<u8>>) -> usize {
        let serials: HashSet<_> = serials
            .into_iter()
            .map(|serial| significant(&serial).to_vec())
            .collect();
        let count = serials.len();
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = serials;
        count
    }
}

/// Takes a list (DER) if one of the issuers signed it and none with a higher number was seen.
pub fn apply_list(
    issuers: &[Issuer],
    bytes: &[u8],
    numbers: &ListNumbers,
    now: Timestamp,
) -> Result<Applied, ListRefused> {
    let unreadable = |error: &dyn std::fmt::Display| ListRefused::Format(error.to_string());
    let list = CertificateList::<Rfc5280>::from_der(bytes).map_err(|error| unreadable(&error))?;
    if list.signature_algorithm.oid != ECDSA_WITH_SHA_256 {
        return Err(ListRefused::Algorithm);
    }
    let tbs = list
        .tbs_cert_list
        .to_der()
        .map_err(|error| unreadable(&error))?;
    let signature = list.signature.as_bytes().ok_or(ListRefused::Unsigned)?;
    let signature = Signature::from_der(signature).map_err(|error| unreadable(&error))?;
    let signed = |issuer: &&Issuer| signatures::verify(&issuer.certificate.key, &tbs, &signature);
    let issuer = issuers.iter().find(signed).ok_or(ListRefused::Unsigned)?;
    let tbs = list.tbs_cert_list;
    let issued = moment(&tbs.this_update)?;
    let ahead = issued.since(now);
    if ahead > LIST_TOLERANCE {
        return Err(ListRefused::Future { ahead });
    }
    let found = number_of(tbs.crl_extensions.as_deref(), issued)?;
    let name = format!("crl/{}", issuer.certificate.key.id());
    let seen = numbers.seen(&name);
    if found < seen {
        return Err(ListRefused::Older { found, seen });
    }
    let revoked = tbs.revoked_certificates.into_iter().flatten();
    let serials = revoked.map(|entry| entry.serial_number.as_bytes().to_vec());
    Ok(Applied {
        list: name,
        number: found,
        count: issuer.replace_revoked(serials),
        next: tbs.next_update.as_ref().map(moment).transpose()?,
    })
}

fn moment(time: &x509_cert::time::Time) -> Result<Timestamp, ListRefused> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs());
    seconds
        .map(Timestamp::from_unix)
        .map_err(|error| ListRefused::Format(error.to_string()))
}

/// The list's number, or its date where it has none. What is critical and not known here would
/// change what the list means.
fn number_of(extensions: Option<&[Extension]>, issued: Timestamp) -> Result<u64, ListRefused> {
    let mut number = None;
    for extension in extensions.into_iter().flatten() {
        if extension.extn_id == CrlNumber::OID {
            let read = CrlNumber::from_der(extension.extn_value.as_bytes());
            let read = read.map_err(|error| ListRefused::Format(error.to_string()))?;
            let digits = significant(read.0.as_bytes());
            let too_large = || ListRefused::Format("its number has more than 8 bytes".into());
            let room = 8_usize.checked_sub(digits.len()).ok_or_else(too_large)?;
            let padded = [vec![0; room], digits.to_vec()].concat();
            let padded = <[u8; 8]>::try_from(padded).map_err(|_| too_large())?;
            number = Some(u64::from_be_bytes(padded));
        } else if extension.critical {
            return Err(ListRefused::Critical(extension.extn_id.to_string()));
        }
    }
    let by_date = || {
        u64::try_from(issued.unix())
            .map_err(|_| ListRefused::Format("it is older than 1970".into()))
    };
    number.map_or_else(by_date, Ok)
}

/// Leading zeros of an integer carry no meaning.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.split_at(zeros.min(serial.len())).1
}

pub(super) fn find_issuer<'a>(
    issuers: &'a [Issuer],
    certificate: &CameraCertificate,
) -> Option<&'a Issuer> {
    let signed = |issuer: &&Issuer| {
        signatures::verify(
            &issuer.certificate.key,
            certificate.tbs_der(),
            certificate.signature(),
        )
    };
    issuers.iter().find(signed)
}
