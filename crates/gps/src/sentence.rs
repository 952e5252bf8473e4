//! The two sentences that matter, read statelessly: nothing of an earlier one can survive in a
//! later one.

use birthmark_protocol::Timestamp;
use birthmark_protocol::gps::Position;
use nmea::ParseResult;
use nmea::sentences::rmc::RmcStatusOfFix;
use nmea::sentences::{FaaMode, FixType};

use crate::messages::Quality;

/// One sentence, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sentence {
    /// RMC: whether there is a fix, and the date.
    Minimum(Minimum),
    /// GGA: where, and how good.
    Position(Gga),
    /// A sound sentence of another kind.
    Other,
}

/// The recommended minimum (RMC).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Minimum {
    /// The time of day as the receiver wrote it: what ties it to a GGA.
    pub clock: String,
    /// Date and time, if both are there.
    pub time: Option<Timestamp>,
    /// Whether the receiver calls this a fix from satellites.
    pub valid: bool,
}

/// The fix sentence (GGA).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gga {
    /// The time of day as the receiver wrote it.
    pub clock: String,
    /// How it was found; nothing for no fix, estimates, simulations and manual input.
    pub quality: Option<Quality>,
    /// Satellites used.
    pub satellites: u32,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Latitude, hemisphere, longitude, hemisphere, altitude: the receiver's own digits.
    fields: [String; 5],
}

impl Gga {
    /// The place at `time`, computed from the receiver's digits with integers.
    pub fn position(&self, time: Timestamp) -> Option<Position> {
        let [latitude, north, longitude, east, altitude] = &self.fields;
        Position::from_nmea((latitude, north), (longitude, east), altitude, time).ok()
    }
}

impl Sentence {
    /// Reads a line with its checksum; nothing if it is not a sentence.
    pub fn parse(line: &str) -> Option<Self> {
        // Without a checksum a flipped digit would move the camera.
        line.split_once('*')?;
        let parsed = nmea::parse_str(line);
        // A field that is not there is as empty as one without a value.
        let field = |number| {
            line.split([',', '*'])
                .nth(number)
                .unwrap_or_default()
                .to_owned()
        };
        match parsed {
            Ok(ParseResult::RMC(rmc)) => Some(Self::Minimum(Minimum {
                clock: field(1),
                time: rmc.fix_date.zip(rmc.fix_time).map(|(date, time)| {
                    Timestamp::from_unix(date.and_time(time).and_utc().timestamp())
                }),
                valid: rmc.status_of_fix != RmcStatusOfFix::Invalid
                    && rmc.faa_mode.is_none_or(is_from_satellites),
            })),
            Ok(ParseResult::GGA(gga)) => Some(Self::Position(Gga {
                clock: field(1),
                quality: gga.fix_type.and_then(quality),
                // Not told is not known to be enough.
                satellites: gga.fix_satellites.unwrap_or(0),
                hdop: gga.hdop,
                fields: [2, 3, 4, 5, 9].map(field),
            })),
            Ok(_) | Err(nmea::Error::Unsupported(_) | nmea::Error::DisabledSentence) => {
                Some(Self::Other)
            }
            Err(_) => None,
        }
    }
}

const fn quality(kind: FixType) -> Option<Quality> {
    match kind {
        FixType::Gps => Some(Quality::Autonomous),
        FixType::DGps => Some(Quality::Differential),
        FixType::Rtk => Some(Quality::Rtk),
        FixType::FloatRtk => Some(Quality::FloatRtk),
        _ => None,
    }
}

const fn is_from_satellites(mode: FaaMode) -> bool {
    !matches!(
        mode,
        FaaMode::Estimated | FaaMode::Manual | FaaMode::Simulator | FaaMode::DataNotValid
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_checksum(body: &str) -> String {
        format!(
            "${body}*{:02X}",
            body.bytes().fold(0, |sum, byte| sum ^ byte)
        )
    }

    #[test]
    fn the_receivers_digits_become_hundred_thousandths() {
        let line =
            with_checksum("GNGGA,123519.00,4807.038,N,01131.000,W,1,08,0.9,545.4,M,46.9,M,,");
        let Some(Sentence::Position(gga)) = Sentence::parse(&line) else {
            panic!("no GGA")
        };
        let place = gga.position(Timestamp::from_unix(7)).unwrap();
        assert_eq!(
            (place.latitude(), place.longitude(), place.altitude()),
            (4_811_730, -1_151_667, Some(545))
        );
        assert_eq!(
            (gga.quality, gga.satellites, gga.hdop),
            (Some(Quality::Autonomous), 8, Some(0.9))
        );
    }

    #[test]
    fn date_and_time_become_seconds() {
        let line =
            with_checksum("GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,201126,003.1,W");
        let Some(Sentence::Minimum(rmc)) = Sentence::parse(&line) else {
            panic!("no RMC")
        };
        assert!(rmc.valid);
        assert_eq!(rmc.time, Some(Timestamp::from_unix(1_795_178_119)));
    }

    #[test]
    fn what_the_receiver_does_not_vouch_for_is_not_valid() {
        for (status, mode) in [
            ("V", "N"),
            ("V", "A"),
            ("A", "E"),
            ("A", "S"),
            ("A", "M"),
            ("A", "N"),
        ] {
            let body =
                format!("GNRMC,123519,{status},4807.038,N,01131.000,E,022.4,084.4,201126,,,{mode}");
            let Some(Sentence::Minimum(rmc)) = Sentence::parse(&with_checksum(&body)) else {
                panic!("{body}")
            };
            assert!(!rmc.valid, "{body}");
        }
        for quality in [0, 3, 6, 7, 8] {
            let body =
                format!("GPGGA,123519,4807.038,N,01131.000,E,{quality},08,0.9,545.4,M,46.9,M,,");
            let Some(Sentence::Position(gga)) = Sentence::parse(&with_checksum(&body)) else {
                panic!("{body}")
            };
            assert_eq!(gga.quality, None, "{body}");
        }
    }

    #[test]
    fn sentences_without_or_with_a_wrong_checksum_are_nothing() {
        let good =
            with_checksum("GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,201126,003.1,W");
        assert!(Sentence::parse(&good).is_some());
        assert_eq!(Sentence::parse(good.split('*').next().unwrap()), None);
        assert_eq!(Sentence::parse(&good.replace("4807", "4808")), None);
        assert_eq!(
            Sentence::parse(&with_checksum("GPGSV,1,1,01,01,40,083,46")),
            Some(Sentence::Other)
        );
    }

    proptest! {
        #[test]
        fn no_line_panics(body in "[ -~]{0,100}", raw in ".{0,120}") {
            let _ = Sentence::parse(&with_checksum(&body));
            let _ = Sentence::parse(&raw);
        }

        #[test]
        fn no_field_panics(fields in proptest::collection::vec("[0-9A-Z.+-]{0,12}", 0..16), kind in "GP(RMC|GGA)") {
            if let Some(Sentence::Position(gga)) = Sentence::parse(&with_checksum(&format!("{kind},{}", fields.join(",")))) {
                let _ = gga.position(Timestamp::from_unix(0));
            }
        }
    }
}
