//! A GPS receiver at the other end of a serial line, sending sentences of the present.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Sends a fix twice a second until it is dropped.
pub struct Satellites {
    over: Arc<AtomicBool>,
    sending: Option<std::thread::JoinHandle<()>>,
}

impl Satellites {
    /// Makes the serial line `device` and begins.
    pub fn above(device: &Path) -> Self {
        let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&line).unwrap();
        unlockpt(&line).unwrap();
        let other_end = ptsname(&line, Vec::new()).unwrap();
        std::os::unix::fs::symlink(other_end.to_str().unwrap(), device).unwrap();
        // A line nobody reads loses what is sent, as a wire does.
        rustix::io::ioctl_fionbio(line.as_fd(), true).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let sending = std::thread::spawn(move || {
            let mut line = File::from(line);
            while !end.load(Ordering::Relaxed) {
                let _ = line.write_all(sentences().as_bytes());
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self {
            over,
            sending: Some(sending),
        }
    }
}

impl Drop for Satellites {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.sending.take().unwrap().join();
    }
}

/// What a receiver north of Munich says in this second.
fn sentences() -> String {
    let now = time::OffsetDateTime::now_utc();
    let (hour, minute, second) = now.to_hms();
    let (year, month, day) = now.to_calendar_date();
    let clock = format!("{hour:02}{minute:02}{second:02}.00");
    let date = format!("{day:02}{:02}{:02}", u8::from(month), year % 100);
    [
        format!("GNRMC,{clock},A,4807.038,N,01131.000,E,0.0,0.0,{date},,,A"),
        format!("GNGGA,{clock},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"),
    ]
    .map(|body| {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    })
    .concat()
}
