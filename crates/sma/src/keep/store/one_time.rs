//! Epochs, and who may have one-time keys signed under them.
//!
//! Of a camera stands here how many keys it had signed in which epoch, and never which: that is not
//! known to anybody.

use birthmark_http::with_pool;
use birthmark_protocol::Timestamp;
use sqlx::FromRow;

use super::Store;
use crate::keep::rows::{self, Authenticated, Content};
use crate::keep::vault::Vault;

/// The epoch in a withdrawal of all epochs of a family.
pub const ALL_EPOCHS: i64 = -1;

/// An epoch of a family.
#[derive(Debug, Clone, FromRow)]
pub struct EpochRow {
    /// The model.
    pub family: String,
    /// The number of the epoch.
    pub epoch: i64,
    /// The signed statement of its key.
    pub statement: Vec<u8>,
    /// The secret key, sealed; destroyed when the epoch is over.
    pub sealed: Option<Vec<u8>>,
    /// How many signatures were issued.
    pub issued: i64,
    /// The signed statement of that number, once the epoch is over.
    pub counted: Option<Vec<u8>>,
    /// Authenticates all of this.
    pub mac: Vec<u8>,
}

/// Whether a camera may have one-time keys signed, and which key of its chip vouches for them.
#[derive(Debug, Clone, FromRow)]
pub struct EnrolmentRow {
    /// Our number for the camera.
    pub device: i64,
    /// The public area of its attestation key.
    pub attestation_key: Vec<u8>,
    /// When it was caught.
    pub ended_at: Option<i64>,
    /// At what.
    pub reason: Option<String>,
    /// Authenticates all of this.
    pub mac: Vec<u8>,
}

/// A batch of blinded keys that a camera sent.
#[derive(Debug, Clone, FromRow)]
pub struct BatchRow {
    /// Our number for the camera.
    pub device: i64,
    /// The epoch it asks for.
    pub epoch: i64,
    /// The digest of the blinded keys.
    pub blinded: Vec<u8>,
    /// What decides on those that are opened.
    pub challenge: Vec<u8>,
    /// How many keys are to be signed.
    pub amount: i64,
    /// When the challenge was answered.
    pub answered_at: Option<i64>,
}

/// What became of a batch that is to be stored.
#[derive(Debug)]
pub enum Begun {
    /// It stands there, now or since an earlier time.
    Batch(BatchRow),
    /// The camera has another one open.
    Open,
    /// The camera would have more keys than it may in this epoch.
    TooMany,
}

impl Authenticated for EpochRow {
    const TABLE: &'static str = "epochs";

    fn name(&self) -> String {
        format!("epoch {} of {}", self.epoch, self.family)
    }

    fn content(&self) -> Content {
        Content::of(Self::TABLE)
            .bytes(self.family.as_bytes())
            .number(self.epoch)
            .bytes(&self.statement)
            .optional(self.sealed.as_deref())
            .number(self.issued)
            .optional(self.counted.as_deref())
    }

    fn mac(&self) -> &[u8] {
        &self.mac
    }
}

impl Authenticated for EnrolmentRow {
    const TABLE: &'static str = "one_time_enrolments";

    fn name(&self) -> String {
        format!("camera {}", self.device)
    }

    fn content(&self) -> Content {
        Content::of(Self::TABLE)
            .number(self.device)
            .bytes(&self.attestation_key)
            .optional_number(self.ended_at)
            .optional_text(self.reason.as_deref())
    }

    fn mac(&self) -> &[u8] {
        &self.mac
    }
}

const EPOCH: &str = "SELECT family, epoch, statement, sealed, issued, counted, mac FROM epochs WHERE family = $1 AND epoch = $2";
const ENROLMENT: &str = "SELECT device, attestation_key, ended_at, reason, mac FROM one_time_enrolments WHERE device = $1";
const BATCHES: &str = "SELECT device, epoch, blinded, challenge, amount, answered_at FROM one_time_batches WHERE device = $1";

