//! Everything under a prefix, with the proof that nothing was left out.
//!
//! ```text
//! u8   1
//! u8   width of the prefix in bits, 0–64
//! …    as many bytes as hold them; the bits behind are 0
//! u8   number of siblings, at most the width, then 32 bytes each: the hashes beside the way down, the highest first
//! …    what stands there:
//!        u8 0      nothing
//!        u8 1–32   a bucket of as many keys, each: its bytes from the one in which its place ends ‖ positions
//!        u8 255    a node: its two halves, each as here
//! ```
//!
//! The way down ends at the prefix, or earlier where a bucket or nothing stands. The bytes of a key
//! that its place gives, eight levels a byte, are left out.

use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};

use super::{IndexKey, KEY_BITS, MAX_KEYS, Positions, Prefix, bucket_hash, empty_hash, node_hash};
use crate::header::{Height, IndexRoot};

/// The version of the encoding this program writes.
pub const RANGE_VERSION: u8 = 1;
/// Nothing stands there.
pub(super) const EMPTY: u8 = 0;
/// Two halves follow.
pub(super) const NODE: u8 = 255;

/// An answer that still has to be checked against a root: see [`RangeProof::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeProof {
    prefix: Prefix,
    siblings: Vec<Digest>,
    content: Content,
}

/// What stands at a place of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    Empty,
    Bucket(Vec<Entry>),
    Node(Box<[Content; 2]>),
}

/// A key and the records under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The first eight bytes of some digest.
    pub key: IndexKey,
    /// Every record that holds a digest with this key.
    pub positions: Positions,
}

/// A proven range: every key under its prefix, and every record under each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    prefix: Prefix,
    as_of: Height,
    entries: Vec<Entry>,
}

/// Why an answer proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The layout is wrong.
    #[error("not an answer of the index: {0}")]
    Decode(#[from] DecodeError),
    /// More bits than a key has.
    #[error("a prefix has at most 64 bits, not {0}")]
    Width(u8),
    /// Bits are set behind the prefix.
    #[error("bits are set behind the prefix")]
    PrefixBits,
    /// The way down is longer than the prefix.
    #[error("the way down has {siblings} steps; the prefix has {width} bits")]
    TooDeep {
        /// How many steps.
        siblings: u8,
        /// How many bits.
        width: u8,
    },
    /// The way down ends at a node before the prefix does.
    #[error("the way down ends {0} bits before the prefix, at a node that goes on")]
    Stops(u8),
    /// Below the last bit there is no node.
    #[error("a node stands below the last bit of a key")]
    Depth,
    /// A kind of part that there is not.
    #[error("{0} is no kind of part")]
    Kind(u8),
    /// A key stands where it does not belong.
    #[error("the key {key:016x} stands under the prefix {place}")]
    Misplaced {
        /// The key.
        key: u64,
        /// Where it stands.
        place: Prefix,
    },
    /// Keys are not in order, or one stands twice.
    #[error("the keys of a bucket are not in ascending order")]
    Order,
    /// A node that should be one bucket.
    #[error("a node over {0} keys, which fit into one bucket")]
    NotJoined(usize),
    /// Another root than the header's.
    #[error(
        "the answer leads to another root than the header's: something was changed, added or left out"
    )]
    Root,
    /// The answer is about another range.
    #[error("the answer is about the range {answered}, asked was {asked}")]
    OtherRange {
        /// What was asked.
        asked: Prefix,
        /// What was answered.
        answered: Prefix,
    },
}

impl RangeProof {
    pub(super) const fn new(prefix: Prefix, siblings: Vec<Digest>, content: Content) -> Self {
        Self {
            prefix,
            siblings,
            content,
        }
    }

    /// What was asked.
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The place at which the content stands: the prefix, or the shorter one of a bucket that
    /// covers it.
    fn place(&self) -> Prefix {
        self.prefix.cut(self.depth())
    }

    fn depth(&self) -> u8 {
        // No longer than the prefix: `parse` and `IndexTree::prove` see to it.
        self.siblings.len() as u8
    }

