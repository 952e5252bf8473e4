//! What a photo was made from and what was made from it, as a validator tells it.

use birthmark_ledger::{Receipt, Source};
use birthmark_protocol::{Digest, DigestRole, ModificationLevel};
use serde::{Deserialize, Serialize};

use crate::answer::Choice;
use crate::sentences::{FAMILY_LIMITS, block_moment};
use crate::sighted::Sighted;

/// What `GET /api/v1/provenance/{hash}` answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Provenance {
    #[serde(default)]
    ancestors: Vec<Relative>,
    #[serde(default)]
    descendants: Vec<Relative>,
    #[serde(default)]
    is_cut: bool,
}

impl Family {
    /// The relatives that were proven: the other data of the record itself, and its originals with
    /// their records, nearest first. What was made from the photo is not among them. Nothing where
    /// there are none.
    pub fn proven(
        receipt: &Receipt,
        digest: &Digest,
        originals: &[(&Receipt, Choice)],
    ) -> Option<Self> {
        let own = receipt.record.images().iter();
        let own = own.filter(|image| image.digest != *digest);
        let same_photo: Vec<_> = own
            .filter_map(|image| Relative::of(receipt, &image.digest, None))
            .map(|relative| relative.member())
            .collect();
        let made_from: Vec<_> = originals
            .iter()
            .filter_map(|(receipt, choice)| {
                Relative::of(receipt, &choice.digest, choice.notices.own.clone())
            })
            .map(|relative| relative.member())
            .collect();
        let mut limits = vec![
            "All of these stand in records whose receipts were checked. What was made from this photo was not asked: that \
             would name it.",
        ];
        limits.extend(FAMILY_LIMITS);
        (!same_photo.is_empty() || !made_from.is_empty()).then_some(Self {
            made_from,
            made_into: Vec::new(),
            same_photo,
            limits,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Relative {
    image_hash: Digest,
    index: u64,
    source: Source,
    role: DigestRole,
    modification_level: ModificationLevel,
    #[serde(default)]
    device_family: String,
    #[serde(default)]
    authority: String,
    #[serde(default)]
    block_time: Option<String>,
    #[serde(default)]
    revocation: Option<String>,
}

/// A photo's relatives, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Family {
    /// What it was made from, nearest first.
    pub made_from: Vec<Member>,
    /// What was made from it, nearest first.
    pub made_into: Vec<Member>,
    /// Other data of the same photo: what the camera registered together with it.
    pub same_photo: Vec<Member>,
    /// What this does not prove.
    pub limits: Vec<&'static str>,
}

/// One relative.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Member {
    /// Its digest: it can be looked up like any other.
    pub digest: Digest,
    /// What it is.
    pub what: String,
    /// What was withdrawn of it.
    pub notice: Option<String>,
}

impl Provenance {
    /// What was withdrawn of the nearest image that this one was made from.
    pub fn parent_notice(&self, own_index: u64) -> Option<String> {
        self.ancestors
            .iter()
            .filter(|relative| relative.index != own_index)
            .find_map(|relative| relative.revocation.clone())
    }

    /// The relatives of the record at `own_index`.
    pub fn family(&self, own_index: u64) -> Family {
        let is_same = |relative: &&Relative| relative.index == own_index;
        let members = |relatives: &[Relative], same: bool| -> Vec<Member> {
            let wanted = relatives
                .iter()
                .filter(|relative| is_same(relative) == same);
            let wanted: Vec<_> = wanted.collect();
            // Of one record the file speaks: its sensor data and its bare picture are the same
            // photo.
            let speaks = |one: &&Relative| {
                let of_record = || wanted.iter().filter(|other| other.index == one.index);
                let file = of_record().find(|other| other.role == DigestRole::File);
                let first = file.or_else(|| of_record().next());
                same || first.is_some_and(|first| first.image_hash == one.image_hash)
            };
            let spoken = wanted.iter().copied().filter(speaks);
            spoken.map(Relative::member).collect()
        };
        let mut same_photo = members(&self.ancestors, true);
        same_photo.extend(members(&self.descendants, true));
        let mut limits = vec![
            "The family is told by this validator; only the record above was checked against its receipt.",
        ];
        if self.is_cut {
            limits.push("There are more relatives than are named here.");
        }
        limits.extend(FAMILY_LIMITS);
        Family {
            made_from: members(&self.ancestors, false),
            made_into: members(&self.descendants, false),
            same_photo,
            limits,
        }
    }
}

impl Relative {
    /// What a record says about one of its digests.
    fn of(receipt: &Receipt, digest: &Digest, revocation: Option<String>) -> Option<Self> {
        let (record, header) = (&receipt.record, &receipt.header);
        let sighted = Sighted::new(record, digest, header.height, header.time)?;
        Some(Self {
            image_hash: *digest,
            index: receipt.proof.index,
            source: sighted.source,
            role: sighted.role,
            modification_level: sighted.level,
            device_family: sighted.family.to_owned(),
            authority: sighted.authority.to_owned(),
            block_time: block_moment(header.time),
            revocation,
        })
    }

    fn member(&self) -> Member {
        let what = match (self.source, self.role) {
            (Source::Software, _) => format!(
                "edit, {}, by {}",
                kind_of_change(self.modification_level),
                self.maker("editing software")
            ),
            (Source::Server, _) => {
                format!("registered by the submission server {}", self.authority)
            }
            (_, DigestRole::Raw) => format!("sensor data from {}", self.maker("a camera")),
            (_, DigestRole::ImageData) => "the picture without its metadata".to_owned(),
            (_, DigestRole::File | DigestRole::Unstated) => {
                format!("photo from {}", self.maker("a camera"))
            }
        };
        let before = self.block_time.as_deref();
        let before = before.map_or_else(String::new, |time| {
            format!(", before {}", time.replace('T', " ").replace('Z', " UTC"))
        });
        Member {
            digest: self.image_hash,
            what: format!("{what}{before}"),
            notice: self.revocation.clone(),
        }
    }

    fn maker(&self, unnamed: &str) -> String {
        let name = if self.device_family.is_empty() {
            unnamed
        } else {
            &self.device_family
        };
        format!("{name} ({})", self.authority)
    }
}

fn kind_of_change(level: ModificationLevel) -> &'static str {
    if level == ModificationLevel::MODIFIED {
        "content changed"
    } else {
        "processed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance() -> Provenance {
        let relative = |hash: &str, index: u64, source: &str, role: &str, level: u8, more: &str| {
            format!(
                r#"{{"image_hash": "{}", "index": {index}, "source": "{source}", "role": "{role}", "modification_level": {level},
                    "device_family": "Example", "authority": "maker", "block_time": "2026-11-18T10:00:00Z", "distance": 1{more}}}"#,
                hash.repeat(64)
            )
        };
        let text = format!(
            r#"{{"image_hash": "{}", "ancestors": [{}, {}], "descendants": [{}, {}], "is_cut": true, "not_proven": []}}"#,
            "0".repeat(64),
            relative(
                "1",
                5,
                "camera-token",
                "file",
                1,
                r#", "revocation": "firmware 2.0""#
            ),
            relative("2", 5, "camera-token", "raw", 0, ""),
            relative("3", 9, "software", "image-data", 2, ""),
            [
                relative("5", 12, "software", "image-data", 2, ""),
                relative("4", 12, "software", "file", 2, "")
            ]
            .join(","),
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn relatives_are_told_by_kind_and_apart_from_the_photos_own_data() {
        let family = provenance().family(9);
        assert_eq!(
            family.made_from[0].what,
            "photo from Example (maker), before 2026-11-18 10:00:00 UTC"
        );
        assert_eq!(family.made_from[0].notice.as_deref(), Some("firmware 2.0"));
        assert_eq!((family.made_from.len(), family.made_into.len()), (1, 1));
        assert_eq!(family.same_photo.len(), 1);
        assert!(
            family.made_into[0]
                .what
                .starts_with("edit, content changed, by Example")
        );
        assert!(family.limits[1].contains("more relatives"));
    }

    #[test]
    fn a_withdrawn_original_is_known_to_its_edit_only() {
        assert_eq!(
            provenance().parent_notice(9).as_deref(),
            Some("firmware 2.0")
        );
        assert_eq!(provenance().parent_notice(5), None);
    }
}
