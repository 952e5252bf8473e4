//! The authority at work: what is in memory, and how it is kept equal to the database.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use birthmark_daemon::Credentials;
use birthmark_http::ApiError;
use birthmark_http::site::RateLimit;
use birthmark_protocol::authority_request::{CameraProof, Question};
use birthmark_protocol::{NucHash, Proof, TableId, Timestamp, VerdictItem};

use crate::issue::attestation::Attestations;
use crate::judge::cameras::{Cameras, Device, IssuedCertificate};
use crate::judge::rules::{Revocation, Rules, Scope};
use crate::judge::tables::KeyTables;
use crate::judge::{Judge, Refusal};
use crate::keep::audit::{Act, AuditLog, Outcome};
use crate::keep::keyring::Keyring;
use crate::keep::store::{Lease, RegisteredDevice, RevocationRow, Store};
use crate::keep::vault::Vault;
use crate::settings::Settings;
use crate::tell::crl_cache::ListCache;
use crate::tell::operators::Operators;
use crate::tell::signed_list::SignedListCache;
use crate::{clock, setup};

/// How many cameras are read from the database at once.
const PAGE: i64 = 10_000;
/// In these parts of a request clients are charged.
const TENTHS: u32 = 10;

/// A running authority.
#[derive(Debug)]
pub struct Authority {
    /// What it was told.
    pub settings: Settings,
    /// The database.
    pub store: Store,
    /// What secrets are sealed with.
    pub vault: Vault,
    /// The audit log.
    pub audit: AuditLog,
    /// Who may do what.
    pub operators: Operators,
    /// How often clients may ask, in tenths of a request: a question about a token in a batch costs one tenth.
    pub limits: RateLimit,
    /// Chips that are proving themselves.
    pub attestations: Attestations,
    /// Revocation lists that were just made.
    pub lists: ListCache,
    /// The signed list that was last made.
    pub signed_list: SignedListCache,
    tables: KeyTables,
    cameras: RwLock<Cameras>,
    rules: RwLock<Arc<Rules>>,
    revocations: RwLock<Arc<Vec<RevocationRow>>>,
    keyring: RwLock<Arc<Keyring>>,
    lease: Lease,
}

/// The answer to one question.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The model, on a pass.
    pub family: Option<Arc<str>>,
    /// What was judged, or was to be.
    pub proof: Proof,
    /// Whether we made up the fingerprint of the camera's sensor.
    pub is_made_up: bool,
}

impl Answer {
    /// The sentence for the node.
    pub const fn message(&self) -> &'static str {
        match self.outcome.result {
            Ok(_) => "a registered camera stands behind this",
            Err(refusal) => refusal.message(),
        }
    }

    /// What stands in a verdict, if the question named a commitment. A no is signed like a yes: otherwise whoever stands
    /// between validator and authority could refuse photos in its name.
    pub fn item(&self) -> Option<VerdictItem> {
        let commitment = self.outcome.commitment?;
        match (self.outcome.result, &self.family) {
            (Ok(_), Some(family)) => Some(VerdictItem {
                commitment,
                valid: true,
                proof: self.proof,
                is_made_up: self.is_made_up,
                device_family: family.to_string(),
            }),
            (Ok(_), None) => None,
            (Err(_), _) => Some(VerdictItem {
                commitment,
                valid: false,
                proof: self.proof,
                is_made_up: false,
                device_family: String::new(),
            }),
        }
    }
}

fn unpoisoned<G>(lock: Result<G, PoisonError<G>>) -> G {
    lock.unwrap_or_else(PoisonError::into_inner)
}

