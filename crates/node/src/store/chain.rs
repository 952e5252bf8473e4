//! Blocks and what is looked up in them.

use birthmark_ledger::TransactionHash;
use birthmark_ledger::merkle::Node;
use birthmark_protocol::Digest;

use super::bulk::{Bulk, Column, Table};
use super::{Store, StoreError, on, prefix_of, to_i64, to_u64};

/// Subtrees of fewer leaves than `2^STORED_LEVEL` are recomputed from the blocks instead of stored.
pub const STORED_LEVEL: u8 = 5;

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
    /// Our line under the checkpoint of the tree after it.
    pub cosignature: Option<Vec<u8>>,
    /// Whether other validators decide the next block.
    pub hands_over: bool,
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
    /// Our line under the checkpoint of the tree after it.
    pub cosignature: Option<Vec<u8>>,
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

const TRANSACTIONS: Table = Table {
    name: "transactions",
    columns: &["hash", "height", "first_leaf", "leaves"],
};
const IMAGES: Table = Table {
    name: "images",
    columns: &["prefix", "leaf"],
};
const EDITS: Table = Table {
    name: "edits",
    columns: &["original", "leaf"],
};
const NODES: Table = Table {
    name: "nodes",
    columns: &["level", "place", "hash"],
};
const SET_CHANGES: Table = Table {
    name: "set_changes",
    columns: &["height"],
};
/// How many records with one eight-byte prefix are looked at.
const MOST_RECORDS: i64 = 1000;

impl NewBlock {
    fn transaction_columns(&self) -> Vec<Column> {
        let leaf = |pick: fn(&(TransactionHash, u64, u64)) -> u64| {
            self.transactions
                .iter()
                .map(|tx| to_i64(pick(tx)))
                .collect()
        };
        vec![
            Column::Bytes(
                self.transactions
                    .iter()
                    .map(|(hash, ..)| hash.as_bytes().to_vec())
                    .collect(),
            ),
            Column::Int(vec![to_i64(self.height); self.transactions.len()]),
            Column::Int(leaf(|(_, first, _)| *first)),
            Column::Int(leaf(|(_, _, leaves)| *leaves)),
        ]
    }

    fn node_columns(&self) -> Vec<Column> {
        vec![
            Column::Int(
                self.nodes
                    .iter()
                    .map(|(node, _)| i64::from(node.level))
                    .collect(),
            ),
            Column::Int(
                self.nodes
                    .iter()
                    .map(|(node, _)| to_i64(node.index))
                    .collect(),
            ),
            Column::Bytes(
                self.nodes
                    .iter()
                    .map(|(_, hash)| hash.as_bytes().to_vec())
                    .collect(),
            ),
        ]
    }
}

/// Sorted by prefix, so that neighbours share a page of the index.
fn prefix_columns(digests: &[(Digest, u64)]) -> Vec<Column> {
    let mut rows: Vec<_> = digests
        .iter()
        .map(|(digest, leaf)| (prefix_of(digest), to_i64(*leaf)))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    let (prefixes, leaves) = rows.into_iter().unzip();
    vec![Column::Int(prefixes), Column::Int(leaves)]
}

impl Store {
    /// Appends a decided block: body, certificate and index, and its transactions leave the pool.
    ///
    /// One database transaction. If we stop before its commit, the block is not there and is proposed or fetched again;
    /// after it, the block is there with all of its index. There is nothing in between.
    pub async fn append_block(&self, block: &NewBlock) -> Result<(), StoreError> {
        const BLOCK: &str = "INSERT INTO blocks (height, first_leaf, leaves, time_ms, body, certificate, frontier, cosignature) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            let query = sqlx::query(BLOCK).bind(to_i64(block.height)).bind(to_i64(block.first_leaf));
            let query = query.bind(to_i64(block.leaves)).bind(block.time_ms);
            let query = query.bind(block.body.clone()).bind(block.certificate.clone());
            query.bind(block.frontier.clone()).bind(block.cosignature.clone()).execute(&mut *tx).await?;
            index(&mut *tx, block).await?;
            for (hash, ..) in &block.transactions {
                sqlx::query("DELETE FROM pool WHERE hash = $1").bind(hash.as_bytes().to_vec()).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Adds a stored block's index again.
    pub async fn index_block(&self, block: &NewBlock) -> Result<(), StoreError> {
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            index(&mut *tx, block).await?;
            tx.commit().await?;
        });
        Ok(())
    }

