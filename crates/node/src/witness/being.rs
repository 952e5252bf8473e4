//! This validator as a witness of other registries: it signs that each of them only ever grew.
//!
//! What it saw last of each is a file of its own, not a row of the database: whoever sets the
//! database back must not make it sign a second history. Whoever can change these files can.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use birthmark_daemon::{ConfigError, durable};
use birthmark_ledger::note::NoteError;
use birthmark_ledger::witness::{AddCheckpoint, Refusal, VerifierKey};
use birthmark_ledger::{ChainId, CheckpointKey, KeyName, SignedCheckpoint};
use birthmark_protocol::{Digest, Timestamp};

use crate::settings::WitnessSettings;

/// The witness.
pub struct Witness {
    name: KeyName,
    key: CheckpointKey,
    folder: PathBuf,
    logs: BTreeMap<String, Vec<VerifierKey>>,
    /// One question at a time: between reading what was seen last and writing what is signed, no
    /// other question may come.
    turn: Mutex<()>,
}

/// Why a checkpoint is not signed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is of a log that the settings do not name.
    #[error("this witness does not know that log")]
    UnknownLog,
    /// What is sent is no question, or may not be signed.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// What was seen last cannot be read or written: nothing is signed.
    #[error("what was seen last in {path}: {reason}")]
    Memory {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Witness {
    /// Reads the settings; this registry's own checkpoints are for its validators to sign.
    pub fn open(
        settings: &WitnessSettings,
        folder: PathBuf,
        name: KeyName,
        key: CheckpointKey,
        own: &ChainId,
    ) -> anyhow::Result<Self> {
        if settings.logs.iter().any(|log| log.origin == *own) {
            let reason = "this is the registry's own name: its validators sign it already";
            return Err(ConfigError::field("witness.logs.origin", reason).into());
        }
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("`witness.folder`: cannot make {}", folder.display()))?;
        let logs = settings.logs.iter();
        let logs = logs.map(|log| (log.origin.to_string(), log.keys.clone()));
        Ok(Self {
            name,
            key,
            folder,
            logs: logs.collect(),
            turn: Mutex::new(()),
        })
    }

    /// Answers a question with the line of a cosignature. Waits for the disk.
    pub fn add(&self, body: &str, now: Timestamp) -> Result<String, Refused> {
        let question = AddCheckpoint::parse(body).map_err(Refusal::from)?;
        let known = question
            .origin()
            .and_then(|origin| self.logs.get_key_value(origin));
        let (origin, keys) = known.ok_or(Refused::UnknownLog)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.file(&Digest::of(origin.as_bytes()).to_hex());
        let last = read(&path)?.map(|last| last.checkpoint);
        let checkpoint = question.check(keys, last.as_ref())?;
        let line = checkpoint.cosign(&self.name, &self.key, now);
        let line = line.map_err(Refusal::from)?;
        let signatures = question.note.signatures().iter().cloned();
        let signed = SignedCheckpoint {
            checkpoint,
            signatures: signatures.chain([line.clone()]).collect(),
        };
        // If we stop before this is durable, nobody has seen the line; if after, the registry asks
        // again from a size that it is told.
        durable::replace(&path, signed.to_string().as_bytes(), durable::SHARED)
            .map_err(|error| memory(&path, error))?;
        Ok(format!("{line}\n"))
    }

    /// The checkpoint that was signed last of the log whose name has this hash.
    pub fn last(&self, origin_hash: &str) -> Result<Option<SignedCheckpoint>, Refused> {
        let of = |origin: &&String| Digest::of(origin.as_bytes()).to_hex() == origin_hash;
        match self.logs.keys().find(of) {
            Some(_) => read(&self.file(origin_hash)),
            None => Ok(None),
        }
    }

    fn file(&self, origin_hash: &str) -> PathBuf {
        self.folder.join(origin_hash)
    }
}

/// What was signed last. A file that cannot be read is no reason to begin anew.
fn read(path: &Path) -> Result<Option<SignedCheckpoint>, Refused> {
    match std::fs::read_to_string(path) {
        Ok(text) => SignedCheckpoint::parse(&text)
            .map(Some)
            .map_err(|error: NoteError| memory(path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(memory(path, error)),
    }
}

fn memory(path: &Path, reason: impl ToString) -> Refused {
    Refused::Memory {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
