//! What a validator signs when it votes.
//!
//! ```text
//! "birthmark/vote/v1"
//! 32   chain: the genesis hash
//! u8   kind: 1 prevote, 2 precommit
//! u64  height, big-endian
//! u32  round, big-endian
//! u8   0 for no block, else 1
//! 32   block hash, zeros for no block
//! ```

use birthmark_protocol::Digest;

use crate::header::Height;

const DOMAIN: &[u8] = b"birthmark/vote/v1\0";

/// Which of the two votes of a round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum VoteKind {
    /// The first vote: the block is valid.
    Prevote,
    /// The second vote: decide. Enough of these are a certificate.
    Precommit,
}

/// One vote, before it is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    /// The registry, by its genesis hash.
    pub chain: Digest,
    /// First or second vote.
    pub kind: VoteKind,
    /// The height that is decided.
    pub height: Height,
    /// The attempt at this height, from 0.
    pub round: u32,
    /// The block, or none.
    pub block: Option<Digest>,
}

impl Vote {
    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        out.extend(self.chain.as_bytes());
        out.push(match self.kind {
            VoteKind::Prevote => 1,
            VoteKind::Precommit => 2,
        });
        out.extend(self.height.get().to_be_bytes());
        out.extend(self.round.to_be_bytes());
        out.push(u8::from(self.block.is_some()));
        out.extend(self.block.map_or([0; 32], |block| *block.as_bytes()));
        out
    }
}
