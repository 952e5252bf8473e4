//! Who may vouch for photos: read once from the configuration and its files. Nothing in a request adds to it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthmark_consensus::Authorities;
use birthmark_daemon::{ConfigError, Credentials, Secret};
use birthmark_ledger::{Label, Origin, Record, ValidatorId};
use birthmark_protocol::certificate::IssuerCertificate;
use birthmark_protocol::{CameraCertificate, PublicKey, Signature, Timestamp};
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::{Decode as _, Encode as _};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;

use crate::settings::{AuthoritySettings, NoticeSettings, Settings, SoftwareAuthoritySettings};
use crate::signatures;

/// A certificate authority's certificate, and what it has taken back.
#[derive(Debug)]
pub struct Issuer {
    /// Its certificate.
    pub certificate: IssuerCertificate,
    revoked: RwLock<HashSet<Vec<u8>>>,
}

/// One manufacturer's authority.
#[derive(Debug)]
pub struct Authority {
    /// Its name.
    pub name: Label,
    /// How it is asked.
    pub settings: AuthoritySettings,
    /// The certificate authorities its cameras' certificates come from.
    pub issuers: Vec<Issuer>,
    verdict_keys: Vec<PublicKey>,
    token: OnceLock<Secret>,
    revocations_at: Mutex<Option<Instant>>,
    notices: RwLock<Vec<NoticeSettings>>,
}

/// All authorities this node knows.
#[derive(Debug)]
pub struct AuthorityBook {
    own: ValidatorId,
    default: Option<Arc<Authority>>,
    by_name: BTreeMap<String, Arc<Authority>>,
    software: BTreeMap<String, SoftwareAuthority>,
}

/// One maker of editing software, or who certifies several.
#[derive(Debug)]
pub struct SoftwareAuthority {
    /// Its name.
    pub name: String,
    /// Its certificate authorities.
    pub issuers: Vec<Issuer>,
    /// Where the list of certificates it took back lies.
    pub list: Option<PathBuf>,
}

impl SoftwareAuthority {
    fn read(settings: &SoftwareAuthoritySettings) -> anyhow::Result<Self> {
        let issuers = settings.ca.iter().map(|path| Issuer::read(path));
        let read = Self {
            name: settings.id.clone(),
            issuers: issuers.collect::<Result<_, _>>()?,
            list: settings.revoked.clone(),
        };
        read.read_list()?;
        Ok(read)
    }

    /// Reads the list again; how many certificates stand on it, if there is one.
    pub fn read_list(&self) -> anyhow::Result<Option<usize>> {
        let Some(path) = &self.list else {
            return Ok(None);
        };
        let named = || format!("the list of revoked certificates {}", path.display());
        let bytes = std::fs::read(path).with_context(named)?;
        apply_list(&self.issuers, &bytes)
            .map(Some)
            .map_err(anyhow::Error::msg)
            .with_context(named)
    }
}

impl Issuer {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the CA certificate {}", path.display()))?;
        let certificate = IssuerCertificate::from_pem_or_der(&bytes)
            .with_context(|| format!("{} is no CA certificate", path.display()))?;
        Ok(Self {
            certificate,
            revoked: RwLock::default(),
        })
    }

    /// Whether it took this serial number back.
    pub fn has_revoked(&self, serial: &[u8]) -> bool {
        self.revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(significant(serial))
    }

    /// Replaces the list of what it took back. Returns how many there are.
    pub fn replace_revoked(&self, serials: impl IntoIterator<Item = Vec<u8>>) -> usize {
        let serials: HashSet<_> = serials
            .into_iter()
            .map(|serial| significant(&serial).to_vec())
            .collect();
        let count = serials.len();
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = serials;
        count
    }
}

/// Takes a list (DER) if one of the issuers signed it.
pub fn apply_list(issuers: &[Issuer], bytes: &[u8]) -> Result<usize, String> {
    let list = CertificateList::<Rfc5280>::from_der(bytes)
        .map_err(|error| format!("not a revocation list: {error}"))?;
    if list.signature_algorithm.oid != ECDSA_WITH_SHA_256 {
        return Err("the list is not signed with ecdsa-with-SHA256".into());
    }
    let tbs = list
        .tbs_cert_list
        .to_der()
        .map_err(|error| error.to_string())?;
    let signature = list.signature.as_bytes();
    let signature = signature.ok_or("the list's signature does not end with a whole byte")?;
    let signature = Signature::from_der(signature).map_err(|error| error.to_string())?;
    let signed = |issuer: &&Issuer| signatures::verify(&issuer.certificate.key, &tbs, &signature);
    let issuer = issuers
        .iter()
        .find(signed)
        .ok_or("the list is not signed by a pinned key")?;
    // A list that revokes nothing leaves the field out.
    let revoked = list.tbs_cert_list.revoked_certificates.iter().flatten();
    Ok(issuer.replace_revoked(revoked.map(|entry| entry.serial_number.as_bytes().to_vec())))
}

/// Leading zeros of an integer carry no meaning.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.split_at(zeros.min(serial.len())).1
}

