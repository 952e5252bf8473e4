//! `birthmark provision`: a new camera's key is made, attested where the chip and the authority
//! allow, certified, and its secrets sealed. The secrets pass through this process's memory once
//! and are written nowhere.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use birthmark_client::{Authority, CallError, Options};
use birthmark_protocol::api::{CredentialAnswer, EvidenceRequest, Nonce};
use birthmark_protocol::{Digest, pem};
use birthmark_signer::{KeyStoreKind, SignerClient};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Sockets;
use crate::terminal::{Style, watched};
use crate::verify;

/// `birthmark provision`
#[derive(Args, Debug, Clone)]
pub struct ProvisionOptions {
    /// The authority's address
    #[arg(long, value_name = "URL")]
    pub authority: String,
    /// The camera's serial number
    #[arg(long)]
    pub serial: String,
    /// The camera's model
    #[arg(long)]
    pub family: String,
    /// The NUC hash that `birthmark calibrate` printed
    #[arg(long, value_name = "DIGEST")]
    pub nuc_hash: Option<Digest>,
    /// A file with the operator's token for the authority
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<std::path::PathBuf>,
    /// Do not go on if the authority cannot check the chip
    #[arg(long)]
    pub require_attestation: bool,
    /// Destroy the key and secrets of an earlier provisioning first
    #[arg(long)]
    pub again: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Provisioned {
    /// Where the key lives.
    pub key_store: KeyStoreKind,
    /// `token`, or `attested`.
    pub assurance: String,
}

/// Runs the command.
pub async fn run(options: &ProvisionOptions, sockets: &Sockets) -> anyhow::Result<ExitCode> {
    let mut signer = sockets.signer().await?;
    let done = watched(
        "the key is made, attested and certified",
        provision(&mut signer, options),
    )
    .await?;
    let style = Style::of_standard_output();
    println!("{} {}", style.good("provisioned"), options.serial);
    match done.assurance.as_str() {
        "attested" => {
            println!("  the authority saw the TPM attest the key: photos will say `attested`")
        }
        _ => println!(
            "  {}: photos will say `certificate`, not `attested`",
            style.bad("the chip was not attested")
        ),
    }
    if done.key_store == KeyStoreKind::Software {
        println!(
            "  {}",
            style.bad("the key is in a file: for development only")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the key, attests it if that is possible, has it certified and the secrets sealed.
pub async fn provision(
    signer: &mut SignerClient,
    options: &ProvisionOptions,
) -> anyhow::Result<Provisioned> {
    let authority = authority(options)?;
    let (key, key_store) = signer.enrol(options.again).await?;
    let attestation = match key_store {
        KeyStoreKind::Tpm => attest(&authority, signer).await?,
        KeyStoreKind::Software => None,
    };
    ensure!(
        attestation.is_some() || !options.require_attestation,
        "the chip cannot be attested here: the authority knows no TPM makers, or the key is not in a TPM"
    );
    let request = json!({
        "device_serial": options.serial,
        "device_family": options.family,
        "device_public_key": pem::public_key(&key.to_spki_der()),
        "nuc_hash": options.nuc_hash,
        "attestation": attestation,
    });
    let answer = authority.provision(&without_nulls(request)).await;
    let answer = answer.map_err(|error| told(&authority, &error))?;
    signer
        .provision(&answer)
        .await
        .context("the signer refuses what the authority sent")?;
    #[derive(Deserialize)]
    struct Answer {
        assurance: String,
    }
    let Answer { assurance } = serde_json::from_str(&answer)
        .context("the authority does not say how the camera is vouched for")?;
    Ok(Provisioned {
        key_store,
        assurance,
    })
}

fn authority(options: &ProvisionOptions) -> anyhow::Result<Authority> {
    let token = options
        .token_file
        .as_deref()
        .map(std::fs::read_to_string)
        .transpose()
        .context("--token-file")?;
    let token = token.map(|token| Zeroizing::new(token.trim().to_owned()));
    let settings = Options {
        timeout: Duration::from_secs(30),
        ..verify::answer::options()
    };
    let authority = Authority::new(&options.authority, &settings).context("--authority")?;
    ensure!(
        authority.is_confidential(),
        "--authority: master keys travel only over https, or to this machine itself"
    );
    Ok(authority.with_token(token))
}

/// Three steps, at the end of which the authority knows that the key lives in the chip of the
/// endorsement certificate.
async fn attest(authority: &Authority, signer: &mut SignerClient) -> anyhow::Result<Option<Value>> {
    let begun = authority.begin_attestation().await;
    let Some(Nonce { nonce }) = begun.map_err(|error| told(authority, &error))? else {
        return Ok(None);
    };
    let nonce_bytes: Digest = nonce.parse().context("the authority's nonce")?;
    let evidence = signer
        .attest(nonce_bytes.as_bytes())
        .await
        .context("the chip does not attest its key")?;
    let believed = authority.attest(&EvidenceRequest { nonce, evidence }).await;
    let CredentialAnswer {
        session,
        credential,
    } = believed.map_err(|error| told(authority, &error))?;
    let secret = signer
        .activate(&credential)
        .await
        .context("the chip does not open the authority's credential")?;
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(json!({ "session": session, "secret": secret })))
}

/// Who answered what, as one sentence: the error begins with its verb.
fn told(authority: &Authority, error: &CallError) -> anyhow::Error {
    anyhow!("the authority at {} {error}", authority.address())
}

fn without_nulls(mut request: Value) -> Value {
    if let Some(fields) = request.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(authority: &str) -> ProvisionOptions {
        ProvisionOptions {
            authority: authority.into(),
            serial: "TEST-1".into(),
            family: "Test".into(),
            nuc_hash: None,
            token_file: None,
            require_attestation: false,
            again: false,
        }
    }

    #[test]
    fn master_keys_never_travel_in_the_clear() {
        let refused = authority(&options("http://authority.example"))
            .err()
            .unwrap();
        assert!(refused.to_string().contains("only over https"), "{refused}");
        assert!(authority(&options("https://authority.example")).is_ok());
        assert!(authority(&options("http://127.0.0.1:8001")).is_ok());
    }
}
