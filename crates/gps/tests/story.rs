//! The daemon at its real interfaces: a serial line (a pseudo-terminal), the real binary, a real
//! socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use birthmark_gps::messages::{Fix, Quality, TimeQuality};
use birthmark_gps::{Absence, FixReply, GpsClient};
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;
use time::OffsetDateTime;

/// Long enough for a loaded machine; nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver at the other end of a serial line.
struct Receiver {
    line: File,
}

impl Receiver {
    /// Plugs a receiver in where the configuration expects it.
    fn plug_in(place: &Place) -> Self {
        let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&line).unwrap();
        unlockpt(&line).unwrap();
        let device = ptsname(&line, Vec::new()).unwrap();
        let _ = std::fs::remove_file(place.device());
        symlink(device.to_str().unwrap(), place.device()).unwrap();
        rustix::io::ioctl_fionbio(line.as_fd(), true).unwrap();
        Self {
            line: File::from(line),
        }
    }

    fn send(&mut self, body: &str) {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        self.send_bytes(format!("${body}*{sum:02X}\r\n").as_bytes());
    }

    /// Puts bytes on the line as fast as the other side takes them; a line nobody reads loses them.
    fn send_bytes(&mut self, bytes: &[u8]) {
        let deadline = Instant::now() + Duration::from_millis(200);
        let mut rest = bytes;
        while !rest.is_empty() && Instant::now() < deadline {
            match self.line.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1))
                }
                Err(error) => panic!("the line broke: {error}"),
            }
        }
    }

    /// One second's sentences of a receiver with a fix, dated now.
    fn send_fix(&mut self, now: OffsetDateTime) {
        let (clock, date) = clock_and_date(now);
        self.send("GPGSV,1,1,01,01,40,083,46");
        self.send(&format!(
            "GNRMC,{clock},A,4807.038,N,01131.000,E,0.0,0.0,{date},,,A"
        ));
        self.send(&format!(
            "GNGGA,{clock},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"
        ));
    }

    /// The same without a fix.
    fn send_no_fix(&mut self, now: OffsetDateTime) {
        let (clock, date) = clock_and_date(now);
        self.send(&format!("GNRMC,{clock},V,,,,,,,{date},,,N"));
        self.send(&format!("GNGGA,{clock},,,,,0,00,99.9,,M,,M,,"));
    }
}

fn clock_and_date(now: OffsetDateTime) -> (String, String) {
    let clock = format!("{:02}{:02}{:02}.00", now.hour(), now.minute(), now.second());
    let date = format!(
        "{:02}{:02}{:02}",
        now.day(),
        u8::from(now.month()),
        now.year() % 100
    );
    (clock, date)
}

/// A folder with the daemon's configuration, its serial line and its line to systemd.
struct Place {
    folder: TempDir,
    notices: UnixDatagram,
}

impl Place {
    fn new() -> Self {
        Self::with("callers = []\n")
    }

    fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notices = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let place = Self { folder, notices };
        let (socket, device) = (place.socket(), place.device());
        let text = format!("socket = {socket:?}\ndevice = {device:?}\n{lines}");
        std::fs::write(place.path("gps.toml"), text).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("gps")
    }

    fn device(&self) -> PathBuf {
        self.path("serial0")
    }

    fn start(&self) -> Running {
        let child = Command::new(env!("CARGO_BIN_EXE_birthmark-gps"))
            .arg("--config")
            .arg(self.path("gps.toml"))
            .env_clear()
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        let running = Running(child);
        let mut buffer = [0; 4096];
        loop {
            let read = self
                .notices
                .recv(&mut buffer)
                .expect("the daemon becomes ready");
            if std::str::from_utf8(&buffer[..read])
                .unwrap()
                .contains("READY=1")
            {
                return running;
            }
        }
    }

    /// Starts the daemon as systemd would at the first call.
    fn start_activated(&self, socket: &UnixListener) -> Running {
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$@\"";
        let child = Command::new("/bin/sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_birthmark-gps")])
            .arg("--config")
            .arg(self.path("gps.toml"))
            .env_clear()
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "varlink")
            .stdin(std::os::fd::OwnedFd::from(socket.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        Running(child)
    }

    async fn client(&self) -> GpsClient {
        GpsClient::connect(&self.socket()).await.unwrap()
    }
}

/// A daemon that is ended with the test, whatever happens.
struct Running(Child);

