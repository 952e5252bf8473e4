//! What the node says in the journal, by kind: `journalctl MESSAGE_ID=…`.
//! `systemd/birthmark.catalog` explains each.

use std::error::Error;

use birthmark_daemon::MessageId;

/// A block is durable.
pub const BLOCK_STORED: MessageId = MessageId::new("1f258d0b9beb4207bf54c2c0f462e8df");
/// The database does not answer; nothing is accepted until it does.
pub const DATABASE_LOST: MessageId = MessageId::new("c56f2ffc4a474bd1adf5c68744978a06");
/// The database has no room left; nothing is accepted until it has.
pub const DISK_FULL: MessageId = MessageId::new("9d78447139bc4e5b973f6a8d2d9e53da");
/// Blocks are made again.
pub const DATABASE_BACK: MessageId = MessageId::new("cff7b1c89e7f4e0ba3c187a7a8339d64");
/// This machine's clock is behind the last block; no block is signed until it is right.
pub const CLOCK_BEHIND: MessageId = MessageId::new("599994f1c0d84965a62f458feb1356c6");
/// An authority does not answer; its cameras' submissions wait.
pub const AUTHORITY_AWAY: MessageId = MessageId::new("30f9e274a276424e9f86aa27f47e4504");
/// An authority answers again.
pub const AUTHORITY_BACK: MessageId = MessageId::new("24ff8e1e8de749d880ad60b65d5590d6");
/// An answer in an authority's name was not signed by a key we pinned.
pub const FORGED_VERDICT: MessageId = MessageId::new("8f0b5ccbbcea447d81a491980fe1933b");
/// Submissions were refused because their proofs do not hold.
pub const FORGED_PROOFS: MessageId = MessageId::new("e09b27cb90594c7c945cc303c5ac9c70");
/// A list of what is revoked cannot be read or is not the authority's; the last one stays in force.
pub const LIST_STALE: MessageId = MessageId::new("1fb2fbd4262543e0a72856afb943447e");
/// A decided block names another root of the index than the stored blocks make.
pub const OTHER_INDEX: MessageId = MessageId::new("b6e933cf74624bf1931815ae2e7fd81e");

/// This validator takes no part in decisions any more, so that it cannot contradict itself.
pub const SAFETY_STOP: MessageId = MessageId::new("5d0c1f0e6c8b4b0f9d4e4f1a1b7c2e93");
/// A validator said two things where one is allowed.
pub const MISBEHAVIOUR: MessageId = MessageId::new("b3a1de0f27c84a6c8a54c6a1f0a9d7b2");
/// Who decides changes, or is about to.
pub const VALIDATORS_CHANGE: MessageId = MessageId::new("7d0e3b5c92f84a1e8c4d6f20b1a97e35");

/// A witness outside of the registry does not sign, or signs what it should not.
pub const WITNESS_TROUBLE: MessageId = MessageId::new("0f6a8a1d6d0b4f0c8f7b3c1de2a94b57");
/// A witness signs again.
pub const WITNESS_BACK: MessageId = MessageId::new("7be1c2a94c7d4e55a4a10c8e5f3d9b26");

/// Why nothing can be stored at the moment.
pub fn outage(error: &(dyn Error + 'static)) -> MessageId {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut refusals = causes.filter_map(|error| {
        error
            .downcast_ref::<sqlx::Error>()?
            .as_database_error()?
            .code()
    });
    // SQLITE_FULL, and PostgreSQL's disk_full.
    match refusals.any(|code| code == "13" || code == "53100") {
        true => DISK_FULL,
        false => DATABASE_LOST,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::SqlitePool;

    use super::*;
    use crate::store::StoreError;

    #[tokio::test]
    async fn a_full_disk_is_told_from_a_database_that_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}?mode=rwc",
            folder.path().join("small.db").display()
        );
        let pool = SqlitePool::connect(&url).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        for sql in ["CREATE TABLE t (x BLOB)", "PRAGMA max_page_count = 2"] {
            sqlx::query(sql).execute(&mut *connection).await.unwrap();
        }
        let insert = sqlx::query("INSERT INTO t VALUES (zeroblob(100000))");
        let full = StoreError::from(insert.execute(&mut *connection).await.unwrap_err());
        assert_eq!(outage(&full), DISK_FULL);
        assert_eq!(
            outage(&StoreError::from(sqlx::Error::PoolTimedOut)),
            DATABASE_LOST
        );
    }
}
