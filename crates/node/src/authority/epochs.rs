//! What authorities state about their epochs: fetched again and again, and put forward for the next
//! block where it is new.
//!
//! Every validator that follows the authority does so. The first one whose transaction is decided
//! has registered the statement; the transactions of the others are discarded.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::Shutdown;
use birthmark_ledger::transaction::MAX_STATEMENTS;
use birthmark_ledger::{Epochs, Transaction, ValidatorId, VoteKey, VoteSigner as _};
use birthmark_protocol::Timestamp;
use birthmark_protocol::one_time::{EpochError, SignedEpochStatement};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::{AskError, AuthorityClient};
use crate::authorities::Authority;
use crate::clock;
use crate::registry::Registry;
use crate::row_keys::RowKeys;
use crate::store::{Pooled, StoreError};

/// How often statements are fetched.
const EVERY: Duration = Duration::from_secs(60);

/// Puts statements forward.
pub struct Herald {
    /// Whose epochs stand there already.
    pub registry: Arc<Registry>,
    /// Seals the (empty) evidence beside the transaction.
    pub rows: Arc<RowKeys>,
    /// Signs the transaction.
    pub key: Arc<VoteKey>,
    /// Is told of each new transaction.
    pub pooled: Arc<Notify>,
}

/// Why statements were not taken.
#[derive(Debug, thiserror::Error)]
pub enum HeraldError {
    /// They could not be had.
    #[error(transparent)]
    Away(#[from] AskError),
    /// They are none.
    #[error("its statements cannot be read: {0}")]
    Format(String),
    /// One of them is none.
    #[error(transparent)]
    Statement(#[from] EpochError),
    /// One of them is about another authority's cameras.
    #[error("one of its statements is in the name of {0:?}")]
    Stranger(String),
    /// None of the pinned keys signed one of them.
    #[error("a statement about an epoch is not signed by a configured verdict key")]
    Unsigned,
    /// They could not be put forward.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Herald {
    /// Follows one authority until asked to stop.
    pub async fn follow(
        self: Arc<Self>,
        authority: Arc<Authority>,
        client: AuthorityClient,
        shutdown: Shutdown,
    ) {
        let mut failing = false;
        loop {
            match self.once(&authority, &client).await {
                Ok(_) if failing => {
                    log::info!(AUTHORITY = authority.settings.id; "statements about epochs are fetched again");
                    failing = false;
                }
                Ok(_) => {}
                Err(reason) => {
                    if !std::mem::replace(&mut failing, true) {
                        log::warn!(AUTHORITY = authority.settings.id; "statements about epochs cannot be fetched, those in the registry stay in force: {reason}");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Fetches once and puts forward what is new; how many statements that are.
    pub async fn once(
        &self,
        authority: &Authority,
        client: &AuthorityClient,
    ) -> Result<usize, HeraldError> {
        let Some(answer) = client.epochs().await? else {
            return Ok(0);
        };
        let mut statements = Vec::new();
        for text in &answer.statements {
            statements.push(read(text, authority)?);
        }
        self.put_forward(fresh(&self.registry.epochs(), statements, clock::now()))
            .await
    }

    /// One transaction, or none. If we stop before it is stored, the next fetch brings the same
    /// statements.
    async fn put_forward(
        &self,
        statements: Vec<SignedEpochStatement>,
    ) -> Result<usize, HeraldError> {
        let count = statements.len();
        let own = ValidatorId::of(&self.key.public_key());
        let is_validator = self.registry.tip().validators().get(&own).is_some();
        // A follower leaves that to the validators.
        if count == 0 || !is_validator {
            return Ok(0);
        }
        let chain = self.registry.genesis().hash();
        let transaction = Transaction::of_statements(&chain, statements, &*self.key);
        let transaction = transaction.map_err(|error| {
            StoreError::Corrupt(format!("a transaction cannot be made: {error}"))
        })?;
        let hash = transaction.hash();
        let evidence = Zeroizing::new(birthmark_consensus::Evidence::default().encode());
        let sealed = self.rows.seal(hash.as_bytes(), &evidence);
        let pooled = Pooled {
            hash,
            submitter: *transaction.submitter(),
            // It counts as a record, so that a block is made for it.
            records: 1,
            since_ms: clock::now_millis().millis(),
            body: transaction.encode(),
            evidence: sealed.map_err(StoreError::from)?,
        };
        self.registry.store().pool(&pooled).await?;
        self.pooled.notify_one();
        Ok(count)
    }
}

fn read(text: &str, authority: &Authority) -> Result<SignedEpochStatement, HeraldError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| HeraldError::Format(error.to_string()))?;
    let signed = SignedEpochStatement::decode(&bytes)?;
    let name = signed.statement.authority();
    if name != authority.settings.id {
        return Err(HeraldError::Stranger(name.to_owned()));
    }
    let mut keys = authority.verdict_keys().iter();
    match keys.any(|key| signed.verify(key).is_ok()) {
        true => Ok(signed),
        false => Err(HeraldError::Unsigned),
    }
}

/// Those that the next block may hold. What cannot stand there now, perhaps later, comes with a
/// later fetch.
fn fresh(
    epochs: &Epochs,
    statements: Vec<SignedEpochStatement>,
    now: Timestamp,
) -> Vec<SignedEpochStatement> {
    let mut epochs = epochs.clone();
    let mut fresh = Vec::new();
    for signed in statements {
        if fresh.len() < MAX_STATEMENTS && epochs.check(&signed, now).is_ok() {
            epochs.insert(signed.clone());
            fresh.push(signed);
        }
    }
    fresh
}
