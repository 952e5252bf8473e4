//! What an authority states about its epochs. Every statement is signed by its verdict key and
//! stands in the ledger.
//!
//! ```text
//! u8   version (1)
//! u8   kind: 1 key, 2 count, 3 withdrawal
//! u8 + text  authority
//! u8 + text  device family
//! i64  time of the statement, big-endian seconds since 1970
//! key:         u32 epoch, i64 from, i64 until, u32 grace in seconds, u8 1 if the authority issues to cameras whose
//!              sensor's fingerprint it made up, else 0; 256 modulus (the exponent is 65537)
//! count:       u32 epoch, u64 how many signatures were issued under its key
//! withdrawal:  u8 0 (all epochs of the family) or 1 and then u32 epoch; i64 block time from which it holds
//! ```
//!
//! The key signs `SHA-256(domain ‖ 00 ‖ bytes)` with the domain of its kind,
//! `birthmark/epoch-key/v1`, `birthmark/epoch-count/v1` or `birthmark/epoch-withdrawal/v1`. An
//! epoch key's digest is also its id.

use super::{RSA_BYTES, RsaBytes};
use crate::bytes::{DecodeError, Reader, put_short_text};
use crate::digest::Digest;
use crate::numbers::Timestamp;
use crate::public_key::{PublicKey, Signature, SignatureError};

/// The version of the encoding this program writes.
pub const STATEMENT_VERSION: u8 = 1;
/// The longest statement with its signature.
pub const MAX_STATEMENT: usize = 1024;
/// How long an epoch and its grace may be together, in seconds: a year.
pub const MAX_SPAN: i64 = 366 * 86_400;

const KEY: u8 = 1;
const COUNT: u8 = 2;
const WITHDRAWAL: u8 = 3;

/// The digest of an [`EpochKey`]: authority, family, epoch, times and RSA key in 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EpochId(Digest);

/// The key under which an authority signs one-time keys of one family for one epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochKey {
    /// The authority.
    pub authority: String,
    /// The device family.
    pub family: String,
    /// When the authority stated it.
    pub time: Timestamp,
    /// The number of the epoch.
    pub epoch: u32,
    /// The first moment, by block time, at which its one-time keys count.
    pub from: Timestamp,
    /// The moment after which cameras use the next epoch's keys.
    pub until: Timestamp,
    /// For so many seconds after `until` photos that waited are still taken.
    pub grace: u32,
    /// Whether the authority makes up the fingerprints of these cameras' sensors, as it does for
    /// rehearsals.
    pub is_made_up: bool,
    /// The RSA modulus.
    pub modulus: RsaBytes,
}

/// How many blind signatures were issued under an epoch's key, stated when the epoch is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochCount {
    /// The authority.
    pub authority: String,
    /// The device family.
    pub family: String,
    /// When the authority stated it.
    pub time: Timestamp,
    /// The number of the epoch.
    pub epoch: u32,
    /// How many signatures.
    pub issued: u64,
}

/// One-time keys that no longer count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochWithdrawal {
    /// The authority.
    pub authority: String,
    /// The device family.
    pub family: String,
    /// When the authority stated it.
    pub time: Timestamp,
    /// Only this epoch; without one all epochs of the family.
    pub epoch: Option<u32>,
    /// The block time from which they do not count.
    pub from: Timestamp,
}

/// One of the three.
#[expect(
    clippy::large_enum_variant,
    reason = "most statements are keys, and there are few of any kind"
)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EpochStatement {
    /// A key.
    Key(EpochKey),
    /// A count.
    Count(EpochCount),
    /// A withdrawal.
    Withdrawal(EpochWithdrawal),
}

/// A statement and its authority's signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedEpochStatement {
    /// The statement.
    pub statement: EpochStatement,
    /// By one of the authority's verdict keys.
    pub signature: Signature,
}

