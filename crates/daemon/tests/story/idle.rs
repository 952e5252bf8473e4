//! A daemon systemd listens for leaves when idle and comes back at the next call.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::running::Place;
use crate::sockets::activate;
use crate::varlink::{call, open, read_answer, send};

const NOW: &str = r#"{"method":"org.birthmark.Clock.Now"}"#;

#[test]
fn it_leaves_when_idle_and_the_next_call_waits_for_the_next_one() {
    let place = Place::with("idle_milliseconds = 50");
    let path = place.path("passed");
    let varlink = UnixListener::bind(&path).unwrap();
    let text = TcpListener::bind("127.0.0.1:0").unwrap();
    let pass = || {
        (
            varlink.try_clone().unwrap().into(),
            text.try_clone().unwrap().into(),
        )
    };

    let (first, second) = pass();
    let running = activate(&place, "varlink:text", first, second);
    assert!(call(&path, NOW)["parameters"]["unix_seconds"].is_i64());
    let (status, log) = running.end();
    assert!(status.success(), "{log}");
    assert!(log.contains("idle, leaving until the next call"), "{log}");

    let mut waiting = open(&path);
    send(&mut waiting, NOW);
    let (first, second) = pass();
    let running = activate(&place, "varlink:text", first, second);
    assert!(read_answer(&mut waiting)["parameters"]["unix_seconds"].is_i64());
    drop(waiting);
    assert!(running.end().0.success());
}

#[test]
fn a_call_that_takes_longer_than_the_idle_time_is_answered() {
    let place = Place::with("idle_milliseconds = 50");
    let varlink = UnixListener::bind(place.path("passed")).unwrap();
    let text = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = activate(&place, "varlink:text", varlink.into(), text.into());
    let later = r#"{"method":"org.birthmark.Clock.Later","parameters":{"milliseconds":300}}"#;
    assert!(call(&place.path("passed"), later)["parameters"]["unix_seconds"].is_i64());
    assert!(running.end().0.success());
}
