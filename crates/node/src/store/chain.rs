//! Blocks and what is looked up in them.

use birthmark_ledger::TransactionHash;
use birthmark_ledger::merkle::Node;
use birthmark_protocol::Digest;

use super::bulk::{Bulk, Column, Table};
use super::{Store, StoreError, on, prefix_of, to_i64, to_u64};

/// Subtrees of fewer leaves than `2^STORED_LEVEL` are recomputed from the blocks instead of stored.
pub const STORED_LEVEL: u8 = 7;

/// A decided block with everything that is stored beside it.
#[derive(Clone, Debug, Default)]
pub struct NewBlock {
    /// Its height.
    pub height: u64,
    /// The index of its first record.
    pub first_leaf: u64,
    /// How many records it adds.
    pub leaves: u64,
    /// Its time in milliseconds since 1970.
    pub time_ms: i64,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// Its commit certificate.
    pub certificate: Vec<u8>,
    /// Its transactions: name, first record, number of records.
    pub transactions: Vec<(TransactionHash, u64, u64)>,
    /// Every digest and the record that holds it.
    pub images: Vec<(Digest, u64)>,
    /// Every original and the record edited from it.
    pub edits: Vec<(Digest, u64)>,
    /// The subtrees it completes.
    pub nodes: Vec<(Node, Digest)>,
    /// The right edge of the tree after it.
    pub frontier: Vec<u8>,
    /// Lines under the checkpoint of the tree after it.
    pub checkpoint_lines: Option<Vec<u8>>,
    /// Whether other validators decide the next block.
    pub hands_over: bool,
    /// Whether it holds what authorities state about their epochs.
    pub states: bool,
    /// The name of every one-time key and the record that spends it.
    pub one_time_keys: Vec<(Digest, u64)>,
}

/// A block as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBlock {
    /// Its height.
    pub height: u64,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// Its commit certificate.
    pub certificate: Vec<u8>,
    /// The right edge of the tree after it.
    pub frontier: Vec<u8>,
    /// Lines under the checkpoint of the tree after it.
    pub checkpoint_lines: Option<Vec<u8>>,
}

type BlockRow = (i64, Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

/// What a list of blocks shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockSummary {
    /// Its height.
    pub height: u64,
    /// How many records it adds.
    pub leaves: u64,
    /// Its time in milliseconds since 1970.
    pub time_ms: i64,
}

const TRANSACTIONS: Table = Table::new("transactions", &["hash", "height", "first_leaf", "leaves"]);
const IMAGES: Table = Table::new("images", &["prefix", "leaf"]);
const EDITS: Table = Table::new("edits", &["original", "leaf"]);
const NODES: Table = Table::new("nodes", &["level", "place", "hash"]);
const SET_CHANGES: Table = Table::new("set_changes", &["height"]);
const STATEMENTS: Table = Table::new("statements", &["height"]);
const ONE_TIME_KEYS: Table = Table::new("one_time_keys", &["name", "leaf"]);

