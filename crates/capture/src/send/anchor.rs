//! The newest block this camera has checked: photos name it, so that a receipt proves both ends of
//! their time.
//!
//! Validators are asked every few minutes and believed in nothing: a block counts when the
//! validators that follow from the registry's genesis have decided it. It is kept over restarts and
//! never replaced by an older one, so a camera without a network goes on with the last. A validator
//! can at most hold a newer block back.
//!
//! Blocks are asked for by the clock and never taken from a receipt: an anchor that is the block of
//! an earlier photo would tie the two photos together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use birthmark_daemon::{Backoff, Shutdown, durable, random};
use birthmark_ledger::{
    BlockTime, Genesis, Head, Height, Trusted, ValidatorSet, VerifyError, verify_head,
};
use birthmark_protocol::Digest;
use birthmark_sensor::clock;
use serde::{Deserialize, Serialize};

use super::registry::Registry;
use super::submit::{Node, NodeError, Nodes};

/// The name of the file in the state folder.
const FILE: &str = "anchor.json";
/// The first pause after nobody had a block that holds.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// A block that this camera has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// The registry, by its genesis hash.
    pub genesis: Digest,
    /// The block's height.
    pub height: Height,
    /// The block's hash: what the camera signs.
    pub block: Digest,
    /// The block's time: a photo that names it is younger.
    pub time: BlockTime,
    /// When it was checked, in Unix seconds by the camera's own clock.
    pub checked_at: i64,
    /// The first height that `validators` decide. Former validators are believed no more.
    since: Height,
    validators: ValidatorSet,
}

/// Why a block that a validator showed changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum AnchorFault {
    /// The validator did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its validators did not decide it.
    #[error("{node} shows a block that does not hold: {fault}")]
    Unproven {
        /// Which validator.
        node: String,
        /// What is wrong.
        fault: VerifyError,
    },
    /// The validators of this registry have decided two blocks for one height.
    #[error(
        "{node} shows another block {height} than the one this camera has checked, and both are signed: \
         show both to the registry's operators"
    )]
    Fork {
        /// Which validator.
        node: String,
        /// At which height.
        height: Height,
    },
    /// It could not be kept.
    #[error("the anchor cannot be kept in {path}: {source}", path = path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The anchor of one camera.
#[derive(Debug)]
pub struct Anchor {
    file: PathBuf,
    /// How often validators are asked; not at all if photos are not to be anchored.
    every: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    checked: Option<Checked>,
    trouble: Option<String>,
}

impl Anchor {
    /// The anchor kept in the folder `state`. A damaged file is named in the log and fetched anew.
    pub fn open(state: &Path, every: Option<Duration>) -> Self {
        let file = state.join(FILE);
        let checked = read(&file);
        Self {
            file,
            every,
            state: Mutex::new(State {
                checked,
                trouble: None,
            }),
        }
    }

    /// The block that a photo of this registry names now, if there is one.
    pub fn newest(&self, genesis: Option<&Digest>) -> Option<Checked> {
        self.every?;
        let state = self.lock();
        let checked = state.checked.as_ref()?;
        (Some(&checked.genesis) == genesis).then(|| checked.clone())
    }

