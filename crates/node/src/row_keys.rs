//! The keys under which waiting rows are sealed, and how they are thrown away.
//!
//! A waiting submission holds what must be forgotten once it is decided: the opening of its
//! commitment, the camera's certificate, and which photo both belong to. Deleting a row is not
//! enough. SQLite leaves the bytes in its file and its log, PostgreSQL in its log and in archives
//! of it. So the rows are sealed, and what is destroyed is the key.
//!
//! Time is cut into epochs. The key of an epoch is derived from the validator's lookup key (a
//! credential) and 32 random bytes that lie in a file of their own, never in the database. Each
//! start and each hour of use begins a new epoch. As soon as no row of an old epoch waits any more,
//! its file is overwritten and removed: from then on no copy of the database, however complete, can
//! be read for that time.
//!
//! Whoever has the credential, these files and a copy of the database can read what waits now, and
//! what was decided since the oldest of the files was made. A disk that keeps overwritten blocks
//! (flash, copy-on-write) may keep a file's bytes: they are of no use without the credential.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use birthmark_daemon::{durable, random};
use zeroize::Zeroizing;

use crate::clock;
use crate::lookup_key::LookupKey;
use crate::node_lock::NodeLock;
use crate::store::{Store, StoreError};

/// After this long a key that was used gives way to a new one.
const EPOCH: Duration = Duration::from_secs(3600);

/// Seals waiting rows.
#[derive(Debug)]
pub struct RowKeys {
    folder: PathBuf,
    secret: LookupKey,
    epochs: Mutex<Epochs>,
    /// Held as long as this process may change waiting rows.
    _lock: NodeLock,
}

#[derive(Debug)]
struct Epochs {
    current: Arc<Epoch>,
    older: BTreeMap<i64, Arc<Epoch>>,
}

#[derive(Debug)]
struct Epoch {
    number: i64,
    key: LessSafeKey,
    began: Instant,
    is_used: AtomicBool,
}

/// A row that only the holder of its epoch's key can read.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The epoch it was sealed in.
    pub epoch: i64,
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
    /// Keeps the epoch's key from being destroyed before the row is in the database.
    _key: Option<Arc<Epoch>>,
}

/// Why a row could not be sealed or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowKeyError {
    /// The row's epoch is over.
    #[error("the key of this waiting row is gone")]
    Gone,
    /// The row is not what was sealed.
    #[error("this waiting row was changed")]
    Changed,
    /// The system has no randomness.
    #[error("no randomness")]
    Randomness,
}

impl Sealed {
    /// A row as it was read from the database.
    pub const fn stored(epoch: i64, bytes: Vec<u8>) -> Self {
        Self {
            epoch,
            bytes,
            _key: None,
        }
    }
}

