//! `birthmark calibrate`: the guided measurement of the sensor's own pattern.

use std::io::{BufRead, IsTerminal};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use birthmark_capture::client::CaptureCalls as _;
use birthmark_capture::messages::CalibrationResult;
use clap::Args;
use futures_util::StreamExt as _;
use indicatif::ProgressBar;

use super::{Sockets, print_json};
use crate::terminal::bar_style;

/// How long one frame may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// `birthmark calibrate`
#[derive(Args, Debug, Clone)]
pub struct CalibrateOptions {
    /// Frames per step; 0 takes the usual number
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=512))]
    frames: i64,
    /// Do not wait for a key between the steps: the camera is already in place
    #[arg(long)]
    no_pause: bool,
    /// Print one JSON document at the end instead of text
    #[arg(long)]
    json: bool,
}

/// Flat frames, dark frames, result.
pub async fn run(options: &CalibrateOptions, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    prompt(
        options,
        "Take the lens off and put a white diffuser in front of an even light.",
    )?;
    step(options, sockets, "flat").await?;
    prompt(options, "Put the cap on: no light may reach the sensor.")?;
    step(options, sockets, "dark").await?;
    let result = step(options, sockets, "finish")
        .await?
        .context("the calibration ended without a result")?;
    match options.json {
        true => print_json(&result)?,
        false => print!("{}", describe(&result)),
    }
    Ok(ExitCode::SUCCESS)
}

fn prompt(options: &CalibrateOptions, what: &str) -> anyhow::Result<()> {
    if options.no_pause {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "calibration asks for your hands between the steps: run it on a terminal, or with --no-pause"
        );
    }
    eprintln!("{what} Then press Enter.");
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

async fn step(
    options: &CalibrateOptions,
    sockets: &Sockets,
    name: &str,
) -> anyhow::Result<Option<CalibrationResult>> {
    let mut camera = sockets.capture().await?;
    let mut answers = pin!(camera.calibrate(name, options.frames).await?);
    let bar = ProgressBar::new(0).with_message(format!("{name} frames"));
    bar.set_style(bar_style());
    let mut result = None;
    while let Some(answer) = tokio::time::timeout(PATIENCE, answers.next())
        .await
        .context("the camera has stopped answering")?
    {
        let answer = answer?.with_context(|| format!("calibration, step {name}"))?;
        bar.set_length(answer.total.unsigned_abs());
        bar.set_position(answer.done.unsigned_abs());
        result = answer.result;
    }
    bar.finish_and_clear();
    Ok(result)
}

fn describe(result: &CalibrationResult) -> String {
    let verdict = match result.gain_repeatability.min(result.dark_repeatability) {
        low if low >= 0.85 => "good",
        low if low >= 0.6 => "usable; more frames make it better",
        _ => "poor: mostly noise; check the light and the cap, and take more frames",
    };
    format!(
        "the map is {verdict}\n  map          {}\n  report       {}\n  NUC hash     {}\n  sensitivity  ±{:.1} ‰, {:.0} % of it the sensor's own\n  dark level   ±{:.2} counts, {:.0} % of it the sensor's own\n  defective    {} pixels\n",
        result.map,
        result.plot,
        result.nuc_hash,
        result.gain_deviation_permille,
        result.gain_repeatability * 100.0,
        result.dark_deviation,
        result.dark_repeatability * 100.0,
        result.defective
    )
}
