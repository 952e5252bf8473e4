//! What the photo says about itself to every picture viewer.
//!
//! The block is complete before the file is hashed. It holds no serial number and no identity; a position only if the
//! photographer allows it.

use birthmark_sensor::{Exposure, Moment};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};

use crate::tiff::{self, Directory, Value};

/// A position for the picture itself, readable by anybody who gets the file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees north; south is negative.
    pub latitude: f64,
    /// Degrees east; west is negative.
    pub longitude: f64,
    /// Metres above the sea, if known.
    pub altitude: Option<f64>,
}

/// Everything that goes into the block.
#[derive(Debug, Clone)]
pub struct Caption<'a> {
    /// How the photo was exposed.
    pub exposure: &'a Exposure,
    /// How far local time is ahead of UTC.
    pub zone: UtcOffset,
    /// Where, if the photographer allows it.
    pub position: Option<Position>,
    /// The size of the picture in points.
    pub size: (u32, u32),
    /// A small JPEG, if it fits.
    pub thumbnail: Option<Vec<u8>>,
}

/// One APP1 segment holds 65,533 bytes, with a few for its own header.
const LARGEST_THUMBNAIL: usize = 48_000;

impl Caption<'_> {
    /// The block, as it stands in a JPEG's APP1 segment after the word Exif.
    pub fn block(self) -> Vec<u8> {
        let thumbnail = self
            .thumbnail
            .clone()
            .filter(|bytes| bytes.len() <= LARGEST_THUMBNAIL);
        tiff::write(self.directory(), thumbnail.map(thumbnail_directory))
    }

    /// The first directory of the block; DNG files begin with the same.
    pub fn directory(&self) -> Directory {
        let exposure = self.exposure;
        Directory::default()
            .with(0x010F, Value::Text(exposure.make.clone()))
            .with(0x0110, Value::Text(exposure.model.clone()))
            .with(0x0112, Value::Shorts(vec![1]))
            .with(0x011A, Value::Rationals(vec![(72, 1)]))
            .with(0x011B, Value::Rationals(vec![(72, 1)]))
            .with(0x0128, Value::Shorts(vec![2]))
            .with(0x0131, Value::Text(SOFTWARE.to_owned()))
            .with(0x0132, Value::Text(local_date(exposure.moment, self.zone)))
            .with(0x0213, Value::Shorts(vec![1]))
            .with(0x8769, Value::Directory(self.photo()))
            .with_some(
                0x8825,
                self.position
                    .map(|position| Value::Directory(gps(position, exposure.moment))),
            )
    }

    fn photo(&self) -> Directory {
        let exposure = self.exposure;
        let date = local_date(exposure.moment, self.zone);
        let milliseconds = exposure.moment.unix_ns.rem_euclid(1_000_000_000) / 1_000_000;
        Directory::default()
            .with(
                0x829A,
                Value::Rationals(vec![exposure_time(exposure.exposure_us)]),
            )
            .with(0x8827, Value::Shorts(vec![exposure.iso()]))
            .with(0x8830, Value::Shorts(vec![2]))
            .with(0x9000, Value::Undefined(b"0232".to_vec()))
            .with(0x9003, Value::Text(date.clone()))
            .with(0x9004, Value::Text(date))
            .with(0x9010, Value::Text(zone_name(self.zone)))
            .with(0x9011, Value::Text(zone_name(self.zone)))
            .with(0x9012, Value::Text(zone_name(self.zone)))
            .with(0x9101, Value::Undefined(vec![1, 2, 3, 0]))
            .with(0x9291, Value::Text(format!("{milliseconds:03}")))
            .with(0xA000, Value::Undefined(b"0100".to_vec()))
            .with(0xA001, Value::Shorts(vec![1]))
            .with(0xA002, Value::Longs(vec![self.size.0]))
            .with(0xA003, Value::Longs(vec![self.size.1]))
            .with(0xA217, Value::Shorts(vec![2]))
            .with(0xA301, Value::Undefined(vec![1]))
            .with(0xA402, Value::Shorts(vec![0]))
            .with(0xA403, Value::Shorts(vec![0]))
            .with(0xA406, Value::Shorts(vec![0]))
    }
}

/// What wrote the file.
pub const SOFTWARE: &str = concat!("Birthmark ", env!("CARGO_PKG_VERSION"));

/// Photographers read 1/250, not 4000/1000000.
fn exposure_time(micros: u32) -> (u32, u32) {
    match micros {
        0 => (0, 1),
        1..300_000 => (1, (1_000_000.0 / f64::from(micros)).round() as u32),
        _ => (micros / 1_000, 1_000),
    }
}

