//! Several members over links that lose, double, delay and part, with a clock that jumps from event
//! to event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use birthmark_consensus::message::{ProposedBlock, SignedProposal, SignedVote};
use birthmark_consensus::*;
use birthmark_ledger::*;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::library::*;

mod bare;

/// A time that goes on when nothing else does: a test of ten minutes takes a moment.
#[derive(Default)]
struct VirtualTime {
    passed: Mutex<Duration>,
    sleepers: Mutex<BTreeMap<(Duration, u64), Waker>>,
    count: AtomicU64,
}

thread_local! {
    static TIME: Arc<VirtualTime> = Arc::default();
}

fn time() -> Arc<VirtualTime> {
    TIME.with(Arc::clone)
}

impl VirtualTime {
    fn passed(&self) -> Duration {
        *self.passed.lock().unwrap()
    }

    async fn sleep_until(self: Arc<Self>, until: Duration) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        std::future::poll_fn(|context| {
            if self.passed() >= until {
                self.sleepers.lock().unwrap().remove(&(until, number));
                return Poll::Ready(());
            }
            self.sleepers
                .lock()
                .unwrap()
                .insert((until, number), context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Jumps to the next moment somebody waits for.
    fn jump(&self) {
        let Some(((until, _), waker)) = self.sleepers.lock().unwrap().pop_first() else {
            return;
        };
        let mut passed = self.passed.lock().unwrap();
        *passed = until.max(*passed);
        waker.wake();
    }
}

async fn sleep(duration: Duration) {
    let until = time().passed() + duration;
    time().sleep_until(until).await;
}

/// Runs a story with all of its tasks on this thread. Time jumps whenever everybody waits for it.
fn simulate(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::pin!(story);
        loop {
            // Everything that can run runs; what is left waits for time.
            for _ in 0..60 {
                tokio::select! {
                    biased;
                    () = &mut story => return,
                    () = tokio::task::yield_now() => {}
                }
            }
            time().jump();
        }
    });
}

mod members;

type Inbox = mpsc::Sender<(KeyName, Message)>;

/// The genesis of four, made once: keys take their time.
fn four() -> Genesis {
    static FOUR: OnceLock<Genesis> = OnceLock::new();
    FOUR.get_or_init(|| genesis(4)).clone()
}

fn chain() -> birthmark_protocol::Digest {
    static CHAIN: OnceLock<birthmark_protocol::Digest> = OnceLock::new();
    *CHAIN.get_or_init(|| genesis(4).hash())
}

fn name(number: u8) -> KeyName {
    format!("library-{number}.example").parse().unwrap()
}

/// How the links are.
#[derive(Default)]
struct Wires {
    inboxes: Mutex<BTreeMap<KeyName, Inbox>>,
    /// Pairs that do not reach each other.
    parted: Mutex<BTreeSet<(KeyName, KeyName)>>,
    /// Messages in a hundred that are lost.
    loss: AtomicU64,
    /// The longest delay in milliseconds.
    delay: AtomicU64,
    seed: AtomicU64,
    sent: AtomicU64,
    /// How many messages of each kind were sent.
    kinds: Mutex<BTreeMap<u8, usize>>,
    /// Kinds that never arrive.
    swallowed: Mutex<BTreeSet<u8>>,
    /// Who passes on each block before it arrives, with evidence that carries nothing, and where it
    /// has the transactions from.
    spoiler: Mutex<Option<(KeyName, Memory)>>,
    /// How many proposed blocks, transactions with evidence and votes each received.
    private: Mutex<BTreeMap<KeyName, u64>>,
}

impl Wires {
    /// Repeatable, and good enough to lose messages by.
    fn draw(&self, below: u64) -> u64 {
        let next = |seed: u64| {
            Some(
                seed.wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407),
            )
        };
        let seed = self
            .seed
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
            .unwrap();
        (seed >> 33) % below.max(1)
    }

