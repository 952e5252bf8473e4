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
//! u8 3 a change of validators, until a block holds it
//! u8 4 have: the 32 bytes by which such a change is named
//! ```
//!
//! Whoever can read these messages can match photos to commitments and to cameras: they travel on
//! links between validators only, and a follower gets none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use birthmark_consensus::{Application as _, Evidence};
use birthmark_ledger::{
    KeyName, Lookups, NotAdded, SetChange, Transaction, TransactionHash, ValidatorId,
};
use birthmark_link::{Channel, Hub, Incoming};
use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::{Digest, PublicKey};
use tokio::sync::{Notify, mpsc};

use crate::changes;
use crate::clock;
use crate::production::Node;
use crate::registry::RegistryError;
use crate::signatures;
use crate::store::Pooled;

/// How many records of one validator wait here. What is beyond stays with it and is pushed again.
const SHARE: u64 = 20_000;
/// How many transactions are looked at for pushing at once.
const PORTION: usize = 64;
/// After this long what was not acknowledged is pushed again.
const AGAIN: Duration = Duration::from_secs(3);

const PUSH: u8 = 1;
const HAVE: u8 = 2;
const CHANGE: u8 = 3;
const HAVE_CHANGE: u8 = 4;

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
    /// The change of validators that waits, and who has it.
    change: Option<(Digest, BTreeSet<KeyName>)>,
    /// The validators after whose change the pool was looked through.
    looked_through: Option<Digest>,
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
            change: None,
            looked_through: None,
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
                    self.follow_validators().await;
                    self.push_change();
                    self.push_again().await;
                    self.push_new().await;
                }
            }
        }
    }

    /// The other validators of the next height to whom there are links.
    fn members(&self) -> Vec<KeyName> {
        let names = self.hub.names();
        names.filter(|name| self.is_member(name)).cloned().collect()
    }

    fn is_member(&self, name: &KeyName) -> bool {
        let tip = self.node.registry().tip();
        let mut validators = tip.validators().validators().iter();
        validators.any(|validator| validator.name == *name)
    }

    /// After a change of validators: what was taken here under a key that counts no longer is
    /// signed by the one that does, and everything is pushed to whoever is new.
    async fn follow_validators(&mut self) {
        let set = self.node.registry().tip().validators().hash();
        if self.looked_through == Some(set) {
            return;
        }
        match self.node.sign_anew().await {
            Ok(_) => self.looked_through = Some(set),
            Err(error) => log::debug!("what waits is not signed anew yet: {error}"),
        }
    }

    /// Pushes the change of validators that waits to whoever lacks it, and wakes the engine when
    /// its time has come.
    fn push_change(&mut self) {
        let tip = self.node.registry().tip();
        let Some(waiting) = self.node.changes().waiting(&tip) else {
            self.change = None;
            return;
        };
        let name = changes::name_of(&waiting.change);
        let is_known = self
            .change
            .as_ref()
            .is_some_and(|(known, _)| *known == name);
        if !is_known {
            self.change = Some((name, BTreeSet::new()));
        }
        let had_by = self.change.iter().flat_map(|(_, had_by)| had_by);
        let had_by: BTreeSet<_> = had_by.cloned().collect();
        let message: Arc<[u8]> = [&[CHANGE], waiting.change.encode().as_slice()]
            .concat()
            .into();
        let members = self.members();
        for member in members.iter().filter(|name| !had_by.contains(*name)) {
            self.hub.send(member, Channel::Pool, Arc::clone(&message));
        }
        if self.node.changes().due(&tip, clock::now_millis()).is_some() {
            self.wake.notify_one();
        }
    }

    async fn take_change(&self, from: &KeyName, bytes: &[u8]) {
        let change = match SetChange::parse(bytes) {
            Ok(change) => change,
            Err(error) => {
                log::warn!("{from} sent a change of validators that is none: {error}");
                return;
            }
        };
        let name = changes::name_of(&change);
        match self.node.changes().take(self.node.registry(), change).await {
            Ok(_) => {
                let message = [&[HAVE_CHANGE], name.as_bytes().as_slice()].concat();
                self.hub.send(from, Channel::Pool, message.into());
            }
            // It was decided meanwhile, or we are behind and come to it.
            Err(error) => log::debug!("a change of validators of {from} is not taken: {error}"),
        }
    }

    /// Pushes what was not pushed yet.
    async fn push_new(&mut self) {
        if !self.node.is_validator() {
            return;
        }
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
            let (is_all, members) = (new.len() < PORTION, self.members());
            for (seq, pooled) in new {
                if let Some(message) = self.message(&pooled) {
                    for member in &members {
                        self.hub.send(member, Channel::Pool, Arc::clone(&message));
                    }
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
        let members = self.members();
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
            for name in members.iter().filter(|name| !pushed.had_by.contains(*name)) {
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
        // A follower has nothing to say about what waits. One that is a validator already where we
        // are not yet says it again.
        if !self.is_member(&from) {
            return;
        }
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
            Some((&CHANGE, change)) => self.take_change(&from, change).await,
            Some((&HAVE_CHANGE, name)) => {
                if let Some((change, had_by)) = &mut self.change
                    && change.as_bytes() == name
                {
                    had_by.insert(from);
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
        let tip = registry.tip();
        let submitter = tip.validators().get(transaction.submitter());
        let message = || transaction.signed_message(tip.chain());
        // At its fastest; the ledger's rules verify whatever is not known to hold.
        if submitter
            .is_some_and(|by| signatures::verify(&by.vote_key, &message(), transaction.signature()))
        {
            registry.remember_verified(hash);
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
        let mut builder = tip.builder(clock::now_millis(), &known);
        match builder.add(transaction.clone()) {
            Ok(()) => {}
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
