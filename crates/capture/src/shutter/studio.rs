//! One photo from the shutter to its durable proof, and everything that has to stand ready for it.
//!
//! The order is what makes a pulled battery harmless:
//!
//! 1. the files are written completely, under `incoming/`;
//! 2. what is to be signed becomes durable in the queue;
//! 3. the files move to their place;
//! 4. success is reported, and the photo is handed to whoever has it signed.
//!
//! Before 2 nothing was promised and nothing will be sent; after 2 the proof will arrive and the
//! next start finishes 3. The signer is not asked on this path: one that is slow or away makes
//! nobody wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use birthmark_daemon::durable;
use birthmark_daemon::random::{self, NoRandomness};
use birthmark_protocol::disclosure::Leaf;
use birthmark_protocol::gps::Position;
use birthmark_protocol::{
    Bundle, BundleError, Capture, Digest, Disclosure, DisclosureError, PixelSource,
};
use birthmark_sensor::{Shot, SourceError};
use tokio::sync::Semaphore;

use crate::files::darkroom::{Darkroom, DarkroomError, Developed, Digests};
use crate::files::exif;
use crate::keep::album::{self, Album, Name};
use crate::keep::queue::{Entry, EntryId, Queue, QueueError, Stage};
use crate::keep::sidecar::{self, Sidecar};
use crate::place::{Locator, Whereabouts};
use crate::send::anchor::Anchor;
use crate::send::registry::Registry;
use crate::settings::Place;
use crate::shutter::camera::Camera;
use crate::shutter::timeline::{Step, Timeline};

/// How many photos are worked on at once. Each takes up to a hundred megabytes while it is
/// developed.
const AT_ONCE: usize = 2;

