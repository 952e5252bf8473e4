//! `birthmark capture` and `birthmark timelapse`.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::Photo;
use birthmark_daemon::varlink::within;
use clap::Args;
use futures_util::StreamExt as _;

use super::{DEADLINE, Sockets, print_json};
use crate::terminal::{Style, watched};

/// `birthmark capture`
#[derive(Args, Debug, Clone)]
pub struct CaptureOptions {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// `birthmark timelapse`
#[derive(Args, Debug, Clone)]
pub struct TimelapseOptions {
    /// Seconds from one photo to the next
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    interval: u32,
    /// How many photos; without it until Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Print one JSON document a line instead of text
    #[arg(long)]
    json: bool,
}

/// Takes one photo.
pub async fn capture(options: &CaptureOptions, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let mut camera = sockets.capture().await?;
    let photo = watched(
        "exposing and developing",
        within(DEADLINE, camera.capture()),
    )
    .await?
    .context("no photo was taken")?;
    if options.json {
        print_json(&photo)?;
    } else {
        print!("{}", describe(&photo, Style::of_standard_output()));
        let status = super::state::ask(sockets).await?;
        if let Some(reason) = status.unsigned {
            let style = Style::of_standard_output();
            println!("  {}", style.bad(&format!("not signed yet: {reason}")));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes photos until there are enough of them, or until somebody interrupts.
pub async fn timelapse(options: &TimelapseOptions, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let mut camera = sockets.capture().await?;
    // The camera takes a series of any length; without a count it ends when we hang up.
    let count = i64::from(options.count.unwrap_or(u32::MAX));
    let mut photos = pin!(
        camera
            .capture_series(count, i64::from(options.interval) * 1000)
            .await?
    );
    let patience = DEADLINE + Duration::from_secs(options.interval.into());
    let mut taken = 0u64;
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(patience, photos.next()) => next,
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(photo) = next.context("the camera has stopped answering")? else {
            break;
        };
        let photo = photo?.with_context(|| format!("the series ended after {taken} photos"))?;
        taken += 1;
        match options.json {
            true => println!("{}", serde_json::to_string(&photo)?),
            false => print!("{}", describe(&photo, Style::of_standard_output())),
        }
    }
    match options.count {
        Some(wanted) if taken < u64::from(wanted) => {
            bail!("interrupted after {taken} of {wanted} photos; all of them are proven and queued")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn describe(photo: &Photo, style: Style) -> String {
    let mut lines = vec![format!(
        "{}  {} ms",
        style.good(&photo.path),
        photo.milliseconds
    )];
    lines.push("  kept; its proof is signed and sent without anybody waiting for it".into());
    let doubt = match photo.clock.as_str() {
        "synchronised" | "satellites" => None,
        "free" => Some("nobody has confirmed the camera's clock since it was switched on"),
        _ => Some("the camera's clock was never set"),
    };
    lines.extend(
        doubt.map(|doubt| style.bad(&format!("  {doubt}: the time of this photo is weak"))),
    );
    lines.push(match photo.anchor {
        Some(height) => style.faint(&format!("  younger than block {height}")),
        None => style.faint("  names no block: this camera has checked none"),
    });
    lines.push(style.faint(&format!("  file digest {}", photo.file)));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo(clock: &str) -> Photo {
        Photo {
            id: "1".into(),
            path: "2026/photo.jpg".into(),
            raw: String::new(),
            file: "ab".repeat(32),
            image_data: String::new(),
            dng_file: None,
            timestamp: 0,
            clock: clock.into(),
            disclosure_root: None,
            anchor: None,
            milliseconds: 612,
            timeline: Vec::new(),
        }
    }

    #[test]
    fn what_makes_a_photo_weaker_is_said() {
        let style = Style::plain();
        let said = |clock| describe(&photo(clock), style);
        assert!(said("unset").contains("the time of this photo is weak"));
        assert!(said("free").contains("nobody has confirmed"));
        assert!(!said("satellites").contains("weak"));
        assert!(said("synchronised").contains("names no block"));
    }
}
