//! `birthmark receipt trust`: a later set of validators, checked once and then named in a file.
//!
//! Whoever believes the file believes no former validators any more, and receipts need only the
//! handovers since. It is worth as much as the way on which it came: publish its set hash in
//! several places, as that of a genesis.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use birthmark_daemon::durable;
use birthmark_ledger::{Head, Trusted, verify_head};
use birthmark_verify::private::Standing;
use clap::Args;

use crate::verify::answer::Validator;
use crate::verify::known;

/// `birthmark receipt trust`
#[derive(Args, Debug, Clone)]
pub struct ReceiptTrustOptions {
    /// Where the set goes; an existing file is not overwritten
    #[arg(value_name = "FILE")]
    pub out: PathBuf,
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
}

/// Runs the command.
pub async fn trust(options: &ReceiptTrustOptions) -> anyhow::Result<ExitCode> {
    ensure!(
        !options.out.exists(),
        "{} exists and is not overwritten",
        options.out.display()
    );
    let genesis = known::genesis(&options.node, options.genesis.as_deref())?
        .context("--genesis: name the registry's genesis, from which the handovers are followed")?;
    let validator = Validator::at(&options.node)?;
    let found = async {
        let head = validator.file(Standing::ADDRESS).await?;
        let head = head.context("it does not say where it stands")?;
        let head = Head::from_json(std::str::from_utf8(&head)?)?;
        anyhow::Ok(verify_head(&head, Trusted::genesis(&genesis))?)
    };
    let trusted = match found.await {
        Ok(trusted) => trusted,
        Err(error) => {
            eprintln!("birthmark: {error:#}");
            return Ok(ExitCode::from(3));
        }
    };
    let text = serde_json::to_string_pretty(&trusted)? + "\n";
    durable::create(&options.out, text.as_bytes(), durable::PUBLIC)
        .with_context(|| format!("cannot write {}", options.out.display()))?;
    println!(
        "{}: the {} validators that decide from block {} on; their set has the hash {}",
        options.out.display(),
        trusted.validators().len(),
        trusted.since(),
        trusted.validators().hash()
    );
    Ok(ExitCode::SUCCESS)
}