    fn carry(self: &Arc<Self>, from: &KeyName, to: &KeyName, message: &Message) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let kind = message.encode()[0];
        *self.kinds.lock().unwrap().entry(kind).or_default() += 1;
        bare::spoil(self, from, to, message);
        if self.swallowed.lock().unwrap().contains(&kind)
            || self
                .parted
                .lock()
                .unwrap()
                .contains(&(from.clone(), to.clone()))
            || self.draw(100) < self.loss.load(Ordering::Relaxed)
        {
            return;
        }
        let Some(inbox) = self.inboxes.lock().unwrap().get(to).cloned() else {
            return;
        };
        // What travels is bytes.
        let message = Message::parse(&message.encode(), &chain()).unwrap();
        let is_private = matches!(
            message,
            Message::Body { .. }
                | Message::BareBody { .. }
                | Message::Transactions { .. }
                | Message::Vote(_)
        );
        if is_private {
            let mut private = self.private.lock().unwrap();
            *private.entry(to.clone()).or_default() += 1;
        }
        let is_doubled = self.loss.load(Ordering::Relaxed) > 0 && self.draw(10) == 0;
        for _ in 0..=u8::from(is_doubled) {
            let (inbox, from, message) = (inbox.clone(), from.clone(), message.clone());
            let delay = Duration::from_millis(1 + self.draw(self.delay.load(Ordering::Relaxed)));
            tokio::task::spawn_local(async move {
                sleep(delay).await;
                let _ = inbox.send((from, message)).await;
            });
        }
    }

    fn part(&self, one: &[u8], other: &[u8]) {
        let mut parted = self.parted.lock().unwrap();
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            parted.extend([(name(a), name(b)), (name(b), name(a))]);
        }
    }

    fn heal(&self) {
        self.parted.lock().unwrap().clear();
    }
}

struct SimLinks {
    own: KeyName,
    wires: Arc<Wires>,
}

impl Links for SimLinks {
    fn broadcast(&self, message: &Message) {
        let others: Vec<_> = self.wires.inboxes.lock().unwrap().keys().cloned().collect();
        for other in others.iter().filter(|other| **other != self.own) {
            self.wires.carry(&self.own, other, message);
        }
    }

    fn to_members(&self, members: &ValidatorSet, message: &Message) {
        for member in members.validators() {
            if member.name != self.own {
                self.wires.carry(&self.own, &member.name, message);
            }
        }
    }

    fn send(&self, to: &KeyName, message: &Message) {
        self.wires.carry(&self.own, to, message);
    }
}

/// A key that can be told to refuse.
struct Key(VoteKey, Arc<AtomicBool>);

impl VoteSigner for Key {
    fn public_key(&self) -> birthmark_protocol::PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<birthmark_protocol::Signature, SigningError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(SigningError::Refused("the token is out".into()));
        }
        self.0.sign(message)
    }
}

/// A member's clock, which may be wrong.
struct MemberClock(Arc<AtomicI64>);

impl Clock for MemberClock {
    fn now(&self) -> BlockTime {
        let passed = time().passed().as_millis() as i64;
        at(100.0).plus_millis(passed + self.0.load(Ordering::SeqCst))
    }

    fn passed(&self) -> Moment {
        time().passed()
    }

    async fn wait_until(&self, moment: Moment) {
        time().sleep_until(moment).await;
    }
}

struct Member {
    memory: Memory,
    folder: TempDir,
    pooled: Arc<Notify>,
    key_is_out: Arc<AtomicBool>,
    clock_error: Arc<AtomicI64>,
    running: Option<Running>,
}

struct Running {
    task: JoinHandle<Result<(), AgreementError>>,
    state: watch::Receiver<NetworkState>,
}

struct Network {
    wires: Arc<Wires>,
    members: Vec<Member>,
    photos: usize,
    /// The last block that whoever is started now decides.
    halt_after: Option<Height>,
}

impl Network {
    fn new() -> Self {
        Self::of(4)
    }

