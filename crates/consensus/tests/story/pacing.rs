//! When blocks are due.

use birthmark_consensus::*;
use birthmark_ledger::{BlockTime, Height};
use proptest::prelude::*;

use crate::library::*;

fn due(now: f64, records: usize, oldest: Option<f64>) -> Due {
    Pacing::default().due(
        at(now),
        at(0.0),
        &Backlog {
            records,
            oldest: oldest.map(at),
        },
    )
}

#[test]
fn a_thousand_make_a_block_at_once() {
    assert_eq!(due(1.0, 1000, Some(1.0)), Due::Now);
    assert_eq!(due(1.0, 999, Some(1.0)), Due::At(at(1.7)));
}

#[test]
fn nobody_waits_longer_than_the_batch_wait() {
    assert_eq!(due(5.0, 1, Some(4.5)), Due::At(at(5.2)));
    assert_eq!(due(5.2, 1, Some(4.5)), Due::Now);
}

#[test]
fn a_quiet_registry_has_a_heartbeat_and_nothing_else() {
    assert_eq!(due(5.0, 0, None), Due::At(at(600.0)));
    assert_eq!(due(600.0, 0, None), Due::Now);
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_wait_longer() {
    assert_eq!(due(5.0, 1, Some(5000.0)), Due::At(at(5.7)));
}

proptest! {
    #[test]
    fn a_block_is_due_within_the_wait_of_whatever_waits(now: i64, last: i64, since: Option<i64>, records in 0usize..2000) {
        let pacing = Pacing::default();
        let now = BlockTime::from_millis(now);
        let backlog = Backlog { records, oldest: since.map(BlockTime::from_millis) };
        if let Due::At(due) = pacing.due(now, BlockTime::from_millis(last), &backlog) {
            prop_assert!(due > now);
            prop_assert!(records < pacing.full);
            prop_assert!(since.is_none() || due <= now.plus_millis(pacing.batch_wait));
        }
    }
}

/// What happens to a network of four, seen from its pacers alone. A height is decided, for the sake
/// of the rules, once three of the members that are there have begun it.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// Something waits at one member, and at no other.
    Submit(usize),
    /// A member stops; it forgets what it heard.
    Stop(usize),
    /// It is there again, as far as it was.
    Start(usize),
    /// Some seconds pass in which these messages are lost.
    Pass { seconds: u8, lost: u16 },
}

fn happening() -> impl Strategy<Value = Happening> {
    let member = 0_usize..4;
    prop_oneof![
        member.clone().prop_map(Happening::Submit),
        member.clone().prop_map(Happening::Stop),
        member.prop_map(Happening::Start),
        (1_u8..20, any::<u16>()).prop_map(|(seconds, lost)| Happening::Pass { seconds, lost }),
    ]
}

struct Paced {
    pacer: Pacer,
    tip: Height,
    last: BlockTime,
    waiting: Option<BlockTime>,
    has_begun: bool,
    is_there: bool,
}

struct Four {
    members: Vec<Paced>,
    now: BlockTime,
    blocks: usize,
}

impl Four {
    fn new() -> Self {
        let member = || Paced {
            pacer: Pacer::new(Pacing::default(), Height::new(1)),
            tip: Height::GENESIS,
            last: at(0.0),
            waiting: None,
            has_begun: false,
            is_there: true,
        };
        Self {
            members: (0..4).map(|_| member()).collect(),
            now: at(0.0),
            blocks: 0,
        }
    }

    /// One second. `lost` says which of the twelve ways lose what is said in it.
    fn pass(&mut self, lost: u16) {
        self.now = self.now.plus_millis(1000);
        for member in self
            .members
            .iter_mut()
            .filter(|member| member.is_there && !member.has_begun)
        {
            let backlog = Backlog {
                records: usize::from(member.waiting.is_some()),
                oldest: member.waiting,
            };
            member.has_begun = member.pacer.due(self.now, member.last, &backlog) == Due::Now;
        }
        // Who runs a height says so again and again, and everybody says how far it is.
        let said: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.is_there, member.has_begun, member.tip))
            .collect();
        for (to, member) in self
            .members
            .iter_mut()
            .enumerate()
            .filter(|(_, member)| member.is_there)
        {
            for (from, (is_there, has_begun, tip)) in said.iter().enumerate() {
                let way = (from * 3 + to) % 12;
                if from == to || !is_there || lost >> way & 1 == 1 {
                    continue;
                }
                // Doubled, and a stale one after it.
                for tip in [*tip, *tip, Height::GENESIS] {
                    member.pacer.told(tip);
                }
                if *has_begun {
                    member.pacer.heard(tip.next());
                }
                if *tip > member.tip {
                    // Fetched beside the engine.
                    member.tip = *tip;
                    member.last = self.now;
                    member.has_begun = false;
                    member.pacer.decided(*tip);
                }
            }
        }
        let highest = self.members.iter().map(|member| member.tip).max().unwrap();
        let voting =
            |member: &&mut Paced| member.is_there && member.has_begun && member.tip == highest;
        if self.members.iter_mut().filter(voting).count() >= 3 {
            self.blocks += 1;
            // Whose turn it is puts in what waits there, and only that.
            let turn = highest.get() as usize;
            let proposer = (turn..turn + 4).map(|turn| turn % 4).find(|turn| {
                let member = &self.members[*turn];
                member.is_there && member.has_begun && member.tip == highest
            });
            if let Some(proposer) = proposer {
                self.members[proposer].waiting = None;
            }
            for member in &mut self.members {
                if member.is_there && member.has_begun && member.tip == highest {
                    member.tip = highest.next();
                    member.last = self.now;
                    member.has_begun = false;
                    member.pacer.decided(member.tip);
                }
            }
        }
    }

    fn start(&mut self, number: usize) {
        let member = &mut self.members[number];
        if !member.is_there {
            member.is_there = true;
            member.has_begun = false;
            member.pacer = Pacer::new(Pacing::default(), member.tip.next());
        }
    }
}

proptest! {
    #[test]
    fn whatever_happened_what_waits_is_decided_and_then_it_is_quiet(happenings in proptest::collection::vec(happening(), 0..40), waits in 0_usize..4) {
        let mut four = Four::new();
        for happening in happenings {
            match happening {
                Happening::Submit(member) => four.members[member].waiting = Some(four.now),
                Happening::Stop(member) => four.members[member].is_there = false,
                Happening::Start(member) => four.start(member),
                Happening::Pass { seconds, lost } => (0..seconds).for_each(|_| four.pass(lost)),
            }
        }
        for member in 0..4 {
            four.start(member);
        }
        four.members[waits].waiting = Some(four.now);
        let before = four.members.iter().map(|member| member.tip).max().unwrap();
        (0..30).for_each(|_| four.pass(0));
        for member in &four.members {
            prop_assert!(member.tip > before, "the next height is decided by all: {:?}", member.tip);
            prop_assert!(member.waiting.is_none());
        }
        let blocks = four.blocks;
        (0..500).for_each(|_| four.pass(0));
        prop_assert_eq!(four.blocks, blocks, "nobody waits, so nobody begins");
        (0..110).for_each(|_| four.pass(0));
        prop_assert_eq!(four.blocks, blocks + 1, "the heartbeat");
    }
}
