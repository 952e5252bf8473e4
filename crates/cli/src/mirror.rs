//! `birthmark mirror`, `audit` and `follow`: the registry as files in anybody's hand, all of it
//! checked, and a watch over what a validator says from one day to the next.
//!
//! A mirror is a folder with the files at the paths at which validators serve them: any web server,
//! or a USB stick, answers `birthmark verify` from it. Trust: whoever can write the folder can at
//! most keep answers away.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use birthmark_daemon::durable;
use birthmark_ledger::index::Prefix;
use birthmark_ledger::part::{
    HeadersPart, PART_HEADERS, PART_RECORDS, RecordsPart, part_of_height, part_of_record,
};
use birthmark_ledger::{
    BlockHeader, DecidedHeader, Genesis, Head, IndexKey, Trusted, VerifyError, verify_head,
};
use birthmark_verify::audit::{Audit, AuditError};
use birthmark_verify::private::{AMONG, LookupError, Standing};
use clap::Args;

use crate::terminal::watched;
use crate::verify::answer::Validator;
use crate::verify::known;

const GENESIS: &str = "api/v1/genesis";

/// `birthmark mirror`
#[derive(Args, Debug, Clone)]
pub struct MirrorOptions {
    /// The validator, or another mirror
    #[arg(value_name = "URL")]
    pub url: String,
    /// Where the files go; what is there already is kept and continued
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The genesis of the registry. Named once, it is remembered for this validator
    #[arg(long, value_name = "FILE", env = "BIRTHMARK_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// A later set of validators that is trusted in place of the genesis, as `receipt trust` writes
    /// it: the newest block must lead to it
    #[arg(long, value_name = "FILE")]
    pub trusted: Option<PathBuf>,
}

/// `birthmark audit`
#[derive(Args, Debug, Clone)]
pub struct AuditOptions {
    /// A folder that `mirror` wrote
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The genesis of the registry [default: the folder's, if --trusted names its hash]
    #[arg(
        long,
        value_name = "FILE",
        env = "BIRTHMARK_GENESIS",
        required_unless_present = "trusted"
    )]
    pub genesis: Option<PathBuf>,
    /// A later set of validators, as `receipt trust` writes it: the newest block must have been
    /// decided by them or by those that they handed over to
    #[arg(long, value_name = "FILE")]
    pub trusted: Option<PathBuf>,
}

/// `birthmark follow`
#[derive(Args, Debug, Clone)]
pub struct FollowOptions {
    /// The validator
    #[arg(value_name = "URL")]
    pub url: String,
    /// Where its last block is remembered
    #[arg(long, value_name = "FILE")]
    pub state: PathBuf,
    /// The genesis of the registry. Named once, it is remembered for this validator
    #[arg(long, value_name = "FILE", env = "BIRTHMARK_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// A later set of validators that is trusted in place of the genesis, as `receipt trust` writes
    /// it
    #[arg(long, value_name = "FILE")]
    pub trusted: Option<PathBuf>,
    /// Look once and end
    #[arg(long)]
    pub once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub every: u64,
}

fn believed(url: &str, genesis: Option<&Path>, trusted: Option<&Path>) -> anyhow::Result<Trusted> {
    known::trusted(url, genesis, trusted)?.context(
        "no genesis is named: get this registry's from somebody you trust and give it once with --genesis FILE",
    )
}

/// Runs `mirror`.
pub async fn mirror(options: &MirrorOptions) -> anyhow::Result<ExitCode> {
    let (genesis, set) = (options.genesis.as_deref(), options.trusted.as_deref());
    let trusted = believed(&options.url, genesis, set)?;
    let copying = Copying {
        from: Validator::at(&options.url)?,
        folder: options.folder.clone(),
    };
    let header = watched("Copying the registry", copying.run(&trusted)).await?;
    println!(
        "The registry up to block {} with {} records is in {}. `birthmark audit` checks all of it.",
        header.height,
        header.tree_size,
        options.folder.display()
    );
    Ok(ExitCode::SUCCESS)
}

