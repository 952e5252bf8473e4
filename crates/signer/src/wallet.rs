//! One-time keys on the disk: drafts that wait for their authority, and signed ones that wait for a
//! photo.
//!
//! ```text
//! one-time/EPOCH/epoch.json          what the authority stated about the epoch
//! one-time/EPOCH/draft/NNNNN.json    a key with the seed it was blinded with
//! one-time/EPOCH/ready-DIGEST/NNNNN.json   a key that was signed in the batch of this digest
//! one-time/EPOCH/used/NNNNN.json     a key that signs, or signed, its one photo
//! ```
//!
//! A key moves one way only, by renaming, and each step is on the disk before the next: a key in
//! `used` never signs again, whenever the power fails. Whoever can read these files learns which
//! keys are this camera's, and with them which photos; none of them signs outside of this camera's
//! chip.

use std::fs;
use std::path::{Path, PathBuf};

use birthmark_daemon::durable;
use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::blob::Blob;
use crate::state::{self, StateError};

/// A key that is not signed yet.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftKey {
    /// The key.
    pub blob: Blob,
    /// What it was blinded with. Whoever has it can match the signed key to its batch.
    #[serde(with = "crate::text::hex_bytes")]
    pub seed: Vec<u8>,
    /// Its name, blinded.
    #[serde(with = "crate::text::hex_bytes")]
    pub blinded: Vec<u8>,
    /// What the chip said about it, for the challenge under which it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Certified>,
}

/// What the chip said about a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certified {
    /// The challenge this answers.
    pub challenge: Digest,
    /// TPMS_ATTEST.
    #[serde(with = "crate::text::hex_bytes")]
    pub statement: Vec<u8>,
    /// The attestation key's signature, DER.
    #[serde(with = "crate::text::hex_bytes")]
    pub signature: Vec<u8>,
}

/// A key that its authority signed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadyKey {
    /// The key.
    pub blob: Blob,
    /// The authority's signature over its name.
    #[serde(with = "crate::text::hex_bytes")]
    pub signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochFile {
    #[serde(with = "crate::text::hex_bytes")]
    statement: Vec<u8>,
}

/// The keys of one epoch.
pub(crate) struct Wallet {
    folder: PathBuf,
}

const READY: &str = "ready-";

impl Wallet {
    /// The wallet of an epoch under the signer's folder.
    pub fn of(state: &Path, epoch: u32) -> Self {
        Self {
            folder: state.join("one-time").join(epoch.to_string()),
        }
    }

