//! Blocks travel by the names of what was pushed before.

use super::*;

const WHOLE: u8 = 5;
const BARE: u8 = 11;
const TRANSACTIONS: u8 = 13;

/// Passes a block on before it arrives, with evidence that carries nothing.
pub(super) fn spoil(wires: &Wires, from: &KeyName, to: &KeyName, message: &Message) {
    let spoiler = wires.spoiler.lock().unwrap().clone();
    let (Some((liar, memory)), Message::BareBody { height, proposal }) = (spoiler, message) else {
        return;
    };
    if liar == *from || liar == *to {
        return;
    }
    let bare = BareProposal::parse(proposal).unwrap();
    let pool = memory.state().pool.clone();
    let offers = bare.transactions.iter().map(|name| {
        let mut offers = pool.iter().map(|(offer, _)| offer);
        let known = offers.find(|offer| offer.transaction.hash() == *name);
        Offer {
            transaction: known.unwrap().transaction.clone(),
            evidence: Evidence::default(),
        }
    });
    let spoiled = bare.clone().with(offers.collect());
    let body = Message::Body {
        height: *height,
        proposal: spoiled.encode().into(),
    };
    if let Some(inbox) = wires.inboxes.lock().unwrap().get(to) {
        inbox.try_send((liar, body)).unwrap();
    }
}

fn sent(network: &Network, kind: u8) -> usize {
    let kinds = network.wires.kinds.lock().unwrap();
    kinds.get(&kind).copied().unwrap_or_default()
}

#[test]
fn what_all_have_is_not_sent_again() {
    simulate(async {
        let mut network = Network::started().await;
        for number in 0..20 {
            network.submit(number % 4);
            sleep(Duration::from_millis(300)).await;
        }
        network.all_stored(&ALL, 10).await;
        network.audit(&ALL);
        assert!(sent(&network, BARE) >= 3);
        assert_eq!(
            (sent(&network, WHOLE), sent(&network, TRANSACTIONS)),
            (0, 0)
        );
    });
}

#[test]
fn who_lacks_a_transaction_gets_that_one_alone() {
    simulate(async {
        let mut network = Network::started().await;
        network.submit(0);
        // Two do not have it, so without it nothing is decided.
        network.submit_to(0, &[0, 1]);
        network.all_stored(&ALL, 5).await;
        network.audit(&ALL);
        assert!(sent(&network, TRANSACTIONS) >= 2);
        assert_eq!(sent(&network, WHOLE), 0);
    });
}

#[test]
fn a_whole_block_comes_where_the_answer_is_lost() {
    simulate(async {
        let mut network = Network::started().await;
        network.wires.swallowed.lock().unwrap().insert(TRANSACTIONS);
        network.submit_to(0, &[0, 1]);
        network.all_stored(&ALL, 20).await;
        network.audit(&ALL);
        assert!(sent(&network, WHOLE) > 0);
    });
}

#[test]
fn evidence_that_a_member_spoils_on_the_way_does_not_count_against_the_block() {
    simulate(async {
        let mut network = Network::started().await;
        let liar = (name(3), network.members[3].memory.clone());
        network.wires.spoiler.lock().unwrap().replace(liar);
        network.submit(0);
        let took = network.all_stored(&ALL, 30).await;
        assert!(took < Duration::from_millis(1500), "{took:?}");
        network.audit(&ALL);
    });
}
