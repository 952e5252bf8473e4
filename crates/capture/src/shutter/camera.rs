//! The thread that owns the camera: exposures one after another, and a camera that was unplugged is
//! opened again.
//!
//! A calibration keeps the thread for minutes. A photo wanted meanwhile is refused at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use birthmark_sensor::{RawSource, Shot, SourceError};
use tokio::sync::oneshot;

/// Opens the camera, now and after it was gone.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn RawSource>, SourceError> + Send>;

/// Something to do with the camera on its own thread.
type Work = Box<dyn FnOnce(&mut Seat) + Send>;

/// The way to the camera's thread. When the last one is gone, the camera is closed.
#[derive(Debug, Clone)]
pub struct Camera {
    requests: mpsc::Sender<Work>,
    known: Known,
    calibrating: Arc<Mutex<bool>>,
}

/// What the camera that is open calls itself. Readable while the thread is busy, which a
/// calibration makes it for minutes.
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
        Ok(Self {
            requests,
            known,
            calibrating: Arc::default(),
        })
    }

    /// Exposes one frame; the instant is that of the shutter.
    pub async fn expose(&self) -> Result<(Shot, Instant), SourceError> {
        let answer = {
            // Held until the request is on its way: a calibration cannot get in between.
            let calibrating = lock(&self.calibrating);
            if *calibrating {
                return Err(SourceError::Calibrating);
            }
            self.request(|source| {
                let shutter = Instant::now();
                source.capture().map(|shot| (shot, shutter))
            })?
        };
        answered(answer).await
    }

    /// What the camera calls itself. One that is gone is looked for again.
    pub async fn name(&self) -> Result<String, SourceError> {
        let known = lock(&self.known).clone();
        if let Some(name) = known {
            return Ok(name);
        }
        let answer = self.request(|source| Ok(source.name().to_owned()))?;
        answered(answer).await
    }

    /// Measures the camera while nobody else uses it; photos wanted meanwhile are refused.
    pub async fn calibrate<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn RawSource) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        if std::mem::replace(&mut *lock(&self.calibrating), true) {
            return Err(SourceError::Calibrating);
        }
        let reserved = Reserved(Arc::clone(&self.calibrating));
        let answer = self.request(move |source| {
            let outcome = work(source);
            drop(reserved);
            outcome
        })?;
        answered(answer).await
    }

    /// Hands work to the camera's thread.
    fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn RawSource) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<Answer<T>, SourceError> {
        let (answer, answered) = oneshot::channel();
        let request: Work = Box::new(move |seat| {
            // The caller may have gone away; the work is done all the same.
            let _ = answer.send(seat.attempt(work));
        });
        self.requests.send(request).map_err(|_| gone())?;
        Ok(answered)
    }
}

/// Where the camera's thread answers.
type Answer<T> = oneshot::Receiver<Result<T, SourceError>>;

async fn answered<T>(answer: Answer<T>) -> Result<T, SourceError> {
    answer.await.map_err(|_| gone())?
}

fn gone() -> SourceError {
    SourceError::Device("its thread has ended".to_owned())
}

/// The camera while it is calibrated; it takes photos again when this is dropped.
struct Reserved(Arc<Mutex<bool>>);

impl Drop for Reserved {
    fn drop(&mut self) {
        *lock(&self.0) = false;
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

    /// A camera that failed is closed: what it delivers next could be anything. The next request
    /// opens it again.
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

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use birthmark_camera_simulated::Simulated;
    use birthmark_sensor::FixedExposure;

    use super::*;

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
    async fn a_camera_that_is_calibrated_can_be_named_and_says_why_it_takes_no_photo() {
        let camera = Camera::start(Box::new(|| {
            Ok(Box::new(Simulated::with_size(1, 0, 16, 16)))
        }))
        .unwrap();
        let name = camera.name().await.unwrap();
        let (begun, begin) = oneshot::channel::<()>();
        let (go_on, wait) = mpsc::channel::<()>();
        let busy = camera.clone();
        let long_work = tokio::spawn(async move {
            let work = move |_: &mut dyn RawSource| {
                begun.send(()).unwrap();
                Ok(wait.recv())
            };
            busy.calibrate(work).await
        });
        begin.await.unwrap();
        assert_eq!(camera.name().await.unwrap(), name);
        let refusal = camera.expose().await.unwrap_err();
        assert!(matches!(refusal, SourceError::Calibrating), "{refusal}");
        let refusal = camera.calibrate(|_| Ok(())).await.unwrap_err();
        assert!(matches!(refusal, SourceError::Calibrating), "{refusal}");
        go_on.send(()).unwrap();
        long_work.await.unwrap().unwrap().unwrap();
        camera.expose().await.unwrap();
    }

    /// A camera that is missed twice and then found.
    fn plugged_in_late() -> Camera {
        let mut attempts = 0;
        Camera::start(Box::new(move || {
            attempts += 1;
            match attempts {
                1 | 2 => Err(SourceError::Device("not plugged in".to_owned())),
                _ => Ok(Box::new(Simulated::with_size(1, 0, 16, 16)) as Box<dyn RawSource>),
            }
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_calibration_without_a_camera_does_not_keep_it_reserved() {
        let camera = plugged_in_late();
        assert!(camera.calibrate(|_| Ok(())).await.is_err());
        camera.expose().await.unwrap();
    }

    #[tokio::test]
    async fn a_camera_that_is_not_there_yet_may_come_later() {
        let camera = plugged_in_late();
        assert!(camera.expose().await.is_err());
        assert!(camera.expose().await.is_ok());
    }
}