impl Running {
    /// Waits for a daemon that ends by itself.
    fn end(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn stop(mut self) -> ExitStatus {
        kill_process(
            Pid::from_raw(self.0.id().cast_signed()).unwrap(),
            Signal::TERM,
        )
        .unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks until the answer is the wanted one, doing something between the questions; every answer on
/// the way is checked.
async fn ask_until(
    client: &mut GpsClient,
    mut meanwhile: impl FnMut(),
    wanted: impl Fn(&FixReply) -> bool,
) -> FixReply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        meanwhile();
        let reply = client.get_fix().await.unwrap();
        assert!(
            reply.fix.is_some() != reply.reason.is_some(),
            "a fix or a reason: {reply:?}"
        );
        assert!(
            reply.fix.as_ref().is_none_or(|fix| fix.age_ms <= 5_000),
            "a stale place: {reply:?}"
        );
        if wanted(&reply) {
            return reply;
        }
        assert!(Instant::now() < deadline, "the last answer was {reply:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn has_fix(reply: &FixReply) -> bool {
    reply.fix.is_some()
}

fn lacks(reason: Absence) -> impl Fn(&FixReply) -> bool {
    move |reply| reply.reason == Some(reason)
}

#[tokio::test]
async fn a_receiver_with_a_fix_is_believed_and_its_time_told() {
    let place = Place::new();
    let mut receiver = Receiver::plug_in(&place);
    let running = place.start();
    let mut client = place.client().await;
    let now = OffsetDateTime::now_utc();
    let reply = ask_until(&mut client, || receiver.send_fix(now), has_fix).await;
    let Fix {
        latitude,
        longitude,
        altitude,
        time,
        quality,
        satellites,
        hdop,
        ..
    } = reply.fix.unwrap();
    assert_eq!(
        (latitude, longitude, altitude),
        (4_811_730, 1_151_667, Some(545))
    );
    assert_eq!(
        (time, quality, satellites),
        (now.unix_timestamp(), Quality::Autonomous, 8)
    );
    assert!((hdop - 0.9).abs() < 0.01);
    let hint = reply.time.unwrap();
    assert_eq!(
        (hint.unix_seconds, hint.quality),
        (now.unix_timestamp(), TimeQuality::Satellites)
    );
    drop(client);
    assert!(running.stop().success());
    assert!(
        !std::fs::read_to_string(place.path("log"))
            .unwrap()
            .contains("4811"),
        "no position in the log"
    );
}

#[tokio::test]
async fn a_lost_fix_is_lost_at_once() {
    let place = Place::new();
    let mut receiver = Receiver::plug_in(&place);
    let _running = place.start();
    let mut client = place.client().await;
    let now = OffsetDateTime::now_utc();
    ask_until(&mut client, || receiver.send_fix(now), has_fix).await;
    let later = now + Duration::from_secs(1);
    receiver.send_no_fix(later);
    let reply = ask_until(&mut client, || (), lacks(Absence::Searching)).await;
    assert!(reply.detail.unwrap().contains("view of the sky"));
    let hint = reply.time.unwrap();
    assert_eq!(
        (hint.unix_seconds, hint.quality),
        (later.unix_timestamp(), TimeQuality::ReceiverClock)
    );
}

#[tokio::test]
async fn garbage_at_full_rate_neither_hides_a_fix_nor_makes_one() {
    let place = Place::new();
    let mut receiver = Receiver::plug_in(&place);
    let running = place.start();
    let mut client = place.client().await;
    // A fixed sequence that looks random: every byte value, no valid sentence.
    let mut state = 0x2545_f491_u32;
    let mut noise = move |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[1]
            })
            .collect()
    };
    for _ in 0..100 {
        receiver.send_bytes(&noise(4_000));
        assert_eq!(client.get_fix().await.unwrap().fix, None);
    }
    let now = OffsetDateTime::now_utc();
    ask_until(
        &mut client,
        || {
            receiver.send_bytes(&noise(1_000));
            receiver.send_fix(now);
            receiver.send_bytes(&noise(1_000));
        },
        has_fix,
    )
    .await;
    let memory = resident_kilobytes(&running);
    let reply = ask_until(
        &mut client,
        || receiver.send_bytes(&noise(20_000)),
        lacks(Absence::Garbled),
    )
    .await;
    assert!(reply.detail.unwrap().contains("line's speed"));
    let grown = resident_kilobytes(&running).saturating_sub(memory);
    assert!(
        grown < 4_096,
        "{grown} kB more after minutes' worth of noise"
    );
}

