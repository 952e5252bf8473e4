//! Backup and restore: the whole database as lines of JSON, from either database and into either.
//!
//! What is sealed stays sealed: a backup is worth nothing without the credential, and cannot be
//! used without it.

mod columns;

use std::io::{BufRead, Write};

use anyhow::{Context as _, bail, ensure};
use birthmark_http::Database;
use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use crate::keep::store::Store;
use columns::{Column, TABLES, Table};

/// The first line of a backup.
const HEADER: &str = "birthmark-sma backup 1";

impl Table {
    fn select(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        format!(
            "SELECT {} FROM {} ORDER BY {}",
            names.join(", "),
            self.name,
            self.order
        )
    }

    fn insert(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let places: Vec<_> = (1..=self.columns.len())
            .map(|place| format!("${place}"))
            .collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            places.join(", ")
        )
    }
}

macro_rules! read_row {
    ($row:expr, $table:expr) => {
        $table
            .columns
            .iter()
            .map(|(name, kind)| {
                Ok(match kind {
                    Column::Number => $row
                        .try_get::<Option<i64>, _>(*name)?
                        .map_or(Value::Null, Value::from),
                    Column::Text => $row
                        .try_get::<Option<String>, _>(*name)?
                        .map_or(Value::Null, Value::from),
                    Column::Bytes => $row
                        .try_get::<Option<Vec<u8>>, _>(*name)?
                        .map_or(Value::Null, |bytes| hex::encode(bytes).into()),
                    Column::Truth => $row
                        .try_get::<Option<bool>, _>(*name)?
                        .map_or(Value::Null, Value::from),
                    Column::Fraction => $row
                        .try_get::<Option<f64>, _>(*name)?
                        .map_or(Value::Null, Value::from),
                })
            })
            .collect::<Result<Vec<Value>, sqlx::Error>>()?
    };
}

macro_rules! dump_with {
    ($transaction:expr, $out:expr) => {{
        let mut rows = 0_u64;
        for table in TABLES {
            // Row by row: a million cameras do not fit into memory twice.
            let query = sqlx::query(AssertSqlSafe(table.select()));
            let mut stored = query.fetch(&mut *$transaction);
            while let Some(row) = stored.try_next().await? {
                let values = read_row!(row, table);
                writeln!($out, "{}", serde_json::to_string(&(table.name, values))?)?;
                rows += 1;
            }
        }
        rows
    }};
}

/// Writes all rows as they are at one moment; how many.
pub async fn backup(store: &Store, out: &mut impl Write) -> anyhow::Result<u64> {
    writeln!(out, "{}", serde_json::to_string(HEADER)?)?;
    let rows = match store.database() {
        Database::Sqlite(pool) => {
            let mut transaction = pool.begin().await?;
            dump_with!(transaction, out)
        }
        Database::Postgres(pool) => {
            let mut transaction = pool.begin().await?;
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut *transaction)
                .await?;
            dump_with!(transaction, out)
        }
    };
    // The last line says that nothing was cut off.
    writeln!(out, "{}", serde_json::to_string(&("end", rows))?)?;
    Ok(rows)
}

macro_rules! bind_all {
    ($query:expr, $table:expr, $values:expr) => {{
        let mut query = $query;
        for ((name, kind), value) in $table.columns.iter().zip($values) {
            let wrong = || format!("{}.{name} is not what it should be", $table.name);
            query = match kind {
                Column::Number => query.bind(optional(value, Value::as_i64).with_context(wrong)?),
                Column::Text => query.bind(
                    optional(value, |value| value.as_str().map(str::to_owned))
                        .with_context(wrong)?,
                ),
                Column::Bytes => query.bind(
                    optional(value, |value| hex::decode(value.as_str()?).ok())
                        .with_context(wrong)?,
                ),
                Column::Truth => query.bind(optional(value, Value::as_bool).with_context(wrong)?),
                Column::Fraction => query.bind(optional(value, Value::as_f64).with_context(wrong)?),
            };
        }
        query
    }};
}

macro_rules! restore_with {
    ($transaction:expr, $lines:expr) => {{
        let mut rows = 0_u64;
        let mut ended = false;
        for (number, line) in $lines {
            let line = line?;
            let (name, rest): (String, Value) =
                serde_json::from_str(&line).with_context(|| format!("line {number}"))?;
            if name == "end" {
                ensure!(
                    rest.as_u64() == Some(rows),
                    "the backup says it has {rest} rows, but there are {rows}"
                );
                ended = true;
                break;
            }
            let table = TABLES
                .iter()
                .find(|table| table.name == name)
                .with_context(|| format!("line {number}: no table {name:?}"))?;
            let Value::Array(values) = &rest else {
                bail!("line {number}: no list of values")
            };
            ensure!(
                values.len() == table.columns.len(),
                "line {number}: {} values for {} columns",
                values.len(),
                table.columns.len()
            );
            let query = bind_all!(sqlx::query(AssertSqlSafe(table.insert())), table, values);
            query
                .execute(&mut *$transaction)
                .await
                .with_context(|| format!("line {number}"))?;
            rows += 1;
        }
        ensure!(ended, "the backup is cut off after {rows} rows");
        rows
    }};
}

/// `None` stays none; anything else must be of the column's kind.
fn optional<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() {
        Some(None)
    } else {
        read(value).map(Some)
    }
}

/// Reads a backup into an empty database, all or nothing; how many rows.
pub async fn restore(store: &Store, input: impl BufRead) -> anyhow::Result<u64> {
    ensure!(
        store.vault_proof().await?.is_none(),
        "the database holds an authority already; nothing was changed"
    );
    let mut lines = (1..).zip(input.lines());
    let (_, first) = lines.next().context("the backup is empty")?;
    ensure!(
        serde_json::from_str::<String>(&first?).ok().as_deref() == Some(HEADER),
        "this is not a backup of an authority"
    );
    match store.database() {
        Database::Sqlite(pool) => {
            let mut transaction = pool.begin().await?;
            let rows = restore_with!(transaction, lines);
            transaction.commit().await?;
            Ok(rows)
        }
        Database::Postgres(pool) => {
            let mut transaction = pool.begin().await?;
            let rows = restore_with!(transaction, lines);
            for table in TABLES.iter().filter(|table| table.counted) {
                let next = format!(
                    "SELECT setval(pg_get_serial_sequence('{0}', 'id'), GREATEST((SELECT COALESCE(MAX(id), 0) FROM {0}), 1))",
                    table.name
                );
                sqlx::query(AssertSqlSafe(next))
                    .execute(&mut *transaction)
                    .await?;
            }
            // If we stop here, the database is still empty.
            transaction.commit().await?;
            Ok(rows)
        }
    }
}
