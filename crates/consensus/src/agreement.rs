//! A network of validators: one member's part in deciding block after block.
//!
//! Around the engine, which knows rules and nothing else, stand here the links to the other
//! members, the log that survives a crash, the blocks themselves with their evidence, fetching what
//! was missed, and cosignatures. What is lost on a link is said again: votes by a timer, blocks
//! when they are asked for, decided blocks when somebody turns out to be behind.
//!
//! What keeps a member from contradicting itself, in the order in which it happens:
//!
//! 1. [`Shared::promise`] remembers the height, apart from the database, before the first vote
//!    there leaves;
//! 2. everything a vote follows from is in the log, and the log on the disk, before the vote
//!    leaves;
//! 3. after a crash the log is replayed: the same votes and the same proposal are sent again;
//! 4. a database that is older than the promise, or a log that is gone or damaged, makes this
//!    member abstain until the network has passed every height at which it may have voted. It says
//!    so, and goes on serving and fetching.
//!
//! A fault of our own database never becomes a verdict about others: the block stays unjudged and
//! is judged again. So does a block that is ahead of our clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use birthmark_ledger::{
    BlockTime, ChainId, CheckpointKey, Height, KeyName, Tip, ValidatorId, ValidatorSet, VoteSigner,
};
use birthmark_protocol::Digest;
use tokio::sync::{Notify, mpsc, watch};

use crate::application::Shared;
use crate::engine::{Event, Machine, MachineError, Timer};
use crate::message::{Message, SignedVote};
use crate::misbehaviour::Misbehaviour;
use crate::pacing::{Due, Pacer, Pacing};
use crate::single::{ValidatorKeys, is_of};
use crate::wal::Wal;

mod attendance;
mod bare_bodies;
mod bodies;
mod catch_up;
mod cosigning;
mod height;
mod state;
mod timing;

pub use state::{MemberState, NetworkState, Votes};
pub use timing::Timing;

use attendance::Attendance;
use bodies::{Bodies, Sent};
use catch_up::CatchUp;
use cosigning::Cosigning;

/// The pause after our own store failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// The pause after which a height is begun again when the engine or the key failed.
const AFTER_BREAKDOWN: Duration = Duration::from_secs(1);
/// How many messages are taken before timers are looked at.
const MESSAGES_AT_ONCE: usize = 64;

/// The way to the other members. Messages may be lost, doubled and reordered; nothing here waits.
pub trait Links: Send + Sync {
    /// To everybody that can be reached, members and followers: what anybody may know.
    fn broadcast(&self, message: &Message);

    /// To the others of these validators. Proposed blocks carry evidence, which nobody else is to
    /// see.
    fn to_members(&self, members: &ValidatorSet, message: &Message);

    /// To one member.
    fn send(&self, to: &KeyName, message: &Message);
}

/// A moment, as the time since some moment that does not change while the program runs.
pub type Moment = Duration;

/// The time, told from outside.
pub trait Clock: Send + Sync {
    /// For blocks and people. It may be set.
    fn now(&self) -> BlockTime;

    /// For waiting. It never goes back.
    fn passed(&self) -> Moment;

    /// Returns at that moment or after it.
    fn wait_until(&self, moment: Moment) -> impl Future<Output = ()> + Send;
}

/// Why a member stops taking part.
#[derive(Debug, thiserror::Error)]
pub enum AgreementError {
    /// Going on could contradict what was signed before. Starting again by itself is not safe
    /// either.
    #[error("this validator stops voting, so that it cannot contradict itself: {0}")]
    Unsafe(String),
    /// A block that was decided is not valid by this program's rules, or its own key is of no use.
    /// Starting again does not help; another version may.
    #[error("this program cannot follow the network: {0}")]
    Defect(String),
}

/// How a member takes part.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The registry's name.
    pub chain_id: ChainId,
    /// Where the log of the height that runs is kept.
    pub log_folder: PathBuf,
    /// When heights begin.
    pub pacing: Pacing,
    /// How long the others are waited for.
    pub timing: Timing,
}

/// One member.
pub struct Agreement<A, V, L, C> {
    application: A,
    links: L,
    clock: C,
    vote_key: Arc<V>,
    checkpoint_key: CheckpointKey,
    own: ValidatorId,
    chain_id: ChainId,
    timing: Timing,
    tip: Tip,
    machine: Machine<V>,
    pacer: Pacer,
    wal: Wal,
    /// The height after the tip, once it runs.
    running: Option<Running>,
    bodies: Bodies,
    timers: Vec<(Moment, Timer)>,
    /// After a breakdown: when to begin the height again.
    again: Option<Moment>,
    catch_up: CatchUp,
    attendance: Attendance,
    cosigning: Cosigning,
    unreported: Vec<Misbehaviour>,
    backlog_at: Moment,
    state: watch::Sender<NetworkState>,
}

