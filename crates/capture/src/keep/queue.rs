//! The proofs that have not arrived yet: one small file each, durable before anybody is told, gone
//! only when a receipt is.
//!
//! Entries lie in 256 folders, so that a hundred thousand of them do not make one folder slow.
//! Memory holds their names and when each is due, never their contents. Whoever can change these
//! files can lose or delay proofs, not make one: the signature is the TPM's.

mod entry;
mod schedule;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use birthmark_daemon::durable;
use tokio::sync::Notify;

pub use entry::{Entry, EntryId, IdError, Refusal, Stage};
use schedule::Schedule;

/// A photo whose files are still being put in place is signed at the latest after this; see
/// [`Queue::release`].
const PUTTING_IN_PLACE: Duration = Duration::from_secs(10);

/// Why the queue could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The disk says no.
    #[error("the queue cannot use {path}: {source}", path = path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the queue is damaged.
    #[error("the queue's file {path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such entry.
    #[error("no proof {0} is waiting")]
    Unknown(EntryId),
}

/// The queue of one camera.
#[derive(Debug)]
pub struct Queue {
    folder: PathBuf,
    waiting: PathBuf,
    refused: PathBuf,
    /// Only one process may use the queue; the lock is released by the kernel, however we end.
    _lock: fs::File,
    state: Mutex<State>,
    /// Rings when something may have become due.
    bell: Notify,
    /// The same for whoever signs.
    pen: Notify,
    /// Rings when somebody does not want to wait any longer.
    hurry: Notify,
}

#[derive(Debug, Default)]
struct State {
    schedule: Schedule,
    refused: BTreeSet<EntryId>,
    stored: u64,
}

/// How many proofs are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// On the way.
    pub waiting: u64,
    /// Refused for good, kept with the reason.
    pub refused: u64,
    /// Stored since this process began.
    pub stored: u64,
}

/// What came of a look at refused entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// How many are tried again.
    pub tried: usize,
    /// Where the next look goes on, unless this was the end.
    pub last: Option<EntryId>,
}

