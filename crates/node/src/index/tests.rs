use super::*;

fn digest(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

fn filled(count: u64, budget: usize) -> Index {
    let index = Index::new(budget);
    let digests: Vec<_> = (0..count).map(|at| (digest(at), at * 7)).collect();
    index.insert_all(&digests);
    index.completed();
    index
}

#[test]
fn everything_inserted_is_found_and_nothing_else() {
    let index = filled(100_000, usize::MAX);
    for at in 0..100_000 {
        assert_eq!(index.find(&digest(at)), Place::At(vec![at * 7]));
    }
    assert!((100_000..200_000).all(|at| index.find(&digest(at)) == Place::Nowhere));
}

#[test]
fn it_takes_at_most_eighteen_bytes_a_digest() {
    let index = filled(200_000, usize::MAX);
    assert!(index.bytes() < 200_000 * 18, "{}", index.bytes());
    assert!(index.bytes() > 200_000 * ENTRY);
}

#[test]
fn before_it_is_complete_only_the_database_knows() {
    let index = Index::new(usize::MAX);
    index.insert_all(&[(digest(1), 1)]);
    assert_eq!(index.find(&digest(1)), Place::Unknown);
    assert_eq!(index.find(&digest(2)), Place::Unknown);
}

#[test]
fn records_with_one_digest_are_found_in_order_and_once() {
    let index = filled(0, usize::MAX);
    index.insert_all(&[(digest(1), 9), (digest(1), 3), (digest(1), 9)]);
    assert_eq!(index.find(&digest(1)), Place::At(vec![3, 9]));
}

#[test]
fn a_digest_that_is_registered_all_too_often_is_left_to_the_database() {
    let index = filled(0, usize::MAX);
    let digests: Vec<_> = (0..100_000).map(|leaf| (digest(1), leaf)).collect();
    index.insert_all(&digests);
    assert_eq!(index.find(&digest(1)), Place::Unknown);
    assert!(index.bytes() < SHARDS * 1000 * ENTRY, "{}", index.bytes());
}

#[test]
fn beyond_its_budget_it_gives_everything_back() {
    let index = filled(100_000, 1_000_000);
    assert!(index.is_outgrown() && !index.is_complete());
    assert_eq!((index.bytes(), index.find(&digest(1))), (0, Place::Unknown));
    index.insert_all(&[(digest(1), 1)]);
    index.completed();
    assert_eq!((index.bytes(), index.find(&digest(1))), (0, Place::Unknown));
}

#[test]
fn filled_at_the_moment_it_is_outgrown_it_still_knows_nothing() {
    let index = filled(1000, usize::MAX);
    // A block that outgrows it is committed while the filling comes to its end: both had looked
    // before either said so.
    index.outgrow();
    index.complete.store(true, Ordering::Release);
    assert_eq!(index.find(&digest(1)), Place::Unknown);
}

#[test]
fn digests_that_begin_alike_do_not_meet() {
    let index = filled(0, usize::MAX);
    let alike = |end: u8| {
        let mut bytes = [7; 32];
        bytes[31] = end;
        Digest::from_bytes(bytes)
    };
    let digests: Vec<_> = (0..100).map(|end| (alike(end), u64::from(end))).collect();
    index.insert_all(&digests);
    for end in 0..100 {
        assert_eq!(index.find(&alike(end)), Place::At(vec![u64::from(end)]));
    }
    assert_eq!(index.find(&alike(200)), Place::Nowhere);
}

#[test]
fn an_index_beyond_its_bits_is_never_cut() {
    let index = filled(0, usize::MAX);
    index.insert_all(&[(digest(1), (1 << 40) - 2)]);
    assert_eq!(index.find(&digest(1)), Place::At(vec![(1 << 40) - 2]));
    index.insert_all(&[(digest(2), 1 << 40)]);
    assert_eq!(index.find(&digest(2)), Place::Unknown);
}

#[test]
fn questions_while_it_grows_are_answered_right() {
    let index = filled(1000, usize::MAX);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let more: Vec<_> = (1000..200_000).map(|at| (digest(at), at)).collect();
            index.insert_all(&more);
        });
        for at in (0..1000).cycle().take(50_000) {
            assert_eq!(index.find(&digest(at)), Place::At(vec![at * 7]));
        }
    });
}
