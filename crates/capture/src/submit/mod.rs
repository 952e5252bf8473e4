//! Getting proofs to a validator, for weeks if need be.
//!
//! One worker takes the entry that is due first and brings it one stage further: signs it if the signer was away, sends it,
//! asks what became of it, stores the receipt. Every stage is durable before the next begins, so that a crash repeats at
//! most one step, and every step may be repeated: the node answers a repeated submission with the first receipt.
//!
//! Trouble of the line or the node is one pause for everything; it grows, with jitter, and any success ends it. An entry
//! the node will never take is put aside with the reason, and kept.

mod node;
mod pause;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::Shutdown;
use birthmark_ledger::Receipt;
use birthmark_protocol::submission::OurSubmission;
use birthmark_protocol::{Bundle, Opening, Signature};

use birthmark_sensor::clock;
pub use node::{Fate, Node, NodeError, SetupError};
use pause::Pause;

use crate::album::Album;
use crate::queue::{Entry, EntryId, Queue, QueueError, Stage};
use crate::registry::{GenesisProblem, LearnError, ReceiptFault, Registry};
use crate::sidecar;
use crate::signer::{Proof, Signer, SignerError};

/// The first question about a submission comes after this long; a node with four validators has an answer by then.
const FIRST_QUESTION: Duration = Duration::from_millis(700);
/// Later questions are no further apart than this: an authority may be down for days.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A signer that was away, or a disk that was full, is tried again at least this often.
const LONGEST_OWN_WAIT: Duration = Duration::from_secs(60);

