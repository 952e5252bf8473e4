//! The validator's keys, from the unit's credentials and nowhere else.

use anyhow::Context as _;
use birthmark_consensus::ValidatorKeys;
use birthmark_daemon::{Credentials, Secret};
use birthmark_ledger::{CheckpointKey, Genesis, Validator, ValidatorId, VoteKey, VoteSigner as _};

use crate::lookup_key::LookupKey;

/// The credential with the key of votes and transactions: P-256, PKCS#8 in PEM.
pub const VOTE_KEY: &str = "vote-key";
/// The credential with the key of checkpoints: the 32 bytes an Ed25519 key grows from, raw or in hexadecimal.
pub const CHECKPOINT_KEY: &str = "checkpoint-key";

/// The credential with the key of receipt ids, claims and waiting rows: 32 bytes, raw or in hexadecimal. Without the key that a
/// database was begun with, what was registered once could be registered again.
pub const LOOKUP_KEY: &str = "lookup-key";

/// Reads the keys of votes and checkpoints.
pub fn keys(credentials: &Credentials) -> anyhow::Result<ValidatorKeys<VoteKey>> {
    Ok(ValidatorKeys {
        vote: vote_key(credentials)?,
        checkpoint: checkpoint_key(credentials)?,
    })
}

/// Reads the vote key.
pub fn vote_key(credentials: &Credentials) -> anyhow::Result<VoteKey> {
    let secret = credentials.secret(VOTE_KEY)?;
    VoteKey::from_pem(secret.text()?).with_context(|| format!("credential `{VOTE_KEY}`"))
}

/// Reads the checkpoint key.
pub fn checkpoint_key(credentials: &Credentials) -> anyhow::Result<CheckpointKey> {
    let secret = credentials.secret(CHECKPOINT_KEY)?;
    let seed = seed_of(&secret).with_context(|| format!("credential `{CHECKPOINT_KEY}`"))?;
    Ok(CheckpointKey::from_seed(&seed))
}

/// Reads the lookup key.
pub fn lookup_key(credentials: &Credentials) -> anyhow::Result<LookupKey> {
    let secret = credentials.secret(LOOKUP_KEY)?;
    let bytes = seed_of(&secret).with_context(|| format!("credential `{LOOKUP_KEY}`"))?;
    Ok(LookupKey::new(&bytes))
}

fn seed_of(secret: &Secret) -> anyhow::Result<zeroize::Zeroizing<[u8; 32]>> {
    if let Ok(seed) = secret.array::<32>() {
        return Ok(seed);
    }
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    hex::decode_to_slice(secret.text()?, seed.as_mut_slice())
        .context("expected 32 bytes, or 64 hexadecimal characters")?;
    Ok(seed)
}

/// This validator's entry in the genesis.
pub fn entry<'a>(genesis: &'a Genesis, keys: &ValidatorKeys<VoteKey>) -> Option<&'a Validator> {
    let key = keys.vote.public_key();
    genesis.validators.get(&ValidatorId::of(&key))
}

/// Reads a genesis file, TOML or JSON.
pub fn read_genesis(path: &std::path::Path) -> anyhow::Result<Genesis> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the genesis {}", path.display()))?;
    let genesis = if text.trim_start().starts_with('{') {
        Genesis::from_json(&text)?
    } else {
        toml::from_str(&text)?
    };
    Ok(genesis)
}
