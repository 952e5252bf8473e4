//! Stopping when asked, within a deadline, and at once when asked twice.

use rustix::process::Signal;

use crate::running::Place;

#[test]
fn a_daemon_stops_when_asked_and_says_so() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::with("");
        let running = place.start(&[]);
        running.signal(signal);
        place.await_notice("STOPPING=1");
        let (status, log) = running.end();
        assert!(status.success(), "{log}");
        let version = env!("CARGO_PKG_VERSION");
        let first = log.lines().next().unwrap();
        assert!(
            first.starts_with(&format!("info: birthmark-clock {version} starting")),
            "{first}"
        );
        assert!(log.ends_with("info: birthmark-clock stopped\n"), "{log}");
        assert!(
            !log.contains('\x1b'),
            "no colours where there is no terminal"
        );
    }
}

#[test]
fn a_daemon_that_does_not_stop_is_ended_at_the_deadline() {
    let place = Place::with("strike_milliseconds = 3600000");
    let running = place.start(&["--grace", "1"]);
    running.signal(Signal::TERM);
    let (status, log) = running.end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("not stopped within 1s"), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::with("strike_milliseconds = 3600000");
    let running = place.start(&["--grace", "3600"]);
    running.signal(Signal::TERM);
    place.await_notice("STOPPING=1");
    running.signal(Signal::INT);
    let (status, log) = running.end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("asked twice, stopping at once"), "{log}");
}

#[test]
fn the_log_can_be_turned_down() {
    let place = Place::with("");
    let running = place.start(&["--log", "error"]);
    running.signal(Signal::TERM);
    let (status, log) = running.end();
    assert_eq!((status.success(), log.as_str()), (true, ""));
}
