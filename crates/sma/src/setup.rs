//! The beginning of an authority: certificate authority, verdict key and 2,500 key tables, all at
//! once or not at all.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use birthmark_daemon::{ConfigError, Credentials, durable};
use birthmark_protocol::certificate::IssuerCertificate;
use birthmark_protocol::{MasterKey, TableId, Timestamp};

use crate::issue::ca::{self, Issuer, PrivateKey};
use crate::judge::tables;
use crate::keep::keyring;
use crate::keep::store::{KeyPurpose, Store};
use crate::keep::vault::Vault;
use crate::settings::Settings;
use crate::{clock, random};

/// The credential everything in the database is sealed under.
pub const VAULT_CREDENTIAL: &str = "authority-vault";
/// The credential with the passphrase of the root's private key.
pub const ROOT_CREDENTIAL: &str = "root-passphrase";

/// Where the private key of the root comes from or goes to.
#[derive(Debug)]
pub enum Root<'a> {
    /// A new root. Its private key is written to this file, encrypted, to be carried away.
    New {
        /// The file, which must not exist.
        key_file: &'a Path,
    },
    /// An existing authority's files.
    Imported {
        /// The root certificate, PEM.
        certificate: String,
        /// The intermediate certificate, PEM.
        intermediate: String,
        /// The intermediate's private key, PEM.
        intermediate_key: String,
    },
}

/// What the world needs to know about a new authority.
#[derive(Debug, Clone)]
pub struct Founded {
    /// The root certificate in PEM: pinned by nodes and cameras.
    pub root: String,
    /// The intermediate certificate in PEM.
    pub intermediate: String,
    /// The verdict key (SubjectPublicKeyInfo) in PEM: pinned by nodes.
    pub verdict_key: String,
}

/// Opens the vault of a database that was set up.
pub async fn open_vault(store: &Store, credentials: &Credentials) -> anyhow::Result<Vault> {
    // A restart changes nothing about it, so it counts as a wrong configuration.
    let empty = || {
        ConfigError::field(
            "database",
            "holds no authority yet: begin one with `birthmark-sma init --root-key FILE`, or bring one back with `birthmark-sma restore --from FILE`",
        )
    };
    let proof = store.vault_proof().await?.ok_or_else(empty)?;
    let secret = credentials.secret(VAULT_CREDENTIAL)?;
    Vault::open(secret.bytes(), &proof).with_context(|| format!("credential `{VAULT_CREDENTIAL}`"))
}

/// Sets up an authority in an empty database. `master_keys` are those of an authority in the field;
/// new ones are drawn otherwise.
pub async fn found(
    settings: &Settings,
    credentials: &Credentials,
    root: Root<'_>,
    master_keys: Option<Vec<MasterKey>>,
    progress: impl Fn(u64),
) -> anyhow::Result<Founded> {
    let store = Store::open_or_explain(&settings.database, settings.database_connections).await?;
    ensure!(
        store.vault_proof().await?.is_none(),
        "the database holds an authority already; nothing was changed"
    );
    let secret = credentials.secret(VAULT_CREDENTIAL)?;
    let (vault, proof) = Vault::create(secret.bytes(), random::bytes()?)?;
    let now = clock::now();
    let passphrase = credentials.optional(ROOT_CREDENTIAL)?;
    let passphrase = passphrase
        .as_ref()
        .map(|secret| secret.text())
        .transpose()?;
    let (root_der, intermediate) = match root {
        Root::New { key_file } => new_root(settings, key_file, passphrase)?,
        Root::Imported {
            certificate,
            intermediate,
            intermediate_key,
        } => imported(
            &certificate,
            &intermediate,
            &intermediate_key,
            passphrase,
            now,
        )?,
    };
    let (verdict_key, verdict_der) = intermediate.verdict_key(settings, now)?;
    let keys = [
        keyring::row(&vault, KeyPurpose::Root, &root_der, None)?,
        keyring::row(
            &vault,
            KeyPurpose::Intermediate,
            &intermediate.der,
            Some(&intermediate.key),
        )?,
        keyring::row(
            &vault,
            KeyPurpose::Verdict,
            &verdict_der,
            Some(&verdict_key),
        )?,
    ];
    let tables = seal_tables(&vault, master_keys, progress)?;
    store.begin(&vault, &proof, &tables, &keys, now).await?;
    store.close().await;
    Ok(Founded {
        root: ca::pem(&root_der),
        intermediate: ca::pem(&intermediate.der),
        verdict_key: public_pem(&verdict_key),
    })
}

/// A public key as nodes pin it.
fn public_pem(key: &PrivateKey) -> String {
    ca::spki_pem(&key.public().to_spki_der())
}

fn new_root(
    settings: &Settings,
    key_file: &Path,
    passphrase: Option<&str>,
) -> anyhow::Result<(Vec<u8>, Issuer)> {
    let passphrase = passphrase
        .with_context(|| format!("a new root needs the credential `{ROOT_CREDENTIAL}`"))?;
    ensure!(
        passphrase.len() >= 12,
        "credential `{ROOT_CREDENTIAL}`: the passphrase must have at least 12 characters"
    );
    let now = clock::now();
    let root = Issuer::root(settings, now)?;
    let intermediate = root.intermediate(settings, now)?;
    write_once(key_file, root.key.to_encrypted_pem(passphrase)?.as_bytes())?;
    Ok((root.der, intermediate))
}

fn imported(
    certificate: &str,
    intermediate: &str,
    key: &str,
    passphrase: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<(Vec<u8>, Issuer)> {
    let root = der_of(certificate).context("the root certificate")?;
    let key = PrivateKey::from_pem(key, passphrase).context("the intermediate's private key")?;
    let intermediate = Issuer::new(
        der_of(intermediate).context("the intermediate certificate")?,
        key,
    )
    .context("the intermediate")?;
    let read = |der: &[u8]| IssuerCertificate::from_pem_or_der(der);
    let above = read(&root).context("the root certificate")?;
    // An authority without an intermediate certifies cameras with its root.
    let chain = match root == intermediate.der {
        true => vec![above],
        false => vec![read(&intermediate.der)?, above],
    };
    IssuerCertificate::verify_chain(&chain, now).context("the chain that is imported")?;
    Ok((root, intermediate))
}

/// A PEM certificate as DER.
pub fn der_of(pem: &str) -> anyhow::Result<Vec<u8>> {
    let (label, der) = der::pem::decode_vec(pem.trim().as_bytes()).context("not PEM")?;
    if label != "CERTIFICATE" {
        bail!("holds a {label}, not a CERTIFICATE");
    }
    Ok(der)
}

/// Writes a file that must not exist yet, readable by its owner only.
pub fn write_once(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    durable::create(path, content, durable::PRIVATE).with_context(|| format!("{}", path.display()))
}

/// Writes a file that must not exist yet and that others are to read.
pub fn write_public(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    durable::create(path, content, 0o644).with_context(|| format!("{}", path.display()))
}

fn seal_tables(
    vault: &Vault,
    given: Option<Vec<MasterKey>>,
    progress: impl Fn(u64),
) -> anyhow::Result<Vec<(TableId, Vec<u8>)>> {
    let mut given = given.map(Vec::into_iter);
    let mut sealed = Vec::new();
    for (done, table) in (1..).zip(tables::all()) {
        let key = match &mut given {
            None => MasterKey::from_bytes(random::bytes()?),
            Some(keys) => keys
                .next()
                .with_context(|| format!("table {table} has no key"))?,
        };
        sealed.push((table, tables::seal(vault, table, &key)?));
        progress(done);
    }
    Ok(sealed)
}
