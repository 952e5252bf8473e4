//! What is seen of the validators while they run: when each had which block, and how it is doing.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use birthmark_protocol::api::Status;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

use crate::http::{self, Connection};

/// How often each is asked how it is doing.
const EVERY: Duration = Duration::from_millis(400);
/// After this long without an answer it counts as silent.
const SILENT: Duration = Duration::from_millis(1500);

/// Everything seen so far.
pub(crate) struct Watch {
    members: Vec<Mutex<Seen>>,
    tasks: Mutex<JoinSet<()>>,
}

/// What was seen of one validator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) answers: bool,
    /// The attempt at the next block; none while nothing waits.
    pub(crate) round: Option<i64>,
    /// How many others it reaches.
    pub(crate) linked: usize,
    pub(crate) records: u64,
    /// Submissions that wait for the authority.
    pub(crate) queue: u64,
    /// Records that wait for a block.
    pub(crate) pool: u64,
    /// When it had each block.
    had: Vec<Instant>,
}

impl Seen {
    pub(crate) const fn height(&self) -> u64 {
        self.had.len() as u64
    }

    fn has(&mut self, height: u64) {
        // Blocks that came together were had together.
        while self.height() < height {
            self.had.push(Instant::now());
        }
    }
}

impl Watch {
    /// Watches the validators at these addresses from now on.
    pub(crate) fn start(addresses: &[SocketAddr]) -> Arc<Self> {
        Arc::new_cyclic(|watch: &std::sync::Weak<Self>| {
            let mut tasks = JoinSet::new();
            for (at, address) in addresses.iter().copied().enumerate() {
                let of = One {
                    watch: watch.clone(),
                    at,
                    address,
                };
                tasks.spawn(of.clone().listen());
                tasks.spawn(of.sample());
            }
            let members = addresses.iter().map(|_| Mutex::default());
            Self {
                members: members.collect(),
                tasks: Mutex::new(tasks),
            }
        })
    }

    /// Looks no more: a validator that is asked to stop waits for those who listen to it.
    pub(crate) fn end(&self) {
        lock(&self.tasks).abort_all();
    }

    /// What was seen of each, in their order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.members.iter().map(|seen| lock(seen).clone()).collect()
    }

    /// What is needed of each while it runs, without its whole past.
    pub(crate) fn each<T>(&self, of: impl Fn(&Seen) -> T) -> Vec<T> {
        self.members.iter().map(|seen| of(&lock(seen))).collect()
    }

    /// The height of the one that is furthest.
    pub(crate) fn top(&self) -> u64 {
        self.each(Seen::height).into_iter().max().unwrap_or(0)
    }

    /// How much waits anywhere, as far as is known.
    pub(crate) fn waiting(&self) -> u64 {
        self.each(|seen| seen.queue + seen.pool).into_iter().sum()
    }
}

