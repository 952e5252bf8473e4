//! Where a photo was taken, as a leaf of its disclosure root says it ([`crate::disclosure`]).
//!
//! A position is the ASCII text
//!
//! ```text
//! <latitude>|<longitude>|<altitude>|<time>
//! ```
//!
//! with latitude and longitude in whole hundred-thousandths of a degree (about a metre; south and
//! west negative), altitude in whole metres above sea level or `-`, and the time of the fix in Unix
//! seconds. Everything is computed from the receiver's digits with integers, so that two programs
//! get the same text. Cameras of ours derive the leaf's salt per photo from a secret of their own:
//! showing one photo's place says nothing about another's.

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::derivation::secret32;
use crate::digest::Digest;
use crate::numbers::Timestamp;

secret32!(
    /// The camera's secret behind all its GPS salts. Never leaves the camera.
    GpsSecret
);
secret32!(
    /// What hides one photo's position.
    GpsSalt
);

const SALT_INFO: &[u8] = b"birthmark/gps-salt/v1\0";
/// Hundred-thousandths of a degree.
const PER_DEGREE: i64 = 100_000;
/// More digits than any receiver prints, and few enough for 64 bits.
const MAX_FRACTION: usize = 9;

/// A place and the moment of its fix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    latitude: i32,
    longitude: i32,
    altitude: Option<i32>,
    time: Timestamp,
}

/// Why something is not a position or an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GpsError {
    /// Not `ddmm.mmmm` with a hemisphere, or not a decimal number.
    #[error("{0} is not written as a GPS receiver writes it")]
    Format(&'static str),
    /// Not on this planet.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// The text is not a position of ours.
    #[error("not a position of the form latitude|longitude|altitude|time")]
    Text,
}

impl GpsSecret {
    /// The salt of the photo with this raw digest.
    pub fn salt(&self, raw: &Digest) -> GpsSalt {
        let mut salt = GpsSalt::from_bytes([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, self.expose())
            .expand_multi_info(&[SALT_INFO, raw.as_bytes()], salt.expose_mut());
        debug_assert!(
            expanded.is_ok(),
            "32 bytes are always within what HKDF-SHA256 can give"
        );
        salt
    }
}

impl GpsSalt {
    fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Position {
    /// Takes whole hundred-thousandths of a degree and whole metres.
    pub fn new(
        latitude: i32,
        longitude: i32,
        altitude: Option<i32>,
        time: Timestamp,
    ) -> Result<Self, GpsError> {
        check("latitude", latitude.into(), 90)?;
        check("longitude", longitude.into(), 180)?;
        Ok(Self {
            latitude,
            longitude,
            altitude,
            time,
        })
    }

    /// Takes the fields of an NMEA sentence as they stand there: `4807.038`, `N`, `01131.000`, `E`,
    /// `545.4` or nothing.
    pub fn from_nmea(
        latitude: (&str, &str),
        longitude: (&str, &str),
        altitude: &str,
        time: Timestamp,
    ) -> Result<Self, GpsError> {
        let latitude = coordinate("latitude", latitude, ["N", "S"], 90)?;
        let longitude = coordinate("longitude", longitude, ["E", "W"], 180)?;
        let altitude = if altitude.is_empty() {
            None
        } else {
            Some(whole_metres(altitude)?)
        };
        Ok(Self {
            latitude,
            longitude,
            altitude,
            time,
        })
    }

    /// Hundred-thousandths of a degree, south negative.
    pub const fn latitude(&self) -> i32 {
        self.latitude
    }

    /// Hundred-thousandths of a degree, west negative.
    pub const fn longitude(&self) -> i32 {
        self.longitude
    }

    /// Metres above sea level, if the receiver knew.
    pub const fn altitude(&self) -> Option<i32> {
        self.altitude
    }

    /// When the receiver was there.
    pub const fn time(&self) -> Timestamp {
        self.time
    }
}

/// The text of the leaf.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|", self.latitude, self.longitude)?;
        match self.altitude {
            Some(altitude) => write!(f, "{altitude}|{}", self.time),
            None => write!(f, "-|{}", self.time),
        }
    }
}

impl FromStr for Position {
    type Err = GpsError;

    fn from_str(text: &str) -> Result<Self, GpsError> {
        let fields: Vec<&str> = text.split('|').collect();
        let [latitude, longitude, altitude, time] =
            <[&str; 4]>::try_from(fields).map_err(|_| GpsError::Text)?;
        let altitude = if altitude == "-" {
            None
        } else {
            Some(whole(altitude)?)
        };
        let time = Timestamp::from_unix(whole(time)?);
        Self::new(whole(latitude)?, whole(longitude)?, altitude, time)
    }
}

/// Reads an integer, but only as it would be written here: no plus, no leading zeros, no `-0`.
fn whole<T: FromStr + fmt::Display>(text: &str) -> Result<T, GpsError> {
    let number = text.parse::<T>().map_err(|_| GpsError::Text)?;
    if number.to_string() == text {
        Ok(number)
    } else {
        Err(GpsError::Text)
    }
}

fn check(name: &'static str, value: i64, degrees: i64) -> Result<i32, GpsError> {
    let limit = degrees * PER_DEGREE;
    if !(-limit..=limit).contains(&value) {
        return Err(GpsError::Range(name));
    }
    i32::try_from(value).map_err(|_| GpsError::Range(name))
}

/// `dddmm.mmmm` to hundred-thousandths of a degree, half of one rounded away from zero.
fn coordinate(
    name: &'static str,
    (digits, side): (&str, &str),
    sides: [&str; 2],
    degrees: i64,
) -> Result<i32, GpsError> {
    let (whole, scaled, scale) = decimal(digits).ok_or(GpsError::Format(name))?;
    let fraction = scaled - whole * scale;
    let (degree, minute) = (whole / 100, whole % 100);
    if minute >= 60 {
        return Err(GpsError::Range(name));
    }
    let minutes = minute * scale + fraction;
    let size = degree
        .checked_mul(PER_DEGREE)
        .ok_or(GpsError::Range(name))?
        + divide_rounding(minutes * PER_DEGREE, 60 * scale);
    let [positive, negative] = sides;
    match side {
        _ if side == positive => check(name, size, degrees),
        _ if side == negative => check(name, -size, degrees),
        _ => Err(GpsError::Format(name)),
    }
}

fn whole_metres(text: &str) -> Result<i32, GpsError> {
    let (digits, sign) = text
        .strip_prefix('-')
        .map_or((text, 1), |digits| (digits, -1));
    let (_, scaled, scale) = decimal(digits).ok_or(GpsError::Format("altitude"))?;
    i32::try_from(sign * divide_rounding(scaled, scale)).map_err(|_| GpsError::Range("altitude"))
}

/// Digits with an optional fraction: the whole part, everything in units of the last digit, and how
/// many of those make one.
fn decimal(text: &str) -> Option<(i64, i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 7
        || fraction.len() > MAX_FRACTION
        || !plain(whole)
        || !plain(fraction)
    {
        return None;
    }
    let scale = 10i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    Some((whole, whole * scale + fraction, scale))
}

/// Divides two numbers that are not negative, half rounded up.
const fn divide_rounding(number: i64, by: i64) -> i64 {
    (number + by / 2) / by
}

#[cfg(test)]
mod tests;
