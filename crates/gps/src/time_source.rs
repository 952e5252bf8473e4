//! Tells chrony what time the satellites say it is: one datagram for each whole second, as chrony's
//! reference clocks of the kind SOCK take them. What chrony makes of it, and whether it believes a
//! network more, is chrony's own to decide.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use birthmark_daemon::clock;
use birthmark_protocol::Timestamp;

use crate::fix::is_plausible;
use crate::sentence::{Minimum, Sentence};

/// The length of `struct sock_sample` in chrony's refclock_sock.c, where `time_t` has 64 bits.
const SAMPLE: usize = 40;
/// chrony ignores a datagram without it: "SOCK".
const MAGIC: i32 = 0x534f_434b;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Where chrony listens. It makes its socket anew at each of its own starts, so nothing is
/// connected.
#[derive(Debug)]
pub(crate) struct TimeSource {
    socket: UnixDatagram,
    chrony: PathBuf,
    /// Whether the last datagram arrived; a change is logged, and only that.
    arrived: Option<bool>,
}

impl TimeSource {
    /// A source for the chrony that listens at `chrony`, now or later.
    pub fn new(chrony: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A chrony that takes nothing any more must not keep us from reading the receiver.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            chrony,
            arrived: None,
        })
    }

    /// Takes what one read of the serial line brought.
    pub fn take(&mut self, sentences: &[Sentence]) {
        let now = clock::nanos();
        if let Some(time) = second_just_begun(sentences) {
            self.tell(&sample(now, time));
        }
    }

    fn tell(&mut self, datagram: &[u8]) {
        let sent = self.socket.send_to(datagram, &self.chrony);
        let arrived = sent.is_ok();
        if self.arrived != Some(arrived) {
            self.arrived = Some(arrived);
            match sent {
                Ok(_) => log::info!("{} takes the satellites' time", self.chrony.display()),
                Err(error) => log::warn!(
                    "chrony does not take the satellites' time at {}: {error}",
                    self.chrony.display()
                ),
            }
        }
    }
}

/// The second that a receiver with a fix announced, if what was read was not lying there for
/// longer.
///
/// Two announcements in one read are a backlog: this process, or the machine, slept over them, and
/// none of them says what time it is now. A receiver that reports several times a second is asked
/// about whole seconds only, as [`Timestamp`] has no others.
fn second_just_begun(sentences: &[Sentence]) -> Option<Timestamp> {
    let mut announced = sentences.iter().filter_map(|sentence| match sentence {
        Sentence::Minimum(minimum) => Some(minimum),
        _ => None,
    });
    let (minimum, None) = (announced.next()?, announced.next()) else {
        return None;
    };
    let time = minimum.time.filter(|time| is_plausible(*time))?;
    (minimum.valid && is_whole_second(minimum)).then_some(time)
}

fn is_whole_second(minimum: &Minimum) -> bool {
    match minimum.clock.split_once('.') {
        Some((_, fraction)) => fraction.bytes().all(|digit| digit == b'0'),
        None => true,
    }
}

/// `struct sock_sample`: this machine's clock when the second was announced, and how far it is from
/// the truth. Not a pulse (those bytes stay zero), and no leap second announced: these sentences do
/// not know of any.
fn sample(now: i64, time: Timestamp) -> [u8; SAMPLE] {
    let (seconds, nanos) = (
        now.div_euclid(NANOS_PER_SECOND),
        now.rem_euclid(NANOS_PER_SECOND),
    );
    // Both are within nineteen years of each other or one is wrong by decades; either way a double
    // has the microseconds.
    let offset = time.unix().saturating_sub(seconds) as f64 - nanos as f64 / 1e9;
    let fields = [
        seconds.to_ne_bytes(),
        (nanos / 1_000).to_ne_bytes(),
        offset.to_ne_bytes(),
        [0; 8],
    ];
    let mut datagram = [0; SAMPLE];
    let (whole, rest) = datagram.split_at_mut(32);
    whole.copy_from_slice(fields.as_flattened());
    let (_, magic) = rest.split_at_mut(4);
    magic.copy_from_slice(&MAGIC.to_ne_bytes());
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_795_178_119;

    fn announced(clock: &str, valid: bool, time: i64) -> Sentence {
        Sentence::Minimum(Minimum {
            clock: clock.to_owned(),
            time: Some(Timestamp::from_unix(time)),
            valid,
        })
    }

    fn told(sentences: &[Sentence]) -> Option<i64> {
        second_just_begun(sentences).map(|time| time.unix())
    }

    #[test]
    fn a_second_that_just_began_is_told() {
        for clock in ["123519", "123519.0", "123519.000"] {
            let sentences = [Sentence::Other, announced(clock, true, SECOND)];
            assert_eq!(told(&sentences), Some(SECOND), "{clock}");
        }
    }

    #[test]
    fn no_fix_no_date_no_whole_second_and_no_backlog_are_told() {
        let good = announced("123519.00", true, SECOND);
        let undated = Sentence::Minimum(Minimum {
            clock: "123519.00".to_owned(),
            time: None,
            valid: true,
        });
        for sentences in [
            vec![announced("123519.00", false, SECOND)],
            vec![announced("123519.20", true, SECOND)],
            // A week counter that has rolled over.
            vec![announced("123519.00", true, SECOND - 1_024 * 7 * 86_400)],
            vec![undated],
            vec![good.clone(), good],
            vec![],
        ] {
            assert_eq!(told(&sentences), None, "{sentences:?}");
        }
    }

    #[test]
    fn the_bytes_are_those_that_chrony_reads() {
        let now = (SECOND - 2) * NANOS_PER_SECOND + 250_000_500;
        let datagram = sample(now, Timestamp::from_unix(SECOND));
        let long = |from: usize| i64::from_ne_bytes(datagram[from..from + 8].try_into().unwrap());
        assert_eq!((long(0), long(8)), (SECOND - 2, 250_000));
        let offset = f64::from_ne_bytes(datagram[16..24].try_into().unwrap());
        assert!((offset - 1.749_999_5).abs() < 1e-6, "{offset}");
        // No pulse, no leap second, padding.
        assert_eq!(datagram[24..36], [0; 12]);
        assert_eq!(datagram[36..], MAGIC.to_ne_bytes());
    }

    #[test]
    fn a_clock_before_1970_is_set_right_as_well() {
        let datagram = sample(-500_000_000, Timestamp::from_unix(SECOND));
        let offset = f64::from_ne_bytes(datagram[16..24].try_into().unwrap());
        assert!((offset - (SECOND as f64 + 0.5)).abs() < 1e-6, "{offset}");
    }
}
