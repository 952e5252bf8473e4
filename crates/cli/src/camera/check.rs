//! `birthmark check`: one photo, followed until it stands in the registry. What a photographer does
//! before the camera goes out.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::{Photo, QueueItem};
use birthmark_daemon::varlink::{Bounded, within};
use clap::Args;
use zlink::Connection;

use super::{DEADLINE, Sockets, state};
use crate::terminal::{Style, watched};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// As many proofs as one answer holds.
const PAGE: i64 = 500;

/// `birthmark check`
#[derive(Args, Debug, Clone)]
pub struct CheckOptions {
    /// How long to wait for the receipt
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub patience: u32,
}

/// How far the photo's proof has come.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    Unsigned(Option<String>),
    Waiting(Option<String>),
    Refused(Option<String>),
    Registered,
}

/// Runs the command. Exit status 1 if the photo was taken and is not registered yet.
pub async fn run(options: &CheckOptions, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let style = Style::of_standard_output();
    for trouble in state::troubles(&state::ask(sockets).await?) {
        println!("{} {trouble}", style.bad("!"));
    }
    let mut camera = sockets.capture().await?;
    let photo = watched("taking a photo", within(DEADLINE, camera.capture())).await?;
    let photo = photo.context("no photo was taken")?;
    println!(
        "{} taken in {} ms: {}",
        style.good("✓"),
        photo.milliseconds,
        photo.path
    );
    let patience = Duration::from_secs(options.patience.into());
    let proof = watched("its proof", follow(&mut camera, &photo, patience)).await?;
    let (sign, sentence) = told(&proof, style);
    println!("{sign} {sentence}");
    Ok(ExitCode::from(u8::from(proof != Proof::Registered)))
}

/// Looks until the proof has arrived, was refused, or patience is over.
async fn follow(
    camera: &mut Connection<Bounded>,
    photo: &Photo,
    patience: Duration,
) -> anyhow::Result<Proof> {
    let begin = Instant::now();
    loop {
        let proof = look(camera, &photo.id).await?;
        let is_over = matches!(proof, Proof::Registered | Proof::Refused(_));
        if is_over || begin.elapsed() >= patience {
            return Ok(proof);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The photo's place in the queue. Photos are listed by their time, so what was just taken stands
/// near the end.
async fn look(camera: &mut Connection<Bounded>, id: &str) -> anyhow::Result<Proof> {
    let mut after: Option<String> = None;
    loop {
        let page = within(DEADLINE, camera.list_queue(after.as_deref(), PAGE)).await??;
        if let Some(item) = page.items.into_iter().find(|item| item.id == id) {
            return Ok(proof_of(item));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(Proof::Registered),
        }
    }
}

fn proof_of(item: QueueItem) -> Proof {
    match item.stage.as_str() {
        "unsigned" => Proof::Unsigned(item.reason),
        "refused" | "damaged" => Proof::Refused(item.reason),
        _ => Proof::Waiting(item.reason),
    }
}

fn told(proof: &Proof, style: Style) -> (String, String) {
    let because = |reason: &Option<String>| match reason {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    match proof {
        Proof::Registered => (
            style.good("✓"),
            "signed and registered: the receipt lies beside the photo".into(),
        ),
        Proof::Unsigned(reason) => (
            style.bad("✗"),
            format!("kept, and not signed yet{}", because(reason)),
        ),
        Proof::Waiting(reason) => (
            style.bad("✗"),
            format!(
                "signed, and not registered yet; it is sent when a validator takes it{}",
                because(reason)
            ),
        ),
        Proof::Refused(reason) => (
            style.bad("✗"),
            format!("signed, and refused{}", because(reason)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_of_a_proof_is_said_with_its_reason() {
        let item = |stage: &str| QueueItem {
            id: "1".into(),
            photo: "a.jpg".into(),
            stage: stage.into(),
            receipt_id: None,
            reason: Some("no network".into()),
        };
        for (stage, part) in [
            ("unsigned", "not signed yet"),
            ("signed", "not registered yet"),
            ("submitted", "not registered yet"),
            ("refused", "refused"),
            ("damaged", "refused"),
        ] {
            let (_, said) = told(&proof_of(item(stage)), Style::plain());
            assert!(said.contains(part) && said.contains("no network"), "{said}");
        }
        let (_, said) = told(&Proof::Registered, Style::plain());
        assert!(said.contains("registered"), "{said}");
    }
}
