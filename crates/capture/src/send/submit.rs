//! Getting proofs to a validator, for weeks if need be.
//!
//! One worker has photos signed as soon as their files are in place; nobody waits for it, least of
//! all the shutter. Another takes the entry that is due first and brings it one stage further:
//! sends it, asks what became of it, stores the receipt. A validator that is away keeps no photo
//! from its signature, and a signer that is away none from its receipt. Every stage is durable
//! before the next begins, so that a crash repeats at most one step, and every step may be
//! repeated: the node answers a repeated submission with the first receipt.
//!
//! Trouble of the line or the node is one pause for everything; it grows, with jitter, and any
//! success ends it. An entry the node will never take is put aside with the reason, and kept.

mod contents;
mod node;
mod nodes;
mod signing;
mod trouble;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use birthmark_daemon::{Backoff, Shutdown, durable, random};
use birthmark_ledger::Receipt;
use birthmark_protocol::Timestamp;
use birthmark_sensor::clock;
use contents::{contents, is_outdated, request};
pub use node::{Fate, Line, Node, NodeError, Request, SetupError};
pub use nodes::Nodes;
use trouble::{Trouble, reasons, refusal};

use crate::keep::album::{Album, RECEIPT};
use crate::keep::queue::{Entry, EntryId, Queue, QueueError, Refusal, Stage};
use crate::send::registry::{LearnError, ReceiptFault, Registry};
use crate::send::signer::{Proof, ProvedBy, Signer};

/// The first question about a submission comes after this long; a node with four validators has an
/// answer by then.
const FIRST_QUESTION: Duration = Duration::from_millis(700);
/// Later questions are no further apart than this: an authority may be down for days.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The first pause after the validator did not answer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How long a refusal counts, in seconds. Validators err, and are taught better.
const ASK_REFUSED_AGAIN: i64 = 86_400;
/// How often refusals are looked at for that, and how many: each is a small file.
const LOOK_AT_REFUSED: Duration = Duration::from_secs(3_600);
const REFUSED_AT_ONCE: usize = 500;
/// After so many questions without an answer another validator is given the proof.
const QUESTIONS_TO_A_SILENT_ONE: u32 = 6;

/// A signer that was away, or a disk that was full, is tried again at least this often.
const LONGEST_OWN_WAIT: Duration = Duration::from_secs(60);

/// What the submission is up to, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last trouble, until something succeeds.
    pub trouble: Option<String>,
    /// Why photos wait for their signature, until one is signed.
    pub unsigned: Option<String>,
    /// How long the last signature with its token took.
    pub signing: Option<Duration>,
    /// When a receipt was last stored, in Unix seconds.
    pub last_stored: Option<i64>,
}

/// Sends what the queue holds.
pub struct Submitter {
    queue: Arc<Queue>,
    album: Album,
    signer: Arc<dyn Signer>,
    nodes: Arc<Nodes>,
    registry: Arc<Registry>,
    longest_pause: Duration,
    /// For at most so long a photo under a one-time key is held back.
    longest_delay: Duration,
    /// Those that were.
    delayed: Mutex<HashSet<EntryId>>,
    progress: Mutex<Progress>,
}

