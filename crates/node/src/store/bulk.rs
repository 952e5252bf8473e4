//! Many rows at once: one statement with arrays on PostgreSQL, rows of values in bounded portions
//! on SQLite.
//!
//! This is the one place where the two databases are spoken to differently.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row as _, Sqlite};

use super::receipt_id::ReceiptId;

/// SQLite's own limit of parameters is 32,766; small statements keep its parser quick.
const SQLITE_PARAMETERS: usize = 2000;
/// Advisory lock id that serialises the taking of claims and tokens.
const CLAIMING: i64 = 0x6269_7274_686d_6172;
const REGISTERED: &str = "SELECT 1 FROM transactions WHERE hash = $1";

/// A column of new rows.
#[derive(Debug, Clone)]
pub(super) enum Column {
    Int(Vec<i64>),
    Bytes(Vec<Vec<u8>>),
    Text(Vec<String>),
}

/// Where rows go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    /// What becomes of a row whose key exists.
    pub(super) conflict: &'static str,
}

impl Table {
    /// A table whose rows are left alone once they are there.
    pub(super) const fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            name,
            columns,
            conflict: "ON CONFLICT DO NOTHING",
        }
    }
}

/// A table of keys that each belong to one owner. SQLite keeps key and owner in one tree.
/// PostgreSQL keeps a row and an index entry beside it for each: there the key is two numbers and
/// the index holds the first of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
}

/// What both databases can do with many rows.
pub(super) trait Bulk {
    /// Inserts rows with distinct keys; returns the first column of those that are new or were
    /// changed, if it holds bytes.
    fn insert(
        &mut self,
        table: Table,
        columns: Vec<Column>,
    ) -> impl Future<Output = sqlx::Result<Vec<Vec<u8>>>> + Send;

