//! One photo's way, step by step.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_capture::messages::{Photo, TimelineStep};
use birthmark_cli::digests;
use birthmark_cli::receipt;
use birthmark_cli::verify::answer::{Answer, options};
use birthmark_client::Validator as Remote;
use birthmark_ledger::{KeyName, SignedCheckpoint};
use birthmark_protocol::Digest;
use serde::Serialize;

use crate::camera::SimulatedCamera;
use crate::validator::Registry;

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
    /// Shutter to found at every validator, with all their signatures under the registry's state.
    pub(crate) everywhere_ms: Option<u64>,
    /// The validators that signed the state which holds the photo.
    pub(crate) cosigners: Vec<KeyName>,
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
        registry: &Registry,
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
        if let Err(error) = walk.follow(shutter, registry, waiting).await {
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
            everywhere_ms: None,
            cosigners: Vec::new(),
            answer: None,
            problem: None,
        })
    }

    async fn follow(
        &mut self,
        shutter: Instant,
        registry: &Registry,
        waiting: impl Fn(String),
    ) -> anyhow::Result<()> {
        let remote = Remote::new(&registry.first.address(), &options())?;
        while self.verified_ms.is_none() {
            let answer = remote.verify(&self.digest).await?;
            self.verified_ms = answer.verified.then(|| millis(shutter));
            self.answer = Some(answer);
            pause(shutter, "its block").await?;
        }
        let kept = self.path.with_extension("jpg.birthmark");
        while !kept.exists() {
            pause(shutter, "its receipt").await?;
        }
        receipt::check_files(&kept, &registry.genesis, &self.path)?;
        self.receipt_ms = Some(millis(shutter));
        waiting(format!(
            "photo {}: waiting for every validator",
            self.number
        ));
        self.follow_everywhere(shutter, &remote, registry).await
    }

    /// Waits until every validator has the photo and has signed for it.
    async fn follow_everywhere(
        &mut self,
        shutter: Instant,
        first: &Remote,
        registry: &Registry,
    ) -> anyhow::Result<()> {
        for other in &registry.others {
            let remote = Remote::new(&other.address(), &options())?;
            while !remote.verify(&self.digest).await?.verified {
                pause(
                    shutter,
                    &format!("{} does not have it: its block", other.name()),
                )
                .await?;
            }
        }
        let set = &registry.begun.validators;
        while self.cosigners.len() < set.len() {
            // The newest state holds everything that was found before it.
            let signed = SignedCheckpoint::parse(&first.checkpoint().await?)?;
            self.cosigners = signed.cosigners(set)?.into_keys().collect();
            pause(shutter, "the signature of every validator").await?;
        }
        self.everywhere_ms = Some(millis(shutter));
        Ok(())
    }

    /// Whether a stranger finds the photo at every validator and its receipt holds without a
    /// network.
    pub(crate) fn is_verified(&self) -> bool {
        self.everywhere_ms.is_some() && self.receipt_ms.is_some() && self.problem.is_none()
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A photo that went the whole way.
    pub(crate) fn walk(number: u32) -> Walk {
        let step = |number: u32| TimelineStep {
            name: format!("step {number}"),
            start_us: 0,
            duration_us: i64::from(number) * 1999,
        };
        Walk {
            number,
            path: format!("photos/{number}.jpg").into(),
            digest: Digest::of(&number.to_be_bytes()),
            saved_ms: 200,
            timeline: (1..=7).map(step).collect(),
            verified_ms: Some(1000),
            receipt_ms: Some(1100),
            everywhere_ms: Some(1200),
            cosigners: Vec::new(),
            answer: None,
            problem: None,
        }
    }

    /// Found somewhere is not verified: the receipt has to hold, and every validator to have it.
    #[test]
    fn a_photo_is_verified_only_at_the_end_of_its_way() {
        assert!(walk(1).is_verified());
        let changes: [fn(&mut Walk); 3] = [
            |walk| walk.receipt_ms = None,
            |walk| walk.everywhere_ms = None,
            |walk| walk.problem = Some("its receipt did not come within 60 s".into()),
        ];
        for change in changes {
            let mut short = walk(1);
            change(&mut short);
            assert!(!short.is_verified(), "{short:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_waited_for_without_end() {
        let now = Instant::now();
        pause(now, "its block").await.unwrap();
        let Some(long_ago) = now.checked_sub(PATIENCE) else {
            // A machine that was started within the last minute.
            return;
        };
        let error = pause(long_ago, "its block").await.unwrap_err();
        assert_eq!(error.to_string(), "its block did not come within 60 s");
    }
}
