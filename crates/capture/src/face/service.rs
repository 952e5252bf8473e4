//! The interface `org.birthmark.Capture`: what a button, a command and a script can ask of the
//! camera.

use std::sync::Arc;
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_protocol::numbers::at_most;
use birthmark_sensor::{ClockQuality, SourceError, clock};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use zlink::Reply;

use crate::calibrate::SharedBench;
use crate::face::lamp::{Lamp, Shown};
use crate::face::messages::{
    Anchor, Calibration, CaptureRefusal, Photo, QueueItem, QueuePage, Registry, Retried, Status,
    TimelineStep,
};
use crate::keep::queue::{EntryId, QueueError, Stage};
use crate::send::certificate::CertificateWatch;
use crate::send::submit::{Nodes, Submitter};
use crate::settings::Place;
use crate::shutter::studio::{self, Studio, StudioError};

mod calibrating;

/// How many photos of a series are on their way at once.
const IN_FLIGHT: usize = 2;
/// The largest part of the queue that is told at once.
const LARGEST_PAGE: i64 = 500;
/// The longest pause within a series: a day.
const LONGEST_INTERVAL_MS: i64 = 86_400_000;

/// The camera behind one connection.
#[derive(Clone)]
pub struct Capture {
    pub(crate) studio: Arc<Studio>,
    pub(crate) submitter: Arc<Submitter>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) certificate: Arc<CertificateWatch>,
    pub(crate) lamp: Lamp,
    pub(crate) node: String,
    pub(crate) full_queue: u64,
    pub(crate) bench: SharedBench,
    /// Is told when a photo found no one-time key.
    pub(crate) out_of_keys: Arc<Notify>,
}

impl Capture {
    /// Takes one photo; the light tells how it went.
    pub async fn take(&self) -> Result<studio::Photo, StudioError> {
        self.lamp.show(Shown::Busy);
        let outcome = self.studio.take().await;
        match &outcome {
            Ok(photo) => {
                log::info!(
                    PHOTO = photo.picture.as_str(),
                    MILLISECONDS = photo.took.as_millis() as u64;
                    "photo taken, its proof is made and sent"
                );
            }
            Err(error) => log::error!("no photo: {error}"),
        }
        // On a task of its own: nobody waits for it.
        let studio = Arc::clone(&self.studio);
        tokio::spawn(async move { studio.make_room().await });
        self.lamp.show(self.condition(outcome.as_ref().err()));
        outcome
    }

    fn condition(&self, error: Option<&StudioError>) -> Shown {
        match error {
            Some(StudioError::DiskFull { .. }) => Shown::DiskFull,
            Some(_) => Shown::Problem,
            None if self.submitter.progress().unsigned.is_some() => Shown::Unsigned,
            _ if self.studio.queue.counts().waiting > self.full_queue => {
                log::warn!(
                    "more than {} proofs are waiting; photos are still taken",
                    self.full_queue
                );
                Shown::QueueFull
            }
            _ if self.certificate.ends_soon() => Shown::CertificateEnds,
            _ => Shown::Taken,
        }
    }

