//! `birthmark provision`: a new camera's key is made, attested where the chip and the authority allow, certified, and its
//! secrets sealed. The secrets pass through this process's memory once and are written nowhere.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use birthmark_protocol::Digest;
use birthmark_protocol::attestation::Credential;
use birthmark_signer::{KeyStoreKind, SignerClient};
use clap::Args;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Sockets;
use crate::terminal::{Style, watched};

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

/// An authority, as whoever provisions cameras sees it.
struct Authority {
    base: Url,
    client: reqwest::Client,
    token: Option<Zeroizing<String>>,
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
    let authority = Authority::new(options)?;
    let (key, key_store) = signer.enrol(options.again).await?;
    let attestation = match key_store {
        KeyStoreKind::Tpm => authority.attest(signer).await?,
        KeyStoreKind::Software => None,
    };
    ensure!(
        attestation.is_some() || !options.require_attestation,
        "the chip cannot be attested here: the authority knows no TPM makers, or the key is not in a TPM"
    );
    let request = json!({
        "device_serial": options.serial,
        "device_family": options.family,
        "device_public_key": public_pem(&key.to_spki_der()),
        "nuc_hash": options.nuc_hash,
        "attestation": attestation,
    });
    let answer = authority
        .post("api/v1/devices/provision", &without_nulls(request))
        .await?;
    let answer = answer.context("the authority does not provision cameras")?;
    signer
        .provision(&answer)
        .await
        .context("the signer refuses what the authority sent")?;
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        assurance: String,
    }
    let Answer { assurance } = serde_json::from_str(&answer).unwrap_or(Answer {
        assurance: String::new(),
    });
    Ok(Provisioned {
        key_store,
        assurance,
    })
}

impl Authority {
    fn new(options: &ProvisionOptions) -> anyhow::Result<Self> {
        let mut base: Url = options
            .authority
            .parse()
            .with_context(|| format!("--authority: `{}` is not an address", options.authority))?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let token = options
            .token_file
            .as_deref()
            .map(std::fs::read_to_string)
            .transpose()
            .context("--token-file")?;
        let safe = base.scheme() == "https"
            || matches!(base.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        ensure!(
            safe,
            "--authority: master keys travel only over https, or to this machine itself"
        );
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            base,
            client,
            token: token.map(|token| Zeroizing::new(token.trim().to_owned())),
        })
    }

    /// Sends a request; `None` when the authority has no such thing.
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Option<Zeroizing<String>>> {
        let mut request = self.client.post(self.base.join(path)?).json(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.as_str());
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("the authority at {} does not answer", self.base))?;
        let (status, text) = (response.status(), Zeroizing::new(response.text().await?));
        match status {
            _ if status.is_success() => Ok(Some(text)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => bail!("the authority answered {status}: {}", detail(&text)),
        }
    }

    /// Three steps, at the end of which the authority knows that the key lives in the chip of the endorsement certificate.
    async fn attest(&self, signer: &mut SignerClient) -> anyhow::Result<Option<Value>> {
        #[derive(Deserialize)]
        struct Begun {
            nonce: String,
        }
        #[derive(Deserialize)]
        struct Believed {
            session: String,
            credential: Credential,
        }
        let Some(begun) = self.post("api/v1/attestation/begin", &json!({})).await? else {
            return Ok(None);
        };
        let Begun { nonce } = serde_json::from_str(&begun).context("the authority's nonce")?;
        let nonce_bytes: Digest = nonce.parse().context("the authority's nonce")?;
        let evidence = signer
            .attest(nonce_bytes.as_bytes())
            .await
            .context("the chip does not attest its key")?;
        let request = json!({ "nonce": nonce, "evidence": evidence });
        let believed = self
            .post("api/v1/attestation/evidence", &request)
            .await?
            .context("the authority ended the attestation")?;
        let Believed {
            session,
            credential,
        } = serde_json::from_str(&believed).context("the authority's credential")?;
        let secret = signer
            .activate(&credential)
            .await
            .context("the chip does not open the authority's credential")?;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(json!({ "session": session, "secret": secret })))
    }
}

/// The sentence of an error answer, or all of it.
fn detail(text: &str) -> String {
    let detail = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|answer| answer.get("detail").cloned());
    match detail {
        Some(Value::String(sentence)) => sentence,
        Some(fields) => fields.to_string(),
        None => text.to_owned(),
    }
}

fn without_nulls(mut request: Value) -> Value {
    if let Some(fields) = request.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    request
}

/// SubjectPublicKeyInfo as PEM.
fn public_pem(spki: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(spki);
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
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
        let refused = Authority::new(&options("http://authority.example"))
            .err()
            .unwrap();
        assert!(refused.to_string().contains("only over https"), "{refused}");
        assert!(Authority::new(&options("https://authority.example")).is_ok());
        assert!(Authority::new(&options("http://127.0.0.1:8001")).is_ok());
    }

    #[test]
    fn the_authoritys_sentence_is_what_people_read() {
        assert_eq!(
            detail(r#"{"detail": "a camera with this serial is provisioned already"}"#),
            "a camera with this serial is provisioned already"
        );
        assert_eq!(detail("<html>"), "<html>");
    }

    #[test]
    fn a_key_in_pem_is_the_key() {
        let pem = public_pem(include_bytes!(
            "../../../protocol/tests/fixtures/test-p384.spki.der"
        ));
        assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\nMHYw"), "{pem}");
    }
}
