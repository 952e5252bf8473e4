//! `birthmark edit`: registers a picture that was made from a registered one, with a software
//! certificate.
//!
//! Exit status: 0 registered and the receipt stored, 1 refused by the validator, 2 it could not be
//! done.

pub mod software;
mod submission;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use birthmark_daemon::{clock, durable};
use birthmark_ledger::{Genesis, Receipt, Trusted, verify_receipt};
use birthmark_protocol::{
    Digest, DigestRole, EditClaims, EditSubmission, ModificationLevel, Signature,
    SoftwareCertificate, Timestamp,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::digests;
use crate::options::EditOptions;
use crate::terminal::Style;
use crate::verify::answer::Validator;
use submission::{Fate, Submitter};

/// What became of it, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    image_hash: Digest,
    parent_image_hash: Digest,
    receipt_id: Option<String>,
    registered: bool,
    /// Whether the receipt was checked against a genesis.
    checked: bool,
    reason: Option<String>,
    receipt: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(options: &EditOptions) -> anyhow::Result<ExitCode> {
    let place = receipt_place(options)?;
    let genesis = options
        .genesis
        .as_deref()
        .map(crate::verify::known::read_genesis)
        .transpose()?;
    let editor = Editor::read(&options.certificate, &options.key)?;
    let validator = Validator::at(&options.node)?;
    let claims = claims(options, &validator).await?;
    let request = editor.sign(&claims)?;

    let submitter = Submitter::new(&options.node, Duration::from_secs(options.wait))?;
    let (receipt_id, fate) = submitter.submit(&request).await?;
    let mut outcome = Outcome {
        image_hash: claims.image,
        parent_image_hash: claims.original,
        receipt_id,
        registered: false,
        checked: false,
        reason: None,
        receipt: None,
    };
    match fate {
        Fate::Stored(receipt) => {
            outcome.checked = check(&receipt, genesis.as_ref(), &claims)?;
            store(&place, &receipt)?;
            outcome.registered = true;
            outcome.receipt = Some(place);
        }
        Fate::Refused(reason) => outcome.reason = Some(reason),
    }
    report(&outcome, options.json)?;
    Ok(ExitCode::from(u8::from(!outcome.registered)))
}

/// Looked at before anything is sent: a receipt that exists is never overwritten.
fn receipt_place(options: &EditOptions) -> anyhow::Result<PathBuf> {
    let beside = || crate::receipt::beside(&options.edited);
    let place = options.receipt.clone().unwrap_or_else(beside);
    ensure!(
        !place.exists(),
        "{} exists and is not overwritten; give another place with --receipt",
        place.display()
    );
    Ok(place)
}

async fn claims(options: &EditOptions, validator: &Validator) -> anyhow::Result<EditClaims> {
    let digests = digests::of(&options.edited)?;
    let find = |role| {
        let mut found = digests.digests.iter().filter(|found| found.role == role);
        found.next().map(|found| found.digest)
    };
    Ok(EditClaims {
        image: find(DigestRole::File).context("the picture has no digest")?,
        image_data: find(DigestRole::ImageData),
        level: ModificationLevel::try_from(i64::from(options.level))?,
        original: parent(&options.parent, validator).await?,
        time: Timestamp::from_unix(clock::seconds()),
    })
}

/// The digest of the parent that is registered.
async fn parent(parent: &str, validator: &Validator) -> anyhow::Result<Digest> {
    let candidates = match parent.parse::<Digest>() {
        Ok(digest) if !Path::new(parent).exists() => vec![digest],
        _ => digests::of(Path::new(parent))?
            .digests
            .iter()
            .map(|found| found.digest)
            .collect(),
    };
    for digest in &candidates {
        if validator.verify(digest).await?.verified {
            return Ok(*digest);
        }
    }
    bail!(
        "the parent {parent} is not in the registry: register the original first, and give it unchanged"
    )
}

/// The certificate and key of editing software.
struct Editor {
    certificate: SoftwareCertificate,
    key: SigningKey,
}

impl Editor {
    fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(certificate)
            .with_context(|| format!("cannot read the certificate {}", certificate.display()))?;
        let certificate = SoftwareCertificate::from_pem_or_der(&bytes)
            .with_context(|| format!("{} is no software certificate", certificate.display()))?;
        let pem = std::fs::read_to_string(key)
            .map(Zeroizing::new)
            .with_context(|| format!("cannot read the key {}", key.display()))?;
        let key = SigningKey::from_pkcs8_pem(&pem)
            .map_err(|_| anyhow::anyhow!("{} is no P-256 key in PKCS#8 PEM", key.display()))?;
        let public = birthmark_protocol::PublicKey::from_sec1(
            key.verifying_key().to_sec1_point(true).as_bytes(),
        )?;
        ensure!(
            public == *certificate.key(),
            "the key is not the one the certificate is about"
        );
        Ok(Self { certificate, key })
    }

    fn sign(&self, claims: &EditClaims) -> anyhow::Result<EditSubmission> {
        let digest = claims.signed_digest()?;
        let signature: p256::ecdsa::Signature = self
            .key
            .sign_prehash(digest.as_bytes())
            .map_err(|_| anyhow::anyhow!("the key cannot sign"))?;
        let signature = Signature::from(signature);
        Ok(EditSubmission::new(
            claims,
            self.certificate.der(),
            &signature,
        ))
    }
}

/// Whether the receipt holds and is about this picture, as far as that can be checked here.
fn check(
    receipt: &Receipt,
    genesis: Option<&Genesis>,
    claims: &EditClaims,
) -> anyhow::Result<bool> {
    let Some(genesis) = genesis else {
        return Ok(false);
    };
    let verified = verify_receipt(receipt, &Trusted::genesis(genesis))
        .context("the validator's receipt does not hold")?;
    ensure!(
        verified.record.image(&claims.image).is_some(),
        "the validator's receipt is about another picture"
    );
    Ok(true)
}

/// If we stop before the end, the picture is registered and the same command fetches the same
/// receipt again.
fn store(place: &Path, receipt: &Receipt) -> anyhow::Result<()> {
    durable::create(place, &receipt.encode(), durable::PUBLIC)
        .with_context(|| format!("cannot write the receipt {}", place.display()))
}

fn report(outcome: &Outcome, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(outcome)?);
        return Ok(());
    }
    let style = Style::of_standard_output();
    match (&outcome.receipt, &outcome.reason) {
        (Some(place), _) => {
            println!("{} {}", style.good("registered"), outcome.image_hash);
            println!("  made from  {}", outcome.parent_image_hash);
            println!("  receipt    {}", place.display());
            if !outcome.checked {
                println!(
                    "  {}",
                    style
                        .faint("not checked against a genesis: `birthmark receipt show` does that")
                );
            }
        }
        (None, reason) => println!(
            "{} {}",
            style.bad("not registered:"),
            reason.as_deref().unwrap_or("no reason was given")
        ),
    }
    Ok(())
}
