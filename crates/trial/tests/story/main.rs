//! A trial as people run it: the real program, real validators beside it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

fn trial(arguments: &str) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_birthmark-trial");
    let ended = Command::new(program)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
    (ended.status.code(), said)
}

/// The number that stands after these words.
fn number_after(said: &str, words: &str) -> f64 {
    let rest = said.split_once(words).unwrap().1;
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// One of four is killed under load and the others go on; the second one stops them, and nothing is
/// lost; both come back, catch up, and all histories are the same.
#[test]
fn one_of_four_may_be_killed_two_stop_the_network_and_nothing_is_lost() {
    let network = "--validators 4 --rate 25 --seconds 16 --seed 1";
    let (status, said) = trial(&format!("{network} --kill 4@2+10 --kill 3@6+6"));
    assert_eq!(status, Some(0), "{said}");
    for words in [
        "4 killed: 3 connected, 3 needed",
        "3 killed: 2 connected, 3 needed",
        "4 started again",
        "everybody has everything after",
        "the same bytes at all 4",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(number_after(&said, "stood still for ") > 5.0, "{said}");
    assert!(number_after(&said, "All went as it must: ") > 3.0, "{said}");
}

/// Links that are cut, slow and lossy delay decisions and fork nothing.
#[test]
fn a_network_in_two_halves_decides_nothing_and_comes_together_again() {
    let network = "--validators 4 --rate 25 --seconds 12 --seed 2";
    let troubles = "--partition 1,2@3+5 --pause 4@1+4 --delay 20 --loss 1";
    let (status, said) = trial(&format!("{network} {troubles}"));
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("1, 2 cut off from the others: 2 connected, 3 needed"),
        "{said}"
    );
    assert!(number_after(&said, "stood still for ") > 4.0, "{said}");
}

#[test]
fn what_cannot_be_tried_is_said_in_one_line() {
    let (status, said) = trial("--validators 4 --kill 5@1+1");
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("--kill: there is no validator 5; there are 4"),
        "{said}"
    );
    let (status, said) = trial("--validators 3");
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("take 1 or 4"), "{said}");
}

/// Four become five, the first of the founders leaves, another one changes its key, and the
/// database of a third is set back under it: photos go on coming in, and nobody loses one or signs
/// twice.
#[test]
fn members_come_go_and_change_their_keys_under_load() {
    let network = "--validators 4 --rate 10 --seconds 12 --seed 3";
    let changes = "--join 5@2 --leave 1@3 --replace 2@4 --rollback 4@1+6";
    let (status, said) = trial(&format!("{network} {changes}"));
    assert_eq!(status, Some(0), "{said}");
    for words in [
        "5 joins after",
        "5 validators, 4 needed",
        "1 leaves after",
        "4 validators, 3 needed",
        "2 changes its key after",
        "4 set back to the snapshot",
        "the same bytes at all 5",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// A clock that jumps minutes ahead, one that jumps behind, and a volume without a byte free: each
/// is one validator's own trouble, the others go on, and afterwards it has everything.
#[test]
fn a_wrong_clock_and_a_full_disk_are_one_validators_own_trouble() {
    let network = "--validators 4 --rate 20 --seconds 29 --seed 5";
    let troubles = "--ahead 2@1+6 --behind 3@9+6 --fill 4@17+9";
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("trial");
    let dir = format!("--dir {}", kept.display());
    let (status, said) = trial(&format!("{network} {troubles} {dir}"));
    if !rustix::process::geteuid().is_root() {
        assert!(said.contains("only root can do that"), "{said}");
        return;
    }
    assert_eq!(status, Some(0), "{said}");
    for words in [
        "2 has its clock ahead: 4 connected, 3 needed",
        "3 has its clock right again",
        "4 has a full disk",
        "4 has room again",
        "the same bytes at all 4",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(number_after(&said, "All went as it must: ") > 8.0, "{said}");
    // What was planned happened: who is well sees the clock ahead, who is behind sees all ahead.
    let journal =
        |number| std::fs::read_to_string(kept.join(format!("{number}/node.log"))).unwrap();
    assert!(
        journal(1).contains("by validator-2.trial.example is"),
        "{}",
        journal(1)
    );
    assert!(
        journal(3).contains("by validator-1.trial.example is")
            || journal(3).contains("by validator-4.trial.example is"),
        "{}",
        journal(3)
    );
    assert!(journal(4).contains("the disk is full"), "{}", journal(4));
    // Nothing was held up for long: those who were well went on.
    assert_eq!(number_after(&said, "stood still for "), 0.0, "{said}");
}