    /// With so many machines, of which the genesis names four.
    fn of(machines: usize) -> Self {
        let wires = Arc::new(Wires {
            seed: AtomicU64::new(7),
            ..Wires::default()
        });
        let member = |_| {
            let memory = Memory::default();
            memory.state().genesis = Some(four());
            Member {
                memory,
                folder: tempfile::tempdir().unwrap(),
                pooled: Arc::new(Notify::new()),
                key_is_out: Arc::default(),
                clock_error: Arc::default(),
                running: None,
            }
        };
        Self {
            wires,
            members: (0..machines).map(member).collect(),
            photos: 0,
            halt_after: None,
        }
    }

    async fn started() -> Self {
        let mut network = Self::new();
        for number in 0..4 {
            network.start(number).await;
        }
        network
    }

    async fn start(&mut self, number: u8) {
        self.start_with(number, keys(number)).await;
    }

    /// Starts a machine with other keys than it had.
    async fn start_with(&mut self, number: u8, own: ValidatorKeys<VoteKey>) {
        let member = &mut self.members[usize::from(number)];
        let keys = ValidatorKeys {
            vote: Key(own.vote, Arc::clone(&member.key_is_out)),
            checkpoint: own.checkpoint,
        };
        let links = SimLinks {
            own: name(number),
            wires: Arc::clone(&self.wires),
        };
        let (sender, inbox) = mpsc::channel(1000);
        let clock = MemberClock(Arc::clone(&member.clock_error));
        let membership = Membership {
            chain_id: four().chain_id,
            log_folder: member.folder.path().to_owned(),
            pacing: Pacing {
                halt_after: self.halt_after,
                ..Pacing::default()
            },
            timing: Timing::default(),
        };
        let agreement = Agreement::open(member.memory.clone(), links, clock, keys, membership);
        let agreement = agreement.await.unwrap();
        self.wires
            .inboxes
            .lock()
            .unwrap()
            .insert(name(number), sender);
        let state = agreement.state();
        let pooled = Arc::clone(&member.pooled);
        let task = tokio::task::spawn_local(agreement.run(inbox, pooled, std::future::pending()));
        member.running = Some(Running { task, state });
    }

    /// As `kill -9` does it.
    fn kill(&mut self, number: u8) {
        self.wires.inboxes.lock().unwrap().remove(&name(number));
        if let Some(running) = self.members[usize::from(number)].running.take() {
            running.task.abort();
        }
    }

    fn now(&self) -> BlockTime {
        at(100.0).plus_millis(time().passed().as_millis() as i64)
    }

    /// A photo that `at` accepted and that reached `pools`.
    fn submit_to(&mut self, at: u8, pools: &[u8]) {
        self.photos += 1;
        let record = photo(&format!("photo {}", self.photos));
        let (offer, now) = (offer_of(at, &chain(), vec![record]), self.now());
        for pool in pools {
            let member = &self.members[usize::from(*pool)];
            member.memory.push(offer.clone(), now);
            member.pooled.notify_one();
        }
    }

    /// A change that `signers` of the present set agreed on, in the hands of all that run.
    fn change(
        &self,
        present: &ValidatorSet,
        next: Vec<Validator>,
        signers: &[ValidatorKeys<VoteKey>],
    ) {
        let next = ValidatorSet::new(next).unwrap();
        let mut change = SetChange::propose(present, next, Height::new(1), Height::new(1000));
        for signer in signers {
            change.sign(&chain(), present, &signer.vote).unwrap();
        }
        for member in &self.members {
            member.memory.state().change = Some(change.clone());
            member.pooled.notify_one();
        }
    }

