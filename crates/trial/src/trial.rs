//! A running network with everything around it: what is done to it, and what is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::camera::Camera;
use crate::changes::Changes;
use crate::check::History;
use crate::load::{Book, Senders, pace};
use crate::network::Network;
use crate::plan::{Kind, Trouble};
use crate::relay::Weather;
use crate::view::{Shown, View};
use crate::watch::{Ability, Judge, Watch};

/// How many connections each validator gets.
const CONNECTIONS: usize = 4;
/// How often the plan and the judge look.
const TICK: Duration = Duration::from_millis(50);
/// How long it may take until everybody has everything, after the last trouble.
const SETTLES: Duration = Duration::from_secs(180);
/// How long somebody may need whose disk has room again, or whose clock is right again.
const RECOVERS: Duration = Duration::from_secs(10);
/// So long everything must be quiet.
const QUIET: Duration = Duration::from_millis(1500);

/// A running network with everything around it.
pub(crate) struct Trial {
    pub(crate) network: Network,
    pub(crate) watch: Arc<Watch>,
    pub(crate) book: Arc<Book>,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) view: View,
    judge: Judge,
    /// How many troubles keep each down, held or apart.
    down: Vec<usize>,
    held: Vec<usize>,
    apart: Vec<usize>,
    full: Vec<usize>,
    ahead: Vec<usize>,
    behind: Vec<usize>,
    /// When each may have been in doubt for the last time.
    doubt: Vec<Option<Instant>>,
}

impl Trial {
    /// Around a network that runs.
    pub(crate) fn new(
        network: Network,
        watch: Arc<Watch>,
        cameras: Vec<Camera>,
        view: View,
    ) -> Self {
        let size = network.members.len();
        Self {
            watch,
            book: Arc::default(),
            cameras,
            judge: Judge::new(Instant::now()),
            down: vec![0; size],
            held: vec![0; size],
            apart: vec![0; size],
            full: vec![0; size],
            ahead: vec![0; size],
            behind: vec![0; size],
            doubt: vec![None; size],
            network,
            view,
        }
    }

    /// What was decided where nothing could be, or not where it could.
    pub(crate) fn misjudged(&mut self) -> Vec<String> {
        std::mem::take(&mut self.judge.faults)
    }

    /// Offers photos, and lets happen what is planned.
    pub(crate) async fn disturb(
        &mut self,
        troubles: Vec<Trouble>,
        changes: Changes,
        length: Option<Duration>,
        rate: f64,
    ) -> anyhow::Result<()> {
        // What was accepted where a database is set back may be lost with it: nothing is sent
        // there.
        let is_set_back = |at: &usize| {
            let mut all = troubles.iter();
            all.any(|one| one.kind == Kind::Rollback && one.who.contains(at))
        };
        let members = self.network.members.iter().enumerate();
        let addresses: Vec<_> = members
            .filter(|(at, _)| !is_set_back(at))
            .map(|(_, one)| one.address())
            .collect();
        let mut senders = Senders::start(&self.book, &addresses, CONNECTIONS);
        let cameras = std::mem::take(&mut self.cameras);
        let ended = tokio::select! {
            ended = pace(&mut senders, &cameras, rate) => ended,
            ended = self.follow(troubles, changes, length) => ended,
        };
        self.cameras = cameras;
        ended
    }

    async fn follow(
        &mut self,
        troubles: Vec<Trouble>,
        mut changes: Changes,
        length: Option<Duration>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        // What begins and what ends, by time; what ends then comes first.
        let mut due = BTreeMap::new();
        for (number, trouble) in troubles.iter().enumerate() {
            due.insert((trouble.from, 1, number), (true, trouble));
            due.insert((trouble.from + trouble.lasts, 0, number), (false, trouble));
        }
        loop {
            let passed = began.elapsed();
            if length.is_some_and(|length| passed >= length) && changes.are_over() {
                return Ok(());
            }
            while let Some(next) = due.first_entry()
                && next.key().0 <= passed
            {
                let (begins, trouble) = next.remove();
                self.happen(trouble, begins)?;
            }
            if let Some(words) = changes.turn(&mut self.network, passed).await? {
                self.view.say(&words);
            }
            self.look()?;
            tokio::time::sleep(TICK).await;
        }
    }

