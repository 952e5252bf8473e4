//! How much memory may be taken.

use serde::{Deserialize, Serialize};

/// How much memory may be taken. What does not fit is answered from the database.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// Megabytes for where each digest stands, at most 18 bytes a digest. 0: a filter and the
    /// database answer instead.
    pub index_mb: usize,
    /// Megabytes for the blocks that were read lately.
    pub blocks_mb: usize,
    /// Megabytes of SQLite's cache for writing; each of its eight readers has a sixteenth of it.
    /// PostgreSQL has its own.
    pub database_mb: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            index_mb: 512,
            blocks_mb: 512,
            database_mb: 256,
        }
    }
}

impl MemorySettings {
    /// For work that asks the registry little.
    pub const SMALL: Self = Self {
        index_mb: 0,
        blocks_mb: 16,
        database_mb: 64,
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
