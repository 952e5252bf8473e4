//! The serial line: opened, read, and opened again after it was unplugged.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use birthmark_daemon::Shutdown;
use tokio::sync::watch;

use crate::line::Lines;
use crate::receiver::Receiver;
use crate::sentence::Sentence;
use crate::time_source::TimeSource;

/// How long a read waits before it looks whether the daemon should stop.
const READ_PATIENCE: Duration = Duration::from_millis(250);
/// How long to wait before opening again, at first and at most.
const REOPEN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The line to the receiver.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// The device.
    pub path: PathBuf,
    /// Its speed.
    pub baud: u32,
}

/// Who hears of what arrives on the line.
pub(crate) struct Hearers {
    /// Everything learnt.
    pub receiver: watch::Sender<Receiver>,
    /// That the reading thread lives.
    pub beat: watch::Sender<Instant>,
    /// The machine's clock, if it is to have the satellites' time.
    pub time: Option<TimeSource>,
}

/// Reads until the daemon stops.
pub(crate) fn read_for_ever(port: &Port, mut hearers: Hearers, shutdown: &Shutdown) {
    let mut pause = REOPEN.0;
    let mut told = false;
    while !shutdown.is_requested() {
        hearers.beat.send_replace(Instant::now());
        match open(port) {
            Ok(mut line) => {
                log::info!("reading {} at {} baud", port.path.display(), port.baud);
                (pause, told) = (REOPEN.0, false);
                hearers
                    .receiver
                    .send_modify(|receiver| receiver.opened(Instant::now()));
                let error = read(&mut line, &mut hearers, shutdown);
                if shutdown.is_requested() {
                    return;
                }
                log::warn!("lost {}: {error}", port.path.display());
                close(port, &hearers.receiver, &format!("was unplugged ({error})"));
            }
            Err(error) => {
                if !told {
                    log::warn!("cannot open {}: {error}", port.path.display());
                    told = true;
                }
                close(
                    port,
                    &hearers.receiver,
                    &format!("cannot be opened ({error})"),
                );
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(REOPEN.1);
    }
}

fn close(port: &Port, receiver: &watch::Sender<Receiver>, what: &str) {
    let reason = format!("the serial line {} {what}", port.path.display());
    receiver.send_modify(|receiver| receiver.closed(reason));
}

fn open(port: &Port) -> serialport::Result<serialport::TTYPort> {
    let path = device(&port.path);
    serialport::new(path.to_string_lossy(), port.baud)
        .timeout(READ_PATIENCE)
        .exclusive(true)
        .open_native()
}

/// The device behind a name such as `/dev/serial0`, which leads to another after a change of the
/// system. A name that leads nowhere is kept: opening it says why.
fn device(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads until the line fails; the answer is why.
fn read(line: &mut impl Read, hearers: &mut Hearers, shutdown: &Shutdown) -> io::Error {
    let (mut lines, mut buffer) = (Lines::default(), [0; 512]);
    while !shutdown.is_requested() {
        hearers.beat.send_replace(Instant::now());
        match line.read(&mut buffer) {
            Ok(0) => return io::Error::from(io::ErrorKind::UnexpectedEof),
            Ok(count) => match buffer.get(..count) {
                Some(bytes) => take(bytes, &mut lines, hearers),
                // A reader that claims more than there is room for cannot be believed.
                None => return io::Error::from(io::ErrorKind::InvalidData),
            },
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return error,
        }
    }
    io::Error::from(io::ErrorKind::Interrupted)
}

fn take(bytes: &[u8], lines: &mut Lines, hearers: &mut Hearers) {
    let now = Instant::now();
    let mut sentences = Vec::new();
    lines.feed(bytes, |line| sentences.extend(Sentence::parse(line)));
    if let Some(time) = &mut hearers.time {
        time.take(&sentences);
    }
    let changed = !sentences.is_empty();
    hearers.receiver.send_if_modified(|receiver| {
        receiver.heard(now);
        sentences
            .into_iter()
            .for_each(|sentence| receiver.take(sentence, now));
        // Noise wakes nobody.
        changed
    });
}
