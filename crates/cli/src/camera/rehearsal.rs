//! `birthmark test`: every part in turn, and what to do about each failure.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use birthmark_daemon::reasons::in_one_line;

use super::{Sockets, gps, state};
use crate::terminal::{Style, watched};
use crate::verify::answer::Validator;

/// Tries every part. Exit status 1 if one of them fails.
pub async fn run(sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let (style, daemons) = (Style::of_standard_output(), Daemons::asked(sockets).await);
    let tell = |part, outcome| report(style, part, outcome, daemons.remedy(part));
    let results = [
        tell("signer", watched("signer", signer(sockets)).await),
        tell("identity", watched("identity", identity(sockets)).await),
        tell("camera", watched("camera", camera(sockets)).await),
        tell("storage", watched("storage", storage(sockets)).await),
        tell("clock", watched("clock", clock(sockets)).await),
        tell("validator", watched("validator", validator(sockets)).await),
        tell("GPS", watched("GPS", position(sockets)).await),
    ];
    Ok(ExitCode::from(u8::from(results.contains(&false))))
}

/// Which of the daemons answer at all: what to do about a failure depends on it.
#[derive(Debug, Clone, Copy)]
struct Daemons {
    signer: bool,
    camera: bool,
    gps: bool,
}

impl Daemons {
    async fn asked(sockets: &Sockets) -> Self {
        Self {
            signer: sockets.signer().await.is_ok(),
            camera: sockets.capture().await.is_ok(),
            gps: sockets.gps().await.is_ok(),
        }
    }

    fn remedy(&self, part: &str) -> &'static str {
        match part {
            "signer" if self.signer => {
                "journalctl -u birthmark-signer; is the TPM wired and `dtoverlay=tpm-slb9670` set?"
            }
            "signer" => "systemctl status birthmark-signer.socket birthmark-signer",
            "identity" if self.signer => "birthmark provision --authority URL",
            "identity" => "first the signer: only it knows which camera this is",
            "GPS" if self.gps => {
                "give the antenna a view of the sky; without GPS photos simply carry no place"
            }
            "GPS" => {
                "systemctl status birthmark-gps.socket birthmark-gps; without GPS photos simply carry no place"
            }
            "camera" if self.camera => {
                "journalctl -u birthmark-capture; check the ribbon cable and `dtoverlay=imx477`"
            }
            "camera" => "systemctl status birthmark-capture.socket birthmark-capture",
            _ if !self.camera => "first the camera: its daemon knows, and does not answer",
            "storage" => "copy photos away and delete them from the camera",
            "clock" => "connect a network or GPS and wait a minute",
            _ => "check the network, and `node` in /etc/birthmark/capture.toml",
        }
    }
}

fn report(style: Style, part: &str, outcome: anyhow::Result<String>, remedy: &str) -> bool {
    match &outcome {
        Ok(finding) => println!("{} {part:<10} {finding}", style.good("✓")),
        Err(error) => println!(
            "{} {part:<10} {}\n             → {remedy}",
            style.bad("✗"),
            in_one_line(error.as_ref())
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
    let mut silent = anyhow::anyhow!("no validator is named");
    for address in status.node.split(", ") {
        match Validator::at(address)?.height().await {
            Ok(height) => return Ok(format!("{address} answers; its last block is {height}")),
            Err(error) => silent = error,
        }
    }
    // One that answers is enough, and none of them did.
    Err(silent)
}

async fn position(sockets: &Sockets) -> anyhow::Result<String> {
    let reply = sockets.gps().await?.get_fix().await?;
    ensure!(reply.fix.is_some(), gps::describe(&reply));
    Ok(gps::describe(&reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_silent_is_what_to_look_at_first() {
        let silent = Daemons {
            signer: false,
            camera: false,
            gps: false,
        };
        for (part, first) in [
            ("signer", "birthmark-signer.socket"),
            ("identity", "first the signer"),
            ("camera", "birthmark-capture.socket"),
            ("storage", "first the camera"),
            ("clock", "first the camera"),
            ("validator", "first the camera"),
            ("GPS", "birthmark-gps.socket"),
        ] {
            assert!(silent.remedy(part).contains(first), "{part}");
        }
        let awake = Daemons {
            signer: true,
            camera: true,
            gps: true,
        };
        assert!(awake.remedy("identity").contains("provision"));
        assert!(awake.remedy("storage").contains("delete"));
        assert!(awake.remedy("validator").contains("network"));
        assert!(awake.remedy("GPS").contains("sky"));
    }
}