fn thumbnail_directory(jpeg: Vec<u8>) -> Directory {
    let length = jpeg.len() as u32;
    Directory::default()
        .with(0x0103, Value::Shorts(vec![6]))
        .with(0x011A, Value::Rationals(vec![(72, 1)]))
        .with(0x011B, Value::Rationals(vec![(72, 1)]))
        .with(0x0128, Value::Shorts(vec![2]))
        .with(0x0201, Value::Block(jpeg))
        .with(0x0202, Value::Longs(vec![length]))
}

fn gps(position: Position, moment: Moment) -> Directory {
    let reference = |value: f64, positive: &str, negative: &str| {
        Value::Text(if value < 0.0 { negative } else { positive }.to_owned())
    };
    let utc = date_of(moment, UtcOffset::UTC);
    let clock = [utc.hour(), utc.minute(), utc.second()].map(|part| (u32::from(part), 1));
    Directory::default()
        .with(0, Value::Bytes(vec![2, 3, 0, 0]))
        .with(1, reference(position.latitude, "N", "S"))
        .with(2, degrees(position.latitude))
        .with(3, reference(position.longitude, "E", "W"))
        .with(4, degrees(position.longitude))
        .with_some(
            5,
            position
                .altitude
                .map(|metres| Value::Bytes(vec![u8::from(metres < 0.0)])),
        )
        .with_some(
            6,
            position
                .altitude
                .map(|metres| Value::Rationals(vec![((metres.abs() * 10.0).round() as u32, 10)])),
        )
        .with(7, Value::Rationals(clock.to_vec()))
        .with(0x12, Value::Text("WGS-84".to_owned()))
        .with(
            0x1D,
            Value::Text(format!(
                "{:04}:{:02}:{:02}",
                utc.year(),
                u8::from(utc.month()),
                utc.day()
            )),
        )
}

/// Degrees, minutes and seconds, from one whole number so that 59.99… never becomes 60.
fn degrees(value: f64) -> Value {
    let hundredths = (value.abs() * 360_000.0).round() as u32;
    Value::Rationals(vec![
        (hundredths / 360_000, 1),
        (hundredths / 6_000 % 60, 1),
        (hundredths % 6_000, 100),
    ])
}

/// The moment on the wall clock of `zone`.
pub fn date_of(moment: Moment, zone: UtcOffset) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(moment.unix_ns.into())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .checked_to_offset(zone)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn local_date(moment: Moment, zone: UtcOffset) -> String {
    let date = date_of(moment, zone);
    let (month, day) = (u8::from(date.month()), date.day());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    format!(
        "{:04}:{month:02}:{day:02} {hour:02}:{minute:02}:{second:02}",
        date.year()
    )
}

fn zone_name(zone: UtcOffset) -> String {
    let sign = if zone.is_negative() { '-' } else { '+' };
    let (hours, minutes, _) = zone.as_hms();
    format!(
        "{sign}{:02}:{:02}",
        hours.unsigned_abs(),
        minutes.unsigned_abs()
    )
}

#[cfg(test)]
mod tests {
    use birthmark_sensor::ClockQuality;

    use super::*;

    #[test]
    fn exposure_times_read_as_photographers_say_them() {
        assert_eq!(exposure_time(4_000), (1, 250));
        assert_eq!(exposure_time(16_667), (1, 60));
        assert_eq!(exposure_time(1_500_000), (1_500, 1_000));
        assert_eq!(exposure_time(0), (0, 1));
    }

    #[test]
    fn sixty_seconds_never_appear() {
        assert_eq!(
            degrees(47.999_999_9),
            Value::Rationals(vec![(48, 1), (0, 1), (0, 100)])
        );
        assert_eq!(
            degrees(-33.856_784),
            Value::Rationals(vec![(33, 1), (51, 1), (2_442, 100)])
        );
    }

    #[test]
    fn dates_are_local_and_the_zone_is_named() {
        let moment = Moment {
            unix_ns: 1_795_176_000_123_000_000,
            clock: ClockQuality::Free,
        };
        let zone = UtcOffset::from_hms(-3, -30, 0).unwrap();
        assert_eq!(local_date(moment, UtcOffset::UTC), "2026:11:20 12:00:00");
        assert_eq!(local_date(moment, zone), "2026:11:20 08:30:00");
        assert_eq!(zone_name(zone), "-03:30");
        assert_eq!(zone_name(UtcOffset::UTC), "+00:00");
    }
}
