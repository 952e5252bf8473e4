//! When the camera's certificate ends, and who is told. The signer has it; a timer has it renewed
//! (`birthmark renew`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use birthmark_daemon::Shutdown;
use birthmark_protocol::certificate::GRACE;
use birthmark_protocol::{CameraCertificate, Timestamp};
use birthmark_sensor::{ClockQuality, clock};

use super::signer::Signer;

/// So many days before the end people are told: a timer has tried for a month by then, and there is
/// time to act.
const WARNING_DAYS: i64 = 60;
/// How often the signer is asked, and again when it did not answer.
const ASKED_EVERY: Duration = Duration::from_secs(3_600);
const ASKED_AGAIN: Duration = Duration::from_secs(10);
/// How often the journal is told the same.
const TOLD_EVERY: Duration = Duration::from_secs(86_400);
/// A proof is made anew a day before the last validator would refuse it.
const DAY: i64 = 86_400;

/// The end of the camera's certificate, as the signer last said.
#[derive(Debug, Default)]
pub struct CertificateWatch {
    until: Mutex<Option<i64>>,
}

impl CertificateWatch {
    /// The certificate's last second, if the signer has said it.
    pub fn until(&self) -> Option<i64> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it ends within 60 days, or has ended. A clock that was never set cannot say.
    pub fn ends_soon(&self) -> bool {
        let now = clock::now_ns();
        let knows = clock::quality(now) != ClockQuality::Unset;
        knows
            && self
                .until()
                .is_some_and(|until| is_soon(until, now / 1_000_000_000))
    }

    /// Asks the signer until asked to stop.
    pub async fn follow(&self, signer: Arc<dyn Signer>, shutdown: Shutdown) {
        let mut told: Option<Instant> = None;
        while !shutdown.is_requested() {
            let wait = match signer.certificate_until().await {
                Ok(until) => {
                    *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
                    ASKED_EVERY
                }
                // Photos that wait for it say the same, louder.
                Err(error) => {
                    log::debug!("the end of the certificate is not known: {error}");
                    ASKED_AGAIN
                }
            };
            if self.ends_soon() && told.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
                log::warn!("{}", self.sentence());
                told = Some(Instant::now());
            }
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn sentence(&self) -> String {
        let now = clock::now_ns() / 1_000_000_000;
        match self.until().map(|until| until.saturating_sub(now).div_euclid(DAY)) {
            Some(days) if days >= 0 => format!(
                "the camera's certificate ends in {days} days and was not renewed: connect the camera to a network"
            ),
            _ => "the camera's certificate has ended: photos are kept and signed once it is renewed; connect the camera \
                  to a network"
                .to_owned(),
        }
    }
}

const fn is_soon(until: i64, now: i64) -> bool {
    until.saturating_sub(now) <= WARNING_DAYS * DAY
}

/// Whether the proof's certificate ended so long ago that no validator takes it any more: the photo
/// is then signed under the present one. What is no certificate is for the validator to refuse.
pub(super) fn is_outdated(certificate: &[u8], now: Timestamp) -> bool {
    CameraCertificate::from_der(certificate).is_ok_and(|certificate| {
        let (_, until) = certificate.validity();
        now > until.plus(GRACE - DAY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_sixty_days_before_the_end() {
        let soon = |days: i64| is_soon(1_800_000_000 + days * DAY, 1_800_000_000);
        assert_eq!([61, 60, 0, -5].map(soon), [false, true, true, true]);
    }

    #[test]
    fn a_proof_is_outdated_a_day_before_the_grace_is_over() {
        let der = include_bytes!("../../../protocol/tests/fixtures/test-camera-der.der");
        let (_, until) = CameraCertificate::from_der(der).unwrap().validity();
        let at = |seconds: i64| is_outdated(der, until.plus(seconds));
        assert!(!at(0) && !at(GRACE - DAY) && at(GRACE - DAY + 1));
        assert!(!is_outdated(b"no certificate", until.plus(2 * GRACE)));
    }
}