    /// Every epoch of which there are keys, in order. What was being used when the power failed is
    /// destroyed.
    pub fn epochs(state: &Path) -> Result<Vec<u32>, StateError> {
        let names = names(&state.join("one-time"))?;
        let mut epochs: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// What the authority stated about the epoch.
    pub fn statement(&self) -> Result<Option<Vec<u8>>, StateError> {
        let file: Option<EpochFile> = state::read(&self.folder.join("epoch.json"))?;
        Ok(file.map(|file| file.statement))
    }

    /// Notes what the authority stated.
    pub fn set_statement(&self, statement: &[u8]) -> Result<(), StateError> {
        state::prepare(&self.folder)?;
        let statement = statement.to_vec();
        state::write(&self.folder.join("epoch.json"), &EpochFile { statement })
    }

    fn draft_file(&self, number: usize) -> PathBuf {
        self.folder.join("draft").join(file_name(number))
    }

    /// How many drafts there are.
    pub fn drafts(&self) -> Result<usize, StateError> {
        Ok(names(&self.folder.join("draft"))?.len())
    }

    /// A draft; numbers begin at 0.
    pub fn draft(&self, number: usize) -> Result<DraftKey, StateError> {
        let path = self.draft_file(number);
        let missing = || StateError::Damaged {
            path: path.clone(),
            reason: "it is missing".into(),
        };
        state::read(&path)?.ok_or_else(missing)
    }

    /// Keeps a draft, a new one or one that was certified.
    pub fn keep_draft(&self, number: usize, draft: &DraftKey) -> Result<(), StateError> {
        // The batch before took the folder along.
        state::prepare(&self.folder.join("draft"))?;
        state::write(&self.draft_file(number), draft)
    }

    /// Destroys all drafts: they were signed, or are of no use any more.
    ///
    /// They go at once: what a power cut left of them would count as the beginning of the next
    /// batch, whose keys would then be written over it without end.
    pub fn destroy_drafts(&self) -> Result<(), StateError> {
        let (drafts, over) = (self.folder.join("draft"), self.folder.join("over"));
        destroy_all(&over)?;
        if drafts.is_dir() {
            durable::rename(&drafts, &over).map_err(state::failed("rename", &drafts))?;
        }
        // If we stop here, the next batch's end destroys the rest.
        destroy_all(&over)
    }

    fn ready_folder(&self, batch: &Digest) -> PathBuf {
        self.folder.join(format!("{READY}{}", batch.to_hex()))
    }

    /// Whether this batch was signed before: its keys may be used already, and must not come again.
    pub fn has_batch(&self, batch: &Digest) -> bool {
        self.ready_folder(batch).is_dir()
    }

    /// Takes signed keys in, all or none. If we stop before the folder is renamed, the batch is
    /// asked for again; after it, [`Wallet::has_batch`] says so for ever.
    pub fn keep_batch(&self, batch: &Digest, keys: &[(usize, ReadyKey)]) -> Result<(), StateError> {
        let written = self.folder.join("signed");
        destroy_all(&written)?;
        state::prepare(&written)?;
        for (number, key) in keys {
            state::write(&written.join(file_name(*number)), key)?;
        }
        let place = self.ready_folder(batch);
        durable::rename(&written, &place).map_err(state::failed("rename", &written))
    }

    fn ready_files(&self) -> Result<Vec<PathBuf>, StateError> {
        let mut files = Vec::new();
        for batch in names(&self.folder)? {
            if batch.starts_with(READY) {
                let folder = self.folder.join(batch);
                files.extend(names(&folder)?.into_iter().map(|name| folder.join(name)));
            }
        }
        Ok(files)
    }

    /// How many signed keys there are.
    pub fn ready(&self) -> Result<usize, StateError> {
        Ok(self.ready_files()?.len())
    }

    /// One of the signed keys, which stays where it is; none if there is none. `drawn` decides
    /// which.
    pub fn draw(&self, drawn: usize) -> Result<Option<Drawn>, StateError> {
        let mut files = self.ready_files()?;
        if files.is_empty() {
            return Ok(None);
        }
        let path = files.swap_remove(drawn % files.len());
        let used = self.folder.join("used");
        Ok(Some(Drawn { path, used }))
    }

    /// Destroys keys that were being used when the power failed.
    pub fn destroy_used(&self) -> Result<(), StateError> {
        destroy_all(&self.folder.join("used"))
    }

    /// Destroys everything of the epoch.
    pub fn destroy(&self) -> Result<(), StateError> {
        for name in names(&self.folder)? {
            let path = self.folder.join(name);
            if path.is_dir() {
                destroy_all(&path)?;
            } else {
                state::destroy(&path)?;
            }
        }
        fs::remove_dir(&self.folder).map_err(state::failed("remove", &self.folder))
    }
}

/// A key that was drawn and is unused.
pub(crate) struct Drawn {
    path: PathBuf,
    used: PathBuf,
}

impl Drawn {
    /// What its file holds; nothing if the file is damaged.
    pub fn read(&self) -> Result<Option<ReadyKey>, StateError> {
        match state::read(&self.path) {
            Err(StateError::Damaged { .. }) => Ok(None),
            read => read,
        }
    }

    /// Uses it up: when this returns, the disk knows that it never signs again.
    pub fn take(self) -> Result<Taken, StateError> {
        state::prepare(&self.used)?;
        let name = self.path.file_name().ok_or_else(|| StateError::Damaged {
            path: self.path.clone(),
            reason: "it has no name".into(),
        })?;
        let path = self.used.join(name);
        // If we stop here, the key is still unused.
        durable::rename(&self.path, &path).map_err(state::failed("rename", &self.path))?;
        Ok(Taken { path })
    }

    /// Destroys one that can sign nothing.
    pub fn destroy(self) -> Result<(), StateError> {
        state::destroy(&self.path)
    }
}

/// A key that is used up, whatever comes of it.
pub(crate) struct Taken {
    path: PathBuf,
}

impl Taken {
    /// Destroys what is left of it.
    pub fn destroy(self) -> Result<(), StateError> {
        state::destroy(&self.path)
    }
}

impl DraftKey {
    /// The seed, wiped when dropped.
    pub fn secret_seed(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.seed.as_slice().try_into().ok().map(Zeroizing::new)
    }
}

fn file_name(number: usize) -> String {
    format!("{number:05}.json")
}

/// The names in a folder, in order; none if it is not there. Drafts of files that were not finished
/// are passed over.
fn names(folder: &Path) -> Result<Vec<String>, StateError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(state::failed("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(state::failed("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".new") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn destroy_all(folder: &Path) -> Result<(), StateError> {
    for name in names(folder)? {
        state::destroy(&folder.join(name))?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(state::failed("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_that_are_over_never_count_as_the_next_batch_s() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::of(folder.path(), 7);
        let draft = DraftKey {
            blob: Blob {
                public: vec![1],
                private: vec![2],
                pcrs: Vec::new(),
            },
            seed: vec![3; 32],
            blinded: vec![4; 256],
            certified: None,
        };
        for number in 0..4 {
            wallet.keep_draft(number, &draft).unwrap();
        }
        // A file that cannot be removed stands for the power cut in the middle.
        let stuck = wallet.folder.join("draft/00002.json");
        fs::remove_file(&stuck).unwrap();
        fs::create_dir_all(stuck.join("x")).unwrap();
        assert!(wallet.destroy_drafts().is_err());
        assert_eq!(wallet.drafts().unwrap(), 0);
        wallet.keep_draft(0, &draft).unwrap();
        assert_eq!(wallet.drafts().unwrap(), 1);
    }
}