    /// Waits until these have followed a change to this set.
    async fn followed(&self, members: &[u8], set: &ValidatorSet) {
        let began = time().passed();
        let has = |number: &u8| {
            let state = self.members[usize::from(*number)].memory.state();
            let last = state.chain.last();
            last.is_some_and(|last| last.tip.validators() == set)
        };
        while !members.iter().all(has) {
            assert!(
                time().passed() - began < Duration::from_secs(60),
                "the change is not decided"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn submit(&mut self, at: u8) {
        self.submit_to(at, &[0, 1, 2, 3]);
    }

    fn height(&self, number: u8) -> usize {
        self.members[usize::from(number)].memory.state().chain.len()
    }

    fn photos_at(&self, number: u8) -> usize {
        self.members[usize::from(number)].memory.photos().len()
    }

    /// Waits until these members hold every photo, and says how long it took.
    async fn all_stored(&self, members: &[u8], patience: u64) -> Duration {
        let began = time().passed();
        while members
            .iter()
            .any(|number| self.photos_at(*number) < self.photos)
        {
            assert!(
                (time().passed() - began) < Duration::from_secs(patience),
                "after {patience} s: {} photos, stored {:?}, heights {:?}",
                self.photos,
                members
                    .iter()
                    .map(|number| self.photos_at(*number))
                    .collect::<Vec<_>>(),
                members
                    .iter()
                    .map(|number| self.height(*number))
                    .collect::<Vec<_>>()
            );
            sleep(Duration::from_millis(10)).await;
        }
        time().passed() - began
    }

    /// No two members differ at any height, every photo is there once, and a stranger would believe
    /// all of it.
    fn audit(&self, members: &[u8]) {
        let chain = |number: &u8| {
            let state = self.members[usize::from(*number)].memory.state();
            state
                .chain
                .iter()
                .map(|decided| decided.block.hash())
                .collect::<Vec<_>>()
        };
        let chains: Vec<_> = members.iter().map(chain).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for chain in &chains {
            assert!(longest.starts_with(chain), "no fork");
        }
        for number in members {
            let memory = &self.members[usize::from(*number)].memory;
            let (photos, distinct) = (
                memory.photos().len(),
                memory.photos().into_iter().collect::<BTreeSet<_>>().len(),
            );
            assert_eq!(photos, distinct, "each photo once");
            let state = memory.state();
            let (mut tip, mut seen) = (Tip::genesis(&four()), Known::default());
            for decided in &state.chain {
                let set = tip.validators().clone();
                tip = tip.check(&decided.block, &seen).unwrap();
                decided
                    .certificate
                    .verify(&decided.block.header, &set)
                    .unwrap();
                assert!(decided.certificate.signatures.len() >= set.quorum());
                seen.transactions
                    .extend(decided.block.transactions.iter().map(Transaction::hash));
            }
        }
    }

    fn stopped(&self, number: u8) -> Option<String> {
        let running = self.members[usize::from(number)].running.as_ref().unwrap();
        running.state.borrow().stopped.clone()
    }
}

const ALL: [u8; 4] = [0, 1, 2, 3];

#[test]
fn four_agree_and_every_checkpoint_is_cosigned_by_all() {
    simulate(async {
        let mut network = Network::started().await;
        for number in 0..40 {
            network.submit(number % 4);
            sleep(Duration::from_millis(100)).await;
        }
        network.all_stored(&ALL, 10).await;
        network.audit(&ALL);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(
            ALL.map(|number| network.height(number)),
            [network.height(0); 4]
        );
        for member in &network.members {
            audit(&member.memory);
            for decided in &member.memory.state().chain {
                assert_eq!(decided.checkpoint_lines.len(), 8, "two lines of each");
            }
        }
    });
}

#[test]
fn a_photo_is_stored_soon_after_the_batch_wait_and_then_nothing_moves() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit(2);
        let took = network.all_stored(&ALL, 5).await;
        assert!(took < Duration::from_millis(1300), "{took:?}");
        let height = network.height(0);
        sleep(Duration::from_secs(590)).await;
        assert_eq!(network.height(0), height, "no empty blocks");
        let sent = network.wires.sent.load(Ordering::Relaxed);
        sleep(Duration::from_secs(5)).await;
        assert!(
            network.wires.sent.load(Ordering::Relaxed) - sent < 60,
            "a quiet network is quiet"
        );
        sleep(Duration::from_secs(10)).await;
        assert_eq!(network.height(0), height + 1, "one heartbeat");
        network.audit(&ALL);
    });
}