impl Queue {
    /// Opens the queue in `folder`; everything that waits is due at once.
    pub fn open(folder: &Path) -> Result<Self, QueueError> {
        let (waiting, refused) = (folder.join("queue"), folder.join("refused"));
        for folder in [&waiting, &refused] {
            for shard in 0..=u8::MAX {
                let path = folder.join(format!("{shard:02x}"));
                durable::make_folder(&path).map_err(disk(&path))?;
            }
        }
        let lock = lock(folder)?;
        let now = Instant::now();
        let mut state = State::default();
        for id in ids_in(&waiting)? {
            state.schedule.add(id, now);
        }
        state.refused = ids_in(&refused)?.into_iter().collect();
        Ok(Self {
            folder: folder.to_owned(),
            waiting,
            refused,
            _lock: lock,
            state: Mutex::new(state),
            bell: Notify::new(),
            pen: Notify::new(),
            hurry: Notify::new(),
        })
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes `entry` durable. When this returns, its proof will arrive, whatever happens to the
    /// power. It is signed once the photo's files are in place, see [`Queue::release`].
    pub fn add(&self, id: EntryId, entry: &Entry) -> Result<(), QueueError> {
        self.write(&self.path(&self.waiting, id), entry)?;
        // If we stop here, the next start finds the file and goes on with it.
        let now = Instant::now();
        match entry.stage {
            Stage::Unsigned => {
                let mut state = self.state();
                state.schedule.add_unsigned(id, now + PUTTING_IN_PLACE);
            }
            _ => self.state().schedule.add(id, now),
        }
        self.ring();
        Ok(())
    }

    /// Lets a photo be signed whose files are in place: the signature goes into the file beside it,
    /// which must be there.
    pub fn release(&self, id: EntryId) {
        let mut state = self.state();
        if state.schedule.contains(id) {
            state.schedule.add_unsigned(id, Instant::now());
        }
        drop(state);
        self.ring();
    }

    /// Gives an entry to whoever signs.
    pub fn to_sign(&self, id: EntryId) {
        self.state().schedule.add_unsigned(id, Instant::now());
        self.ring();
    }

    /// Gives an entry that was signed to whoever sends.
    pub fn to_send(&self, id: EntryId) {
        self.state().schedule.add(id, Instant::now());
        self.ring();
    }

    /// Makes an entry that could not be signed due later; `why` is what people are told meanwhile.
    pub fn sign_later(&self, id: EntryId, until: Instant, why: String) {
        self.state().schedule.sign_later(id, until, Some(why));
    }

    /// The entry that is to be signed first, and when.
    pub fn next_unsigned(&self) -> Option<(Instant, EntryId)> {
        self.state().schedule.first_unsigned()
    }

    /// Waits until something new may be to be signed.
    pub async fn unsigned_changed(&self) {
        self.pen.notified().await;
    }

    fn ring(&self) {
        self.bell.notify_one();
        self.pen.notify_one();
    }

    /// Replaces an entry by its next stage.
    pub fn update(&self, id: EntryId, entry: &Entry) -> Result<(), QueueError> {
        self.write(&self.path(&self.waiting, id), entry)
    }

    /// Reads an entry, waiting or refused.
    pub fn read(&self, id: EntryId) -> Result<Entry, QueueError> {
        for folder in [&self.waiting, &self.refused] {
            let path = self.path(folder, id);
            match fs::read(&path) {
                Ok(bytes) => {
                    return Entry::decode(&bytes)
                        .map_err(|reason| QueueError::Damaged { path, reason });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(disk(&path)(error)),
            }
        }
        Err(QueueError::Unknown(id))
    }

    /// Whether this proof is on its way or was refused.
    pub fn knows(&self, id: EntryId) -> bool {
        let state = self.state();
        state.schedule.contains(id) || state.refused.contains(&id)
    }

    /// Forgets an entry whose receipt is durable.
    pub fn finish(&self, id: EntryId) -> Result<(), QueueError> {
        let path = self.path(&self.waiting, id);
        durable::remove(&path).map_err(disk(&path))?;
        let mut state = self.state();
        state.schedule.remove(id);
        state.stored += 1;
        Ok(())
    }

    /// Puts an entry aside, with the reason in it.
    pub fn refuse(&self, id: EntryId, entry: &Entry) -> Result<(), QueueError> {
        self.write(&self.path(&self.waiting, id), entry)?;
        // If we stop here, the entry waits with its reason inside; the next attempt puts it aside
        // again.
        self.set_aside(id)
    }

    /// Puts an entry aside as it is: its file cannot be read any more, but a person may be able to.
    pub fn set_aside(&self, id: EntryId) -> Result<(), QueueError> {
        let (from, to) = (self.path(&self.waiting, id), self.path(&self.refused, id));
        durable::rename(&from, &to).map_err(disk(&to))?;
        let mut state = self.state();
        state.schedule.remove(id);
        state.refused.insert(id);
        Ok(())
    }

    /// Tries a refused entry again from the start, or makes a waiting one due now.
    pub fn retry(&self, id: EntryId) -> Result<(), QueueError> {
        if self.state().refused.contains(&id) {
            let path = self.path(&self.refused, id);
            let entry = self.read(id)?.again();
            self.write(&path, &entry)?;
            let to = self.path(&self.waiting, id);
            durable::rename(&path, &to).map_err(disk(&to))?;
            self.state().refused.remove(&id);
        } else if !self.knows(id) {
            return Err(QueueError::Unknown(id));
        }
        // Whether it has to be signed first, whoever takes it finds out.
        self.state().schedule.add(id, Instant::now());
        self.ring();
        self.hurry.notify_one();
        Ok(())
    }

    /// Looks at `limit` refused entries after `after`, and tries again those that were refused
    /// before `moment` (Unix seconds): a validator may have erred, or have been taught better
    /// since. Entries that cannot be read stay for a person to look at.
    pub fn retry_refused(
        &self,
        moment: i64,
        after: Option<EntryId>,
        limit: usize,
    ) -> Result<Looked, QueueError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let beyond = (after.map_or(Unbounded, Excluded), Unbounded);
        let refused: Vec<EntryId> = {
            let state = self.state();
            let ids = state.refused.range(beyond);
            ids.take(limit).copied().collect()
        };
        // A part that is not full was the last one: the next look begins with the oldest again.
        let last = refused.last().copied().filter(|_| refused.len() == limit);
        let mut tried = 0;
        for id in refused {
            let old = match self.read(id) {
                Ok(entry) => matches!(entry.stage, Stage::Refused { at, .. } if at <= moment),
                Err(QueueError::Damaged { .. } | QueueError::Unknown(_)) => false,
                Err(error) => return Err(error),
            };
            if old {
                self.retry(id)?;
                tried += 1;
            }
        }
        Ok(Looked { tried, last })
    }

    /// Makes everything that waits due now.
    pub fn hurry(&self) {
        self.state().schedule.hurry(Instant::now());
        self.ring();
        self.hurry.notify_one();
    }

    /// Makes an entry due later; `why` is what people are told meanwhile.
    pub fn postpone(&self, id: EntryId, until: Instant, why: Option<String>) {
        self.state().schedule.postpone(id, until, why);
    }

    /// The same for an entry that was sent and only has to be asked about: it comes before others
    /// once it is due.
    pub fn ask_later(&self, id: EntryId, until: Instant) {
        self.state().schedule.ask_later(id, until);
    }

    /// Why the entry was postponed the last time, if there is a reason besides time.
    pub fn why(&self, id: EntryId) -> Option<String> {
        self.state().schedule.why(id)
    }

    /// How often in a row the entry was postponed.
    pub fn attempts(&self, id: EntryId) -> u32 {
        self.state().schedule.attempts(id)
    }

    /// The entry that is due first, and when.
    pub fn next(&self) -> Option<(Instant, EntryId)> {
        self.state().schedule.first(Instant::now())
    }

    /// Waits until something new may be due.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }

    /// Waits until somebody asks for an attempt now.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// How many proofs are where.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            waiting: state.schedule.len() as u64,
            refused: state.refused.len() as u64,
            stored: state.stored,
        }
    }

    /// The oldest `limit` entries after `after`, waiting and refused together.
    pub fn page(&self, after: Option<EntryId>, limit: usize) -> Vec<EntryId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let beyond = (after.map_or(Unbounded, Excluded), Unbounded);
        let state = self.state();
        let mut ids: Vec<EntryId> = state.schedule.after(after).take(limit).collect();
        ids.extend(state.refused.range(beyond).copied().take(limit));
        ids.sort_unstable();
        ids.truncate(limit);
        ids
    }

    fn write(&self, path: &Path, entry: &Entry) -> Result<(), QueueError> {
        let bytes = entry.encode().map_err(disk(path))?;
        durable::replace(path, &bytes, durable::PRIVATE).map_err(disk(path))
    }

    fn path(&self, folder: &Path, id: EntryId) -> PathBuf {
        folder.join(id.shard()).join(id.to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(folder: &Path) -> Result<fs::File, QueueError> {
    let path = folder.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(disk(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(disk(&path)(io::Error::other("another process uses it")))
        }
        Err(fs::TryLockError::Error(error)) => Err(disk(&path)(error)),
    }
}

/// The entries of a folder; files under other names are what a crash left behind, and are not read.
fn ids_in(folder: &Path) -> Result<Vec<EntryId>, QueueError> {
    let mut ids = Vec::new();
    for shard in fs::read_dir(folder).map_err(disk(folder))? {
        let shard = shard.map_err(disk(folder))?.path();
        for file in fs::read_dir(&shard).map_err(disk(&shard))? {
            let name = file.map_err(disk(&shard))?.file_name();
            ids.extend(name.to_str().and_then(|name| name.parse::<EntryId>().ok()));
        }
    }
    Ok(ids)
}

fn disk(path: &Path) -> impl Fn(io::Error) -> QueueError {
    let path = path.to_owned();
    move |source| QueueError::Disk {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
