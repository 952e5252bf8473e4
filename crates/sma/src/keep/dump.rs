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

#[cfg(test)]
mod tests {
    use super::*;

    async fn empty(folder: &std::path::Path, name: &str) -> Store {
        let url = format!("sqlite://{}", folder.join(name).display());
        Store::open(&url, 1).await.unwrap()
    }

    fn lines(lines: &[&str]) -> Vec<u8> {
        let header = format!("\"{HEADER}\"");
        let all = std::iter::once(&*header).chain(lines.iter().copied());
        all.map(|line| format!("{line}\n"))
            .collect::<String>()
            .into()
    }

    const HOURLY: &str = r#"["hourly", [5, "pass", 3]]"#;

    /// What is not whole changes nothing: the next attempt finds the database as empty as before.
    #[tokio::test]
    async fn a_backup_that_is_not_whole_brings_nothing_back_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let store = empty(folder.path(), "a.db").await;
        for (file, said) in [
            (Vec::new(), "the backup is empty"),
            (b"\"another program\"\n".to_vec(), "not a backup"),
            (b"PRAGMA x;\n".to_vec(), "not a backup"),
            (lines(&[]), "cut off after 0 rows"),
            (lines(&[HOURLY]), "cut off after 1 rows"),
            (lines(&[HOURLY, r#"["end", 2]"#]), "says it has 2 rows"),
            (lines(&[r#"["sqlite_master", [1]]"#]), "line 2: no table"),
            (lines(&[r#"["hourly", {}]"#]), "line 2: no list of values"),
            (
                lines(&[HOURLY, r#"["hourly", [5, "pass"]]"#]),
                "line 3: 2 values for 3 columns",
            ),
            (
                lines(&[r#"["hourly", ["5", "pass", 3]]"#]),
                "hourly.hour is not what it should be",
            ),
            (
                lines(&[r#"["key_tables", [1, "xyz"]]"#]),
                "key_tables.sealed is not what it should be",
            ),
            (lines(&[HOURLY, HOURLY]), "line 3"),
            (lines(&["no JSON"]), "line 2"),
        ] {
            let error = restore(&store, &file[..]).await.unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(said), "{error}");
            let mut out = Vec::new();
            assert_eq!(backup(&store, &mut out).await.unwrap(), 0, "{said}");
        }
        let whole = lines(&[HOURLY, r#"["end", 1]"#]);
        assert_eq!(restore(&store, &whole[..]).await.unwrap(), 1);
        let mut out = Vec::new();
        assert_eq!(backup(&store, &mut out).await.unwrap(), 1);
        let written = String::from_utf8(out).unwrap();
        assert_eq!(written.lines().count(), 3, "{written}");
        assert!(written.ends_with("[\"end\",1]\n"), "{written}");
    }

    /// Every kind of value comes back as it was: nothing is not empty, and no number loses digits.
    #[tokio::test]
    async fn values_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            r#"["operators", [1, "anna", "00ff", "read", null, 9223372036854775807, -1, 0, null, 5, ""]]"#,
            r#"["operators", [2, "\u00e9\n\"", "", "", "[]", null, 0, 0, 0, null, "aa"]]"#,
            r#"["end", 2]"#,
        ];
        let file = lines(&rows);
        let (one, other) = (
            empty(folder.path(), "a.db").await,
            empty(folder.path(), "b.db").await,
        );
        restore(&one, &file[..]).await.unwrap();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        backup(&one, &mut first).await.unwrap();
        restore(&other, &first[..]).await.unwrap();
        backup(&other, &mut second).await.unwrap();
        assert_eq!(first, second);
        let parsed = |bytes: &[u8]| -> Vec<Value> {
            let text = std::str::from_utf8(bytes).unwrap();
            let lines = text.lines().map(serde_json::from_str);
            lines.collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(parsed(&first), parsed(&file));
    }
}
