//! Keys of epochs, and one-time keys that are spent once.

use std::sync::Arc;

use birthmark_ledger::*;
use birthmark_protocol::one_time::{
    EpochCount, EpochKey, EpochStatement, EpochWithdrawal, NotAccepted, SignedEpochStatement,
};
use birthmark_protocol::{PixelSource, Timestamp};

use crate::world::*;

const AUTHORITY: &str = "EXAMPLE_MAKER";
const FAMILY: &str = "Raspberry Pi";

fn key(change: impl FnOnce(&mut EpochKey)) -> SignedEpochStatement {
    let mut key = epoch_key(7);
    change(&mut key);
    stated(EpochStatement::Key(key))
}

fn count(issued: u64) -> SignedEpochStatement {
    stated(EpochStatement::Count(EpochCount {
        authority: AUTHORITY.into(),
        family: FAMILY.into(),
        time: at(3601),
        epoch: 7,
        issued,
    }))
}

fn withdrawal(epoch: Option<u32>, from: i64) -> SignedEpochStatement {
    stated(EpochStatement::Withdrawal(EpochWithdrawal {
        authority: AUTHORITY.into(),
        family: FAMILY.into(),
        time: at(0),
        epoch,
        from: at(from),
    }))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(START + seconds)
}

fn epochs(statements: impl IntoIterator<Item = SignedEpochStatement>) -> Epochs {
    let mut epochs = Epochs::default();
    for statement in statements {
        epochs.insert(statement);
    }
    epochs
}

fn known(statements: impl IntoIterator<Item = SignedEpochStatement>) -> Known {
    Known {
        epochs: Arc::new(epochs(statements)),
        ..Known::default()
    }
}

