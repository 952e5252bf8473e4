//! One photo's way, step by step.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_capture::messages::{Photo, TimelineStep};
use birthmark_cli::digests;
use birthmark_cli::receipt;
use birthmark_cli::verify::answer::{Answer, Validator as Remote};
use birthmark_protocol::Digest;
use serde::Serialize;

use crate::camera::SimulatedCamera;
use crate::validator::Validator;

/// How long a photo may take from shutter to receipt.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the validator is asked.
const EVERY: Duration = Duration::from_millis(20);

/// What happened to one photo.
#[derive(Debug, Serialize)]
pub(crate) struct Walk {
    /// Which photo of this run.
    pub(crate) number: u32,
    /// The picture.
    pub(crate) path: PathBuf,
    /// The file digest, computed anew from the file on disk.
    pub(crate) digest: Digest,
    /// Shutter to files and proof on disk.
    pub(crate) saved_ms: i64,
    /// What the camera did in that time.
    pub(crate) timeline: Vec<TimelineStep>,
    /// Shutter to found by a stranger who has only the file.
    pub(crate) verified_ms: Option<u64>,
    /// Shutter to receipt beside the photo, checked against the genesis alone.
    pub(crate) receipt_ms: Option<u64>,
    /// The validator's last answer.
    pub(crate) answer: Option<Answer>,
    /// What went wrong, if anything.
    pub(crate) problem: Option<String>,
}

impl Walk {
    /// Takes a photo and follows it until its receipt is there; says what is waited for.
    pub(crate) async fn of_one_photo(
        number: u32,
        camera: &SimulatedCamera,
        validator: &Validator,
        waiting: impl Fn(String),
    ) -> anyhow::Result<Self> {
        waiting(format!("photo {number}: shutter"));
        let shutter = Instant::now();
        let photo = camera
            .shoot()
            .await
            .with_context(|| format!("photo {number} could not be taken"))?;
        waiting(format!("photo {number}: waiting for its block"));
        let mut walk = Self::begun(number, camera, photo)?;
        if let Err(error) = walk.follow(shutter, validator).await {
            walk.problem = Some(format!("{error:#}"));
        }
        Ok(walk)
    }

    fn begun(number: u32, camera: &SimulatedCamera, photo: Photo) -> anyhow::Result<Self> {
        let path = camera.photos().join(&photo.path);
        let found = digests::of(&path)?;
        let digest = found
            .digests
            .first()
            .context("the photo has no digest")?
            .digest;
        Ok(Self {
            number,
            path,
            digest,
            saved_ms: photo.milliseconds,
            timeline: photo.timeline,
            verified_ms: None,
            receipt_ms: None,
            answer: None,
            problem: None,
        })
    }

    async fn follow(&mut self, shutter: Instant, validator: &Validator) -> anyhow::Result<()> {
        let remote = Remote::at(&validator.address())?;
        while self.verified_ms.is_none() {
            let answer = remote.verify(&self.digest).await?;
            self.verified_ms = answer.verified.then(|| millis(shutter));
            self.answer = Some(answer);
            pause(shutter, "its block").await?;
        }
        let kept = self.path.with_extension("receipt.json");
        while !kept.exists() {
            pause(shutter, "its receipt").await?;
        }
        receipt::check_files(&kept, &validator.genesis, &self.path)?;
        self.receipt_ms = Some(millis(shutter));
        Ok(())
    }

    /// Whether a stranger finds the photo and its receipt holds without a network.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified_ms.is_some() && self.receipt_ms.is_some() && self.problem.is_none()
    }
}

fn millis(since: Instant) -> u64 {
    let elapsed = since.elapsed();
    elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis())
}

async fn pause(shutter: Instant, what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        shutter.elapsed() < PATIENCE,
        "{what} did not come within {} s",
        PATIENCE.as_secs()
    );
    tokio::time::sleep(EVERY).await;
    Ok(())
}
