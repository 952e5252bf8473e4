//! Block production: the node as the consensus engine sees it, and the task that drives it.

use std::sync::Arc;
use std::time::Duration;

use birthmark_consensus::message::SentBlock;
use birthmark_consensus::{
    Application, Authorities, Backlog, Cosigned, Decided, Evidence, Misbehaviour, Offer, Pacing,
    Shared, SingleValidator, Step, StepError, ValidatorKeys,
};
use birthmark_daemon::{MessageId, Shutdown};
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    BlockTime, Height, IndexRoot, Known, Lookups, SetChange, Tip, Transaction, TransactionHash,
    ValidatorId, ValidatorSet, VoteKey, VoteSigner,
};
use birthmark_protocol::Digest;
use birthmark_protocol::numbers::at_most;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::authorities::AuthorityBook;
use crate::changes::{self, Changes};
use crate::clock;
use crate::contradictions::Contradictions;
use crate::guard::Guard;
use crate::journal;
use crate::pulse::Pulse;
use crate::registry::{Registry, RegistryError};
use crate::row_keys::{RowKeys, Sealed};
use crate::settings::BlockSettings;
use crate::store::{Pooled, StoreError};

/// How many transactions of the pool are looked at for one block.
const LOOKED_AT: usize = 1000;
/// How many blocks a member that was away gets at once.
const MOST_BLOCKS: usize = 200;
/// The pause after the store failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The node's pool and registry, for the engine.
#[derive(Clone)]
pub struct Node {
    registry: Arc<Registry>,
    rows: Arc<RowKeys>,
    book: Arc<AuthorityBook>,
    guard: Option<Guard>,
    contradictions: Arc<Contradictions>,
    changes: Arc<Changes>,
    key: Arc<VoteKey>,
    own: ValidatorId,
}

impl Node {
    /// Over this registry, with these authorities. It signs anew, by this key, what it took under a
    /// key that counts no longer.
    pub fn new(
        registry: Arc<Registry>,
        rows: Arc<RowKeys>,
        book: Arc<AuthorityBook>,
        guard: Option<Guard>,
        contradictions: Arc<Contradictions>,
        changes: Arc<Changes>,
        key: Arc<VoteKey>,
    ) -> Self {
        Self {
            registry,
            rows,
            book,
            guard,
            contradictions,
            changes,
            own: ValidatorId::of(&key.public_key()),
            key,
        }
    }
}

impl Node {
    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The change of validators that waits.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Whether this node is a validator at the next height.
    pub fn is_validator(&self) -> bool {
        self.registry.tip().validators().get(&self.own).is_some()
    }

    /// Signs by this validator's key what it took from cameras under another one that counts no
    /// longer, and that no block holds; how many transactions those were. What was accepted must
    /// not be lost because its validator changed its key.
    pub async fn sign_anew(&self) -> Result<usize, RegistryError> {
        if !self.is_validator() {
            return Ok(0);
        }
        let (tip, store) = (self.registry.tip(), self.registry.store());
        let mut signed = 0;
        for old in store.pooled_under_other_keys(&self.own, LOOKED_AT).await? {
            if tip.validators().get(&old.submitter).is_some() {
                continue;
            }
            let unreadable = |error: &dyn std::fmt::Display| {
                StoreError::Corrupt(format!("transaction {}: {error}", old.hash))
            };
            let transaction = Transaction::parse(&old.body).map_err(|error| unreadable(&error))?;
            let evidence = self.open_evidence(&old)?;
            let records = transaction.records().to_vec();
            let anew = Transaction::sign(tip.chain(), records, &*self.key);
            let anew = anew.map_err(|error| unreadable(&error))?;
            let hash = anew.hash();
            let pooled = Pooled {
                hash,
                submitter: self.own,
                records: old.records,
                since_ms: old.since_ms,
                body: anew.encode(),
                evidence: self.seal_evidence(&hash, &evidence)?,
            };
            store.replace_pooled(&old.hash, &pooled).await?;
            signed += 1;
        }
        if signed > 0 {
            log::info!("{signed} waiting transactions were signed by this validator's new key");
        }
        Ok(signed)
    }

    /// Says who comes and who goes with a block that was stored.
    fn tell_change(&self, decided: &Decided, before: &ValidatorSet) {
        let next = decided.tip.validators();
        let words = match changes::Step::between(before, next) {
            Ok(step) => step.to_string(),
            Err(error) => error.to_string(),
        };
        let (height, count) = (decided.block.header.height.get(), next.len());
        log::info!(MESSAGE_ID = journal::VALIDATORS_CHANGE, BLOCK_HEIGHT = height; "after block {height}, {count} validators decide: {words}");
        match (before.get(&self.own), next.get(&self.own)) {
            (Some(_), None) => {
                log::warn!(MESSAGE_ID = journal::VALIDATORS_CHANGE, BLOCK_HEIGHT = height; "this node is no validator any more after block {height}: it follows, and answers")
            }
            (None, Some(_)) => {
                log::info!(MESSAGE_ID = journal::VALIDATORS_CHANGE, BLOCK_HEIGHT = height; "this node is a validator after block {height}")
            }
            _ => {}
        }
    }

