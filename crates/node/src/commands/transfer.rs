//! `export` and `import`: the chain as plain files, one block and its certificate each.
//!
//! Nothing that is not in the chain is exported: no openings, no verdicts, no submissions.

use std::path::Path;

use anyhow::Context as _;
use birthmark_consensus::{Decided as Agreed, ValidatorKeys, is_of};
use birthmark_daemon::{Context, Program, durable};
use birthmark_ledger::note::NoteSignature;
use birthmark_ledger::{
    Block, ChainId, Checkpoint, CommitCertificate, IndexFollower, Tip, Transaction, ValidatorId,
    ValidatorSet, VoteKey, VoteSigner as _,
};

use super::{command, open, open_stopped, path, path_argument, say};
use crate::registry::Registry;
use crate::settings::Settings;
use crate::{clock, identity};

const BLOCK: &str = "block";
const CERTIFICATE: &str = "certificate";
/// So many blocks are stored in one database transaction.
const PORTION: usize = 64;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let out = command(
        "export",
        "Writes the chain as plain files: genesis, and each block with its certificate",
    )
    .arg(path_argument(
        "folder",
        "Where the files go; blocks that are there already are left out",
    ));
    let back = command(
        "import",
        "Reads a chain that `export` wrote, checking every block; stop the node before",
    )
    .arg(path_argument("folder", "Where the files are"));
    program
        .command(out, |settings, matches, _| async move {
            let blocks = export(&open(&settings).await?, &path(&matches, "folder")?).await?;
            say(&format!("{blocks} blocks exported"))
        })
        .command(back, |settings, matches, context| async move {
            let (registry, _lock) = open_stopped(&settings).await?;
            let cosigner = Cosigner::read(&context)?;
            let blocks = import(&registry, &path(&matches, "folder")?, cosigner.as_ref()).await?;
            say(&format!("{blocks} blocks imported"))?;
            match cosigner {
                Some(_) => Ok(()),
                None => say("without cosignatures: the credentials of a validator were not given"),
            }
        })
}

fn file(folder: &Path, height: u64, kind: &str) -> std::path::PathBuf {
    folder
        .join(format!("{:06}", height / 1000))
        .join(format!("{height:012}.{kind}"))
}

/// Writes a file so that it is there whole or not at all, also after a power failure: an export may
/// be the only copy.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    durable::replace(path, content, durable::PUBLIC)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes every block; how many were written.
pub async fn export(registry: &Registry, folder: &Path) -> anyhow::Result<u64> {
    durable::make_folder(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(
        &folder.join("genesis.toml"),
        toml::to_string(registry.genesis())?.as_bytes(),
    )?;
    let mut written = 0;
    for height in 1..=registry.store().height().await? {
        if file(folder, height, CERTIFICATE).exists() {
            continue;
        }
        let stored = registry
            .store()
            .block(height)
            .await?
            .with_context(|| format!("block {height} is missing"))?;
        let block = file(folder, height, BLOCK);
        if let Some(parent) = block.parent() {
            durable::make_folder(parent)?;
        }
        write(&block, &stored.body)?;
        write(&file(folder, height, CERTIFICATE), &stored.certificate)?;
        written += 1;
    }
    Ok(written)
}

/// A validator that vouches for the trees it imports.
///
/// A cosignature says that the tree was checked and is one this validator stands by; that is as
/// true of an imported tree as of one it saw grow. It carries the time at which it is made, and
/// that is now.
pub struct Cosigner(ValidatorKeys<VoteKey>);

impl Cosigner {
    /// With these keys.
    pub const fn new(keys: ValidatorKeys<VoteKey>) -> Self {
        Self(keys)
    }

    /// With the credentials of the unit, if there are any.
    fn read(context: &Context) -> anyhow::Result<Option<Self>> {
        if context.credentials.optional(identity::VOTE_KEY)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self::new(identity::keys(&context.credentials)?)))
    }

    /// Its lines under the checkpoint after this block, if it was one of the validators who decided
    /// it.
    fn sign(
        &self,
        chain: &ChainId,
        block: &Block,
        validators: &ValidatorSet,
    ) -> anyhow::Result<Vec<NoteSignature>> {
        let key = &self.0.checkpoint;
        let entry = validators
            .get(&ValidatorId::of(&self.0.vote.public_key()))
            .filter(|entry| is_of(entry, key));
        let Some(entry) = entry else {
            return Ok(Vec::new());
        };
        let checkpoint = Checkpoint::after(chain.clone(), &block.header);
        Ok(checkpoint.sign(&entry.name, key, clock::now())?)
    }
}

