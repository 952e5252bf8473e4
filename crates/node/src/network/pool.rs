//! The pool that all validators share: what one of them took from a camera is pushed to the others,
//! with its evidence, until it stands in a block.
//!
//! Whoever receives a transaction judges it as it would in a block, before it costs a place in the
//! pool. So a dishonest member fills nothing but its own share, and a proposer has what it proposes
//! checked already.
//!
//! ```text
//! u8 1 push: u32 length ‖ transaction, then its evidence up to the end
//! u8 2 have: 32 bytes for each transaction that need not be pushed again
//! ```
//!
//! Whoever can read these messages can match photos to commitments and to cameras: they travel on
//! links only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use birthmark_consensus::{Application as _, Evidence};
use birthmark_ledger::{KeyName, Lookups, NotAdded, Transaction, TransactionHash, ValidatorId};
use birthmark_link::{Channel, Hub, Incoming};
use birthmark_protocol::PublicKey;
use birthmark_protocol::bytes::{DecodeError, Reader};
use tokio::sync::{Notify, mpsc};

use crate::clock;
use crate::production::Node;
use crate::registry::RegistryError;
use crate::store::Pooled;

/// How many records of one validator wait here. What is beyond stays with it and is pushed again.
const SHARE: u64 = 20_000;
/// How many transactions are looked at for pushing at once.
const PORTION: usize = 64;
/// After this long what was not acknowledged is pushed again.
const AGAIN: Duration = Duration::from_secs(3);

const PUSH: u8 = 1;
const HAVE: u8 = 2;

/// This validator's side of the shared pool.
pub struct SharedPool {
    node: Node,
    hub: Hub,
    own: ValidatorId,
    /// Something new waits here.
    submitted: Arc<Notify>,
    /// Tells the engine so.
    wake: Arc<Notify>,
    /// Our transactions that wait, and who has them.
    pushed: BTreeMap<TransactionHash, Pushed>,
    /// Up to which row of the pool everything was pushed once.
    seen: i64,
}

struct Pushed {
    had_by: BTreeSet<KeyName>,
    last: Instant,
}

