//! `birthmark report`: a page about photos that can be kept, printed and checked again by people
//! who have nothing of ours.
//!
//! Everything in the page was checked here, against a genesis that the user named; it shows nothing
//! that a validator merely said, except the family, which it calls that. The page is one file: it
//! loads nothing and runs no script.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::durable;
use birthmark_ledger::{Receipt, Trusted};
use birthmark_protocol::image_data::without_metadata;
use birthmark_verify::family::Family;
use birthmark_verify::{Card, Proof, proof};
use clap::Args;
use time::OffsetDateTime;

use crate::terminal::moment;
use crate::verify::{self, Asking, Finding};

/// A larger picture is named in the page and not shown: its digest is what counts.
const LARGEST_PICTURE: usize = 20 << 20;

/// `birthmark report`
#[derive(Args, Debug, Clone)]
pub struct ReportOptions {
    /// Photos, folders of photos, or digests of 64 hexadecimal characters
    #[arg(required = true, value_name = "FILE|FOLDER|DIGEST")]
    pub subjects: Vec<String>,
    /// Where to write the page; an existing file is not overwritten
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub to: PathBuf,
    /// What the report is about, for its title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Whom to ask, and how
    #[command(flatten)]
    pub asking: Asking,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    made: String,
    version: &'static str,
    node: &'a str,
    registry: String,
    genesis_hash: String,
    is_rehearsal: bool,
    validators: Vec<Institution>,
    quorum: usize,
    is_private: bool,
    photos: Vec<Photo<'a>>,
}

/// A validator that the genesis names, or the later set that was trusted.
struct Institution {
    name: String,
    key: String,
}

struct Photo<'a> {
    name: &'a str,
    picture: Picture,
    reason: Option<&'a str>,
    card: Option<&'a Card>,
    family: Option<&'a Family>,
    chain: Option<Chain>,
}

/// The photo as it is drawn.
enum Picture {
    /// With nothing in it but what its image-data digest covers.
    Shown {
        address: String,
    },
    NotShown {
        why: &'static str,
    },
}

/// From the record to the institutions that signed.
struct Chain {
    index: u64,
    height: u64,
    block: String,
    signers: Vec<String>,
    validators: usize,
    receipt: String,
}

/// Runs the command.
pub async fn run(options: &ReportOptions) -> anyhow::Result<ExitCode> {
    ensure!(
        !options.to.exists(),
        "--to: {} exists and is not overwritten",
        options.to.display()
    );
    let trusted = options.asking.trusted()?.context(
        "--genesis: name the registry's genesis, against which every receipt is checked",
    )?;
    let asked = verify::look_up(&options.asking, Some(&trusted), &options.subjects);
    let findings = asked.await?;
    let text = page(options, &trusted, &findings)?;
    durable::create(&options.to, text.as_bytes(), durable::PUBLIC)
        .with_context(|| format!("cannot write {}", options.to.display()))?;
    println!("{} photos: {}", findings.len(), options.to.display());
    Ok(verify::exit_status(&findings))
}

fn page(
    options: &ReportOptions,
    trusted: &Trusted,
    findings: &[Finding],
) -> anyhow::Result<String> {
    let photos = findings.iter().map(|finding| photo(finding, trusted));
    let institutions = trusted.validators().validators().iter();
    let page = Page {
        title: options.title.as_deref().unwrap_or("Where photos come from"),
        made: moment(OffsetDateTime::now_utc().unix_timestamp()),
        version: env!("CARGO_PKG_VERSION"),
        node: &options.asking.node,
        registry: trusted.chain_id().to_string(),
        genesis_hash: trusted.chain().to_hex(),
        is_rehearsal: trusted.is_rehearsal(),
        validators: institutions
            .map(|validator| Institution {
                name: validator.name.to_string(),
                key: validator.verifier_key(),
            })
            .collect(),
        quorum: trusted.validators().quorum(),
        is_private: !options.asking.direct,
        photos: photos.collect::<anyhow::Result<_>>()?,
    };
    Ok(page.render()?)
}

fn photo<'a>(finding: &'a Finding, trusted: &Trusted) -> anyhow::Result<Photo<'a>> {
    let judged = finding.judged();
    let card = judged.map(|judged| &judged.card);
    let chain = match (finding.receipt(), card) {
        (Some(receipt), Some(card)) => Some(chain(receipt, card, trusted)?),
        _ => None,
    };
    Ok(Photo {
        name: finding.subject(),
        picture: picture(finding.path()),
        reason: finding.reason(),
        card,
        family: judged.and_then(|judged| judged.family.as_ref()),
        chain,
    })
}

/// What the receipt says, checked once more from the very bytes that the page holds.
fn chain(receipt: &Receipt, card: &Card, trusted: &Trusted) -> anyhow::Result<Chain> {
    let bytes = receipt.encode();
    let receipt = Receipt::parse(&bytes)?;
    let digests: Vec<_> = card.digests.iter().map(|found| found.digest).collect();
    let Proof { verified, .. } = proof::check(&receipt, trusted, &digests)?;
    Ok(Chain {
        index: verified.index,
        height: verified.height.get(),
        block: verified.block.to_hex(),
        signers: verified.signers.iter().map(ToString::to_string).collect(),
        validators: verified.validators,
        receipt: STANDARD.encode(bytes),
    })
}

fn picture(path: Option<&Path>) -> Picture {
    let not_shown = |why| Picture::NotShown { why };
    let Some(path) = path else {
        return not_shown("No file was given, only its digest.");
    };
    let Ok(file) = std::fs::read(path) else {
        return not_shown("The file could not be read again.");
    };
    if file.len() > LARGEST_PICTURE {
        return not_shown("The picture is too large to be kept in this page.");
    }
    let Ok(bare) = without_metadata(&file) else {
        return not_shown("The file is no JPEG or PNG that browsers draw.");
    };
    let kind = if bare.starts_with(b"\x89PNG") {
        "png"
    } else {
        "jpeg"
    };
    let address = format!("data:image/{kind};base64,{}", STANDARD.encode(bare));
    Picture::Shown { address }
}