/// The new rows of some blocks, table by table.
fn rows(blocks: &[NewBlock]) -> [(Table, Vec<Column>); 7] {
    let transactions = || {
        blocks.iter().flat_map(|block| {
            let row = |(hash, first, leaves)| (hash, block.height, first, leaves);
            block.transactions.iter().copied().map(row)
        })
    };
    let nodes = || blocks.iter().flat_map(|block| &block.nodes);
    let handovers = blocks.iter().filter(|block| block.hands_over);
    let stating = blocks.iter().filter(|block| block.states);
    let keys = || blocks.iter().flat_map(|block| &block.one_time_keys);
    [
        (
            TRANSACTIONS,
            vec![
                Column::bytes(transactions().map(|(hash, ..)| *hash.as_bytes())),
                Column::numbers(transactions().map(|(_, height, ..)| height)),
                Column::numbers(transactions().map(|(_, _, first, _)| first)),
                Column::numbers(transactions().map(|(.., leaves)| leaves)),
            ],
        ),
        (
            IMAGES,
            prefix_columns(blocks.iter().flat_map(|block| &block.images)),
        ),
        (
            EDITS,
            prefix_columns(blocks.iter().flat_map(|block| &block.edits)),
        ),
        (
            NODES,
            vec![
                Column::numbers(nodes().map(|(node, _)| u64::from(node.level))),
                Column::numbers(nodes().map(|(node, _)| node.index)),
                Column::bytes(nodes().map(|(_, hash)| *hash.as_bytes())),
            ],
        ),
        (
            SET_CHANGES,
            vec![Column::numbers(handovers.map(|block| block.height))],
        ),
        (
            STATEMENTS,
            vec![Column::numbers(stating.map(|block| block.height))],
        ),
        (
            ONE_TIME_KEYS,
            vec![
                Column::bytes(keys().map(|(name, _)| *name.as_bytes())),
                Column::numbers(keys().map(|(_, leaf)| *leaf)),
            ],
        ),
    ]
}

/// Sorted by prefix, so that neighbours share a page of the index: the more at once, the fewer
/// pages are written twice.
fn prefix_columns<'a>(digests: impl Iterator<Item = &'a (Digest, u64)>) -> Vec<Column> {
    let mut rows: Vec<_> = digests
        .map(|(digest, leaf)| (prefix_of(digest), to_i64(*leaf)))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    let (prefixes, leaves) = rows.into_iter().unzip();
    vec![Column::Int(prefixes), Column::Int(leaves)]
}

impl Store {
    /// Appends decided blocks that follow one another: bodies, certificates and index, and their
    /// transactions leave the pool.
    ///
    /// One database transaction. If we stop before its commit, none of the blocks is there and they
    /// are proposed or fetched again; after it, all are there with all of their index. There is
    /// nothing in between.
    pub async fn append_blocks(&self, blocks: &[NewBlock]) -> Result<(), StoreError> {
        const BLOCK: &str = "INSERT INTO blocks (height, first_leaf, leaves, time_ms, body, certificate, frontier, checkpoint_lines) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            for block in blocks {
                let query = sqlx::query(BLOCK).bind(to_i64(block.height)).bind(to_i64(block.first_leaf));
                let query = query.bind(to_i64(block.leaves)).bind(block.time_ms);
                let query = query.bind(block.body.clone()).bind(block.certificate.clone());
                query.bind(block.frontier.clone()).bind(block.checkpoint_lines.clone()).execute(&mut *tx).await?;
            }
            index(&mut *tx, blocks).await?;
            for (hash, ..) in blocks.iter().flat_map(|block| &block.transactions) {
                sqlx::query("DELETE FROM pool WHERE hash = $1").bind(hash.as_bytes().to_vec()).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Replaces the lines under the checkpoint after a block.
    pub async fn put_lines(&self, height: u64, lines: &[u8]) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE blocks SET checkpoint_lines = $2 WHERE height = $1";
        on!(&self.write, pool => {
            sqlx::query(SQL).bind(to_i64(height)).bind(lines.to_vec()).execute(pool).await?;
        });
        Ok(())
    }

