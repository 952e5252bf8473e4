//! One process at a time: while the node runs, commands that change its database are refused, and a
//! second node as well.
//!
//! The lock is on the folder of the row keys, which every node has on its own machine whatever its
//! database is. The kernel gives it back when the process ends, however it ends; no file is made,
//! so none is left behind or belongs to somebody else.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a lock that is held is tried: a node that is just stopping lets go of it within a
/// moment.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Held by the process that may change the node's database.
#[derive(Debug)]
pub struct NodeLock {
    _folder: File,
}

impl NodeLock {
    /// Takes the lock on this folder, or `None` if another process has it.
    pub fn take(folder: &Path) -> anyhow::Result<Option<Self>> {
        let named = || format!("cannot lock {}", folder.display());
        let file = File::open(folder).with_context(named)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _folder: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(named),
        }
    }

    /// Takes the lock, waiting for a process that is just stopping.
    pub async fn wait(folder: &Path) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            if let Some(lock) = Self::take(folder)? {
                return Ok(lock);
            }
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::bail!(
            "another process works with this node's database ({} is locked)",
            folder.display()
        )
    }

    /// For a command that changes the database: refused while the node runs. A folder that is not
    /// there belongs to a node that never ran.
    pub fn for_command(folder: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let Some(folder) = folder.filter(|folder| folder.exists()) else {
            return Ok(None);
        };
        let lock = Self::take(folder)?;
        anyhow::ensure!(
            lock.is_some(),
            "the node is running; stop it first (`systemctl stop birthmark-node`)"
        );
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holds_it_until_he_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let lock = NodeLock::take(folder.path()).unwrap().unwrap();
        assert!(NodeLock::take(folder.path()).unwrap().is_none());
        let refused = NodeLock::for_command(Some(folder.path())).unwrap_err();
        assert!(refused.to_string().contains("stop it first"));
        drop(lock);
        NodeLock::wait(folder.path()).await.unwrap();
        let missing = folder.path().join("never");
        assert!(NodeLock::for_command(Some(&missing)).unwrap().is_none());
    }
}