/// Why an entry did not come further.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the receipt cannot be written: {0}")]
    Disk(io::Error),
    #[error(transparent)]
    Genesis(#[from] GenesisProblem),
    #[error(transparent)]
    Receipt(#[from] ReceiptFault),
    #[error("the entry holds no {0}")]
    Entry(&'static str),
}

/// What the submission is up to, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last trouble, until something succeeds.
    pub trouble: Option<String>,
    /// When a receipt was last stored, in Unix seconds.
    pub last_stored: Option<i64>,
}

/// Sends what the queue holds.
pub struct Submitter {
    queue: Arc<Queue>,
    album: Album,
    signer: Arc<dyn Signer>,
    node: Node,
    registry: Registry,
    longest_pause: Duration,
    progress: Mutex<Progress>,
}

impl Submitter {
    /// A worker for `queue`.
    pub fn new(
        queue: Arc<Queue>,
        album: Album,
        signer: Arc<dyn Signer>,
        node: Node,
        registry: Registry,
        longest_pause: Duration,
    ) -> Self {
        Self {
            queue,
            album,
            signer,
            node,
            registry,
            longest_pause,
            progress: Mutex::default(),
        }
    }

    /// What it is up to.
    pub fn progress(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The registry receipts must come from.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Works until asked to stop.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut pause = Pause::new(self.longest_pause);
        while !shutdown.is_requested() {
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.wait() => {}
            }
            let Some((_, id)) = self.queue.next().filter(|(due, _)| *due <= Instant::now()) else {
                continue;
            };
            // A started step is finished even when asked to stop: its requests have their own deadlines.
            match self.advance(id).await {
                Ok(()) => {
                    pause.end();
                    self.note(|progress| progress.trouble = None);
                }
                Err(trouble) => self.suffer(id, &trouble, &mut pause, &shutdown).await,
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

    /// Trouble of the node is a pause for everything; any other is one entry's own, and the rest goes on.
    async fn suffer(&self, id: EntryId, trouble: &Trouble, pause: &mut Pause, shutdown: &Shutdown) {
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
        let length = pause.next(error.retry_after());
        // What the node dislikes about this entry must not keep the others waiting: it goes to the end.
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
            Stage::Unsigned => self.sign(id, entry).await,
            Stage::Signed { proof } => self.send(id, entry, proof).await,
            Stage::Submitted { proof, receipt_id } => self.ask(id, entry, proof, &receipt_id).await,
            Stage::Refused { .. } => Ok(self.queue.set_aside(id)?),
        }
    }

    async fn sign(&self, id: EntryId, entry: Entry) -> Result<(), Trouble> {
        let (bundle, opening) = contents(&entry)?;
        let proof = self.signer.prove(&bundle, &opening).await?;
        // If we stop here, the next attempt asks for another signature; this one was never sent.
        sidecar::add_proof(&self.album, &entry.photo, &proof).map_err(Trouble::Disk)?;
        self.queue.update(
            id,
            &Entry {
                stage: Stage::Signed { proof },
                ..entry
            },
        )?;
        Ok(())
    }

    async fn send(&self, id: EntryId, entry: Entry, proof: Proof) -> Result<(), Trouble> {
        let request = request(&entry, &proof)?;
        match self.node.submit(&request).await {
            Ok(receipt_id) => {
                // If we stop here, the same request is sent again and answered with the same number.
                self.queue.update(
                    id,
                    &Entry {
                        stage: Stage::Submitted { proof, receipt_id },
                        ..entry
                    },
                )?;
                self.queue.ask_later(id, Instant::now() + FIRST_QUESTION);
                Ok(())
            }
            Err(NodeError::Refused(reason)) => self.put_aside(id, entry, proof, reason),
            Err(error) => Err(error.into()),
        }
    }

    async fn ask(
        &self,
        id: EntryId,
        entry: Entry,
        proof: Proof,
        receipt_id: &str,
    ) -> Result<(), Trouble> {
        match self.node.fate(receipt_id).await? {
            Fate::Pending => {
                let attempts = self.queue.attempts(id).min(16);
                let wait = FIRST_QUESTION
                    .mul_f64(1.5f64.powi(attempts.cast_signed()))
                    .min(LONGEST_WAIT);
                self.queue.ask_later(id, Instant::now() + wait);
                Ok(())
            }
            Fate::Stored(receipt) => self.store(id, entry, proof, &receipt).await,
            Fate::Rejected(reason) => self.put_aside(id, entry, proof, reason),
            Fate::Forgotten => {
                log::warn!(PHOTO = entry.photo.as_str(); "the node does not know the submission any more, sending it again");
                Ok(self.queue.update(
                    id,
                    &Entry {
                        stage: Stage::Signed { proof },
                        ..entry
                    },
                )?)
            }
        }
    }

    /// A receipt that holds for exactly this photo goes beside it, and the proof has arrived.
    async fn store(
        &self,
        id: EntryId,
        entry: Entry,
        proof: Proof,
        receipt: &Receipt,
    ) -> Result<(), Trouble> {
        let (bundle, _) = contents(&entry)?;
        self.meet_registry(receipt).await?;
        match self.registry.check(receipt, &bundle) {
            Ok(()) => {}
            Err(fault @ ReceiptFault::OtherFiles(_)) => {
                return self.put_aside(id, entry, proof, fault.to_string());
            }
            Err(fault) => return Err(fault.into()),
        }
        self.album
            .write_json(&entry.photo, "receipt.json", receipt)
            .map_err(Trouble::Disk)?;
        // If we stop here, the receipt is there and the entry too: the node is asked once more, and says the same.
        self.queue.finish(id)?;
        log::info!(PHOTO = entry.photo.as_str(); "receipt stored");
        self.note(|progress| progress.last_stored = Some(clock::now_ns() / 1_000_000_000));
        Ok(())
    }

    /// Without a configured genesis the node's is believed, once, if its own receipt holds against it.
    async fn meet_registry(&self, receipt: &Receipt) -> Result<(), Trouble> {
        if self.registry.identity().is_some() {
            return Ok(());
        }
        let genesis = self.node.genesis().await?;
        self.registry
            .learn(&genesis, receipt)
            .map_err(|error| match error {
                LearnError::Receipt(fault) => fault.into(),
                LearnError::Genesis(problem) => problem.into(),
            })
    }

    fn put_aside(
        &self,
        id: EntryId,
        entry: Entry,
        proof: Proof,
        reason: String,
    ) -> Result<(), Trouble> {
        log::error!(PHOTO = entry.photo.as_str(); "the node refuses the proof, it is put aside: {reason}");
        let at = clock::now_ns() / 1_000_000_000;
        let stage = Stage::Refused {
            proof: Some(proof),
            reason,
            at,
        };
        Ok(self.queue.refuse(id, &Entry { stage, ..entry })?)
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What an entry holds, in the protocol's types.
fn contents(entry: &Entry) -> Result<(Bundle, Opening), Trouble> {
    let bytes = STANDARD
        .decode(&entry.bundle)
        .map_err(|_| Trouble::Entry("bundle"))?;
    let bundle = Bundle::decode(&bytes).map_err(|_| Trouble::Entry("bundle"))?;
    let opening = Opening::from_hex(&entry.opening).map_err(|_| Trouble::Entry("opening"))?;
    Ok((bundle, opening))
}

fn request(entry: &Entry, proof: &Proof) -> Result<OurSubmission, Trouble> {
    let (bundle, opening) = contents(entry)?;
    let decode = |text: &str, what| STANDARD.decode(text).map_err(|_| Trouble::Entry(what));
    let certificate = decode(&proof.certificate, "certificate")?;
    let signature = decode(&proof.signature, "signature")?;
    let signature = Signature::from_der(&signature).map_err(|_| Trouble::Entry("signature"))?;
    Ok(OurSubmission::new(
        &bundle,
        &certificate,
        proof.token,
        &opening,
        &signature,
    ))
}
