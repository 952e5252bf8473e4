//! The index itself. A clone is a snapshot that shares everything with its original until one of them changes.

use std::sync::Arc;

use birthmark_protocol::Digest;

use super::range::{Content, Entry, RangeProof};
use super::{IndexKey, KEY_BITS, MAX_KEYS, Positions, Prefix, bucket_hash, empty_hash, node_hash};

/// A key and a record that holds a digest with it.
type Pair = (IndexKey, u64);

/// The index of a registry, in memory: about 70 bytes a photo with three digests.
#[derive(Clone, Debug, Default)]
pub struct IndexTree {
    root: Part,
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
    hash: Digest,
    /// Ascending.
    pairs: Box<[Pair]>,
}

#[derive(Clone, Debug)]
struct Node {
    hash: Digest,
    left: Part,
    right: Part,
}

impl IndexTree {
    /// The index of a registry without records.
    pub const fn new() -> Self {
        Self { root: Part::Empty }
    }

    /// Adds digests and the records that hold them, in any order; what is there already changes nothing. Many at once spare
    /// most of the hashing.
    pub fn insert_all(&mut self, digests: impl IntoIterator<Item = (Digest, u64)>) {
        let pairs = digests
            .into_iter()
            .map(|(digest, position)| (IndexKey::of(&digest), position));
        self.root.insert(&sorted(pairs.collect()), 0);
    }

    /// Its root.
    pub fn root(&self) -> Digest {
        self.root.hash()
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

impl Part {
    fn hash(&self) -> Digest {
        match self {
            Self::Empty => empty_hash(),
            Self::Bucket(bucket) => bucket.hash,
            Self::Node(node) => node.hash,
        }
    }

    /// Of these pairs, in ascending order.
    fn of(pairs: &[Pair], depth: u8) -> Self {
        if pairs.is_empty() {
            return Self::Empty;
        }
        if fit_into_a_bucket(pairs) {
            return Self::Bucket(Arc::new(Bucket::of(pairs)));
        }
        let (left, right) = split(pairs, depth);
        let (left, right) = (Self::of(left, depth + 1), Self::of(right, depth + 1));
        let hash = node_hash(&left.hash(), &right.hash());
        Self::Node(Arc::new(Node { hash, left, right }))
    }

    fn insert(&mut self, pairs: &[Pair], depth: u8) {
        if pairs.is_empty() {
            return;
        }
        match self {
            Self::Empty => *self = Self::of(pairs, depth),
            Self::Bucket(bucket) => {
                let all = sorted([&bucket.pairs, pairs].concat());
                *self = Self::of(&all, depth);
            }
            Self::Node(node) => {
                let node = Arc::make_mut(node);
                let (left, right) = split(pairs, depth);
                node.left.insert(left, depth + 1);
                node.right.insert(right, depth + 1);
                node.hash = node_hash(&node.left.hash(), &node.right.hash());
            }
        }
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
            pass(sibling.hash());
            (part, depth) = (next, depth + 1);
        }
        (part, depth)
    }

    fn content(&self) -> Content {
        match self {
            Self::Empty => Content::Empty,
            Self::Bucket(bucket) => Content::Bucket(bucket.entries().collect()),
            Self::Node(node) => {
                Content::Node(Box::new([node.left.content(), node.right.content()]))
            }
        }
    }
}

impl Bucket {
    fn of(pairs: &[Pair]) -> Self {
        let mut content = Vec::with_capacity(pairs.len() * 12);
        entries(pairs).for_each(|entry| entry.put(&mut content, 0));
        Self {
            hash: bucket_hash(&content),
            pairs: pairs.into(),
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        entries(&self.pairs)
    }
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