#[tokio::test]
async fn sentences_with_a_wrong_or_no_checksum_are_ignored() {
    let place = Place::new();
    let mut receiver = Receiver::plug_in(&place);
    let _running = place.start();
    let mut asking = place.client().await;
    let mut listening = place.client().await;
    let mut replies = Box::pin(listening.subscribe().await.unwrap());
    let now = OffsetDateTime::now_utc();
    let (clock, date) = clock_and_date(now);
    let gga = format!("GNGGA,{clock},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,");
    for _ in 0..20 {
        receiver.send(&format!(
            "GNRMC,{clock},A,4807.038,N,01131.000,E,0.0,0.0,{date},,,A"
        ));
        let sum = gga.bytes().fold(1, |sum, byte| sum ^ byte);
        receiver.send_bytes(format!("${gga}*{sum:02X}\r\n${gga}\r\n").as_bytes());
        assert_eq!(asking.get_fix().await.unwrap().fix, None);
    }
    // Lines are read in order: once this fix is known, everything above has been judged.
    let later = now + Duration::from_secs(2);
    ask_until(&mut asking, || receiver.send_fix(later), has_fix).await;
    loop {
        let reply = tokio::time::timeout(PATIENCE, replies.next())
            .await
            .expect("an answer")
            .unwrap()
            .unwrap();
        if let Some(fix) = reply.fix {
            assert_eq!(
                fix.time,
                later.unix_timestamp(),
                "the first place ever told"
            );
            break;
        }
    }
}

#[tokio::test]
async fn an_unplugged_receiver_is_missed_and_found_again() {
    let place = Place::new();
    let running = place.start();
    let mut client = place.client().await;
    let reply = ask_until(&mut client, || (), lacks(Absence::NoReceiver)).await;
    assert!(reply.detail.unwrap().contains("serial0 cannot be opened"));
    for _ in 0..3 {
        let mut receiver = Receiver::plug_in(&place);
        let now = OffsetDateTime::now_utc();
        ask_until(&mut client, || receiver.send_fix(now), has_fix).await;
        drop(receiver);
        let reply = ask_until(&mut client, || (), lacks(Absence::NoReceiver)).await;
        assert!(reply.detail.is_some());
    }
    drop(client);
    assert!(running.stop().success());
}

#[tokio::test]
async fn silence_ends_a_fix_without_a_word_from_the_receiver() {
    let place = Place::new();
    let mut receiver = Receiver::plug_in(&place);
    let _running = place.start();
    let mut client = place.client().await;
    let now = OffsetDateTime::now_utc();
    ask_until(&mut client, || receiver.send_fix(now), has_fix).await;
    let reply = ask_until(&mut client, || (), |reply| reply.fix.is_none()).await;
    assert_eq!(reply.reason, Some(Absence::Silent));
    assert!(reply.time.unwrap().age_ms > 4_000);
}

#[tokio::test]
async fn a_subscriber_hears_of_every_change_and_of_nothing_else() {
    let place = Place::new();
    let mut receiver = Receiver::plug_in(&place);
    let _running = place.start();
    let mut asking = place.client().await;
    let mut listening = place.client().await;
    let mut replies = Box::pin(listening.subscribe().await.unwrap());
    let mut next = async || {
        tokio::time::timeout(PATIENCE, replies.next())
            .await
            .expect("an answer")
            .unwrap()
            .unwrap()
    };
    assert!(next().await.fix.is_none());

    let now = OffsetDateTime::now_utc();
    ask_until(&mut asking, || receiver.send_fix(now), has_fix).await;
    let mut reply = next().await;
    while reply.fix.is_none() {
        reply = next().await;
    }
    assert_eq!(reply.fix.unwrap().time, now.unix_timestamp());
    for _ in 0..5 {
        receiver.send_fix(now);
    }
    let later = now + Duration::from_secs(1);
    receiver.send_fix(later);
    assert_eq!(
        next().await.fix.unwrap().time,
        later.unix_timestamp(),
        "the same second is told once"
    );
    receiver.send_no_fix(later + Duration::from_secs(1));
    assert_eq!(next().await.reason, Some(Absence::Searching));
    assert_eq!(next().await.reason, Some(Absence::Silent));
}

