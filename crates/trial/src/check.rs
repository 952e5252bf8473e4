//! What the databases hold when everything is over.

use std::collections::BTreeMap;

use anyhow::Context as _;
use birthmark_ledger::Genesis;
use birthmark_node::registry::Registry;
use birthmark_node::store::Store;
use birthmark_protocol::Digest;

use crate::load::Pages;
use crate::member::Member;

/// One validator's registry, from its first block to its last.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The canonical bytes of each block.
    pub(crate) blocks: Vec<Vec<u8>>,
    /// In which blocks each photo is.
    pub(crate) photos: BTreeMap<Digest, Vec<u64>>,
    /// How many proofs it has that a validator contradicted itself.
    pub(crate) contradictions: usize,
}

impl History {
    /// Reads the database of a validator that does not run.
    pub(crate) async fn read(member: &Member, genesis: &Genesis) -> anyhow::Result<Self> {
        let store = Store::open(&member.settings.database).await?;
        let registry = Registry::open(store.clone(), genesis.clone()).await?;
        let mut history = Self::default();
        for height in 1..=registry.tip().height().get() {
            let decided = registry.block(height).await?;
            let decided = decided.with_context(|| format!("block {height} is not there"))?;
            for (_, _, record) in decided.block.records() {
                for image in record.images() {
                    history.photos.entry(image.digest).or_default().push(height);
                }
            }
            history.blocks.push(decided.bytes.clone());
        }
        history.contradictions = store.misbehaviours().await?.len();
        store.close().await;
        Ok(history)
    }
}

/// What is wrong, in words: nothing, if all went well.
pub(crate) fn faults(histories: &[History], pages: &Pages) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(first) = histories.first() else {
        return faults;
    };
    for (number, other) in (2..).zip(histories.iter().skip(1)) {
        let blocks = first.blocks.iter().zip(&other.blocks);
        let fork = blocks.enumerate().find(|(_, (one, two))| one != two);
        if let Some((at, _)) = fork {
            let height = at + 1;
            faults.push(format!(
                "validators 1 and {number} have another block {height}: a fork"
            ));
        }
        let (one, two) = (first.blocks.len(), other.blocks.len());
        if one != two {
            faults.push(format!(
                "validator 1 has {one} blocks and validator {number} has {two}"
            ));
        }
    }
    for (number, history) in (1..).zip(histories) {
        if history.contradictions > 0 {
            let count = history.contradictions;
            faults.push(format!(
                "validator {number} has {count} proofs that somebody contradicted itself"
            ));
        }
        let times = |digest: &Digest| history.photos.get(digest).map_or(0, Vec::len);
        let accepted = pages.accepted.iter().map(|sent| sent.digest);
        let lost = accepted.clone().filter(|digest| times(digest) == 0).count();
        if lost > 0 {
            faults.push(format!(
                "validator {number} lacks {lost} photos that were accepted"
            ));
        }
        let all = accepted.chain(pages.unknown.iter().copied());
        let twice = all.filter(|digest| times(digest) > 1).count();
        if twice > 0 {
            faults.push(format!(
                "validator {number} has {twice} photos more than once"
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::load::Sent;

    fn history(blocks: &[u8], photos: &[&[u8]]) -> History {
        let mut history = History {
            blocks: blocks.iter().map(|byte| vec![*byte]).collect(),
            ..History::default()
        };
        for photo in photos {
            history.photos.entry(Digest::of(photo)).or_default().push(1);
        }
        history
    }

    fn pages(accepted: &[&[u8]], unknown: &[&[u8]]) -> Pages {
        let sent = |photo: &&[u8]| Sent {
            digest: Digest::of(photo),
            at: Instant::now(),
        };
        Pages {
            accepted: accepted.iter().map(sent).collect(),
            unknown: unknown.iter().map(|photo| Digest::of(photo)).collect(),
            ..Pages::default()
        }
    }

    #[test]
    fn a_fork_a_loss_and_a_double_are_each_named() {
        let good = || history(&[1, 2], &[b"a", b"b"]);
        assert!(faults(&[good(), good()], &pages(&[b"a"], &[b"b", b"c"])).is_empty());
        for (other, sent, wanted) in [
            (
                history(&[1, 3], &[b"a"]),
                pages(&[], &[]),
                "another block 2: a fork",
            ),
            (history(&[1], &[b"a"]), pages(&[], &[]), "validator 2 has 1"),
            (
                history(&[1, 2], &[b"b"]),
                pages(&[b"a"], &[]),
                "validator 2 lacks 1",
            ),
            (
                history(&[1, 2], &[b"a", b"a"]),
                pages(&[b"a"], &[]),
                "2 has 1 photos more",
            ),
            (
                history(&[1, 2], &[b"b", b"b"]),
                pages(&[], &[b"b"]),
                "2 has 1 photos more",
            ),
        ] {
            let found = faults(&[good(), other], &sent);
            assert!(
                found.iter().any(|fault| fault.contains(wanted)),
                "{wanted}: {found:?}"
            );
        }
        let mut twofold = good();
        twofold.contradictions = 1;
        let found = faults(&[twofold], &pages(&[], &[]));
        assert!(
            found
                .iter()
                .any(|fault| fault.contains("contradicted itself"))
        );
    }
}
