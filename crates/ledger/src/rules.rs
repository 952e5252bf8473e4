//! The limits blocks are judged by, and from which height on. A rule that changes keeps its old
//! value below that height, so that every block ever decided stays valid on every machine.

use crate::header::Height;

/// The limits at some height.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How many records a block may add.
    pub max_records: usize,
    /// How many transactions a block may hold.
    pub max_transactions: usize,
    /// How many bytes a block may have.
    pub max_bytes: usize,
    /// How many seconds a camera's clock may be ahead of the block's time. Twice what admission
    /// allows, so that a proposer whose clock lags cannot make an admitted photo invalid.
    pub max_camera_lead: i64,
    /// How many heights the index in a header may be behind the block. A block never waits for its
    /// index, but an index that falls further back than this would be one that nobody computes.
    pub max_index_lag: u64,
}

/// No version of the rules allows more bytes: readers refuse a longer block before they look into
/// it.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

const FIRST: Rules = Rules {
    max_records: 1000,
    max_transactions: 1000,
    max_bytes: MAX_BLOCK_BYTES,
    max_camera_lead: 600,
    max_index_lag: 64,
};

impl Rules {
    /// The limits for the block at `height`.
    pub const fn at(_height: Height) -> Self {
        FIRST
    }
}
