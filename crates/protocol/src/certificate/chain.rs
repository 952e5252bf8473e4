//! From a certificate over its issuers to their root: every signature, every date, and how long the
//! chain may be.
//!
//! Which root is trusted is not decided here: a validator pins keys, and a camera takes the chain
//! that its authority gave it.

use std::fmt;

use super::leaf::{Leaf, LeafExtensions};
use super::{CertificateError, IssuerCertificate};
use crate::numbers::Timestamp;

/// No chain of ours is longer: one root, and what stands between it and the leaf.
const MOST: usize = 8;

/// Which certificate of a chain is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The one at the near end.
    Leaf,
    /// The one of the issuer with this subject.
    Issuer(String),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str("the certificate"),
            Self::Issuer(subject) => write!(f, "the issuer's certificate {subject:?}"),
        }
    }
}

/// Why certificates are no chain that holds at a moment. Moments are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The next one's key did not sign it.
    #[error("{issuer} did not issue {link}")]
    NotIssued {
        /// The certificate.
        link: Link,
        /// What stands behind it.
        issuer: Link,
    },
    /// Its time has not come.
    #[error("{link} is not valid before {from}, and the clock says {now}")]
    NotYetValid {
        /// The certificate.
        link: Link,
        /// Its first moment.
        from: Timestamp,
        /// The moment of the check.
        now: Timestamp,
    },
    /// Its time is over.
    #[error("{link} ended at {until}, and the clock says {now}")]
    Ended {
        /// The certificate.
        link: Link,
        /// Its last moment.
        until: Timestamp,
        /// The moment of the check.
        now: Timestamp,
    },
    /// Its issuer could not have issued it when it begins.
    #[error("{link} begins at {begins}, when {issuer} was not valid")]
    OutOfTime {
        /// The certificate.
        link: Link,
        /// Its first moment.
        begins: Timestamp,
        /// Its issuer.
        issuer: Link,
    },
    /// An issuer allows fewer certificates below it.
    #[error("{0} does not allow a chain of this length")]
    TooLong(Link),
}

/// What of a certificate its place in a chain depends on.
struct Step<'a> {
    link: Link,
    validity: (Timestamp, Timestamp),
    is_issued_by: &'a dyn Fn(&IssuerCertificate) -> bool,
}

impl Step<'_> {
    fn check(&self, issuer: Option<&IssuerCertificate>, now: Timestamp) -> Result<(), ChainError> {
        let link = || self.link.clone();
        let (from, until) = self.validity;
        if now < from {
            let link = link();
            return Err(ChainError::NotYetValid { link, from, now });
        }
        if now > until {
            let link = link();
            return Err(ChainError::Ended { link, until, now });
        }
        let Some(issuer) = issuer else {
            return Ok(());
        };
        if !(self.is_issued_by)(issuer) {
            return Err(ChainError::NotIssued {
                link: link(),
                issuer: issuer.link(),
            });
        }
        if !issuer.was_valid_at(from) {
            return Err(ChainError::OutOfTime {
                link: link(),
                begins: from,
                issuer: issuer.link(),
            });
        }
        Ok(())
    }
}

impl<E: LeafExtensions> Leaf<E> {
    /// Succeeds when each certificate was issued by the next of `issuers`, the nearest first, and
    /// all of them are valid at `now`. Without issuers, its own dates are all there is to check.
    pub fn verify_chain(
        &self,
        issuers: &[IssuerCertificate],
        now: Timestamp,
    ) -> Result<(), ChainError> {
        let own = Step {
            link: Link::Leaf,
            validity: self.validity(),
            is_issued_by: &|issuer| self.verify_issuer(&issuer.key).is_ok(),
        };
        own.check(issuers.first(), now)?;
        IssuerCertificate::verify_chain(issuers, now)
    }
}

impl IssuerCertificate {
    /// Succeeds when these are a chain, the nearest first: each issued by the next, all of them
    /// valid at `now`, and none with more certificates below it than it allows. One that names
    /// itself as its issuer must have signed itself.
    pub fn verify_chain(issuers: &[Self], now: Timestamp) -> Result<(), ChainError> {
        if let Some(beyond) = issuers.get(MOST) {
            return Err(ChainError::TooLong(beyond.link()));
        }
        for (below, certificate) in issuers.iter().enumerate() {
            let next = issuers.get(below.saturating_add(1));
            let itself = certificate.names_itself.then_some(certificate);
            let step = Step {
                link: certificate.link(),
                validity: certificate.validity,
                is_issued_by: &|issuer| certificate.verify_issuer(issuer).is_ok(),
            };
            step.check(next.or(itself), now)?;
            if certificate.allows.is_some_and(|most| below > most.into()) {
                return Err(ChainError::TooLong(certificate.link()));
            }
        }
        Ok(())
    }

    /// Succeeds when `issuer` signed this certificate.
    pub fn verify_issuer(&self, issuer: &Self) -> Result<(), CertificateError> {
        Ok(issuer.key.verify(&self.tbs, &self.signature)?)
    }

    /// Whether it could sign at this moment: what it issued begins then.
    pub fn was_valid_at(&self, moment: Timestamp) -> bool {
        let (from, until) = self.validity;
        from <= moment && moment <= until
    }

    fn link(&self) -> Link {
        Link::Issuer(self.subject.clone())
    }
}