impl Authority {
    fn read(settings: &AuthoritySettings) -> anyhow::Result<Self> {
        let issuers = settings
            .ca
            .iter()
            .map(|path| Issuer::read(path))
            .collect::<Result<_, _>>()?;
        let verdict_keys = settings
            .verdict_keys
            .iter()
            .map(|path| read_key(path))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: Label::new(&settings.id)?,
            settings: settings.clone(),
            issuers,
            verdict_keys,
            token: OnceLock::new(),
            revocations_at: Mutex::default(),
            notices: RwLock::default(),
        })
    }

    /// The pinned issuer whose key signed this certificate. Names are not compared: in the field they do not match.
    pub fn issuer_of(&self, certificate: &CameraCertificate) -> Option<&Issuer> {
        find_issuer(&self.issuers, certificate)
    }

    /// How old the newest list of revoked certificates is; `None` before the first.
    pub fn revocations_age(&self) -> Option<Duration> {
        let at = *self
            .revocations_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        at.map(|at| at.elapsed())
    }

    /// Notes that its list was fetched just now.
    pub fn revocations_fetched(&self) {
        *self
            .revocations_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Replaces what the authority itself says against families of its devices.
    pub fn replace_notices(&self, notices: Vec<NoticeSettings>) {
        *self.notices.write().unwrap_or_else(PoisonError::into_inner) = notices;
    }

    /// What the authority itself says against a record that was registered at this time.
    pub fn notice(&self, record: &Record, registered: Timestamp) -> Option<String> {
        let notices = self.notices.read().unwrap_or_else(PoisonError::into_inner);
        notices
            .iter()
            .find(|notice| notice.concerns(record, registered))
            .map(|notice| notice.reason.clone())
    }

    /// The token by which it knows this validator, if it gave one.
    pub fn token(&self) -> Option<&Secret> {
        self.token.get()
    }

    /// Whether its verdicts are signed.
    pub fn signs(&self) -> bool {
        !self.verdict_keys.is_empty()
    }

    /// The keys of its verdicts.
    pub fn verdict_keys(&self) -> &[PublicKey] {
        &self.verdict_keys
    }
}

fn find_issuer<'a>(issuers: &'a [Issuer], certificate: &CameraCertificate) -> Option<&'a Issuer> {
    let signed = |issuer: &&Issuer| {
        signatures::verify(
            &issuer.certificate.key,
            certificate.tbs_der(),
            certificate.signature(),
        )
    };
    issuers.iter().find(signed)
}

fn read_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the verdict key {}", path.display()))?;
    PublicKey::from_pem(&text)
        .with_context(|| format!("{} is no P-256 public key in PEM", path.display()))
}

/// A file of an entry that is missing or wrong ends the program as a wrong setting does: starting again will not help.
fn unusable_files(field: &str, name: &str, error: &anyhow::Error) -> ConfigError {
    ConfigError::field(field, format!("{name:?}: {error:#}"))
}

impl AuthorityBook {
    /// Reads every file the configuration names.
    pub fn read(settings: &Settings, own: ValidatorId) -> anyhow::Result<Self> {
        let mut by_name = BTreeMap::new();
        for entry in &settings.authorities {
            let authority = Authority::read(entry)
                .map_err(|error| unusable_files("authorities", &entry.id, &error))?;
            by_name.insert(entry.id.clone(), Arc::new(authority));
        }
        let mut software = BTreeMap::new();
        for entry in &settings.software_authorities {
            let authority = SoftwareAuthority::read(entry)
                .map_err(|error| unusable_files("software_authorities", &entry.id, &error))?;
            software.insert(entry.id.clone(), authority);
        }
        let default = settings
            .default_authority
            .as_ref()
            .and_then(|name| by_name.get(name).cloned());
        Ok(Self {
            own,
            default,
            by_name,
            software,
        })
    }

    /// Takes the tokens that the configuration names from the credentials. One that is named and missing is an error: the
    /// authority would answer slowly, and nobody would know why.
    pub fn take_tokens(&self, credentials: &Credentials) -> anyhow::Result<()> {
        for authority in self.by_name.values() {
            let Some(name) = &authority.settings.token_credential else {
                continue;
            };
            let named = || format!("authority {:?}", authority.settings.id);
            let secret = credentials.secret(name).with_context(named)?;
            secret.text().with_context(named)?;
            // Taken once, at the start.
            let _ = authority.token.set(secret);
        }
        Ok(())
    }

    /// The authority of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Authority>> {
        self.by_name.get(name)
    }

    /// Every authority, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Authority>> {
        self.by_name.values()
    }

    /// Who is asked when nobody is named.
    pub fn default_authority(&self) -> Option<&Arc<Authority>> {
        self.default.as_ref()
    }

    /// The authority under whose pinned keys a camera certificate was issued.
    pub fn of_certificate(
        &self,
        certificate: &CameraCertificate,
    ) -> Option<(&Arc<Authority>, &Issuer)> {
        self.by_name
            .values()
            .find_map(|authority| Some((authority, authority.issuer_of(certificate)?)))
    }

    /// The makers of editing software, with their certificate authorities.
    pub fn software(&self) -> impl Iterator<Item = (&str, &[Issuer])> {
        self.software
            .iter()
            .map(|(name, authority)| (name.as_str(), authority.issuers.as_slice()))
    }

    /// The makers of editing software.
    pub fn software_authorities(&self) -> impl Iterator<Item = &SoftwareAuthority> {
        self.software.values()
    }
}

impl Authorities for AuthorityBook {
    fn verdict_keys(&self, authority: &Label, _at: Timestamp) -> Vec<PublicKey> {
        self.by_name
            .get(authority.as_str())
            .map(|authority| authority.verdict_keys.clone())
            .unwrap_or_default()
    }

    /// Our own word is enough where no signed verdict exists: this node did ask, or checked the software's certificate, or
    /// knows the submission server. Another validator's word never is.
    fn accepts_word(&self, submitter: &ValidatorId, origin: &Origin) -> bool {
        *submitter == self.own
            && (!origin.source.is_camera()
                || self
                    .by_name
                    .get(origin.authority.as_str())
                    .is_some_and(|authority| !authority.signs()))
    }
}