#[test]
fn one_may_die_and_two_may_not_and_whoever_comes_back_catches_up() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit(0);
        network.all_stored(&ALL, 5).await;
        network.kill(3);
        for _ in 0..8 {
            network.submit(0);
            let took = network.all_stored(&[0, 1, 2], 20).await;
            assert!(
                took < Duration::from_millis(4000),
                "a dead member's turn: {took:?}"
            );
        }
        network.kill(2);
        let height = network.height(0);
        for _ in 0..5 {
            network.submit(1);
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(
            (network.height(0), network.height(1)),
            (height, height),
            "two of four decide nothing"
        );
        network.start(3).await;
        network.all_stored(&[0, 1, 3], 30).await;
        network.start(2).await;
        network.all_stored(&ALL, 30).await;
        network.audit(&ALL);
    });
}

#[test]
fn whoever_misses_its_votes_is_known_to_the_others() {
    simulate(async {
        let mut network = Network::started().await;
        let votes = |network: &Network, at: u8, of: u8| {
            let running = network.members[usize::from(at)].running.as_ref();
            let state = running.unwrap().state.borrow().clone();
            state.members.get(&name(of)).unwrap().votes
        };
        let decide = async |network: &mut Network, members: &[u8]| {
            for _ in 0..20 {
                network.submit_to(0, &[0, 1, 2]);
                network.all_stored(members, 60).await;
            }
            sleep(Duration::from_secs(10)).await;
        };
        decide(&mut network, &ALL).await;
        for of in [1, 2, 3] {
            let Votes { missed, expected } = votes(&network, 0, of);
            assert_eq!(missed, 0, "member {of}");
            assert!(expected >= 19, "{expected}");
        }
        network.kill(3);
        decide(&mut network, &[0, 1, 2]).await;
        for at in [0, 1, 2] {
            assert!(votes(&network, at, 3).missed >= 19, "member {at}");
        }
        assert_eq!(votes(&network, 0, 1).missed, 0);
    });
}

/// All stop after the same block, whoever they are linked to, and a version without that limit goes
/// on where they stood.
#[test]
fn a_network_halts_after_the_block_that_is_configured_and_the_next_version_goes_on() {
    simulate(async {
        let mut network = Network::new();
        network.halt_after = Some(Height::new(3));
        for number in ALL {
            network.start(number).await;
        }
        for _ in 0..3 {
            network.submit(0);
            network.all_stored(&ALL, 10).await;
        }
        network.submit(1);
        sleep(Duration::from_secs(700)).await;
        assert_eq!(ALL.map(|number| network.height(number)), [3; 4]);
        // One after the other gets the next version; three of them decide without the fourth, which
        // does not follow.
        network.halt_after = None;
        for number in [0, 1, 2] {
            network.kill(number);
            network.start(number).await;
        }
        network.all_stored(&[0, 1, 2], 60).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(network.height(3), 3, "not with that version");
        network.kill(3);
        network.start(3).await;
        network.all_stored(&ALL, 60).await;
        network.audit(&ALL);
    });
}

#[test]
fn all_four_are_killed_again_and_again_under_load_and_nothing_is_lost() {
    simulate(async {
        let mut network = Network::started().await;
        for round in 0..12 {
            for number in ALL {
                network.submit(number);
            }
            sleep(Duration::from_millis(850 + 37 * round)).await;
            for number in ALL {
                network.kill(number);
            }
            sleep(Duration::from_millis(500)).await;
            for number in ALL {
                network.start(number).await;
            }
        }
        network.all_stored(&ALL, 60).await;
        network.audit(&ALL);
        for member in &network.members {
            assert!(
                member.memory.state().reported.is_empty(),
                "nobody contradicted itself"
            );
        }
    });
}

