//! What a member knows about its network, for people.

use std::collections::BTreeMap;

use birthmark_ledger::{BlockTime, Height, KeyName};

/// What a member knows about its network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkState {
    /// The height that is decided next.
    pub height: Height,
    /// The attempt that runs; `None` while nothing waits.
    pub round: Option<u32>,
    /// Up to which height this member does not vote, because it may have voted there before and
    /// does not know how.
    pub abstains_until: Option<Height>,
    /// Why it does not take part any more.
    pub stopped: Option<String>,
    /// The other members that were heard of.
    pub members: BTreeMap<KeyName, MemberState>,
}

/// What is known about another member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberState {
    /// Its last block, as it says.
    pub decided: Height,
    /// When its link brought something last, by our clock.
    pub heard: BlockTime,
    /// Its votes for the newest blocks.
    pub votes: Votes,
}

/// How many votes of a member were missed, of those for the newest blocks that this member took
/// part in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Votes {
    /// Not heard, not even late.
    pub missed: u32,
    /// So many blocks there were.
    pub expected: u32,
}

impl NetworkState {
    pub(super) const fn new(height: Height) -> Self {
        Self {
            height,
            round: None,
            abstains_until: None,
            stopped: None,
            members: BTreeMap::new(),
        }
    }
}