impl Authority {
    /// Opens the database, takes its lease and reads everything validation needs.
    pub async fn open(settings: Settings, credentials: &Credentials) -> anyhow::Result<Self> {
        let store = Store::open(&settings.database, settings.database_connections)
            .await
            .map_err(|error| {
                let explained = birthmark_http::database::cannot_open(&settings.database, &error);
                anyhow::Error::new(error).context(explained)
            })?;
        let lease = store.lease(&settings.database).await?;
        let vault = setup::open_vault(&store, credentials).await?;
        let tables = KeyTables::open(&vault, &store.key_tables().await?)?;
        let keyring = Keyring::open(&vault, &store.signing_keys().await?)?;
        let cameras = load_cameras(&store, &vault)
            .await
            .context("reading the registered cameras")?;
        let attestations = Attestations::open(settings.provisioning.tpm_roots.as_deref())?;
        let authority = Self {
            audit: AuditLog::open(&store).await?,
            operators: Operators::open(&store).await?,
            limits: RateLimit::per_second(
                settings.limits.requests_per_second.saturating_mul(TENTHS),
                settings.limits.burst.saturating_mul(TENTHS),
            ),
            attestations,
            lists: ListCache::default(),
            signed_list: SignedListCache::default(),
            tables,
            cameras: RwLock::new(cameras),
            rules: RwLock::default(),
            revocations: RwLock::default(),
            keyring: RwLock::new(Arc::new(keyring)),
            settings,
            store,
            vault,
            lease,
        };
        authority.reload_revocations().await?;
        Ok(authority)
    }

    /// Answers one question and counts it.
    pub fn answer(&self, question: &Question, now: Timestamp) -> Result<Answer, ApiError> {
        let mut answers = self.answer_all(std::iter::once(question), 1, now)?;
        answers.pop().ok_or_else(|| ApiError::internal("no answer"))
    }

    /// Answers questions and counts them, all under the same cameras and the same revocations.
    pub fn answer_all<'q>(
        &self,
        questions: impl Iterator<Item = &'q Question>,
        amount: usize,
        now: Timestamp,
    ) -> Result<Vec<Answer>, ApiError> {
        if !self.audit.has_room(amount) {
            let message = "validations cannot be recorded at present";
            return Err(ApiError::unavailable(
                message,
                std::time::Duration::from_secs(10),
            ));
        }
        let keyring = self.keyring();
        let rules = self.rules();
        let cameras = unpoisoned(self.cameras.read());
        let judge = Judge {
            tables: &self.tables,
            cameras: &cameras,
            rules: &rules,
            issuers: &keyring.issuer_keys,
            now,
        };
        let answers: Vec<Answer> = questions
            .map(|question| judge_one(&judge, question))
            .collect();
        drop(cameras);
        self.audit
            .record(&self.vault, answers.iter().map(|answer| answer.outcome));
        Ok(answers)
    }

    /// The signing keys as they are now.
    pub fn keyring(&self) -> Arc<Keyring> {
        let current = unpoisoned(self.keyring.read());
        Arc::clone(&current)
    }

    /// Reads the signing keys again, after one was replaced.
    pub async fn reload_keyring(&self) -> anyhow::Result<()> {
        let keyring = Keyring::open(&self.vault, &self.store.signing_keys().await?)?;
        *unpoisoned(self.keyring.write()) = Arc::new(keyring);
        Ok(())
    }

    /// The revocations in force.
    pub fn rules(&self) -> Arc<Rules> {
        let current = unpoisoned(self.rules.read());
        Arc::clone(&current)
    }

    /// All revocations, oldest first.
    pub fn revocations(&self) -> Arc<Vec<RevocationRow>> {
        let current = unpoisoned(self.revocations.read());
        Arc::clone(&current)
    }

    /// Reads the revocations again. The next question is judged by them.
    pub async fn reload_revocations(&self) -> anyhow::Result<()> {
        let rows = self.store.revocations().await?;
        let mut revocations = Vec::with_capacity(rows.len());
        for row in &rows {
            let scope: Scope = serde_json::from_str(&row.scope)
                .with_context(|| format!("revocation {}", row.id))?;
            let device = match &scope {
                Scope::Device { serial } => {
                    self.store.device(serial).await?.map(|device| device.id)
                }
                _ => None,
            };
            revocations.push(Revocation { row, scope, device });
        }
        let rules = Rules::new(revocations);
        *unpoisoned(self.rules.write()) = Arc::new(rules);
        *unpoisoned(self.revocations.write()) = Arc::new(rows);
        Ok(())
    }

    /// Adds a camera that was just registered.
    pub fn remember(&self, row: &RegisteredDevice, nuc: &NucHash) -> anyhow::Result<()> {
        let mut cameras = unpoisoned(self.cameras.write());
        let device = device_of(&mut cameras, row)?;
        cameras.insert(nuc, device);
        Ok(())
    }

    /// Lets `look` see the cameras in memory.
    pub fn with_cameras<T>(&self, look: impl FnOnce(&Cameras) -> T) -> T {
        let cameras = unpoisoned(self.cameras.read());
        look(&cameras)
    }

    /// The master key of a table, for the camera it is given to.
    pub fn tables(&self) -> &KeyTables {
        &self.tables
    }

    /// Writes an act of an operator into the audit log before it is reported as done.
    pub async fn log_act(&self, actor: &str, action: &str, target: &str) {
        let act = Act {
            time: clock::now().unix(),
            actor: actor.into(),
            action: action.into(),
            target: target.into(),
        };
        self.audit.act(act);
        if let Err(error) = self.write_audit().await {
            log::error!("the audit log could not be written, its rows wait: {error}");
        }
    }

    /// Writes what waits for the audit log.
    pub async fn write_audit(&self) -> Result<(), sqlx::Error> {
        self.audit.write(&self.store, &self.vault).await
    }

    /// Makes sure that this process may still serve the database. After an outage of PostgreSQL the lease is taken anew.
    pub async fn keep_lease(&self) -> Result<(), sqlx::Error> {
        self.lease.keep(&self.store).await
    }
}

