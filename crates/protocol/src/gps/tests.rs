use proptest::prelude::*;

use super::*;

const TIME: Timestamp = Timestamp::from_unix(1_795_000_000);

fn munich() -> Position {
    Position::from_nmea(("4807.038", "N"), ("01131.000", "E"), "545.4", TIME).unwrap()
}

#[test]
fn digits_become_whole_numbers() {
    assert_eq!(munich().to_string(), "4811730|1151667|545|1795000000");
    let south_west = Position::from_nmea(("3350.12345", "S"), ("15112.5", "W"), "", TIME).unwrap();
    assert_eq!(south_west.to_string(), "-3383539|-15120833|-|1795000000");
    let below_sea =
        Position::from_nmea(("0000.0000", "S"), ("00000.0002", "W"), "-0.5", TIME).unwrap();
    assert_eq!(below_sea.to_string(), "0|0|-1|1795000000");
}

#[test]
fn half_a_unit_is_rounded_away_from_zero() {
    // 0.0003 minutes are exactly half of 1e-5 degrees.
    let half = Position::from_nmea(("0000.0003", "S"), ("00000.0003", "E"), "0.5", TIME).unwrap();
    assert_eq!(half.to_string(), "-1|1|1|1795000000");
}

#[test]
fn what_is_not_on_the_globe_is_refused() {
    let nmea = |latitude, longitude| Position::from_nmea(latitude, longitude, "", TIME);
    assert_eq!(
        nmea(("9000.0001", "N"), ("0", "E")).map(|place| place.latitude()),
        Ok(9_000_000)
    );
    assert_eq!(
        nmea(("9000.001", "N"), ("0", "E")),
        Err(GpsError::Range("latitude"))
    );
    assert_eq!(
        nmea(("4860.0", "N"), ("0", "E")),
        Err(GpsError::Range("latitude"))
    );
    assert_eq!(
        nmea(("4800.0", "E"), ("0", "E")),
        Err(GpsError::Format("latitude"))
    );
    assert_eq!(
        nmea(("4800.0", "N"), ("18000.1", "W")),
        Err(GpsError::Range("longitude"))
    );
    for text in [
        "",
        ".",
        "4807,038",
        "-4807.0",
        "+1",
        "4807.0380000001",
        "99999999",
        "48 07",
    ] {
        assert_eq!(
            nmea((text, "N"), ("0", "E")),
            Err(GpsError::Format("latitude")),
            "{text}"
        );
    }
    assert_eq!(
        Position::new(0, 18_000_001, None, TIME),
        Err(GpsError::Range("longitude"))
    );
}

#[test]
fn every_photo_has_a_salt_of_its_own_and_no_log_ever_shows_it() {
    let secret = GpsSecret::from_bytes([7; 32]);
    let salt = |photo: &[u8]| *secret.salt(&Digest::of(photo)).expose();
    assert_eq!(salt(b"photo"), salt(b"photo"));
    assert_ne!(salt(b"photo"), salt(b"another"));
    let printed = format!("{:?}", secret.salt(&Digest::of(b"photo")));
    assert_eq!(printed, "GpsSalt(secret)");
}

#[test]
fn a_position_has_one_spelling() {
    let good = "4811730|-1151667|-|1795000000";
    assert_eq!(good.parse::<Position>().unwrap().to_string(), good);
    for (from, to) in [
        ("4811730", "+4811730"),
        ("4811730", "04811730"),
        ("-1151667", "-0"),
        ("|-|", "||"),
        ("1795000000", "1795000000|"),
    ] {
        let changed = good.replace(from, to).parse::<Position>();
        assert_eq!(changed, Err(GpsError::Text), "{to}");
    }
    assert_eq!(
        good.replace("4811730", "9000001").parse::<Position>(),
        Err(GpsError::Range("latitude"))
    );
}

proptest! {
    #[test]
    fn every_position_reads_back(
        latitude in -9_000_000i32..=9_000_000,
        longitude in -18_000_000i32..=18_000_000,
        altitude: Option<i32>,
        time: i64,
    ) {
        let position = Position::new(latitude, longitude, altitude, Timestamp::from_unix(time)).unwrap();
        prop_assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
    }

    #[test]
    fn receivers_digits_land_within_half_a_unit(degrees in 0u32..90, minutes in 0u32..60, fraction in 0u32..100_000) {
        let digits = format!("{degrees:02}{minutes:02}.{fraction:05}");
        let read = Position::from_nmea((&digits, "N"), ("00000.0", "E"), "", TIME).unwrap();
        let exact = f64::from(degrees) + (f64::from(minutes) + f64::from(fraction) / 1e5) / 60.0;
        prop_assert!((f64::from(read.latitude()) - exact * 1e5).abs() < 0.500_001);
    }
}
