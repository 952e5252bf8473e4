//! The file an authority gives a new camera: read once, checked against the camera's own key, never
//! kept.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use birthmark_protocol::certificate::{ChainError, IssuerCertificate};
use birthmark_protocol::numbers::TABLES_PER_CAMERA;
use birthmark_protocol::{CameraCertificate, MasterKey, NucHash, PublicKey, TableId, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::secrets::Secrets;
use crate::state::{self, StateError};

/// Larger than any provisioning file.
const LARGEST: u64 = 256 * 1024;

/// Why a provisioning file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProvisioningError {
    /// It cannot be read.
    #[error("cannot read the provisioning file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Others can read it, so its keys are not secret.
    #[error("the provisioning file {} can be read by other users (mode {mode:04o}): run `chmod 600 {}`; if anybody may have copied it, ask the authority to provision this camera anew", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a file of this kind.
    #[error("{} is not a provisioning file: it is no regular file of at most {LARGEST} bytes", path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// It ends too early.
    #[error(
        "the provisioning file is cut off after {line} lines: copy it again from where the authority put it"
    )]
    Truncated {
        /// The last line there is.
        line: usize,
    },
    /// It is not the JSON it should be.
    #[error("the provisioning file is malformed: {0}")]
    Malformed(String),
    /// A field holds something impossible.
    #[error("the provisioning file's `{field}` {reason}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The file was made for another camera.
    #[error(
        "the provisioning file or certificate belongs to another camera: its certificate is for another key than the one in this camera's key store"
    )]
    OtherCamera,
    /// The certificates are not a chain that holds now.
    #[error("the provisioning file's certificates do not hold: {0}")]
    Chain(#[from] ChainError),
    /// The tables of the file are not those the certificate was made with.
    #[error("the provisioning file's tables are not this camera's own: {0}")]
    ForeignTables(&'static str),
    /// Overwriting or removing the clear copy failed.
    #[error("the camera is provisioned, but the clear copy of its keys is still there: {0}")]
    StillThere(StateError),
}

/// The file's JSON. An authority may say more than this camera needs.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    device_serial: String,
    device_family: String,
    device_certificate: String,
    #[serde(default)]
    certificate_chain: Chain,
    #[cfg(feature = "software-keys")]
    #[serde(default)]
    device_private_key: Option<SecretText>,
    table_assignments: Vec<i64>,
    master_keys: BTreeMap<String, SecretText>,
    nuc_hash: SecretText,
}

