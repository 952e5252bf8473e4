//! Calling the camera: the caller's side of `org.birthmark.Capture`.

use futures_util::Stream;

use crate::face::messages::{Calibration, CaptureRefusal, Photo, QueuePage, Retried, Status};

/// The calls as they travel. Connect with [`birthmark_daemon::varlink::connect`].
#[zlink::proxy("org.birthmark.Capture")]
pub trait CaptureCalls {
    /// Takes a photo.
    async fn capture(&mut self) -> zlink::Result<Result<Photo, CaptureRefusal>>;
    /// Takes a series of photos.
    #[zlink(more)]
    async fn capture_series(
        &mut self,
        count: i64,
        interval_ms: i64,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<Photo, CaptureRefusal>>>>;
    /// Tells how the camera is.
    async fn status(&mut self) -> zlink::Result<Result<Status, CaptureRefusal>>;
    /// Lists a part of the queue.
    async fn list_queue(
        &mut self,
        after: Option<&str>,
        limit: i64,
    ) -> zlink::Result<Result<QueuePage, CaptureRefusal>>;
    /// Tries one proof, or all that wait, now.
    async fn retry_queue(
        &mut self,
        id: Option<&str>,
    ) -> zlink::Result<Result<Retried, CaptureRefusal>>;
    /// Does one step of a calibration.
    #[zlink(more)]
    async fn calibrate(
        &mut self,
        step: &str,
        frames: i64,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<Calibration, CaptureRefusal>>>>;
}
