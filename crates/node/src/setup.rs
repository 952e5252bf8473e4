//! Before the first start: a validator's keys and a registry's genesis.

use std::path::Path;

use anyhow::Context as _;
use birthmark_daemon::{durable, random};
use birthmark_ledger::{
    ChainId, CheckpointKey, Genesis, KeyName, Validator, ValidatorSet, VoteKey, VoteSigner as _,
};
use birthmark_protocol::Timestamp;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use zeroize::Zeroizing;

use crate::identity::{CHECKPOINT_KEY, LOOKUP_KEY, VOTE_KEY};

/// Draws all keys into files a unit can load as credentials. A key that exists is never
/// overwritten.
pub fn create_keys(folder: &Path, name: KeyName) -> anyhow::Result<Validator> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let secret = draw_vote_key()?;
    let pem = secret
        .to_pkcs8_pem(LineEnding::LF)
        .context("the vote key cannot be written")?;
    let (seed, lookup) = (draw_bytes()?, draw_bytes()?);
    write_secret(&folder.join(VOTE_KEY), pem.as_bytes())?;
    for (name, bytes) in [(CHECKPOINT_KEY, &seed), (LOOKUP_KEY, &lookup)] {
        let text = Zeroizing::new(hex::encode(bytes.as_slice()));
        write_secret(&folder.join(name), text.as_bytes())?;
    }
    let vote_key = VoteKey::from_pem(&pem)?.public_key();
    let checkpoint = CheckpointKey::from_seed(&seed);
    Ok(Validator {
        name,
        vote_key,
        checkpoint_key: checkpoint.public_key(),
        log_key: checkpoint.log_public_key(),
    })
}

fn draw_bytes() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    Ok(Zeroizing::new(random::bytes()?))
}

fn draw_vote_key() -> anyhow::Result<p256::SecretKey> {
    loop {
        let bytes = draw_bytes()?;
        // Fewer than one in four billion draws is no scalar of the curve.
        if let Ok(secret) = p256::SecretKey::from_slice(bytes.as_slice()) {
            return Ok(secret);
        }
    }
}

fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    durable::create(path, content, durable::PRIVATE).with_context(|| {
        format!(
            "cannot create {}; a key that exists is never overwritten",
            path.display()
        )
    })
}

/// The genesis of a registry that starts with these validators. The same answers give the same
/// genesis everywhere.
pub fn genesis(
    chain_id: ChainId,
    start: Timestamp,
    rehearsal: bool,
    validators: Vec<Validator>,
) -> anyhow::Result<Genesis> {
    Ok(Genesis {
        chain_id,
        start,
        rehearsal,
        validators: ValidatorSet::new(validators)?,
    })
}

/// Writes the genesis file; one that exists is never overwritten.
pub fn write_genesis(path: &Path, genesis: &Genesis) -> anyhow::Result<()> {
    let text = format!(
        "# The start of a Birthmark registry: the same file at every validator.\n# genesis hash {}\n\n{}",
        genesis.hash(),
        toml::to_string(genesis)?
    );
    durable::create(path, text.as_bytes(), durable::PUBLIC)
        .with_context(|| format!("cannot create {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_setup_writes_is_what_the_daemon_reads() {
        let folder = tempfile::tempdir().unwrap();
        let name = KeyName::new("library.example").unwrap();
        let validator = create_keys(&folder.path().join("keys"), name.clone()).unwrap();
        assert!(
            create_keys(&folder.path().join("keys"), name).is_err(),
            "keys are never overwritten"
        );
        let made = genesis(
            ChainId::new("test.example/registry").unwrap(),
            Timestamp::from_unix(1_790_000_000),
            false,
            vec![validator],
        )
        .unwrap();
        let path = folder.path().join("genesis.toml");
        write_genesis(&path, &made).unwrap();
        let read = crate::identity::read_genesis(&path).unwrap();
        assert_eq!(read.hash(), made.hash());
        let keys = crate::identity::keys(&birthmark_daemon::Credentials::at(
            folder.path().join("keys"),
        ))
        .unwrap();
        assert!(crate::identity::entry(&read, &keys).is_some());
    }
}