#[test]
fn links_that_lose_double_and_delay_lose_no_photo() {
    simulate(async {
        let mut network = Network::started().await;
        network.wires.loss.store(15, Ordering::Relaxed);
        network.wires.delay.store(250, Ordering::Relaxed);
        for number in 0..60 {
            network.submit(number % 4);
            sleep(Duration::from_millis(300)).await;
        }
        network.all_stored(&ALL, 300).await;
        network.audit(&ALL);
    });
}

#[test]
fn a_parted_network_goes_on_exactly_where_more_than_two_thirds_are() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit(0);
        network.all_stored(&ALL, 5).await;
        let before = network.height(0);
        network.wires.part(&[0, 1], &[2, 3]);
        network.submit(0);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(
            ALL.map(|number| network.height(number)),
            [before; 4],
            "2|2 decides nothing"
        );
        network.wires.heal();
        network.all_stored(&ALL, 60).await;
        network.wires.part(&[0, 1, 2], &[3]);
        let alone = network.height(3);
        for _ in 0..5 {
            network.submit_to(1, &[0, 1, 2]);
            network.all_stored(&[0, 1, 2], 30).await;
        }
        assert_eq!(network.height(3), alone, "one alone decides nothing");
        network.wires.heal();
        network.all_stored(&ALL, 30).await;
        network.audit(&ALL);
    });
}

#[test]
fn a_photo_that_only_one_member_knows_is_decided_when_its_turn_comes() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit_to(2, &[2]);
        network.all_stored(&ALL, 30).await;
        network.audit(&ALL);
    });
}

#[test]
fn a_member_that_was_away_for_many_blocks_fetches_them_without_a_new_block() {
    simulate(async {
        let mut network = Network::new();
        for number in [0, 1, 2] {
            network.start(number).await;
        }
        for number in 0..30 {
            for _ in 0..10 {
                network.submit_to(number % 3, &[0, 1, 2]);
            }
            network.all_stored(&[0, 1, 2], 30).await;
        }
        let height = network.height(0);
        network.start(3).await;
        let took = network.all_stored(&[3], 10).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(
            (network.height(3), network.height(0)),
            (height, height),
            "coming back makes no empty block"
        );
        network.audit(&ALL);
    });
}

#[test]
fn a_database_that_fails_makes_a_slow_member_and_no_verdict() {
    simulate(async {
        let mut network = Network::started().await;
        network.members[1].memory.state().fail_reads = true;
        for _ in 0..6 {
            network.submit_to(0, &[0, 2, 3]);
            network.all_stored(&[0, 2, 3], 20).await;
        }
        network.members[1].memory.state().next_failure = Some(Failure::After);
        network.members[1].memory.state().fail_reads = false;
        network.all_stored(&ALL, 30).await;
        // It votes again: with one of the others away its vote is needed.
        network.kill(3);
        network.members[1].memory.state().next_failure = Some(Failure::Before);
        network.submit_to(0, &[0, 1, 2]);
        network.all_stored(&[0, 1, 2], 20).await;
        network.audit(&ALL);
    });
}

#[test]
fn a_clock_that_is_ahead_costs_time_and_no_verdict() {
    simulate(async {
        let mut network = Network::started().await;
        network.kill(3);
        network.members[0]
            .clock_error
            .store(31_500, Ordering::SeqCst);
        for _ in 0..4 {
            network.submit_to(1, &[0, 1, 2]);
            network.all_stored(&[0, 1, 2], 60).await;
        }
        network.audit(&[0, 1, 2]);
        assert!(
            ALL[..3]
                .iter()
                .all(|number| network.stopped(*number).is_none())
        );
    });
}

