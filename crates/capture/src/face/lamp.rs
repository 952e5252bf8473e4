//! What the light shows, and where everybody says so.
//!
//! | the light | means |
//! |---|---|
//! | one flash every five seconds | ready |
//! | on | exposing and developing |
//! | one short blink | taken; photo and proof are safe |
//! | two short blinks | taken; the signer is away, the proof is signed later |
//! | three short blinks | taken; an unusual number of proofs is waiting |
//! | five short blinks | taken; the camera's certificate ends within 60 days and was not renewed |
//! | four long blinks | not taken: the disk is full |
//! | fast blinking for three seconds | not taken: see the journal |

use tokio::sync::watch;

/// What the light shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Waiting for the shutter.
    Ready,
    /// Exposing and developing.
    Busy,
    /// The photo and its proof are safe.
    Taken,
    /// The photo is safe, its proof is signed later.
    Unsigned,
    /// The photo is safe; the queue is unusually long.
    QueueFull,
    /// The photo and its proof are safe; the certificate should be renewed.
    CertificateEnds,
    /// No photo: no room.
    DiskFull,
    /// No photo.
    Problem,
}

impl Shown {
    /// Milliseconds on and off, in turn, beginning with on. An empty pattern stays on.
    pub const fn pattern(self) -> &'static [u64] {
        match self {
            Self::Ready => &[40, 4_960],
            Self::Busy => &[],
            Self::Taken => &[120, 400],
            Self::Unsigned => &[120, 200, 120, 400],
            Self::QueueFull => &[120, 200, 120, 200, 120, 400],
            Self::CertificateEnds => &[120, 200, 120, 200, 120, 200, 120, 200, 120, 400],
            Self::DiskFull => &[700, 300, 700, 300, 700, 300, 700, 300],
            Self::Problem => &[60; 50],
        }
    }

    /// Whether the light goes back to ready when the pattern is over.
    pub(crate) const fn passes(self) -> bool {
        !matches!(self, Self::Ready | Self::Busy)
    }
}

/// Where everybody says what the light should show. Without a light nobody looks.
#[derive(Debug, Clone)]
pub struct Lamp(watch::Sender<Shown>);

impl Default for Lamp {
    fn default() -> Self {
        Self(watch::Sender::new(Shown::Ready))
    }
}

impl Lamp {
    /// Shows something from now on.
    pub fn show(&self, shown: Shown) {
        self.0.send_replace(shown);
    }

    /// What is shown.
    pub fn shown(&self) -> watch::Receiver<Shown> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_as_long_as_the_manual_says() {
        let length = |shown: Shown| shown.pattern().iter().sum::<u64>();
        assert_eq!(length(Shown::Ready), 5_000);
        assert_eq!(length(Shown::Problem), 3_000);
    }

    #[test]
    fn patterns_end_dark_and_no_two_are_alike() {
        let all = [
            Shown::Ready,
            Shown::Busy,
            Shown::Taken,
            Shown::Unsigned,
            Shown::QueueFull,
            Shown::CertificateEnds,
            Shown::DiskFull,
            Shown::Problem,
        ];
        for (index, shown) in all.iter().enumerate() {
            assert!(shown.pattern().len().is_multiple_of(2));
            assert!(
                all.iter()
                    .skip(index + 1)
                    .all(|other| other.pattern() != shown.pattern())
            );
        }
    }
}