/// Reads the blocks after this registry's last; how many were read.
pub async fn import(
    registry: &Registry,
    folder: &Path,
    cosigner: Option<&Cosigner>,
) -> anyhow::Result<u64> {
    let genesis = crate::identity::read_genesis(&folder.join("genesis.toml"))?;
    anyhow::ensure!(
        genesis.hash() == registry.genesis().hash(),
        "the files belong to another registry: {}",
        genesis.hash()
    );
    let (mut read, mut digests) = (0, registry.make_index().await?);
    loop {
        let blocks = portion(registry, folder, cosigner, &mut digests).await?;
        if blocks.is_empty() {
            return Ok(read);
        }
        // If we stop here, these are read again: the next import begins after the last block that
        // is stored.
        registry.append_all(&blocks, None).await?;
        read += blocks.len() as u64;
    }
}

/// The next blocks, checked, as far as each can be judged by what is stored and by those before it.
async fn portion(
    registry: &Registry,
    folder: &Path,
    cosigner: Option<&Cosigner>,
    digests: &mut IndexFollower,
) -> anyhow::Result<Vec<Agreed>> {
    let (mut blocks, mut tip) = (Vec::<Agreed>::new(), Tip::clone(&registry.tip()));
    while blocks.len() < PORTION {
        let height = tip.height().next().get();
        let path = file(folder, height, BLOCK);
        if !path.exists() {
            break;
        }
        let read = || -> anyhow::Result<_> {
            let certificate = std::fs::read(file(folder, height, CERTIFICATE))?;
            let block = Block::parse(&std::fs::read(&path)?)?;
            Ok((block, CommitCertificate::parse(&certificate)?))
        };
        let checked = match read() {
            // What an edited picture was made from, or the epoch of a one-time key, may stand in a
            // block of this portion: those are stored first.
            Ok((block, _)) if !blocks.is_empty() && rests_on(&block, &blocks) => break,
            Ok((block, certificate)) => {
                let checked = check(registry, &tip, &blocks, block, certificate, cosigner).await;
                // Only of a block that is right otherwise: what it adds stays.
                checked.and_then(|agreed| {
                    digests.follow(&agreed.block)?;
                    Ok(agreed)
                })
            }
            Err(error) => Err(error),
        };
        match checked {
            Ok(agreed) => {
                tip = agreed.tip.clone();
                blocks.push(agreed);
            }
            // Those before it are good; the next portion begins, and ends, with this one.
            Err(_) if !blocks.is_empty() => break,
            Err(error) => return Err(error.context(format!("block {height}"))),
        }
    }
    Ok(blocks)
}

/// Whether a block can only be judged once those before it are stored.
fn rests_on(block: &Block, before: &[Agreed]) -> bool {
    let states = |block: &Block| {
        block
            .transactions
            .iter()
            .any(|one| !one.statements().is_empty())
    };
    !block.lookups().originals.is_empty()
        || states(block)
        || before.last().is_some_and(|agreed| states(&agreed.block))
}

async fn check(
    registry: &Registry,
    tip: &Tip,
    before: &[Agreed],
    block: Block,
    certificate: CommitCertificate,
    cosigner: Option<&Cosigner>,
) -> anyhow::Result<Agreed> {
    let lookups = block.lookups();
    let mut known = registry.known(&lookups).await?;
    let hashes = before
        .iter()
        .flat_map(|agreed| &agreed.block.transactions)
        .map(Transaction::hash);
    known
        .transactions
        .extend(hashes.filter(|hash| lookups.transactions.contains(hash)));
    let records = before.iter().flat_map(|agreed| agreed.block.records());
    let spent = records.filter_map(|(_, _, record)| Some(record.spent()?.name));
    let again = spent.filter(|name| lookups.one_time_keys.contains(name));
    known.spent.extend(again);
    let next = tip.check(&block, &known)?;
    certificate.verify(&block.header, tip.validators())?;
    let own = cosigner.map(|own| {
        let chain = &registry.genesis().chain_id;
        own.sign(chain, &block, tip.validators())
    });
    // Where nobody here could sign there are none.
    let checkpoint_lines = own.transpose()?.unwrap_or_else(Vec::new);
    Ok(Agreed {
        block,
        certificate,
        tip: next,
        checkpoint_lines,
    })
}
