//! When blocks are due.

use birthmark_consensus::*;
use birthmark_ledger::BlockTime;
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
    assert_eq!(due(1.0, 999, Some(1.0)), Due::At(at(2.0)));
}

#[test]
fn nobody_waits_longer_than_the_batch_wait() {
    assert_eq!(due(5.0, 1, Some(4.5)), Due::At(at(5.5)));
    assert_eq!(due(5.5, 1, Some(4.5)), Due::Now);
}

#[test]
fn a_quiet_registry_has_a_heartbeat_and_nothing_else() {
    assert_eq!(due(5.0, 0, None), Due::At(at(600.0)));
    assert_eq!(due(600.0, 0, None), Due::Now);
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_wait_longer() {
    assert_eq!(due(5.0, 1, Some(5000.0)), Due::At(at(6.0)));
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