    fn happen(&mut self, trouble: &Trouble, begins: bool) -> anyhow::Result<()> {
        let counts = match trouble.kind {
            Kind::Kill => &mut self.down,
            Kind::Pause => &mut self.held,
            Kind::Partition => &mut self.apart,
            Kind::Full => &mut self.full,
            Kind::Ahead => &mut self.ahead,
            Kind::Behind => &mut self.behind,
            Kind::Rollback => return self.set_back(trouble, begins),
        };
        for who in &trouble.who {
            if let Some(count) = counts.get_mut(*who) {
                *count = if begins {
                    *count + 1
                } else {
                    count.saturating_sub(1)
                };
            }
        }
        self.apply()?;
        self.say(trouble, begins);
        Ok(())
    }

    /// Keeps a snapshot of databases, or puts it in place: without warning, as when a volume is
    /// rolled back under a machine.
    fn set_back(&mut self, trouble: &Trouble, begins: bool) -> anyhow::Result<()> {
        for who in &trouble.who {
            let Some(member) = self.network.members.get_mut(*who) else {
                continue;
            };
            member.kill()?;
            match begins {
                true => member.snapshot()?,
                false => member.set_back()?,
            }
        }
        self.apply()?;
        self.say(trouble, begins);
        Ok(())
    }

    fn say(&mut self, trouble: &Trouble, begins: bool) {
        let numbers: Vec<_> = trouble
            .who
            .iter()
            .map(|who| (who + 1).to_string())
            .collect();
        let [first, last] = trouble.kind.words();
        let words = if begins { first } else { last };
        let (connected, quorum) = (self.network.connected(), self.network.quorum());
        self.view.say(&format!(
            "{} {words}: {connected} connected, {quorum} needed",
            numbers.join(", ")
        ));
    }

    /// Makes everybody what the troubles say.
    fn apply(&mut self) -> anyhow::Result<()> {
        let clocks = self.ahead.iter().zip(&self.behind);
        let troubled = self.down.iter().zip(&self.held);
        let troubled = troubled.zip(self.full.iter().zip(clocks));
        for (member, ((down, held), (full, (ahead, behind)))) in
            self.network.members.iter_mut().zip(troubled)
        {
            member.set_clock(*ahead, *behind)?;
            if *down > 0 {
                member.kill()?;
            }
            member.set_full(*full > 0)?;
            member.pause(*held > 0)?;
            if *down == 0 {
                member.start()?;
            }
        }
        let parts: Vec<_> = self
            .apart
            .iter()
            .map(|count| usize::from(*count > 0))
            .collect();
        self.network.divide(&parts);
        Ok(())
    }

