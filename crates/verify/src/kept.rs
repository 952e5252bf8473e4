//! A receipt that somebody kept, checked beside its photo or alone, without asking anybody about
//! the photo.

use birthmark_ledger::{Receipt, Trusted};
use birthmark_protocol::api::Notice;
use birthmark_protocol::{Digest, DigestRole};

use crate::answer::{Notices, against};
use crate::card::{Card, Tone};
use crate::family::Family;
use crate::judge::Judged;
use crate::metadata::Metadata;
use crate::proof;
use crate::subject::{FileDigest, FileDigests, FileKind};

const NOBODY_ASKED: &str =
    "Whether anything was withdrawn since, no receipt can tell, and nobody was asked.";

/// A receipt and what is known beside it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The receipt's bytes.
    pub bytes: &'a [u8],
    /// The photo it lies beside, if there is one.
    pub file: Option<&'a FileDigests>,
    /// What that photo says about itself.
    pub metadata: Option<&'a Metadata>,
    /// What is known against cameras; nothing where nobody was asked.
    pub notices: Option<&'a [Notice]>,
}

impl Kept<'_> {
    /// What is shown of it to whoever trusts a genesis, or a later set.
    pub fn judge(&self, trusted: &Trusted) -> Judged {
        let receipt = match Receipt::parse(self.bytes) {
            Ok(receipt) => receipt,
            Err(error) => return self.refused(&error.to_string()),
        };
        // Two registries may have one name: the hashes tell which is which.
        if receipt.header.chain != trusted.chain() {
            return self.refused(&format!(
                "it is one of the registry {} with the genesis hash {}; the genesis here is that of {} and has the hash {}",
                receipt.chain_id,
                receipt.header.chain,
                trusted.chain_id(),
                trusted.chain(),
            ));
        }
        let file = self.file.cloned().unwrap_or_else(|| about(&receipt));
        let digests: Vec<Digest> = file.digests.iter().map(|found| found.digest).collect();
        let proof = match proof::check(&receipt, trusted, &digests) {
            Ok(proof) => proof,
            Err(error) => return self.refused(&error.to_string()),
        };
        let notices = Notices {
            own: self.notices.and_then(|notices| against(&receipt, notices)),
            ..Notices::default()
        };
        let mut card = Card::proven(&file, &proof, &notices, self.metadata);
        if self.notices.is_none() {
            card.notes.push(NOBODY_ASKED.to_owned());
        }
        let family = card
            .matched
            .as_ref()
            .and_then(|matched| Family::proven(&receipt, &matched.digest, &[]));
        Judged { card, family }
    }

    fn refused(&self, reason: &str) -> Judged {
        let nothing = || FileDigests {
            digests: Vec::new(),
            kind: FileKind::Unseen,
            notes: Vec::new(),
        };
        let file = self.file.cloned().unwrap_or_else(nothing);
        let mut card = Card::unproven(&file, reason);
        debug_assert_eq!(card.tone, Tone::Unproven);
        card.headline = "This receipt was refused".to_owned();
        card.sentence = format!("The receipt proves nothing here: {reason}.");
        card.into()
    }
}

/// What a receipt is about, as if somebody had brought the digests: that of the file first, for
/// this is what people have.
pub fn about(receipt: &Receipt) -> FileDigests {
    let mut images = receipt.record.images().to_vec();
    images.sort_by_key(|image| image.role != DigestRole::File);
    let digests = images.iter().map(|image| FileDigest {
        role: image.role,
        digest: image.digest,
    });
    FileDigests {
        digests: digests.collect(),
        kind: FileKind::Unseen,
        notes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use birthmark_ledger::{Genesis, Height};
    use birthmark_protocol::Timestamp;

    use super::*;
    use crate::proof::tests::vectors;

    fn stored() -> (Receipt, Genesis) {
        let vectors = vectors();
        let receipt = serde_json::from_value(vectors["receipt"].clone()).unwrap();
        let genesis = Genesis::from_json(&vectors["genesis"].to_string()).unwrap();
        (receipt, genesis)
    }

    fn judged(bytes: &[u8], genesis: &Genesis, file: Option<&FileDigests>) -> Card {
        let kept = Kept {
            bytes,
            file,
            metadata: None,
            notices: None,
        };
        kept.judge(&Trusted::genesis(genesis)).card
    }

    #[test]
    fn a_receipt_alone_says_what_it_is_about_and_beside_its_photo_that_it_is_of_that_photo() {
        let (receipt, genesis) = stored();
        let bytes = receipt.encode();
        let card = judged(&bytes, &genesis, None);
        assert!(
            card.holds() && card.notes[0].contains("nobody was asked"),
            "{card:?}"
        );
        assert_eq!(card.digests.len(), receipt.record.images().len());
        let own = FileDigests::of_digest(receipt.record.images()[0].digest);
        assert!(judged(&bytes, &genesis, Some(&own)).holds());
        let other = FileDigests::of_digest(Digest::of(b"another photo"));
        let card = judged(&bytes, &genesis, Some(&other));
        assert_eq!(card.headline, "This receipt was refused");
        assert!(
            card.sentence.contains("about another photo"),
            "{}",
            card.sentence
        );
    }

    #[test]
    fn a_receipt_that_does_not_hold_is_refused_with_its_reason() {
        let (receipt, genesis) = stored();
        let bytes = receipt.encode();
        for (bytes, reason) in [
            (&b"{}"[..], "does not begin like one"),
            (&bytes[..bytes.len() - 1], "the bytes end inside"),
        ] {
            let card = judged(bytes, &genesis, None);
            assert!(
                !card.holds() && card.sentence.contains(reason),
                "{}",
                card.sentence
            );
        }
        let mut other = genesis;
        other.start = Timestamp::from_unix(1);
        let card = judged(&bytes, &other, None);
        assert!(card.sentence.contains("genesis hash"), "{}", card.sentence);
    }

    #[test]
    fn what_is_known_against_its_camera_stands_beside_a_kept_receipt() {
        let (receipt, genesis) = stored();
        let origin = receipt.record.origin();
        let notice = Notice {
            authority: origin.authority.to_string(),
            device_family: None,
            from: Timestamp::from_unix(0),
            until: None,
            reason: "firmware 2.0".into(),
        };
        let kept = Kept {
            bytes: &receipt.encode(),
            file: None,
            metadata: None,
            notices: Some(&[notice]),
        };
        let card = kept.judge(&Trusted::genesis(&genesis)).card;
        assert_eq!(card.tone, Tone::Withdrawn);
        assert!(card.notes.is_empty());
    }

    #[test]
    fn a_receipt_that_begins_later_than_what_is_trusted_says_which_set_to_name() {
        let (receipt, genesis) = stored();
        let bytes = receipt.encode();
        let kept = Kept {
            bytes: &bytes,
            file: None,
            metadata: None,
            notices: None,
        };
        let trusted = Trusted::genesis(&genesis);
        let others = genesis.validators.validators()[1..].to_vec();
        let others = birthmark_ledger::ValidatorSet::new(others).unwrap();
        let other = trusted.clone().later(Height::new(1), others);
        let card = kept.judge(&other).card;
        let set = genesis.validators.hash().to_hex();
        assert!(
            !card.holds() && card.sentence.contains(&set) && card.sentence.contains("name the set"),
            "{}",
            card.sentence
        );
        let later = trusted.later(Height::new(900), genesis.validators.clone());
        let card = kept.judge(&later).card;
        assert!(
            card.sentence.contains("is older than the trusted"),
            "{}",
            card.sentence
        );
    }
}
