//! Asking witnesses of others to cosign this registry's checkpoints.
//!
//! Nobody waits for them: blocks are made and answers given whether they answer, lie or hang. Each
//! is asked by a task of its own, at most every ten seconds, and what it signed is kept and served
//! with the checkpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use birthmark_client::{Answer, CallError, HttpClient, Options, SetupError};
use birthmark_daemon::Shutdown;
use birthmark_ledger::note::{NoteError, NoteSignature};
use birthmark_ledger::witness::{AddCheckpoint, AnswerError, VerifierKey};
use birthmark_ledger::{Checkpoint, SignedCheckpoint};
use birthmark_protocol::Timestamp;
use birthmark_protocol::api::WitnessStatus;
use birthmark_verify::sentences;

use crate::registry::{Registry, RegistryError};
use crate::settings::WitnessOfUs;
use crate::{clock, journal};

/// No witness is asked more often.
const EVERY: Duration = Duration::from_secs(10);
/// After failures it is left alone twice as long each time, at most this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is a line or a few.
const LARGEST_ANSWER: usize = 64 << 10;
/// A checkpoint that did not change is cosigned again after this time: readers want a fresh date.
const FRESH_SECONDS: i64 = 3600;
/// What of a foreign sentence stands in the journal.
const LONGEST_WORD: usize = 200;

/// Everybody who is asked.
#[derive(Default)]
pub struct Witnesses(Vec<Arc<Asking>>);

/// One witness.
pub struct Asking {
    key: VerifierKey,
    url: String,
    client: HttpClient,
    registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Cosigned>,
    trouble: Option<String>,
    failures: u32,
}

/// A checkpoint that a witness signed.
#[derive(Clone)]
struct Cosigned {
    signed: SignedCheckpoint,
    line: NoteSignature,
    time: Timestamp,
}

/// Why a witness did not sign. Each is the end of a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It signs other registries.
    #[error(
        "does not know this registry: give its operator what `birthmark-node witness` prints here"
    )]
    UnknownLog,
    /// It knows other keys.
    #[error("knows this registry under other keys than this validator's log key")]
    Untrusted,
    /// It cannot read what we send.
    #[error("refuses the question: {0}")]
    Refused(String),
    /// It saw more of this registry than there is here.
    #[error(
        "has seen {seen} records of this registry, which has {own} here: this database was set back, or somebody else signs \
         in the registry's name"
    )]
    Ahead {
        /// What it says.
        seen: u64,
        /// What is here.
        own: u64,
    },
    /// It saw another history.
    #[error(
        "says that this registry does not continue what it saw before: compare its checkpoint with this one"
    )]
    Fork,
    /// It answered something that is no answer.
    #[error("answers nonsense: {0}")]
    Nonsense(String),
    /// The cosignature is none.
    #[error("answers wrongly: {0}")]
    Answer(#[from] AnswerError),
    /// Nothing could be asked.
    #[error("was not asked: {0}")]
    Registry(#[from] RegistryError),
    /// There is no checkpoint to send.
    #[error("was not asked: {0}")]
    Note(#[from] NoteError),
}

impl AskError {
    /// Whether a person must look: the registry itself may be split.
    const fn is_grave(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Fork)
    }
}

impl Witnesses {
    /// Reads what each signed before.
    pub async fn open(settings: &[WitnessOfUs], registry: &Arc<Registry>) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for witness in settings {
            let asking = Asking::new(witness, Arc::clone(registry))?;
            asking.remember().await?;
            all.push(Arc::new(asking));
        }
        Ok(Self(all))
    }

    /// One after another.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Asking>> {
        self.0.iter()
    }

    /// The lines that witnesses wrote under exactly this checkpoint.
    pub fn lines(&self, checkpoint: &Checkpoint) -> Vec<NoteSignature> {
        let kept = self
            .0
            .iter()
            .filter_map(|witness| witness.state().kept.clone());
        kept.filter(|kept| kept.signed.checkpoint == *checkpoint)
            .map(|kept| kept.line)
            .collect()
    }

    /// The newest checkpoint that any of them signed, with the lines of all that did.
    pub fn newest(&self) -> Option<SignedCheckpoint> {
        let kept = self
            .0
            .iter()
            .filter_map(|witness| witness.state().kept.clone());
        let by_size: BTreeMap<u64, SignedCheckpoint> = kept
            .map(|kept| (kept.signed.checkpoint.size, kept.signed))
            .collect();
        let (_, mut newest) = by_size.into_iter().next_back()?;
        newest.signatures.extend(self.lines(&newest.checkpoint));
        Some(newest)
    }

    /// Their keys and addresses.
    pub fn named(&self) -> impl Iterator<Item = (&VerifierKey, &str)> {
        let all = self.0.iter();
        all.map(|witness| (&witness.key, witness.url.as_str()))
    }

    /// For status pages.
    pub fn status(&self) -> Vec<WitnessStatus> {
        let status = |witness: &Arc<Asking>| {
            let state = witness.state();
            let kept = state.kept.as_ref();
            WitnessStatus {
                name: witness.key.name().to_owned(),
                records: kept.map(|kept| kept.signed.checkpoint.size),
                time: kept.and_then(|kept| sentences::moment(kept.time.unix())),
                trouble: state.trouble.clone(),
            }
        };
        self.0.iter().map(status).collect()
    }
}