    /// Lets the judge look, and shows what is seen.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        for member in &mut self.network.members {
            member.still_runs()?;
        }
        let now = Instant::now();
        let ability = self.ability(now);
        let (top, waits) = (self.watch.top(), self.watch.waiting() > 0);
        self.judge.look(now, ability, top, waits);
        if !self.view.is_due() {
            return Ok(());
        }
        let states: Vec<_> = (0..self.down.len()).map(|at| self.state(at)).collect();
        self.view.show(&Shown {
            seen: &self.watch.seen(),
            states: &states,
            accepted: self.book.accepted(),
            can_decide: ability != Ability::No,
        });
        Ok(())
    }

    /// Whether the network can decide: with those whose disk is full or whose clock is wrong, and
    /// without them.
    fn ability(&mut self, now: Instant) -> Ability {
        let troubled = self.full.iter().zip(self.ahead.iter().zip(&self.behind));
        for (doubt, (full, (ahead, behind))) in self.doubt.iter_mut().zip(troubled) {
            if full + ahead + behind > 0 {
                *doubt = Some(now);
            }
        }
        let in_doubt = |last: &Option<Instant>| last.is_some_and(|last| now - last < RECOVERS);
        let doubtful: Vec<_> = self.doubt.iter().map(in_doubt).collect();
        let quorum = self.network.quorum();
        match self.network.connected_without(&doubtful) >= quorum {
            true => Ability::Yes,
            false if self.network.connected() >= quorum => Ability::Perhaps,
            false => Ability::No,
        }
    }

    fn state(&self, at: usize) -> &'static str {
        let is_in = |counts: &[usize]| counts.get(at).is_some_and(|count| *count > 0);
        match () {
            () if is_in(&self.down) => "down",
            () if is_in(&self.held) => "held",
            () if is_in(&self.apart) => "cut off",
            () if is_in(&self.full) => "full",
            () if is_in(&self.ahead) || is_in(&self.behind) => "wrong time",
            () if !self.network.is_validator(at) => "follows",
            () => "up",
        }
    }

    /// Ends all troubles and waits until everybody has everything. What is wrong if they do not.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<Vec<String>> {
        let all = [
            [&mut self.down, &mut self.held, &mut self.apart],
            [&mut self.full, &mut self.ahead, &mut self.behind],
        ];
        for counts in all.into_iter().flatten() {
            counts.fill(0);
        }
        self.network.set_weather(Weather::default());
        self.apply()?;
        self.view.say("no more photos, no more troubles");
        let began = Instant::now();
        let mut quiet_since = None;
        loop {
            self.look()?;
            let states = self.watch.each(|seen| {
                let waits = seen.queue + seen.pool;
                (seen.answers, seen.height(), seen.records, waits)
            });
            let first = states.first();
            let is_quiet = states
                .iter()
                .all(|state| Some(state) == first && state.0 && state.3 == 0);
            let since = *quiet_since.get_or_insert(Instant::now());
            match is_quiet {
                true if since.elapsed() >= QUIET => {
                    let seconds = since.duration_since(began).as_secs_f64();
                    self.view
                        .say(&format!("everybody has everything after {seconds:.1} s"));
                    return Ok(Vec::new());
                }
                true => {}
                false => quiet_since = None,
            }
            if began.elapsed() > SETTLES {
                let seconds = SETTLES.as_secs();
                return Ok(vec![format!(
                    "not everybody has everything after {seconds} s (answers, height, records, waiting): {states:?}"
                )]);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Stops all, and reads what they have.
    pub(crate) async fn histories(&mut self) -> anyhow::Result<Vec<History>> {
        self.judge.end(Instant::now());
        let mut histories = Vec::new();
        self.watch.end();
        for member in &self.network.members {
            member.ask_to_stop()?;
        }
        for member in &mut self.network.members {
            member.stopped()?;
        }
        for member in &self.network.members {
            histories.push(History::read(member, &self.network.genesis).await?);
        }
        ensure!(!histories.is_empty(), "there is no history");
        Ok(histories)
    }

    pub(crate) fn conclude(&mut self, faults: &[String], histories: &[History], seed: u64) {
        let pages = self.book.open().clone();
        let blocks = histories.first().map_or(0, |history| history.blocks.len());
        let accepted = pages.accepted.len();
        let lines = [
            format!(
                "{accepted} photos accepted, {} without an answer, {} refused, {} not sent",
                pages.unknown.len(),
                pages.refused,
                pages.unsent
            ),
            format!(
                "stood still for {:.1} s, as it must; the longest wait for a block otherwise was {:.1} s",
                self.judge.stood.as_secs_f64(),
                self.judge.longest.as_secs_f64()
            ),
        ];
        for line in lines.iter().chain(&pages.refusal) {
            self.view.print(line);
        }
        for fault in faults {
            self.view.print(&format!("WRONG: {fault}"));
        }
        if faults.is_empty() {
            self.view.print(&format!(
                "All went as it must: {blocks} blocks, the same bytes at all {}, and each of {accepted} accepted photos once in each.",
                histories.len()
            ));
        } else {
            self.view.print(&format!("To try it again: --seed {seed}"));
        }
    }
}