    /// The root that the answer leads to.
    pub fn root(&self) -> Digest {
        let key = self.prefix.first();
        let siblings = (0..self.depth()).zip(&self.siblings).rev();
        siblings.fold(self.content.hash(), |hash, (depth, sibling)| {
            if key.bit(depth) {
                node_hash(sibling, &hash)
            } else {
                node_hash(&hash, sibling)
            }
        })
    }

    /// Checks the answer to a question about `asked` against the index in a header: what comes back
    /// is everything under this prefix, and nothing is missing. Whether the header itself was
    /// decided is for the caller to check.
    pub fn verify(self, asked: Prefix, index: &IndexRoot) -> Result<Range, RangeError> {
        let answered = self.prefix;
        if answered != asked {
            return Err(RangeError::OtherRange { asked, answered });
        }
        if self.root() != index.root {
            return Err(RangeError::Root);
        }
        let (prefix, mut entries) = (self.place(), Vec::new());
        self.content.collect(&mut entries);
        Ok(Range {
            prefix,
            as_of: index.height,
            entries,
        })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(self.prefix, &self.siblings);
        self.content.put(&mut out, self.depth());
        out
    }

    /// Reads exactly one answer. What comes back has the shape of a part of an index; only its root
    /// tells of which.
    pub fn parse(bytes: &[u8]) -> Result<Self, RangeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != RANGE_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let prefix = take_prefix(&mut reader)?;
        let depth = reader.byte("number of siblings")?;
        if depth > prefix.width() {
            let (siblings, width) = (depth, prefix.width());
            return Err(RangeError::TooDeep { siblings, width });
        }
        let mut siblings = Vec::new();
        for _ in 0..depth {
            siblings.push(reader.array("sibling")?.into());
        }
        let content = Content::take(&mut reader, prefix.cut(depth))?;
        reader.end()?;
        if depth < prefix.width() && matches!(content, Content::Node(_)) {
            return Err(RangeError::Stops(prefix.width() - depth));
        }
        Ok(Self {
            prefix,
            siblings,
            content,
        })
    }
}

/// What stands before the content.
pub(super) fn begin(prefix: Prefix, siblings: &[Digest]) -> Vec<u8> {
    let mut out = vec![RANGE_VERSION, prefix.width()];
    let bits = prefix.first().number().to_be_bytes();
    out.extend(bits.into_iter().take(held_by(prefix.width())));
    // No longer than the prefix, which has at most 64 bits.
    out.push(siblings.len() as u8);
    out.extend(siblings.iter().flat_map(|hash| *hash.as_bytes()));
    out
}

/// How many bytes hold so many bits.
fn held_by(bits: u8) -> usize {
    usize::from(bits.div_ceil(8))
}

fn take_prefix(reader: &mut Reader<'_>) -> Result<Prefix, RangeError> {
    let width = reader.byte("width of the prefix")?;
    if width > KEY_BITS {
        return Err(RangeError::Width(width));
    }
    let key = take_key(reader, &[], held_by(width), "prefix")?;
    let prefix = Prefix::of(key, width);
    if prefix.first() == key {
        Ok(prefix)
    } else {
        Err(RangeError::PrefixBits)
    }
}

/// A key of `known` bytes and then `count` that are read; zeros behind them.
fn take_key(
    reader: &mut Reader<'_>,
    known: &[u8],
    count: usize,
    what: &'static str,
) -> Result<IndexKey, DecodeError> {
    let read = reader.slice(count, what)?;
    let mut bytes = [0; 8];
    for (byte, value) in bytes.iter_mut().zip(known.iter().chain(read)) {
        *byte = *value;
    }
    Ok(IndexKey::from_number(u64::from_be_bytes(bytes)))
}

impl Content {
    fn hash(&self) -> Digest {
        match self {
            Self::Empty => empty_hash(),
            Self::Bucket(entries) => {
                let mut content = Vec::new();
                entries.iter().for_each(|entry| entry.put(&mut content, 0));
                bucket_hash(&content)
            }
            Self::Node(halves) => {
                let [left, right] = &**halves;
                node_hash(&left.hash(), &right.hash())
            }
        }
    }