/// A text that is wiped when dropped.
struct SecretText(Zeroizing<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A list of certificates, or one text with all of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Chain {
    List(Vec<String>),
    Text(String),
}

impl Default for Chain {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// A provisioning file that fits together.
#[derive(Debug)]
pub struct Provisioning {
    /// The serial number, if the file names it.
    pub device_serial: String,
    /// The model.
    pub device_family: String,
    /// The camera's certificate.
    pub certificate: CameraCertificate,
    /// What its issuer's certificates are, as PEM, the nearest first.
    pub chain: Vec<String>,
    /// The tables, in the order of the secrets' master keys.
    pub tables: [TableId; TABLES_PER_CAMERA],
    /// What must be sealed.
    pub secrets: Secrets,
    /// A private key, from authorities that make one: only a development key store takes it.
    #[cfg(feature = "software-keys")]
    pub private_key: Option<Zeroizing<String>>,
}

/// A new certificate for a camera that has everything else. It holds no secret.
#[derive(Debug)]
pub struct Renewal {
    /// The certificate.
    pub certificate: CameraCertificate,
    /// What its issuer's certificates are, as PEM, the nearest first.
    pub chain: Vec<String>,
}

impl Renewal {
    /// Reads certificate and chain in PEM and checks that they belong together and are valid at
    /// `now`.
    pub fn parse(
        certificate: &str,
        chain: &str,
        now: Timestamp,
    ) -> Result<Self, ProvisioningError> {
        let certificate = CameraCertificate::from_pem_or_der(certificate.as_bytes())
            .map_err(|error| field("device_certificate", error))?;
        let chain = self::chain(Chain::Text(chain.to_owned()));
        certificate.verify_chain(&issuers(&chain)?, now)?;
        Ok(Self { certificate, chain })
    }

    /// Succeeds when it was made for the camera with this key.
    pub fn must_be_for(&self, key: &PublicKey) -> Result<(), ProvisioningError> {
        match self.certificate.key().p256() == Some(key) {
            true => Ok(()),
            false => Err(ProvisioningError::OtherCamera),
        }
    }

    /// Succeeds when it holds this camera's NUC hash under one of its tables.
    pub fn check_tables(
        &self,
        tables: [TableId; TABLES_PER_CAMERA],
        secrets: &Secrets,
    ) -> Result<(), ProvisioningError> {
        check_tables(&self.certificate, tables, secrets)
    }
}

/// Reads a provisioning file that nobody else can read.
pub fn read(path: &Path) -> Result<Zeroizing<String>, ProvisioningError> {
    let unreadable = |source| ProvisioningError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // The file that was checked is the one that is read, whatever its name leads to later.
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(ProvisioningError::NotAFile {
            path: path.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ProvisioningError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // Room for the largest at once: a text that grows would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LARGEST as usize + 1));
    std::io::Read::read_to_string(&mut file, &mut text).map_err(unreadable)?;
    Ok(text)
}

/// Destroys the clear copy, once its secrets are sealed and were unsealed again.
pub fn destroy(path: &Path) -> Result<(), ProvisioningError> {
    state::destroy(path).map_err(ProvisioningError::StillThere)
}

impl Provisioning {
    /// Reads the JSON and checks that its parts belong together and its certificates are valid at
    /// `now`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, ProvisioningError> {
        let form: Form = serde_json::from_str(text).map_err(|error| malformed(&error, text))?;
        let certificate = CameraCertificate::from_pem_or_der(form.device_certificate.as_bytes())
            .map_err(|error| field("device_certificate", error))?;
        let chain = chain(form.certificate_chain);
        certificate.verify_chain(&issuers(&chain)?, now)?;
        let tables = tables(&form.table_assignments)?;
        let master_keys = master_keys(&form.master_keys, tables)?;
        let nuc_hash =
            NucHash::from_hex(&form.nuc_hash.0).map_err(|error| field("nuc_hash", error))?;
        let secrets = Secrets {
            master_keys,
            nuc_hash,
        };
        check_tables(&certificate, tables, &secrets)?;
        Ok(Self {
            device_serial: form.device_serial,
            device_family: form.device_family,
            certificate,
            chain,
            tables,
            secrets,
            #[cfg(feature = "software-keys")]
            private_key: form.device_private_key.map(|SecretText(text)| text),
        })
    }

    /// Succeeds when the file was made for the camera with this key.
    pub fn must_be_for(&self, key: &PublicKey) -> Result<(), ProvisioningError> {
        if self.certificate.key().p256() == Some(key) {
            Ok(())
        } else {
            Err(ProvisioningError::OtherCamera)
        }
    }
}

fn field(field: &'static str, reason: impl ToString) -> ProvisioningError {
    ProvisioningError::Field {
        field,
        reason: format!("cannot be used: {}", reason.to_string()),
    }
}

/// Says where the JSON goes wrong, without repeating any of it: it is full of secrets.
fn malformed(error: &serde_json::Error, text: &str) -> ProvisioningError {
    if error.is_eof() {
        return ProvisioningError::Truncated {
            line: text.lines().count(),
        };
    }
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return ProvisioningError::Malformed(format!(
            "no JSON at line {}, column {}",
            error.line(),
            error.column()
        ));
    }
    let reason = error.to_string();
    let reason = if reason.starts_with("missing field") {
        reason
    } else {
        format!("another type is expected near line {}", error.line())
    };
    ProvisioningError::Malformed(reason)
}

/// Splits the chain into its certificates.
fn chain(chain: Chain) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = match chain {
        Chain::List(list) => list.join("\n"),
        Chain::Text(text) => text,
    };
    text.split_inclusive(END)
        .map(str::trim)
        .filter(|part| part.ends_with(END))
        .map(str::to_owned)
        .collect()
}

/// Reads a chain's certificates, the nearest first.
pub fn issuers(chain: &[String]) -> Result<Vec<IssuerCertificate>, ProvisioningError> {
    let read = |pem: &String| IssuerCertificate::from_pem_or_der(pem.as_bytes());
    let read = chain.iter().map(read).collect::<Result<_, _>>();
    read.map_err(|error| field("certificate_chain", error))
}

fn tables(assigned: &[i64]) -> Result<[TableId; TABLES_PER_CAMERA], ProvisioningError> {
    let wrong = |reason: String| ProvisioningError::Field {
        field: "table_assignments",
        reason,
    };
    let numbers: [i64; TABLES_PER_CAMERA] = assigned.try_into().map_err(|_| {
        wrong(format!(
            "has {} tables, a camera has {TABLES_PER_CAMERA}",
            assigned.len()
        ))
    })?;
    let [first, second, third] = numbers.map(TableId::try_from);
    let wrong_number = |error: birthmark_protocol::OutOfRange| {
        wrong(format!("names a table that does not exist: {error}"))
    };
    let tables = [
        first.map_err(wrong_number)?,
        second.map_err(wrong_number)?,
        third.map_err(wrong_number)?,
    ];
    if tables[0] == tables[1] || tables[1] == tables[2] || tables[0] == tables[2] {
        return Err(wrong("names a table twice".to_owned()));
    }
    Ok(tables)
}

fn master_keys(
    keys: &BTreeMap<String, SecretText>,
    tables: [TableId; TABLES_PER_CAMERA],
) -> Result<[MasterKey; TABLES_PER_CAMERA], ProvisioningError> {
    let key = |table: TableId| {
        let text = keys
            .get(&table.to_string())
            .ok_or_else(|| ProvisioningError::Field {
                field: "master_keys",
                reason: format!("has no key for table {table}"),
            })?;
        MasterKey::from_hex(&text.0)
            .map_err(|error| field("master_keys", format!("table {table}: {error}")))
    };
    if keys.len() != TABLES_PER_CAMERA {
        return Err(ProvisioningError::ForeignTables(
            "there are master keys for other tables than the assigned ones",
        ));
    }
    let [first, second, third] = tables.map(key);
    Ok([first?, second?, third?])
}

/// The certificate holds the NUC hash under a key of one of the camera's tables: it must be one of
/// these, and open.
fn check_tables(
    certificate: &CameraCertificate,
    tables: [TableId; TABLES_PER_CAMERA],
    secrets: &Secrets,
) -> Result<(), ProvisioningError> {
    let token = &certificate.extensions().token;
    let key = tables
        .iter()
        .zip(&secrets.master_keys)
        .find(|(table, _)| **table == token.table);
    let Some((_, key)) = key else {
        return Err(ProvisioningError::ForeignTables(
            "the certificate names a table that is not among them",
        ));
    };
    match token.open_certificate(key, &certificate.key().to_spki_der()) {
        Some(opened) if opened.nuc == secrets.nuc_hash => Ok(()),
        Some(_) => Err(ProvisioningError::ForeignTables(
            "the certificate holds another NUC hash than the file",
        )),
        None => Err(ProvisioningError::ForeignTables(
            "the master key does not open the certificate's NUC hash",
        )),
    }
}
