//! A part of all keys: those that begin with the same bits.

use std::fmt;
use std::str::FromStr;

use super::{IndexKey, KEY_BITS};

/// The keys that begin with these bits. In text one `0` or `1` for each bit; `all` for no bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Prefix {
    /// The bits, from the highest; those behind the width are 0.
    bits: u64,
    width: u8,
}

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a range is named by at most 64 characters 0 and 1, or by the word all")]
pub struct PrefixError;

impl Prefix {
    /// All keys.
    pub const ALL: Self = Self { bits: 0, width: 0 };

    /// The first `width` bits of a key, at most all 64.
    pub fn of(key: IndexKey, width: u8) -> Self {
        let width = width.min(KEY_BITS);
        let bits = key.number() & mask(width);
        Self { bits, width }
    }

    /// The narrowest range around a key that hides it among `photos` others, in a registry of
    /// `records`. It follows from the size of the registry, which a header proves, and not from
    /// what the answerer says about its index: an answerer cannot talk anybody into a narrow
    /// question.
    pub fn hiding(key: IndexKey, records: u64, photos: u64) -> Self {
        let parts = records.checked_div(photos).and_then(u64::checked_ilog2);
        Self::of(key, parts.map_or(0, |bits| bits as u8))
    }

    /// How many bits it has.
    pub const fn width(self) -> u8 {
        self.width
    }

    /// Whether a key begins with it.
    pub fn contains(self, key: IndexKey) -> bool {
        key.number() & mask(self.width) == self.bits
    }

    /// Whether everything in the other is in this one.
    pub fn covers(self, other: Self) -> bool {
        self.width <= other.width && self.contains(other.first())
    }

    /// Its lowest key.
    pub const fn first(self) -> IndexKey {
        IndexKey::from_number(self.bits)
    }

    /// All ranges of this width, in ascending order; at most 2^20 of them.
    pub fn all_of(width: u8) -> impl Iterator<Item = Self> {
        let width = width.min(20);
        let place = move |number: u64| number.unbounded_shl(u32::from(KEY_BITS - width));
        (0..1 << width).map(move |number| Self {
            bits: place(number),
            width,
        })
    }

    /// Its first `width` bits.
    pub(super) fn cut(self, width: u8) -> Self {
        Self::of(self.first(), width.min(self.width))
    }

    /// The half of it whose next bit is this one; itself where it is a whole key.
    pub(super) fn half(self, bit: bool) -> Self {
        if self.width >= KEY_BITS {
            return self;
        }
        let added = u64::from(bit) << (KEY_BITS - 1 - self.width);
        Self {
            bits: self.bits | added,
            width: self.width + 1,
        }
    }
}

fn mask(width: u8) -> u64 {
    !u64::MAX.unbounded_shr(u32::from(width))
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.width == 0 {
            return f.write_str("all");
        }
        let mut bits = (0..self.width).map(|depth| self.first().bit(depth));
        bits.try_for_each(|bit| f.write_str(if bit { "1" } else { "0" }))
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text == "all" {
            return Ok(Self::ALL);
        }
        if text.is_empty() || text.len() > usize::from(KEY_BITS) {
            return Err(PrefixError);
        }
        text.bytes().try_fold(Self::ALL, |prefix, byte| match byte {
            b'0' => Ok(prefix.half(false)),
            b'1' => Ok(prefix.half(true)),
            _ => Err(PrefixError),
        })
    }
}
