//! What a photographer may disclose about a photo later, one thing at a time.
//!
//! The bundle holds one root over salted leaves. A leaf's digest tells nothing without its salt, so
//! the root can be published; the salts stay with the photographer, who shows those leaves he
//! chooses and only the digests of the others.
//!
//! ```text
//! leaf digest  SHA-256("birthmark/disclosure-leaf/v1" ‖ 00 ‖ u8 kind ‖ 32 bytes salt ‖ value)
//! root         SHA-256("birthmark/disclosure/v1" ‖ 00 ‖ u8 number of leaves (1–16) ‖ each: u8 kind, 32 bytes leaf digest)
//! ```
//!
//! Leaves stand in ascending order of their kinds, each kind at most once, and the root covers the
//! kinds: a camera cannot commit to two places and show one of them to each reader.
//!
//! Values are UTF-8 texts: a place is `<latitude>|<longitude>|<altitude>|<time>` as [`crate::gps`]
//! writes it, an exact time milliseconds since 1970 in decimal digits, everything else what it
//! says.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::gps::Position;

/// How many leaves one root may have.
pub const MAX_LEAVES: usize = 16;
/// How many bytes a value may have.
pub const MAX_VALUE: usize = 4096;

/// What a leaf is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum LeafKind {
    /// Where the camera was.
    Place = 1,
    /// The moment of exposure, to the millisecond.
    ExactTime = 2,
    /// Who took the photo, in the photographer's own words.
    Author = 3,
    /// The camera's model, as its owner names it.
    DeviceModel = 4,
    /// A perceptual fingerprint of the picture: `<algorithm>:<value>`.
    Fingerprint = 5,
}

/// One leaf as the photographer keeps it. Whoever has it can prove what it says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// What it is about.
    pub kind: LeafKind,
    /// What it says.
    pub value: String,
    /// What hides it as long as it is not shown. Another one for each leaf of each photo.
    pub salt: Digest,
}

/// A leaf of a [`Disclosure`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Shown.
    Shown(Leaf),
    /// Not shown.
    Hidden {
        /// What it is about.
        kind: LeafKind,
        /// Its digest.
        digest: Digest,
    },
}

/// All leaves of one photo, as the photographer keeps them or as he shows some of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct Disclosure {
    entries: Vec<Entry>,
}

/// Why leaves do not make a disclosure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DisclosureError {
    /// No leaf, or too many.
    #[error("a disclosure has 1 to 16 leaves, not {0}")]
    Count(usize),
    /// A kind stands twice or out of order: two readers might see two different truths.
    #[error("the leaves do not stand in ascending order of their kinds, each kind once")]
    Order,
    /// A value that no leaf may have.
    #[error("the value of a leaf has {0} bytes; allowed are 1 to 4096")]
    Value(usize),
    /// The leaves are not those of the photo.
    #[error(
        "the leaves do not belong to this photo: their root is {found}, the record has {expected}"
    )]
    OtherRoot {
        /// What the leaves give.
        found: Digest,
        /// What the record has.
        expected: Digest,
    },
}

impl LeafKind {
    /// The word used in JSON and in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::ExactTime => "exact-time",
            Self::Author => "author",
            Self::DeviceModel => "device-model",
            Self::Fingerprint => "fingerprint",
        }
    }

    /// Every kind, in the order in which leaves stand.
    pub const ALL: [Self; 5] = [
        Self::Place,
        Self::ExactTime,
        Self::Author,
        Self::DeviceModel,
        Self::Fingerprint,
    ];
}

impl std::fmt::Debug for Leaf {
    /// Neither value nor salt: leaves must not reach a log by accident.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leaf({})", self.kind.name())
    }
}

impl Leaf {
    /// The leaf of a place.
    pub fn place(position: &Position, salt: Digest) -> Self {
        Self {
            kind: LeafKind::Place,
            value: position.to_string(),
            salt,
        }
    }

    /// The leaf's digest: all that others see of it until it is shown.
    pub fn digest(&self) -> Digest {
        Digest::tagged(
            "birthmark/disclosure-leaf/v1",
            &[
                &[self.kind as u8],
                self.salt.as_bytes(),
                self.value.as_bytes(),
            ],
        )
    }
}

impl Disclosure {
    /// Puts leaves together, those of one photo or what is shown of them.
    pub fn new(entries: Vec<Entry>) -> Result<Self, DisclosureError> {
        if entries.is_empty() || entries.len() > MAX_LEAVES {
            return Err(DisclosureError::Count(entries.len()));
        }
        let shown = || entries.iter().filter_map(Entry::leaf);
        let sizes = shown().map(|leaf| leaf.value.len());
        if let Some(size) = { sizes }.find(|size| *size == 0 || *size > MAX_VALUE) {
            return Err(DisclosureError::Value(size));
        }
        if !entries.is_sorted_by(|one, next| one.kind() < next.kind()) {
            return Err(DisclosureError::Order);
        }
        Ok(Self { entries })
    }

    /// All leaves of a photo, in whatever order.
    pub fn of_leaves(mut leaves: Vec<Leaf>) -> Result<Self, DisclosureError> {
        leaves.sort_by_key(|leaf| leaf.kind);
        Self::new(leaves.into_iter().map(Entry::Shown).collect())
    }