/// What is known of the height that runs.
#[derive(Debug)]
struct Running {
    /// Whether we vote. Nothing is logged where we do not.
    votes: bool,
    /// Whether [`Shared::promise`] holds this height.
    is_promised: bool,
    /// A block is wanted from us, for this round, since then.
    build: Option<(u32, Moment)>,
}

impl<A: Shared, V: VoteSigner + Send + Sync, L: Links, C: Clock> Agreement<A, V, L, C> {
    /// A member that stands where its store ends.
    pub async fn open(
        application: A,
        links: L,
        clock: C,
        keys: ValidatorKeys<V>,
        membership: Membership,
    ) -> Result<Self, OpenError<A::Error>> {
        let Membership {
            chain_id,
            log_folder,
            pacing,
            timing,
        } = membership;
        let tip = application.tip().await.map_err(OpenError::Application)?;
        let wal = Wal::new(&log_folder, *tip.chain()).map_err(OpenError::Log)?;
        let vote_key = Arc::new(keys.vote);
        let next = tip.height().next();
        let machine = Machine::new(*tip.chain(), Arc::clone(&vote_key), next, tip.validators());
        let now = clock.passed();
        let mut member = Self {
            own: *machine.own(),
            application,
            links,
            clock,
            vote_key,
            checkpoint_key: keys.checkpoint,
            chain_id,
            timing,
            machine,
            pacer: Pacer::new(pacing, next),
            wal,
            running: None,
            bodies: Bodies::default(),
            timers: Vec::new(),
            again: None,
            catch_up: CatchUp::new(now),
            attendance: Attendance::default(),
            cosigning: Cosigning::default(),
            unreported: Vec::new(),
            backlog_at: now,
            state: watch::Sender::new(NetworkState::new(next)),
            tip,
        };
        // A height in which we may have voted is begun at once: others may wait for what we said.
        if member.wal.holds(next) {
            member.again = Some(now);
        }
        member
            .remember_uncosigned()
            .await
            .map_err(OpenError::Application)?;
        Ok(member)
    }

    /// What is known about the network, as it changes.
    pub fn state(&self) -> watch::Receiver<NetworkState> {
        self.state.subscribe()
    }

    /// Takes part until `stop`. Each message comes with the name of the member whose link brought
    /// it; `pooled` tells that something new waits for a block.
    pub async fn run(
        mut self,
        inbox: mpsc::Receiver<(KeyName, Message)>,
        pooled: Arc<Notify>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), AgreementError> {
        // Stopping in the middle of anything is as a crash is, and loses nothing.
        let outcome = tokio::select! {
            outcome = self.drive(inbox, pooled) => outcome,
            () = stop => Ok(()),
        };
        if let Err(error) = &outcome {
            let reason = error.to_string();
            self.state.send_modify(|state| state.stopped = Some(reason));
        }
        outcome
    }

    async fn drive(
        &mut self,
        mut inbox: mpsc::Receiver<(KeyName, Message)>,
        pooled: Arc<Notify>,
    ) -> Result<(), AgreementError> {
        self.links.broadcast(&Message::Status(self.tip.height()));
        loop {
            let wake = self.turn(self.clock.now()).await?;
            let received = tokio::select! {
                received = inbox.recv() => match received {
                    Some(received) => Some(received),
                    None => return Ok(()),
                },
                () = pooled.notified() => {
                    self.backlog_at = self.clock.passed();
                    None
                }
                () = self.clock.wait_until(wake) => None,
            };
            let mut received = received;
            for _ in 0..MESSAGES_AT_ONCE {
                let Some((from, message)) = received.take() else {
                    break;
                };
                self.receive(from, message, self.clock.now()).await?;
                received = inbox.try_recv().ok();
            }
            if let Some((from, message)) = received {
                self.receive(from, message, self.clock.now()).await?;
            }
        }
    }

    /// Does what is due and says when to come again.
    async fn turn(&mut self, now: BlockTime) -> Result<Moment, AgreementError> {
        self.begin_if_due(now).await?;
        self.run_timers().await?;
        self.judge_waiting(now).await?;
        self.build_if_due(now).await?;
        self.report_all().await;
        self.send_blocks().await;
        self.look_after_others().await;
        Ok(self.wake())
    }