#[tokio::test]
async fn strangers_do_not_learn_where_the_camera_is() {
    let me = rustix::process::geteuid().as_raw();
    let somebody = if me == 65_534 { 65_533 } else { 65_534 };
    let place = Place::with(&format!("callers = [{somebody}]\n"));
    let _receiver = Receiver::plug_in(&place);
    let _running = place.start();
    let refused = place.client().await.get_fix().await.unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
}

#[tokio::test]
async fn it_leaves_when_nobody_is_connected_and_is_there_again_at_the_next_call() {
    let place = Place::with("callers = []\nidle_seconds = 1\n");
    let mut receiver = Receiver::plug_in(&place);
    let socket = UnixListener::bind(place.socket()).unwrap();
    let mut first = place.start_activated(&socket);
    let mut client = place.client().await;
    let now = OffsetDateTime::now_utc();
    ask_until(&mut client, || receiver.send_fix(now), has_fix).await;
    // Longer than it may be idle: who stays connected, as the camera does, keeps it.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!first.has_ended());
    drop(client);
    assert!(first.end().success());

    // A call that came while nobody was there waits in systemd's socket.
    let mut client = place.client().await;
    let _second = place.start_activated(&socket);
    ask_until(&mut client, || receiver.send_fix(now), has_fix).await;
}

#[tokio::test]
async fn chrony_is_told_the_satellites_time_and_nothing_else() {
    let chrony = tempfile::tempdir().unwrap();
    let path = chrony.path().join("chrony.sock");
    let lines = format!("callers = []\nidle_seconds = 1\nchrony_socket = {path:?}\n");
    let place = Place::with(&lines);
    let mut receiver = Receiver::plug_in(&place);
    let socket = UnixListener::bind(place.socket()).unwrap();
    let mut running = place.start_activated(&socket);
    let mut client = place.client().await;
    let start = OffsetDateTime::now_utc();
    // chrony is not there yet, and that keeps nobody from the place.
    ask_until(&mut client, || receiver.send_fix(start), has_fix).await;
    drop(client);

    // Each round a second that no other had, so that a sample tells which sentence it came from.
    let mut round = 0;
    for _ in 0..2 {
        // And it makes its socket anew when it starts again.
        let _ = std::fs::remove_file(&path);
        let listening = UnixDatagram::bind(&path).unwrap();
        listening
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let (deadline, mut datagram) = (Instant::now() + PATIENCE, [0; 64]);
        let (second, length) = loop {
            assert!(Instant::now() < deadline, "chrony heard nothing");
            round += 1;
            let second = start + Duration::from_secs(100 * round);
            receiver.send_no_fix(second - Duration::from_secs(50));
            // Or both would be read at once, as what lay there for longer.
            std::thread::sleep(Duration::from_millis(50));
            receiver.send_fix(second);
            if let Ok(length) = listening.recv(&mut datagram) {
                break (second, length);
            }
        };
        assert_eq!(length, 40);
        let long = |from: usize| i64::from_ne_bytes(datagram[from..from + 8].try_into().unwrap());
        let offset = f64::from_ne_bytes(datagram[16..24].try_into().unwrap());
        let told = long(0) as f64 + long(8) as f64 / 1e6 + offset;
        // What a receiver without a fix believes is 50 seconds off.
        let off = (told - second.unix_timestamp() as f64).abs();
        assert!(off.rem_euclid(100.0) < 0.001, "{off} seconds off");
        assert_eq!(datagram[36..40], 0x534f_434b_i32.to_ne_bytes());
    }
    // Nobody was connected for longer than a second, and the clock is still told the time.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!running.has_ended());
}

#[test]
fn settings_that_would_accept_any_place_are_refused() {
    for (lines, field) in [
        ("minimum_satellites = 3\n", "minimum_satellites"),
        ("maximum_hdop = 99.0\n", "maximum_hdop"),
        ("baud = 1\n", "baud"),
        ("idle_seconds = 0\n", "idle_seconds"),
        ("chrony_socket = \"chrony.sock\"\n", "chrony_socket"),
    ] {
        let place = Place::with(lines);
        let output = Command::new(env!("CARGO_BIN_EXE_birthmark-gps"))
            .args(["check-config", "--config"])
            .arg(place.path("gps.toml"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78));
        assert!(String::from_utf8(output.stderr).unwrap().contains(field));
    }
}

fn resident_kilobytes(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
