//! `birthmark renew`: a new certificate for the camera's key before the present one ends. The chip
//! attests the key once more; no operator, no token and no secret is needed. A timer runs it every
//! day with `--if-due`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use birthmark_client::{Authority, CallError, Options};
use birthmark_protocol::Digest;
use birthmark_protocol::api::{EvidenceRequest, Nonce, RenewalRequest, Renewed};
use birthmark_signer::{SignerClient, StatusReply};
use clap::Args;

use super::Sockets;
use crate::terminal::{Style, moment};
use crate::verify;

/// With so many days left a certificate is renewed by itself: there is time for many attempts.
const DUE_DAYS: i64 = 90;

/// `birthmark renew`
#[derive(Args, Debug, Clone)]
pub struct RenewOptions {
    /// The authority's address; the one in the camera's certificate if left out
    #[arg(long, value_name = "URL")]
    pub authority: Option<String>,
    /// Do nothing while the certificate has more than 90 days left, or on a camera that was not
    /// provisioned
    #[arg(long)]
    pub if_due: bool,
}

/// Runs the command.
pub async fn run(options: &RenewOptions, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let mut signer = sockets.signer().await?;
    let status = signer.status().await?;
    if options.if_due && !is_due(&status, birthmark_daemon::clock::seconds()) {
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        status.certificate_not_after.is_some(),
        "this camera has not been provisioned: there is no certificate to renew"
    );
    let (until, is_new) = renew(&mut signer, options, &status).await?;
    let style = Style::of_standard_output();
    match is_new {
        true => println!(
            "{} the certificate, until {}",
            style.good("renewed"),
            moment(until)
        ),
        // The authority gives the present one again until the last third of its life.
        false => println!(
            "the authority renews nothing yet: the certificate is good until {}",
            moment(until)
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// A camera whose clock was never set would renew too early or never; the authority decides whether
/// it is time.
fn is_due(status: &StatusReply, now: i64) -> bool {
    let until = status.certificate_not_after;
    until.is_some_and(|until| until.saturating_sub(now) <= DUE_DAYS * 86_400)
}

/// Has the chip attest the key, fetches the certificate and gives it to the signer; answers its
/// last second and whether it is a new one.
async fn renew(
    signer: &mut SignerClient,
    options: &RenewOptions,
    status: &StatusReply,
) -> anyhow::Result<(i64, bool)> {
    let authority = authority(options, status)?;
    let told = |error: CallError| anyhow!("the authority at {} {error}", authority.address());
    let begun = authority.begin_renewal().await.map_err(told)?;
    let Nonce { nonce } = begun.with_context(|| {
        format!(
            "the authority at {} renews no certificates: it trusts no makers of chips",
            authority.address()
        )
    })?;
    let nonce_bytes: Digest = nonce.parse().context("the authority's nonce")?;
    let evidence = signer
        .attest(nonce_bytes.as_bytes())
        .await
        .context("the chip does not attest its key")?;
    let shown = EvidenceRequest { nonce, evidence };
    let answer = authority.show_for_renewal(&shown).await.map_err(told)?;
    let secret = signer
        .activate(&answer.credential)
        .await
        .context("the chip does not open the authority's credential")?;
    let secret = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let session = answer.session;
    let proven = RenewalRequest { session, secret };
    let Renewed {
        device_certificate,
        certificate_chain,
        not_after,
        is_new,
        ..
    } = authority.renew(&proven).await.map_err(told)?;
    // If we stop here, the authority gives the same certificate again.
    signer
        .renew(&device_certificate, &certificate_chain.concat())
        .await
        .context("the signer refuses what the authority sent")?;
    Ok((not_after, is_new))
}

fn authority(options: &RenewOptions, status: &StatusReply) -> anyhow::Result<Authority> {
    let address = match (&options.authority, &status.authority) {
        (Some(address), _) => address.as_str(),
        // Certificates name the address of the question, as the documents have it.
        (None, Some(endpoint)) => endpoint.trim_end_matches("/validate-cert"),
        (None, None) => anyhow::bail!("--authority: the certificate names no address"),
    };
    let settings = Options {
        timeout: Duration::from_secs(30),
        ..verify::answer::options()
    };
    let authority = Authority::new(address, &settings).context("--authority")?;
    ensure!(
        authority.is_confidential(),
        "--authority: a certificate is renewed only over https, or from this machine itself: over plain http anybody on \
         the way could keep the camera from its renewal"
    );
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use birthmark_signer::KeyStoreKind;

    use super::*;

    fn status(until: Option<i64>) -> StatusReply {
        StatusReply {
            key_store: KeyStoreKind::Tpm,
            public_key: None,
            provisioned: until.is_some(),
            device_serial: None,
            device_family: None,
            table_ids: Vec::new(),
            certificate_not_after: until,
            authority: Some("https://authority.example/validate-cert".into()),
            sealed_to_pcrs: Vec::new(),
            last_signature: None,
            signatures: 0,
            self_test_passed: true,
            chip: None,
            lockout: None,
            problem: None,
        }
    }

    #[test]
    fn a_certificate_is_due_ninety_days_before_its_end_and_after_it() {
        let now = 1_800_000_000;
        let due = |days: i64| is_due(&status(Some(now + days * 86_400)), now);
        assert_eq!([91, 90, 0, -400].map(due), [false, true, true, true]);
        assert!(!is_due(&status(None), now));
    }

    #[test]
    fn the_authority_is_the_certificate_s_and_never_reached_in_the_clear() {
        let options = |authority: Option<&str>| RenewOptions {
            authority: authority.map(Into::into),
            if_due: false,
        };
        let known = authority(&options(None), &status(Some(1))).unwrap();
        assert_eq!(known.address(), "https://authority.example/");
        let plain = authority(&options(Some("http://authority.example")), &status(Some(1)));
        let refused = plain.err().unwrap().to_string();
        assert!(refused.contains("only over https"), "{refused}");
    }
}
