//! Questions from their beginning to their end, against answerers that say the truth and others
//! that lie.

use super::*;
use crate::FileDigests;

/// What a validator of this world answers, with one kind of lie or none.
fn served(world: &World, lie: Lie, file: &str) -> Option<Vec<u8>> {
    let all = world.parts_bytes(matches!(lie, Lie::HidesNewest).then(|| world.blocks.len() - 1));
    match file {
        "api/v1/head" => Some(world.head().to_string().into_bytes()),
        NOTICES => match lie {
            Lie::KnowsNothing => None,
            _ => Some(world.notices.to_string().into_bytes()),
        },
        "api/v1/headers/0" => Some(all.1),
        "api/v1/records/0" => Some(all.0),
        range => {
            let (height, prefix) = range.strip_prefix("api/v1/index/")?.split_once('/')?;
            let newest = world.standing().newest().index_height.to_string();
            if height != newest {
                return None;
            }
            let mut tree = world.named.clone();
            if matches!(lie, Lie::InventsRecord) {
                tree.insert_all([(digest("invented"), 0)]);
            }
            Some(tree.prove(prefix.parse().unwrap()).encode())
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Lie {
    None,
    HidesNewest,
    InventsRecord,
    KnowsNothing,
}

fn file_of(name: &str) -> FileDigests {
    FileDigests {
        kind: crate::FileKind::Picture,
        ..FileDigests::of_digest(digest(name))
    }
}

/// Drives a question to its end, and the files that were asked for.
fn driven(world: &World, names: &[&str], lie: Lie) -> (Session, Vec<String>) {
    believing(&Trusted::genesis(&world.genesis), world, names, lie)
}

/// The same by somebody who trusts a later set.
fn believing(trusted: &Trusted, world: &World, names: &[&str], lie: Lie) -> (Session, Vec<String>) {
    let digests = names.iter().map(|name| digest(name));
    let mut session = Session::new(trusted.clone(), digests, [3; 32]);
    let mut asked = Vec::new();
    while let Ok(files) = session.wants() {
        if files.is_empty() {
            break;
        }
        for file in files {
            session.take(&file, served(world, lie, &file).as_deref());
            asked.push(file);
        }
        assert!(asked.len() < 100, "{asked:?}");
    }
    (session, asked)
}

#[test]
fn a_session_names_no_digest_and_ends_with_a_card_for_each_file() {
    let world = World::of(&[&["one", "two"], &["three"]]);
    let (session, asked) = driven(&world, &["one", "three", "none"], Lie::None);
    for name in ["one", "three", "none"] {
        let hex = digest(name).to_hex();
        assert!(asked.iter().all(|file| !file.contains(&hex)), "{asked:?}");
    }
    for name in ["one", "three"] {
        let judged = session.judge(&file_of(name), None);
        assert!(
            judged.card.holds() && judged.card.checked.is_some(),
            "{:?}",
            judged.card
        );
        let choice = session.choice(&file_of(name)).unwrap();
        assert!(session.receipt(&choice).is_some());
    }
    let absent = session.judge(&file_of("none"), None).card;
    assert_eq!(absent.headline, "Not in this registry as of block 2");
    assert!(session.told().contains("no digest"), "{}", session.told());
}

#[test]
fn a_session_shows_every_lie_as_refused_and_says_which() {
    let world = World::of(&[&["one", "two"], &["three"]]);
    for (lie, words) in [
        (Lie::HidesNewest, "record 2 is missing or another"),
        (Lie::InventsRecord, "another root than the header's"),
    ] {
        let (session, _) = driven(&world, &["one"], lie);
        let card = session.judge(&file_of("one"), None).card;
        assert_eq!(
            card.headline, "The answer was refused: it does not hold",
            "{lie:?}"
        );
        assert!(card.sentence.contains(words), "{lie:?}: {}", card.sentence);
        assert!(!card.holds() && card.matched.is_none());
    }
    let (session, _) = driven(&world, &["one"], Lie::KnowsNothing);
    let card = session.judge(&file_of("one"), None).card;
    assert!(
        card.holds() && card.notes[0].contains("could not be asked"),
        "{card:?}"
    );
}

#[test]
fn a_session_begins_again_where_the_index_has_moved_on_and_then_gives_up() {
    let world = World::of(&[&["one"], &["two"]]);
    let mut session = Session::new(Trusted::genesis(&world.genesis), [digest("one")], [3; 32]);
    let mut heads = 0;
    let error = loop {
        match session.wants() {
            Err(error) => break error.to_string(),
            Ok(files) => {
                for file in files {
                    heads += u32::from(file == Standing::ADDRESS);
                    let bytes = served(&world, Lie::None, &file);
                    let is_range = file.starts_with("api/v1/index/");
                    session.take(&file, bytes.as_deref().filter(|_| !is_range));
                }
            }
        }
    };
    assert_eq!((heads, error.as_str()), (3, "it has no api/v1/index/1/all"));
    let card = session.judge(&file_of("one"), None).card;
    assert_eq!(card.headline, "It could not be found out");
}

#[test]
fn the_originals_of_an_edit_are_asked_only_where_something_is_known_against_anybody() {
    let mut world = World::of(&[&["one"], &["edit of one"], &["three"]]);
    let (session, before) = driven(&world, &["edit of one"], Lie::None);
    let judged = session.judge(&file_of("edit of one"), None);
    assert!(judged.card.holds() && judged.family.is_none());
    world.notices = json!({"notices": [{"authority": "TEST_MAKER", "device_family": "Test camera",
        "from": START, "until": null, "reason": "firmware 2.0"}]});
    let (session, _) = driven(&world, &["edit of one"], Lie::None);
    let judged = session.judge(&file_of("edit of one"), None);
    assert_eq!(judged.card.tone, crate::Tone::Withdrawn);
    assert!(
        judged.card.warnings[0].contains("firmware 2.0"),
        "{:?}",
        judged.card.warnings
    );
    let family = judged.family.unwrap();
    assert_eq!(family.made_from[0].digest, digest("one"));
    assert_eq!(before.len(), 5, "{before:?}");
}

#[test]
fn whoever_trusts_a_later_set_is_shown_absence_and_what_that_set_decided() {
    let mut world = World::of(&[&["one", "two"], &["three", "two"], &["edit of one"]]);
    let genesis = Trusted::genesis(&world.genesis);
    let set = genesis.validators().clone();
    let later = genesis.later(Height::new(2), set);
    let names = ["one", "two", "three", "none", "edit of one"];
    let (session, _) = believing(&later, &world, &names, Lie::None);
    let card = |name| session.judge(&file_of(name), None).card;
    assert!(card("three").holds() && card("three").notes.is_empty());
    assert!(card("none").sentence.starts_with("Proven as of block 3"));
    // The index names it, but nobody whom this reader trusts has signed what its record says.
    let one = card("one");
    assert_eq!((one.tone, one.holds()), (crate::Tone::Unproven, false));
    assert!(
        one.sentence
            .contains("block 1 is older than the trusted validators"),
        "{}",
        one.sentence
    );
    let two = card("two");
    assert!(two.holds() && two.notes[0].contains("Other records of it were not checked"));
    assert!(card("edit of one").notes.is_empty());

    // Something is known against somebody, and the original cannot be checked: that is said.
    world.notices = json!({"notices": [{"authority": "TEST_MAKER", "device_family": "Test camera",
        "from": START, "until": null, "reason": "firmware 2.0"}]});
    let (session, _) = believing(&later, &world, &["edit of one"], Lie::None);
    let edit = session.judge(&file_of("edit of one"), None).card;
    assert!(
        edit.notes[0].contains("what it was made from was withdrawn is not known"),
        "{:?}",
        edit.notes
    );
}

#[test]
fn a_later_set_with_other_validators_believes_no_answer_of_this_registry() {
    let world = World::of(&[&["one"], &["two"]]);
    let genesis = Trusted::genesis(&world.genesis);
    let mut others = genesis.validators().validators().to_vec();
    others[0].name = "another.example".parse().unwrap();
    let others = birthmark_ledger::ValidatorSet::new(others).unwrap();
    let later = genesis.later(Height::new(2), others);
    let (session, _) = believing(&later, &world, &["one", "none"], Lie::None);
    for name in ["one", "none"] {
        let card = session.judge(&file_of(name), None).card;
        assert!(!card.holds() && card.headline.starts_with("The answer was refused"));
        assert!(
            card.sentence
                .contains("the handovers in between are missing")
        );
    }
}