/// Why a block at this time may not hold the record; `None` when it may.
fn fault_at(world: &World, known: &Known, seconds: i64, record: Record) -> Option<KeyFault> {
    let time = BlockTime::from_millis((START + seconds) * 1000);
    let mut builder = world.tip.builder(time, known);
    match builder.add(world.transaction(vec![record])) {
        Ok(()) => None,
        Err(NotAdded::Fault(TransactionFault::OneTimeKey { record: 0, error })) => Some(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_one_time_key_counts_from_the_first_moment_of_its_epoch_to_the_last_of_its_grace() {
    let (world, known) = (World::new(1), known([key(|_| ())]));
    let fault = |seconds| fault_at(&world, &known, seconds, one_time("photo", "key", 7));
    for seconds in [1, 3600, 5400] {
        assert_eq!(fault(seconds), None, "{seconds}");
    }
    let over = fault(5401).unwrap();
    assert!(matches!(
        over,
        KeyFault::Time(NotAccepted::Over { epoch: 7, .. })
    ));
    let later = known_later();
    let early = fault_at(&world, &later, 99, one_time("photo", "key", 7)).unwrap();
    assert!(matches!(early, KeyFault::Time(NotAccepted::Early { .. })));
    assert!(early.is_temporary() && !over.is_temporary());
}

fn known_later() -> Known {
    known([key(|key| key.from = at(100))])
}

#[test]
fn a_one_time_key_without_an_epoch_waits_and_one_of_another_class_never_counts() {
    let world = World::new(1);
    let nothing = Known::default();
    let unknown = fault_at(&world, &nothing, 1, one_time("photo", "key", 7)).unwrap();
    assert_eq!(unknown, KeyFault::NoEpoch);
    assert!(unknown.is_temporary());
    let other = known([key(|key| key.epoch = 8)]);
    let unknown = fault_at(&world, &other, 1, one_time("photo", "key", 7));
    assert_eq!(unknown, Some(KeyFault::NoEpoch));
    let made_up = known([key(|key| key.is_made_up = true)]);
    let fault = fault_at(&world, &made_up, 1, one_time("photo", "key", 7));
    assert_eq!(fault, Some(KeyFault::MadeUp));
}

#[test]
fn a_one_time_key_is_spent_once_in_a_transaction_in_a_block_and_in_the_registry() {
    let world = World::new(1);
    let mut known = known([key(|_| ())]);
    let (one, two) = (one_time("one", "key", 7), one_time("two", "key", 7));
    let spent = |record| TransactionFault::OneTimeKey {
        record,
        error: KeyFault::Spent,
    };
    {
        let mut builder = world.tip.builder(world.now(), &known);
        let both = world.transaction(vec![one.clone(), two.clone()]);
        assert_eq!(builder.add(both), Err(NotAdded::Fault(spent(1))));
        builder.add(world.transaction(vec![one])).unwrap();
        let second = builder.add(world.transaction(vec![two.clone()]));
        assert_eq!(second, Err(NotAdded::Fault(spent(0))));
    }
    let lookups = Lookups::of(&[world.transaction(vec![two.clone()])]);
    assert_eq!(lookups.one_time_keys, [digest("key")].into());
    known.spent.insert(digest("key"));
    assert_eq!(fault_at(&world, &known, 1, two), Some(KeyFault::Spent));
    let other = one_time("three", "other key", 7);
    assert_eq!(fault_at(&world, &known, 1, other), None);
}

#[test]
fn an_epoch_has_one_key() {
    let epochs = epochs([key(|_| ())]);
    let check = |statement| epochs.check(&statement, at(1));
    assert_eq!(check(key(|_| ())), Err(StatementFault::Repeated));
    // Another key for the same epoch: what an authority would need to mark cameras.
    let second = check(key(|key| key.modulus[9] ^= 1));
    assert_eq!(second, Err(StatementFault::Contradicts));
    assert_eq!(check(key(|key| key.epoch = 8)), Ok(()));
    assert_eq!(check(key(|key| key.family = "Other".into())), Ok(()));
    let late = Epochs::default().check(&key(|_| ()), at(3601));
    assert_eq!(late, Err(StatementFault::Late));
}

#[test]
fn a_count_comes_after_its_epoch_and_a_withdrawal_holds_from_its_block_time() {
    let mut epochs = epochs([key(|_| ())]);
    let early = epochs.check(&count(9), at(3600)).unwrap_err();
    assert!(early == StatementFault::Early && early.is_temporary());
    assert_eq!(epochs.check(&count(9), at(3601)), Ok(()));
    let nothing = Epochs::default().check(&count(9), at(3601));
    assert_eq!(nothing, Err(StatementFault::NoKey));
    epochs.insert(count(9));
    assert_eq!(epochs.issued(AUTHORITY, FAMILY, 7), Some(9));
    let other = epochs.check(&count(10), at(3601));
    assert_eq!(other, Err(StatementFault::Contradicts));

    for withdrawn in [Some(7), None] {
        let world = World::new(1);
        let known = known([key(|_| ()), withdrawal(withdrawn, 50)]);
        let fault = |seconds| fault_at(&world, &known, seconds, one_time("photo", "key", 7));
        assert_eq!(fault(49), None);
        assert_eq!(fault(50), Some(KeyFault::Withdrawn { from: at(50) }));
    }
    let foreign = epochs.check(&withdrawal(Some(8), 0), at(1));
    assert_eq!(foreign, Err(StatementFault::NoKey));
    assert_eq!(epochs.check(&withdrawal(None, 0), at(1)), Ok(()));
}

#[test]
fn an_epoch_counts_in_the_block_that_states_it_and_adds_no_leaf() {
    let mut world = World::new(1);
    let stating = |statements| {
        Transaction::of_statements(world.tip.chain(), statements, &world.members[0].vote).unwrap()
    };
    let statements = stating(vec![key(|_| ()), key(|key| key.epoch = 8)]);
    let photo = world.transaction(vec![one_time("photo", "key", 7)]);
    let none = Known::default();
    let mut wrong_order = world.tip.builder(world.now(), &none);
    assert!(wrong_order.add(photo.clone()).is_err());
    let block = world.build(vec![statements, photo], None);
    assert_eq!((block.header.records, block.header.tree_size), (1, 1));
    let outline = Outline::parse(block.encode()).unwrap();
    assert_eq!(
        outline.record(0).unwrap().unwrap().record,
        one_time("photo", "key", 7)
    );
    assert_eq!(Block::parse(&block.encode()).unwrap(), block);
    world.commit(block);
    let receipt = world.receipt(1, 0, vec![]);
    let read = Receipt::parse(&receipt.encode()).unwrap();
    let verified = verify_receipt(&read, &Trusted::genesis(&world.genesis)).unwrap();
    assert_eq!(verified.height, Height::new(1));
    assert_eq!(read.record.spent().unwrap().epoch, 7);
}

#[test]
fn a_statement_is_submitted_once_and_signed_by_its_validator() {
    let world = World::new(1);
    let chain = world.tip.chain();
    let twice = Transaction::of_statements(
        chain,
        vec![key(|_| ()), key(|_| ())],
        &world.members[0].vote,
    );
    let none = Known::default();
    let mut builder = world.tip.builder(world.now(), &none);
    let fault = TransactionFault::Statement {
        statement: 1,
        error: StatementFault::Repeated,
    };
    assert_eq!(builder.add(twice.unwrap()), Err(NotAdded::Fault(fault)));
    let stranger = Transaction::of_statements(chain, vec![key(|_| ())], &member(9).vote);
    assert_eq!(
        builder.add(stranger.unwrap()),
        Err(NotAdded::Fault(TransactionFault::Submitter))
    );
    let empty = Transaction::of_statements(chain, vec![], &world.members[0].vote);
    assert_eq!(empty, Err(TransactionError::Statements(0)));
}

#[test]
fn a_record_has_a_one_time_key_exactly_when_its_source_says_so() {
    let bundle = || {
        captured("photo", PixelSource::Sensor, None)
            .bundle()
            .clone()
    };
    let spent = SpentKey {
        epoch: 7,
        name: digest("key"),
    };
    let attested = Record::one_time(bundle(), origin(Source::CameraAttested), spent);
    assert_eq!(attested, Err(RecordError::OneTimeKey));
    let without = Record::new(bundle(), origin(Source::CameraOneTime));
    assert_eq!(without, Err(RecordError::OneTimeKey));
    let of_server = Record::edited(bundle(), digest("x"), origin(Source::CameraOneTime));
    assert_eq!(of_server, Err(RecordError::OneTimeKey));
}
