//! What authorities stated about their epochs, as the registry holds it.
//!
//! One-time keys are signed blind under one key for each family and epoch. The registry takes one
//! key for an epoch and never a second: an authority that made another one to mark some cameras
//! could not use it unseen. Whether an authority really signed a statement is asked before a vote,
//! as for its verdicts; here is what every validator can judge alone.

use std::collections::BTreeMap;
use std::ops::Bound;

use birthmark_protocol::one_time::{
    EpochCount, EpochKey, EpochStatement, EpochWithdrawal, NotAccepted, SignedEpochStatement,
};
use birthmark_protocol::{Digest, Timestamp};

/// Authority, family, number.
type Name = (String, String, u32);

/// Every statement of the registry, by what it is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epochs {
    keys: BTreeMap<Name, SignedEpochStatement>,
    counts: BTreeMap<Name, SignedEpochStatement>,
    withdrawals: BTreeMap<(String, String, Option<u32>), SignedEpochStatement>,
}

/// Why a statement cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    /// The same is there already.
    #[error("the statement is already registered")]
    Repeated,
    /// An epoch has one key, one count and one withdrawal.
    #[error("another statement of this kind is already registered for this epoch")]
    Contradicts,
    /// A count or a withdrawal of something that never was.
    #[error("no key of this epoch is registered")]
    NoKey,
    /// A key that counted before anybody could see it.
    #[error("an epoch's key must be registered before the epoch ends")]
    Late,
    /// The epoch can still grow.
    #[error("an epoch's count is registered after the epoch ended")]
    Early,
}

/// Why a one-time key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Its epoch's key is not registered.
    #[error("no key of its epoch is registered")]
    NoEpoch,
    /// Too early or too late.
    #[error(transparent)]
    Time(#[from] NotAccepted),
    /// Its authority took it back.
    #[error("its authority withdrew the keys of this epoch from {from} on (seconds since 1970)")]
    Withdrawn {
        /// From which block time.
        from: Timestamp,
    },
    /// The record hides that its camera is a rehearsal camera, or says so of another.
    #[error("record and epoch differ about the fingerprint of the sensor")]
    MadeUp,
    /// It stands in a record already.
    #[error("the one-time key was used before")]
    Spent,
}

impl StatementFault {
    /// Whether waiting helps.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::NoKey | Self::Early)
    }
}

impl KeyFault {
    /// Whether waiting helps.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::NoEpoch => true,
            Self::Time(fault) => fault.is_temporary(),
            Self::Withdrawn { .. } | Self::MadeUp | Self::Spent => false,
        }
    }
}

impl Epochs {
    /// Succeeds when a block of this time may hold the statement.
    pub fn check(
        &self,
        signed: &SignedEpochStatement,
        block_time: Timestamp,
    ) -> Result<(), StatementFault> {
        match &signed.statement {
            EpochStatement::Key(key) => {
                unlike(
                    self.keys.get(&name(&key.authority, &key.family, key.epoch)),
                    signed,
                )?;
                if block_time > key.until {
                    return Err(StatementFault::Late);
                }
            }
            EpochStatement::Count(count) => {
                let name = name(&count.authority, &count.family, count.epoch);
                unlike(self.counts.get(&name), signed)?;
                let key = self.key(&name.0, &name.1, name.2);
                if block_time <= key.ok_or(StatementFault::NoKey)?.until {
                    return Err(StatementFault::Early);
                }
            }
            EpochStatement::Withdrawal(EpochWithdrawal {
                authority,
                family,
                epoch,
                ..
            }) => {
                let name = (authority.clone(), family.clone(), *epoch);
                unlike(self.withdrawals.get(&name), signed)?;
                let is_known = match epoch {
                    Some(epoch) => self.key(authority, family, *epoch).is_some(),
                    None => self.of_family(authority, family).next().is_some(),
                };
                if !is_known {
                    return Err(StatementFault::NoKey);
                }
            }
        }
        Ok(())
    }

