//! The log of the height that runs: what this validator heard, judged and said, so that after a
//! crash it says the same.
//!
//! One file a height, named by it. It begins with `birthmark/log/v1`, a zero byte, the genesis hash
//! and the height; then entries, each `u32 length ‖ u32 CRC-32 of what follows ‖ bytes`. A file of
//! an earlier height is removed when the next begins: the block and its certificate are in the
//! database by then.
//!
//! Whoever can change these files can make this validator contradict itself, together with an old
//! backup of the guard.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use birthmark_daemon::durable;
use birthmark_ledger::{Height, ValidatorId};
use birthmark_protocol::Digest;
use birthmark_protocol::bytes::{DecodeError, Reader};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::engine::{Entry, Timer, TimerKind};
use crate::message::{MAX_MESSAGE_BYTES, SignedProposal, SignedVote, VoteBundle};

const MAGIC: &[u8] = b"birthmark/log/v1\0";
const HEADER_BYTES: usize = MAGIC.len() + 32 + 8;

/// The log.
#[derive(Debug)]
pub(crate) struct Wal {
    folder: PathBuf,
    chain: Digest,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Whether something was written that may not be on the disk yet.
    is_dirty: bool,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalError {
    /// The disk.
    #[error("the log of height {height} in {folder}: {error}")]
    Io {
        height: Height,
        folder: PathBuf,
        error: io::Error,
    },
    /// It was changed, or the disk is failing: nobody knows what was signed.
    #[error("the log of height {height} in {folder} is damaged: {reason}")]
    Damaged {
        height: Height,
        folder: PathBuf,
        reason: String,
    },
}

/// How a file's bytes end.
enum Parsed {
    /// These entries; whatever follows this many bytes was being written when we stopped, and
    /// nothing followed from it.
    Entries(Vec<Entry>, u64),
    Damaged(String),
}

impl Wal {
    /// Logs in this folder, which is made if it is not there.
    pub(crate) fn new(folder: &Path, chain: Digest) -> io::Result<Self> {
        durable::make_private_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            chain,
            open: None,
        })
    }

    /// Whether something was logged at this height.
    pub(crate) fn holds(&self, height: Height) -> bool {
        self.path(height).exists()
    }

    /// Turns to a height: reads what was logged there, or begins a new file. Files of earlier
    /// heights go.
    pub(crate) fn begin(&mut self, height: Height) -> Result<Vec<Entry>, WalError> {
        self.open = None;
        let path = self.path(height);
        let named = |error| self.io(height, error);
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(named)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(named)?;
        let head = self.head(height);
        let entries = match self.parse(&bytes, &head) {
            Parsed::Damaged(reason) => {
                return Err(WalError::Damaged {
                    height,
                    folder: self.folder.clone(),
                    reason,
                });
            }
            Parsed::Entries(entries, length) => {
                file.set_len(length).map_err(named)?;
                file.seek(SeekFrom::End(0)).map_err(named)?;
                entries
            }
        };
        if entries.is_empty() {
            file.set_len(0).map_err(named)?;
            file.write_all(&head).map_err(named)?;
        }
        // If we stop before this, the file is not there, and nothing was signed yet.
        file.sync_all().map_err(named)?;
        durable::sync_folder(&self.folder).map_err(named)?;
        self.remove_others(&path).map_err(named)?;
        self.open = Some(Open {
            file,
            is_dirty: false,
        });
        Ok(entries)
    }

    /// Writes an entry; [`Wal::flush`] forces it to the disk.
    pub(crate) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Err(io::Error::other("no height was begun"));
        };
        let body = encode(entry);
        let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
        bytes.extend(crc32fast::hash(&body).to_be_bytes());
        bytes.extend(body);
        open.is_dirty = true;
        open.file.write_all(&bytes)
    }

    /// Forces everything to the disk. Until this returned, nothing that depends on an entry may
    /// leave this machine.
    ///
    /// It takes milliseconds in which nothing else on this thread runs; where there are other
    /// threads, they take its work.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(open) = self.open.as_mut().filter(|open| open.is_dirty) else {
            return Ok(());
        };
        let runtime = Handle::try_current().map(|handle| handle.runtime_flavor());
        match runtime {
            Ok(RuntimeFlavor::MultiThread) => {
                tokio::task::block_in_place(|| open.file.sync_data())?;
            }
            _ => open.file.sync_data()?,
        }
        open.is_dirty = false;
        Ok(())
    }

    fn path(&self, height: Height) -> PathBuf {
        self.folder.join(format!("{:020}.log", height.get()))
    }

    fn head(&self, height: Height) -> Vec<u8> {
        let height = height.get().to_be_bytes();
        [MAGIC, self.chain.as_bytes(), &height].concat()
    }

    fn io(&self, height: Height, error: io::Error) -> WalError {
        WalError::Io {
            height,
            folder: self.folder.clone(),
            error,
        }
    }

    fn remove_others(&self, keep: &Path) -> io::Result<()> {
        for found in std::fs::read_dir(&self.folder)? {
            let path = found?.path();
            let is_log = path.extension().is_some_and(|extension| extension == "log");
            // A log of a later height is what is left of a database that was set back: it stays.
            if is_log && *path < *keep {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn parse(&self, bytes: &[u8], head: &[u8]) -> Parsed {
        // A file that is shorter than its head was being made.
        let Some((found, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Parsed::Entries(Vec::new(), 0);
        };
        if found != head {
            return match found.iter().all(|byte| *byte == 0) {
                true => Parsed::Entries(Vec::new(), 0),
                false => Parsed::Damaged("it is of another registry or height".into()),
            };
        }
        let mut entries = Vec::new();
        loop {
            let length = bytes.len() - rest.len();
            let torn = |entries| Parsed::Entries(entries, length as u64);
            let Some((frame, after)) = rest.split_first_chunk::<8>() else {
                return torn(entries);
            };
            // After a power failure a file can be longer than what was written, and zero there.
            if rest.iter().all(|byte| *byte == 0) {
                return torn(entries);
            }
            let [a, b, c, d, e, f, g, h] = *frame;
            let size = u32::from_be_bytes([a, b, c, d]) as usize;
            if size > MAX_MESSAGE_BYTES {
                return Parsed::Damaged(format!("the entry at byte {length} has no size"));
            }
            let Some((body, next)) = after.split_at_checked(size) else {
                return torn(entries);
            };
            let is_whole = crc32fast::hash(body) == u32::from_be_bytes([e, f, g, h]);
            match decode(body, &self.chain) {
                Ok(entry) if is_whole => entries.push(entry),
                _ if next.is_empty() => return torn(entries),
                _ => return Parsed::Damaged(format!("the entry at byte {length} was changed")),
            }
            rest = next;
        }
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    match entry {
        Entry::Vote(vote) => {
            out.push(1);
            vote.put(&mut out);
        }
        Entry::Proposal(proposal) => {
            out.push(2);
            proposal.put(&mut out);
        }
        Entry::Polka(votes) => {
            out.push(3);
            votes.put(&mut out);
        }
        Entry::Judged {
            round,
            proposer,
            block,
            is_valid,
        } => {
            out.push(4);
            out.extend(round.to_be_bytes());
            out.extend(proposer.as_bytes());
            out.extend(block.as_bytes());
            out.push(u8::from(*is_valid));
        }
        Entry::Timeout(timer) => {
            out.push(5);
            out.push(match timer.kind {
                TimerKind::Propose => 1,
                TimerKind::Prevote => 2,
                TimerKind::Precommit => 3,
                TimerKind::Rebroadcast => 4,
            });
            out.extend(timer.round.to_be_bytes());
        }
        Entry::Body(body) => {
            out.push(6);
            out.extend_from_slice(body);
        }
    }
    out
}

fn decode(bytes: &[u8], chain: &Digest) -> Result<Entry, DecodeError> {
    let mut reader = Reader::new(bytes);
    let entry = match reader.byte("kind of entry")? {
        1 => Entry::Vote(SignedVote::take(&mut reader, chain)?),
        2 => Entry::Proposal(SignedProposal::take(&mut reader, chain)?),
        3 => Entry::Polka(VoteBundle::take(&mut reader, chain)?),
        4 => Entry::Judged {
            round: u32::from_be_bytes(reader.array("round")?),
            proposer: ValidatorId::from_bytes(reader.array("proposer")?),
            block: reader.array("block")?.into(),
            is_valid: reader.flag("judgement")?,
        },
        5 => {
            let kind = match reader.byte("kind of timer")? {
                1 => TimerKind::Propose,
                2 => TimerKind::Prevote,
                3 => TimerKind::Precommit,
                4 => TimerKind::Rebroadcast,
                _ => return Err(DecodeError::Value("kind of timer")),
            };
            let round = u32::from_be_bytes(reader.array("round")?);
            Entry::Timeout(Timer { kind, round })
        }
        6 => Entry::Body(reader.slice(reader.remaining(), "body")?.into()),
        _ => return Err(DecodeError::Value("kind of entry")),
    };
    reader.end()?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(round: u32) -> Entry {
        Entry::Timeout(Timer {
            kind: TimerKind::Propose,
            round,
        })
    }

    fn body(byte: u8) -> Entry {
        Entry::Body(vec![byte; 300].into())
    }

    async fn written(folder: &Path) -> (Wal, PathBuf) {
        let mut wal = Wal::new(folder, Digest::of(b"chain")).unwrap();
        assert!(wal.begin(Height::new(7)).unwrap().is_empty());
        wal.append(&timer(1)).unwrap();
        wal.append(&body(2)).unwrap();
        wal.append(&timer(3)).unwrap();
        wal.flush().unwrap();
        let path = wal.path(Height::new(7));
        (wal, path)
    }

    #[tokio::test]
    async fn what_was_logged_is_read_again_and_goes_with_the_next_height() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, path) = written(folder.path()).await;
        let read = wal.begin(Height::new(7)).unwrap();
        assert_eq!(read, [timer(1), body(2), timer(3)]);
        wal.append(&timer(4)).unwrap();
        assert_eq!(wal.begin(Height::new(7)).unwrap().len(), 4);
        assert!(wal.begin(Height::new(8)).unwrap().is_empty());
        assert!(!path.exists(), "the log of a decided height goes");
    }

    #[tokio::test]
    async fn every_torn_end_leaves_the_entries_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, path) = written(folder.path()).await;
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let read = wal.begin(Height::new(7)).unwrap();
            assert!(read.len() < 3);
            assert!([timer(1), body(2), timer(3)].starts_with(&read));
            // What is appended after it is read.
            wal.append(&timer(9)).unwrap();
            assert_eq!(wal.begin(Height::new(7)).unwrap().last(), Some(&timer(9)));
        }
        let zeros = [whole.as_slice(), &[0; 40]].concat();
        std::fs::write(&path, zeros).unwrap();
        assert_eq!(wal.begin(Height::new(7)).unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_change_before_the_end_is_an_error_and_not_an_empty_log() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, path) = written(folder.path()).await;
        let whole = std::fs::read(&path).unwrap();
        let second = HEADER_BYTES + 8 + encode(&timer(1)).len() + 8;
        for place in [0, 20, HEADER_BYTES + 8, second + 100] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let error = wal.begin(Height::new(7)).unwrap_err();
            assert!(
                matches!(error, WalError::Damaged { .. }),
                "byte {place}: {error}"
            );
        }
    }

    #[test]
    fn another_registry_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut wal = Wal::new(folder.path(), Digest::of(b"one")).unwrap();
        wal.begin(Height::new(1)).unwrap();
        let mut other = Wal::new(folder.path(), Digest::of(b"other")).unwrap();
        assert!(matches!(
            other.begin(Height::new(1)),
            Err(WalError::Damaged { .. })
        ));
    }
}
