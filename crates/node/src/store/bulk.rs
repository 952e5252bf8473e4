//! Many rows at once: one statement with arrays on PostgreSQL, rows of values in bounded portions on SQLite.
//!
//! This is the one place where the two databases are spoken to differently.

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row as _, Sqlite};

/// SQLite's own limit of parameters is 32,766; small statements keep its parser quick.
const SQLITE_PARAMETERS: usize = 2000;
const REGISTERED: &str = "SELECT 1 FROM transactions WHERE hash = $1";

/// A column of new rows.
#[derive(Debug, Clone)]
pub(super) enum Column {
    Int(Vec<i64>),
    Bytes(Vec<Vec<u8>>),
    Text(Vec<String>),
}

/// Where rows go. Rows whose key exists are left alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// What both databases can do with many rows.
pub(super) trait Bulk {
    /// Inserts rows; returns the first column of those that are new, if it holds bytes.
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

    /// Key and value of the rows with these keys, from a table of two columns of bytes.
    fn pairs(
        &mut self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> impl Future<Output = sqlx::Result<Vec<(Vec<u8>, Vec<u8>)>>> + Send;

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
        "INSERT INTO {} ({names}) SELECT * FROM UNNEST({}) ON CONFLICT DO NOTHING{returning}",
        table.name,
        arrays.join(", ")
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

    async fn pairs(
        &mut self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> sqlx::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let [key, value, ..] = table.columns else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {key}, {value} FROM {} WHERE {key} = ANY($1)",
            table.name
        );
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(keys.to_vec())
            .fetch_all(self)
            .await
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

    async fn pairs(
        &mut self,
        table: Table,
        keys: &[Vec<u8>],
    ) -> sqlx::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let [key, value, ..] = table.columns else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for keys in keys.chunks(SQLITE_PARAMETERS) {
            let mut builder = QueryBuilder::<Sqlite>::new(format!(
                "SELECT {key}, {value} FROM {} WHERE {key} IN (",
                table.name
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
    builder.push(" ON CONFLICT DO NOTHING");
    builder
}