    /// Inserts rows whose new ones nobody asks for.
    fn insert_all(
        &mut self,
        table: Table,
        columns: Vec<Column>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Until the transaction ends, nobody else takes keys: who looks now sees everything that is
    /// taken.
    fn lock_keys(&mut self) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Takes keys of sixteen bytes for their owners; those that are taken stay with whom they
    /// belong to.
    fn take(
        &mut self,
        table: Keys,
        wanted: &[(Vec<u8>, ReceiptId)],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Gives keys back: whoever comes next may take them.
    fn free(
        &mut self,
        table: Keys,
        keys: &[Vec<u8>],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Those of the keys that are taken, each with its owner.
    fn owners(
        &mut self,
        table: Keys,
        keys: &[Vec<u8>],
    ) -> impl Future<Output = sqlx::Result<Vec<(Vec<u8>, Vec<u8>)>>> + Send;

    /// Deletes every row.
    fn clear(&mut self, table: Table) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Says in which transaction, and where in it, submissions stand.
    fn place(
        &mut self,
        tx: &[u8],
        decided_at: i64,
        places: &[(Vec<u8>, i64)],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Whether a transaction is in a block.
    fn is_registered(&mut self, tx: &[u8]) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes the rows whose first column is one of `keys`.
    fn delete(
        &mut self,
        table: Table,
        keys: &[i64],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

impl Column {
    pub(super) fn numbers(values: impl Iterator<Item = u64>) -> Self {
        Self::Int(values.map(super::to_i64).collect())
    }

    pub(super) fn bytes(values: impl Iterator<Item = [u8; 32]>) -> Self {
        Self::Bytes(values.map(|value| value.to_vec()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Self::Int(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    const fn array(&self) -> &'static str {
        match self {
            Self::Int(_) => "bigint[]",
            Self::Bytes(_) => "bytea[]",
            Self::Text(_) => "text[]",
        }
    }
}

fn rows_of(columns: &[Column]) -> usize {
    columns.first().map_or(0, Column::len)
}

fn unnest(table: Table, columns: &[Column], returning: bool) -> String {
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("${}::{}", at + 1, column.array()));
    let arrays: Vec<_> = arrays.collect();
    let names = table.columns.join(", ");
    let first = table.columns.first().copied().unwrap_or_default();
    let returning = if returning {
        format!(" RETURNING {first}")
    } else {
        String::new()
    };
    format!(
        "INSERT INTO {} ({names}) SELECT * FROM UNNEST({}) {}{returning}",
        table.name,
        arrays.join(", "),
        table.conflict
    )
}

fn bound(
    sql: String,
    columns: Vec<Column>,
) -> sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for column in columns {
        query = match column {
            Column::Int(values) => query.bind(values),
            Column::Bytes(values) => query.bind(values),
            Column::Text(values) => query.bind(values),
        };
    }
    query
}

impl Bulk for PgConnection {
    async fn insert(&mut self, table: Table, columns: Vec<Column>) -> sqlx::Result<Vec<Vec<u8>>> {
        let query = bound(unnest(table, &columns, true), columns);
        query
            .fetch_all(self)
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect()
    }

    async fn insert_all(&mut self, table: Table, columns: Vec<Column>) -> sqlx::Result<()> {
        bound(unnest(table, &columns, false), columns)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn lock_keys(&mut self) -> sqlx::Result<()> {
        // Two who look at once would both find nothing. Held until the commit, so whoever is next
        // sees what was taken.
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(CLAIMING)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn take(&mut self, table: Keys, wanted: &[(Vec<u8>, ReceiptId)]) -> sqlx::Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let halves = halves_of(wanted.iter().map(|(key, _)| key))?;
        let owners: Vec<_> = wanted
            .iter()
            .map(|(_, owner)| owner.0.to_string())
            .collect();
        let sql = format!(
            "INSERT INTO {0} (high, low, id) SELECT DISTINCT ON (v.high, v.low) v.high, v.low, CAST(v.id AS UUID) \
             FROM UNNEST($1::bigint[], $2::bigint[], $3::text[]) AS v(high, low, id) \
             WHERE NOT EXISTS (SELECT 1 FROM {0} AS t WHERE t.high = v.high AND t.low = v.low)",
            table.table
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(halves.0)
            .bind(halves.1)
            .bind(owners)
            .execute(&mut *self)
            .await?;
        Ok(())
    }

    async fn free(&mut self, table: Keys, keys: &[Vec<u8>]) -> sqlx::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let (high, low) = halves_of(keys.iter())?;
        let sql = format!(
            "DELETE FROM {} AS t USING UNNEST($1::bigint[], $2::bigint[]) AS v(high, low) \
             WHERE t.high = v.high AND t.low = v.low",
            table.table
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(high)
            .bind(low)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn owners(
        &mut self,
        table: Keys,
        keys: &[Vec<u8>],
    ) -> sqlx::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT high, low, uuid_send(id) FROM {} WHERE high = ANY($1)",
            table.table
        );
        let rows: Vec<(i64, i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(halves_of(keys.iter())?.0)
            .fetch_all(self)
            .await?;
        // A first half may be that of another key: only who is asked for by both is found.
        let asked: HashSet<_> = keys.iter().map(Vec::as_slice).collect();
        let whole = |(high, low, owner): (i64, i64, Vec<u8>)| {
            ([high.to_be_bytes(), low.to_be_bytes()].concat(), owner)
        };
        let mut found: Vec<_> = rows.into_iter().map(whole).collect();
        found.retain(|(key, _)| asked.contains(key.as_slice()));
        Ok(found)
    }

    async fn clear(&mut self, table: Table) -> sqlx::Result<()> {
        // Deleted rows would keep their place on the disk.
        let sql = format!("TRUNCATE {}", table.name);
        sqlx::query(AssertSqlSafe(sql)).execute(self).await?;
        Ok(())
    }

    async fn place(
        &mut self,
        tx: &[u8],
        decided_at: i64,
        places: &[(Vec<u8>, i64)],
    ) -> sqlx::Result<()> {
        const SQL: &str = "UPDATE submissions SET state = 1, tx = $1, decided_at = $2, place = v.place \
            FROM UNNEST($3::bytea[], $4::bigint[]) AS v(id, place) WHERE submissions.id = v.id";
        let (ids, places): (Vec<_>, Vec<_>) = places.iter().cloned().unzip();
        sqlx::query(SQL)
            .bind(tx.to_vec())
            .bind(decided_at)
            .bind(ids)
            .bind(places)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn is_registered(&mut self, tx: &[u8]) -> sqlx::Result<bool> {
        Ok(sqlx::query(REGISTERED)
            .bind(tx.to_vec())
            .fetch_optional(self)
            .await?
            .is_some())
    }

    async fn delete(&mut self, table: Table, keys: &[i64]) -> sqlx::Result<()> {
        let Some(key) = table.columns.first() else {
            return Ok(());
        };
        let sql = format!("DELETE FROM {} WHERE {key} = ANY($1)", table.name);
        sqlx::query(AssertSqlSafe(sql))
            .bind(keys.to_vec())
            .execute(self)
            .await?;
        Ok(())
    }
}

impl Bulk for SqliteConnection {
    async fn insert(&mut self, table: Table, columns: Vec<Column>) -> sqlx::Result<Vec<Vec<u8>>> {
        let mut new = Vec::new();
        for portion in portions(&columns) {
            let mut builder = values(table, &columns, portion);
            builder
                .push(" RETURNING ")
                .push(table.columns.first().copied().unwrap_or_default());
            for row in builder.build().fetch_all(&mut *self).await? {
                new.push(row.try_get(0)?);
            }
        }
        Ok(new)
    }

    async fn insert_all(&mut self, table: Table, columns: Vec<Column>) -> sqlx::Result<()> {
        for portion in portions(&columns) {
            values(table, &columns, portion)
                .build()
                .execute(&mut *self)
                .await?;
        }
        Ok(())
    }

    async fn lock_keys(&mut self) -> sqlx::Result<()> {
        // Nothing to do: SQLite has one writer, and this connection is it.
        Ok(())
    }

    async fn take(&mut self, table: Keys, wanted: &[(Vec<u8>, ReceiptId)]) -> sqlx::Result<()> {
        for wanted in wanted.chunks(SQLITE_PARAMETERS / 2) {
            let mut builder = QueryBuilder::<Sqlite>::new(format!(
                "INSERT INTO {} ({}, id) ",
                table.table, table.key
            ));
            builder.push_values(wanted, |mut row, (key, owner)| {
                row.push_bind(key.clone()).push_bind(owner.bytes());
            });
            builder.push(" ON CONFLICT DO NOTHING");
            builder.build().execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn free(&mut self, table: Keys, keys: &[Vec<u8>]) -> sqlx::Result<()> {
        for keys in keys.chunks(SQLITE_PARAMETERS) {
            let Keys { table, key } = table;
            let mut builder =
                QueryBuilder::<Sqlite>::new(format!("DELETE FROM {table} WHERE {key} IN ("));
            let mut list = builder.separated(", ");
            keys.iter().for_each(|key| {
                list.push_bind(key.clone());
            });
            builder.push(")");
            builder.build().execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn owners(
        &mut self,
        table: Keys,
        keys: &[Vec<u8>],
    ) -> sqlx::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        for keys in keys.chunks(SQLITE_PARAMETERS) {
            let Keys { table, key } = table;
            let mut builder = QueryBuilder::<Sqlite>::new(format!(
                "SELECT {key}, id FROM {table} WHERE {key} IN ("
            ));
            let mut list = builder.separated(", ");
            keys.iter().for_each(|key| {
                list.push_bind(key.clone());
            });
            builder.push(")");
            found.extend(
                builder
                    .build_query_as::<(Vec<u8>, Vec<u8>)>()
                    .fetch_all(&mut *self)
                    .await?,
            );
        }
        Ok(found)
    }

    async fn clear(&mut self, table: Table) -> sqlx::Result<()> {
        let sql = format!("DELETE FROM {}", table.name);
        sqlx::query(AssertSqlSafe(sql)).execute(self).await?;
        Ok(())
    }

    async fn place(
        &mut self,
        tx: &[u8],
        decided_at: i64,
        places: &[(Vec<u8>, i64)],
    ) -> sqlx::Result<()> {
        for places in places.chunks(SQLITE_PARAMETERS / 2) {
            let mut builder =
                QueryBuilder::<Sqlite>::new("UPDATE submissions SET state = 1, tx = ");
            builder
                .push_bind(tx.to_vec())
                .push(", decided_at = ")
                .push_bind(decided_at);
            builder.push(", place = v.column2 FROM (").push_values(
                places,
                |mut row, (id, place)| {
                    row.push_bind(id.clone()).push_bind(*place);
                },
            );
            builder.push(") AS v WHERE submissions.id = v.column1");
            builder.build().execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn is_registered(&mut self, tx: &[u8]) -> sqlx::Result<bool> {
        Ok(sqlx::query(REGISTERED)
            .bind(tx.to_vec())
            .fetch_optional(self)
            .await?
            .is_some())
    }

    async fn delete(&mut self, table: Table, keys: &[i64]) -> sqlx::Result<()> {
        let Some(key) = table.columns.first() else {
            return Ok(());
        };
        for keys in keys.chunks(SQLITE_PARAMETERS) {
            let mut builder =
                QueryBuilder::<Sqlite>::new(format!("DELETE FROM {} WHERE {key} IN (", table.name));
            let mut list = builder.separated(", ");
            keys.iter().for_each(|key| {
                list.push_bind(*key);
            });
            builder.push(")");
            builder.build().execute(&mut *self).await?;
        }
        Ok(())
    }
}

/// The keys as PostgreSQL keeps them.
fn halves_of<'a>(keys: impl Iterator<Item = &'a Vec<u8>>) -> sqlx::Result<(Vec<i64>, Vec<i64>)> {
    let halves = |key: &Vec<u8>| {
        let (high, low) = key.split_first_chunk::<8>()?;
        let low = <[u8; 8]>::try_from(low).ok()?;
        Some((i64::from_be_bytes(*high), i64::from_be_bytes(low)))
    };
    let wrong = || sqlx::Error::Encode("a claim or token has sixteen bytes".into());
    keys.map(|key| halves(key).ok_or_else(wrong)).collect()
}

fn portions(columns: &[Column]) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let rows = rows_of(columns);
    let step = (SQLITE_PARAMETERS / columns.len().max(1)).max(1);
    (0..rows)
        .step_by(step)
        .map(move |start| start..rows.min(start + step))
}

fn values(table: Table, columns: &[Column], rows: std::ops::Range<usize>) -> QueryBuilder<Sqlite> {
    let mut builder = QueryBuilder::<Sqlite>::new(format!(
        "INSERT INTO {} ({}) ",
        table.name,
        table.columns.join(", ")
    ));
    builder.push_values(rows, |mut list, row| {
        for column in columns {
            match column {
                Column::Int(values) => list.push_bind(values.get(row).copied()),
                Column::Bytes(values) => list.push_bind(values.get(row).cloned()),
                Column::Text(values) => list.push_bind(values.get(row).cloned()),
            };
        }
    });
    builder.push(" ").push(table.conflict);
    builder
}
