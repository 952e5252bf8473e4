//! A registry and a witness that belongs to another one.

use birthmark_ledger::note::{NoteError, NoteSignature};
use birthmark_ledger::witness::{AddCheckpoint, AnswerError, Refusal, VerifierKey};
use birthmark_ledger::*;
use birthmark_protocol::Timestamp;

use crate::world::*;

const NOW: i64 = START + 3600;

/// A registry of three blocks with one record each, and a witness.
struct Pair {
    world: World,
    witness: Member,
    log_keys: Vec<VerifierKey>,
}

impl Pair {
    fn new() -> Self {
        let mut world = World::new(1);
        for name in ["one", "two", "three"] {
            world.commit_records(vec![photo(name)]);
        }
        let origin = &world.genesis.chain_id;
        let log_key = world.members[0].entry.log_verifier_key(origin);
        Self {
            log_keys: vec![log_key.parse().unwrap()],
            witness: member(77),
            world,
        }
    }

    /// The key that the witness publishes.
    fn key(&self) -> VerifierKey {
        self.witness.entry.verifier_key().parse().unwrap()
    }

    fn checkpoint(&self, height: usize) -> SignedCheckpoint {
        self.world.cosigned(&self.world.blocks[height - 1].0, [0])
    }

    fn question(&self, old: u64, height: usize) -> AddCheckpoint {
        let size = height as u64;
        let leaves = self
            .world
            .blocks
            .iter()
            .flat_map(|(block, _)| block.leaf_hashes());
        let leaves: Vec<_> = leaves.take(height).collect();
        let mut path = vec![];
        if old > 0 && old < size {
            let plan = ProofPlan::consistency(old, size).unwrap();
            let subtree = |node: merkle::Node| {
                let part = leaves.get(node.first() as usize..node.end() as usize)?;
                let mut frontier = Frontier::new();
                part.iter().for_each(|leaf| frontier.append(*leaf));
                Some(frontier.root())
            };
            path = plan.assemble(subtree).unwrap();
        }
        AddCheckpoint {
            old,
            path,
            note: self.checkpoint(height).to_note().unwrap(),
        }
    }

    fn answer(&self, checkpoint: &Checkpoint, now: i64) -> NoteSignature {
        let name = &self.witness.entry.name;
        let time = Timestamp::from_unix(now);
        checkpoint
            .cosign(name, &self.witness.checkpoint, time)
            .unwrap()
    }
}

#[test]
fn a_witness_signs_what_continues_what_it_saw_last() {
    let pair = Pair::new();
    let mut last: Option<Checkpoint> = None;
    for (old, height) in [(0, 1), (1, 3), (3, 3)] {
        let question = pair.question(old, height);
        let read = AddCheckpoint::parse(&question.to_text()).unwrap();
        assert_eq!(read, question);
        assert_eq!(read.origin(), Some(pair.world.genesis.chain_id.as_str()));
        let signed = read.check(&pair.log_keys, last.as_ref()).unwrap();
        assert_eq!(signed, pair.checkpoint(height).checkpoint);
        let line = pair.answer(&signed, NOW);
        let answer = format!("{line}\n");
        let now = Timestamp::from_unix(NOW + 5);
        let (own, time) = pair.key().cosignature(&signed, &answer, now).unwrap();
        assert_eq!((own, time.unix()), (line, NOW));
        last = Some(signed);
    }
}