    /// Empties what [`Store::index_block`] fills.
    pub async fn clear_index(&self) -> Result<(), StoreError> {
        const TABLES: [&str; 5] = [
            "DELETE FROM transactions",
            "DELETE FROM images",
            "DELETE FROM edits",
            "DELETE FROM nodes",
            "DELETE FROM set_changes",
        ];
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            for sql in TABLES {
                sqlx::query(sql).execute(&mut *tx).await?;
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
        const SQL: &str =
            "SELECT height, body, certificate, frontier, cosignature FROM blocks WHERE height = $1";
        let row: Option<BlockRow> = on!(&self.read, pool => sqlx::query_as(SQL).bind(to_i64(height)).fetch_optional(pool).await?);
        row.map(stored).transpose()
    }

    /// The blocks after a height, in order, at most `limit`.
    pub async fn blocks_after(
        &self,
        height: u64,
        limit: u32,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        const SQL: &str = "SELECT height, body, certificate, frontier, cosignature FROM blocks WHERE height > $1 ORDER BY height LIMIT $2";
        let rows: Vec<BlockRow> = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(to_i64(height)).bind(i64::from(limit)).fetch_all(pool).await?
        });
        rows.into_iter().map(stored).collect()
    }

    /// The block that holds a record.
    pub async fn block_of_leaf(&self, leaf: u64) -> Result<Option<StoredBlock>, StoreError> {
        const SQL: &str = "SELECT height, body, certificate, frontier, cosignature FROM blocks WHERE first_leaf <= $1 AND leaves > 0 \
            ORDER BY first_leaf DESC LIMIT 1";
        let row: Option<BlockRow> = on!(&self.read, pool => sqlx::query_as(SQL).bind(to_i64(leaf)).fetch_optional(pool).await?);
        row.map(stored).transpose()
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

    /// Records whose digests begin like this one, oldest first. The records themselves decide which hold it.
    pub async fn leaves_of(&self, digest: &Digest) -> Result<Vec<u64>, StoreError> {
        self.leaves(
            "SELECT leaf FROM images WHERE prefix = $1 ORDER BY leaf LIMIT $2",
            digest,
        )
        .await
    }

    /// Records edited from an image whose digest begins like this one.
    pub async fn edits_of(&self, original: &Digest) -> Result<Vec<u64>, StoreError> {
        self.leaves(
            "SELECT leaf FROM edits WHERE original = $1 ORDER BY leaf LIMIT $2",
            original,
        )
        .await
    }

    async fn leaves(&self, sql: &'static str, digest: &Digest) -> Result<Vec<u64>, StoreError> {
        let leaves: Vec<i64> = on!(&self.read, pool => {
            sqlx::query_scalar(sql).bind(prefix_of(digest)).bind(MOST_RECORDS).fetch_all(pool).await?
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

    /// The indexed prefixes after `(prefix, leaf)`, in order: for building the filter in portions.
    pub async fn prefixes_after(
        &self,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        const SQL: &str = "SELECT prefix, leaf FROM images WHERE (prefix, leaf) > ($1, $2) ORDER BY prefix, leaf LIMIT $3";
        let rows = on!(&self.read, pool => {
            sqlx::query_as(SQL).bind(after.0).bind(after.1).bind(i64::from(limit)).fetch_all(pool).await?
        });
        Ok(rows)
    }
}

async fn index<C: Bulk>(connection: &mut C, block: &NewBlock) -> sqlx::Result<()> {
    let tables = [
        (
            TRANSACTIONS,
            block.transactions.len(),
            block.transaction_columns(),
        ),
        (IMAGES, block.images.len(), prefix_columns(&block.images)),
        (EDITS, block.edits.len(), prefix_columns(&block.edits)),
        (NODES, block.nodes.len(), block.node_columns()),
    ];
    if block.hands_over {
        connection
            .insert_all(SET_CHANGES, vec![Column::Int(vec![to_i64(block.height)])])
            .await?;
    }
    for (table, _, columns) in tables.into_iter().filter(|(_, rows, _)| *rows > 0) {
        connection.insert_all(table, columns).await?;
    }
    Ok(())
}

fn stored(
    (height, body, certificate, frontier, cosignature): BlockRow,
) -> Result<StoredBlock, StoreError> {
    Ok(StoredBlock {
        height: to_u64(height, "a height")?,
        body,
        certificate,
        frontier,
        cosignature,
    })
}
