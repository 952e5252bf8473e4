use super::*;

fn entry(name: &str) -> Entry {
    Entry {
        photo: name.to_owned(),
        bundle: "AAAA".to_owned(),
        anchor_block: None,
        opening: "00".repeat(32),
        refusals: Vec::new(),
        stage: Stage::Unsigned,
    }
}

#[test]
fn refusals_of_yesterday_are_tried_again_a_part_at_a_time_and_those_of_today_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    let ids: Vec<EntryId> = (0..5).map(|n| EntryId::new(n, 7)).collect();
    for (id, at) in ids.iter().zip([100, 900, 100, 100, 900]) {
        let stage = Stage::Refused {
            proof: None,
            reason: "no".to_owned(),
            at,
        };
        let refused = Entry {
            stage,
            ..entry("a")
        };
        queue.add(*id, &refused).unwrap();
        queue.refuse(*id, &refused).unwrap();
    }
    let looked = queue.retry_refused(500, None, 3).unwrap();
    let expected = Looked {
        tried: 2,
        last: Some(ids[2]),
    };
    assert_eq!(looked, expected);
    let looked = queue.retry_refused(500, looked.last, 3).unwrap();
    assert_eq!(
        looked,
        Looked {
            tried: 1,
            last: None
        }
    );
    let counts = queue.counts();
    assert_eq!((counts.waiting, counts.refused), (3, 2));
    assert_eq!(queue.read(ids[0]).unwrap().stage, Stage::Unsigned);
}

#[test]
fn what_was_added_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<EntryId> = (0..300).map(|n| EntryId::new(n, 7 * n as u64)).collect();
    {
        let queue = Queue::open(folder.path()).unwrap();
        for id in &ids {
            queue.add(*id, &entry(&id.to_string())).unwrap();
        }
        queue.finish(ids[3]).unwrap();
        queue.refuse(ids[4], &entry("refused")).unwrap();
    }
    let queue = Queue::open(folder.path()).unwrap();
    assert_eq!(
        queue.counts(),
        Counts {
            waiting: 298,
            refused: 1,
            stored: 0
        }
    );
    assert_eq!(queue.read(ids[200]).unwrap(), entry(&ids[200].to_string()));
    assert!(matches!(queue.read(ids[3]), Err(QueueError::Unknown(_))));
    assert_eq!(
        queue.page(None, 5),
        [ids[0], ids[1], ids[2], ids[4], ids[5]]
    );
    assert_eq!(queue.page(Some(ids[298]), 5), [ids[299]]);
}

#[test]
fn a_refused_proof_is_kept_and_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    let id = EntryId::new(5, 6);
    queue.add(id, &entry("a")).unwrap();
    let refused = Entry {
        refusals: Vec::new(),
        stage: Stage::Refused {
            proof: None,
            reason: "no".to_owned(),
            at: 9,
        },
        ..entry("a")
    };
    queue.refuse(id, &refused).unwrap();
    assert_eq!((queue.next(), queue.read(id).unwrap()), (None, refused));
    queue.retry(id).unwrap();
    assert_eq!(queue.read(id).unwrap().stage, Stage::Unsigned);
    assert_eq!(
        queue.counts(),
        Counts {
            waiting: 1,
            refused: 0,
            stored: 0
        }
    );
    assert!(matches!(
        queue.retry(EntryId::new(1, 1)),
        Err(QueueError::Unknown(_))
    ));
}

#[test]
fn a_postponed_entry_comes_after_the_others_until_hurried() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    let (first, second) = (EntryId::new(1, 1), EntryId::new(2, 2));
    queue.add(first, &entry("a")).unwrap();
    queue.add(second, &entry("b")).unwrap();
    queue.to_send(first);
    queue.to_send(second);
    queue.postpone(
        first,
        Instant::now() + Duration::from_secs(3600),
        Some("the node is busy".to_owned()),
    );
    assert_eq!(queue.why(first).as_deref(), Some("the node is busy"));
    assert_eq!(queue.next().map(|(_, id)| id), Some(second));
    queue.finish(second).unwrap();
    assert!(queue.next().unwrap().0 > Instant::now());
    assert_eq!(queue.attempts(first), 1);
    queue.hurry();
    assert!(queue.next().unwrap().0 <= Instant::now());
    assert_eq!(queue.why(first), None);
}

#[test]
fn what_is_to_be_signed_is_nobody_else_s_and_waits_until_its_files_are_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    let id = EntryId::new(1, 1);
    queue.add(id, &entry("a")).unwrap();
    assert_eq!(queue.next(), None);
    assert!(queue.next_unsigned().unwrap().0 > Instant::now());
    queue.release(id);
    assert!(queue.next_unsigned().unwrap().0 <= Instant::now());
    let later = Instant::now() + Duration::from_secs(3600);
    queue.sign_later(id, later, "the signer is away".to_owned());
    assert_eq!(queue.why(id).as_deref(), Some("the signer is away"));
    assert_eq!(queue.next_unsigned(), Some((later, id)));
    queue.hurry();
    assert_eq!(queue.next(), None);
    queue.to_send(id);
    assert_eq!(queue.next_unsigned(), None);
    assert_eq!(queue.next().map(|(_, id)| id), Some(id));
    queue.finish(id).unwrap();
    queue.release(id);
    assert_eq!(queue.next_unsigned(), None, "it arrived meanwhile");
}

#[test]
fn a_question_that_is_due_does_not_wait_for_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    let (sent, other) = (EntryId::new(2, 2), EntryId::new(1, 1));
    queue.add(sent, &entry("a")).unwrap();
    queue.add(other, &entry("b")).unwrap();
    queue.to_send(sent);
    queue.to_send(other);
    queue.ask_later(sent, Instant::now());
    assert_eq!(queue.next().map(|(_, id)| id), Some(sent));
    queue.ask_later(sent, Instant::now() + Duration::from_secs(3600));
    assert_eq!(queue.next().map(|(_, id)| id), Some(other));
    assert_eq!(queue.attempts(sent), 2);
    queue.finish(other).unwrap();
    assert_eq!(queue.next().map(|(_, id)| id), Some(sent));
    queue.finish(sent).unwrap();
    assert_eq!(queue.next(), None);
}

#[test]
fn damaged_and_foreign_files_are_named_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let id = EntryId::new(1, 1);
    Queue::open(folder.path())
        .unwrap()
        .add(id, &entry("a"))
        .unwrap();
    let path = folder
        .path()
        .join("queue")
        .join(id.shard())
        .join(id.to_string());
    fs::write(&path, b"{\"photo\":").unwrap();
    fs::write(path.with_file_name("notes.txt"), b"hello").unwrap();
    let queue = Queue::open(folder.path()).unwrap();
    assert_eq!(queue.counts().waiting, 1);
    assert!(matches!(queue.read(id), Err(QueueError::Damaged { .. })));
    queue.set_aside(id).unwrap();
    assert_eq!(
        queue.counts(),
        Counts {
            waiting: 0,
            refused: 1,
            stored: 0
        }
    );
}

#[test]
fn two_processes_cannot_use_one_queue() {
    let folder = tempfile::tempdir().unwrap();
    let first = Queue::open(folder.path()).unwrap();
    assert!(
        Queue::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("another process")
    );
    drop(first);
    assert!(Queue::open(folder.path()).is_ok());
}
