//! `witness`: what the operator of another registry, or of a witness, has to be told.

use birthmark_daemon::{Credentials, Program};

use super::{command, say};
use crate::identity;
use crate::settings::Settings;

pub(super) fn add(program: Program<Settings>) -> Program<Settings> {
    let witness = command(
        "witness",
        "Prints what a witness must know of this registry, and the key with which this validator is one; its credentials must \
         be there",
    );
    program.command(witness, |settings, _, _| async move { print(&settings) })
}

fn print(settings: &Settings) -> anyhow::Result<()> {
    let genesis = identity::read_genesis(&settings.genesis)?;
    let keys = identity::keys(&Credentials::from_environment())?;
    let entry = identity::entry(&genesis, &keys).ok_or_else(|| {
        let reason = "it belongs to no validator of the genesis";
        identity::unusable(identity::VOTE_KEY, reason)
    })?;
    let origin = &genesis.chain_id;
    let validators = genesis.validators.validators().iter();
    let keys: Vec<_> = validators
        .map(|validator| format!("  \"{}\",\n", validator.log_verifier_key(origin)))
        .collect();
    say(
        "# For a witness of this registry. It is asked at most every ten seconds by each validator.",
    )?;
    say(&format!(
        "[[witness.logs]]\norigin = \"{origin}\"\nkeys = [\n{}]",
        keys.concat()
    ))?;
    say(
        "\n# For a registry that this validator is a witness of ([witness]). The address is this validator's, and /witness.",
    )?;
    say(&format!(
        "[[witnesses]]\nkey = \"{}\"",
        entry.verifier_key()
    ))
}
