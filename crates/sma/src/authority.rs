//! The authority at work: what is in memory, and how it is kept equal to the database.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use birthmark_daemon::{ConfigError, Credentials};
use birthmark_http::ApiError;
use birthmark_protocol::authority_request::{CameraProof, Question};
use birthmark_protocol::{Digest, KeyId, NucHash, Proof, TableId, Timestamp, VerdictItem};

use crate::issue::attestation::Attestations;
use crate::judge::cameras::{Cameras, Device, DeviceId, IssuedCertificate, padded};
use crate::judge::checked::CheckedCertificates;
use crate::judge::rules::{Revocation, Rules, Scope};
use crate::judge::tables::KeyTables;
use crate::judge::{Judge, Refusal};
use crate::keep::audit::{Act, AuditLog, Outcome};
use crate::keep::disk;
use crate::keep::keyring::Keyring;
use crate::keep::rows::{self, Changed};
use crate::keep::store::{DeviceRow, Lease, Store};
use crate::keep::vault::Vault;
use crate::settings::Settings;
use crate::tell::limits::Allowances;
use crate::tell::lists::Lists;
use crate::tell::operators::Operators;
use crate::tell::responders::Responders;
use crate::tell::signed_list::SignedListCache;
use crate::{clock, setup};

/// How many cameras are read from the database at once.
const PAGE: i64 = 10_000;

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
    /// How often everybody may ask.
    pub limits: Allowances,
    /// Chips that are proving themselves.
    pub attestations: Attestations,
    /// Chips that prove themselves to have their certificate renewed. Anybody with a chip may begin
    /// that, so they wait apart: strangers keep nobody from enrolling cameras.
    pub renewals: Attestations,
    /// Public answers that were just made.
    pub lists: Lists,
    /// The signed list that was last made.
    pub signed_list: SignedListCache,
    tables: KeyTables,
    cameras: RwLock<Cameras>,
    checked: CheckedCertificates,
    rules: RwLock<Arc<Rules>>,
    revocations: RwLock<Arc<Vec<Revocation>>>,
    keyring: RwLock<Arc<Keyring>>,
    responders: RwLock<Arc<Responders>>,
    /// Held from a change of revocations or keys in the database until memory has it. Of two
    /// changes at once, the slower reader would otherwise put the older state in place.
    changing: tokio::sync::Mutex<()>,
    /// Counts changes of revocations and keys.
    generation: AtomicU64,
    disk_is_low: AtomicBool,
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
    /// Whether the camera's NUC hash was made up here: nothing is known about its sensor.
    pub is_made_up: bool,
}

/// A camera that asks for itself.
#[derive(Debug)]
pub struct Shown {
    /// Our number for it.
    pub device: DeviceId,
    /// Its model.
    pub family: String,
    /// What it showed.
    pub proof: Proof,
    /// Whether its NUC hash was made up here.
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

