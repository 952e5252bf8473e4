//! Calibration as a stream of answers: the camera's thread counts frames, the caller hears how
//! many.

use std::path::PathBuf;

use birthmark_protocol::numbers::at_most;
use birthmark_sensor::{SourceError, clock};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use tokio::sync::mpsc;
use zlink::Reply;

use super::{Capture, refused};
use crate::calibrate::{CalibrationError, FRAMES, Report, Step, free_map_path};
use crate::face::messages::{Calibration, CalibrationResult, CaptureRefusal};

type Answer = Result<Reply<Calibration>, CaptureRefusal>;

/// Does one step; hanging up abandons it.
pub(super) fn answers(
    capture: &Capture,
    more: bool,
    name: &str,
    frames: i64,
) -> BoxStream<'static, Answer> {
    let Some(step) = Step::named(name) else {
        return refused("step", "must be flat, dark or finish");
    };
    let Ok(frames) = u16::try_from(if frames == 0 { FRAMES.into() } else { frames }) else {
        return refused("frames", "must be between 0 and 512");
    };
    // Answers are few and the thread must not wait for a slow listener.
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(work(
        capture.clone(),
        step,
        name.to_owned(),
        frames,
        more,
        sender,
    ));
    unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|answer| (answer, receiver))
    })
    .boxed()
}

async fn work(
    capture: Capture,
    step: Step,
    name: String,
    frames: u16,
    more: bool,
    sender: mpsc::UnboundedSender<Answer>,
) {
    let outcome = match step {
        Step::Finish => finish(&capture).await.map(Some),
        Step::Flat | Step::Dark => measure(&capture, step, &name, frames, more, &sender)
            .await
            .map(|()| None),
    };
    let answer = match outcome {
        Ok(result) => {
            let done = i64::from(frames);
            let last = Calibration {
                step: name,
                done,
                total: done,
                result,
            };
            Ok(Reply::new(Some(last)).set_continues(Some(false)))
        }
        Err(error) => {
            log::error!("no calibration: {error}");
            Err(refusal(&error))
        }
    };
    // A caller that hung up does not need the answer.
    let _ = sender.send(answer);
}

async fn measure(
    capture: &Capture,
    step: Step,
    name: &str,
    frames: u16,
    more: bool,
    sender: &mpsc::UnboundedSender<Answer>,
) -> Result<(), CalibrationError> {
    free_map_path(&folder(capture))?;
    let (bench, name, sender) = (capture.bench.clone(), name.to_owned(), sender.clone());
    let mut listener = move |done: u16| {
        let answer = Calibration {
            step: name.clone(),
            done: done.into(),
            total: frames.into(),
            result: None,
        };
        // The last frame is told by the last answer.
        if more && done < frames {
            return sender
                .send(Ok(Reply::new(Some(answer)).set_continues(Some(true))))
                .is_ok();
        }
        !sender.is_closed()
    };
    let measured = capture.studio.camera.calibrate(move |source| {
        let outcome = match step {
            Step::Flat => bench.flat(source, frames, &mut listener),
            _ => bench.dark(source, frames, &mut listener),
        };
        match outcome {
            // A camera that failed is opened again; a surface that is too dark is not its fault.
            Err(CalibrationError::Source(error)) => Err(error),
            other => Ok(other),
        }
    });
    measured.await?
}

fn folder(capture: &Capture) -> PathBuf {
    capture.studio.queue.folder().join("calibration")
}

async fn finish(capture: &Capture) -> Result<CalibrationResult, CalibrationError> {
    let bench = capture.bench.clone();
    let folder = folder(capture);
    let now = birthmark_protocol::Timestamp::from_unix(clock::now_ns() / 1_000_000_000);
    let interrupted = |_| SourceError::Device("the calibration was interrupted".to_owned());
    let report = tokio::task::spawn_blocking(move || bench.finish(&folder, now))
        .await
        .map_err(interrupted)??;
    Ok(told(&report))
}

fn told(report: &Report) -> CalibrationResult {
    CalibrationResult {
        map: report.map.display().to_string(),
        plot: report.plot.display().to_string(),
        nuc_hash: report.nuc_hash.clone(),
        gain_deviation_permille: report.gain_deviation * 1_000.0,
        dark_deviation: report.dark_deviation,
        gain_repeatability: report.gain_repeatability,
        dark_repeatability: report.dark_repeatability,
        defective: at_most(report.defective),
    }
}

fn refusal(error: &CalibrationError) -> CaptureRefusal {
    let reason = error.to_string();
    match error {
        CalibrationError::Source(SourceError::Calibrating) => CaptureRefusal::Busy { reason },
        CalibrationError::Source(_) => CaptureRefusal::Camera { reason },
        _ => CaptureRefusal::Calibration { reason },
    }
}
