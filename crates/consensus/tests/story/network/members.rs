//! The validators change while others follow: who joins votes from the next height on, who leaves
//! goes on following, and nobody who follows is shown evidence.

use super::*;

/// The entries of the four and of whoever came later.
fn entries(numbers: &[u8]) -> Vec<Validator> {
    numbers
        .iter()
        .map(|number| entry_with(*number, *number))
        .collect()
}

fn set(entries: Vec<Validator>) -> ValidatorSet {
    ValidatorSet::new(entries).unwrap()
}

#[test]
fn a_follower_becomes_a_member_decides_with_the_others_and_leaves_again() {
    simulate(async {
        let mut network = Network::of(5);
        for number in 0..5 {
            network.start(number).await;
        }
        for number in ALL {
            network.submit(number);
            network.all_stored(&[0, 1, 2, 3, 4], 10).await;
        }
        let private = |network: &Network| {
            let private = network.wires.private.lock().unwrap();
            private.get(&name(4)).copied()
        };
        assert_eq!(
            private(&network),
            None,
            "a follower sees no evidence and no votes"
        );

        let (present, five) = (four().validators, set(entries(&[0, 1, 2, 3, 4])));
        let signers = [keys(0), keys(1), keys(2)];
        network.change(&present, entries(&[0, 1, 2, 3, 4]), &signers);
        network.followed(&[0, 1, 2, 3, 4], &five).await;
        // With one of the four away its vote is needed.
        network.kill(0);
        for _ in 0..6 {
            network.submit_to(4, &[1, 2, 3, 4]);
            network.all_stored(&[1, 2, 3, 4], 30).await;
        }
        assert!(private(&network).is_some());
        network.start(0).await;
        network.all_stored(&[0, 1, 2, 3, 4], 30).await;

        // The first of the founders leaves, by the votes of the five.
        let signers = [keys(1), keys(2), keys(3), keys(4)];
        network.change(&five, entries(&[1, 2, 3, 4]), &signers);
        let last = set(entries(&[1, 2, 3, 4]));
        network.followed(&[0, 1, 2, 3, 4], &last).await;
        let before = network.wires.private.lock().unwrap().get(&name(0)).copied();
        network.submit_to(1, &[1, 2, 3, 4]);
        // It goes on following.
        network.all_stored(&[0, 1, 2, 3, 4], 30).await;
        assert_eq!(
            network.wires.private.lock().unwrap().get(&name(0)).copied(),
            before
        );
        assert_eq!(network.stopped(0), None);
        // Three of the four that are left decide without it; two do not.
        network.kill(1);
        network.submit_to(2, &[2, 3, 4]);
        network.all_stored(&[2, 3, 4], 30).await;
        network.kill(2);
        let height = network.height(3);
        network.submit_to(3, &[3, 4]);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(network.height(3), height, "a former member is no vote");
        network.start(1).await;
        network.start(2).await;
        network.all_stored(&[0, 1, 2, 3, 4], 60).await;
        network.audit(&[0, 1, 2, 3, 4]);
        for member in &network.members {
            assert!(member.memory.state().reported.is_empty());
        }
    });
}

#[test]
fn a_member_votes_with_another_key_once_the_others_agreed() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit(0);
        network.all_stored(&ALL, 10).await;
        // Its machine was lost; a new one follows under its name.
        network.kill(3);
        network.members[3].memory.state().chain.clear();
        network.members[3].memory.state().promised = 0;
        std::fs::remove_dir_all(network.members[3].folder.path()).unwrap();
        std::fs::create_dir(network.members[3].folder.path()).unwrap();
        network.start_with(3, keys(9)).await;
        network.all_stored(&ALL, 30).await;
        network.kill(2);
        let height = network.height(0);
        network.submit_to(0, &[0, 1, 3]);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(network.height(0), height, "its new key does not count yet");
        network.start(2).await;
        let mut next = entries(&[0, 1, 2]);
        next.push(entry_with(3, 9));
        network.change(
            &four().validators,
            next.clone(),
            &[keys(0), keys(1), keys(2)],
        );
        network.followed(&ALL, &set(next)).await;
        network.kill(2);
        network.submit_to(0, &[0, 1, 3]);
        network.all_stored(&[0, 1, 3], 30).await;
        network.start(2).await;
        network.all_stored(&ALL, 30).await;
        network.audit(&ALL);
    });
}

#[test]
fn a_change_that_too_few_agreed_on_costs_no_turn_and_is_never_decided() {
    simulate(async {
        let mut network = Network::started().await;
        network.change(
            &four().validators,
            entries(&[0, 1, 2, 3, 4]),
            &[keys(0), keys(1)],
        );
        for number in ALL {
            network.submit(number);
            network.all_stored(&ALL, 10).await;
        }
        for number in ALL {
            let state = network.members[usize::from(number)].memory.state();
            assert!(
                state
                    .chain
                    .iter()
                    .all(|decided| decided.block.change.is_none())
            );
        }
        network.audit(&ALL);
    });
}