/// Why something is not a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// A name is empty, too long or not printable.
    #[error("{0} must have 1 to 255 bytes and no control characters")]
    Name(&'static str),
    /// The times are in no order, or too far apart.
    #[error("an epoch must end after it begins, and with its grace within {MAX_SPAN} seconds")]
    Span,
    /// Not the modulus of an RSA key of 2,048 bits.
    #[error("the modulus is not an odd number of 2,048 bits")]
    Modulus,
    /// The bytes are not a statement.
    #[error("not a statement about an epoch: {0}")]
    Decode(#[from] DecodeError),
    /// The signature is malformed or does not hold.
    #[error("signature of the statement: {0}")]
    Signature(#[from] SignatureError),
}

/// Why a one-time key does not count at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// Its epoch has not begun.
    #[error("epoch {epoch} begins {from} (seconds since 1970)")]
    Early {
        /// The epoch.
        epoch: u32,
        /// When it begins.
        from: Timestamp,
    },
    /// Its epoch and the grace after it are over.
    #[error("epoch {epoch} and its grace ended {until} (seconds since 1970)")]
    Over {
        /// The epoch.
        epoch: u32,
        /// The last moment.
        until: Timestamp,
    },
}

impl NotAccepted {
    /// Whether waiting helps.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Early { .. })
    }
}

impl EpochId {
    /// Takes 32 stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl std::fmt::Display for EpochId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl EpochKey {
    /// Its id: what one-time keys are bound to, and what the authority signs.
    pub fn id(&self) -> EpochId {
        EpochId(EpochStatement::Key(self.clone()).digest())
    }

    /// The last moment, by block time, at which its one-time keys count.
    pub const fn last(&self) -> Timestamp {
        // The grace has 32 bits, so the sum cannot leave 64.
        self.until.plus(self.grace as i64)
    }

    /// Succeeds when its one-time keys count at this block time.
    pub fn accepts(&self, block_time: Timestamp) -> Result<(), NotAccepted> {
        let (epoch, from, until) = (self.epoch, self.from, self.last());
        if block_time < from {
            Err(NotAccepted::Early { epoch, from })
        } else if block_time > until {
            Err(NotAccepted::Over { epoch, until })
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Result<(), EpochError> {
        let span = self.last().since(self.from);
        if self.until <= self.from || !(1..=MAX_SPAN).contains(&span) {
            return Err(EpochError::Span);
        }
        let [first, .., last] = &self.modulus;
        if first >> 7 == 1 && last & 1 == 1 {
            Ok(())
        } else {
            Err(EpochError::Modulus)
        }
    }
}

impl EpochStatement {
    /// Checks that it can be written and read back.
    pub fn check(&self) -> Result<(), EpochError> {
        check_name(self.authority(), "the authority")?;
        check_name(self.family(), "the device family")?;
        match self {
            Self::Key(key) => key.check(),
            Self::Count(_) | Self::Withdrawal(_) => Ok(()),
        }
    }

    /// The authority.
    pub fn authority(&self) -> &str {
        match self {
            Self::Key(EpochKey { authority, .. })
            | Self::Count(EpochCount { authority, .. })
            | Self::Withdrawal(EpochWithdrawal { authority, .. }) => authority,
        }
    }

    /// The device family.
    pub fn family(&self) -> &str {
        match self {
            Self::Key(EpochKey { family, .. })
            | Self::Count(EpochCount { family, .. })
            | Self::Withdrawal(EpochWithdrawal { family, .. }) => family,
        }
    }

    /// When the authority stated it.
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Key(EpochKey { time, .. })
            | Self::Count(EpochCount { time, .. })
            | Self::Withdrawal(EpochWithdrawal { time, .. }) => *time,
        }
    }