impl Asking {
    fn new(settings: &WitnessOfUs, registry: Arc<Registry>) -> Result<Self, SetupError> {
        let options = Options {
            timeout: PATIENCE,
            largest_answer: LARGEST_ANSWER,
            ..Options::default()
        };
        Ok(Self {
            key: settings.key.clone(),
            url: settings.url.clone(),
            client: HttpClient::new(&settings.url, &options)?,
            registry,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the database what this witness signed last.
    async fn remember(&self) -> anyhow::Result<()> {
        let kept = self.registry.store().cosigned(self.key.name()).await?;
        let Some(text) = kept else {
            return Ok(());
        };
        let mut signed = SignedCheckpoint::parse(std::str::from_utf8(&text)?)?;
        // Another key in the settings since, and its line is nobody's.
        let place = signed
            .signatures
            .iter()
            .position(|line| self.key.is_of(line));
        if let Some(place) = place {
            let line = signed.signatures.remove(place);
            if let Some(time) = self.key.cosigned_at(&signed.checkpoint, &line) {
                self.state().kept = Some(Cosigned { signed, line, time });
            }
        }
        Ok(())
    }

    /// Asks from time to time, until the daemon stops.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut heights = self.registry.heights();
        while !shutdown.is_requested() {
            let pause = self.turn().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => return,
            }
            // Nothing new: until there is, or what was signed is no longer fresh.
            if self.state().failures == 0 {
                let fresh = Duration::from_secs(FRESH_SECONDS.unsigned_abs());
                tokio::select! {
                    _ = heights.changed() => {}
                    () = tokio::time::sleep(fresh) => {}
                    () = shutdown.requested() => return,
                }
            }
        }
    }

    /// Asks once, if there is anything to ask. How long to wait then.
    async fn turn(&self) -> Duration {
        let asked = match self.registry.newest_checkpoint().await {
            Ok(Some(newest)) if self.is_wanted(&newest) => self.ask(&newest).await,
            Ok(_) => return EVERY,
            Err(error) => Err(error.into()),
        };
        match asked {
            Ok(kept) => self.signed(kept).await,
            Err(error) => self.failed(&error),
        }
    }

    fn is_wanted(&self, newest: &SignedCheckpoint) -> bool {
        let state = self.state();
        let is_fresh = |kept: &Cosigned| {
            kept.signed.checkpoint == newest.checkpoint
                && clock::now().since(kept.time) < FRESH_SECONDS
        };
        newest.checkpoint.size > 0 && !state.kept.as_ref().is_some_and(is_fresh)
    }

    async fn ask(&self, newest: &SignedCheckpoint) -> Result<Cosigned, AskError> {
        let seen = self
            .state()
            .kept
            .as_ref()
            .map(|kept| kept.signed.checkpoint.size);
        let own = newest.checkpoint.size;
        let old = seen.filter(|seen| *seen <= own).unwrap_or(0);
        let mut answer = self.send(newest, old).await?;
        if answer.status() == 409 {
            // It says what it saw last; a lost answer or a new database here, and we begin there.
            let seen = size(&answer)?;
            if seen > own {
                return Err(AskError::Ahead { seen, own });
            }
            if seen == old {
                return Err(AskError::Fork);
            }
            answer = self.send(newest, seen).await?;
        }
        let text = String::from_utf8_lossy(answer.body());
        match answer.status() {
            200 => {
                let now = clock::now();
                let (line, time) = self.key.cosignature(&newest.checkpoint, &text, now)?;
                let signed = newest.clone();
                Ok(Cosigned { signed, line, time })
            }
            403 => Err(AskError::Untrusted),
            404 => Err(AskError::UnknownLog),
            422 => Err(AskError::Fork),
            status => Err(AskError::Refused(format!("{status} {}", in_short(&text)))),
        }
    }

    async fn send(&self, newest: &SignedCheckpoint, old: u64) -> Result<Answer, AskError> {
        let proof = self
            .registry
            .consistency(old, newest.checkpoint.size)
            .await?;
        let question = AddCheckpoint {
            old,
            path: proof.path,
            note: newest.to_note()?,
        };
        let sent = self.client.post_text("add-checkpoint", question.to_text());
        Ok(sent.await?)
    }

    async fn signed(&self, kept: Cosigned) -> Duration {
        let mut written = kept.signed.clone();
        written.signatures.push(kept.line.clone());
        let name = self.key.name();
        let text = written.to_string();
        if let Err(error) = self
            .registry
            .store()
            .put_cosigned(name, text.as_bytes())
            .await
        {
            // It is served all the same, and asked for again after the next start.
            log::debug!("the cosignature of the witness {name} is not kept: {error}");
        }
        let mut state = self.state();
        if state.trouble.take().is_some() {
            log::info!(MESSAGE_ID = journal::WITNESS_BACK, WITNESS = name; "the witness {name} cosigns again");
        }
        state.failures = 0;
        state.kept = Some(kept);
        EVERY
    }

    fn failed(&self, error: &AskError) -> Duration {
        let (name, said) = (self.key.name(), error.to_string());
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let is_new = state.trouble.as_ref() != Some(&said);
        if is_new && error.is_grave() {
            log::error!(MESSAGE_ID = journal::WITNESS_TROUBLE, WITNESS = name; "the witness {name} {said}");
        } else if is_new {
            log::warn!(MESSAGE_ID = journal::WITNESS_TROUBLE, WITNESS = name; "the witness {name} {said}; nothing waits for it");
        }
        state.trouble = Some(said);
        let doubled = EVERY.saturating_mul(1 << state.failures.min(8).saturating_sub(1));
        doubled.min(LONGEST_PAUSE)
    }
}

/// The size in an answer 409.
fn size(answer: &Answer) -> Result<u64, AskError> {
    let text = String::from_utf8_lossy(answer.body());
    let number = text.strip_suffix('\n').and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let said = in_short(&text);
        AskError::Nonsense(format!("409 without the size that it saw last: {said:?}"))
    })
}

/// A foreign text as it may stand in the journal.
fn in_short(text: &str) -> String {
    let shown = text.chars().filter(|character| !character.is_control());
    shown.take(LONGEST_WORD).collect()
}
