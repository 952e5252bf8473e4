//! What is known about the receiver. Time is an argument: nothing here reads a clock.

use std::time::{Duration, Instant};

use birthmark_protocol::Timestamp;
use birthmark_protocol::numbers::at_most;

use crate::fix::{Demands, GoodFix, is_plausible, judge};
use crate::messages::{Absence, Fix, FixReply, TimeHint, TimeQuality};
use crate::sentence::{Gga, Minimum, Sentence};

/// A place older than this is not told.
const FRESH: Duration = Duration::from_secs(5);
/// A time hint older than this is not told.
const TIME_FRESH: Duration = Duration::from_secs(60);

/// The receiver, its line, and what it said last.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    demands: Demands,
    line: Line,
    minimum: Option<Minimum>,
    gga: Option<Gga>,
    /// The judgement of the latest whole second, and when it was made.
    judged: Option<(Instant, Result<GoodFix, Absence>)>,
    time: Option<(Instant, Timestamp, TimeQuality)>,
}

#[derive(Clone, Debug)]
enum Line {
    Closed {
        reason: String,
    },
    Open {
        since: Instant,
        last_byte: Option<Instant>,
        last_sentence: Option<Instant>,
    },
}

impl Receiver {
    /// A receiver whose line has not been opened yet.
    pub fn new(demands: Demands) -> Self {
        let line = Line::Closed {
            reason: "the serial line has not been opened yet".to_owned(),
        };
        Self {
            demands,
            line,
            minimum: None,
            gga: None,
            judged: None,
            time: None,
        }
    }

    /// The line was opened. What another device may have said on it is forgotten.
    pub fn opened(&mut self, now: Instant) {
        self.line = Line::Open {
            since: now,
            last_byte: None,
            last_sentence: None,
        };
        (self.minimum, self.gga, self.judged, self.time) = (None, None, None, None);
    }

    /// The line is gone.
    pub fn closed(&mut self, reason: String) {
        self.line = Line::Closed { reason };
        (self.minimum, self.gga, self.judged) = (None, None, None);
    }

    /// Something arrived, whatever it was.
    pub fn heard(&mut self, now: Instant) {
        if let Line::Open { last_byte, .. } = &mut self.line {
            *last_byte = Some(now);
        }
    }

    /// A sound sentence arrived.
    pub fn take(&mut self, sentence: Sentence, now: Instant) {
        if let Line::Open { last_sentence, .. } = &mut self.line {
            *last_sentence = Some(now);
        }
        match sentence {
            Sentence::Minimum(minimum) => {
                self.take_time(&minimum, now);
                self.minimum = Some(minimum);
            }
            Sentence::Position(gga) => self.gga = Some(gga),
            Sentence::Other => return,
        }
        let (Some(minimum), Some(gga)) = (&self.minimum, &self.gga) else {
            return;
        };
        if minimum.clock != gga.clock {
            return;
        }
        self.judged = Some((now, judge(minimum, gga, self.demands)));
        (self.minimum, self.gga) = (None, None);
    }

    fn take_time(&mut self, minimum: &Minimum, now: Instant) {
        let Some(time) = minimum.time.filter(|time| is_plausible(*time)) else {
            return;
        };
        let quality = if minimum.valid {
            TimeQuality::Satellites
        } else {
            TimeQuality::ReceiverClock
        };
        self.time = Some((now, time, quality));
    }

    /// What can be said now.
    pub fn answer(&self, now: Instant) -> FixReply {
        let time = self.time.and_then(|(received, time, quality)| {
            let age = now.saturating_duration_since(received);
            (age <= TIME_FRESH).then(|| TimeHint {
                unix_seconds: time.unix(),
                age_ms: milliseconds(age),
                quality,
            })
        });
        match self.fix(now) {
            Ok(fix) => FixReply {
                fix: Some(fix),
                reason: None,
                detail: None,
                time,
            },
            Err(reason) => FixReply {
                fix: None,
                reason: Some(reason),
                detail: Some(self.explain(reason)),
                time,
            },
        }
    }

    fn fix(&self, now: Instant) -> Result<Fix, Absence> {
        self.line_problem(now).map_or(Ok(()), Err)?;
        let (received, judgement) = self.judged.as_ref().ok_or(Absence::Searching)?;
        let age = now.saturating_duration_since(*received);
        if age > FRESH {
            return Err(Absence::Stale);
        }
        let fix = judgement.as_ref().map_err(|reason| *reason)?;
        Ok(Fix {
            latitude: fix.position.latitude(),
            longitude: fix.position.longitude(),
            altitude: fix.position.altitude(),
            time: fix.position.time().unix(),
            age_ms: milliseconds(age),
            quality: fix.quality,
            satellites: fix.satellites.into(),
            hdop: fix.hdop.into(),
        })
    }

    /// What is wrong with the line itself, if a fresh fix does not prove the contrary.
    fn line_problem(&self, now: Instant) -> Option<Absence> {
        let Line::Open {
            since,
            last_byte,
            last_sentence,
        } = &self.line
        else {
            return Some(Absence::NoReceiver);
        };
        let recent = |moment: Instant| now.saturating_duration_since(moment) <= FRESH;
        if recent(last_sentence.unwrap_or(*since)) {
            return None;
        }
        if last_byte.is_some_and(recent) {
            Some(Absence::Garbled)
        } else {
            Some(Absence::Silent)
        }
    }

    fn explain(&self, reason: Absence) -> String {
        let demands = self.demands;
        match (reason, &self.line) {
            (Absence::NoReceiver, Line::Closed { reason }) => reason.clone(),
            (Absence::NoReceiver, _) => "there is no receiver".to_owned(),
            (Absence::Silent, _) => {
                "the receiver says nothing: check its power and the wiring of the serial line"
                    .to_owned()
            }
            (Absence::Garbled, _) => {
                "what arrives is no NMEA: check the line's speed, and what is connected to it"
                    .to_owned()
            }
            (Absence::Searching, _) => {
                "the receiver has no fix yet: it needs a view of the sky".to_owned()
            }
            (Absence::FewSatellites, _) => {
                format!("fewer than {} satellites are used", demands.satellites)
            }
            (Absence::Imprecise, _) => {
                format!("the dilution of precision is above {}", demands.hdop)
            }
            (Absence::ImplausibleDate, _) => "the receiver's date cannot be right".to_owned(),
            (Absence::Stale, _) => {
                "the receiver sends no complete fix any more (RMC and GGA of one second)".to_owned()
            }
        }
    }
}

fn milliseconds(age: Duration) -> i64 {
    at_most(age.as_millis())
}

#[cfg(test)]
mod tests;