struct Copying {
    from: Validator,
    folder: PathBuf,
}

impl Copying {
    async fn run(&self, trusted: &Trusted) -> anyhow::Result<BlockHeader> {
        let head = self.fetch(Standing::ADDRESS).await?;
        let standing = Standing::read(trusted, std::str::from_utf8(&head)?)?;
        let newest = standing.newest();
        let genesis = genesis_of(trusted, &self.fetch(GENESIS).await?)?;
        self.write(GENESIS, &serde_json::to_vec(&genesis)?)?;
        self.headers(newest).await?;
        if let Some(last) = newest.tree_size.checked_sub(1) {
            for part in 0..=part_of_record(last) {
                let is_full = (part + 1) * PART_RECORDS <= newest.tree_size;
                let check = |bytes: &[u8]| Ok(RecordsPart::parse(bytes)?.check()?);
                self.part(&format!("api/v1/records/{part}"), is_full, check)
                    .await?;
            }
        }
        for range in ranges(newest) {
            let path = standing.address(range);
            let check = |bytes: &[u8]| Ok(standing.range(range, bytes).map(drop)?);
            self.part(&path, true, check).await?;
        }
        // If we stop before, the old head still stands and its files with it; after it, the new one
        // does.
        self.write(Standing::ADDRESS, &head)?;
        self.forget_old_indexes(newest)?;
        Ok(newest.clone())
    }

    /// Copies the headers, each part of which must go on where the one before ended.
    async fn headers(&self, newest: &BlockHeader) -> anyhow::Result<()> {
        let mut previous = newest.chain;
        for part in 0..=part_of_height(newest.height) {
            let is_full = (part + 1) * PART_HEADERS <= newest.height.get();
            let path = format!("api/v1/headers/{part}");
            let check = |bytes: &[u8]| Ok(HeadersPart::parse(bytes).map(drop)?);
            let bytes = self.part(&path, is_full, check).await?;
            let read = HeadersPart::parse(&bytes)?;
            let first = read
                .headers()
                .first()
                .context("a part of headers is empty")?;
            ensure!(
                first.header.previous == previous,
                "block {} does not follow the headers that were copied before: these are two registries, or one validator \
                 says two things",
                first.header.height
            );
            let last = read.headers().last().map(|last| last.header.hash());
            previous = last.context("a part of headers is empty")?;
        }
        ensure!(
            previous == newest.hash(),
            "its headers do not lead to its newest block"
        );
        Ok(())
    }

