//! `birthmark receipt show`: what a receipt proves, checked without a network.
//!
//! Exit status: 0 it holds (and is about the photo, if one is given), 1 it does not, 2 wrong usage.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use birthmark_ledger::{Genesis, Receipt, Source, Trusted, Verified, verify_receipt};
use birthmark_protocol::{Digest, DigestRole};
use birthmark_verify::{FileDigest, FileDigests};
use serde::Serialize;

use crate::device::Device;
use crate::digests;
use crate::options::ReceiptShowOptions;
use crate::terminal::{Style, moment};

/// What was found out, for programs.
#[derive(Debug, Serialize)]
struct Finding {
    holds: bool,
    reason: Option<String>,
    proof: Option<Proof>,
}

#[derive(Debug, Serialize)]
struct Proof {
    registry: String,
    block_height: u64,
    block_hash: Digest,
    block_time: i64,
    camera_time: i64,
    source: Source,
    authority: String,
    device_family: String,
    digests: Vec<FileDigest>,
    signed_by: Vec<String>,
    validators: usize,
    /// Which digest of the photo stands in the record.
    photo: Option<FileDigest>,
}

/// Runs the command.
pub fn show(options: &ReceiptShowOptions) -> anyhow::Result<ExitCode> {
    let genesis = read_genesis(&options.genesis)?;
    let receipt = read_receipt(&options.receipt)?;
    let photo = options.photo.as_deref().map(digests::of).transpose()?;
    let finding = match check(&receipt, &genesis, photo.as_ref()) {
        Ok(proof) => Finding {
            holds: true,
            reason: None,
            proof: Some(proof),
        },
        Err(error) => Finding {
            holds: false,
            reason: Some(format!("{error:#}")),
            proof: None,
        },
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&finding)?);
    } else {
        print!("{}", describe(&finding, Style::of_standard_output()));
    }
    Ok(ExitCode::from(u8::from(!finding.holds)))
}

/// Succeeds when the receipt holds against the genesis and is about the photo.
pub fn check_files(receipt: &Path, genesis: &Path, photo: &Path) -> anyhow::Result<()> {
    check(
        &read_receipt(receipt)?,
        &read_genesis(genesis)?,
        Some(&digests::of(photo)?),
    )
    .map(drop)
}

/// Reads a genesis, TOML or JSON.
pub fn read_genesis(path: &Path) -> anyhow::Result<Genesis> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the genesis {}", path.display()))?;
    if text.trim_start().starts_with('{') {
        return Ok(Genesis::from_json(&text)?);
    }
    toml::from_str(&text).with_context(|| format!("{} is not a genesis", path.display()))
}

/// Reads a receipt, or a validator's answer about a submission with the receipt inside, as cameras keep it.
fn read_receipt(path: &Path) -> anyhow::Result<Receipt> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the receipt {}", path.display()))?;
    let inside = serde_json::from_str::<SubmissionAnswer>(&text);
    let receipt = inside
        .as_ref()
        .map_or(text.as_str(), |answer| answer.receipt.get());
    Receipt::from_json(receipt).with_context(|| format!("{} holds no receipt", path.display()))
}

/// What matters of a validator's answer about a submission.
#[derive(serde::Deserialize)]
struct SubmissionAnswer<'a> {
    #[serde(borrow)]
    receipt: &'a serde_json::value::RawValue,
}

fn check(
    receipt: &Receipt,
    genesis: &Genesis,
    photo: Option<&FileDigests>,
) -> anyhow::Result<Proof> {
    let verified = verify_receipt(receipt, &Trusted::genesis(genesis))?;
    let photo = photo.map(|photo| matching(photo, &verified)).transpose()?;
    Ok(Proof::new(receipt, &verified, photo))
}

fn matching(photo: &FileDigests, verified: &Verified) -> anyhow::Result<FileDigest> {
    let registered = verified.record.bundle().images();
    let matches = |found: &&FileDigest| registered.iter().any(|image| image.digest == found.digest);
    match photo.digests.iter().find(matches) {
        Some(found) => Ok(found.clone()),
        None => bail!(
            "the receipt holds, but it is about another photo: no digest of this one stands in its record"
        ),
    }
}

impl Proof {
    fn new(receipt: &Receipt, verified: &Verified, photo: Option<FileDigest>) -> Self {
        let (bundle, origin) = (verified.record.bundle(), verified.record.origin());
        let digests = bundle.images().iter();
        Self {
            registry: receipt.chain_id.to_string(),
            block_height: verified.height.get(),
            block_hash: verified.block,
            block_time: verified.block_time.timestamp().unix(),
            camera_time: bundle.time().unix(),
            source: origin.source,
            authority: origin.authority.to_string(),
            device_family: origin.family.to_string(),
            digests: digests
                .map(|image| FileDigest {
                    role: image.role,
                    digest: image.digest,
                })
                .collect(),
            signed_by: verified.signers.iter().map(ToString::to_string).collect(),
            validators: verified.validators,
            photo,
        }
    }
}

fn describe(finding: &Finding, style: Style) -> String {
    let Some(proof) = &finding.proof else {
        let reason = finding.reason.as_deref().unwrap_or("it does not hold");
        return format!("{} {reason}\n", style.bad("no proof:"));
    };
    let device = Device::of(proof.source);
    let mut lines = vec![
        style.good("the receipt holds"),
        format!("  registry     {}", proof.registry),
        format!(
            "  {:<12} {} ({})",
            device.name, proof.device_family, proof.authority
        ),
        format!("  vouched for  {}", device.vouched),
        format!(
            "  its time     {} (the {}'s own clock)",
            moment(proof.camera_time),
            device.name
        ),
        format!(
            "  existed by   {}: block {}, {}",
            moment(proof.block_time),
            proof.block_height,
            proof.block_hash
        ),
        format!(
            "  signed by    {} of {} validators: {}",
            proof.signed_by.len(),
            proof.validators,
            proof.signed_by.join(", ")
        ),
    ];
    lines.extend(
        proof
            .digests
            .iter()
            .map(|found| format!("  {:<12} {}", role_label(found.role), found.digest)),
    );
    lines.extend(proof.photo.iter().map(|found| {
        format!(
            "  this photo   is the one: its {} digest stands in the record",
            found.role.name()
        )
    }));
    lines.push("  not proven   that the scene was real, nor that nothing was revoked since: ask a validator for that".into());
    lines.join("\n") + "\n"
}

const fn role_label(role: DigestRole) -> &'static str {
    match role {
        DigestRole::Unstated => "digest",
        _ => role.name(),
    }
}