#[test]
fn a_witness_refuses_each_for_its_reason() {
    let pair = Pair::new();
    let seen = pair.checkpoint(1).checkpoint;
    let refused =
        |question: &AddCheckpoint, last| question.check(&pair.log_keys, last).unwrap_err();
    assert_eq!(
        refused(&pair.question(0, 2), Some(&seen)),
        Refusal::Conflict(1)
    );
    assert_eq!(refused(&pair.question(1, 2), None), Refusal::Conflict(0));
    let backwards = AddCheckpoint {
        old: 3,
        ..pair.question(0, 2)
    };
    let said = refused(&backwards, Some(&seen));
    assert_eq!(said, Refusal::Backwards { old: 3, size: 2 });
    let mut forked = seen.clone();
    forked.root = digest("another history");
    assert_eq!(refused(&pair.question(1, 3), Some(&forked)), Refusal::Fork);
    assert_eq!(refused(&pair.question(1, 1), Some(&forked)), Refusal::Fork);
    let mut bent = pair.question(1, 3);
    bent.path[0] = digest("x");
    assert_eq!(refused(&bent, Some(&seen)), Refusal::Fork);
    let mut unasked = pair.question(0, 3);
    unasked.path.push(digest("x"));
    assert_eq!(refused(&unasked, None), Refusal::Fork);
    // Only what the log's own key signed counts: a cosigner's line is none.
    let question = pair.question(0, 1);
    let cosigner: VerifierKey = pair.world.members[0].entry.verifier_key().parse().unwrap();
    assert_eq!(question.check(&[cosigner], None), Err(Refusal::Untrusted));
    assert_eq!(question.check(&[], None), Err(Refusal::Untrusted));
}

#[test]
fn what_is_no_question_is_named() {
    let pair = Pair::new();
    let good = pair.question(1, 3).to_text();
    for (bad, part) in [
        (good.replacen("old 1", "old 01", 1), "old size"),
        (good.replacen("old 1", "older 1", 1), "old size"),
        (
            good.replacen("old 1\n", "old 1\n???\n", 1),
            "consistency proof",
        ),
        (good.replacen("\n\n", "\n", 2), "blank line"),
        (good.trim_end().to_owned(), "last line"),
    ] {
        let said = AddCheckpoint::parse(&bad).unwrap_err();
        assert_eq!(said, NoteError::Format(part), "{bad}");
    }
    let step = format!("{}\n", good.lines().nth(1).unwrap());
    let long = good.replacen(&step, &step.repeat(64), 1);
    let said = AddCheckpoint::parse(&long).unwrap_err();
    assert_eq!(said, NoteError::Format("consistency proof"));
    let huge = good + &"x".repeat(1 << 17);
    assert_eq!(AddCheckpoint::parse(&huge), Err(NoteError::TooLong));
}

#[test]
fn an_answer_of_a_witness_is_believed_for_its_signature_and_its_date_alone() {
    let pair = Pair::new();
    let checkpoint = pair.checkpoint(3).checkpoint;
    let judged = |answer: &str| {
        let now = Timestamp::from_unix(NOW);
        pair.key()
            .cosignature(&checkpoint, answer, now)
            .unwrap_err()
    };
    assert_eq!(judged(""), AnswerError::Format);
    assert_eq!(judged("<html>\n"), AnswerError::Format);
    let good = pair.answer(&checkpoint, NOW);
    assert_eq!(
        judged(&good.to_string()),
        AnswerError::Format,
        "no last line"
    );
    let stranger = NoteSignature {
        name: "stranger.example".into(),
        ..good.clone()
    };
    assert_eq!(judged(&format!("{stranger}\n")), AnswerError::Stranger);
    let mut bent = good;
    bent.signature[20] ^= 1;
    assert_eq!(judged(&format!("{bent}\n")), AnswerError::Invalid);
    let other = pair.answer(&pair.checkpoint(2).checkpoint, NOW);
    assert_eq!(judged(&format!("{other}\n")), AnswerError::Invalid);
    for (time, away) in [(NOW - 301, 301), (NOW + 4000, 4000)] {
        let dated = pair.answer(&checkpoint, time);
        assert_eq!(judged(&format!("{dated}\n")), AnswerError::Time(away));
    }
}

#[test]
fn a_published_key_is_read_whole_or_not_at_all() {
    let pair = Pair::new();
    let text = pair.key().to_string();
    assert_eq!(text, pair.witness.entry.verifier_key());
    assert!(!pair.key().is_of_log() && pair.log_keys[0].is_of_log());
    let (name, rest) = text.split_once('+').unwrap();
    for (wrong, reason) in [
        (name.to_owned(), "of the form"),
        (format!("+{rest}"), "of the form"),
        (format!("other{text}"), "its id"),
        (text.replacen("+B", "+C", 1), "kind"),
        (text[..text.len() - 4].to_owned(), "Ed25519"),
    ] {
        let said = wrong.parse::<VerifierKey>().unwrap_err().to_string();
        assert!(said.contains(reason), "{wrong}: {said}");
    }
}