    const fn domain(&self) -> &'static str {
        match self {
            Self::Key(_) => "birthmark/epoch-key/v1",
            Self::Count(_) => "birthmark/epoch-count/v1",
            Self::Withdrawal(_) => "birthmark/epoch-withdrawal/v1",
        }
    }

    /// The canonical bytes of a statement that passed [`EpochStatement::check`].
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self {
            Self::Key(_) => KEY,
            Self::Count(_) => COUNT,
            Self::Withdrawal(_) => WITHDRAWAL,
        };
        let mut out = vec![STATEMENT_VERSION, kind];
        let names = [self.authority(), self.family()];
        let fits = names.map(|name| put_short_text(&mut out, name));
        debug_assert!(fits == [true; 2], "checked before it was signed");
        out.extend(self.time().unix().to_be_bytes());
        match self {
            Self::Key(key) => {
                out.extend(key.epoch.to_be_bytes());
                out.extend(key.from.unix().to_be_bytes());
                out.extend(key.until.unix().to_be_bytes());
                out.extend(key.grace.to_be_bytes());
                out.push(u8::from(key.is_made_up));
                out.extend(key.modulus);
            }
            Self::Count(count) => {
                out.extend(count.epoch.to_be_bytes());
                out.extend(count.issued.to_be_bytes());
            }
            Self::Withdrawal(withdrawal) => {
                out.push(u8::from(withdrawal.epoch.is_some()));
                out.extend(
                    withdrawal
                        .epoch
                        .iter()
                        .flat_map(|epoch| epoch.to_be_bytes()),
                );
                out.extend(withdrawal.from.unix().to_be_bytes());
            }
        }
        out
    }

    /// What the authority's key signs, before it is hashed.
    pub fn signed_message(&self) -> Vec<u8> {
        Digest::tagged_message(self.domain(), &[&self.encode()])
    }

    /// The digest of that.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed_message())
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, EpochError> {
        let version = reader.byte("version")?;
        if version != STATEMENT_VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let kind = reader.byte("kind")?;
        let authority = reader.short_text("authority")?.to_owned();
        let family = reader.short_text("device family")?.to_owned();
        let time = take_time(reader, "time")?;
        let statement = match kind {
            KEY => Self::Key(EpochKey {
                authority,
                family,
                time,
                epoch: u32::from_be_bytes(reader.array("epoch")?),
                from: take_time(reader, "from")?,
                until: take_time(reader, "until")?,
                grace: u32::from_be_bytes(reader.array("grace")?),
                is_made_up: reader.flag("made-up fingerprint")?,
                modulus: reader.array::<RSA_BYTES>("modulus")?,
            }),
            COUNT => Self::Count(EpochCount {
                authority,
                family,
                time,
                epoch: u32::from_be_bytes(reader.array("epoch")?),
                issued: u64::from_be_bytes(reader.array("number of signatures")?),
            }),
            WITHDRAWAL => Self::Withdrawal(EpochWithdrawal {
                authority,
                family,
                time,
                epoch: if reader.flag("epoch")? {
                    Some(u32::from_be_bytes(reader.array("epoch")?))
                } else {
                    None
                },
                from: take_time(reader, "from")?,
            }),
            _ => return Err(DecodeError::Value("kind").into()),
        };
        statement.check()?;
        Ok(statement)
    }
}

impl SignedEpochStatement {
    /// Succeeds when `key` signed it.
    pub fn verify(&self, key: &PublicKey) -> Result<(), EpochError> {
        Ok(key.verify_digest(&self.statement.digest(), &self.signature)?)
    }

    /// The statement's bytes, then 64 bytes of signature.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.statement.encode();
        out.extend(self.signature.to_bytes());
        out
    }

    /// Reads exactly one signed statement. The high form of `s` is refused: these bytes are hashed,
    /// and have one form.
    pub fn decode(bytes: &[u8]) -> Result<Self, EpochError> {
        let mut reader = Reader::new(bytes);
        let signed = Self::take(&mut reader)?;
        reader.end()?;
        Ok(signed)
    }

    /// Reads one from the front.
    pub fn take(reader: &mut Reader<'_>) -> Result<Self, EpochError> {
        let statement = EpochStatement::take(reader)?;
        let signature = Signature::from_bytes(&reader.array("signature")?)?;
        if signature.normalized() != signature {
            return Err(DecodeError::Value("signature").into());
        }
        Ok(Self {
            statement,
            signature,
        })
    }
}

fn check_name(name: &str, what: &'static str) -> Result<(), EpochError> {
    let is_name = (1..=255).contains(&name.len()) && !name.chars().any(char::is_control);
    is_name.then_some(()).ok_or(EpochError::Name(what))
}

fn take_time(reader: &mut Reader<'_>, what: &'static str) -> Result<Timestamp, DecodeError> {
    Ok(Timestamp::from_unix(i64::from_be_bytes(
        reader.array(what)?,
    )))
}

#[cfg(test)]
pub(super) mod tests;
