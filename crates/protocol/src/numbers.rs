//! The small numbers of the protocol. Each can only hold a value that makes sense.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many key tables an authority keeps.
pub const TABLES: u16 = 2500;
/// How many keys a table has.
pub const KEYS_PER_TABLE: u16 = 1000;
/// How many tables one camera is given.
pub const TABLES_PER_CAMERA: usize = 3;

/// A number outside the range its field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} is out of range 0–{max}")]
pub struct OutOfRange {
    /// What was given.
    pub value: i64,
    /// The largest allowed value.
    pub max: i64,
}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name($inner);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = OutOfRange;

            fn try_from(value: i64) -> Result<Self, OutOfRange> {
                let max = i64::from($max);
                if !(0..=max).contains(&value) {
                    return Err(OutOfRange { value, max });
                }
                <$inner>::try_from(value).map(Self).map_err(|_| OutOfRange { value, max })
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> i64 {
                i64::from(number.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(
    /// Which of the authority's key tables.
    TableId, u16, TABLES - 1
);
bounded!(
    /// Which key within a table.
    KeyIndex, u16, KEYS_PER_TABLE - 1
);
bounded!(
    /// How far from the sensor: 0 raw, 1 processed in the camera, 2 edited afterwards.
    ModificationLevel, u8, 2u8
);

impl ModificationLevel {
    /// Straight from the sensor.
    pub const RAW: Self = Self(0);
    /// Developed by the camera, or lightly edited by attested software.
    pub const PROCESSED: Self = Self(1);
    /// Content was changed by attested software.
    pub const MODIFIED: Self = Self(2);
}

/// Seconds since 1970-01-01 UTC. May be negative: it is a claim, and a camera's clock may be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes seconds since 1970.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The moment `seconds` later, at most the end of time.
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// How many seconds this lies after `earlier`; negative when it lies before.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whole numbers that have a greatest one.
pub trait Greatest {
    /// That number.
    const GREATEST: Self;
}

macro_rules! greatest {
    ($($kind:ty),*) => {$(
        impl Greatest for $kind {
            const GREATEST: Self = Self::MAX;
        }
    )*};
}

greatest!(i32, i64, u16, u32, u64, usize);

/// A count or a length in a smaller type; what does not fit becomes the greatest number that does.
///
/// For figures that are told and for limits, never for what is signed or stored as it came.
pub fn at_most<T: TryFrom<N> + Greatest, N>(number: N) -> T {
    #[expect(
        clippy::disallowed_methods,
        reason = "the greatest number is what is asked for"
    )]
    T::try_from(number).unwrap_or(T::GREATEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_ends_where_it_should() {
        assert_eq!(TableId::try_from(2499).unwrap().get(), 2499);
        assert_eq!(
            TableId::try_from(2500).unwrap_err().to_string(),
            "2500 is out of range 0–2499"
        );
        assert!(KeyIndex::try_from(999).is_ok() && KeyIndex::try_from(1000).is_err());
        assert!(ModificationLevel::try_from(2).is_ok() && ModificationLevel::try_from(3).is_err());
        for below in [-1, i64::MIN] {
            assert!(TableId::try_from(below).is_err() && KeyIndex::try_from(below).is_err());
        }
    }

    #[test]
    fn json_numbers_are_checked_too() {
        assert!(
            serde_json::from_str::<TableId>("2500")
                .unwrap_err()
                .to_string()
                .contains("out of range")
        );
        assert_eq!(
            serde_json::to_string(&TableId::try_from(7).unwrap()).unwrap(),
            "7"
        );
    }

    #[test]
    fn times_at_the_ends_of_i64_do_not_overflow() {
        let last = Timestamp::from_unix(i64::MAX);
        assert_eq!(last.plus(1), last);
        assert_eq!(Timestamp::from_unix(i64::MIN).since(last), i64::MIN);
    }
}
