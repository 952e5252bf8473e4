//! What a page shows of a verified receipt.

use birthmark_ledger::genesis::GenesisError;
use birthmark_ledger::{
    Genesis, KeyName, Receipt, ReceiptError, Source, Trusted, ValidatorId, Verified, VerifyError,
    verify_receipt,
};
use birthmark_protocol::{Assurance, Digest, DigestRole, ModificationLevel, Timestamp};
use serde::Serialize;

/// Why a receipt is not shown as verified.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The receipt's text is none.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The genesis is none.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The receipt does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// A verified receipt in plain fields.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The photo's digests.
    pub images: Vec<ShownImage>,
    /// What kind of device, and how strongly vouched for.
    pub source: Source,
    /// How strongly the device was vouched for.
    pub assurance: Option<Assurance>,
    /// The authority that vouched.
    pub authority: String,
    /// The device family.
    pub family: String,
    /// When the camera says the photo was taken.
    pub camera_time: Timestamp,
    /// The commitment to the place.
    pub gps: Option<Digest>,
    /// The block that holds it.
    pub block_height: u64,
    /// The block's hash.
    pub block: Digest,
    /// Milliseconds since 1970: the photo existed before.
    pub block_time: i64,
    /// The record's place in the registry.
    pub index: u64,
    /// The validator that took the submission.
    pub submitter: ValidatorId,
    /// Its name, if it was one of those that decided.
    pub submitter_name: Option<KeyName>,
    /// Who signed the decision.
    pub signers: Vec<KeyName>,
    /// How many validators there were.
    pub validators: usize,
}

/// One digest of a verified photo.
#[derive(Debug, Serialize)]
pub struct ShownImage {
    /// The digest.
    pub digest: Digest,
    /// What it was computed over.
    pub role: DigestRole,
    /// How far from the sensor.
    pub modification_level: ModificationLevel,
    /// What it was made from.
    pub parent: Option<Digest>,
}

/// Reads and checks a receipt against a genesis, both JSON.
pub fn verify(receipt: &str, genesis: &str) -> Result<Shown, PageError> {
    let receipt = Receipt::from_json(receipt)?;
    let trusted = Trusted::genesis(&Genesis::from_json(genesis)?);
    Ok(show(verify_receipt(&receipt, &trusted)?))
}

fn show(verified: Verified) -> Shown {
    let record = &verified.record;
    let image = |image: &birthmark_protocol::ImageClaim| ShownImage {
        digest: image.digest,
        role: image.role,
        modification_level: image.level,
        parent: record.parent(&image.digest),
    };
    let origin = record.origin();
    Shown {
        images: record.images().iter().map(image).collect(),
        source: origin.source,
        assurance: origin.source.assurance(),
        authority: origin.authority.to_string(),
        family: origin.family.to_string(),
        camera_time: record.time(),
        gps: record.gps(),
        block_height: verified.height.get(),
        block: verified.block,
        block_time: verified.block_time.millis(),
        index: verified.index,
        submitter: verified.submitter,
        submitter_name: verified.submitter_name,
        signers: verified.signers,
        validators: verified.validators,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../spec/vectors/ledger.json")).unwrap()
    }

    #[test]
    fn the_stored_receipt_is_shown() {
        let vectors = vectors();
        let shown = verify(
            &vectors["receipt"].to_string(),
            &vectors["genesis"].to_string(),
        )
        .unwrap();
        assert_eq!(
            (shown.block_height, shown.index, shown.images.len()),
            (2, 2, 3)
        );
        assert_eq!(shown.assurance, Some(Assurance::Attested));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["images"][2]["role"], "image-data");
        assert_eq!(json["source"], "camera-attested");
    }

    #[test]
    fn a_bent_receipt_is_refused_in_words() {
        let vectors = vectors();
        let genesis = vectors["genesis"].to_string();
        let mut receipt = vectors["receipt"].clone();
        receipt["record"]["time"] = 0.into();
        let error = verify(&receipt.to_string(), &genesis)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the record is not in the tree: the path leads to another root"
        );
        let error = verify("{}", &genesis).unwrap_err().to_string();
        assert!(error.starts_with("not a receipt: missing field"), "{error}");
        assert!(matches!(
            verify(&vectors["receipt"].to_string(), "{}"),
            Err(PageError::Genesis(_))
        ));
    }
}
