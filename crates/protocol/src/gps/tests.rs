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
fn an_opening_opens_its_own_photo_only() {
    let secret = GpsSecret::from_bytes([7; 32]);
    let opening = GpsOpening {
        position: munich(),
        salt: secret.salt(&Digest::of(b"photo")),
    };
    let other = GpsOpening {
        position: munich(),
        salt: secret.salt(&Digest::of(b"another")),
    };
    assert!(opening.opens(&opening.commitment()));
    assert!(!other.opens(&opening.commitment()));
    let elsewhere = Position::new(4_811_731, 1_151_667, Some(545), TIME).unwrap();
    assert!(
        !GpsOpening {
            position: elsewhere,
            ..opening.clone()
        }
        .opens(&opening.commitment())
    );
}

#[test]
fn an_opening_has_one_spelling() {
    let good = format!(
        "birthmark-gps-1|4811730|-1151667|-|1795000000|{}",
        "ab".repeat(32)
    );
    assert_eq!(good.parse::<GpsOpening>().unwrap().to_text(), good);
    for (from, to) in [
        ("-1|", "-2|"),
        ("4811730", "+4811730"),
        ("4811730", "04811730"),
        ("-1151667", "-0"),
        ("|-|", "||"),
        ("ab", "xy"),
    ] {
        assert_eq!(
            good.replace(from, to).parse::<GpsOpening>(),
            Err(GpsError::Opening),
            "{to}"
        );
    }
    assert_eq!(
        (good.clone() + "|").parse::<GpsOpening>(),
        Err(GpsError::Opening)
    );
    assert_eq!(
        good.replace("4811730", "9000001").parse::<GpsOpening>(),
        Err(GpsError::Range("latitude"))
    );
}

#[test]
fn a_printed_opening_hides_its_salt() {
    let opening = GpsOpening {
        position: munich(),
        salt: GpsSalt::from_bytes([0xAB; 32]),
    };
    assert!(format!("{opening:?}").contains("salt: GpsSalt(secret)"));
}

proptest! {
    #[test]
    fn every_opening_reads_back(
        latitude in -9_000_000i32..=9_000_000,
        longitude in -18_000_000i32..=18_000_000,
        altitude: Option<i32>,
        time: i64,
        salt: [u8; 32],
    ) {
        let position = Position::new(latitude, longitude, altitude, Timestamp::from_unix(time)).unwrap();
        let opening = GpsOpening { position, salt: GpsSalt::from_bytes(salt) };
        prop_assert_eq!(opening.to_text().parse::<GpsOpening>().unwrap(), opening);
    }

    #[test]
    fn receivers_digits_land_within_half_a_unit(degrees in 0u32..90, minutes in 0u32..60, fraction in 0u32..100_000) {
        let digits = format!("{degrees:02}{minutes:02}.{fraction:05}");
        let read = Position::from_nmea((&digits, "N"), ("00000.0", "E"), "", TIME).unwrap();
        let exact = f64::from(degrees) + (f64::from(minutes) + f64::from(fraction) / 1e5) / 60.0;
        prop_assert!((f64::from(read.latitude()) - exact * 1e5).abs() < 0.500_001);
    }
}
