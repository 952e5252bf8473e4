//! `birthmark test`: every part in turn, and what to do about each failure.

use std::process::ExitCode;

use anyhow::{bail, ensure};

use super::{Sockets, gps, state};
use crate::terminal::{Style, reasons};
use crate::verify::answer::Validator;

/// Tries every part. Exit status 1 if one of them fails.
pub async fn run(sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let style = Style::of_standard_output();
    let results = [
        report(
            style,
            "signer",
            signer(sockets).await,
            "systemctl status birthmark-signer; is the TPM wired and `dtoverlay=tpm-slb9670` set?",
        ),
        report(
            style,
            "identity",
            identity(sockets).await,
            "birthmark provision --authority URL",
        ),
        report(
            style,
            "camera",
            camera(sockets).await,
            "journalctl -u birthmark-capture; check the ribbon cable and `dtoverlay=imx477`",
        ),
        report(
            style,
            "storage",
            storage(sockets).await,
            "copy photos away and delete them from the camera",
        ),
        report(
            style,
            "clock",
            clock(sockets).await,
            "connect a network or GPS and wait a minute",
        ),
        report(
            style,
            "validator",
            validator(sockets).await,
            "check the network, and `node` in /etc/birthmark/capture.toml",
        ),
        report(
            style,
            "GPS",
            position(sockets).await,
            "give the antenna a view of the sky; without GPS photos simply carry no place",
        ),
    ];
    Ok(ExitCode::from(u8::from(results.contains(&false))))
}

fn report(style: Style, part: &str, outcome: anyhow::Result<String>, remedy: &str) -> bool {
    match &outcome {
        Ok(finding) => println!("{} {part:<10} {finding}", style.good("✓")),
        Err(error) => println!(
            "{} {part:<10} {}\n             → {remedy}",
            style.bad("✗"),
            reasons(error)
        ),
    }
    outcome.is_ok()
}

async fn signer(sockets: &Sockets) -> anyhow::Result<String> {
    sockets.signer().await?.self_test().await?;
    Ok("the key store passed a thorough test of itself".into())
}

async fn identity(sockets: &Sockets) -> anyhow::Result<String> {
    let status = sockets.signer().await?.status().await?;
    match (status.problem, status.provisioned) {
        (Some(problem), _) => bail!(problem),
        (None, false) => bail!("this camera is not provisioned"),
        (None, true) => Ok(format!(
            "{} is provisioned",
            status.device_serial.unwrap_or_default()
        )),
    }
}

async fn camera(sockets: &Sockets) -> anyhow::Result<String> {
    let status = state::ask(sockets).await?;
    match (status.camera_problem, status.source) {
        (None, Some(source)) => Ok(format!("frames come from {source}")),
        (problem, _) => bail!(problem.unwrap_or_else(|| "there is no camera".into())),
    }
}

async fn storage(sockets: &Sockets) -> anyhow::Result<String> {
    let status = state::ask(sockets).await?;
    ensure!(!status.disk_full, "only {} MiB are free", status.free_mib);
    Ok(format!("{} MiB are free", status.free_mib))
}

async fn clock(sockets: &Sockets) -> anyhow::Result<String> {
    let status = state::ask(sockets).await?;
    ensure!(status.clock != "unset", "the clock is not set");
    Ok(match status.clock.as_str() {
        "free" => "the clock runs; nobody has confirmed it since the start".into(),
        word => format!("the clock is {word}"),
    })
}

async fn validator(sockets: &Sockets) -> anyhow::Result<String> {
    let status = state::ask(sockets).await?;
    let height = Validator::at(&status.node)?.height().await?;
    Ok(format!(
        "{} answers; its last block is {height}",
        status.node
    ))
}

async fn position(sockets: &Sockets) -> anyhow::Result<String> {
    let reply = sockets.gps().await?.get_fix().await?;
    ensure!(reply.fix.is_some(), gps::describe(&reply));
    Ok(gps::describe(&reply))
}
