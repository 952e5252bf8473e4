//! The index itself. A clone is a snapshot that shares everything with its original until one of
//! them changes.

use std::sync::Arc;

use birthmark_protocol::Digest;

use super::range::{self, Content, Entry, RangeProof};
use super::{IndexKey, KEY_BITS, MAX_KEYS, Positions, Prefix, bucket_hash, empty_hash, node_hash};

/// A key and a record that holds a digest with it.
type Pair = (IndexKey, u64);

/// The index of a registry, in memory: 72 bytes a photo with three digests.
#[derive(Clone, Debug)]
pub struct IndexTree {
    root: Part,
    hash: Digest,
}

/// What stands under a prefix.
#[derive(Clone, Debug, Default)]
enum Part {
    #[default]
    Empty,
    Bucket(Arc<Bucket>),
    Node(Arc<Node>),
}

#[derive(Debug)]
struct Bucket {
    /// Ascending.
    pairs: Box<[Pair]>,
}

#[derive(Clone, Debug)]
struct Node {
    left: Half,
    right: Half,
}

/// The hash of a part stands beside the way to it: whoever changes the other half does not have to
/// fetch this one.
#[derive(Clone, Debug)]
struct Half {
    part: Part,
    hash: Digest,
}

impl Default for IndexTree {
    fn default() -> Self {
        Self::new()
    }
}

impl IndexTree {
    /// The index of a registry without records.
    pub fn new() -> Self {
        Self {
            root: Part::Empty,
            hash: empty_hash(),
        }
    }

    /// Adds digests and the records that hold them, in any order; what is there already changes
    /// nothing. Many at once spare most of the hashing.
    pub fn insert_all(&mut self, digests: impl IntoIterator<Item = (Digest, u64)>) {
        let pairs = digests
            .into_iter()
            .map(|(digest, position)| (IndexKey::of(&digest), position));
        let pairs = sorted(pairs.collect());
        if !pairs.is_empty() {
            self.hash = self.root.insert(&pairs, 0);
        }
    }

    /// Its root.
    pub const fn root(&self) -> Digest {
        self.hash
    }

    /// Every record under a key, ascending.
    pub fn positions(&self, key: IndexKey) -> Vec<u64> {
        let Part::Bucket(bucket) = self.root.descend(key, KEY_BITS, |_| ()).0 else {
            return Vec::new();
        };
        let pairs = bucket.pairs.iter();
        pairs
            .filter(|(one, _)| *one == key)
            .map(|(_, position)| *position)
            .collect()
    }

    /// Everything under a prefix, with its proof, as the canonical bytes of [`IndexTree::prove`]:
    /// what is answered, written without being copied first.
    pub fn answer(&self, prefix: Prefix) -> Vec<u8> {
        let mut siblings = Vec::new();
        let (part, depth) = self
            .root
            .descend(prefix.first(), prefix.width(), |sibling| {
                siblings.push(sibling);
            });
        let mut out = range::begin(prefix, &siblings);
        part.put(&mut out, depth);
        out
    }

    /// Everything under a prefix, with its proof.
    pub fn prove(&self, prefix: Prefix) -> RangeProof {
        let mut siblings = Vec::new();
        let (part, _) = self
            .root
            .descend(prefix.first(), prefix.width(), |sibling| {
                siblings.push(sibling);
            });
        RangeProof::new(prefix, siblings, part.content())
    }
}

impl Half {
    /// Of these pairs, in ascending order.
    fn of(pairs: &[Pair], depth: u8) -> Self {
        if pairs.is_empty() {
            let (part, hash) = (Part::Empty, empty_hash());
            return Self { part, hash };
        }
        if fit_into_a_bucket(pairs) {
            let mut content = Vec::with_capacity(pairs.len() * 13);
            put_all(pairs, &mut content, 0);
            let pairs = pairs.into();
            return Self {
                part: Part::Bucket(Arc::new(Bucket { pairs })),
                hash: bucket_hash(&content),
            };
        }
        let (left, right) = split(pairs, depth);
        let (left, right) = (Self::of(left, depth + 1), Self::of(right, depth + 1));
        let hash = node_hash(&left.hash, &right.hash);
        let part = Part::Node(Arc::new(Node { left, right }));
        Self { part, hash }
    }

