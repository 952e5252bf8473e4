//! What a change of validators comes to, in words. One member at a time: then every operator can
//! tell what he agrees to, and never more than one link is new.

use std::fmt;

use birthmark_ledger::{Validator, ValidatorSet};

/// One member comes, goes, or is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new member.
    Joins(Box<Validator>),
    /// One member less.
    Leaves(Box<Validator>),
    /// The first makes way for the second: another institution, or the same with other keys.
    Replaced(Box<Validator>, Box<Validator>),
}

/// Why a change is not one step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// It changes nothing.
    #[error("the validators after it are those before it")]
    Nothing,
    /// It changes too much.
    #[error(
        "{leave} validators leave and {join} join: change one member at a time, and the next one when that is decided"
    )]
    Several {
        /// How many leave.
        leave: usize,
        /// How many join.
        join: usize,
    },
}

impl Step {
    /// From one set to another.
    pub fn between(present: &ValidatorSet, next: &ValidatorSet) -> Result<Self, StepError> {
        let lacks = |set: &ValidatorSet, validator: &&Validator| {
            !set.validators().iter().any(|one| one == *validator)
        };
        let leave = present.validators().iter().filter(|one| lacks(next, one));
        let join = next.validators().iter().filter(|one| lacks(present, one));
        let (leave, join): (Vec<_>, Vec<_>) = (leave.collect(), join.collect());
        match (leave.as_slice(), join.as_slice()) {
            ([], []) => Err(StepError::Nothing),
            ([], [new]) => Ok(Self::Joins(boxed(new))),
            ([old], []) => Ok(Self::Leaves(boxed(old))),
            ([old], [new]) => Ok(Self::Replaced(boxed(old), boxed(new))),
            _ => Err(StepError::Several {
                leave: leave.len(),
                join: join.len(),
            }),
        }
    }

    /// Whose key counts no longer.
    pub fn leaver(&self) -> Option<&Validator> {
        match self {
            Self::Joins(_) => None,
            Self::Leaves(old) | Self::Replaced(old, _) => Some(old),
        }
    }

    /// Whose key counts from then on.
    pub fn joiner(&self) -> Option<&Validator> {
        match self {
            Self::Leaves(_) => None,
            Self::Joins(new) | Self::Replaced(_, new) => Some(new),
        }
    }
}

fn boxed(validator: &Validator) -> Box<Validator> {
    Box::new(validator.clone())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |validator: &Validator| hex::encode(validator.vote_key.to_compressed());
        match self {
            Self::Joins(new) => write!(f, "{} joins with the vote key {}", new.name, key(new)),
            Self::Leaves(old) => write!(f, "{} leaves", old.name),
            Self::Replaced(old, new) if old.name == new.name && old.vote_key == new.vote_key => {
                write!(f, "{} gets other keys for checkpoints", new.name)
            }
            Self::Replaced(old, new) if old.name == new.name => {
                write!(f, "{} gets the vote key {}", new.name, key(new))
            }
            Self::Replaced(old, new) => write!(
                f,
                "{} leaves and {} joins with the vote key {}",
                old.name,
                new.name,
                key(new)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use birthmark_ledger::{CheckpointKey, VoteKey, VoteSigner as _};

    use super::*;

    fn entry(name: &str, key: u8) -> Validator {
        let checkpoint = CheckpointKey::from_seed(&[key; 32]);
        Validator {
            name: name.parse().unwrap(),
            vote_key: VoteKey::from_bytes(&[key; 32]).unwrap().public_key(),
            checkpoint_key: checkpoint.public_key(),
            log_key: checkpoint.log_public_key(),
        }
    }

    fn set(entries: &[(&str, u8)]) -> ValidatorSet {
        let entries = entries.iter().map(|(name, key)| entry(name, *key));
        ValidatorSet::new(entries.collect()).unwrap()
    }

    #[test]
    fn one_member_at_a_time_is_said_in_words_and_more_is_refused() {
        let present = set(&[("a.example", 1), ("b.example", 2)]);
        let said = |next: &[(&str, u8)]| match Step::between(&present, &set(next)) {
            Ok(step) => step.to_string(),
            Err(error) => error.to_string(),
        };
        let key = hex::encode(entry("c.example", 3).vote_key.to_compressed());
        let joins = said(&[("a.example", 1), ("b.example", 2), ("c.example", 3)]);
        assert_eq!(joins, format!("c.example joins with the vote key {key}"));
        assert_eq!(said(&[("a.example", 1)]), "b.example leaves");
        let rotated = said(&[("a.example", 1), ("b.example", 3)]);
        assert_eq!(rotated, format!("b.example gets the vote key {key}"));
        let replaced = said(&[("a.example", 1), ("c.example", 3)]);
        assert!(replaced.starts_with("b.example leaves and c.example joins"));
        let nothing = said(&[("b.example", 2), ("a.example", 1)]);
        assert!(nothing.contains("are those before it"), "{nothing}");
        for several in [
            [("c.example", 3), ("d.example", 4)].as_slice(),
            &[("c.example", 3)],
        ] {
            assert!(said(several).contains("one member at a time"));
        }
    }
}