    /// Why there is no newer block, since the last attempt.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Asks for newer blocks until asked to stop.
    pub async fn follow(&self, nodes: Arc<Nodes>, registry: Arc<Registry>, shutdown: Shutdown) {
        let Some(every) = self.every else {
            return;
        };
        let mut pause = Backoff::new(FIRST_PAUSE, every);
        while !shutdown.is_requested() {
            let wait = match registry.genesis() {
                // The first receipt makes the registry known; until then there is nothing to check
                // a block against.
                None => FIRST_PAUSE.min(every),
                Some(genesis) => match self.renew(&nodes, &genesis).await {
                    Ok(()) => {
                        pause.succeeded();
                        every
                    }
                    Err(()) => {
                        pause.failed();
                        pause.pause_at_least(random::share(), None)
                    }
                },
            };
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Asks one validator after another until one has shown a block that holds.
    async fn renew(&self, nodes: &Nodes, genesis: &Genesis) -> Result<(), ()> {
        let mut last = None;
        for node in nodes.willing(&[]) {
            match self.ask(node, genesis).await {
                Ok(()) => {
                    self.lock().trouble = None;
                    return Ok(());
                }
                Err(fault) => {
                    self.tell(&fault);
                    last = Some(fault);
                }
            }
        }
        self.lock().trouble = last.map(|fault| fault.to_string());
        Err(())
    }

    /// A validator that does not answer is ordinary; one that lies is worth a warning each time.
    fn tell(&self, fault: &AnchorFault) {
        let known = self.trouble() == Some(fault.to_string());
        match fault {
            AnchorFault::Node(_) => log::debug!("no newer block: {fault}"),
            _ if known => log::debug!("no newer block: {fault}"),
            _ => log::warn!("no newer block: {fault}"),
        }
    }

    async fn ask(&self, node: &Node, genesis: &Genesis) -> Result<(), AnchorFault> {
        let present = self.of(&genesis.hash());
        let trusted = trust(genesis, present.as_ref());
        // A registry without a block yet has nothing to name.
        let Some(head) = node.head(trusted.since()).await? else {
            return Ok(());
        };
        self.take(node.address(), &head, trusted, present)
    }

    /// Checks a block and keeps it if it is newer than the present one.
    fn take(
        &self,
        node: &str,
        head: &Head,
        trusted: Trusted,
        present: Option<Checked>,
    ) -> Result<(), AnchorFault> {
        let height = head.header.height;
        let newest = present.as_ref().map_or(Height::GENESIS, |at| at.height);
        if height < newest {
            // A validator that lags behind; its block was checked before, or a block that followed
            // it was.
            return Ok(());
        }
        let trusted = verify_head(head, trusted).map_err(|fault| AnchorFault::Unproven {
            node: node.to_owned(),
            fault,
        })?;
        let block = head.header.hash();
        if let Some(present) = present.filter(|present| present.height == height) {
            return match present.block == block {
                true => Ok(()),
                false => Err(AnchorFault::Fork {
                    node: node.to_owned(),
                    height,
                }),
            };
        }
        self.keep(Checked {
            genesis: head.header.chain,
            height,
            block,
            time: head.header.time,
            checked_at: clock::now_ns() / 1_000_000_000,
            since: trusted.since(),
            validators: trusted.validators().clone(),
        })
    }

    /// Durable before the first photo names it: after a crash no photo is anchored to an older
    /// block than one before it.
    fn keep(&self, checked: Checked) -> Result<(), AnchorFault> {
        let disk = |source| AnchorFault::Disk {
            path: self.file.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(&checked).map_err(|error| disk(error.into()))?;
        durable::replace(&self.file, &text, durable::SHARED).map_err(disk)?;
        log::debug!(
            "photos are anchored to block {} from now on",
            checked.height
        );
        self.lock().checked = Some(checked);
        Ok(())
    }

    /// What was checked of this registry; a block of another one says nothing here.
    fn of(&self, genesis: &Digest) -> Option<Checked> {
        let checked = self.lock().checked.clone();
        checked.filter(|checked| checked.genesis == *genesis)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trust(genesis: &Genesis, present: Option<&Checked>) -> Trusted {
    let trusted = Trusted::genesis(genesis);
    match present {
        Some(checked) => trusted.later(checked.since, checked.validators.clone()),
        None => trusted,
    }
}

fn read(file: &Path) -> Option<Checked> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            log::warn!("{} cannot be read: {error}", file.display());
            return None;
        }
    };
    match serde_json::from_slice(&bytes) {
        Ok(checked) => Some(checked),
        Err(error) => {
            log::warn!(
                "{} is damaged, the newest block is asked for anew: {error}",
                file.display()
            );
            None
        }
    }
}