    fn insert(&mut self, pairs: &[Pair], depth: u8) {
        if !pairs.is_empty() {
            self.hash = self.part.insert(pairs, depth);
        }
    }
}

impl Part {
    /// Adds pairs, in ascending order, at least one; its hash afterwards.
    fn insert(&mut self, pairs: &[Pair], depth: u8) -> Digest {
        let all = match self {
            Self::Empty => Half::of(pairs, depth),
            Self::Bucket(bucket) => Half::of(&sorted([&bucket.pairs, pairs].concat()), depth),
            Self::Node(node) => {
                let node = Arc::make_mut(node);
                let (left, right) = split(pairs, depth);
                node.left.insert(left, depth + 1);
                node.right.insert(right, depth + 1);
                return node_hash(&node.left.hash, &node.right.hash);
            }
        };
        *self = all.part;
        all.hash
    }

    /// The way down along a key, at most `width` levels, past siblings from the highest down.
    fn descend(&self, key: IndexKey, width: u8, mut pass: impl FnMut(Digest)) -> (&Self, u8) {
        let (mut part, mut depth) = (self, 0);
        while let (true, Self::Node(node)) = (depth < width, part) {
            let (next, sibling) = if key.bit(depth) {
                (&node.right, &node.left)
            } else {
                (&node.left, &node.right)
            };
            pass(sibling.hash);
            (part, depth) = (&next.part, depth + 1);
        }
        (part, depth)
    }

    fn put(&self, out: &mut Vec<u8>, depth: u8) {
        match self {
            Self::Empty => out.push(range::EMPTY),
            Self::Bucket(bucket) => bucket.put(out, depth),
            Self::Node(node) => {
                out.push(range::NODE);
                node.left.part.put(out, depth + 1);
                node.right.part.put(out, depth + 1);
            }
        }
    }

    fn content(&self) -> Content {
        match self {
            Self::Empty => Content::Empty,
            Self::Bucket(bucket) => Content::Bucket(bucket.entries().collect()),
            Self::Node(node) => Content::Node(Box::new([
                node.left.part.content(),
                node.right.part.content(),
            ])),
        }
    }
}

impl Bucket {
    fn entries(&self) -> impl Iterator<Item = Entry> {
        entries(&self.pairs)
    }

    fn put(&self, out: &mut Vec<u8>, depth: u8) {
        let at = out.len();
        out.push(0);
        let keys = put_all(&self.pairs, out, depth);
        if let Some(count) = out.get_mut(at) {
            // A bucket has at most 32 keys.
            *count = keys as u8;
        }
    }
}

/// Writes what [`Entry::put`] would of each key, without copying nearly all of them, which stand in
/// one record; how many keys there are.
fn put_all(pairs: &[Pair], out: &mut Vec<u8>, depth: u8) -> usize {
    let mut keys = 0;
    for same in pairs.chunk_by(|(one, _), (next, _)| one == next) {
        keys += 1;
        match same {
            [(key, position)] => {
                range::put_key(*key, out, depth);
                super::put_only(*position, out);
            }
            more => entries(more).for_each(|entry| entry.put(out, depth)),
        }
    }
    keys
}

fn entries(pairs: &[Pair]) -> impl Iterator<Item = Entry> {
    pairs
        .chunk_by(|(one, _), (next, _)| one == next)
        .filter_map(|pairs| {
            let (key, _) = *pairs.first()?;
            let positions: Vec<_> = pairs.iter().map(|(_, position)| *position).collect();
            let positions = Positions::of(&positions);
            Some(Entry { key, positions })
        })
}

fn sorted(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn fit_into_a_bucket(pairs: &[Pair]) -> bool {
    pairs
        .chunk_by(|(one, _), (next, _)| one == next)
        .nth(MAX_KEYS)
        .is_none()
}

/// Those whose bit at this depth is 0, and the others.
fn split(pairs: &[Pair], depth: u8) -> (&[Pair], &[Pair]) {
    pairs.split_at(pairs.partition_point(|(key, _)| !key.bit(depth)))
}
