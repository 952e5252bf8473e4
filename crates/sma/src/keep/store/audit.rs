//! Audit rows, and the counts kept beside them.

use birthmark_http::with_pool;
use birthmark_protocol::Timestamp;
use sqlx::FromRow;

use super::Store;

/// One row of the audit log: an act of an operator, or a batch of validations.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct AuditRow {
    /// Its place in the chain.
    pub seq: i64,
    /// `admin` or `validations`.
    pub kind: String,
    /// When the first thing in it happened.
    pub first_time: i64,
    /// When the last did.
    pub last_time: i64,
    /// How many there are.
    pub entries: i64,
    /// What happened.
    pub content: Vec<u8>,
    /// Binds the row to all before it.
    pub link: Vec<u8>,
}

/// How many validations of an hour ended in which way.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct HourlyCount {
    /// Hours since 1970.
    pub hour: i64,
    /// How they ended.
    pub outcome: String,
    /// How many.
    pub amount: i64,
}

impl Store {
    /// The last row's number and link; if there are none, where the ones that were pruned ended.
    pub async fn audit_head(&self) -> Result<(i64, Vec<u8>), sqlx::Error> {
        let head: Option<(i64, Vec<u8>)> = with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT seq, link FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(pool).await)?;
        match head {
            Some(head) => Ok(head),
            None => self.audit_anchor().await,
        }
    }

    /// Where the rows that were pruned ended.
    pub async fn audit_anchor(&self) -> Result<(i64, Vec<u8>), sqlx::Error> {
        let anchor: Option<(i64, Vec<u8>)> = with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT seq, link FROM audit_anchor").fetch_optional(pool).await)?;
        // Nothing was pruned yet: the log begins at its first row.
        Ok(anchor.unwrap_or((0, Vec::new())))
    }

    /// Stores rows and adds to the counts, all or nothing.
    pub async fn append_audit(
        &self,
        rows: &[AuditRow],
        counts: &[HourlyCount],
        activity: &[(i64, i64, i64)],
    ) -> Result<(), sqlx::Error> {
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin().await?;
            for row in rows {
                sqlx::query("INSERT INTO audit (seq, kind, first_time, last_time, entries, content, link) VALUES ($1, $2, $3, $4, $5, $6, $7)")
                    .bind(row.seq).bind(&row.kind).bind(row.first_time).bind(row.last_time).bind(row.entries).bind(&row.content).bind(&row.link)
                    .execute(&mut *transaction).await?;
            }
            for count in counts {
                sqlx::query("INSERT INTO hourly (hour, outcome, amount) VALUES ($1, $2, $3) ON CONFLICT (hour, outcome) DO UPDATE SET amount = hourly.amount + excluded.amount")
                    .bind(count.hour).bind(&count.outcome).bind(count.amount).execute(&mut *transaction).await?;
            }
            for (device, day, amount) in activity {
                sqlx::query("INSERT INTO activity (device, day, amount) VALUES ($1, $2, $3) ON CONFLICT (device, day) DO UPDATE SET amount = activity.amount + excluded.amount")
                    .bind(device).bind(day).bind(amount).execute(&mut *transaction).await?;
            }
            // If we stop here, the entries are still in memory and are written with the next batch.
            transaction.commit().await
        })
    }

    /// Rows after `seq`, in order.
    pub async fn audit_after(&self, seq: i64, limit: i64) -> Result<Vec<AuditRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT seq, kind, first_time, last_time, entries, content, link FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(seq).bind(limit).fetch_all(pool).await)
    }

    /// The newest acts of operators.
    pub async fn recent_acts(&self, limit: i64) -> Result<Vec<AuditRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT seq, kind, first_time, last_time, entries, content, link FROM audit WHERE kind = 'admin' ORDER BY seq DESC LIMIT $1")
                .bind(limit).fetch_all(pool).await)
    }

    /// Removes rows of before `time` and remembers, as `anchor` writes it, where they ended; how
    /// many were removed.
    pub async fn prune_audit(
        &self,
        time: Timestamp,
        anchor: impl Fn(i64, &[u8]) -> Vec<u8>,
    ) -> Result<u64, sqlx::Error> {
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            // Only a beginning without gaps may go: the first row that must stay keeps everything
            // after it.
            let last: Option<(i64, Vec<u8>)> = sqlx::query_as("SELECT seq, link FROM audit WHERE last_time < $1 AND seq < COALESCE((SELECT MIN(seq) FROM audit WHERE last_time >= $1), 9223372036854775807) ORDER BY seq DESC LIMIT 1")
                .bind(time.unix()).fetch_optional(&mut *transaction).await?;
            let Some((seq, link)) = last else { return Ok(0) };
            sqlx::query("INSERT INTO audit_anchor (id, seq, link) VALUES (1, $1, $2) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, link = excluded.link")
                .bind(seq).bind(anchor(seq, &link)).execute(&mut *transaction).await?;
            let removed = sqlx::query("DELETE FROM audit WHERE seq <= $1").bind(seq).execute(&mut *transaction).await?.rows_affected();
            sqlx::query("DELETE FROM hourly WHERE hour < $1").bind(time.unix() / 3600).execute(&mut *transaction).await?;
            sqlx::query("DELETE FROM activity WHERE day < $1").bind(time.unix() / 86400).execute(&mut *transaction).await?;
            // If we stop here, everything is still there and goes next time.
            transaction.commit().await?;
            Ok(removed)
        })
    }

    /// Counts since an hour, oldest first.
    pub async fn hourly_since(&self, hour: i64) -> Result<Vec<HourlyCount>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT hour, outcome, amount FROM hourly WHERE hour >= $1 ORDER BY hour, outcome").bind(hour).fetch_all(pool).await)
    }

    /// For every camera that was busy since `day`: its number, today's amount, and the average of
    /// the days before.
    pub async fn activity_since(
        &self,
        day: i64,
        today: i64,
    ) -> Result<Vec<(i64, i64, i64, i64)>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT device, CAST(SUM(CASE WHEN day = $2 THEN amount ELSE 0 END) AS BIGINT), CAST(SUM(CASE WHEN day < $2 THEN amount ELSE 0 END) AS BIGINT), CAST(SUM(CASE WHEN day < $2 THEN 1 ELSE 0 END) AS BIGINT) FROM activity WHERE day >= $1 GROUP BY device")
                .bind(day).bind(today).fetch_all(pool).await)
    }
}
