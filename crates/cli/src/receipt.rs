//! `birthmark receipt`: what a receipt proves, checked without a network; and how one is fetched.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use birthmark_daemon::reasons::in_one_line;
use birthmark_ledger::receipt::ENDING;
use birthmark_ledger::{Receipt, Source, Trusted};
use birthmark_protocol::{Digest, DigestRole};
use birthmark_verify::answer::Notices;
use birthmark_verify::{Card, FileDigest, FileDigests, FileKind, Proof, Tone, proof};
use clap::Args;
use serde::Serialize;

mod trust;

pub use trust::{ReceiptTrustOptions, trust};

use crate::digests;
use crate::terminal::Style;
use crate::verify::answer::Validator;
use crate::verify::{headline, known, private, subjects};

/// `birthmark receipt show`
#[derive(Args, Debug, Clone)]
pub struct ReceiptShowOptions {
    /// The receipt, as stored beside the photo
    pub receipt: PathBuf,
    /// The genesis of the registry that the receipt must belong to, or a later set of its
    /// validators that is trusted instead, as `receipt trust` writes it
    #[arg(long, value_name = "FILE", visible_alias = "trusted")]
    pub genesis: PathBuf,
    /// The photo the receipt is said to be about
    #[arg(long, value_name = "FILE")]
    pub photo: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// `birthmark receipt fetch`
#[derive(Args, Debug, Clone)]
pub struct ReceiptFetchOptions {
    /// The photo, or its digest
    #[arg(value_name = "FILE|DIGEST")]
    pub subject: String,
    /// The validator to ask
    #[arg(
        long,
        value_name = "URL",
        env = "BIRTHMARK_NODE",
        default_value_t = crate::demonstration::validator()
    )]
    pub node: String,
    /// The genesis of the registry. Named once, it is remembered for this validator
    #[arg(long, value_name = "FILE", env = "BIRTHMARK_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// A later set of validators, as `receipt trust` writes it: the receipt leaves out the
    /// handovers before it, and proves something to those who trust this set
    #[arg(long, value_name = "FILE")]
    pub trusted: Option<PathBuf>,
    /// Where the receipt goes [default: beside the photo, its name and .birthmark]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What was found out, for programs.
#[derive(Debug, Serialize)]
struct Finding {
    holds: bool,
    reason: Option<String>,
    proof: Option<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
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
    #[serde(flatten)]
    card: Card,
}