/// Why a pushed transaction is not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("it cannot be read: {0}")]
    Format(String),
    #[error("it can never stand in a block: {0}")]
    Never(String),
    /// What it belongs to is not registered yet.
    #[error("{0}")]
    Later(String),
    #[error("its submitter has more waiting than its share")]
    Share,
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl SharedPool {
    /// For this validator. `submitted` tells that it took something from a camera; `wake` is told
    /// of that and of what others push.
    pub fn new(
        node: Node,
        hub: Hub,
        own: &PublicKey,
        submitted: Arc<Notify>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            node,
            hub,
            own: ValidatorId::of(own),
            submitted,
            wake,
            pushed: BTreeMap::new(),
            seen: 0,
        }
    }

    /// Pushes and takes until dropped.
    pub async fn run(mut self, mut incoming: mpsc::Receiver<Incoming>) {
        let submitted = Arc::clone(&self.submitted);
        let mut look = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                received = incoming.recv() => match received {
                    Some((from, bytes)) => self.receive(from, bytes).await,
                    None => return,
                },
                () = submitted.notified() => {
                    self.wake.notify_one();
                    self.push_new().await;
                }
                _ = look.tick() => {
                    self.push_again().await;
                    self.push_new().await;
                }
            }
        }
    }

    /// Pushes what was not pushed yet.
    async fn push_new(&mut self) {
        loop {
            let new = self
                .node
                .registry()
                .store()
                .pooled_of(&self.own, self.seen, PORTION)
                .await;
            let new = match new {
                Ok(new) => new,
                Err(error) => {
                    log::debug!("the pool is not pushed at the moment: {error}");
                    return;
                }
            };
            let is_all = new.len() < PORTION;
            for (seq, pooled) in new {
                if let Some(message) = self.message(&pooled) {
                    self.hub.broadcast(Channel::Pool, &message);
                }
                let pushed = Pushed {
                    had_by: BTreeSet::new(),
                    last: Instant::now(),
                };
                self.pushed.entry(pooled.hash).or_insert(pushed);
                self.seen = seq;
            }
            if is_all {
                return;
            }
        }
    }

    /// Pushes again what somebody lacks; forgets what waits no longer.
    async fn push_again(&mut self) {
        let due: Vec<_> = self
            .pushed
            .iter()
            .filter(|(_, pushed)| pushed.last.elapsed() >= AGAIN)
            .map(|(hash, _)| *hash)
            .take(PORTION)
            .collect();
        for hash in due {
            let pooled = match self.node.registry().store().pooled_one(&hash).await {
                Ok(Some(pooled)) => pooled,
                Ok(None) => {
                    self.pushed.remove(&hash);
                    continue;
                }
                Err(error) => {
                    log::debug!("the pool is not pushed at the moment: {error}");
                    return;
                }
            };
            let Some(message) = self.message(&pooled) else {
                continue;
            };
            let Some(pushed) = self.pushed.get_mut(&hash) else {
                continue;
            };
            pushed.last = Instant::now();
            let lacking = self
                .hub
                .names()
                .filter(|name| !pushed.had_by.contains(*name));
            for name in lacking {
                self.hub.send(name, Channel::Pool, Arc::clone(&message));
            }
        }
    }

    fn message(&self, pooled: &Pooled) -> Option<Arc<[u8]>> {
        let evidence = match self.node.open_evidence(pooled) {
            Ok(evidence) => evidence,
            Err(error) => {
                log::error!("a waiting transaction cannot be pushed: {error}");
                return None;
            }
        };
        let length = (pooled.body.len() as u32).to_be_bytes();
        Some(
            [&[PUSH], length.as_slice(), &pooled.body, &evidence]
                .concat()
                .into(),
        )
    }

    async fn receive(&mut self, from: KeyName, bytes: Vec<u8>) {
        match bytes.split_first() {
            Some((&PUSH, pushed)) => match self.take(pushed).await {
                Ok(hash) => {
                    let message = [&[HAVE], hash.as_bytes().as_slice()].concat();
                    self.hub.send(&from, Channel::Pool, message.into());
                }
                Err(error @ (NotTaken::Format(_) | NotTaken::Never(_))) => {
                    log::warn!("a transaction that {from} pushed is not taken: {error}");
                }
                Err(error) => log::debug!("a transaction of {from} is not taken yet: {error}"),
            },
            Some((&HAVE, hashes)) => {
                let (hashes, _) = hashes.as_chunks::<32>();
                for hash in hashes.iter().copied().map(TransactionHash::from_bytes) {
                    if let Some(pushed) = self.pushed.get_mut(&hash) {
                        pushed.had_by.insert(from.clone());
                    }
                }
            }
            _ => log::warn!("{from} sent something about the pool that is no message"),
        }
    }

    /// Judges a transaction and puts it into the pool. What is there, or in a block, is taken
    /// already.
    async fn take(&self, bytes: &[u8]) -> Result<TransactionHash, NotTaken> {
        let (body, evidence) = split(bytes).map_err(|error| NotTaken::Format(error.to_string()))?;
        let transaction =
            Transaction::parse(body).map_err(|error| NotTaken::Format(error.to_string()))?;
        let (hash, registry) = (transaction.hash(), self.node.registry());
        let store = registry.store();
        if store
            .pooled_one(&hash)
            .await
            .map_err(RegistryError::Store)?
            .is_some()
        {
            return Ok(hash);
        }
        let lookups = Lookups::of(std::slice::from_ref(&transaction));
        let known = registry.known(&lookups).await?;
        if known.transactions.contains(&hash) {
            return Ok(hash);
        }
        // Statements count as a record, so that a block is made for them.
        let records = transaction.records().len().max(1) as u32;
        let waiting = store
            .pool_of(transaction.submitter())
            .await
            .map_err(RegistryError::Store)?;
        if waiting.saturating_add(records.into()) > SHARE {
            return Err(NotTaken::Share);
        }
        let tip = registry.tip();
        let mut builder = tip.builder(clock::now_millis(), &known);
        match builder.add(transaction.clone()) {
            Ok(()) => registry.remember_verified(hash),
            // Its original may be on its way.
            Err(NotAdded::Fault(fault)) if !fault.is_final() => {}
            Err(error) => return Err(NotTaken::Never(error.to_string())),
        }
        let read =
            Evidence::parse(evidence).map_err(|error| NotTaken::Format(error.to_string()))?;
        let (authorities, mut used) = (self.node.authorities(), BTreeSet::new());
        read.check(&transaction, &*authorities, &known, &mut used)
            .map_err(|error| match error.is_final() {
                true => NotTaken::Never(error.to_string()),
                false => NotTaken::Later(error.to_string()),
            })?;
        let pooled = Pooled {
            hash,
            submitter: *transaction.submitter(),
            records,
            since_ms: clock::now_millis().millis(),
            body: body.to_vec(),
            evidence: self.node.seal_evidence(&hash, evidence)?,
        };
        store.pool(&pooled).await.map_err(RegistryError::Store)?;
        self.wake.notify_one();
        Ok(hash)
    }
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let length = u32::from_be_bytes(reader.array("length of a transaction")?) as usize;
    let body = reader.slice(length, "transaction")?;
    let evidence = reader.slice(reader.remaining(), "evidence")?;
    Ok((body, evidence))
}
