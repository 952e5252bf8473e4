//! Who votes and who misses its votes, as far as this member hears. For people: no decision follows
//! from it.

use std::collections::{BTreeMap, BTreeSet};

use birthmark_ledger::{Height, KeyName};

use super::state::Votes;

/// Over how many of the newest blocks it is counted.
const REMEMBERED: usize = 100;

/// Whose votes were heard, by height.
#[derive(Default)]
pub(super) struct Attendance(BTreeMap<Height, Heard>);

#[derive(Default)]
struct Heard {
    voted: BTreeSet<KeyName>,
    /// We took part. Of a block that was fetched later nobody's votes were heard.
    was_here: bool,
}

impl Attendance {
    /// A member's link brought a vote of its own, soon enough or late.
    pub fn voted(&mut self, name: &KeyName, height: Height, tip: Height) {
        let is_next = height == tip.next();
        if !is_next && !self.0.contains_key(&height) {
            return;
        }
        let heard = self.0.entry(height).or_default();
        if !heard.voted.contains(name) {
            heard.voted.insert(name.clone());
        }
    }

    /// A block was decided here, with the votes of these members.
    pub fn decided(&mut self, height: Height, voters: impl Iterator<Item = KeyName>) {
        let heard = self.0.entry(height).or_default();
        heard.was_here = true;
        heard.voted.extend(voters);
        // The newest one is not counted yet.
        while self.0.len() > REMEMBERED + 1 {
            self.0.pop_first();
        }
    }

    /// How many of its votes were missed. Those for the newest block may be on their way.
    pub fn votes_of(&self, name: &KeyName) -> Votes {
        let Some(newest) = self.newest() else {
            return Votes::default();
        };
        let mut votes = Votes::default();
        for heard in self.0.range(..newest).map(|(_, heard)| heard) {
            if heard.was_here {
                votes.expected += 1;
                votes.missed += u32::from(!heard.voted.contains(name));
            }
        }
        votes
    }

    fn newest(&self) -> Option<Height> {
        let decided = self.0.iter().rev().find(|(_, heard)| heard.was_here);
        decided.map(|(height, _)| *height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> KeyName {
        KeyName::new(text).unwrap()
    }

    #[test]
    fn late_votes_count_and_blocks_that_were_fetched_do_not() {
        let (one, two) = (name("one.example"), name("two.example"));
        let mut attendance = Attendance::default();
        let voters = || std::iter::once(name("one.example"));
        assert_eq!(attendance.votes_of(&one), Votes::default());
        for height in [1, 2, 5, 6] {
            attendance.decided(Height::new(height), voters());
        }
        // Block 6 is the newest; 3 and 4 were fetched.
        let votes = |missed| Votes {
            missed,
            expected: 3,
        };
        assert_eq!(attendance.votes_of(&one), votes(0));
        assert_eq!(attendance.votes_of(&two), votes(3));
        attendance.voted(&two, Height::new(5), Height::new(6));
        attendance.voted(&two, Height::new(4), Height::new(6));
        attendance.voted(&two, Height::new(9), Height::new(6));
        assert_eq!(attendance.votes_of(&two), votes(2));
        attendance.voted(&two, Height::new(7), Height::new(6));
        attendance.decided(Height::new(7), voters());
        attendance.decided(Height::new(8), voters());
        let expected = 5;
        assert_eq!(
            attendance.votes_of(&two),
            Votes {
                missed: 3,
                expected
            }
        );
    }

    #[test]
    fn only_the_newest_blocks_are_remembered() {
        let mut attendance = Attendance::default();
        for height in 1..=1000 {
            attendance.decided(Height::new(height), std::iter::empty());
        }
        let votes = attendance.votes_of(&name("one.example"));
        let missed = REMEMBERED as u32;
        assert_eq!(
            votes,
            Votes {
                missed,
                expected: missed
            }
        );
    }
}
