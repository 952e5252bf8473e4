//! The validator's keys, from the unit's credentials and nowhere else.

use birthmark_consensus::ValidatorKeys;
use birthmark_daemon::{ConfigError, CredentialError, Credentials, Secret, random};
use birthmark_ledger::{CheckpointKey, Genesis, Validator, ValidatorId, VoteKey, VoteSigner as _};
use birthmark_link::LinkKey;
use birthmark_protocol::Digest;

use crate::lookup_key::LookupKey;
use crate::settings::Settings;

/// The credential with the key of votes and transactions: P-256, PKCS#8 in PEM.
pub const VOTE_KEY: &str = "vote-key";
/// The credential with the key of checkpoints: the 32 bytes an Ed25519 key grows from, raw or in
/// hexadecimal.
pub const CHECKPOINT_KEY: &str = "checkpoint-key";

/// The credential with the key of receipt ids, claims and waiting rows: 32 bytes, raw or in
/// hexadecimal. Without the key that a database was begun with, what was registered once could be
/// registered again.
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
    Ok(VoteKey::from_pem(secret.text()?).map_err(|error| unusable(VOTE_KEY, error))?)
}

/// The key this node votes with. A node that only follows has none: it gets one that nobody knows
/// and that is gone when it stops, so that no set of validators can ever hold it.
pub fn voter(settings: &Settings, credentials: &Credentials) -> anyhow::Result<VoteKey> {
    let network = settings.network.as_ref();
    match network.is_some_and(|network| network.follow) {
        true => passing_vote_key(),
        false => vote_key(credentials),
    }
}

/// A vote key that is written nowhere.
fn passing_vote_key() -> anyhow::Result<VoteKey> {
    loop {
        let secret = zeroize::Zeroizing::new(random::bytes::<32>()?);
        // Fewer than one in four billion draws is no scalar of the curve.
        if let Ok(key) = VoteKey::from_bytes(&secret) {
            return Ok(key);
        }
    }
}

/// Reads the checkpoint key.
pub fn checkpoint_key(credentials: &Credentials) -> anyhow::Result<CheckpointKey> {
    let secret = credentials.secret(CHECKPOINT_KEY)?;
    let seed = seed_of(&secret, CHECKPOINT_KEY)?;
    Ok(CheckpointKey::from_seed(&seed))
}

/// The key of links to other validators. It grows from the checkpoint key's seed, as the log's key
/// does: they have one keeper, and one secret less can be lost.
pub fn link_key(credentials: &Credentials) -> anyhow::Result<LinkKey> {
    let secret = credentials.secret(CHECKPOINT_KEY)?;
    let seed = seed_of(&secret, CHECKPOINT_KEY)?;
    let grown = Digest::tagged("birthmark/link-key/v1", &[seed.as_slice()]);
    Ok(LinkKey::from_seed(grown.as_bytes()).map_err(|error| unusable(CHECKPOINT_KEY, error))?)
}

/// Reads the lookup key.
pub fn lookup_key(credentials: &Credentials) -> anyhow::Result<LookupKey> {
    let secret = credentials.secret(LOOKUP_KEY)?;
    let bytes = seed_of(&secret, LOOKUP_KEY)?;
    Ok(LookupKey::new(&bytes))
}

fn seed_of(secret: &Secret, name: &str) -> anyhow::Result<zeroize::Zeroizing<[u8; 32]>> {
    if let Ok(seed) = secret.array::<32>() {
        return Ok(seed);
    }
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    let decoded = hex::decode_to_slice(secret.text()?, seed.as_mut_slice());
    decoded.map_err(|_| unusable(name, "expected 32 bytes, or 64 hexadecimal characters"))?;
    Ok(seed)
}

/// A credential that is there and is not what it should be: starting again will not help.
pub fn unusable(name: &str, reason: impl ToString) -> CredentialError {
    CredentialError::Unusable {
        name: name.to_owned(),
        reason: reason.to_string(),
    }
}

/// This validator's entry in the genesis.
pub fn entry<'a>(genesis: &'a Genesis, keys: &ValidatorKeys<VoteKey>) -> Option<&'a Validator> {
    let key = keys.vote.public_key();
    genesis.validators.get(&ValidatorId::of(&key))
}

/// Reads a genesis file, TOML or JSON. One that is missing or wrong ends the program as a wrong
/// setting does: starting again will not help.
pub fn read_genesis(path: &std::path::Path) -> anyhow::Result<Genesis> {
    let wrong =
        |reason: String| ConfigError::field("genesis", format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let read = if text.trim_start().starts_with('{') {
        Genesis::from_json(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    Ok(read.map_err(wrong)?)
}