    fn wake(&self) -> Moment {
        let build = self.running.as_ref().and_then(|running| running.build);
        let timers = self.timers.iter().map(|(at, _)| *at);
        let others = [
            self.again.filter(|_| !self.sits_out()),
            self.bodies.next_judgement(),
            (self.running.is_none() && self.again.is_none() && !self.sits_out())
                .then_some(self.backlog_at),
            build.map(|_| self.backlog_at),
            self.catch_up.next_answer(),
            Some(self.catch_up.next_status),
        ];
        let soonest = timers.chain(others.into_iter().flatten()).min();
        soonest.unwrap_or_else(|| self.clock.passed() + self.timing.status)
    }

    /// Takes a message.
    async fn receive(
        &mut self,
        from: KeyName,
        message: Message,
        now: BlockTime,
    ) -> Result<(), AgreementError> {
        self.catch_up.heard(&from, now);
        let is_for_members = matches!(
            message,
            Message::Vote(_)
                | Message::Proposal(_)
                | Message::Votes(_)
                | Message::Body { .. }
                | Message::BareBody { .. }
                | Message::WantTransactions { .. }
                | Message::Transactions { .. }
                | Message::WantBody { .. }
        );
        if is_for_members && !(self.is_member() && self.is_name_of_member(&from)) {
            // A follower has no part in decisions. What was decided it fetches, and so do we where
            // we follow.
            return Ok(());
        }
        match message {
            Message::Status(height) => self.told(&from, height),
            Message::Vote(vote) => {
                let height = vote.vote.height;
                self.attend(&from, &vote);
                if self.is_of_interest(&from, height, |set| vote.holds(set)) {
                    self.begin_if_due(now).await?;
                    self.event(Event::Vote(vote)).await?;
                }
            }
            Message::Proposal(proposal) => {
                let height = proposal.proposed.height;
                if self.is_of_interest(&from, height, |set| proposal.holds(set)) {
                    self.begin_if_due(now).await?;
                    self.event(Event::Proposal(proposal)).await?;
                }
            }
            Message::Votes(votes) => {
                let Some(first) = votes.votes.first().copied() else {
                    return Ok(());
                };
                if self.is_of_interest(&from, first.vote.height, |set| first.holds(set)) {
                    self.begin_if_due(now).await?;
                    self.event(Event::Votes(votes)).await?;
                }
            }
            Message::Body { height, proposal } => {
                self.take_body(&from, height, Sent::Whole(proposal), now)
                    .await?;
            }
            Message::BareBody { height, proposal } => {
                self.take_body(&from, height, Sent::Bare(proposal), now)
                    .await?;
            }
            Message::WantTransactions {
                height,
                block,
                places,
            } => self.send_transactions(&from, height, &block, &places),
            Message::Transactions {
                height,
                block,
                transactions,
            } => {
                self.take_transactions(&from, height, block, transactions, now)
                    .await?;
            }
            Message::WantBody { height, block } => self.send_body(&from, height, &block),
            Message::WantBlocks(height) => self.want_blocks(&from, height),
            Message::Blocks(blocks) => self.take_blocks(&from, blocks).await?,
            Message::Lines { height, lines } => self.take_lines(&from, height, lines).await,
            Message::WantLines(height) => self.send_lines(&from, height).await,
        }
        Ok(())
    }

    /// Remembers who voted. What a member says in another's name does not count.
    fn attend(&mut self, from: &KeyName, vote: &SignedVote) {
        let entry = self.tip.validators().get(&vote.validator);
        if entry.is_some_and(|entry| entry.name == *from) {
            let height = vote.vote.height;
            self.attendance.voted(from, height, self.tip.height());
        }
    }

    /// Whether something that was said about a height is worth the engine's time: we are not past
    /// it, and where it would make us begin a height, a member really said it.
    fn is_of_interest(
        &mut self,
        from: &KeyName,
        height: Height,
        holds: impl FnOnce(&ValidatorSet) -> bool,
    ) -> bool {
        if height <= self.tip.height() {
            // Who still talks about it does not know that it is decided.
            self.links.send(from, &Message::Status(self.tip.height()));
            return false;
        }
        let runs = self.running.is_some() && height == self.tip.height().next();
        if !runs {
            // The set of a later height may be another. Then we hear of that height when we come to
            // it.
            if !holds(self.tip.validators()) {
                return false;
            }
            self.pacer.heard(height);
        }
        true
    }

    /// Gives an event to the engine and does what follows from it.
    async fn event(&mut self, event: Event) -> Result<(), AgreementError> {
        match self.machine.handle(event) {
            Ok(actions) => self.execute(actions).await,
            Err(error) => self.break_down(error),
        }
    }

