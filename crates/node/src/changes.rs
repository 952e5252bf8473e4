//! A change of validators that waits for its block: how it comes in, where it is kept, and when its
//! time has come.
//!
//! It is signed by more than two thirds of the present validators, so nothing is believed of
//! whoever brings it. One waits at a time. It goes to all members, and whoever proposes next puts
//! it into a block.
//!
//! A validator that leaves, or changes its key, may have photos under way, and what it signed
//! counts no more after that block. So it takes no submissions from the moment it hears of the
//! change, and the others wait with it a little, and for as long as something of it waits in their
//! pools.

use std::sync::{Mutex, MutexGuard, PoisonError};

use birthmark_ledger::{BlockTime, ChangeError, Height, SetChange, Tip, ValidatorId};
use birthmark_protocol::Digest;

use crate::clock;
use crate::journal;
use crate::registry::{Registry, RegistryError};
use crate::store::StoreError;

mod file;
mod step;

pub use file::ChangeFile;
pub use step::{Step, StepError};

/// Under which name it is kept in the database.
const NAME: &str = "set-change";
/// So many milliseconds a change waits at least after a validator heard of it: whoever leaves hands
/// over meanwhile what it has taken.
const GRACE: i64 = 10_000;

/// The change that waits, if one does.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Option<Waiting>>);

/// A change that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The change.
    pub change: SetChange,
    /// What it comes to.
    pub step: Step,
    /// When this validator heard of it.
    pub since: BlockTime,
}

/// Why a change is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The ledger's rules refuse it.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// It is none, or too much at once.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Its time is over.
    #[error("it could stand up to block {last}; the next one is {next}")]
    Late {
        /// The highest block that could carry it.
        last: Height,
        /// The next block.
        next: Height,
    },
    /// One at a time.
    #[error(
        "another change waits already: {step}. It must be decided, or its last block ({last}) be over, first"
    )]
    Another {
        /// What the other one comes to.
        step: Box<Step>,
        /// The highest block that may carry it.
        last: Height,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a change is called: a digest of everything in it but the signatures.
pub fn name_of(change: &SetChange) -> Digest {
    let unsigned = SetChange {
        signatures: Vec::new(),
        ..change.clone()
    };
    Digest::of(&unsigned.encode())
}

/// What a change comes to, if the present validators agreed on it and it may still be decided.
pub fn judge(change: &SetChange, tip: &Tip) -> Result<Step, NotTaken> {
    let (present, next) = (tip.validators(), tip.height().next());
    if change.not_after < next {
        let last = change.not_after;
        return Err(NotTaken::Late { last, next });
    }
    change.verify(tip.chain(), present, next.max(change.not_before))?;
    Ok(Step::between(present, &change.next)?)
}

impl Changes {
    /// The change that waited when this program stopped.
    pub async fn load(registry: &Registry) -> Result<Self, RegistryError> {
        let Some(stored) = registry.store().state(NAME).await? else {
            return Ok(Self::default());
        };
        let unreadable = || StoreError::Corrupt("the waiting change of validators".into());
        let (since, bytes) = stored.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let change = SetChange::parse(bytes).map_err(|_| unreadable())?;
        let since = BlockTime::from_millis(i64::from_be_bytes(*since));
        // One that was decided, or whose time is over, is not looked at again.
        let waiting = judge(&change, &registry.tip()).ok().map(|step| Waiting {
            change,
            step,
            since,
        });
        Ok(Self(Mutex::new(waiting)))
    }

    /// The change that waits, if the block after `tip`, or a later one, may carry it.
    pub fn waiting(&self, tip: &Tip) -> Option<Waiting> {
        let waiting = self.lock().clone()?;
        let fits = waiting.change.present == tip.validators().hash();
        (fits && tip.height() < waiting.change.not_after).then_some(waiting)
    }

    /// The change that waits, once the block after `tip` is to carry it.
    pub fn due(&self, tip: &Tip, now: BlockTime) -> Option<Waiting> {
        let waiting = self.waiting(tip)?;
        let next = tip.height().next();
        let is_last = next == waiting.change.not_after;
        let waited = now.millis_since(waiting.since) >= GRACE;
        (next >= waiting.change.not_before && (waited || is_last)).then_some(waiting)
    }

    /// Whether the key of this validator is about to count no longer.
    pub fn is_leaving(&self, tip: &Tip, own: &ValidatorId) -> bool {
        let waiting = self.waiting(tip);
        waiting.is_some_and(|waiting| waiting.change.next.get(own).is_none())
    }

    /// Takes a change, whoever brought it; whether it is new here.
    ///
    /// If we stop before it is stored, whoever handed it in was not told that it is taken.
    pub async fn take(&self, registry: &Registry, change: SetChange) -> Result<bool, NotTaken> {
        let (tip, now) = (registry.tip(), clock::now_millis());
        let step = judge(&change, &tip)?;
        if let Some(waiting) = self.waiting(&tip) {
            return match name_of(&waiting.change) == name_of(&change) {
                true => Ok(false),
                false => Err(NotTaken::Another {
                    step: Box::new(waiting.step),
                    last: waiting.change.not_after,
                }),
            };
        }
        let stored = [now.millis().to_be_bytes().as_slice(), &change.encode()].concat();
        registry.store().put_state(NAME, &stored).await?;
        let (first, last) = (change.not_before, change.not_after);
        log::info!(MESSAGE_ID = journal::VALIDATORS_CHANGE; "a change of validators waits for a block from {first} to {last}: {step}");
        *self.lock() = Some(Waiting {
            change,
            step,
            since: now,
        });
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
