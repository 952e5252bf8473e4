//! What the photo says about itself to every picture viewer.
//!
//! The block is complete before the file is hashed. It holds no serial number and no identity; a
//! position only if the photographer allows it.

use birthmark_sensor::{Exposure, Moment};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset};

use crate::files::tag;
use crate::files::tiff::{self, Directory, Value};

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
            .with(tag::MAKE, Value::Text(exposure.make.clone()))
            .with(tag::MODEL, Value::Text(exposure.model.clone()))
            .with(tag::ORIENTATION, Value::Shorts(vec![1]))
            .with(tag::X_RESOLUTION, Value::Rationals(vec![(72, 1)]))
            .with(tag::Y_RESOLUTION, Value::Rationals(vec![(72, 1)]))
            .with(tag::RESOLUTION_UNIT, Value::Shorts(vec![2]))
            .with(tag::SOFTWARE, Value::Text(SOFTWARE.to_owned()))
            .with(
                tag::DATE_TIME,
                Value::Text(local_date(exposure.moment, self.zone)),
            )
            .with(tag::YCBCR_POSITIONING, Value::Shorts(vec![1]))
            .with(tag::EXIF_IFD, Value::Directory(self.photo()))
            .with_some(
                tag::GPS_IFD,
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
                tag::EXPOSURE_TIME,
                Value::Rationals(vec![exposure_time(exposure.exposure_us)]),
            )
            .with(
                tag::PHOTOGRAPHIC_SENSITIVITY,
                Value::Shorts(vec![exposure.iso()]),
            )
            .with(tag::SENSITIVITY_TYPE, Value::Shorts(vec![2]))
            .with(tag::EXIF_VERSION, Value::Undefined(b"0232".to_vec()))
            .with(tag::DATE_TIME_ORIGINAL, Value::Text(date.clone()))
            .with(tag::DATE_TIME_DIGITIZED, Value::Text(date))
            .with(tag::OFFSET_TIME, Value::Text(zone_name(self.zone)))
            .with(tag::OFFSET_TIME_ORIGINAL, Value::Text(zone_name(self.zone)))
            .with(
                tag::OFFSET_TIME_DIGITIZED,
                Value::Text(zone_name(self.zone)),
            )
            .with(
                tag::COMPONENTS_CONFIGURATION,
                Value::Undefined(vec![1, 2, 3, 0]),
            )
            .with(
                tag::SUB_SEC_TIME_ORIGINAL,
                Value::Text(format!("{milliseconds:03}")),
            )
            .with(tag::FLASHPIX_VERSION, Value::Undefined(b"0100".to_vec()))
            .with(tag::COLOR_SPACE, Value::Shorts(vec![1]))
            .with(tag::PIXEL_X_DIMENSION, Value::Longs(vec![self.size.0]))
            .with(tag::PIXEL_Y_DIMENSION, Value::Longs(vec![self.size.1]))
            .with(tag::SENSING_METHOD, Value::Shorts(vec![2]))
            .with(tag::SCENE_TYPE, Value::Undefined(vec![1]))
            .with(tag::EXPOSURE_MODE, Value::Shorts(vec![0]))
            .with(tag::WHITE_BALANCE, Value::Shorts(vec![0]))
            .with(tag::SCENE_CAPTURE_TYPE, Value::Shorts(vec![0]))
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
        .with(tag::COMPRESSION, Value::Shorts(vec![6]))
        .with(tag::X_RESOLUTION, Value::Rationals(vec![(72, 1)]))
        .with(tag::Y_RESOLUTION, Value::Rationals(vec![(72, 1)]))
        .with(tag::RESOLUTION_UNIT, Value::Shorts(vec![2]))
        .with(tag::THUMBNAIL_OFFSET, Value::Block(jpeg))
        .with(tag::THUMBNAIL_LENGTH, Value::Longs(vec![length]))
}

fn gps(position: Position, moment: Moment) -> Directory {
    let reference = |value: f64, positive: &str, negative: &str| {
        Value::Text(if value < 0.0 { negative } else { positive }.to_owned())
    };
    let utc = date_of(moment, UtcOffset::UTC);
    let clock = [utc.hour(), utc.minute(), utc.second()].map(|part| (u32::from(part), 1));
    Directory::default()
        .with(tag::GPS_VERSION_ID, Value::Bytes(vec![2, 3, 0, 0]))
        .with(
            tag::GPS_LATITUDE_REF,
            reference(position.latitude, "N", "S"),
        )
        .with(tag::GPS_LATITUDE, degrees(position.latitude))
        .with(
            tag::GPS_LONGITUDE_REF,
            reference(position.longitude, "E", "W"),
        )
        .with(tag::GPS_LONGITUDE, degrees(position.longitude))
        .with_some(
            tag::GPS_ALTITUDE_REF,
            position
                .altitude
                .map(|metres| Value::Bytes(vec![u8::from(metres < 0.0)])),
        )
        .with_some(
            tag::GPS_ALTITUDE,
            position
                .altitude
                .map(|metres| Value::Rationals(vec![((metres.abs() * 10.0).round() as u32, 10)])),
        )
        .with(tag::GPS_TIME_STAMP, Value::Rationals(clock.to_vec()))
        .with(tag::GPS_MAP_DATUM, Value::Text("WGS-84".to_owned()))
        .with(
            tag::GPS_DATE_STAMP,
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
#[expect(
    clippy::expect_used,
    reason = "64 bits of nanoseconds reach from 1677 to 2262, and dates from -9999 to 9999"
)]
pub fn date_of(moment: Moment, zone: UtcOffset) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(moment.unix_ns.into())
        .ok()
        .and_then(|date| date.checked_to_offset(zone))
        .expect("a moment in nanoseconds is a date")
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
    fn the_first_and_the_last_moment_there_is_are_dates_in_every_zone() {
        for (unix_ns, year) in [(i64::MIN, 1677), (0, 1970), (i64::MAX, 2262)] {
            let moment = Moment {
                unix_ns,
                clock: ClockQuality::Unset,
            };
            for hours in [-14, 0, 14] {
                let zone = UtcOffset::from_hms(hours, 0, 0).unwrap();
                assert!((date_of(moment, zone).year() - year).abs() <= 1);
            }
        }
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