    /// Reads the evidence of a waiting transaction.
    pub fn open_evidence(&self, pooled: &Pooled) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let opened = self.rows.read(pooled.hash.as_bytes(), &pooled.evidence);
        opened.map_err(|error| StoreError::Corrupt(format!("transaction {}: {error}", pooled.hash)))
    }

    /// Seals the evidence of a transaction that is to wait here.
    pub fn seal_evidence(
        &self,
        hash: &TransactionHash,
        evidence: &[u8],
    ) -> Result<Sealed, RegistryError> {
        let sealed = self.rows.seal(hash.as_bytes(), evidence);
        sealed.map_err(|error| RegistryError::Store(error.into()))
    }

    fn offer_of(&self, pooled: &Pooled) -> Result<Offer, StoreError> {
        let unreadable = |error: &dyn std::fmt::Display| {
            StoreError::Corrupt(format!("transaction {}: {error}", pooled.hash))
        };
        let transaction = Transaction::parse(&pooled.body).map_err(|error| unreadable(&error))?;
        let evidence = self.open_evidence(pooled)?;
        let evidence = Evidence::parse(&evidence).map_err(|error| unreadable(&error))?;
        Ok(Offer {
            transaction,
            evidence,
        })
    }

    fn guard(&self) -> Result<&Guard, RegistryError> {
        let missing = || std::io::Error::other("no file of signed heights is configured");
        self.guard
            .as_ref()
            .ok_or_else(|| RegistryError::Guard(missing()))
    }
}

impl Shared for Node {
    async fn promised(&self) -> Result<Height, RegistryError> {
        let height = self.guard()?.height();
        let height = height.map_err(|error| RegistryError::Guard(std::io::Error::other(error)))?;
        Ok(Height::new(height))
    }

    async fn promise(&self, height: Height) -> Result<(), RegistryError> {
        self.guard()?
            .remember(height.get())
            .map_err(RegistryError::Guard)
    }

    async fn pooled(&self, names: &[TransactionHash]) -> Result<Vec<Option<Offer>>, RegistryError> {
        let mut offers = Vec::with_capacity(names.len());
        for name in names {
            let pooled = self.registry.store().pooled_one(name).await?;
            offers.push(pooled.map(|pooled| self.offer_of(&pooled)).transpose()?);
        }
        Ok(offers)
    }

    async fn blocks(&self, from: Height, bytes: usize) -> Result<Vec<SentBlock>, RegistryError> {
        let (mut blocks, mut total) = (Vec::new(), 0_usize);
        let last = self.registry.tip().height().get();
        for height in from.get()..=last {
            let Some(decided) = self.registry.block(height).await? else {
                break;
            };
            total = total.saturating_add(decided.bytes.len());
            if blocks.len() >= MOST_BLOCKS || (total > bytes && !blocks.is_empty()) {
                break;
            }
            blocks.push(SentBlock {
                block: decided.bytes.clone(),
                certificate: decided.certificate.encode(),
                lines: decided.checkpoint_lines.clone(),
            });
        }
        Ok(blocks)
    }

    async fn cosigned(&self, height: Height) -> Result<Option<Cosigned>, RegistryError> {
        let Some(decided) = self.registry.block(height.get()).await? else {
            return Ok(None);
        };
        Ok(Some(Cosigned {
            header: decided.block.header.clone(),
            validators: self
                .registry
                .validators_after(height.get().saturating_sub(1)),
            lines: decided.checkpoint_lines.clone(),
        }))
    }

    async fn add_lines(
        &self,
        height: Height,
        lines: Vec<NoteSignature>,
    ) -> Result<(), RegistryError> {
        self.registry.put_lines(height.get(), lines).await
    }

    async fn report(&self, misbehaviour: &Misbehaviour) -> Result<(), RegistryError> {
        let (height, proof) = (misbehaviour.height(), misbehaviour.encode());
        let sentence = self.contradictions.add(&self.registry, misbehaviour);
        log::error!(MESSAGE_ID = journal::MISBEHAVIOUR, BLOCK_HEIGHT = height.get(); "{sentence}");
        let store = self.registry.store();
        Ok(store
            .put_misbehaviour(&Digest::of(&proof).to_hex(), &proof)
            .await?)
    }
}

impl Application for Node {
    type Error = RegistryError;

    async fn tip(&self) -> Result<Tip, RegistryError> {
        // The engine asks at the start, and when it does not know whether a commit succeeded: only
        // the store knows.
        self.registry.resume().await?;
        Ok(Tip::clone(&self.registry.tip()))
    }

    async fn backlog(&self) -> Result<Backlog, RegistryError> {
        let waiting = self.registry.store().pool_waiting().await?;
        let change = self
            .changes
            .due(&self.registry.tip(), clock::now_millis())
            .map(|change| change.since);
        let oldest = waiting.oldest_ms.map(BlockTime::from_millis);
        Ok(Backlog {
            records: at_most(waiting.records),
            oldest: oldest.into_iter().chain(change).min(),
        })
    }

