//! Evidence that was checked before.
//!
//! Each validator meets the same evidence several times: when a transaction is pushed to it, when
//! it proposes, and in every block that is proposed to it, of which several may fail at one height.
//! Verifying the signatures each time made the judgement of a full block take longer than a round,
//! when the machine was slow and much waited; the next round then had even more to judge.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use birthmark_protocol::{Commitment, Digest};

/// How many commitments are remembered: 40 bytes each, and more than ten full blocks have.
const MOST: usize = 50_000;

/// Commitments of a transaction, with the records they stand behind.
pub(super) type Own = Arc<[(usize, Commitment)]>;

/// Remembers what was found good, under one set of authorities. What was refused is judged anew
/// each time.
#[derive(Debug, Default)]
pub struct CheckedBefore(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    good: HashMap<Digest, Own>,
    oldest: VecDeque<Digest>,
    held: usize,
}

impl CheckedBefore {
    pub(super) fn get(&self, name: &Digest) -> Option<Own> {
        self.lock().good.get(name).map(Arc::clone)
    }

    pub(super) fn add(&self, name: Digest, own: &Own) {
        let mut memory = self.lock();
        if memory.good.insert(name, Arc::clone(own)).is_some() {
            return;
        }
        memory.oldest.push_back(name);
        memory.held += weight(own);
        while memory.held > MOST {
            let Some(oldest) = memory.oldest.pop_front() else {
                return;
            };
            let gone = memory.good.remove(&oldest);
            memory.held -= gone.map_or(0, |own| weight(&own));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One without commitments takes room, too.
fn weight(own: &Own) -> usize {
    own.len() + 1
}

#[cfg(test)]
mod tests {
    use birthmark_protocol::Opening;

    use super::*;

    #[test]
    fn the_oldest_is_forgotten_when_there_is_no_more_room() {
        let checked = CheckedBefore::default();
        let commitment = Commitment::new(&Digest::of(b"photo"), &Opening::from_bytes([1; 32]));
        let own: Own = vec![(0, commitment); 999].into();
        let name = |number: usize| Digest::of(&number.to_be_bytes());
        let room = MOST / 1000;
        (0..=room).for_each(|number| checked.add(name(number), &own));
        assert!(checked.get(&name(0)).is_none());
        for number in [1, room] {
            assert_eq!(checked.get(&name(number)), Some(Arc::clone(&own)));
        }
        // The same one again takes no more room.
        (0..room).for_each(|_| checked.add(name(room), &own));
        assert!(checked.get(&name(1)).is_some());
    }
}
