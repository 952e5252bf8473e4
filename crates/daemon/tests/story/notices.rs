//! What systemd hears while a daemon runs: the watchdog's food, which only a passing self-check
//! serves, and reloads.

use std::time::Duration;

use crate::running::{Place, Running, binary};

fn start(place: &Place) -> Running {
    let mut command = place.command(&binary());
    command
        .arg("--config")
        .arg(place.path("clock.toml"))
        .env("WATCHDOG_USEC", "40000");
    Running::of(&mut command)
}

#[test]
fn it_starves_while_the_self_check_fails() {
    let reference = tempfile::tempdir().unwrap();
    let reference = reference.path().join("reference");
    std::fs::write(&reference, "").unwrap();
    let place = Place::with(&format!("reference = {reference:?}"));
    let _running = start(&place);
    place.await_notice("WATCHDOG=1");
    place.await_notice("WATCHDOG=1");

    std::fs::remove_file(&reference).unwrap();
    place.await_notice("STATUS=Self-check fails: the reference clock is gone");
    // Room for a dozen meals that must not be served.
    std::thread::sleep(Duration::from_millis(250));
    std::fs::write(&reference, "").unwrap();
    let next = place.notice();
    assert!(
        next.contains("STATUS=Running"),
        "fed while the check failed: {next}"
    );
    assert!(next.contains("WATCHDOG=1"), "{next}");
    place.await_notice("WATCHDOG=1");
}

#[test]
fn what_no_restart_would_mend_is_told_and_does_not_starve_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let machine = elsewhere.path().join("machine");
    std::fs::create_dir(&machine).unwrap();
    std::fs::write(machine.join("reference"), "").unwrap();
    let place = Place::with(&format!("reference = {:?}", machine.join("reference")));
    let _running = start(&place);
    place.await_notice("WATCHDOG=1");

    std::fs::rename(&machine, elsewhere.path().join("away")).unwrap();
    place.await_notice("STATUS=Self-check fails: the machine of the reference clock is away");
    for _ in 0..3 {
        assert_eq!(place.notice().trim(), "WATCHDOG=1");
    }
    std::fs::rename(elsewhere.path().join("away"), &machine).unwrap();
    place.await_notice("STATUS=Running");
}

#[test]
fn a_reload_begins_with_its_time_and_ends_with_ready() {
    let place = Place::with("");
    let running = place.start(&[]);
    for _ in 0..2 {
        running.signal(rustix::process::Signal::HUP);
        let begun = place.await_notice("RELOADING=1");
        let time = begun
            .lines()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(time.unwrap().parse::<u64>().unwrap() > 0, "{begun}");
        place.await_notice("READY=1");
    }
    running.signal(rustix::process::Signal::TERM);
    let (status, log) = running.end();
    assert_eq!(
        (status.success(), log.matches("info: wound").count()),
        (true, 2),
        "{log}"
    );
}

#[test]
fn a_start_that_takes_long_is_not_taken_for_one_that_hangs() {
    let place = Place::with("winding_milliseconds = 7000");
    let _running = start(&place);
    for seconds in [3, 6] {
        let said = place.notice();
        assert!(said.contains("EXTEND_TIMEOUT_USEC=60000000"), "{said}");
        let status = format!("STATUS=Winding up, for {seconds} s so far");
        assert!(said.contains(&status), "{said}");
    }
    let said = place.notice();
    assert!(said.contains("READY=1"), "{said}");
}

#[test]
fn without_a_watchdog_nothing_is_fed() {
    let place = Place::with("");
    let running = place.start(&[]);
    std::thread::sleep(Duration::from_millis(100));
    running.signal(rustix::process::Signal::TERM);
    let next = place.notice();
    assert!(next.contains("STOPPING=1"), "{next}");
    assert!(running.end().0.success());
}