    /// Takes a registered statement in.
    pub fn insert(&mut self, signed: SignedEpochStatement) {
        match &signed.statement {
            EpochStatement::Key(key) => {
                let name = name(&key.authority, &key.family, key.epoch);
                self.keys.insert(name, signed);
            }
            EpochStatement::Count(count) => {
                let name = name(&count.authority, &count.family, count.epoch);
                self.counts.insert(name, signed);
            }
            EpochStatement::Withdrawal(withdrawal) => {
                let EpochWithdrawal {
                    authority,
                    family,
                    epoch,
                    ..
                } = withdrawal;
                let name = (authority.clone(), family.clone(), *epoch);
                self.withdrawals.insert(name, signed);
            }
        }
    }

    /// The key of an epoch.
    pub fn key(&self, authority: &str, family: &str, epoch: u32) -> Option<&EpochKey> {
        match &self.keys.get(&name(authority, family, epoch))?.statement {
            EpochStatement::Key(key) => Some(key),
            EpochStatement::Count(_) | EpochStatement::Withdrawal(_) => None,
        }
    }

    /// How many signatures were issued under the key of an epoch, once that is stated.
    pub fn issued(&self, authority: &str, family: &str, epoch: u32) -> Option<u64> {
        match &self.counts.get(&name(authority, family, epoch))?.statement {
            EpochStatement::Count(EpochCount { issued, .. }) => Some(*issued),
            EpochStatement::Key(_) | EpochStatement::Withdrawal(_) => None,
        }
    }

    /// The block time from which the keys of an epoch do not count.
    pub fn withdrawn_from(&self, authority: &str, family: &str, epoch: u32) -> Option<Timestamp> {
        let of = |epoch| {
            let name = (authority.to_owned(), family.to_owned(), epoch);
            match &self.withdrawals.get(&name)?.statement {
                EpochStatement::Withdrawal(EpochWithdrawal { from, .. }) => Some(*from),
                EpochStatement::Key(_) | EpochStatement::Count(_) => None,
            }
        };
        of(Some(epoch)).into_iter().chain(of(None)).min()
    }

    /// Succeeds with the epoch's key when one-time keys under it count in a block of this time.
    pub fn counts(
        &self,
        authority: &str,
        family: &str,
        epoch: u32,
        block_time: Timestamp,
    ) -> Result<&EpochKey, KeyFault> {
        let key = self
            .key(authority, family, epoch)
            .ok_or(KeyFault::NoEpoch)?;
        key.accepts(block_time)?;
        match self.withdrawn_from(authority, family, epoch) {
            Some(from) if block_time >= from => Err(KeyFault::Withdrawn { from }),
            _ => Ok(key),
        }
    }

    /// Everything stated about one family, keys first, then counts, then withdrawals.
    pub fn of_family<'a>(
        &'a self,
        authority: &'a str,
        family: &'a str,
    ) -> impl Iterator<Item = &'a SignedEpochStatement> {
        let of_epochs = |map: &'a BTreeMap<Name, SignedEpochStatement>| {
            let (first, last) = (
                name(authority, family, 0),
                name(authority, family, u32::MAX),
            );
            map.range((Bound::Included(first), Bound::Included(last)))
        };
        let withdrawals = self
            .withdrawals
            .iter()
            .filter(move |((of, model, _), _)| of == authority && model == family);
        let in_epochs = of_epochs(&self.keys).chain(of_epochs(&self.counts));
        in_epochs
            .map(|(_, signed)| signed)
            .chain(withdrawals.map(|(_, signed)| signed))
    }

    /// Every statement.
    pub fn all(&self) -> impl Iterator<Item = &SignedEpochStatement> {
        let epochs = self.keys.values().chain(self.counts.values());
        epochs.chain(self.withdrawals.values())
    }

    /// The digest of a statement, by which it is told from others.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.all()
            .any(|signed| signed.statement.digest() == *digest)
    }
}

fn name(authority: &str, family: &str, epoch: u32) -> Name {
    (authority.to_owned(), family.to_owned(), epoch)
}

/// Fails when something is there already. The signature does not matter: an ECDSA key signs the
/// same text in many ways.
fn unlike(
    there: Option<&SignedEpochStatement>,
    signed: &SignedEpochStatement,
) -> Result<(), StatementFault> {
    match there {
        None => Ok(()),
        Some(there) if there.statement == signed.statement => Err(StatementFault::Repeated),
        Some(_) => Err(StatementFault::Contradicts),
    }
}