    /// The leaves, shown or hidden.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The leaves that are shown.
    pub fn shown(&self) -> impl Iterator<Item = &Leaf> {
        self.entries.iter().filter_map(Entry::leaf)
    }

    /// The root that stands in the bundle.
    pub fn root(&self) -> Digest {
        // At most 16, see `new`.
        let mut bytes = vec![self.entries.len() as u8];
        for entry in &self.entries {
            bytes.push(entry.kind() as u8);
            bytes.extend(entry.digest().as_bytes());
        }
        Digest::tagged("birthmark/disclosure/v1", &[&bytes])
    }

    /// The same leaves with only those of `kinds` shown.
    pub fn showing(&self, kinds: &[LeafKind]) -> Self {
        let hide = |entry: &Entry| match entry {
            Entry::Shown(leaf) if kinds.contains(&leaf.kind) => entry.clone(),
            _ => Entry::Hidden {
                kind: entry.kind(),
                digest: entry.digest(),
            },
        };
        Self {
            entries: self.entries.iter().map(hide).collect(),
        }
    }

    /// Succeeds when these are the leaves of the photo whose record has this root.
    pub fn verify(&self, expected: &Digest) -> Result<(), DisclosureError> {
        let found = self.root();
        if found == *expected {
            Ok(())
        } else {
            Err(DisclosureError::OtherRoot {
                found,
                expected: *expected,
            })
        }
    }
}

impl Entry {
    const fn leaf(&self) -> Option<&Leaf> {
        match self {
            Self::Shown(leaf) => Some(leaf),
            Self::Hidden { .. } => None,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Shown(leaf) => leaf.digest(),
            Self::Hidden { digest, .. } => *digest,
        }
    }

    const fn kind(&self) -> LeafKind {
        match self {
            Self::Shown(leaf) => leaf.kind,
            Self::Hidden { kind, .. } => *kind,
        }
    }
}

impl TryFrom<Vec<Entry>> for Disclosure {
    type Error = DisclosureError;

    fn try_from(entries: Vec<Entry>) -> Result<Self, DisclosureError> {
        Self::new(entries)
    }
}

impl From<Disclosure> for Vec<Entry> {
    fn from(disclosure: Disclosure) -> Self {
        disclosure.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Timestamp;

    fn leaves() -> Vec<Leaf> {
        let position =
            Position::new(4_811_730, 1_151_667, Some(545), Timestamp::from_unix(1)).unwrap();
        vec![
            Leaf {
                kind: LeafKind::Author,
                value: "A. Photographer".into(),
                salt: Digest::of(b"salt of the author"),
            },
            Leaf::place(&position, Digest::of(b"salt of the place")),
        ]
    }

    #[test]
    fn one_leaf_is_shown_and_checked_and_the_other_stays_hidden() {
        let all = Disclosure::of_leaves(leaves()).unwrap();
        let place = all.showing(&[LeafKind::Place]);
        assert_eq!(place.verify(&all.root()), Ok(()));
        let shown: Vec<_> = place.shown().map(|leaf| leaf.value.as_str()).collect();
        assert_eq!(shown, ["4811730|1151667|545|1"]);
        let text = serde_json::to_string(&place).unwrap();
        let salt = Digest::of(b"salt of the author").to_hex();
        assert!(!text.contains("Photographer") && !text.contains(&salt));
        assert_eq!(serde_json::from_str::<Disclosure>(&text).unwrap(), place);
    }

    #[test]
    fn another_value_salt_or_kind_is_not_of_this_photo() {
        let root = Disclosure::of_leaves(leaves()).unwrap().root();
        let changes: [fn(&mut Leaf); 3] = [
            |leaf| leaf.value = "B. Photographer".into(),
            |leaf| leaf.salt = Digest::of(b"another salt"),
            |leaf| leaf.kind = LeafKind::DeviceModel,
        ];
        for change in changes {
            let mut changed = leaves();
            change(&mut changed[0]);
            let error = Disclosure::of_leaves(changed).unwrap().verify(&root);
            assert!(matches!(error, Err(DisclosureError::OtherRoot { .. })));
        }
        let fewer = Disclosure::of_leaves(leaves()[..1].to_vec()).unwrap();
        assert!(fewer.verify(&root).is_err());
    }

    #[test]
    fn a_kind_stands_once_and_values_have_their_size() {
        let twice = vec![leaves()[0].clone(), leaves()[0].clone()];
        assert_eq!(Disclosure::of_leaves(twice), Err(DisclosureError::Order));
        assert_eq!(Disclosure::new(vec![]), Err(DisclosureError::Count(0)));
        let empty = Leaf {
            value: String::new(),
            ..leaves()[0].clone()
        };
        assert_eq!(
            Disclosure::of_leaves(vec![empty]),
            Err(DisclosureError::Value(0))
        );
        let place = Entry::Shown(leaves()[1].clone());
        let second_place = Entry::Hidden {
            kind: LeafKind::Place,
            digest: Digest::of(b"another place"),
        };
        assert_eq!(
            Disclosure::new(vec![place, second_place]),
            Err(DisclosureError::Order)
        );
    }
}