impl RowKeys {
    /// Reads the epochs that are left and begins a new one.
    pub async fn open(folder: &Path, secret: LookupKey) -> anyhow::Result<Self> {
        let named = || format!("the folder of row keys {}", folder.display());
        durable::make_private_folder(folder).with_context(named)?;
        let lock = NodeLock::wait(folder).await?;
        let mut older = BTreeMap::new();
        for entry in std::fs::read_dir(folder).with_context(named)? {
            let entry = entry.with_context(named)?;
            let Some(number) = number_of(&entry.file_name()) else {
                continue;
            };
            // A file that is empty or short was being written, or being destroyed, when we stopped:
            // no row needs it.
            match <[u8; 32]>::try_from(std::fs::read(entry.path()).with_context(named)?.as_slice())
            {
                Ok(salt) if salt != [0; 32] => {
                    older.insert(number, Arc::new(Epoch::new(number, &secret, &salt)?));
                }
                _ => std::fs::remove_file(entry.path()).with_context(named)?,
            }
        }
        let newest = older.keys().next_back().copied();
        let current = begin(folder, &secret, newest).with_context(named)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            secret,
            epochs: Mutex::new(Epochs {
                current: Arc::new(current),
                older,
            }),
            _lock: lock,
        })
    }

    /// Seals a row. `about` is what else the row says of itself; it is covered, not hidden.
    pub fn seal(&self, about: &[u8], row: &[u8]) -> Result<Sealed, RowKeyError> {
        let epoch = Arc::clone(&self.epochs().current);
        epoch.is_used.store(true, Ordering::Relaxed);
        let nonce: [u8; NONCE_LEN] = random::bytes().map_err(|_| RowKeyError::Randomness)?;
        let mut bytes = Vec::with_capacity(NONCE_LEN + row.len() + AES_256_GCM.tag_len());
        bytes.extend(nonce);
        let mut text = Zeroizing::new(row.to_vec());
        let tag = epoch.key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(about),
            text.as_mut_slice(),
        );
        bytes.extend(text.iter());
        bytes.extend(tag.map_err(|_| RowKeyError::Randomness)?.as_ref());
        Ok(Sealed {
            epoch: epoch.number,
            bytes,
            _key: Some(epoch),
        })
    }

    /// Reads a row.
    pub fn read(&self, about: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, RowKeyError> {
        let epoch = {
            let epochs = self.epochs();
            if epochs.current.number == sealed.epoch {
                Arc::clone(&epochs.current)
            } else {
                let older = epochs.older.get(&sealed.epoch);
                Arc::clone(older.ok_or(RowKeyError::Gone)?)
            }
        };
        let (nonce, text) = sealed
            .bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(RowKeyError::Changed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let read = epoch.key.open_in_place(nonce, Aad::from(about), &mut text);
        let length = read.map_err(|_| RowKeyError::Changed)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// The epochs whose rows can be read.
    pub fn known(&self) -> Vec<i64> {
        let epochs = self.epochs();
        let older = epochs.older.keys().copied();
        older.chain([epochs.current.number]).collect()
    }

    /// Begins a new epoch if the current one has been used long enough, and destroys the keys that
    /// no row needs any more.
    ///
    /// If we stop in between, the next start finds the files that are left and goes on.
    pub async fn tidy(&self, store: &Store, now: Instant) -> anyhow::Result<()> {
        self.begin_if_due(now)?;
        for number in self.unheld() {
            let oldest = store.oldest_epoch().await?;
            // Rows are added under the current epoch alone, so what no row needs now, none will
            // need again.
            if oldest.is_some_and(|oldest| oldest <= number) {
                break;
            }
            self.destroy(number)?;
        }
        Ok(())
    }

    fn begin_if_due(&self, now: Instant) -> anyhow::Result<()> {
        let mut epochs = self.epochs();
        let current = &epochs.current;
        let age = now.saturating_duration_since(current.began);
        if age < EPOCH || !current.is_used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let next = begin(&self.folder, &self.secret, Some(current.number))
            .context("a new row key cannot be made")?;
        let before = std::mem::replace(&mut epochs.current, Arc::new(next));
        epochs.older.insert(before.number, before);
        Ok(())
    }

    /// Old epochs, oldest first, under which nothing is on its way into the database.
    fn unheld(&self) -> Vec<i64> {
        let epochs = self.epochs();
        let free = |epoch: &&Arc<Epoch>| Arc::strong_count(epoch) == 1;
        let unheld = epochs.older.values().take_while(free);
        unheld.map(|epoch| epoch.number).collect()
    }

    fn destroy(&self, number: i64) -> anyhow::Result<()> {
        self.epochs().older.remove(&number);
        let path = self.folder.join(name_of(number));
        let named = || format!("the row key {} cannot be destroyed", path.display());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .with_context(named)?;
        file.write_all(&[0; 32]).with_context(named)?;
        file.sync_all().with_context(named)?;
        durable::remove(&path).with_context(named)
    }

    fn epochs(&self) -> std::sync::MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Epoch {
    fn new(number: i64, secret: &LookupKey, salt: &[u8; 32]) -> anyhow::Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, secret.row_key(salt).as_slice());
        let key = key.map_err(|_| anyhow::anyhow!("a row key has the wrong length"))?;
        Ok(Self {
            number,
            key: LessSafeKey::new(key),
            began: Instant::now(),
            is_used: AtomicBool::new(false),
        })
    }
}

/// Writes the salt of a new epoch. Nothing is sealed under it before its file is on the disk:
/// otherwise rows would outlive a power failure that their key did not.
fn begin(folder: &Path, secret: &LookupKey, newest: Option<i64>) -> anyhow::Result<Epoch> {
    let now = clock::now_millis().millis();
    let number = newest.map_or(now, |newest| now.max(newest.saturating_add(1)));
    let salt = Zeroizing::new(random::bytes::<32>()?);
    durable::create(
        &folder.join(name_of(number)),
        salt.as_slice(),
        durable::PRIVATE,
    )?;
    Epoch::new(number, secret, &salt)
}

fn name_of(number: i64) -> String {
    format!("{number}.salt")
}

fn number_of(name: &std::ffi::OsStr) -> Option<i64> {
    name.to_str()?.strip_suffix(".salt")?.parse().ok()
}

impl From<RowKeyError> for StoreError {
    fn from(error: RowKeyError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn keys(folder: &Path) -> RowKeys {
        let secret = LookupKey::new(&[1; 32]);
        RowKeys::open(folder, secret).await.unwrap()
    }

    #[tokio::test]
    async fn a_row_is_read_by_the_next_start_and_by_nobody_with_another_secret() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = keys(folder.path()).await.seal(b"id", b"opening").unwrap();
        assert!(!sealed.bytes.windows(7).any(|part| part == b"opening"));
        let again = keys(folder.path()).await;
        assert_eq!(again.read(b"id", &sealed).unwrap().as_slice(), b"opening");
        assert_eq!(again.read(b"other", &sealed), Err(RowKeyError::Changed));
        drop(again);
        let other = RowKeys::open(folder.path(), LookupKey::new(&[2; 32]));
        let other = other.await.unwrap();
        assert_eq!(other.read(b"id", &sealed), Err(RowKeyError::Changed));
        let elsewhere = tempfile::tempdir().unwrap();
        let elsewhere = keys(elsewhere.path()).await.read(b"id", &sealed);
        assert_eq!(elsewhere, Err(RowKeyError::Gone));
    }

    #[tokio::test]
    async fn a_key_cut_off_by_a_crash_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        drop(keys(folder.path()).await);
        std::fs::write(folder.path().join("5.salt"), b"").unwrap();
        std::fs::write(folder.path().join("6.salt"), [0; 32]).unwrap();
        std::fs::write(folder.path().join("notes.txt"), b"not ours").unwrap();
        let known = keys(folder.path()).await.known();
        assert_eq!(known.len(), 2, "{known:?}");
        assert!(!known.contains(&5) && !known.contains(&6));
        assert!(folder.path().join("notes.txt").exists());
    }

    #[tokio::test]
    async fn a_key_is_destroyed_when_nothing_waits_under_it() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("node.db").display());
        let store = Store::open(&crate::store::StoreUrl::new(url))
            .await
            .unwrap();
        let keys = keys(&folder.path().join("keys")).await;
        let sealed = keys.seal(b"id", b"opening").unwrap();
        let (first, later) = (sealed.epoch, Instant::now() + EPOCH);
        keys.tidy(&store, later).await.unwrap();
        assert_eq!(
            keys.known().len(),
            2,
            "a row is on its way under the old key"
        );
        let read = keys.read(b"id", &sealed).unwrap();
        assert_eq!(read.as_slice(), b"opening");
        let stored = Sealed::stored(sealed.epoch, sealed.bytes.clone());
        drop(sealed);
        keys.tidy(&store, later).await.unwrap();
        assert!(!keys.known().contains(&first));
        assert_eq!(keys.read(b"id", &stored), Err(RowKeyError::Gone));
        let files = std::fs::read_dir(folder.path().join("keys")).unwrap();
        assert_eq!(files.count(), 1);
    }
}