    /// What stands in a verdict, if the question named a commitment. A no is signed like a yes:
    /// otherwise whoever stands between validator and authority could refuse photos in its name.
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
        let store =
            Store::open_or_explain(&settings.database, settings.database_connections).await?;
        let lease = store.lease(&settings.database).await?;
        let vault = setup::open_vault(&store, credentials).await?;
        let tables = KeyTables::open(&vault, &store.key_tables().await?)?;
        let keyring = Keyring::load(&store, &vault).await.map_err(changed)?;
        let cameras = load_cameras(&store, &vault)
            .await
            .context("reading the registered cameras")?;
        let operators = Operators::open(&store, &vault).await;
        let attestations = Attestations::open(settings.provisioning.tpm_roots.as_deref())?;
        let renewals = Attestations::open(settings.provisioning.tpm_roots.as_deref())?;
        let responders = Responders::new(&settings, &keyring, clock::now())?;
        let authority = Self {
            audit: AuditLog::open(&store).await?,
            operators: operators.map_err(changed)?,
            limits: Allowances::new(&settings.limits),
            attestations,
            renewals,
            lists: Lists::default(),
            signed_list: SignedListCache::default(),
            tables,
            cameras: RwLock::new(cameras),
            checked: CheckedCertificates::default(),
            rules: RwLock::default(),
            revocations: RwLock::default(),
            keyring: RwLock::new(Arc::new(keyring)),
            responders: RwLock::new(Arc::new(responders)),
            changing: tokio::sync::Mutex::default(),
            generation: AtomicU64::new(0),
            disk_is_low: AtomicBool::new(false),
            settings,
            store,
            vault,
            lease,
        };
        authority.look_at_disk();
        authority.reload_revocations().await.map_err(changed)?;
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
        let answers: Vec<Answer> = self.with_judge(now, |judge| {
            questions
                .map(|question| judge_one(judge, question))
                .collect()
        });
        let outcomes: Vec<_> = answers.iter().map(|answer| answer.outcome).collect();
        self.audit
            .record(&self.vault, &outcomes, self.disk_is_low());
        Ok(answers)
    }

    /// The camera that shows itself in person, and not through a validator: nothing is counted.
    pub fn shown(&self, proof: &CameraProof, now: Timestamp) -> Result<Shown, Refusal> {
        self.with_judge(now, |judge| {
            let passed = judge.proof(proof, None)?;
            Ok(Shown {
                device: passed.device.id,
                family: passed.device.family.to_string(),
                proof: passed.proof,
                is_made_up: passed.device.simulated_nuc,
            })
        })
    }

    /// Judges by what holds at this moment; nobody changes the cameras meanwhile.
    fn with_judge<T>(&self, now: Timestamp, judged: impl FnOnce(&Judge<'_>) -> T) -> T {
        let (keyring, rules) = (self.keyring(), self.rules());
        let cameras = unpoisoned(self.cameras.read());
        judged(&Judge {
            tables: &self.tables,
            cameras: &cameras,
            rules: &rules,
            issuers: &keyring.issuer_keys,
            checked: &self.checked,
            now,
        })
    }

    /// The signing keys as they are now.
    pub fn keyring(&self) -> Arc<Keyring> {
        let current = unpoisoned(self.keyring.read());
        Arc::clone(&current)
    }

    /// Waits until nobody else changes revocations or keys. Whoever changes one holds this until it
    /// was read again.
    pub(crate) async fn change(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Reads the signing keys again, after one was replaced or distrusted.
    pub async fn reload_keyring(&self) -> anyhow::Result<()> {
        let keyring = Keyring::load(&self.store, &self.vault).await?;
        let responders = Responders::new(&self.settings, &keyring, clock::now())?;
        *unpoisoned(self.keyring.write()) = Arc::new(keyring);
        *unpoisoned(self.responders.write()) = Arc::new(responders);
        self.generation.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What public lists rest on: a number that changes with every change of revocations and keys.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Who signs answers about single certificates.
    pub fn responders(&self) -> Arc<Responders> {
        let current = unpoisoned(self.responders.read());
        Arc::clone(&current)
    }

    /// Puts new responders in the place of those that end soon.
    pub fn renew_responders(&self, now: Timestamp) -> anyhow::Result<()> {
        if self.responders().end_soon(now) {
            let responders = Responders::new(&self.settings, &self.keyring(), now)?;
            *unpoisoned(self.responders.write()) = Arc::new(responders);
        }
        Ok(())
    }

    /// Whether the database's disk has less room than is kept in reserve.
    pub fn disk_is_low(&self) -> bool {
        self.disk_is_low.load(Ordering::Relaxed)
    }

    /// Looks at the disk's room again.
    pub fn look_at_disk(&self) {
        let low = !disk::has_room(&self.settings);
        let before = self.disk_is_low.swap(low, Ordering::Relaxed);
        match (before, low) {
            (false, true) => log::error!(
                "the disk has less room than disk_reserve_mb: strangers are turned away and no camera is registered"
            ),
            (true, false) => log::info!("the disk has room again"),
            _ => {}
        }
    }

    /// The revocations in force.
    pub fn rules(&self) -> Arc<Rules> {
        let current = unpoisoned(self.rules.read());
        Arc::clone(&current)
    }

    /// All revocations, oldest first.
    pub fn revocations(&self) -> Arc<Vec<Revocation>> {
        let current = unpoisoned(self.revocations.read());
        Arc::clone(&current)
    }

    /// Reads the revocations again. The next question is judged by them.
    pub async fn reload_revocations(&self) -> anyhow::Result<()> {
        let rows = self.store.revocations().await?;
        let all = self.store.row_set("revocations").await?;
        rows::check_set(&self.vault, &rows, all.as_deref())?;
        let mut revocations = Vec::with_capacity(rows.len());
        for row in rows {
            let scope: Scope = serde_json::from_str(&row.scope)
                .with_context(|| format!("revocation {}", row.id))?;
            let device = self.device_of(&scope).await?;
            revocations.push(Revocation { row, scope, device });
        }
        let rules = Rules::new(&revocations);
        *unpoisoned(self.rules.write()) = Arc::new(rules);
        *unpoisoned(self.revocations.write()) = Arc::new(revocations);
        self.generation.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Our number for the camera that a scope names, if it names one that is registered.
    pub async fn device_of(&self, scope: &Scope) -> anyhow::Result<Option<DeviceId>> {
        let Scope::Device { serial } = scope else {
            return Ok(None);
        };
        let Some(row) = self.store.device(serial).await? else {
            return Ok(None);
        };
        rows::check(&self.vault, &row)?;
        Ok(Some(row.id))
    }

    /// Adds a camera that was just registered.
    pub fn remember(&self, row: &DeviceRow, nuc: &NucHash) -> anyhow::Result<()> {
        let mut cameras = unpoisoned(self.cameras.write());
        let device = device_of(&mut cameras, row)?;
        cameras.insert(nuc, device);
        Ok(())
    }

    /// Takes over a camera's new certificate. The next question is judged by it; public lists are
    /// made anew.
    pub fn remember_renewal(&self, row: &DeviceRow) -> anyhow::Result<()> {
        let certificate = issued(row)?.context("a renewed camera without a certificate")?;
        unpoisoned(self.cameras.write()).renew(row.id, certificate);
        self.generation.fetch_add(1, Ordering::Relaxed);
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

    /// Makes sure that this process may still serve the database. After an outage of PostgreSQL the
    /// lease is taken anew.
    pub async fn keep_lease(&self) -> Result<(), sqlx::Error> {
        self.lease.keep(&self.store).await
    }
}

fn judge_one(judge: &Judge<'_>, question: &Question) -> Answer {
    let judged = judge.proof(&question.proof, question.commitment.as_ref());
    let outcome = |result| Outcome {
        time: judge.now,
        result,
        commitment: question.commitment,
    };
    match judged {
        Ok(passed) => {
            passed.device.validations.fetch_add(1, Ordering::Relaxed);
            Answer {
                outcome: outcome(Ok(passed.proof.assurance())),
                family: Some(Arc::clone(&passed.device.family)),
                proof: passed.proof,
                is_made_up: passed.device.simulated_nuc,
            }
        }
        Err(refusal) => Answer {
            outcome: outcome(Err(refusal)),
            family: None,
            proof: asked_about(&question.proof),
            is_made_up: false,
        },
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

/// What another program wrote into the database is never believed. A restart changes nothing about
/// it.
fn changed(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    match error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Changed>())
    {
        Some(changed) => ConfigError::field("database", changed.to_string()).into(),
        None => error,
    }
}

async fn load_cameras(store: &Store, vault: &Vault) -> anyhow::Result<Cameras> {
    let amount = store.count_devices().await?;
    let mut cameras = Cameras::with_capacity(amount.try_into().context("too many cameras")?);
    let mut after = 0;
    loop {
        let page = store.registered_after(after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(cameras);
        };
        after = last.id;
        for row in &page {
            rows::check(vault, row).map_err(changed)?;
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

fn device_of(cameras: &mut Cameras, row: &DeviceRow) -> anyhow::Result<Device> {
    let named = || format!("camera {}", row.serial);
    let table = |number: i64| TableId::try_from(number).with_context(named);
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
        simulated_nuc: row.simulated_nuc,
        binds_tokens: row.binds_tokens,
        certificate: issued(row).with_context(named)?,
        former: former(row).with_context(named)?.map(Box::new),
        validations: 0.into(),
    })
}

/// The certificate that a row names: all of it, or none.
fn issued(row: &DeviceRow) -> anyhow::Result<Option<IssuedCertificate>> {
    certificate_of(
        [&row.certificate_serial, &row.certificate_issuer],
        row.issued_at,
        row,
    )
}

/// The certificate before it, for the same key.
fn former(row: &DeviceRow) -> anyhow::Result<Option<IssuedCertificate>> {
    match &row.former_serial {
        Some(_) => certificate_of(
            [&row.former_serial, &row.former_issuer],
            row.former_issued_at,
            row,
        ),
        None => Ok(None),
    }
}

fn certificate_of(
    [serial, issuer]: [&Option<Vec<u8>>; 2],
    issued_at: Option<i64>,
    row: &DeviceRow,
) -> anyhow::Result<Option<IssuedCertificate>> {
    let fields = (
        serial.as_deref(),
        issuer.as_deref(),
        row.key_hash.as_deref(),
        issued_at,
    );
    let (serial, issuer, key_hash, issued_at) = match fields {
        (None, None, None, None) => return Ok(None),
        (Some(serial), Some(issuer), Some(key_hash), Some(issued_at)) => {
            (serial, issuer, key_hash, issued_at)
        }
        _ => anyhow::bail!("a part of its certificate's row is missing"),
    };
    Ok(Some(IssuedCertificate {
        serial: padded(serial),
        issued_at,
        issuer: KeyId::from_bytes(issuer.try_into().context("the issuer's key id")?),
        key_hash: Digest::from_bytes(key_hash.try_into().context("the certified key's hash")?),
    }))
}