    /// Takes `count` photos (for ever if 0), `interval` apart; ends with the first that fails.
    pub fn series(
        &self,
        count: u64,
        interval: Duration,
    ) -> impl Stream<Item = Result<studio::Photo, StudioError>> + Send + 'static {
        let (capture, begin) = (self.clone(), Instant::now());
        let endless = if count == 0 { u64::MAX } else { count };
        futures_util::stream::iter(0..endless)
            .map(move |number| {
                let capture = capture.clone();
                async move {
                    let steps = at_most(number);
                    tokio::time::sleep_until(begin + interval.saturating_mul(steps)).await;
                    // On a task of its own: a photo is finished even when nobody listens any more.
                    tokio::spawn(async move { capture.take().await })
                        .await
                        .unwrap_or_else(|_| Err(interrupted()))
                }
            })
            .buffered(IN_FLIGHT)
            .scan(false, |failed, outcome| {
                let over = std::mem::replace(failed, outcome.is_err());
                std::future::ready((!over).then_some(outcome))
            })
    }

    /// How the camera is.
    pub async fn condition_now(&self) -> Result<Status, StudioError> {
        let camera = self.studio.camera.name().await;
        let (counts, progress) = (self.studio.queue.counts(), self.submitter.progress());
        let free_mib = self.studio.free_mib()?;
        Ok(Status {
            camera_problem: camera.as_ref().err().map(ToString::to_string),
            source: camera.ok(),
            photos: whole(self.studio.taken.load(std::sync::atomic::Ordering::Relaxed)),
            waiting: whole(counts.waiting),
            refused: whole(counts.refused),
            stored: whole(counts.stored),
            queue_full: counts.waiting > self.full_queue,
            last_stored: progress.last_stored,
            trouble: progress.trouble,
            unsigned: progress.unsigned,
            signing_ms: progress.signing.map(|took| whole(took.as_millis() as u64)),
            node: self.node.clone(),
            registry: self.submitter.registry().identity().map(|known| Registry {
                name: known.name,
                genesis_hash: known.genesis_hash,
                configured: known.configured,
            }),
            certificate_until: self.certificate.until(),
            certificate_ends_soon: self.certificate.ends_soon(),
            anchor: self.anchor(),
            anchor_trouble: self.studio.anchor.trouble(),
            removed: whole(
                self.studio
                    .removed
                    .load(std::sync::atomic::Ordering::Relaxed),
            ),
            free_mib: whole(free_mib),
            disk_full: free_mib < self.studio.keep_free_mib,
            clock: clock_word(clock::quality(clock::now_ns())).to_owned(),
            place: place_word(self.studio.place).to_owned(),
        })
    }

    fn anchor(&self) -> Option<Anchor> {
        let registry = self.studio.registry.genesis_hash();
        let checked = self.studio.anchor.newest(registry.as_ref())?;
        Some(Anchor {
            height: whole(checked.height.get()),
            block_time: checked.time.timestamp().unix(),
            checked_at: checked.checked_at,
        })
    }

    /// Watches the end of the camera's certificate until asked to stop.
    pub(crate) async fn follow_certificate(&self, shutdown: Shutdown) {
        let signer = self.submitter.signer();
        self.certificate.follow(signer, shutdown).await;
    }

    /// Keeps the anchor new until asked to stop.
    pub(crate) async fn follow_registry(&self, shutdown: Shutdown) {
        let (nodes, registry) = (Arc::clone(&self.nodes), Arc::clone(&self.studio.registry));
        self.studio.anchor.follow(nodes, registry, shutdown).await;
    }

    /// A part of the queue, oldest first.
    pub fn queue_page(&self, after: Option<EntryId>, limit: usize) -> QueuePage {
        let ids = self.studio.queue.page(after, limit + 1);
        let items: Vec<QueueItem> = ids
            .iter()
            .take(limit)
            .filter_map(|id| self.queue_item(*id))
            .collect();
        let more = ids.len() > limit;
        let next = ids
            .get(limit.saturating_sub(1))
            .filter(|_| more)
            .map(ToString::to_string);
        QueuePage { items, next }
    }

    fn queue_item(&self, id: EntryId) -> Option<QueueItem> {
        let item = |photo: String, stage: &str, receipt_id, reason| QueueItem {
            id: id.to_string(),
            photo,
            stage: stage.to_owned(),
            receipt_id,
            reason,
        };
        match self.studio.queue.read(id) {
            Ok(entry) => {
                let stage = entry.stage.name();
                let (receipt_id, reason) = match entry.stage {
                    Stage::Submitted { receipt_id, .. } => {
                        (Some(receipt_id), self.studio.queue.why(id))
                    }
                    Stage::Refused { reason, .. } => (None, Some(reason)),
                    Stage::Unsigned | Stage::Signed { .. } => (None, self.studio.queue.why(id)),
                };
                Some(item(entry.photo, stage, receipt_id, reason))
            }
            // It arrived between the list and now.
            Err(QueueError::Unknown(_)) => None,
            Err(error) => Some(item(
                String::new(),
                "damaged",
                None,
                Some(error.to_string()),
            )),
        }
    }
}

#[zlink::service(
    interface = "org.birthmark.Capture",
    vendor = "Birthmark",
    product = "birthmark-capture",
    version = "1",
    url = "https://github.com/Birthmark-Standard/Birthmark"
)]
impl Capture {
    /// Takes a photo. The answer comes when the photo is durable and its proof will arrive.
    async fn capture(&self) -> Result<Photo, CaptureRefusal> {
        self.take()
            .await
            .map(|photo| told(&photo))
            .map_err(|error| refusal(&error))
    }

    /// Takes `count` photos, `interval_ms` apart (0: as fast as possible), or goes on until the
    /// caller hangs up if `count` is 0. Each answer is one photo. Ends with the first that fails.
    #[zlink(more)]
    async fn capture_series(
        &self,
        more: bool,
        count: i64,
        interval_ms: i64,
    ) -> impl Stream<Item = Result<Reply<Photo>, CaptureRefusal>> + Unpin + Send + use<> {
        let wanted = match (more, u64::try_from(count)) {
            (_, Err(_)) => return refused("count", "must not be negative"),
            (false, Ok(_)) => 1,
            (true, Ok(count)) => count,
        };
        if !(0..=LONGEST_INTERVAL_MS).contains(&interval_ms) {
            return refused("interval_ms", "must be between 0 and a day");
        }
        let interval = Duration::from_millis(interval_ms.unsigned_abs());
        let photos = self.series(wanted, interval).enumerate();
        let answers = photos.map(move |(number, outcome)| match outcome {
            Ok(photo) => {
                let last = wanted != 0 && number as u64 + 1 >= wanted;
                Ok(Reply::new(Some(told(&photo))).set_continues(Some(!last)))
            }
            Err(error) => Err(refusal(&error)),
        });
        answers.boxed()
    }

