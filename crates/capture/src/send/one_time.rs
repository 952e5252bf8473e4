//! Keeping one-time keys in stock: made by the signer while there is nothing else to do, signed by
//! the authority a batch at a time, some epochs ahead.
//!
//! An authority that wanted to know this camera's photos again could give it an epoch's key of its
//! own. So a key is taken only if every configured validator shows the same one in its registry,
//! which never holds two for an epoch. Everything here may stop at any point and goes on where it
//! stopped: the signer keeps the drafts, and the authority gives the same answers to the same
//! batch.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_client::{Authority, CallError, Options, Validator};
use birthmark_daemon::Shutdown;
use birthmark_protocol::Timestamp;
use birthmark_protocol::api::EpochStatements;
use birthmark_protocol::one_time::{
    EpochKey, EpochStatement, EpochWithdrawal, SignedEpochStatement,
};
use birthmark_sensor::clock;
use tokio::sync::Notify;

use crate::send::signer::{EpochStock, RemoteSigner, SignerError};
use crate::settings::OneTimeSettings;

/// How often the stock is looked at.
const LOOK: Duration = Duration::from_secs(900);
/// After trouble it is looked at earlier, and not at once.
const AFTER_TROUBLE: Duration = Duration::from_secs(120);
/// Whoever finds no key does not have it looked more often than this.
const BETWEEN_CALLS: Duration = Duration::from_secs(10);
/// The signer is left alone for so long between a few keys and the next few.
const BETWEEN: Duration = Duration::from_millis(500);

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// The signer did not do its part.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The authority did not do its part.
    #[error("the authority {0}")]
    Authority(CallError),
    /// A validator was not asked what its registry holds.
    #[error("validator {address} {error}")]
    Validator {
        /// Which one.
        address: String,
        /// Why.
        error: CallError,
    },
    /// A statement cannot be read.
    #[error("what is stated about epochs cannot be read: {0}")]
    Statement(String),
    /// The authority shows this camera a key that is not the registry's.
    #[error(
        "the key of epoch {epoch} that the authority shows is not the one in the registry of {address}: no key is signed under it"
    )]
    OtherKey {
        /// The epoch.
        epoch: u32,
        /// Who says so.
        address: String,
    },
    /// The authority took all keys back that it could sign.
    #[error("the authority withdrew the keys of epoch {epoch}")]
    Withdrawn {
        /// The epoch, the first of them.
        epoch: u32,
    },
    /// Asked to stop.
    #[error("stopping")]
    Stopping,
}

/// Keeps the stock.
pub struct Supplier {
    signer: Arc<RemoteSigner>,
    authority: Authority,
    validators: Vec<Validator>,
    settings: OneTimeSettings,
    /// Tells that a photo found no key.
    out_of_keys: Arc<Notify>,
}

/// An epoch's key and its statement as it was signed, in base64.
struct Stated {
    key: EpochKey,
    text: String,
}

fn read(text: &str) -> Result<EpochStatement, SupplyError> {
    let unreadable = |error: &dyn std::fmt::Display| SupplyError::Statement(error.to_string());
    let bytes = STANDARD.decode(text).map_err(|error| unreadable(&error))?;
    let signed = SignedEpochStatement::decode(&bytes).map_err(|error| unreadable(&error))?;
    Ok(signed.statement)
}

fn keys_of(statements: &EpochStatements) -> Result<Vec<Stated>, SupplyError> {
    let mut keys = Vec::new();
    for text in &statements.statements {
        if let EpochStatement::Key(key) = read(text)? {
            let text = text.clone();
            keys.push(Stated { key, text });
        }
    }
    Ok(keys)
}

fn withdrawals_of(statements: &EpochStatements) -> Result<Vec<EpochWithdrawal>, SupplyError> {
    let mut withdrawals = Vec::new();
    for text in &statements.statements {
        if let EpochStatement::Withdrawal(withdrawal) = read(text)? {
            withdrawals.push(withdrawal);
        }
    }
    Ok(withdrawals)
}

impl Supplier {
    /// One that asks the configured authority, and these validators what the registry holds.
    pub fn new(
        signer: Arc<RemoteSigner>,
        settings: OneTimeSettings,
        nodes: &[String],
        options: &Options,
    ) -> Result<Self, birthmark_client::SetupError> {
        let validators = nodes.iter().map(|node| Validator::new(node, options));
        Ok(Self {
            signer,
            authority: Authority::new(&settings.authority, options)?,
            validators: validators.collect::<Result<_, _>>()?,
            settings,
            out_of_keys: Arc::default(),
        })
    }

    /// The same, which also looks when a photo found no key.
    pub fn called_by(self, out_of_keys: Arc<Notify>) -> Self {
        Self {
            out_of_keys,
            ..self
        }
    }