    /// Adds the index of stored blocks again.
    pub async fn index_blocks(&self, blocks: &[NewBlock]) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            index(&mut *tx, blocks).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// Empties what [`Store::index_blocks`] fills.
    pub async fn clear_index(&self) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let all = [TRANSACTIONS, IMAGES, EDITS, NODES, SET_CHANGES, STATEMENTS, ONE_TIME_KEYS];
            for table in all {
                tx.clear(table).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// The highest block's height.
    pub async fn height(&self) -> Result<u64, StoreError> {
        let height: Option<i64> = on!(&self.read, pool => sqlx::query_scalar("SELECT MAX(height) FROM blocks").fetch_one(pool).await?);
        to_u64(height.unwrap_or(0), "a height")
    }

    /// The block at a height.
    pub async fn block(&self, height: u64) -> Result<Option<StoredBlock>, StoreError> {
        const SQL: &str = "SELECT height, body, certificate, frontier, checkpoint_lines FROM blocks WHERE height = $1";
        let row: Option<BlockRow> = on!(&self.read, pool => sqlx::query_as(SQL).bind(to_i64(height)).fetch_optional(pool).await?);
        row.map(stored).transpose()
    }

    /// The blocks after a height, in order, at most `limit`.
    pub async fn blocks_after(
        &self,
        height: u64,
        limit: u32,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        const SQL: &str = "SELECT height, body, certificate, frontier, checkpoint_lines FROM blocks WHERE height > $1 ORDER BY height LIMIT $2";
        let rows: Vec<BlockRow> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(to_i64(height)).bind(i64::from(limit)).fetch_all(pool).await?
        });
        rows.into_iter().map(stored).collect()
    }

    /// The block that holds a record.
    pub async fn block_of_leaf(&self, leaf: u64) -> Result<Option<StoredBlock>, StoreError> {
        const SQL: &str = "SELECT height, body, certificate, frontier, checkpoint_lines FROM blocks WHERE first_leaf <= $1 AND leaves > 0 \
            ORDER BY first_leaf DESC LIMIT 1";
        let row: Option<BlockRow> = on!(&self.read, pool => sqlx::query_as(SQL).bind(to_i64(leaf)).fetch_optional(pool).await?);
        row.map(stored).transpose()
    }

    /// The blocks with records from `first` to before `end`, in order.
    pub async fn blocks_of_leaves(
        &self,
        first: u64,
        end: u64,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        const SQL: &str = "SELECT height, body, certificate, frontier, checkpoint_lines FROM blocks \
            WHERE first_leaf < $2 AND leaves > 0 AND first_leaf >= (SELECT first_leaf FROM blocks \
                WHERE first_leaf <= $1 AND leaves > 0 ORDER BY first_leaf DESC LIMIT 1) ORDER BY height";
        let rows: Vec<BlockRow> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(to_i64(first)).bind(to_i64(end)).fetch_all(pool).await?
        });
        rows.into_iter().map(stored).collect()
    }

    /// The first `bytes` bytes of the blocks after `height` up to `last`, their headers, each with
    /// its certificate.
    pub async fn headers(
        &self,
        height: u64,
        last: u64,
        bytes: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        const SQL: &str = "SELECT substr(body, 1, $3), certificate FROM blocks \
            WHERE height > $1 AND height <= $2 ORDER BY height";
        // A header's length fits into any number.
        let bytes = bytes as i32;
        Ok(on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(to_i64(height)).bind(to_i64(last)).bind(bytes).fetch_all(pool).await?
        }))
    }

    /// The newest blocks, newest first, below `before`.
    pub async fn newest_blocks(
        &self,
        before: u64,
        limit: u32,
    ) -> Result<Vec<BlockSummary>, StoreError> {
        const SQL: &str = "SELECT height, leaves, time_ms FROM blocks WHERE height < $1 ORDER BY height DESC LIMIT $2";
        let rows: Vec<(i64, i64, i64)> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(to_i64(before)).bind(i64::from(limit)).fetch_all(pool).await?
        });
        let summary = |(height, leaves, time_ms)| {
            Ok(BlockSummary {
                height: to_u64(height, "a height")?,
                leaves: to_u64(leaves, "a count")?,
                time_ms,
            })
        };
        rows.into_iter().map(summary).collect()
    }

    /// Records after `after` whose digests begin like this one, oldest first, at most `limit`. The
    /// records themselves decide which hold it.
    pub async fn leaves_of(
        &self,
        digest: &Digest,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        const SQL: &str =
            "SELECT leaf FROM images WHERE prefix = $1 AND leaf > $2 ORDER BY leaf LIMIT $3";
        self.leaves(SQL, digest, after, limit).await
    }

    /// Records after `after` edited from an image whose digest begins like this one, oldest first,
    /// at most `limit`.
    pub async fn edits_of(
        &self,
        original: &Digest,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        const SQL: &str =
            "SELECT leaf FROM edits WHERE original = $1 AND leaf > $2 ORDER BY leaf LIMIT $3";
        self.leaves(SQL, original, after, limit).await
    }

    async fn leaves(
        &self,
        sql: &'static str,
        digest: &Digest,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let (after, limit) = (after.map_or(-1, to_i64), to_i64(limit as u64));
        let leaves: Vec<i64> = on!(&self.read, pool => {
            sqlx::query_scalar(sql).bind(prefix_of(digest)).bind(after).bind(limit).fetch_all(pool).await?
        });
        leaves
            .into_iter()
            .map(|leaf| to_u64(leaf, "a leaf"))
            .collect()
    }

    /// In which block a transaction is: height, first record.
    pub async fn transaction(
        &self,
        hash: &TransactionHash,
    ) -> Result<Option<(u64, u64)>, StoreError> {
        const SQL: &str = "SELECT height, first_leaf FROM transactions WHERE hash = $1";
        let row: Option<(i64, i64)> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(hash.as_bytes().to_vec()).fetch_optional(pool).await?
        });
        row.map(|(height, first)| Ok((to_u64(height, "a height")?, to_u64(first, "a leaf")?)))
            .transpose()
    }

    /// The heights whose blocks hold statements about epochs, in order.
    pub async fn statement_heights(&self) -> Result<Vec<u64>, StoreError> {
        let heights: Vec<i64> = on!(&self.read, pool => sqlx::query_scalar("SELECT height FROM statements ORDER BY height").fetch_all(pool).await?);
        heights
            .into_iter()
            .map(|height| to_u64(height, "a height"))
            .collect()
    }

    /// The record that spends the one-time key of this name.
    pub async fn spender(&self, name: &Digest) -> Result<Option<u64>, StoreError> {
        const SQL: &str = "SELECT leaf FROM one_time_keys WHERE name = $1";
        let leaf: Option<i64> = on!(&self.read, pool => {
            sqlx::query_scalar(SQL).bind(name.as_bytes().to_vec()).fetch_optional(pool).await?
        });
        leaf.map(|leaf| to_u64(leaf, "a leaf")).transpose()
    }

    /// The heights whose blocks hand over to other validators, in order.
    pub async fn set_changes(&self) -> Result<Vec<u64>, StoreError> {
        let heights: Vec<i64> = on!(&self.read, pool => sqlx::query_scalar("SELECT height FROM set_changes ORDER BY height").fetch_all(pool).await?);
        heights
            .into_iter()
            .map(|height| to_u64(height, "a height"))
            .collect()
    }

    /// A stored subtree's hash.
    pub async fn node(&self, node: Node) -> Result<Option<Digest>, StoreError> {
        const SQL: &str = "SELECT hash FROM nodes WHERE level = $1 AND place = $2";
        let hash: Option<Vec<u8>> = on!(&self.read, pool => {
            sqlx::query_scalar(SQL).bind(i64::from(node.level)).bind(to_i64(node.index)).fetch_optional(pool).await?
        });
        hash.map(|hash| {
            Digest::try_from(hash.as_slice())
                .map_err(|_| StoreError::Corrupt("a subtree's hash".into()))
        })
        .transpose()
    }
}

async fn index<C: Bulk>(connection: &mut C, blocks: &[NewBlock]) -> sqlx::Result<()> {
    for (table, columns) in rows(blocks) {
        if columns.first().is_some_and(|column| !column.is_empty()) {
            connection.insert_all(table, columns).await?;
        }
    }
    Ok(())
}

fn stored(
    (height, body, certificate, frontier, checkpoint_lines): BlockRow,
) -> Result<StoredBlock, StoreError> {
    Ok(StoredBlock {
        height: to_u64(height, "a height")?,
        body,
        certificate,
        frontier,
        checkpoint_lines,
    })
}
