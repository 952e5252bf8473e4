//! A receipt that was checked, and what it is about.

use birthmark_ledger::genesis::GenesisError;
use birthmark_ledger::{
    ChainId, Receipt, ReceiptError, Trusted, Verified, VerifyError, verify_receipt,
};
use birthmark_protocol::Digest;

use crate::sighted::Sighted;

/// A record whose receipt holds against a genesis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// What the receipt proves.
    pub verified: Verified,
    /// The registry.
    pub registry: ChainId,
    /// The genesis it was checked against.
    pub genesis: Digest,
    /// Whether that registry is a rehearsal.
    pub is_rehearsal: bool,
    digest: Digest,
}

/// Why a record is not taken for proven.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The receipt's text is none.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The genesis is none.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The receipt does not hold.
    #[error("{0}{hint}", hint = hint(.0))]
    Verify(#[from] VerifyError),
    /// The receipt holds, for another photo.
    #[error(
        "the receipt holds, but it is about another photo: no digest of this one stands in its record"
    )]
    OtherPhoto,
}

fn hint(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::OtherRegistry(_) => {
            ": registries of one name are told apart by the hash of their genesis"
        }
        VerifyError::OtherSet { .. } => {
            ": name the set as trusted that this receipt begins with, or take one that goes back further"
        }
        _ => "",
    }
}

/// Checks a receipt against a genesis or a later set, and that it is about the first of these digests that stands
/// in it.
pub fn check(
    receipt: &Receipt,
    trusted: &Trusted,
    digests: &[Digest],
) -> Result<Proof, CheckError> {
    let verified = verify_receipt(receipt, trusted)?;
    let digest = digests
        .iter()
        .find(|digest| verified.record.image(digest).is_some())
        .copied()
        .ok_or(CheckError::OtherPhoto)?;
    Ok(Proof {
        verified,
        registry: trusted.chain_id().clone(),
        genesis: trusted.chain(),
        is_rehearsal: trusted.is_rehearsal(),
        digest,
    })
}

impl Proof {
    /// What the record says about the digest it was checked for.
    pub fn sighted(&self) -> Option<Sighted<'_>> {
        let verified = &self.verified;
        let sighted = Sighted::new(
            &verified.record,
            &self.digest,
            verified.height,
            verified.block_time,
        )?;
        Some(Sighted {
            after: verified.not_before,
            is_in_rehearsal: self.is_rehearsal,
            ..sighted
        })
    }

    /// Who signed, against what it was checked.
    pub fn sentence(&self) -> String {
        let signers: Vec<_> = self
            .verified
            .signers
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut genesis = self.genesis.to_hex();
        genesis.truncate(16);
        format!(
            "The receipt holds: {} of {} validators signed block {} of the registry {} (genesis {genesis}…): {}.",
            signers.len(),
            self.verified.validators,
            self.verified.height,
            self.registry,
            signers.join(", ")
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use birthmark_ledger::Genesis;

    use super::*;

    pub(crate) fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../spec/vectors/ledger.json")).unwrap()
    }

    pub(crate) fn genesis(vectors: &Value) -> Trusted {
        let genesis = Genesis::from_json(&vectors["genesis"].to_string()).unwrap();
        Trusted::genesis(&genesis)
    }

    pub(crate) fn proof() -> Proof {
        let vectors = vectors();
        let receipt: Receipt = serde_json::from_value(vectors["receipt"].clone()).unwrap();
        let genesis = genesis(&vectors);
        let digest = receipt.record.images().last().unwrap().digest;
        check(&receipt, &genesis, &[Digest::of(b"other"), digest]).unwrap()
    }

    #[test]
    fn a_stored_receipt_proves_what_its_record_says() {
        let proof = proof();
        assert_eq!(proof.sighted().unwrap().height.get(), 2);
        let said = proof.sentence();
        assert!(
            said.contains("validators signed block 2 of the registry"),
            "{said}"
        );
    }

    #[test]
    fn a_receipt_for_another_photo_proves_nothing_about_this_one() {
        let vectors = vectors();
        let receipt: Receipt = serde_json::from_value(vectors["receipt"].clone()).unwrap();
        let genesis = genesis(&vectors);
        let error = check(&receipt, &genesis, &[Digest::of(b"other")]).unwrap_err();
        assert!(matches!(error, CheckError::OtherPhoto), "{error}");
    }

    #[test]
    fn a_bent_receipt_proves_nothing() {
        let vectors = vectors();
        let genesis = genesis(&vectors);
        let receipt: Receipt = serde_json::from_value(vectors["receipt"].clone()).unwrap();
        let other: Receipt = serde_json::from_value(vectors["anchored_receipt"].clone()).unwrap();
        let bent = Receipt {
            record: other.record,
            anchor: other.anchor,
            ..receipt
        };
        let digests: Vec<_> = bent
            .record
            .images()
            .iter()
            .map(|image| image.digest)
            .collect();
        let error = check(&bent, &genesis, &digests).unwrap_err().to_string();
        assert_eq!(
            error,
            "the record is not in the tree: the path leads to another root"
        );
    }
}
