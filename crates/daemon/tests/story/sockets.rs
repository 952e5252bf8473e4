//! Sockets: really passed ones, bound ones, and the mistakes between them.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use birthmark_daemon::{SocketError, Sockets};
use rustix::process::Signal;

use crate::running::{Place, Running, binary};
use crate::varlink::call;

/// Starts the clock as systemd would, with these two sockets as descriptors 3 and 4.
pub fn activate(place: &Place, names: &str, first: OwnedFd, second: OwnedFd) -> Running {
    let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_PID=$$ exec \"$@\"";
    let mut command = place.command(Path::new("/bin/sh"));
    command
        .args(["-c", script, "sh"])
        .arg(binary())
        .arg("--config")
        .arg(place.path("clock.toml"))
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", names)
        .stdin(first)
        .stdout(second);
    Running::of(&mut command)
}

fn told(address: std::net::SocketAddr) -> String {
    let mut text = String::new();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn passed_sockets_are_found_by_name_not_by_place() {
    let place = Place::with("");
    let text = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = text.local_addr().unwrap();
    let varlink = UnixListener::bind(place.path("passed")).unwrap();
    let running = activate(&place, "varlink:text", varlink.into(), text.into());
    let ready = place.await_notice("READY=1");
    assert!(ready.contains(&format!("text on {address}")), "{ready}");
    assert!(told(address).trim().parse::<i64>().unwrap() > 1_700_000_000);
    let answer = call(
        &place.path("passed"),
        r#"{"method":"org.birthmark.Clock.Now"}"#,
    );
    assert!(answer["parameters"]["unix_seconds"].as_i64().unwrap() > 1_700_000_000);
    assert!(
        !place.socket().exists(),
        "nothing is bound beside what was passed"
    );
    running.signal(Signal::TERM);
    assert!(running.end().0.success());
}

/// A unit with several `ListenStream=` passes several sockets of one name.
#[test]
fn every_passed_socket_of_a_name_is_served() {
    let place = Place::with("");
    let both = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = both.each_ref().map(|text| text.local_addr().unwrap());
    let [first, second] = both;
    let _running = activate(&place, "text:text", first.into(), second.into());
    let ready = place.await_notice("READY=1");
    for address in addresses {
        assert!(ready.contains(&format!("text on {address}")), "{ready}");
        assert!(told(address).trim().parse::<i64>().unwrap() > 1_700_000_000);
    }
}

#[test]
fn a_passed_socket_of_the_wrong_kind_is_an_error() {
    let place = Place::with("");
    let first = UnixListener::bind(place.path("first")).unwrap();
    let second = UnixListener::bind(place.path("second")).unwrap();
    let (status, log) = activate(&place, "text:varlink", first.into(), second.into()).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("the socket `text` that systemd passed is not usable"),
        "{log}"
    );
}

#[test]
fn a_passed_socket_nobody_uses_is_told() {
    let place = Place::with("");
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = UnixListener::bind(place.path("second")).unwrap();
    let running = activate(&place, "txt:varlink", first.into(), second.into());
    place.await_notice("READY=1");
    running.signal(Signal::TERM);
    let (_, log) = running.end();
    assert!(
        log.contains("systemd passed the socket `txt`, which this daemon does not use"),
        "{log}"
    );
}

#[test]
fn a_taken_port_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let place = Place::with(&format!("listen = \"{address}\""));
    let mut command = place.command(&binary());
    let (status, log) = Running::of(command.arg("-c").arg(place.path("clock.toml"))).end();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains(&format!("cannot listen on {address} for `text`: ")),
        "{log}"
    );
}

#[tokio::test]
async fn a_bound_unix_socket_has_its_mode_and_replaces_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    let mut sockets = Sockets::none();
    let listener = sockets.unix("varlink", &path, 0o620).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o620);
    assert_eq!(sockets.addresses().unix("varlink"), Some(path.as_path()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(listener);
}

#[tokio::test]
async fn a_living_socket_and_a_plain_file_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let living = folder.path().join("living");
    let _living = UnixListener::bind(&living).unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    for path in [&living, &file] {
        let refused = Sockets::none().unix("varlink", path, 0o600).await;
        assert!(matches!(refused, Err(SocketError::Bind { .. })), "{path:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