impl Submitter {
    /// A worker for `queue`.
    pub fn new(
        queue: Arc<Queue>,
        album: Album,
        signer: Arc<dyn Signer>,
        nodes: Arc<Nodes>,
        registry: Arc<Registry>,
        longest_pause: Duration,
    ) -> Self {
        Self {
            queue,
            album,
            signer,
            nodes,
            registry,
            longest_pause,
            longest_delay: Duration::ZERO,
            delayed: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    /// The same worker, which holds photos under one-time keys back for a random time up to this.
    pub fn with_delay(self, longest_delay: Duration) -> Self {
        Self {
            longest_delay,
            ..self
        }
    }

    /// What it is up to.
    pub fn progress(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Who signs.
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.signer)
    }

    /// The registry receipts must come from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Works until asked to stop.
    pub async fn run(&self, shutdown: Shutdown) {
        tokio::join!(self.sign_all(shutdown.clone()), self.send_all(shutdown));
    }

    /// Sends what is signed.
    async fn send_all(&self, shutdown: Shutdown) {
        let mut pause = Backoff::new(FIRST_PAUSE, self.longest_pause);
        let (mut next_look, mut looked_at) = (Instant::now(), None);
        while !shutdown.is_requested() {
            if next_look <= Instant::now() {
                looked_at = self.look_at_refused(looked_at).await;
                next_look = Instant::now() + LOOK_AT_REFUSED;
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.wait() => {}
            }
            let Some((_, id)) = self.queue.next().filter(|(due, _)| *due <= Instant::now()) else {
                continue;
            };
            // A started step is finished even when asked to stop: its requests have their own
            // deadlines.
            match self.advance(id).await {
                Ok(()) => {
                    pause.succeeded();
                    self.note(|progress| progress.trouble = None);
                }
                Err(trouble) => self.suffer(id, &trouble, &mut pause, &shutdown).await,
            }
        }
    }

    /// Offers again what was refused a day ago or earlier, a part at a time; answers where the next
    /// look begins.
    async fn look_at_refused(&self, after: Option<EntryId>) -> Option<EntryId> {
        let queue = Arc::clone(&self.queue);
        let yesterday = clock::now_ns() / 1_000_000_000 - ASK_REFUSED_AGAIN;
        let look = move || queue.retry_refused(yesterday, after, REFUSED_AT_ONCE);
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(looked)) => {
                if looked.tried > 0 {
                    log::info!("{} refused proofs are offered again", looked.tried);
                }
                looked.last
            }
            Ok(Err(error)) => {
                log::error!("refused proofs cannot be offered again: {error}");
                after
            }
            Err(error) => {
                log::error!("refused proofs cannot be looked at: {error}");
                after
            }
        }
    }

    /// Until something is due.
    async fn wait(&self) {
        let due = self.queue.next().map(|(due, _)| due);
        let far = Instant::now() + LONGEST_WAIT;
        tokio::select! {
            () = tokio::time::sleep_until(due.unwrap_or(far).into()) => {}
            () = self.queue.changed() => {}
        }
    }

    /// Trouble of the node is a pause for everything; any other is one entry's own, and the rest
    /// goes on.
    async fn suffer(
        &self,
        id: EntryId,
        trouble: &Trouble,
        pause: &mut Backoff,
        shutdown: &Shutdown,
    ) {
        if self.is_beyond_help(id, trouble) {
            return;
        }
        self.tell(trouble);
        let Trouble::Node(error) = trouble else {
            let doubled = FIRST_QUESTION.saturating_mul(1 << self.queue.attempts(id).min(16));
            let wait = doubled.min(LONGEST_OWN_WAIT).min(self.longest_pause);
            let why = Some(trouble.to_string());
            self.queue.postpone(id, Instant::now() + wait, why);
            return;
        };
        pause.failed();
        let length = pause.pause_at_least(random::share(), error.retry_after());
        // What the node dislikes about this entry must not keep the others waiting: it goes to the
        // end.
        let why = Some(trouble.to_string());
        self.queue.postpone(id, Instant::now() + length, why);
        tokio::select! {
            () = shutdown.requested() => {}
            () = tokio::time::sleep(length) => {}
            // Somebody said: now.
            () = self.queue.hurried() => {}
        }
    }

    /// New trouble is worth a warning; the same again is not.
    fn tell(&self, trouble: &Trouble) {
        let said = trouble.to_string();
        if self.progress().trouble.as_ref() == Some(&said) {
            log::debug!("proofs are still waiting: {said}");
        } else {
            log::warn!("proofs are waiting: {said}");
        }
        self.note(|progress| progress.trouble = Some(said));
    }

    /// Puts aside what no waiting will mend; a damaged file must not stop all others.
    fn is_beyond_help(&self, id: EntryId, trouble: &Trouble) -> bool {
        let hopeless = matches!(
            trouble,
            Trouble::Queue(QueueError::Damaged { .. } | QueueError::Unknown(_)) | Trouble::Entry(_)
        );
        if hopeless {
            log::error!("a proof is put aside: {trouble}");
            if let Err(error) = self.queue.set_aside(id) {
                log::error!("{error}");
                self.queue
                    .postpone(id, Instant::now() + LONGEST_WAIT, Some(error.to_string()));
            }
        }
        hopeless
    }

    /// Brings one entry one stage further.
    async fn advance(&self, id: EntryId) -> Result<(), Trouble> {
        let entry = self.queue.read(id)?;
        match entry.stage.clone() {
            Stage::Unsigned => {
                self.queue.to_sign(id);
                Ok(())
            }
            Stage::Signed { proof } => self.send(id, entry, proof).await,
            Stage::Submitted {
                proof,
                receipt_id,
                node,
            } => self.ask(id, entry, proof, (&node, &receipt_id)).await,
            Stage::Refused { .. } => Ok(self.queue.set_aside(id)?),
        }
    }

    /// A photo under a one-time key is held back for a random time, so that neither the moment nor
    /// the order in which photos come ties them together. What is held back when the power fails
    /// draws anew.
    fn waits_its_turn(&self, id: EntryId, proof: &Proof) -> bool {
        if self.longest_delay.is_zero() || !matches!(proof.by, ProvedBy::OneTimeKey { .. }) {
            return false;
        }
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        if !delayed.insert(id) {
            return false;
        }
        let delay = self.longest_delay.mul_f64(random::share());
        self.queue.postpone(id, Instant::now() + delay, None);
        true
    }

    /// The photo waited longer than any validator's grace. No registry has it, so another signature
    /// makes no second record.
    fn sign_anew(&self, id: EntryId, entry: Entry) -> Result<(), Trouble> {
        log::info!(PHOTO = entry.photo.as_str(); "its proof is too old for the validators, it is signed anew");
        let (stage, refusals) = (Stage::Unsigned, Vec::new());
        let unsigned = Entry {
            stage,
            refusals,
            ..entry
        };
        self.queue.update(id, &unsigned)?;
        self.queue.to_sign(id);
        Ok(())
    }

    /// Offers the proof to one validator after another until one takes it, or says no.
    async fn send(&self, id: EntryId, entry: Entry, proof: Proof) -> Result<(), Trouble> {
        if is_outdated(&proof, now())? {
            return self.sign_anew(id, entry);
        }
        if self.waits_its_turn(id, &proof) {
            return Ok(());
        }
        let request = request(&entry, &proof)?;
        let mut away = None;
        for node in self.nodes.willing(&entry.refusals) {
            match node.submit(&request).await {
                Ok(receipt_id) => {
                    self.nodes.prefer(node);
                    let stage = Stage::Submitted {
                        proof,
                        receipt_id,
                        node: node.address().to_owned(),
                    };
                    // If we stop here, the same request is sent again and answered with the same
                    // number.
                    let refusals = entry.refusals.clone();
                    self.queue.update(
                        id,
                        &Entry {
                            stage,
                            refusals,
                            ..entry
                        },
                    )?;
                    self.queue.ask_later(id, Instant::now() + FIRST_QUESTION);
                    return Ok(());
                }
                Err(NodeError::Refused(reason)) => {
                    let no = refusal(node, reason);
                    return self.refused(id, entry.clone(), proof, no);
                }
                Err(error) => away = Some(error),
            }
        }
        match away {
            Some(error) => Err(error.into()),
            // The settings have none but those that refused.
            None => self.put_aside(id, entry, proof),
        }
    }

    /// What the validator that has the proof says about it.
    async fn ask(
        &self,
        id: EntryId,
        entry: Entry,
        proof: Proof,
        (address, receipt_id): (&str, &str),
    ) -> Result<(), Trouble> {
        let Some(node) = self.nodes.at(address) else {
            log::warn!(PHOTO = entry.photo.as_str(); "the settings have forgotten the node that has the proof, another gets it");
            return self.send_anew(id, entry, proof);
        };
        let fate = match node.fate(receipt_id).await {
            Ok(fate) => fate,
            Err(error) if !self.nodes.are_several() => return Err(error.into()),
            Err(error) if self.queue.attempts(id) < QUESTIONS_TO_A_SILENT_ONE => {
                return Err(Trouble::Silent(error));
            }
            Err(error) => {
                log::warn!(PHOTO = entry.photo.as_str(); "another node gets the proof: {error}");
                self.nodes.avoid(node);
                return self.send_anew(id, entry, proof);
            }
        };
        match fate {
            Fate::Pending => {
                let attempts = self.queue.attempts(id).min(16);
                let wait = FIRST_QUESTION
                    .mul_f64(1.5f64.powi(attempts.cast_signed()))
                    .min(LONGEST_WAIT);
                self.queue.ask_later(id, Instant::now() + wait);
                Ok(())
            }
            Fate::Stored(receipt) => self.store(id, entry, proof, (node, &receipt)).await,
            Fate::Rejected(reason) => self.refused(id, entry, proof, refusal(node, reason)),
            Fate::Forgotten => {
                log::warn!(PHOTO = entry.photo.as_str(); "the node does not know the submission any more, sending it again");
                self.send_anew(id, entry, proof)
            }
        }
    }

    fn send_anew(&self, id: EntryId, entry: Entry, proof: Proof) -> Result<(), Trouble> {
        let stage = Stage::Signed { proof };
        Ok(self.queue.update(id, &Entry { stage, ..entry })?)
    }

    /// One validator's no is not the registry's: the next one is asked, and a person only when all
    /// have refused.
    fn refused(
        &self,
        id: EntryId,
        mut entry: Entry,
        proof: Proof,
        no: Refusal,
    ) -> Result<(), Trouble> {
        log::warn!(PHOTO = entry.photo.as_str(); "{} refuses the proof: {}", no.node, no.reason);
        entry.refusals.push(no);
        let somebody_is_left = self.nodes.willing(&entry.refusals).next().is_some();
        match somebody_is_left {
            true => self.send_anew(id, entry, proof),
            false => self.put_aside(id, entry, proof),
        }
    }

    /// A receipt that holds for exactly this photo goes beside it, and the proof has arrived.
    async fn store(
        &self,
        id: EntryId,
        entry: Entry,
        proof: Proof,
        (node, receipt): (&Node, &Receipt),
    ) -> Result<(), Trouble> {
        let (bundle, _) = contents(&entry)?;
        self.meet_registry(node, receipt).await?;
        match self.registry.check(receipt, &bundle) {
            Ok(()) => {}
            Err(fault @ ReceiptFault::OtherFiles(_)) => {
                // No validator of this registry will say anything else.
                let no = refusal(node, fault.to_string());
                let refusals = vec![no];
                return self.put_aside(id, Entry { refusals, ..entry }, proof);
            }
            Err(fault) => return Err(fault.into()),
        }
        self.album
            .write_beside(&entry.photo, RECEIPT, &receipt.encode(), durable::SHARED)
            .map_err(Trouble::Disk)?;
        // If we stop here, the receipt is there and the entry too: the node is asked once more, and
        // says the same.
        self.queue.finish(id)?;
        let delayed = self.delayed.lock();
        delayed.unwrap_or_else(PoisonError::into_inner).remove(&id);
        log::info!(PHOTO = entry.photo.as_str(); "receipt stored");
        self.note(|progress| progress.last_stored = Some(clock::now_ns() / 1_000_000_000));
        Ok(())
    }

    /// Without a configured genesis the node's is believed, once, if its own receipt holds against
    /// it. Over plain http anybody on the way could be the node, so only one on this machine may
    /// introduce a registry so.
    async fn meet_registry(&self, node: &Node, receipt: &Receipt) -> Result<(), Trouble> {
        if self.registry.identity().is_some() {
            return Ok(());
        }
        if !node.is_who_it_says() {
            return Err(Trouble::NoIntroduction(node.address().to_owned()));
        }
        let genesis = node.genesis().await?;
        self.registry
            .learn(&genesis, receipt)
            .map_err(|error| match error {
                LearnError::Receipt(fault) => fault.into(),
                LearnError::Genesis(problem) => problem.into(),
            })
    }

    /// Keeps a proof that nobody takes, with everybody's reason, until it is offered again.
    fn put_aside(&self, id: EntryId, entry: Entry, proof: Proof) -> Result<(), Trouble> {
        // It grew too old on its way: they would take it under a key of today.
        if is_outdated(&proof, now())? {
            return self.sign_anew(id, entry);
        }
        let reason = reasons(&entry.refusals);
        log::error!(PHOTO = entry.photo.as_str(); "the proof is put aside: {reason}");
        let stage = Stage::Refused {
            proof: Some(proof),
            reason,
            at: clock::now_ns() / 1_000_000_000,
        };
        Ok(self.queue.refuse(id, &Entry { stage, ..entry })?)
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(clock::now_ns() / 1_000_000_000)
}