/// When all of these validators had a block.
pub(crate) fn had_by_all(seen: &[Seen], members: &[usize], height: u64) -> Option<Instant> {
    let place = usize::try_from(height).ok()?.checked_sub(1)?;
    let had = members
        .iter()
        .map(|at| seen.get(*at)?.had.get(place).copied());
    had.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn lock<T>(locked: &Mutex<T>) -> MutexGuard<'_, T> {
    locked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct One {
    watch: std::sync::Weak<Watch>,
    at: usize,
    address: SocketAddr,
}

impl One {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        if let Some(watch) = self.watch.upgrade()
            && let Some(seen) = watch.members.get(self.at)
        {
            note(&mut lock(seen));
        }
    }

    /// Hears of each block when it is stored.
    async fn listen(self) {
        loop {
            // It may be down, or be started again: it is listened to as long as it talks.
            let _ = self.hear().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn hear(&self) -> io::Result<()> {
        let connection = Connection::open(self.address).await?;
        let stream = connection
            .listen(&http::get("/api/v1/events/blocks"))
            .await?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(line) = lines.next_line().await? {
            let Some(data) = line.strip_prefix("data:") else {
                continue;
            };
            let Ok(block) = serde_json::from_str::<Value>(data) else {
                continue;
            };
            let number = |name: &str| block.get(name).and_then(Value::as_u64);
            if let (Some(height), Some(records)) = (number("block_height"), number("tree_size")) {
                self.note(|seen| {
                    seen.has(height);
                    seen.records = seen.records.max(records);
                });
            }
        }
        Ok(())
    }

    async fn sample(self) {
        let mut connection = None;
        loop {
            let asked = tokio::time::timeout(SILENT, self.look(&mut connection)).await;
            if !matches!(asked, Ok(Ok(()))) {
                connection = None;
                self.note(|seen| seen.answers = false);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self, kept: &mut Option<Connection>) -> io::Result<()> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let (_, body) = connection.send(&http::get("/api/v1/status")).await?;
        let status: Status = serde_json::from_slice(body).map_err(io::Error::other)?;
        let (_, body) = connection.send(&http::get("/metrics")).await?;
        let text = String::from_utf8_lossy(body).into_owned();
        *kept = Some(connection);
        self.note(|seen| {
            seen.answers = true;
            seen.has(status.block_height);
            seen.records = seen.records.max(status.total_hashes);
            seen.queue = status.pending_submissions;
            seen.pool = status.validated_submissions;
            seen.round = metric(&text, "network_round").filter(|round| *round >= 0);
            seen.linked = status.members.iter().filter(|one| one.is_linked).count();
        });
        Ok(())
    }
}

fn metric(text: &str, name: &str) -> Option<i64> {
    let value = |line: &str| {
        let rest = line.strip_prefix("birthmark_node_")?.strip_prefix(name)?;
        rest.strip_prefix(' ')?.trim().parse().ok()
    };
    text.lines().find_map(value)
}

/// Whether the network can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    Yes,
    /// With those whose disk is full or whose clock is wrong; nothing can be said of it.
    Perhaps,
    No,
}

/// Watches that the network decides where it can, and only there.
#[derive(Debug)]
pub(crate) struct Judge {
    ability: Ability,
    since: Instant,
    /// The height at which nothing was decided any more.
    stood_at: Option<u64>,
    top: u64,
    progress: Instant,
    is_told: bool,
    /// The longest that it took although it could.
    pub(crate) longest: Duration,
    /// How long it could not decide, in sum.
    pub(crate) stood: Duration,
    pub(crate) faults: Vec<String>,
}

impl Judge {
    /// What was cast before the others were cut off may still arrive.
    const GRACE: Duration = Duration::from_secs(2);
    /// Links and rounds need this long at most to come together again.
    const TOGETHER: Duration = Duration::from_secs(45);

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            ability: Ability::Yes,
            since: now,
            stood_at: None,
            top: 0,
            progress: now,
            is_told: false,
            longest: Duration::ZERO,
            stood: Duration::ZERO,
            faults: Vec::new(),
        }
    }

    /// At this moment it can decide or not, this is the greatest height, and so much waits.
    pub(crate) fn look(&mut self, now: Instant, ability: Ability, top: u64, is_waiting: bool) {
        if ability != self.ability {
            if self.ability == Ability::No {
                self.stood += now.saturating_duration_since(self.since);
            }
            (self.ability, self.since) = (ability, now);
            (self.stood_at, self.is_told) = (None, false);
        }
        if top > self.top || !is_waiting {
            (self.top, self.progress) = (top, now);
        }
        let since = now.saturating_duration_since(self.since);
        if ability == Ability::Yes {
            let stands = now.saturating_duration_since(self.progress.max(self.since));
            self.longest = self.longest.max(stands);
            if stands > Self::TOGETHER && !self.is_told {
                self.is_told = true;
                let seconds = stands.as_secs();
                self.faults.push(format!(
                    "nothing was decided after block {top} for {seconds} s, although more than two thirds were connected"
                ));
            }
        } else if ability == Ability::No && since > Self::GRACE {
            let stood_at = *self.stood_at.get_or_insert(top);
            // One block may follow from votes that were cast before.
            if top > stood_at + 1 && !self.is_told {
                self.is_told = true;
                self.faults.push(format!(
                    "block {top} was decided although not more than two thirds were connected since block {stood_at}"
                ));
            }
        }
    }

    /// The end: whatever stands still, stands still until now.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.ability == Ability::No {
            self.stood += now.saturating_duration_since(self.since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn deciding_without_two_thirds_is_a_fault_and_one_block_more_is_none() {
        let began = Instant::now();
        let mut judge = Judge::new(began);
        judge.look(began, Ability::Yes, 5, true);
        judge.look(began + seconds(1), Ability::No, 5, true);
        judge.look(began + seconds(4), Ability::No, 6, true);
        judge.look(began + seconds(5), Ability::No, 7, true);
        assert!(judge.faults.is_empty(), "{:?}", judge.faults);
        judge.look(began + seconds(6), Ability::No, 8, true);
        assert!(
            judge.faults[0].contains("block 8 was decided"),
            "{:?}",
            judge.faults
        );
        judge.look(began + seconds(7), Ability::Yes, 8, true);
        assert_eq!(judge.stood, seconds(6));
    }

    #[test]
    fn standing_still_with_two_thirds_is_a_fault_only_if_something_waits() {
        let began = Instant::now();
        let mut judge = Judge::new(began);
        judge.look(began + seconds(100), Ability::Yes, 5, false);
        judge.look(began + seconds(130), Ability::Yes, 5, true);
        assert!(judge.faults.is_empty(), "{:?}", judge.faults);
        judge.look(began + seconds(200), Ability::Yes, 5, true);
        assert_eq!(judge.faults.len(), 1, "{:?}", judge.faults);
        judge.look(began + seconds(201), Ability::Yes, 5, true);
        assert_eq!(judge.faults.len(), 1, "it is said once");
        // With one vote in doubt, neither a block nor none is a fault.
        judge.look(began + seconds(202), Ability::Perhaps, 5, true);
        judge.look(began + seconds(300), Ability::Perhaps, 9, true);
        judge.look(began + seconds(400), Ability::Perhaps, 9, true);
        assert_eq!(judge.faults.len(), 1, "{:?}", judge.faults);
    }

    #[test]
    fn a_number_is_found_among_the_metrics() {
        let text =
            "# HELP birthmark_node_round x\nbirthmark_node_round -1\nbirthmark_node_rounds 3\n";
        assert_eq!(metric(text, "round"), Some(-1));
        assert_eq!(metric(text, "heights"), None);
    }
}