/// Runs `receipt show`.
pub fn show(options: &ReceiptShowOptions) -> anyhow::Result<ExitCode> {
    let trusted = known::read_trusted(&options.genesis)?;
    let bytes = read_file(&options.receipt)?;
    let photo = options.photo.as_deref().map(digests::of).transpose()?;
    // Bytes that are no receipt prove as little as a receipt that does not hold.
    let checked = Receipt::parse(&bytes)
        .map_err(anyhow::Error::from)
        .and_then(|receipt| check(&receipt, &trusted, photo.as_ref()));
    let finding = match checked {
        Ok(proof) => Finding {
            holds: true,
            reason: None,
            proof: Some(Shown::new(&proof, photo.as_ref())),
        },
        Err(error) => Finding {
            holds: false,
            reason: Some(in_one_line(error.as_ref())),
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

/// Runs `receipt fetch`: nothing is kept that was not checked.
pub async fn fetch(options: &ReceiptFetchOptions) -> anyhow::Result<ExitCode> {
    let subject = subjects::one(&options.subject)?;
    let file = subject.digests.map_err(anyhow::Error::msg)?;
    let place = receipt_place(options, subject.path.as_deref())?;
    let (named, set) = (options.genesis.as_deref(), options.trusted.as_deref());
    let trusted = known::trusted(&options.node, named, set)?
        .context("--genesis: name the registry's genesis, against which the receipt is checked")?;
    let wanted: Vec<Digest> = file.digests.iter().map(|found| found.digest).collect();
    let validator = Validator::at(&options.node)?;
    let session = match private::ask(&validator, &trusted, &wanted).await {
        Ok(session) => session,
        Err(error) => {
            eprintln!("birthmark: {error:#}");
            return Ok(ExitCode::from(3));
        }
    };
    let Some(choice) = session.choice(&file) else {
        let card = session.judge(&file, None).card;
        let said = card.checked.as_ref().unwrap_or(&card.sentence);
        println!("there is no receipt of {}: {said}", subject.name);
        return Ok(ExitCode::from(if card.tone == Tone::Unknown {
            1
        } else {
            3
        }));
    };
    let receipt = session
        .receipt(&choice)
        .context("its record was not sent")?;
    if let Err(error) = proof::check(receipt, &trusted, &wanted) {
        println!("nothing is kept, the receipt does not hold: {error}");
        return Ok(ExitCode::FAILURE);
    }
    std::fs::write(&place, receipt.encode())
        .with_context(|| format!("cannot write {}", place.display()))?;
    println!("the receipt holds: kept in {}", place.display());
    Ok(ExitCode::SUCCESS)
}

/// Where the receipt of a photo is kept: its whole name and an ending.
pub fn beside(photo: &Path) -> PathBuf {
    photo.with_added_extension(ENDING)
}

/// A receipt that exists is never overwritten.
fn receipt_place(options: &ReceiptFetchOptions, photo: Option<&Path>) -> anyhow::Result<PathBuf> {
    let beside = || Some(beside(photo?));
    let place = options.out.clone().or_else(beside);
    let place = place.context("--out: say where the receipt of a digest goes")?;
    ensure!(
        !place.exists(),
        "{} exists and is not overwritten; give another place with --out",
        place.display()
    );
    Ok(place)
}

/// Succeeds when the receipt holds against the genesis and is about the photo.
pub fn check_files(receipt: &Path, genesis: &Path, photo: &Path) -> anyhow::Result<()> {
    check(
        &read_receipt(receipt)?,
        &known::read_trusted(genesis)?,
        Some(&digests::of(photo)?),
    )
    .map(drop)
}

/// Reads a receipt.
pub fn read_receipt(path: &Path) -> anyhow::Result<Receipt> {
    Receipt::parse(&read_file(path)?).with_context(|| path.display().to_string())
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read the receipt {}", path.display()))
}

fn check(
    receipt: &Receipt,
    trusted: &Trusted,
    photo: Option<&FileDigests>,
) -> anyhow::Result<Proof> {
    // Two registries may have one name: the hashes tell which is which.
    ensure!(
        receipt.header.chain == trusted.chain(),
        "the receipt is one of the registry {} with the genesis hash {}; the genesis given is that of {} and has the hash {}",
        receipt.chain_id,
        receipt.header.chain,
        trusted.chain_id(),
        trusted.chain()
    );
    let wanted: Vec<Digest> = match photo {
        Some(photo) => photo.digests.iter().map(|found| found.digest).collect(),
        // What people have is the file.
        None => {
            let mut images = receipt.record.images().to_vec();
            images.sort_by_key(|image| image.role != DigestRole::File);
            images.iter().map(|image| image.digest).collect()
        }
    };
    Ok(proof::check(receipt, trusted, &wanted)?)
}

impl Shown {
    fn new(proof: &Proof, photo: Option<&FileDigests>) -> Self {
        let (verified, record) = (&proof.verified, &proof.verified.record);
        let (bundle, origin) = (record.bundle(), record.origin());
        let digests: Vec<_> = bundle
            .images()
            .iter()
            .map(|image| FileDigest {
                role: image.role,
                digest: image.digest,
            })
            .collect();
        let file = photo.cloned().unwrap_or_else(|| FileDigests {
            digests: digests.clone(),
            kind: FileKind::Unseen,
            notes: Vec::new(),
        });
        let card = Card::proven(&file, proof, &Notices::default(), None);
        Self {
            registry: proof.registry.to_string(),
            block_height: verified.height.get(),
            block_hash: verified.block,
            block_time: verified.block_time.timestamp().unix(),
            camera_time: bundle.time().unix(),
            source: origin.source,
            authority: origin.authority.to_string(),
            device_family: origin.family.to_string(),
            digests,
            signed_by: verified.signers.iter().map(ToString::to_string).collect(),
            validators: verified.validators,
            photo: photo.and(card.matched.clone()),
            card,
        }
    }
}

fn describe(finding: &Finding, style: Style) -> String {
    let Some(shown) = &finding.proof else {
        let reason = finding.reason.as_deref().unwrap_or("it does not hold");
        return format!("{} {reason}\n", style.bad("no proof:"));
    };
    let mut lines = vec![format!(
        "the receipt holds: {}",
        headline(&shown.card, style)
    )];
    lines.extend(crate::verify::described(&shown.card, style));
    lines.extend(
        shown
            .digests
            .iter()
            .map(|found| format!("    {:<15} {}", found.role.name(), found.digest)),
    );
    lines.push(
        "    Whether anything was withdrawn since, no receipt can tell: ask a validator for that."
            .into(),
    );
    lines.join("\n") + "\n"
}
