//! The registry this camera's receipts must come from: who may say that a photo is registered.
//!
//! A receipt lets a proof go from the queue, so it has to hold without anybody's word: against the
//! genesis the configuration names, or against the one the node showed at the first receipt. The
//! latter is pinned: written into the state folder and never replaced by the node. Whoever can
//! change that file can make this camera believe a receipt; nobody else who checks the receipt
//! against the genesis believes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use birthmark_daemon::durable;
use birthmark_ledger::{Genesis, Receipt, Trusted, VerifyError, verify_receipt};
use birthmark_protocol::{Bundle, Digest, DigestRole};

/// The name of the pinned genesis in the state folder.
const PINNED: &str = "registry.json";

/// Why there is no genesis to check against.
#[derive(Debug, thiserror::Error)]
pub enum GenesisProblem {
    /// The file cannot be read or written.
    #[error("the genesis {path} cannot be used: {source}", path = path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds none.
    #[error("{path} is not a genesis: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a receipt does not let a proof go.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFault {
    /// It proves nothing.
    #[error("the node's receipt does not hold: {0}")]
    Unproven(#[from] VerifyError),
    /// It proves something else.
    #[error("the node's receipt is about another photo")]
    OtherPhoto,
    /// The camera's frame was registered before, with other files; this photo never will be.
    #[error("the registry has this frame already, in block {0}, with other files")]
    OtherFiles(u64),
}

/// Why the node's genesis was not pinned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// Its own receipt does not hold against it.
    #[error(transparent)]
    Receipt(#[from] ReceiptFault),
    /// It could not be written.
    #[error(transparent)]
    Genesis(#[from] GenesisProblem),
}

/// The registry of one camera.
#[derive(Debug)]
pub struct Registry {
    pin: PathBuf,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    genesis: Genesis,
    hash: Digest,
    configured: bool,
}

/// Which registry it is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it calls itself.
    pub name: String,
    /// Its true name: the hash of its genesis.
    pub genesis_hash: String,
    /// Whether the configuration says so; otherwise the node did, at the first receipt.
    pub configured: bool,
}

impl Registry {
    /// The registry of the file `configured`, or the one pinned in the folder `state`, or one that
    /// is not known yet.
    pub fn open(configured: Option<&Path>, state: &Path) -> Result<Self, GenesisProblem> {
        let pin = state.join(PINNED);
        let file = match configured {
            Some(path) => Some(path),
            None => pin.exists().then_some(pin.as_path()),
        };
        let genesis = file.map(read).transpose()?;
        let known = genesis.map(|genesis| Known {
            hash: genesis.hash(),
            genesis,
            configured: configured.is_some(),
        });
        Ok(Self {
            pin,
            known: Mutex::new(known),
        })
    }

    /// What it starts from, if that is known.
    pub fn genesis(&self) -> Option<Genesis> {
        self.lock().as_ref().map(|known| known.genesis.clone())
    }

    /// Its true name, if that is known.
    pub fn genesis_hash(&self) -> Option<Digest> {
        self.lock().as_ref().map(|known| known.hash)
    }

    /// Which registry it is, if that is known.
    pub fn identity(&self) -> Option<Identity> {
        let known = self.lock();
        known.as_ref().map(|known| Identity {
            name: known.genesis.chain_id.to_string(),
            genesis_hash: known.hash.to_hex(),
            configured: known.configured,
        })
    }

    /// Believes `genesis` from now on, unless another one is known already. `receipt` must hold
    /// against it.
    pub fn learn(&self, genesis: &Genesis, receipt: &Receipt) -> Result<(), LearnError> {
        verify_receipt(receipt, &Trusted::genesis(genesis)).map_err(ReceiptFault::Unproven)?;
        let mut known = self.lock();
        if known.is_some() {
            return Ok(());
        }
        let disk = |source| GenesisProblem::Disk {
            path: self.pin.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(genesis).map_err(|error| disk(error.into()))?;
        durable::replace(&self.pin, &text, durable::SHARED).map_err(disk)?;
        // If we stop here, the next start believes the same registry: no receipt was taken yet.
        log::warn!(
            "receipts are checked against the registry {} ({}) from now on, because the node says so and no genesis is configured",
            genesis.chain_id,
            genesis.hash()
        );
        *known = Some(Known {
            genesis: genesis.clone(),
            hash: genesis.hash(),
            configured: false,
        });
        Ok(())
    }

    /// Whether `receipt` proves that exactly `bundle` is registered.
    pub fn check(&self, receipt: &Receipt, bundle: &Bundle) -> Result<(), ReceiptFault> {
        let trusted = self
            .lock()
            .as_ref()
            .map(|known| Trusted::genesis(&known.genesis));
        let Some(trusted) = trusted else {
            return Err(VerifyError::OtherRegistry(receipt.chain_id.clone()).into());
        };
        let verified = verify_receipt(receipt, &trusted)?;
        if verified.record.bundle() == bundle {
            return Ok(());
        }
        let is_frame = |role| role == DigestRole::Raw;
        let mut frames = bundle.images().iter().filter(|image| is_frame(image.role));
        match frames.any(|frame| verified.record.image(&frame.digest).is_some()) {
            true => Err(ReceiptFault::OtherFiles(verified.height.get())),
            false => Err(ReceiptFault::OtherPhoto),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a genesis file, TOML or JSON.
fn read(path: &Path) -> Result<Genesis, GenesisProblem> {
    let text = fs::read_to_string(path).map_err(|source| GenesisProblem::Disk {
        path: path.to_owned(),
        source,
    })?;
    let parsed = match text.trim_start().starts_with('{') {
        true => Genesis::from_json(&text).map_err(|error| error.to_string()),
        false => toml::from_str(&text).map_err(|error| error.to_string()),
    };
    parsed.map_err(|reason| GenesisProblem::Malformed {
        path: path.to_owned(),
        reason,
    })
}