    /// Works until asked to stop.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut said = None;
        loop {
            let pause = match self.fill(&shutdown).await {
                Ok(()) => {
                    said = None;
                    LOOK
                }
                Err(SupplyError::Stopping) => return,
                Err(error) => {
                    let sentence = error.to_string();
                    if said.as_ref() != Some(&sentence) {
                        log::warn!("there are no new one-time keys: {sentence}");
                    }
                    said = Some(sentence);
                    AFTER_TROUBLE
                }
            };
            // Photos that wait ask for keys again and again: not each time is looked.
            let called = async {
                tokio::time::sleep(BETWEEN_CALLS.min(pause)).await;
                match said {
                    None => self.out_of_keys.notified().await,
                    Some(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = called => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Looks at the stock and fetches what is missing.
    pub async fn fill(&self, shutdown: &Shutdown) -> Result<(), SupplyError> {
        let Some(family) = self.signer.family().await? else {
            return Ok(());
        };
        let stock = self.signer.one_time_stock().await?;
        self.tell(&stock);
        let stated = self
            .authority
            .epochs()
            .await
            .map_err(SupplyError::Authority)?;
        let Some(stated) = stated else {
            return Err(SupplyError::Authority(CallError::Nonsense(
                "gives no one-time keys".into(),
            )));
        };
        let now = Timestamp::from_unix(clock::now_ns() / 1_000_000_000);
        let mut keys = keys_of(&stated)?;
        keys.retain(|one| one.key.family == family && one.key.until > now);
        keys.sort_by_key(|one| one.key.from);
        // Nobody takes photos under these any more, and the chip would work for nothing.
        let withdrawn = withdrawals_of(&stated)?;
        let (over, keys): (Vec<_>, Vec<_>) = keys.into_iter().partition(|one| {
            withdrawn.iter().any(|taken_back| {
                taken_back.family == family
                    && taken_back.epoch.is_none_or(|epoch| epoch == one.key.epoch)
            })
        });
        if let (true, Some(one)) = (keys.is_empty(), over.first()) {
            let epoch = one.key.epoch;
            return Err(SupplyError::Withdrawn { epoch });
        }
        for (_, stated) in (0..self.settings.ahead).zip(keys) {
            let of_epoch = stock.iter().find(|stock| stock.epoch == stated.key.epoch);
            let ready = of_epoch.map_or(0, |stock| stock.ready);
            if ready.saturating_mul(4) < u64::from(self.settings.keys_per_epoch) {
                self.must_be_the_registrys(&stated).await?;
                self.fetch(&stated, shutdown).await?;
            }
        }
        Ok(())
    }

    /// Keys run low before they run out, and the photographer is told in time.
    fn tell(&self, stock: &[EpochStock]) {
        let now = clock::now_ns() / 1_000_000_000;
        let present = stock
            .iter()
            .find(|stock| stock.from <= now && now <= stock.until);
        match present.map(|stock| stock.ready) {
            None | Some(0) => log::warn!("there is no one-time key for the present epoch"),
            Some(ready) if ready.saturating_mul(10) < u64::from(self.settings.keys_per_epoch) => {
                log::warn!("only {ready} one-time keys are left for the present epoch");
            }
            Some(_) => {}
        }
    }

    async fn must_be_the_registrys(&self, stated: &Stated) -> Result<(), SupplyError> {
        let key = &stated.key;
        for validator in &self.validators {
            let address = validator.address().to_owned();
            let registered = validator.epochs(&key.authority, &key.family).await;
            let registered = registered.map_err(|error| SupplyError::Validator {
                address: address.clone(),
                error,
            })?;
            if !keys_of(&registered)?.iter().any(|one| one.key == *key) {
                let epoch = key.epoch;
                return Err(SupplyError::OtherKey { epoch, address });
            }
        }
        Ok(())
    }

    /// One batch, from its drafts to its signatures.
    async fn fetch(&self, stated: &Stated, shutdown: &Shutdown) -> Result<(), SupplyError> {
        let (epoch, keys) = (stated.key.epoch, self.settings.keys_per_epoch.min(1000) * 2);
        while self.signer.draft_keys(&stated.text, keys).await? < u64::from(keys) {
            self.rest(shutdown).await?;
        }
        let request = self.signer.batch_request(epoch).await?;
        let challenge = self.authority.begin_batch(&request).await;
        let challenge = challenge.map_err(SupplyError::Authority)?.challenge;
        let opening = loop {
            if let Some(opening) = self.signer.answer_challenge(epoch, &challenge).await? {
                break opening;
            }
            self.rest(shutdown).await?;
        };
        let signed = self.authority.open_batch(&opening).await;
        let signatures = signed.map_err(SupplyError::Authority)?.signatures;
        let ready = self
            .signer
            .take_signatures(epoch, &challenge, &signatures)
            .await?;
        log::info!("{ready} one-time keys are ready for epoch {epoch}");
        Ok(())
    }

    /// A shutter that waits for the signer gets its turn.
    async fn rest(&self, shutdown: &Shutdown) -> Result<(), SupplyError> {
        tokio::select! {
            () = tokio::time::sleep(BETWEEN) => Ok(()),
            () = shutdown.requested() => Err(SupplyError::Stopping),
        }
    }
}