impl Store {
    /// Every epoch, oldest first.
    pub async fn epochs(&self) -> Result<Vec<EpochRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT family, epoch, statement, sealed, issued, counted, mac FROM epochs ORDER BY epoch, family")
                .fetch_all(pool).await)
    }

    /// One epoch of a family.
    pub async fn epoch(&self, family: &str, epoch: u32) -> Result<Option<EpochRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as(EPOCH).bind(family).bind(i64::from(epoch)).fetch_optional(pool).await)
    }

    /// Stores a new epoch; false if the family has one of this number already.
    pub async fn add_epoch(&self, vault: &Vault, row: EpochRow) -> Result<bool, sqlx::Error> {
        let added = with_pool!(&self.database, pool =>
            sqlx::query("INSERT INTO epochs (family, epoch, statement, sealed, issued, mac) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING")
                .bind(&row.family).bind(row.epoch).bind(&row.statement).bind(&row.sealed).bind(row.issued)
                .bind(rows::digest(vault, &row))
                .execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(added > 0)
    }

    /// Closes an epoch: its count is stated and its secret key destroyed. Nothing happens if
    /// signatures were issued since `row` was read, or the epoch is closed.
    pub async fn close_epoch(
        &self,
        vault: &Vault,
        row: &EpochRow,
        counted: Vec<u8>,
    ) -> Result<bool, sqlx::Error> {
        let closed = EpochRow {
            sealed: None,
            counted: Some(counted),
            ..row.clone()
        };
        // If we stop before this, the epoch is closed at the next look; after it, the key is gone
        // and the count is final.
        let done = with_pool!(&self.database, pool =>
            sqlx::query("UPDATE epochs SET sealed = NULL, counted = $1, mac = $2 WHERE family = $3 AND epoch = $4 AND issued = $5 AND counted IS NULL")
                .bind(&closed.counted).bind(rows::digest(vault, &closed)).bind(&row.family).bind(row.epoch).bind(row.issued)
                .execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(done > 0)
    }

    /// Stores a withdrawal; false if there is one already.
    pub async fn withdraw_epoch(
        &self,
        family: &str,
        epoch: Option<u32>,
        statement: &[u8],
    ) -> Result<bool, sqlx::Error> {
        let added = with_pool!(&self.database, pool =>
            sqlx::query("INSERT INTO epoch_withdrawals (family, epoch, statement) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(family).bind(epoch.map_or(ALL_EPOCHS, i64::from)).bind(statement)
                .execute(pool).await.map(|done| done.rows_affected()))?;
        Ok(added > 0)
    }

    /// Every withdrawal: family, epoch or [`ALL_EPOCHS`], signed statement.
    pub async fn epoch_withdrawals(&self) -> Result<Vec<(String, i64, Vec<u8>)>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT family, epoch, statement FROM epoch_withdrawals ORDER BY family, epoch")
                .fetch_all(pool).await)
    }

    /// Lets a camera have one-time keys signed that this attestation key vouches for. One that was
    /// caught stays caught.
    pub async fn enrol_one_time(
        &self,
        vault: &Vault,
        device: i64,
        attestation_key: &[u8],
    ) -> Result<(), sqlx::Error> {
        let row = EnrolmentRow {
            device,
            attestation_key: attestation_key.to_vec(),
            ended_at: None,
            reason: None,
            mac: Vec::new(),
        };
        with_pool!(&self.database, pool => {
            sqlx::query("INSERT INTO one_time_enrolments (device, attestation_key, mac) VALUES ($1, $2, $3) ON CONFLICT (device) DO UPDATE SET attestation_key = excluded.attestation_key, mac = excluded.mac WHERE one_time_enrolments.ended_at IS NULL")
                .bind(device).bind(attestation_key).bind(rows::digest(vault, &row)).execute(pool).await?;
        });
        Ok(())
    }

    /// A camera's enrolment.
    pub async fn enrolment(&self, device: i64) -> Result<Option<EnrolmentRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as(ENROLMENT).bind(device).fetch_optional(pool).await)
    }

    /// Ends a camera's enrolment, for good.
    pub async fn end_enrolment(
        &self,
        vault: &Vault,
        row: EnrolmentRow,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let ended = EnrolmentRow {
            ended_at: Some(now.unix()),
            reason: Some(reason.to_owned()),
            ..row
        };
        with_pool!(&self.database, pool => {
            sqlx::query("UPDATE one_time_enrolments SET ended_at = $1, reason = $2, mac = $3 WHERE device = $4")
                .bind(ended.ended_at).bind(&ended.reason).bind(rows::digest(vault, &ended)).bind(ended.device)
                .execute(pool).await?;
        });
        Ok(())
    }

    /// Stores a camera's batch with the challenge that was drawn for it, unless it stands there
    /// with another. A camera has one batch open at a time: otherwise it could draw challenges
    /// until it likes one. A batch of an epoch before `present` can be answered no more: whoever
    /// lost its keys, with a card or a chip, waits for its epoch's end and not for ever.
    pub async fn begin_batch(
        &self,
        batch: BatchRow,
        most: i64,
        present: i64,
    ) -> Result<Begun, sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let batches: Vec<BatchRow> = sqlx::query_as(BATCHES).bind(batch.device).fetch_all(&mut *transaction).await?;
            if let Some(same) = batches.iter().find(|one| one.blinded == batch.blinded) {
                return Ok(Begun::Batch(same.clone()));
            }
            if batches.iter().any(|one| one.answered_at.is_none() && one.epoch >= present) {
                return Ok(Begun::Open);
            }
            let of_epoch = batches.iter().filter(|one| one.epoch == batch.epoch);
            let signed: i64 = of_epoch.map(|one| one.amount).sum();
            if signed.saturating_add(batch.amount) > most {
                return Ok(Begun::TooMany);
            }
            sqlx::query("INSERT INTO one_time_batches (device, epoch, blinded, challenge, amount) VALUES ($1, $2, $3, $4, $5)")
                .bind(batch.device).bind(batch.epoch).bind(&batch.blinded).bind(&batch.challenge).bind(batch.amount)
                .execute(&mut *transaction).await?;
            // If we stop here, the camera asks again and another challenge is drawn, which it has
            // not seen the first of.
            transaction.commit().await?;
            Ok(Begun::Batch(batch))
        })
    }

    /// A camera's batch that is open for this challenge, or was answered.
    pub async fn batch(
        &self,
        device: i64,
        challenge: &[u8],
    ) -> Result<Option<BatchRow>, sqlx::Error> {
        let all: Vec<BatchRow> = with_pool!(&self.database, pool =>
            sqlx::query_as(BATCHES).bind(device).fetch_all(pool).await)?;
        Ok(all.into_iter().find(|one| one.challenge == challenge))
    }

    /// Notes that a batch was answered, and counts its signatures: both once, and before they
    /// leave. False when the epoch was closed meanwhile.
    pub async fn answer_batch(
        &self,
        vault: &Vault,
        family: &str,
        batch: &BatchRow,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let epoch: Option<EpochRow> = sqlx::query_as(EPOCH).bind(family).bind(batch.epoch).fetch_optional(&mut *transaction).await?;
            let Some(mut epoch) = epoch.filter(|epoch| epoch.sealed.is_some()) else { return Ok(false) };
            let answered = sqlx::query("UPDATE one_time_batches SET answered_at = $1 WHERE device = $2 AND blinded = $3 AND answered_at IS NULL")
                .bind(now.unix()).bind(batch.device).bind(&batch.blinded)
                .execute(&mut *transaction).await?.rows_affected();
            if answered > 0 {
                epoch.issued = epoch.issued.saturating_add(batch.amount);
                sqlx::query("UPDATE epochs SET issued = $1, mac = $2 WHERE family = $3 AND epoch = $4")
                    .bind(epoch.issued).bind(rows::digest(vault, &epoch)).bind(family).bind(batch.epoch)
                    .execute(&mut *transaction).await?;
            }
            // If we stop here, the camera sends its openings again and gets the same signatures.
            transaction.commit().await?;
            Ok(true)
        })
    }
}