    fn keys(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Bucket(entries) => entries.len(),
            Self::Node(halves) => halves.iter().map(Self::keys).sum(),
        }
    }

    fn collect(self, into: &mut Vec<Entry>) {
        match self {
            Self::Empty => {}
            Self::Bucket(entries) => into.extend(entries),
            Self::Node(halves) => halves.into_iter().for_each(|half| half.collect(into)),
        }
    }

    fn put(&self, out: &mut Vec<u8>, depth: u8) {
        match self {
            Self::Empty => out.push(EMPTY),
            Self::Bucket(entries) => {
                // A bucket has 1 to 32 keys.
                out.push(entries.len() as u8);
                entries.iter().for_each(|entry| entry.put(out, depth));
            }
            Self::Node(halves) => {
                out.push(NODE);
                halves.iter().for_each(|half| half.put(out, depth + 1));
            }
        }
    }

    fn take(reader: &mut Reader<'_>, place: Prefix) -> Result<Self, RangeError> {
        match reader.byte("kind of part")? {
            EMPTY => Ok(Self::Empty),
            NODE if place.width() >= KEY_BITS => Err(RangeError::Depth),
            NODE => {
                let left = Self::take(reader, place.half(false))?;
                let right = Self::take(reader, place.half(true))?;
                let node = Self::Node(Box::new([left, right]));
                match node.keys() {
                    few if few <= MAX_KEYS => Err(RangeError::NotJoined(few)),
                    _ => Ok(node),
                }
            }
            count if usize::from(count) <= MAX_KEYS => take_bucket(reader, place, count),
            kind => Err(RangeError::Kind(kind)),
        }
    }
}

fn take_bucket(reader: &mut Reader<'_>, place: Prefix, count: u8) -> Result<Content, RangeError> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let entry = Entry::take(reader, place)?;
        if entries.last().is_some_and(|last| last.key >= entry.key) {
            return Err(RangeError::Order);
        }
        entries.push(entry);
    }
    Ok(Content::Bucket(entries))
}

/// Leaves out the bytes that its depth gives.
pub(super) fn put_key(key: IndexKey, out: &mut Vec<u8>, depth: u8) {
    let bytes = key.number().to_be_bytes();
    let (_, rest) = bytes
        .split_at_checked(usize::from(depth / 8))
        .unwrap_or((&[], &[]));
    out.extend_from_slice(rest);
}

impl Entry {
    /// Leaves out the bytes of the key that its depth gives.
    pub(super) fn put(&self, out: &mut Vec<u8>, depth: u8) {
        put_key(self.key, out, depth);
        self.positions.put(out);
    }

    fn take(reader: &mut Reader<'_>, place: Prefix) -> Result<Self, RangeError> {
        let given = place.first().number().to_be_bytes();
        let known = usize::from(place.width() / 8);
        let (known, rest) = given.split_at_checked(known).unwrap_or((&given, &[]));
        let key = take_key(reader, known, rest.len(), "key")?;
        if !place.contains(key) {
            let key = key.number();
            return Err(RangeError::Misplaced { key, place });
        }
        let positions = Positions::take(reader)?;
        Ok(Self { key, positions })
    }
}

impl Range {
    /// What it is about: what was asked, or a shorter prefix if a single bucket covers more.
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// After which block it is true.
    pub const fn as_of(&self) -> Height {
        self.as_of
    }

    /// Every key with the records under it, ascending.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The records that could hold a digest, `None` if none does: then the digest is not
    /// registered. A digest outside of the range is an error.
    pub fn find(&self, digest: &Digest) -> Result<Option<&Positions>, RangeError> {
        let key = IndexKey::of(digest);
        if !self.prefix.contains(key) {
            let asked = Prefix::of(key, self.prefix.width());
            let answered = self.prefix;
            return Err(RangeError::OtherRange { asked, answered });
        }
        let found = self.entries.binary_search_by_key(&key, |entry| entry.key);
        let entry = found.ok().and_then(|at| self.entries.get(at));
        Ok(entry.map(|entry| &entry.positions))
    }
}