    /// The engine's state is not what it should be: the height is begun again from its log.
    fn break_down(&mut self, error: MachineError) -> Result<(), AgreementError> {
        if let MachineError::Unsafe(reason) = error {
            return Err(AgreementError::Unsafe(reason));
        }
        let height = self.tip.height().next();
        log::error!(BLOCK_HEIGHT = height.get(); "height {height} is begun again: {error}");
        self.forget_height();
        self.again = Some(self.clock.passed() + AFTER_BREAKDOWN);
        Ok(())
    }

    /// Makes the engine new, before the next height.
    fn forget_height(&mut self) {
        self.machine = Machine::new(
            *self.tip.chain(),
            Arc::clone(&self.vote_key),
            self.tip.height().next(),
            self.tip.validators(),
        );
        self.running = None;
        self.timers.clear();
        self.bodies.clear();
    }

    async fn run_timers(&mut self) -> Result<(), AgreementError> {
        loop {
            let passed = self.clock.passed();
            let due = self.timers.iter().position(|(at, _)| *at <= passed);
            let Some(due) = due else {
                return Ok(());
            };
            let (_, timer) = self.timers.swap_remove(due);
            self.ask_for_bodies();
            self.event(Event::Timeout(timer)).await?;
        }
    }

    /// Begins the next height if it is due.
    async fn begin_if_due(&mut self, now: BlockTime) -> Result<(), AgreementError> {
        if self.running.is_some() || self.sits_out() {
            return Ok(());
        }
        let passed = self.clock.passed();
        if let Some(again) = self.again {
            if again <= passed {
                self.again = None;
                self.begin(now).await?;
            }
            return Ok(());
        }
        if self.backlog_at > passed && !self.pacer.is_called() {
            return Ok(());
        }
        let backlog = match self.application.backlog().await {
            Ok(backlog) => backlog,
            Err(error) => {
                log::debug!("the pool cannot be looked at: {error}");
                self.backlog_at = passed + AFTER_FAILURE;
                return Ok(());
            }
        };
        match self.pacer.due(now, self.tip.time(), &backlog) {
            Due::Now => self.begin(now).await?,
            Due::At(due) => self.backlog_at = passed + until(now, due),
        }
        Ok(())
    }

    /// Whether the configuration lets this version decide nothing more. It goes on sending what it
    /// has.
    fn is_over(&self) -> bool {
        self.pacer.ends_at(self.tip.height())
    }

    /// Whether no height is begun here: we follow, or the configuration ends this version.
    fn sits_out(&self) -> bool {
        self.is_over() || !self.is_member()
    }

    /// The pause after our own store failed.
    async fn pause(&self) {
        let again = self.clock.passed() + AFTER_FAILURE;
        self.clock.wait_until(again).await;
    }

    fn since(&self, moment: Moment) -> Duration {
        self.clock.passed().saturating_sub(moment)
    }

    /// Whether we are a member at the next height, with these keys.
    fn is_member(&self) -> bool {
        let entry = self.tip.validators().get(&self.own);
        entry.is_some_and(|entry| is_of(entry, &self.checkpoint_key))
    }

    /// Whether a validator of the next height has this name. A member that is behind a change of
    /// validators may take one that came later for a follower: it fetches, and then it knows.
    fn is_name_of_member(&self, name: &KeyName) -> bool {
        let mut validators = self.tip.validators().validators().iter();
        validators.any(|validator| validator.name == *name)
    }

    async fn report_all(&mut self) {
        while let Some(misbehaviour) = self.unreported.first() {
            match self.application.report(misbehaviour).await {
                Ok(()) => {
                    self.unreported.remove(0);
                }
                Err(error) => {
                    log::debug!("a proof of misbehaviour is not stored yet: {error}");
                    return;
                }
            }
        }
    }

    /// Who a validator of the next height is, in words.
    fn name_of(&self, id: &ValidatorId) -> String {
        let entry = self.tip.validators().get(id);
        entry.map_or_else(|| id.to_string(), |entry| entry.name.to_string())
    }
}

/// Why a member could not begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E: std::error::Error> {
    /// The store.
    #[error(transparent)]
    Application(E),
    /// The folder of the log.
    #[error("the folder of the consensus log cannot be used: {0}")]
    Log(std::io::Error),
}

/// How long it is from one moment to another; a minute at most, for clocks are set.
fn until(now: BlockTime, then: BlockTime) -> Duration {
    let millis = then.millis_since(now).clamp(1, 60_000);
    Duration::from_millis(millis.unsigned_abs())
}

/// Names of members and what belongs to them.
type ByMember<T> = BTreeMap<KeyName, T>;

/// A block's name.
type BlockHash = Digest;
