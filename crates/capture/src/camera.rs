//! The thread that owns the camera: exposures one after another, and a camera that was unplugged is opened again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::source::{RawSource, Shot, SourceError};

/// Opens the camera, now and after it was gone.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn RawSource>, SourceError> + Send>;

/// Something to do with the camera on its own thread.
type Work = Box<dyn FnOnce(&mut Seat) + Send>;

/// The way to the camera's thread. When the last one is gone, the camera is closed.
#[derive(Debug, Clone)]
pub struct Camera {
    requests: mpsc::Sender<Work>,
    known: Known,
}

/// What the camera that is open calls itself. Readable while the thread is busy, which a calibration makes it for minutes.
type Known = Arc<Mutex<Option<String>>>;

/// The camera, if it is there.
struct Seat {
    open: Opener,
    source: Option<Box<dyn RawSource>>,
    known: Known,
}

impl Camera {
    /// Starts the thread. The camera is opened at once, but one that is missing now may come later.
    pub fn start(open: Opener) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Work>();
        let known = Known::default();
        let shared = Arc::clone(&known);
        std::thread::Builder::new()
            .name("camera".to_owned())
            .spawn(move || {
                let mut seat = Seat {
                    open,
                    source: None,
                    known: shared,
                };
                if let Err(error) = seat.source() {
                    log::error!("{error}; it is tried again with the next photo");
                }
                for work in inbox {
                    work(&mut seat);
                }
            })?;
        Ok(Self { requests, known })
    }

    /// Exposes one frame; the instant is that of the shutter.
    pub async fn expose(&self) -> Result<(Shot, Instant), SourceError> {
        self.with(|source| {
            let shutter = Instant::now();
            source.capture().map(|shot| (shot, shutter))
        })
        .await
    }

    /// What the camera calls itself. One that is gone is looked for again.
    pub async fn name(&self) -> Result<String, SourceError> {
        let known = lock(&self.known).clone();
        if let Some(name) = known {
            return Ok(name);
        }
        self.with(|source| Ok(source.name().to_owned())).await
    }

    /// Does something with the camera while nobody else does.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn RawSource) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (answer, answered) = oneshot::channel();
        let request: Work = Box::new(move |seat| {
            // Whoever asked may have gone away; the work is done all the same.
            let _ = answer.send(seat.attempt(work));
        });
        let gone = || SourceError::Device("its thread has ended".to_owned());
        self.requests.send(request).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Seat {
    fn source(&mut self) -> Result<&mut dyn RawSource, SourceError> {
        let source = match self.source.take() {
            Some(source) => source,
            None => (self.open)()?,
        };
        *lock(&self.known) = Some(source.name().to_owned());
        Ok(self.source.insert(source).as_mut())
    }

    /// A camera that failed is closed: what it delivers next could be anything. The next request opens it again.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut dyn RawSource) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let outcome = self.source().and_then(work);
        if outcome.is_err() {
            self.source = None;
            *lock(&self.known) = None;
        }
        outcome
    }
}

fn lock(known: &Known) -> MutexGuard<'_, Option<String>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::source::FixedExposure;
    use crate::source::simulated::Simulated;

    /// A camera whose cable is pulled after the first frame.
    struct Loose(Simulated, bool);

    impl RawSource for Loose {
        fn name(&self) -> &str {
            "loose"
        }

        fn capture(&mut self) -> Result<Shot, SourceError> {
            if std::mem::replace(&mut self.1, true) {
                return Err(SourceError::Device("no such device".to_owned()));
            }
            self.0.capture()
        }

        fn fix_exposure(&mut self, _: Option<FixedExposure>) -> Result<(), SourceError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_unplugged_camera_is_an_error_and_then_opened_again() {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let camera = Camera::start(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Loose(Simulated::with_size(1, 0, 16, 16), false)))
        }))
        .unwrap();
        assert!(camera.expose().await.is_ok());
        assert!(
            camera
                .expose()
                .await
                .unwrap_err()
                .to_string()
                .contains("no such device")
        );
        assert!(camera.expose().await.is_ok());
        assert_eq!(opened.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_busy_camera_can_still_be_named() {
        let camera = Camera::start(Box::new(|| {
            Ok(Box::new(Simulated::with_size(1, 0, 16, 16)))
        }))
        .unwrap();
        let name = camera.name().await.unwrap();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let busy = camera.clone();
        let long_work = tokio::spawn(async move {
            let work = move |_: &mut dyn RawSource| Ok(wait.recv());
            busy.with(work).await
        });
        assert_eq!(camera.name().await.unwrap(), name);
        go_on.send(()).unwrap();
        long_work.await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_camera_that_is_not_there_yet_may_come_later() {
        let mut attempts = 0;
        let camera = Camera::start(Box::new(move || {
            attempts += 1;
            match attempts {
                1 | 2 => Err(SourceError::Device("not plugged in".to_owned())),
                _ => Ok(Box::new(Simulated::with_size(1, 0, 16, 16)) as Box<dyn RawSource>),
            }
        }))
        .unwrap();
        assert!(camera.expose().await.is_err());
        assert!(camera.expose().await.is_ok());
    }
}