#[test]
fn a_key_that_does_not_sign_for_a_while_loses_nothing() {
    simulate(async {
        let mut network = Network::started().await;
        network.kill(3);
        network.members[1].key_is_out.store(true, Ordering::SeqCst);
        network.submit_to(0, &[0, 1, 2]);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(network.photos_at(0), 0, "two of four decide nothing");
        network.members[1].key_is_out.store(false, Ordering::SeqCst);
        network.all_stored(&[0, 1, 2], 60).await;
        network.audit(&[0, 1, 2]);
    });
}

#[test]
fn a_database_that_was_set_back_does_not_vote_until_the_others_have_passed_it() {
    simulate(async {
        let mut network = Network::started().await;
        for _ in 0..6 {
            network.submit(0);
            network.all_stored(&ALL, 10).await;
        }
        network.kill(3);
        let promised = {
            let mut state = network.members[3].memory.state();
            state.chain.truncate(2);
            state.promised
        };
        assert!(promised >= 6);
        // The others are away: it must not vote, whatever it is asked.
        for number in [0, 1, 2] {
            network.kill(number);
        }
        network.start(3).await;
        network.submit_to(3, &[3]);
        sleep(Duration::from_secs(10)).await;
        let abstains = |network: &Network| {
            let running = network.members[3].running.as_ref().unwrap();
            running.state.borrow().abstains_until
        };
        assert_eq!(abstains(&network), Some(Height::new(promised)));
        for number in [0, 1, 2] {
            network.start(number).await;
        }
        network.all_stored(&[3], 30).await;
        network.submit(0);
        network.all_stored(&ALL, 30).await;
        assert_eq!(abstains(&network), None, "the others have passed it");
        network.kill(2);
        network.submit_to(0, &[0, 1, 3]);
        network.all_stored(&[0, 1, 3], 30).await;
        network.audit(&ALL);
        for member in &network.members {
            assert!(member.memory.state().reported.is_empty());
        }
    });
}