fn judge_one(judge: &Judge<'_>, question: &Question) -> Answer {
    let judged = judge.proof(&question.proof, question.commitment.as_ref());
    let (result, family, proof) = match judged {
        Ok(passed) => {
            passed.device.validations.fetch_add(1, Ordering::Relaxed);
            (
                Ok(passed.proof.assurance()),
                Some(Arc::clone(&passed.device.family)),
                passed.proof,
            )
        }
        Err(refusal) => (Err(refusal), None, asked_about(&question.proof)),
    };
    Answer {
        proof,
        is_made_up: false,
        outcome: Outcome {
            time: judge.now,
            result,
            commitment: question.commitment,
        },
        family,
    }
}

/// What a question is about, whatever its answer.
fn asked_about(proof: &CameraProof) -> Proof {
    match proof {
        CameraProof::Token(_) => Proof::Token,
        CameraProof::Certificate(certificate, _) => Proof::Certificate {
            key: certificate.key().digest(),
            attested: false,
        },
    }
}

/// An item of a batch that could not even be read.
pub const fn unreadable(now: Timestamp) -> Outcome {
    Outcome {
        time: now,
        result: Err(Refusal::Malformed),
        commitment: None,
    }
}

async fn load_cameras(store: &Store, vault: &Vault) -> anyhow::Result<Cameras> {
    let amount = store.count_devices().await?;
    let mut cameras = Cameras::with_capacity(usize::try_from(amount).unwrap_or_default());
    let mut after = 0;
    loop {
        let rows = store.registered_after(after, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(cameras);
        };
        after = last.id;
        for row in &rows {
            let nuc = vault
                .unseal32(&nuc_label(&row.serial), &row.nuc_sealed)
                .with_context(|| format!("camera {}", row.serial))?;
            let device = device_of(&mut cameras, row)?;
            cameras.insert(&NucHash::from_bytes(*nuc), device);
        }
    }
}

/// What a camera's NUC hash is sealed under.
pub fn nuc_label(serial: &str) -> String {
    format!("nuc of {serial}")
}

fn device_of(cameras: &mut Cameras, row: &RegisteredDevice) -> anyhow::Result<Device> {
    let table =
        |number: i64| TableId::try_from(number).with_context(|| format!("camera {}", row.serial));
    Ok(Device {
        id: row.id,
        tables: [
            table(row.table_a)?,
            table(row.table_b)?,
            table(row.table_c)?,
        ],
        family: cameras.name(&row.family),
        firmware: row
            .firmware
            .as_deref()
            .map(|firmware| cameras.name(firmware)),
        attested: row.attested,
        certificate: row.certificate_serial.as_deref().map(|serial| {
            IssuedCertificate::new(
                serial,
                row.issued_at.unwrap_or_default(),
                row.certificate_issuer.as_deref(),
            )
        }),
        validations: 0.into(),
    })
}