    /// A part, from the folder if it is there and full; otherwise it is fetched, checked and kept.
    async fn part(
        &self,
        path: &str,
        is_full: bool,
        check: impl Fn(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<u8>> {
        let kept = std::fs::read(self.folder.join(path));
        if let (true, Ok(bytes)) = (is_full, kept)
            && check(&bytes).is_ok()
        {
            return Ok(bytes);
        }
        let bytes = self.fetch(path).await?;
        check(&bytes).with_context(|| path.to_owned())?;
        self.write(path, &bytes)?;
        Ok(bytes)
    }

    async fn fetch(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let file = self.from.file(path).await?;
        file.with_context(|| format!("it has no {path}"))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(path);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| durable::replace(&path, bytes, durable::PUBLIC));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes the ranges of indexes before this one.
    fn forget_old_indexes(&self, newest: &BlockHeader) -> anyhow::Result<()> {
        let kept = newest.index_height.to_string();
        for entry in std::fs::read_dir(self.folder.join("api/v1/index"))? {
            let entry = entry?;
            if entry.file_name() != kept.as_str() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The genesis that whoever is trusted names by its hash, from bytes that anybody sent.
fn genesis_of(trusted: &Trusted, bytes: &[u8]) -> anyhow::Result<Genesis> {
    let genesis = Genesis::from_json(std::str::from_utf8(bytes)?)?;
    let other = || AuditError::Head(VerifyError::OtherRegistry(genesis.chain_id.clone()));
    ensure!(genesis.hash() == trusted.chain(), other());
    Ok(genesis)
}

/// The ranges in which `verify` asks: every one of them is a file.
fn ranges(newest: &BlockHeader) -> impl Iterator<Item = Prefix> {
    let any = IndexKey::from_number(0);
    Prefix::all_of(Prefix::hiding(any, newest.tree_size, AMONG).width())
}

/// Runs `audit`.
pub fn audit(options: &AuditOptions) -> anyhow::Result<ExitCode> {
    let named = options.genesis.as_deref();
    let set = options.trusted.as_deref();
    let genesis = named.map(known::read_genesis).transpose()?;
    let trusted = match (&genesis, set) {
        (Some(genesis), None) => Trusted::genesis(genesis),
        _ => believed("", named, set)?,
    };
    let folder = Folder(&options.folder);
    let audited = match genesis {
        Some(genesis) => folder.audit(&genesis, &trusted),
        None => folder.audit_by_set(&trusted),
    };
    match audited {
        Ok(header) => {
            println!(
                "All of it holds: {} blocks with {} records, every certificate, signature and index root, and the index after \
                 block {}.",
                header.height, header.tree_size, header.index_height
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is::<AuditError>() || error.is::<Wrong>() => {
            println!("It does not hold: {error:#}");
            Ok(ExitCode::from(1))
        }
        Err(error) => {
            eprintln!("It could not be checked: {error:#}");
            Ok(ExitCode::from(3))
        }
    }
}

/// A range of a mirror that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("the range {range} of the index: {reason}")]
struct Wrong {
    range: Prefix,
    reason: String,
}

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    /// With the folder's own genesis, if it is the one whose hash stands in the set: the newest
    /// block is believed for the set, and what came before it because each block names the one
    /// before.
    fn audit_by_set(&self, trusted: &Trusted) -> anyhow::Result<BlockHeader> {
        let genesis = genesis_of(trusted, &self.read(GENESIS)?)?;
        self.audit(&genesis, trusted)
    }

    fn audit(&self, genesis: &Genesis, trusted: &Trusted) -> anyhow::Result<BlockHeader> {
        let head = Head::from_json(std::str::from_utf8(&self.read(Standing::ADDRESS)?)?)?;
        verify_head(&head, trusted.clone()).map_err(AuditError::Head)?;
        let newest = head.header.clone();
        let (mut audit, mut next) = (Audit::begin(genesis, head)?, 0);
        let parts = newest.tree_size.div_ceil(PART_RECORDS);
        for number in 0..parts {
            let part = RecordsPart::parse(&self.read(&format!("api/v1/records/{number}"))?)
                .map_err(AuditError::Part)?;
            let last = part.blocks().last().map(|(block, _)| block.header.height);
            while last.is_some_and(|last| audit.height() < last) {
                audit.headers(&self.headers(next)?)?;
                next += 1;
            }
            audit.part(&part)?;
        }
        while audit.height() < newest.height {
            audit.headers(&self.headers(next)?)?;
            next += 1;
        }
        audit.finish()?;
        self.check_ranges(trusted, &newest)?;
        Ok(newest)
    }

    fn headers(&self, number: u64) -> anyhow::Result<HeadersPart> {
        let bytes = self.read(&format!("api/v1/headers/{number}"))?;
        Ok(HeadersPart::parse(&bytes).map_err(AuditError::Part)?)
    }

    fn check_ranges(&self, trusted: &Trusted, newest: &BlockHeader) -> anyhow::Result<()> {
        let head = self.read(Standing::ADDRESS)?;
        let standing = Standing::read(trusted, std::str::from_utf8(&head)?)?;
        for range in ranges(newest) {
            let bytes = self.read(&standing.address(range))?;
            standing.range(range, &bytes).map_err(|error| Wrong {
                range,
                reason: error.to_string(),
            })?;
        }
        Ok(())
    }

    fn read(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.0.join(path);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Runs `follow`.
pub async fn follow(options: &FollowOptions) -> anyhow::Result<ExitCode> {
    let (genesis, set) = (options.genesis.as_deref(), options.trusted.as_deref());
    let trusted = believed(&options.url, genesis, set)?;
    let validator = Validator::at(&options.url)?;
    loop {
        match look(&validator, &trusted, &options.state).await {
            Ok(header) => println!(
                "block {} with {} records follows what was seen before",
                header.height, header.tree_size
            ),
            Err(error) if error.is::<Fork>() => {
                println!("{error}");
                return Ok(ExitCode::from(1));
            }
            Err(error) if options.once => {
                eprintln!("It could not be found out: {error:#}");
                return Ok(ExitCode::from(3));
            }
            Err(error) => eprintln!("It could not be found out: {error:#}"),
        }
        if options.once {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_secs(options.every.max(1))).await;
    }
}

/// Two states of one registry that cannot both be true. Both files together are the proof.
#[derive(Debug, thiserror::Error)]
#[error(
    "FORK: {reason}. What was seen before stands in {kept}, what is said now in {now}: show both to the other validators"
)]
struct Fork {
    reason: String,
    kept: String,
    now: String,
}

async fn look(
    validator: &Validator,
    trusted: &Trusted,
    state: &Path,
) -> anyhow::Result<BlockHeader> {
    let head = validator.file(Standing::ADDRESS).await?;
    let head = head.context("it does not say where it stands")?;
    let new = Standing::read(trusted, std::str::from_utf8(&head)?)?;
    let (new, old) = (new.newest(), remembered(trusted, state)?);
    if let Some(old) = &old
        && let Some(reason) = contradiction(validator, old, new).await?
    {
        let now = state.with_extension("fork.json");
        durable::replace(&now, &head, durable::PUBLIC)?;
        bail!(Fork {
            reason,
            kept: state.display().to_string(),
            now: now.display().to_string(),
        });
    }
    if old.is_none_or(|old| old.height < new.height) {
        durable::replace(state, &head, durable::PUBLIC)
            .with_context(|| format!("cannot write {}", state.display()))?;
    }
    Ok(new.clone())
}

fn remembered(trusted: &Trusted, state: &Path) -> anyhow::Result<Option<BlockHeader>> {
    match std::fs::read_to_string(state) {
        Ok(text) => match Standing::read(trusted, &text) {
            Ok(standing) => Ok(Some(standing.newest().clone())),
            // It was checked when it was written, against what was trusted then.
            Err(LookupError::Undecided(VerifyError::TooOld { .. })) => {
                Ok(Some(Head::from_json(&text)?.header))
            }
            Err(error) => Err(error).with_context(|| state.display().to_string()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", state.display())),
    }
}

/// Why two decided headers cannot belong to one registry. A validator that is behind contradicts
/// nothing.
///
/// The headers in between are fetched and followed, each naming the one before: so the later header
/// says which block stands at the earlier one's height, and nobody has to be believed for it.
async fn contradiction(
    validator: &Validator,
    old: &BlockHeader,
    new: &BlockHeader,
) -> anyhow::Result<Option<String>> {
    let (old, new) = if old.height <= new.height {
        (old, new)
    } else {
        (new, old)
    };
    let mut expected = new.hash();
    let mut found = None;
    for part in (part_of_height(old.height)..=part_of_height(new.height)).rev() {
        let path = format!("api/v1/headers/{part}");
        let bytes = validator.file(&path).await?;
        let bytes = bytes.with_context(|| format!("it has no {path}"))?;
        let read = HeadersPart::parse(&bytes)?;
        let wanted = |one: &&DecidedHeader| (old.height..=new.height).contains(&one.header.height);
        for one in read.headers().iter().rev().filter(wanted) {
            ensure!(
                one.header.hash() == expected,
                "its headers do not lead to block {}",
                new.height
            );
            expected = one.header.previous;
            found = Some(one.header.clone());
        }
    }
    let found = found.filter(|found| found.height == old.height);
    let found = found.with_context(|| format!("it did not send block {}", old.height))?;
    Ok((found != *old).then(|| format!("two blocks were decided at height {}", old.height)))
}
