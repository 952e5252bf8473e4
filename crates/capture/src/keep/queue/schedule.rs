//! When each entry is due. Names and times only: about a hundred bytes each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::EntryId;

#[derive(Debug, Default)]
pub(super) struct Schedule {
    by_time: BTreeSet<(Instant, EntryId)>,
    /// What was sent and is asked about: its receipt must not wait until a hundred thousand others
    /// are sent.
    questions: BTreeSet<(Instant, EntryId)>,
    /// What is to be signed first: it needs no network and does not wait for one.
    unsigned: BTreeSet<(Instant, EntryId)>,
    by_name: BTreeMap<EntryId, Due>,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    attempts: u32,
    why: Option<Box<str>>,
}

impl Due {
    const fn first(at: Instant) -> Self {
        Self {
            at,
            attempts: 0,
            why: None,
        }
    }
}

impl Schedule {
    /// Makes an entry due; its attempts are forgotten.
    pub(super) fn add(&mut self, id: EntryId, at: Instant) {
        self.remove(id);
        self.by_time.insert((at, id));
        self.by_name.insert(id, Due::first(at));
    }

    /// The same for an entry that is to be signed first.
    pub(super) fn add_unsigned(&mut self, id: EntryId, at: Instant) {
        self.remove(id);
        self.unsigned.insert((at, id));
        self.by_name.insert(id, Due::first(at));
    }

    pub(super) fn remove(&mut self, id: EntryId) {
        if let Some(due) = self.by_name.remove(&id) {
            self.by_time.remove(&(due.at, id));
            self.questions.remove(&(due.at, id));
            self.unsigned.remove(&(due.at, id));
        }
    }

    /// Counts an attempt and makes the entry due later. Entries that are gone stay gone.
    pub(super) fn postpone(&mut self, id: EntryId, until: Instant, why: Option<String>) {
        if self.again(id, until, why) {
            self.by_time.insert((until, id));
        }
    }

    /// The same for an entry that only has to be asked about: it comes before others once it is
    /// due.
    pub(super) fn ask_later(&mut self, id: EntryId, until: Instant) {
        if self.again(id, until, None) {
            self.questions.insert((until, id));
        }
    }

    /// The same for an entry that could not be signed.
    pub(super) fn sign_later(&mut self, id: EntryId, until: Instant, why: Option<String>) {
        if self.again(id, until, why) {
            self.unsigned.insert((until, id));
        }
    }

    fn again(&mut self, id: EntryId, at: Instant, why: Option<String>) -> bool {
        let attempts = self.attempts(id).saturating_add(1);
        let there = self.contains(id);
        if there {
            self.remove(id);
            let why = why.map(String::into_boxed_str);
            self.by_name.insert(id, Due { at, attempts, why });
        }
        there
    }

    /// Makes everything due.
    pub(super) fn hurry(&mut self, now: Instant) {
        let unsigned: BTreeSet<EntryId> = self.unsigned.iter().map(|(_, id)| *id).collect();
        let ids: Vec<EntryId> = self.by_name.keys().copied().collect();
        for id in ids {
            match unsigned.contains(&id) {
                true => self.add_unsigned(id, now),
                false => self.add(id, now),
            }
        }
    }

    pub(super) fn contains(&self, id: EntryId) -> bool {
        self.by_name.contains_key(&id)
    }

    pub(super) fn attempts(&self, id: EntryId) -> u32 {
        self.by_name.get(&id).map_or(0, |due| due.attempts)
    }

    pub(super) fn why(&self, id: EntryId) -> Option<String> {
        let due = self.by_name.get(&id)?;
        due.why.as_deref().map(str::to_owned)
    }

    /// Whatever is to be signed first.
    pub(super) fn first_unsigned(&self) -> Option<(Instant, EntryId)> {
        self.unsigned.first().copied()
    }

    /// Whatever is due first; a question that is due comes before everything else.
    pub(super) fn first(&self, now: Instant) -> Option<(Instant, EntryId)> {
        let question = self.questions.first().copied();
        let other = self.by_time.first().copied();
        match (question, other) {
            (Some(question), Some(other)) if question.0 > now => Some(question.min(other)),
            (question, other) => question.or(other),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn after(&self, after: Option<EntryId>) -> impl Iterator<Item = EntryId> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.by_name.range((from, Unbounded)).map(|(id, _)| *id)
    }
}