    async fn waiting(&self, records: usize) -> Result<Vec<Offer>, RegistryError> {
        let (mut offers, mut room) = (Vec::new(), records);
        let tip = self.registry.tip();
        let mut waiting = self.registry.store().pooled(LOOKED_AT).await?;
        let is_stranger = |pooled: &Pooled| tip.validators().get(&pooled.submitter).is_none();
        // Before it is offered: what no block can hold is discarded.
        if waiting.iter().any(is_stranger) && self.sign_anew().await? > 0 {
            waiting = self.registry.store().pooled(LOOKED_AT).await?;
        }
        for pooled in waiting {
            let Some(left) = room.checked_sub(pooled.records as usize) else {
                break;
            };
            room = left;
            offers.push(self.offer_of(&pooled)?);
        }
        Ok(offers)
    }

    async fn known(&self, lookups: &Lookups) -> Result<Known, RegistryError> {
        self.registry.known(lookups).await
    }

    async fn discard(
        &self,
        transaction: &TransactionHash,
        reason: &str,
    ) -> Result<(), RegistryError> {
        Ok(self
            .registry
            .store()
            .discard(transaction, reason, clock::now())
            .await?)
    }

    async fn commit(&self, decided: &Decided) -> Result<(), RegistryError> {
        let before = decided.block.change.as_ref();
        let before = before.map(|_| self.registry.tip().validators().clone());
        self.registry.append(decided, self.guard.as_ref()).await?;
        if let Some(before) = before {
            self.tell_change(decided, &before);
        }
        Ok(())
    }

    async fn change(&self, tip: &Tip) -> Result<Option<SetChange>, RegistryError> {
        let Some(waiting) = self.changes.due(tip, clock::now_millis()) else {
            return Ok(None);
        };
        // What the leaver took first stands in a block; not for ever, for the change may be there
        // because nothing good comes from it.
        if tip.height().next() < waiting.change.not_after
            && let Some(leaver) = waiting.step.leaver()
            && self.registry.store().pool_of(&leaver.id()).await? > 0
        {
            return Ok(None);
        }
        Ok(Some(waiting.change))
    }

    async fn index(&self, tip: &Tip) -> Result<IndexRoot, RegistryError> {
        self.registry.index_for(tip).await
    }

    async fn index_root(&self, height: Height) -> Result<Option<Digest>, RegistryError> {
        Ok(self.registry.indexer().root(height).await)
    }

    fn authorities(&self) -> Arc<dyn Authorities> {
        Arc::clone(&self.book) as Arc<dyn Authorities>
    }
}

/// When blocks are due, by the configuration.
pub fn pacing(settings: &BlockSettings) -> Pacing {
    let heartbeat = match settings.heartbeat_s {
        0 => i64::MAX / 4,
        seconds => at_most::<i64, _>(seconds)
            .saturating_mul(1000)
            .min(i64::MAX / 4),
    };
    Pacing {
        batch_wait: at_most(settings.batch_wait_ms),
        heartbeat,
        halt_after: settings.halt_after.map(Height::new),
        ..Pacing::default()
    }
}

/// Makes blocks until asked to stop. Ends with an error only when trying again cannot help.
pub async fn produce<V: VoteSigner + Send + Sync>(
    node: Node,
    keys: ValidatorKeys<V>,
    pacing: Pacing,
    pooled: Arc<Notify>,
    pulse: Arc<Pulse>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let chain_id = node.registry.genesis().chain_id.clone();
    let mut engine = SingleValidator::new(node, keys, chain_id, pacing);
    let mut failing = false;
    while !shutdown.is_requested() {
        let now = clock::now_millis();
        let pause = match engine.step(now).await {
            Ok(Step::Committed(decided)) => {
                let header = &decided.block.header;
                log::info!(MESSAGE_ID = journal::BLOCK_STORED, BLOCK_HEIGHT = header.height.get(), RECORDS = header.records; "block {} holds {} records", header.height, header.records);
                recovered(&mut failing, &pulse);
                continue;
            }
            Ok(Step::Wait(until)) => {
                recovered(&mut failing, &pulse);
                Duration::from_millis(until.millis_since(now).clamp(1, 60_000).unsigned_abs())
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => {
                if !failing {
                    log::error!(MESSAGE_ID = kind(&error); "no block can be made at the moment: {error}");
                }
                failing = true;
                pulse.set_blocks(Some(trouble(&error)));
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = pooled.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => {}
        }
    }
    Ok(())
}

fn recovered(failing: &mut bool, pulse: &Pulse) {
    pulse.set_blocks(None);
    if std::mem::take(failing) {
        log::info!(MESSAGE_ID = journal::DATABASE_BACK; "blocks are made again");
    }
}

/// What anybody may hear of a failure.
const fn trouble(error: &StepError<RegistryError>) -> &'static str {
    match error {
        StepError::ClockBehind { .. } => {
            "no block can be made: this machine's clock is behind the newest block"
        }
        _ => "no block can be made at the moment",
    }
}

fn kind(error: &StepError<RegistryError>) -> MessageId {
    match error {
        StepError::ClockBehind { .. } => journal::CLOCK_BEHIND,
        error => journal::outage(error),
    }
}
