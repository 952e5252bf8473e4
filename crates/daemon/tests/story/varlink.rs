//! Varlink on the wire: introspection, refusals, limits, and other callers' bad manners.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use birthmark_daemon::varlink::{CallError, LARGEST_MESSAGE, Peers, connect, within};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::clock::{ClockCalls, ClockError};
use crate::running::{PATIENCE, Place};

pub fn open(path: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

pub fn send(connection: &mut BufReader<UnixStream>, message: &str) {
    let stream = connection.get_mut();
    stream.write_all(message.as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
}

pub fn read_answer(connection: &mut BufReader<UnixStream>) -> Value {
    let mut answer = Vec::new();
    connection.read_until(0, &mut answer).unwrap();
    assert_eq!(
        answer.pop(),
        Some(0),
        "the connection ended instead of an answer"
    );
    serde_json::from_slice(&answer).unwrap()
}

pub fn call(path: &Path, message: &str) -> Value {
    let mut connection = open(path);
    send(&mut connection, message);
    read_answer(&mut connection)
}

#[test]
fn it_describes_itself_as_varlinkctl_expects() {
    let place = Place::with("");
    let _running = place.start(&[]);
    let info = call(
        &place.socket(),
        r#"{"method":"org.varlink.service.GetInfo"}"#,
    );
    let info = &info["parameters"];
    assert_eq!(info["product"], "birthmark-clock");
    assert_eq!(
        info["interfaces"],
        json!(["org.birthmark.Clock", "org.varlink.service"])
    );
    let ask = r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.birthmark.Clock"}}"#;
    let description = call(&place.socket(), ask);
    let description = description["parameters"]["description"].as_str().unwrap();
    assert!(
        description.starts_with("interface org.birthmark.Clock"),
        "{description}"
    );
    for part in [
        "method Now() -> (unix_seconds: int)",
        "method Later(milliseconds: int)",
        "error TooLong",
    ] {
        assert!(
            description.contains(part),
            "{part} is not in:\n{description}"
        );
    }
}

#[test]
fn mistakes_are_answered_by_their_names() {
    let place = Place::with("");
    let _running = place.start(&[]);
    let error = |message: &str| call(&place.socket(), message)["error"].clone();
    assert_eq!(
        error(r#"{"method":"org.birthmark.Clock.Yesterday"}"#),
        "org.varlink.service.MethodNotFound"
    );
    let unknown = r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.x.Y"}}"#;
    assert_eq!(error(unknown), "org.varlink.service.InterfaceNotFound");
    let wrong = r#"{"method":"org.birthmark.Clock.Later","parameters":{"milliseconds":"many"}}"#;
    assert_eq!(error(wrong), "org.varlink.service.InvalidParameter");
    assert_eq!(
        call(&place.socket(), wrong)["parameters"],
        json!({"parameter": "milliseconds"})
    );
    let missing = r#"{"method":"org.birthmark.Clock.Later"}"#;
    assert_eq!(
        call(&place.socket(), missing)["parameters"],
        json!({"parameter": "parameters"})
    );
    let own = r#"{"method":"org.birthmark.Clock.Later","parameters":{"milliseconds":60001}}"#;
    assert_eq!(error(own), "org.birthmark.Clock.TooLong");
}

#[test]
fn a_user_who_may_not_call_is_refused_everything() {
    let place = Place::with("callers = [65534, 65533]");
    let running = place.start(&[]);
    for method in [
        "org.birthmark.Clock.Now",
        "org.varlink.service.GetInfo",
        "org.birthmark.Clock.Yesterday",
    ] {
        let answer = call(&place.socket(), &format!("{{\"method\":\"{method}\"}}"));
        assert_eq!(
            answer["error"], "org.varlink.service.PermissionDenied",
            "{method}"
        );
    }
    running.signal(Signal::TERM);
    let (_, log) = running.end();
    let me = rustix::process::getuid().as_raw();
    assert!(
        log.contains(&format!("refused a call of user {me}")),
        "{log}"
    );
}

#[test]
fn a_caller_whose_name_does_not_exist_is_a_configuration_error() {
    let place = Place::with("callers = [\"no-such-user\"]");
    let mut command = place.command(&crate::running::binary());
    command.arg("--config").arg(place.path("clock.toml"));
    let (status, log) = crate::running::Running::of(&mut command).end();
    assert_eq!(status.code(), Some(78));
    assert!(
        log.contains("there is no user named `no-such-user`"),
        "{log}"
    );
}

#[test]
fn a_message_without_end_ends_the_connection() {
    let place = Place::with("");
    let _running = place.start(&[]);
    let mut connection = open(&place.socket());
    let much = vec![b' '; LARGEST_MESSAGE + 4096];
    // The daemon may close while we still write.
    let _ = connection.get_mut().write_all(&much);
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    assert!(call(&place.socket(), r#"{"method":"org.birthmark.Clock.Now"}"#)["error"].is_null());
}

#[test]
fn a_caller_who_never_reads_stalls_nobody_else() {
    let place = Place::with("");
    let _running = place.start(&[]);
    let rude = open(&place.socket());
    rude.get_ref().set_nonblocking(true).unwrap();
    // Calls until the daemon can neither answer nor read any more.
    while rude
        .get_ref()
        .write_all(b"{\"method\":\"org.varlink.service.GetInfo\"}\0")
        .is_ok()
    {}
    assert!(call(&place.socket(), r#"{"method":"org.birthmark.Clock.Now"}"#)["error"].is_null());
}

/// One user who opens connections and keeps them leaves room for others: those beyond its share are
/// closed at once, and a seat that is given back is anybody's.
#[test]
fn one_user_cannot_hold_every_seat() {
    const NOW: &str = r#"{"method":"org.birthmark.Clock.Now"}"#;
    let place = Place::with("");
    let _running = place.start(&[]);
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut connection = open(&place.socket());
        send(&mut connection, NOW);
        assert!(read_answer(&mut connection)["error"].is_null());
        held.push(connection);
    }
    let refused = || {
        let mut connection = open(&place.socket());
        // What was written to a connection that is closed at once may be refused as well.
        let _ = connection.get_mut().write_all(NOW.as_bytes());
        let _ = connection.get_mut().write_all(&[0]);
        let mut answer = Vec::new();
        matches!(connection.read_until(0, &mut answer), Ok(0) | Err(_))
    };
    assert!(refused() && refused());
    held.pop();
    // The daemon has to notice that somebody left.
    let mut served = false;
    for _ in 0..200 {
        served = !refused();
        if served {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(served, "a seat that was given back is nobody's");
    let mut first = held.swap_remove(0);
    send(&mut first, NOW);
    assert!(
        read_answer(&mut first)["error"].is_null(),
        "and the others stay"
    );
}

#[test]
fn a_running_call_is_answered_before_the_end() {
    let place = Place::with("");
    let running = place.start(&[]);
    let mut connection = open(&place.socket());
    send(&mut connection, r#"{"method":"org.birthmark.Clock.Now"}"#);
    read_answer(&mut connection);
    send(
        &mut connection,
        r#"{"method":"org.birthmark.Clock.Later","parameters":{"milliseconds":400}}"#,
    );
    std::thread::sleep(std::time::Duration::from_millis(100));
    running.signal(Signal::TERM);
    assert!(read_answer(&mut connection)["parameters"]["unix_seconds"].is_i64());
    assert!(running.end().0.success());
}

#[tokio::test]
async fn callers_learn_why_they_got_no_answer() {
    let place = Place::with("callers = [65534]");
    let _running = place.start(&[]);
    let me = Peers::same_user();
    let mut refused = connect(&place.socket(), &me, PATIENCE).await.unwrap();
    let answer = within(PATIENCE, refused.now()).await;
    assert!(matches!(answer, Err(CallError::Refused)), "{answer:?}");
    let impostor = connect(&place.socket(), &Peers::ids([65534]), PATIENCE).await;
    assert!(matches!(impostor, Err(CallError::Impostor { .. })));
    let nobody = connect(&place.path("nobody"), &me, PATIENCE).await;
    assert!(matches!(nobody, Err(CallError::Unreachable { .. })));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_late_and_an_own_error_is_the_interfaces() {
    let place = Place::with("");
    let _running = place.start(&[]);
    let mut clock = connect(&place.socket(), &Peers::same_user(), PATIENCE)
        .await
        .unwrap();
    let own = within(PATIENCE, clock.later(60_001)).await.unwrap();
    assert!(matches!(
        own,
        Err(ClockError::TooLong {
            longest_milliseconds: 60_000
        })
    ));
    let short = std::time::Duration::from_millis(50);
    let late = within(short, clock.later(60_000)).await;
    assert!(matches!(late, Err(CallError::Late(_))), "{late:?}");
}
