//! What this validator knows about the others, for people.

use std::sync::Arc;

use birthmark_consensus::NetworkState;
use birthmark_ledger::{BlockTime, KeyName, Tip};
use birthmark_link::Hub;
use birthmark_protocol::api::MemberStatus;
use tokio::sync::watch;

use super::{has_no_peer, unreachable};
use crate::contradictions::Contradictions;

/// After so many seconds without a word a member is away.
const AWAY: u64 = 30;
/// A member this many blocks behind is named.
const BEHIND: u64 = 5;
/// A member is named that misses one of so many votes.
const MISSES: u32 = 3;
/// Fewer votes than these say nothing.
const ENOUGH: u32 = 10;

/// The other members, as far as they were heard of.
pub struct Neighbours {
    state: watch::Receiver<NetworkState>,
    hub: Hub,
    contradictions: Arc<Contradictions>,
}

impl Neighbours {
    /// The others of a network.
    pub const fn new(
        state: watch::Receiver<NetworkState>,
        hub: Hub,
        contradictions: Arc<Contradictions>,
    ) -> Self {
        Self {
            state,
            hub,
            contradictions,
        }
    }

    /// How many others can be reached.
    pub fn linked(&self) -> usize {
        let linked = self.hub.names().filter(|name| self.hub.is_connected(name));
        linked.count()
    }

    /// How many others there should be links to.
    pub fn expected(&self) -> usize {
        self.hub.names().count()
    }

    /// The attempt at the height that runs; `None` while nothing waits.
    pub fn round(&self) -> Option<u32> {
        self.state.borrow().round
    }

    /// What proofs of contradictions there are, in words.
    pub fn contradictions(&self) -> Vec<String> {
        self.contradictions.list()
    }

    /// How each of the others is doing, in the order of their names.
    pub fn members(&self, tip: &Tip, now: BlockTime) -> Vec<MemberStatus> {
        let state = self.state.borrow().clone();
        let (own, validators) = (tip.height(), tip.validators().validators());
        let member = |name: &KeyName| {
            let heard = state.members.get(name);
            let decided = heard.map(|member| member.decided.get());
            let votes = heard.map(|member| member.votes);
            let silent = heard.map(|member| now.millis_since(member.heard).max(0));
            MemberStatus {
                name: name.to_string(),
                is_validator: validators.iter().any(|one| one.name == *name),
                is_linked: self.hub.is_connected(name),
                heard_seconds_ago: silent.map(|millis| millis.unsigned_abs() / 1000),
                block_height: decided,
                blocks_behind: decided.map(|decided| own.get().saturating_sub(decided)),
                votes_missed: votes.map_or(0, |votes| votes.missed),
                votes_expected: votes.map_or(0, |votes| votes.expected),
            }
        };
        self.hub.names().map(member).collect()
    }

    /// What should be looked at, in words.
    pub fn warnings(&self, tip: &Tip, own: &str, now: BlockTime) -> Vec<String> {
        let mut warnings = self.contradictions.list();
        if let Some(until) = self.state.borrow().abstains_until {
            warnings.push(format!(
                "this validator does not vote up to height {until}: it may have voted there before"
            ));
        }
        let peers: Vec<_> = self.hub.names().cloned().collect();
        let strangers = unreachable(&peers, tip.validators(), own);
        warnings.extend(strangers.iter().map(has_no_peer));
        warnings.extend(self.members(tip, now).iter().filter_map(trouble));
        warnings
    }
}

/// What is wrong with a member, if anything is. A follower may come and go.
fn trouble(member: &MemberStatus) -> Option<String> {
    if !member.is_validator {
        return None;
    }
    let name = &member.name;
    let silent = member
        .heard_seconds_ago
        .is_none_or(|seconds| seconds > AWAY);
    let behind = member.blocks_behind.filter(|blocks| *blocks > BEHIND);
    let misses_many =
        member.votes_expected >= ENOUGH && member.votes_missed * MISSES >= member.votes_expected;
    match () {
        () if silent => Some(format!("{name} was not heard of lately")),
        () if !member.is_linked => Some(format!("{name} cannot be reached from here")),
        () if behind.is_some() => behind.map(|blocks| format!("{name} is {blocks} blocks behind")),
        () if misses_many => Some(format!("{name} missed {}", votes(member))),
        () => None,
    }
}

/// How another node is doing, in words.
pub fn in_words(member: &MemberStatus) -> String {
    match member.is_validator {
        true => state_of(member),
        false => format!("a follower, {}", state_of(member)),
    }
}

fn state_of(member: &MemberStatus) -> String {
    let Some(seconds) = member.heard_seconds_ago else {
        return "not heard of".to_owned();
    };
    let place = match member.blocks_behind {
        None | Some(0) => "level with this one".to_owned(),
        Some(1) => "1 block behind".to_owned(),
        Some(blocks) => format!("{blocks} blocks behind"),
    };
    match () {
        () if seconds > AWAY => format!("not heard of for {seconds} s, {place} then"),
        () if !member.is_linked => format!("{place}, and cannot be reached from here"),
        () => place,
    }
}

/// How many votes of a member were missed, in words.
pub fn votes(member: &MemberStatus) -> String {
    if !member.is_validator {
        return "none, it has none".to_owned();
    }
    let (missed, expected) = (member.votes_missed, member.votes_expected);
    format!("{missed} of its last {expected} votes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> MemberStatus {
        MemberStatus {
            name: "archive.example".to_owned(),
            is_validator: true,
            is_linked: true,
            heard_seconds_ago: Some(2),
            block_height: Some(400),
            blocks_behind: Some(0),
            votes_missed: 0,
            votes_expected: 100,
        }
    }

    #[test]
    fn who_is_away_behind_or_misses_votes_is_named() {
        assert_eq!(trouble(&member()), None);
        let told = |change: fn(&mut MemberStatus)| {
            let mut changed = member();
            change(&mut changed);
            trouble(&changed).unwrap_or_default()
        };
        for (said, wanted) in [
            (
                told(|one| one.heard_seconds_ago = None),
                "was not heard of lately",
            ),
            (
                told(|one| one.heard_seconds_ago = Some(31)),
                "was not heard of lately",
            ),
            (
                told(|one| one.is_linked = false),
                "cannot be reached from here",
            ),
            (
                told(|one| one.blocks_behind = Some(6)),
                "is 6 blocks behind",
            ),
            (
                told(|one| one.votes_missed = 40),
                "missed 40 of its last 100 votes",
            ),
        ] {
            assert_eq!(said, format!("archive.example {wanted}"));
        }
        let follows = told(|one| (one.is_validator, one.is_linked) = (false, false));
        assert_eq!(follows, "", "a follower may come and go");
        let few = told(|one| (one.votes_missed, one.votes_expected) = (9, 9));
        assert_eq!(few, "", "too few to say anything");
    }

    #[test]
    fn a_member_is_described_as_an_operator_would() {
        let said = |change: fn(&mut MemberStatus)| {
            let mut changed = member();
            change(&mut changed);
            in_words(&changed)
        };
        assert_eq!(said(|_| {}), "level with this one");
        let follows = said(|one| one.is_validator = false);
        assert_eq!(follows, "a follower, level with this one");
        assert_eq!(said(|one| one.blocks_behind = Some(12)), "12 blocks behind");
        let away = said(|one| one.heard_seconds_ago = Some(90));
        assert_eq!(away, "not heard of for 90 s, level with this one then");
        let cut = said(|one| one.is_linked = false);
        assert_eq!(cut, "level with this one, and cannot be reached from here");
        assert_eq!(said(|one| one.heard_seconds_ago = None), "not heard of");
    }
}
