//! How much memory answers may take.

use serde::{Deserialize, Serialize};

/// How much memory answers may take. What does not fit is answered from the database.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// Megabytes for where each digest stands, at most 18 bytes a digest. 0: a filter and the database answer instead.
    pub index_mb: usize,
    /// Megabytes for the blocks that were read lately.
    pub blocks_mb: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            index_mb: 512,
            blocks_mb: 512,
        }
    }
}

impl MemorySettings {
    /// For work that asks the registry little.
    pub const SMALL: Self = Self {
        index_mb: 0,
        blocks_mb: 16,
    };

    /// Bytes for the index.
    pub const fn index_bytes(self) -> usize {
        self.index_mb.saturating_mul(1 << 20)
    }

    /// Bytes for blocks.
    pub const fn blocks_bytes(self) -> usize {
        self.blocks_mb.saturating_mul(1 << 20)
    }
}
