//! How many submissions may wait, and for whom.
//!
//! Each authority has a share of the queue of its own, so one that is away takes no room of
//! another. What cannot be checked here (a token without a certificate) can come from anybody, as
//! often as he likes: it has a fifth of the share, and never keeps out what was signed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Kind;

/// Of an authority's share, one in so many places is for what cannot be checked here.
const UNVERIFIED: u64 = 5;

/// The queue's room, by authority and kind.
#[derive(Debug)]
pub struct QueueRoom {
    share: u64,
    lanes: BTreeMap<String, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    signed: AtomicU64,
    unverified: AtomicU64,
}

impl Waiting {
    const fn of(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Signed => &self.signed,
            Kind::Unverified => &self.unverified,
        }
    }
}

impl QueueRoom {
    /// Room for `most` submissions, shared by these authorities; those nobody is asked about have
    /// as much as one of them.
    pub fn new<'a>(most: u64, authorities: impl Iterator<Item = &'a str>) -> Self {
        let named: Vec<_> = authorities.collect();
        let share = most / (named.len() as u64).max(1);
        let lanes = named.into_iter().chain([super::NOBODY]);
        Self {
            share: share.max(1),
            lanes: lanes
                .map(|name| (name.to_owned(), Waiting::default()))
                .collect(),
        }
    }

    fn unverified_share(&self) -> u64 {
        (self.share / UNVERIFIED).max(1)
    }

    /// Whether one more of this kind may wait for this authority.
    pub fn has_room(&self, authority: &str, kind: Kind) -> bool {
        let Some(lane) = self.lanes.get(authority) else {
            return false;
        };
        let most = match kind {
            Kind::Signed => self.share,
            Kind::Unverified => self.unverified_share(),
        };
        lane.of(kind).load(Ordering::Relaxed) < most
    }

    /// Whether anything may wait for anybody.
    pub fn has_any(&self) -> bool {
        self.lanes
            .keys()
            .any(|name| self.has_room(name, Kind::Signed) || self.has_room(name, Kind::Unverified))
    }

    /// Notes that so many more wait.
    pub fn add(&self, authority: &str, kind: Kind, count: u64) {
        if let Some(lane) = self.lanes.get(authority) {
            lane.of(kind).fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Notes that one waits no longer.
    pub fn remove(&self, authority: &str, kind: Kind) {
        if let Some(lane) = self.lanes.get(authority) {
            // Fewer than none cannot wait; a count that was off is right again at the next start.
            let _ = lane
                .of(kind)
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    count.checked_sub(1)
                });
        }
    }

    /// How many wait, of a kind or of both.
    pub fn waiting(&self, kind: Option<Kind>) -> u64 {
        let kinds = [Kind::Signed, Kind::Unverified];
        let counted = kinds
            .into_iter()
            .filter(|one| kind.is_none_or(|kind| kind == *one));
        counted
            .flat_map(|kind| self.lanes.values().map(move |lane| lane.of(kind)))
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// The shares that are full, each with the kind that is turned away.
    pub fn full(&self) -> Vec<(&str, Kind)> {
        let kinds = [Kind::Signed, Kind::Unverified];
        let all = self
            .lanes
            .keys()
            .flat_map(|name| kinds.map(|kind| (name.as_str(), kind)));
        all.filter(|(name, kind)| !self.has_room(name, *kind))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_full_for_one_authority_and_one_kind() {
        let room = QueueRoom::new(20, ["one", "other"].into_iter());
        room.add("one", Kind::Unverified, 2);
        assert!(!room.has_room("one", Kind::Unverified));
        assert!(room.has_room("one", Kind::Signed) && room.has_room("other", Kind::Unverified));
        assert_eq!(room.full(), [("one", Kind::Unverified)]);
        room.add("one", Kind::Signed, 10);
        assert!(!room.has_room("one", Kind::Signed));
        assert!(room.has_room("other", Kind::Signed) && room.has_any());
        assert_eq!(
            (room.waiting(None), room.waiting(Some(Kind::Signed))),
            (12, 10)
        );
        room.remove("one", Kind::Unverified);
        assert!(room.has_room("one", Kind::Unverified));
        room.remove("other", Kind::Signed);
        assert_eq!(room.waiting(Some(Kind::Signed)), 10);
        assert!(!room.has_room("nobody we know", Kind::Signed));
    }
}