#[test]
fn without_its_log_a_member_does_not_vote_twice_at_one_height() {
    simulate(async {
        let mut network = Network::started().await;
        network.kill(2);
        network.kill(3);
        network.submit(0);
        // Members 0 and 1 vote; nothing can be decided.
        sleep(Duration::from_secs(5)).await;
        network.kill(1);
        for file in std::fs::read_dir(network.members[1].folder.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        network.start(1).await;
        network.start(2).await;
        network.submit(1);
        sleep(Duration::from_secs(60)).await;
        let running = network.members[1].running.as_ref().unwrap();
        assert_eq!(running.state.borrow().abstains_until, Some(Height::new(1)));
        assert_eq!(
            network.height(0),
            0,
            "two voters and one that abstains decide nothing"
        );
        network.start(3).await;
        network.all_stored(&ALL, 60).await;
        network.audit(&ALL);
    });
}

#[test]
fn a_member_that_contradicts_itself_is_found_out_by_all() {
    simulate(async {
        let mut network = Network::started().await;
        network.kill(3);
        network.submit_to(0, &[0, 1, 2]);
        // Member 3's key is in somebody's hands: it says two things at every height and round.
        let chain = chain();
        for round in 0..3 {
            for block in [digest("one"), digest("other")] {
                let vote = Vote {
                    chain,
                    kind: VoteKind::Prevote,
                    height: Height::new(1),
                    round,
                    block: Some(block),
                };
                let vote = SignedVote::sign(vote, &keys(3).vote).unwrap();
                for number in [0, 1, 2] {
                    network
                        .wires
                        .carry(&name(3), &name(number), &Message::Vote(vote));
                }
            }
        }
        network.all_stored(&[0, 1, 2], 20).await;
        sleep(Duration::from_secs(1)).await;
        for number in [0, 1, 2] {
            let state = network.members[number].memory.state();
            let found = state.reported.first().expect("both votes are kept");
            assert_eq!(
                *found.validator(),
                ValidatorId::of(&keys(3).vote.public_key())
            );
            assert!(found.holds(&four().validators));
            assert!(
                found
                    .to_string()
                    .starts_with("voted twice at height 1 (round "),
                "{found}"
            );
            assert_eq!(
                Misbehaviour::parse(&found.encode(), &chain).unwrap(),
                *found
            );
        }
        network.audit(&[0, 1, 2]);
    });
}

#[test]
fn two_blocks_in_one_turn_are_found_out_and_at_most_one_is_decided() {
    simulate(async {
        let mut network = Network::started().await;
        // Height 1 is the turn of the second in the set's order.
        let genesis = four();
        let turn = genesis.validators.at(1).unwrap().clone();
        let liar = ALL
            .into_iter()
            .find(|number| name(*number) == turn.name)
            .unwrap();
        let honest: Vec<_> = ALL.into_iter().filter(|number| *number != liar).collect();
        network.kill(liar);
        let tip = Tip::genesis(&genesis);
        for (photos, to) in [("a", &honest[..1]), ("b", &honest[1..])] {
            let offer = offer_of(liar, &chain(), vec![photo(photos)]);
            let known = Known::default();
            let mut builder = tip.builder(network.now(), &known);
            builder.add(offer.transaction.clone()).unwrap();
            let block = builder.finish(turn.id(), *tip.index(), None);
            let proposed = ProposedBlock {
                proposer: turn.id(),
                chain: genesis.hash(),
                height: Height::new(1),
                round: 0,
                valid_round: None,
                block: block.hash(),
            };
            let proposal = Proposal {
                block,
                evidence: vec![offer.evidence],
            };
            let body = Message::Body {
                height: Height::new(1),
                proposal: proposal.encode().into(),
            };
            let signed = SignedProposal::sign(proposed, &keys(liar).vote).unwrap();
            for number in to {
                network.wires.carry(&name(liar), &name(*number), &body);
            }
            for number in &honest {
                network
                    .wires
                    .carry(&name(liar), &name(*number), &Message::Proposal(signed));
            }
        }
        sleep(Duration::from_secs(1)).await;
        network.submit_to(honest[0], &honest);
        network.photos = 1;
        network.all_stored(&honest, 60).await;
        network.audit(&honest);
        let reports: usize = honest
            .iter()
            .map(|number| {
                network.members[usize::from(*number)]
                    .memory
                    .state()
                    .reported
                    .len()
            })
            .sum();
        assert!(reports > 0, "two blocks in one turn are kept as proof");
    });
}

#[test]
fn a_decided_block_that_was_changed_on_the_way_is_not_taken() {
    simulate(async {
        let mut network = Network::new();
        for number in [0, 1, 2] {
            network.start(number).await;
        }
        network.submit_to(0, &[0, 1, 2]);
        network.all_stored(&[0, 1, 2], 20).await;
        // Member 1 serves a block that nobody decided.
        let other = {
            let state = network.members[1].memory.state();
            let mut decided = state.chain[0].clone();
            decided.block.header.time = decided.block.header.time.plus_millis(1);
            decided
        };
        network.members[1].memory.state().chain[0] = other;
        network.kill(0);
        network.kill(2);
        network.start(3).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(network.height(3), 0);
        network.start(0).await;
        network.all_stored(&[0, 3], 30).await;
        network.audit(&[0, 2, 3]);
    });
}

#[test]
fn a_disk_that_loses_the_log_stops_the_member_for_good_and_says_why() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit(0);
        network.all_stored(&ALL, 10).await;
        // From now on no file can be made in its folder.
        let folder = network.members[2].folder.path().to_owned();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "not a folder").unwrap();
        network.submit_to(0, &[0, 1, 3, 2]);
        network.all_stored(&[0, 1, 3], 20).await;
        sleep(Duration::from_secs(1)).await;
        let stopped = network.stopped(2).expect("it does not vote without a log");
        assert!(stopped.contains("stops voting"), "{stopped}");
        let running = network.members[2].running.take().unwrap();
        assert!(matches!(
            running.task.await.unwrap(),
            Err(AgreementError::Unsafe(_))
        ));
        std::fs::remove_file(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        network.audit(&ALL);
    });
}
