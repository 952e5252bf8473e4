//! The demonstration's validator: a registry of one institution.

use std::path::PathBuf;

use anyhow::Context as _;
use birthmark_daemon::{Credentials, Shutdown};
use birthmark_ledger::{CheckpointKey, Genesis, ValidatorSet, VoteKey, VoteSigner as _};
use birthmark_node::Settings;
use birthmark_node::identity::{CHECKPOINT_KEY, LOOKUP_KEY, VOTE_KEY};
use birthmark_node::settings::AuthoritySettings;
use birthmark_protocol::Timestamp;
use p256::pkcs8::{EncodePrivateKey, LineEnding};

use crate::authority::Authority;
use crate::embedded::Embedded;
use crate::folder::Folder;
use crate::random::random;

/// What the demonstration's validator is called.
const NAME: &str = "validator.demo.birthmark.example";

/// A validator with its own keys, genesis and database.
pub(crate) struct Validator {
    settings: Settings,
    credentials: PathBuf,
    /// The genesis file every receipt is checked against.
    pub(crate) genesis: PathBuf,
}

impl Validator {
    /// The validator of this folder, which knows one authority. Its keys and its genesis are made
    /// if there are none.
    pub(crate) fn new(folder: &Folder, port: u16, authority: &Authority) -> anyhow::Result<Self> {
        let part = folder.part("validator")?;
        let credentials = folder.part("validator/credentials")?;
        let genesis = part.join("genesis.toml");
        if !genesis.exists() {
            let made = new_genesis(folder)?;
            let text = toml::to_string(&made).context("the genesis cannot be written")?;
            folder.file("validator/genesis.toml", text.as_bytes())?;
        }
        let mut settings = Settings::new(
            format!("sqlite://{}", part.join("node.db").display()),
            &genesis,
        );
        settings.http.listen = ([127, 0, 0, 1], port).into();
        settings.http.operator = Some("The demonstration".into());
        settings.default_authority = Some(authority.name().into());
        settings.authorities.push(AuthoritySettings {
            aliases: vec![authority.endpoint().into()],
            ca: vec![authority.intermediate.clone()],
            verdict_keys: vec![authority.verdict_key.clone()],
            revocations: Some(format!("{}/crl", authority.address())),
            // Without it a withdrawal would show on new photos only.
            revocation_feed: Some(format!("{}/revocations", authority.address())),
            ..AuthoritySettings::new(authority.name(), authority.address())
        });
        Ok(Self {
            settings,
            credentials,
            genesis,
        })
    }

    /// Starts the daemon.
    pub(crate) async fn start(&self, shutdown: &Shutdown) -> anyhow::Result<Embedded> {
        let credentials = Credentials::at(&self.credentials);
        let settings = self.settings.clone();
        Embedded::start(settings, credentials, shutdown, birthmark_node::run).await
    }

    /// What it is called in receipts.
    pub(crate) fn name(&self) -> &str {
        NAME
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.settings.http.listen)
    }
}

/// Draws the validator's keys, leaves them as credentials, and makes a genesis of their public
/// halves.
fn new_genesis(folder: &Folder) -> anyhow::Result<Genesis> {
    let secret =
        p256::SecretKey::from_slice(&random::<32>()?).context("the vote key cannot be drawn")?;
    let pem = secret
        .to_pkcs8_pem(LineEnding::LF)
        .context("the vote key cannot be written")?;
    let seed = random::<32>()?;
    folder.file(&format!("validator/credentials/{VOTE_KEY}"), pem.as_bytes())?;
    folder.file(&format!("validator/credentials/{CHECKPOINT_KEY}"), &seed)?;
    let lookup = random::<32>()?;
    folder.file(&format!("validator/credentials/{LOOKUP_KEY}"), &lookup)?;
    let checkpoint = CheckpointKey::from_seed(&seed);
    let validator = birthmark_ledger::Validator {
        name: NAME.parse().context("the validator's name")?,
        vote_key: VoteKey::from_pem(&pem)?.public_key(),
        checkpoint_key: checkpoint.public_key(),
        log_key: checkpoint.log_public_key(),
    };
    Ok(Genesis {
        rehearsal: true,
        chain_id: "demo.birthmark.example/registry"
            .parse()
            .context("the registry's name")?,
        start: Timestamp::from_unix(time::OffsetDateTime::now_utc().unix_timestamp()),
        validators: ValidatorSet::new(vec![validator])?,
    })
}