    /// Tells how the camera is.
    async fn status(&self) -> Result<Status, CaptureRefusal> {
        self.condition_now().await.map_err(|error| refusal(&error))
    }

    /// Lists proofs that have not arrived, oldest first: at most `limit`, after the one named
    /// `after` if given.
    async fn list_queue(
        &self,
        after: Option<String>,
        limit: i64,
    ) -> Result<QueuePage, CaptureRefusal> {
        let after = after
            .as_deref()
            .map(|text| named("after", text))
            .transpose()?;
        let limit = limit.clamp(1, LARGEST_PAGE) as usize;
        let capture = self.clone();
        let list = move || capture.queue_page(after, limit);
        tokio::task::spawn_blocking(list)
            .await
            .map_err(|_| refusal(&interrupted()))
    }

    /// Tries one proof again, also one that was refused; without a name, everything that waits is
    /// tried now.
    async fn retry_queue(&self, id: Option<String>) -> Result<Retried, CaptureRefusal> {
        let Some(id) = id else {
            let waiting = self.studio.queue.counts().waiting;
            self.studio.queue.hurry();
            return Ok(Retried {
                count: whole(waiting),
            });
        };
        let id = named("id", &id)?;
        match self.studio.queue.retry(id) {
            Ok(()) => Ok(Retried { count: 1 }),
            Err(QueueError::Unknown(id)) => Err(CaptureRefusal::Unknown {
                reason: format!("no proof {id} is waiting"),
            }),
            Err(error) => Err(CaptureRefusal::Failed {
                reason: error.to_string(),
            }),
        }
    }

    /// Measures the sensor: `flat` with an evenly lit surface before the lens, then `dark` with the
    /// cap on, then `finish`. Each answer tells how far the step is; the last of `finish` has the
    /// result. 0 frames means the usual number.
    #[zlink(more)]
    async fn calibrate(
        &self,
        more: bool,
        step: String,
        frames: i64,
    ) -> impl Stream<Item = Result<Reply<Calibration>, CaptureRefusal>> + Unpin + Send + use<> {
        calibrating::answers(self, more, &step, frames)
    }
}

/// A stream of one refusal.
pub(crate) fn refused<T: Send + 'static>(
    field: &str,
    reason: &str,
) -> BoxStream<'static, Result<Reply<T>, CaptureRefusal>> {
    let refusal = CaptureRefusal::BadInput {
        field: field.to_owned(),
        reason: reason.to_owned(),
    };
    futures_util::stream::iter([Err(refusal)]).boxed()
}

fn named(field: &str, text: &str) -> Result<EntryId, CaptureRefusal> {
    text.parse().map_err(
        |error: crate::keep::queue::IdError| CaptureRefusal::BadInput {
            field: field.to_owned(),
            reason: error.to_string(),
        },
    )
}

fn interrupted() -> StudioError {
    StudioError::Darkroom(crate::files::darkroom::DarkroomError::Interrupted)
}

fn refusal(error: &StudioError) -> CaptureRefusal {
    let reason = error.to_string();
    match error {
        StudioError::Source(SourceError::Calibrating) => CaptureRefusal::Busy { reason },
        StudioError::Source(_) => CaptureRefusal::Camera { reason },
        StudioError::DiskFull { .. } => CaptureRefusal::DiskFull { reason },
        _ => CaptureRefusal::Failed { reason },
    }
}

/// A photo as it is told over Varlink.
pub fn told(photo: &studio::Photo) -> Photo {
    let digests = &photo.digests;
    let capture = photo.bundle.capture();
    let disclosure_root = capture.and_then(|capture| capture.disclosure);
    let anchor = capture.and_then(|capture| capture.anchor);
    Photo {
        id: photo.id.to_string(),
        path: photo.path.display().to_string(),
        raw: digests.raw.to_hex(),
        file: digests.file.to_hex(),
        image_data: digests.image_data.to_hex(),
        dng_file: digests.dng_file.map(|digest| digest.to_hex()),
        timestamp: photo.bundle.time().unix(),
        clock: clock_word(photo.exposure.moment.clock).to_owned(),
        disclosure_root: disclosure_root.map(|root| root.to_hex()),
        anchor: anchor.map(whole),
        milliseconds: whole(photo.took.as_millis() as u64),
        timeline: photo
            .timeline
            .iter()
            .map(|step| TimelineStep {
                name: step.name.clone(),
                start_us: whole(step.start_us),
                duration_us: whole(step.duration_us),
            })
            .collect(),
    }
}

/// Varlink's numbers are signed; more than fits is told as the most that fits.
fn whole(number: u64) -> i64 {
    at_most(number)
}

const fn clock_word(clock: ClockQuality) -> &'static str {
    match clock {
        ClockQuality::Synchronised => "synchronised",
        ClockQuality::Free => "free",
        ClockQuality::Satellites => "satellites",
        ClockQuality::Unset => "unset",
    }
}

const fn place_word(place: Place) -> &'static str {
    match place {
        Place::Ignored => "ignored",
        Place::Committed => "committed",
        Place::InPicture => "in-picture",
    }
}