/// Why there is no photo.
#[derive(Debug, thiserror::Error)]
pub enum StudioError {
    /// The camera does not deliver.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There would be no room for it.
    #[error(
        "only {free_mib} MiB are free for photos, {keep_mib} must be: no photo is taken until some are fetched and removed"
    )]
    DiskFull {
        /// What is free.
        free_mib: u64,
        /// What must be.
        keep_mib: u64,
    },
    /// It could not be developed.
    #[error(transparent)]
    Darkroom(#[from] DarkroomError),
    /// Its claims make no sense.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The place cannot be hidden.
    #[error("the photo's place: {0}")]
    Place(DisclosureError),
    /// The files could not be stored.
    #[error("the photo cannot be stored: {0}")]
    Files(std::io::Error),
    /// The proof could not be stored.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No opening could be drawn.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// A photo and what its proof will be made of, both durable.
#[derive(Debug, Clone)]
pub struct Photo {
    /// The name of the proof.
    pub id: EntryId,
    /// Where the picture is.
    pub path: PathBuf,
    /// The same, relative to the folder of photos.
    pub picture: String,
    /// What was claimed.
    pub bundle: Bundle,
    /// The same digests by name.
    pub digests: Digests,
    /// How it was exposed.
    pub exposure: birthmark_sensor::Exposure,
    /// What took how long.
    pub timeline: Vec<Step>,
    /// From the shutter until all of it was durable.
    pub took: std::time::Duration,
}

/// Everything a photo needs.
pub struct Studio {
    /// The camera.
    pub camera: Camera,
    /// How photos are developed.
    pub darkroom: Darkroom,
    /// Where they go.
    pub album: Album,
    /// Where their proofs wait.
    pub queue: Arc<Queue>,
    /// Who knows the place.
    pub locator: Arc<dyn Locator>,
    /// What happens to the place.
    pub place: Place,
    /// Mebibytes that must be free.
    pub keep_free_mib: u64,
    /// Whether photos that have receipts may go to make room.
    pub remove_registered: bool,
    /// Photos that went for it so far.
    pub removed: AtomicU64,
    /// Whether photos are signed with one-time keys: they then say nothing that sets this camera
    /// apart.
    pub one_time: bool,
    /// Where the pixels come from, as every bundle says.
    pub pixels: PixelSource,
    /// Digest of the system image that runs, where it is known.
    pub software: Option<Digest>,
    /// The newest block that was checked.
    pub anchor: Arc<Anchor>,
    /// The registry it belongs to.
    pub registry: Arc<Registry>,
    /// Photos taken so far.
    pub taken: AtomicU64,
    /// Seats in the darkroom.
    pub seats: Semaphore,
}

impl Studio {
    /// Seats for as many photos as are worked on at once.
    pub fn seats() -> Semaphore {
        Semaphore::new(AT_ONCE)
    }

    /// Mebibytes free for photos and for proofs, whichever is less.
    pub fn free_mib(&self) -> Result<u64, StudioError> {
        let photos = durable::free_bytes(self.album.root()).map_err(StudioError::Files)?;
        let proofs = durable::free_bytes(self.queue.folder()).map_err(StudioError::Files)?;
        Ok(photos.min(proofs) >> 20)
    }

    /// Whether there is room for another photo.
    pub fn has_room(&self) -> Result<(), StudioError> {
        let (free_mib, keep_mib) = (self.free_mib()?, self.keep_free_mib);
        match free_mib < keep_mib {
            true => Err(StudioError::DiskFull { free_mib, keep_mib }),
            false => Ok(()),
        }
    }

    /// Makes room before it is short, if the photographer allows it: twice what must be free stays
    /// free.
    pub async fn make_room(self: &Arc<Self>) {
        if !self.remove_registered || self.has_twice_the_room().is_ok_and(|room| room) {
            return;
        }
        let studio = Arc::clone(self);
        let remove = move || {
            let enough = || studio.has_twice_the_room().map_err(std::io::Error::other);
            let removed = studio.album.remove_registered(enough);
            removed.inspect(|count| {
                studio.removed.fetch_add(*count as u64, Ordering::Relaxed);
            })
        };
        match tokio::task::spawn_blocking(remove).await {
            Ok(Ok(0)) => log::debug!("room is short and no photo has a receipt"),
            Ok(Ok(count)) => {
                log::warn!("{count} photos that have receipts were removed to make room")
            }
            Ok(Err(error)) => log::error!("no room can be made: {error}"),
            Err(error) => log::error!("no room can be made: {error}"),
        }
    }

    fn has_twice_the_room(&self) -> Result<bool, StudioError> {
        Ok(self.free_mib()? >= self.keep_free_mib.saturating_mul(2))
    }

    /// Takes one photo. When this returns, the photo and its proof survive anything but the loss of
    /// the disk.
    pub async fn take(self: &Arc<Self>) -> Result<Photo, StudioError> {
        // Waiting here, before the exposure, is what bounds memory in a burst.
        let _seat = self
            .seats
            .acquire()
            .await
            .map_err(|_| SourceError::Device("the camera is closing".to_owned()))?;
        if self.has_room().is_err() {
            self.make_room().await;
        }
        self.has_room()?;
        let (exposed, whereabouts) = tokio::join!(self.camera.expose(), self.whereabouts());
        let (mut shot, shutter) = exposed?;
        shot.exposure.moment = whereabouts.date(shot.exposure.moment);
        let position = whereabouts
            .position
            .filter(|_| self.place != Place::Ignored);
        let timeline = Timeline::starting_at(shutter);
        timeline.record("expose", shutter, Instant::now());
        let id = EntryId::new(
            shot.exposure.moment.unix_ns,
            u64::from_le_bytes(random::bytes()?),
        );
        let photo = self.work_on(id, shot, position, timeline).await?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(photo)
    }

    async fn whereabouts(&self) -> Whereabouts {
        match self.locator.whereabouts().await {
            Ok(whereabouts) => whereabouts,
            Err(error) => {
                log::warn!("the photo has no place: {error}");
                Whereabouts::default()
            }
        }
    }

    async fn work_on(
        &self,
        id: EntryId,
        shot: Shot,
        position: Option<Position>,
        timeline: Timeline,
    ) -> Result<Photo, StudioError> {
        let shown = position
            .filter(|_| self.place == Place::InPicture)
            .map(in_picture);
        let (shot, developed) = self.develop(shot, shown, &timeline).await?;
        let name = Name::new(shot.exposure.moment, id);
        let developed = Arc::new(developed);
        let files = self.bring_in(id, &name, Arc::clone(&developed), &timeline);
        let claims = self.claim(&shot, &developed, position);
        match files.await.and(claims) {
            Ok(claims) => self.keep(id, &name, shot, claims, timeline).await,
            Err(error) => {
                self.album.discard(id, &name);
                Err(error)
            }
        }
    }

    async fn develop(
        &self,
        shot: Shot,
        shown: Option<exif::Position>,
        timeline: &Timeline,
    ) -> Result<(Shot, Developed), StudioError> {
        let (darkroom, timeline) = (self.darkroom, timeline.clone());
        let work = move || {
            darkroom
                .develop(&shot, shown, &timeline)
                .map(|developed| (shot, developed))
        };
        Ok(tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| DarkroomError::Interrupted)??)
    }

    async fn bring_in(
        &self,
        id: EntryId,
        name: &Name,
        developed: Arc<Developed>,
        timeline: &Timeline,
    ) -> Result<(), StudioError> {
        let (album, name, timeline) = (self.album.clone(), name.clone(), timeline.clone());
        let write = move || {
            timeline.measure("write files", || {
                if let Some(dng) = &developed.dng {
                    album.bring_in(id, &name, "dng", dng)?;
                }
                album.bring_in(id, &name, "jpg", &developed.jpeg)
            })
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(|_| DarkroomError::Interrupted)?
            .map_err(StudioError::Files)
    }

    /// Everything that is said about the photo. It is signed later, as it is.
    fn claim(
        &self,
        shot: &Shot,
        developed: &Developed,
        position: Option<Position>,
    ) -> Result<Claims, StudioError> {
        let disclosure = position.map(hidden).transpose()?;
        // A camera that was offline for long would be known by the block it names.
        let anchor = match self.one_time {
            true => None,
            false => self.anchor.newest(self.registry.genesis_hash().as_ref()),
        };
        let anchor_block = anchor.as_ref().map(|checked| checked.block);
        let capture = Capture {
            source: self.pixels,
            software: self.software,
            anchor: anchor.map(|checked| checked.height.get()),
            disclosure: disclosure.as_ref().map(Disclosure::root),
        };
        Ok(Claims {
            bundle: developed.bundle(shot.exposure.moment.timestamp(), capture)?,
            anchor_block,
            digests: developed.digests(),
            opening: random::bytes()?,
            disclosure,
        })
    }

    async fn keep(
        &self,
        id: EntryId,
        name: &Name,
        shot: Shot,
        claims: Claims,
        timeline: Timeline,
    ) -> Result<Photo, StudioError> {
        let entry = Entry {
            photo: name.picture(),
            bundle: Sidecar::encoded(&claims.bundle),
            anchor_block: claims.anchor_block,
            opening: hex::encode(claims.opening),
            refusals: Vec::new(),
            stage: Stage::Unsigned,
        };
        // The camera has just delivered, so its name is known.
        let source = self.camera.name().await?;
        let sidecar = sidecar(id, name, source, &shot, &claims, &timeline)?;
        let work = {
            let (queue, album, name, timeline) = (
                Arc::clone(&self.queue),
                self.album.clone(),
                name.clone(),
                timeline.clone(),
            );
            let leaves = claims.disclosure.as_ref();
            let leaves = leaves.map(sidecar::encode_leaves).transpose();
            let leaves = leaves.map_err(StudioError::Files)?;
            move || {
                // Before the proof: a root whose leaves are lost would be worthless.
                let beside = leaves.map_or(Ok(()), |leaves| {
                    album.bring_in(id, &name, album::LEAVES, &leaves)
                });
                let beside =
                    beside.and_then(|()| album.bring_in(id, &name, album::SIDECAR, &sidecar));
                beside.map_err(StudioError::Files)?;
                timeline.measure("queue", || queue.add(id, &entry))?;
                // If we stop here, the proof arrives, and the next start moves the files to their
                // place.
                timeline
                    .measure("reveal", || album.reveal(id, &name))
                    .map_err(StudioError::Files)
            }
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| DarkroomError::Interrupted)??;
        self.queue.release(id);
        Ok(Photo {
            id,
            path: self.album.root().join(name.picture()),
            picture: name.picture(),
            bundle: claims.bundle,
            digests: claims.digests,
            exposure: shot.exposure,
            timeline: timeline.steps(),
            took: timeline.elapsed(),
        })
    }
}

/// The bytes of what lies beside the photo.
fn sidecar(
    id: EntryId,
    name: &Name,
    source: String,
    shot: &Shot,
    claims: &Claims,
    timeline: &Timeline,
) -> Result<Vec<u8>, StudioError> {
    let sidecar = Sidecar {
        photo: name.picture(),
        id: id.to_string(),
        images: Sidecar::images(&claims.bundle),
        timestamp: claims.bundle.time().unix(),
        pixels: claims.bundle.capture().map(|capture| capture.source),
        disclosure_root: claims.disclosure.as_ref().map(Disclosure::root),
        bundle: Sidecar::encoded(&claims.bundle),
        anchor_block: claims.anchor_block,
        bundle_signature: None,
        camera_cert: None,
        one_time_key: None,
        epoch: None,
        key_store: None,
        exposure: shot.exposure.clone(),
        source,
        timeline: timeline.steps(),
    };
    sidecar.encode().map_err(StudioError::Files)
}

/// The leaf with the place, under a salt that nobody can guess: without it the root says nothing.
fn hidden(position: Position) -> Result<Disclosure, StudioError> {
    let salt = Digest::from_bytes(random::bytes()?);
    Disclosure::of_leaves(vec![Leaf::place(&position, salt)]).map_err(StudioError::Place)
}

/// What is claimed about a photo.
struct Claims {
    bundle: Bundle,
    /// The hash of the block that the bundle names.
    anchor_block: Option<Digest>,
    digests: Digests,
    opening: [u8; 32],
    disclosure: Option<Disclosure>,
}

fn in_picture(position: Position) -> exif::Position {
    let degrees = |value: i32| f64::from(value) / 100_000.0;
    exif::Position {
        latitude: degrees(position.latitude()),
        longitude: degrees(position.longitude()),
        altitude: position.altitude().map(f64::from),
    }
}
