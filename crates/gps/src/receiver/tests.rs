use super::*;
use crate::messages::Quality;

const DEMANDS: Demands = Demands {
    satellites: 4,
    hdop: 5.0,
};

fn line(body: &str) -> Sentence {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    Sentence::parse(&format!("${body}*{sum:02X}")).expect(body)
}

fn rmc(clock: &str, status: &str) -> Sentence {
    line(&format!(
        "GPRMC,{clock},{status},4807.038,N,01131.000,E,0.0,0.0,201126,,,A"
    ))
}

fn gga(clock: &str, quality: u8, satellites: u8, hdop: &str) -> Sentence {
    line(&format!(
        "GPGGA,{clock},4807.038,N,01131.000,E,{quality},{satellites:02},{hdop},545.4,M,46.9,M,,"
    ))
}

fn open(now: Instant) -> Receiver {
    let mut receiver = Receiver::new(DEMANDS);
    receiver.opened(now);
    receiver
}

fn after(sentences: impl IntoIterator<Item = Sentence>) -> FixReply {
    let now = Instant::now();
    let mut receiver = open(now);
    for sentence in sentences {
        receiver.take(sentence, now);
    }
    receiver.answer(now)
}

#[test]
fn both_sentences_of_one_second_make_a_fix_in_either_order() {
    for sentences in [
        [rmc("120000", "A"), gga("120000", 1, 8, "0.9")],
        [gga("120000", 2, 8, "0.9"), rmc("120000", "D")],
    ] {
        let fix = after(sentences).fix.unwrap();
        assert_eq!(
            (fix.latitude, fix.longitude, fix.altitude),
            (4_811_730, 1_151_667, Some(545))
        );
        assert_eq!(
            (fix.time, fix.age_ms, fix.satellites),
            (1_795_176_000, 0, 8)
        );
    }
    assert_eq!(
        after([gga("120000", 4, 8, "0.9"), rmc("120000", "A")])
            .fix
            .unwrap()
            .quality,
        Quality::Rtk
    );
}

#[test]
fn sentences_of_different_seconds_are_never_mixed() {
    let reply = after([
        rmc("120000", "A"),
        gga("120001", 1, 8, "0.9"),
        rmc("120002", "A"),
    ]);
    assert_eq!((reply.fix, reply.reason), (None, Some(Absence::Searching)));
}

#[test]
fn each_shortcoming_has_its_name() {
    let cases = [
        (
            [rmc("120000", "V"), gga("120000", 1, 8, "0.9")],
            Absence::Searching,
        ),
        (
            [rmc("120000", "A"), gga("120000", 0, 8, "0.9")],
            Absence::Searching,
        ),
        (
            [rmc("120000", "A"), gga("120000", 6, 8, "0.9")],
            Absence::Searching,
        ),
        (
            [rmc("120000", "A"), gga("120000", 1, 3, "0.9")],
            Absence::FewSatellites,
        ),
        (
            [rmc("120000", "A"), gga("120000", 1, 8, "5.1")],
            Absence::Imprecise,
        ),
        (
            [rmc("120000", "A"), gga("120000", 1, 8, "")],
            Absence::Imprecise,
        ),
        (
            [
                line("GPRMC,120000,A,4807.038,N,01131.000,E,0.0,0.0,230394,,,A"),
                gga("120000", 1, 8, "0.9"),
            ],
            Absence::ImplausibleDate,
        ),
        (
            [
                line("GPRMC,120000,A,4807.038,N,01131.000,E,0.0,0.0,070407,,,A"),
                gga("120000", 1, 8, "0.9"),
            ],
            Absence::ImplausibleDate,
        ),
    ];
    for (sentences, expected) in cases {
        let reply = after(sentences);
        assert_eq!((reply.fix, reply.reason), (None, Some(expected)));
        assert!(!reply.detail.unwrap().is_empty());
    }
}

#[test]
fn a_lost_fix_takes_its_coordinates_along_at_once() {
    let now = Instant::now();
    let mut receiver = open(now);
    receiver.take(rmc("120000", "A"), now);
    receiver.take(gga("120000", 1, 8, "0.9"), now);
    assert!(receiver.answer(now).fix.is_some());
    let next = now + Duration::from_secs(1);
    receiver.take(line("GPRMC,120001,V,,,,,,,201126,,,N"), next);
    receiver.take(line("GPGGA,120001,,,,,0,00,99.9,,M,,M,,"), next);
    let reply = receiver.answer(next);
    assert_eq!((reply.fix, reply.reason), (None, Some(Absence::Searching)));
}

#[test]
fn a_fix_grows_old_and_is_then_no_fix() {
    let now = Instant::now();
    let mut receiver = open(now);
    receiver.take(rmc("120000", "A"), now);
    receiver.take(gga("120000", 1, 8, "0.9"), now);
    assert_eq!(receiver.answer(now + FRESH).fix.unwrap().age_ms, 5_000);
    let late = now + FRESH + Duration::from_millis(1);
    assert_eq!(receiver.answer(late).reason, Some(Absence::Silent));
    receiver.take(Sentence::Other, late);
    assert_eq!(
        receiver.answer(late).reason,
        Some(Absence::Stale),
        "other sentences still come"
    );
}

#[test]
fn silence_garbage_and_no_line_are_told_apart() {
    let now = Instant::now();
    assert_eq!(
        Receiver::new(DEMANDS).answer(now).reason,
        Some(Absence::NoReceiver)
    );
    let mut receiver = open(now);
    assert_eq!(
        receiver.answer(now).reason,
        Some(Absence::Searching),
        "a moment of patience after opening"
    );
    let later = now + Duration::from_secs(6);
    assert_eq!(receiver.answer(later).reason, Some(Absence::Silent));
    receiver.heard(later);
    assert_eq!(receiver.answer(later).reason, Some(Absence::Garbled));
    receiver.closed("unplugged".to_owned());
    let reply = receiver.answer(later);
    assert_eq!(
        (reply.reason, reply.detail.as_deref()),
        (Some(Absence::NoReceiver), Some("unplugged"))
    );
}

#[test]
fn time_is_told_with_its_quality_and_age() {
    let now = Instant::now();
    let mut receiver = open(now);
    receiver.take(line("GPRMC,120000,V,,,,,,,201126,,,N"), now);
    let hint = receiver.answer(now + Duration::from_secs(2)).time.unwrap();
    assert_eq!(
        (hint.unix_seconds, hint.age_ms, hint.quality),
        (1_795_176_000, 2_000, TimeQuality::ReceiverClock)
    );
    receiver.take(rmc("120001", "A"), now);
    assert_eq!(
        receiver.answer(now).time.unwrap().quality,
        TimeQuality::Satellites
    );
    assert_eq!(receiver.answer(now + Duration::from_secs(61)).time, None);
    receiver.take(line("GPRMC,120002,V,,,,,,,060180,,,N"), now);
    assert_eq!(
        receiver.answer(now).time.unwrap().unix_seconds,
        1_795_176_001,
        "an impossible date replaces nothing"
    );
}

#[test]
fn reopening_forgets_what_another_receiver_said() {
    let now = Instant::now();
    let mut receiver = open(now);
    receiver.take(rmc("120000", "A"), now);
    receiver.take(gga("120000", 1, 8, "0.9"), now);
    receiver.closed("unplugged".to_owned());
    receiver.opened(now);
    let reply = receiver.answer(now);
    assert_eq!((reply.fix, reply.time), (None, None));
}
