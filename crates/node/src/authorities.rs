//! Who may vouch for photos: read once from the configuration and its files. Nothing in a request
//! adds to it.

mod issuer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use anyhow::Context as _;
use birthmark_consensus::{Authorities, CheckedBefore};
use birthmark_daemon::{ConfigError, Credentials, Secret};
use birthmark_ledger::{Label, Origin, Record, ValidatorId};
use birthmark_protocol::api::Notice;
use birthmark_protocol::one_time::RsaBytes;
use birthmark_protocol::{CameraCertificate, Digest, PublicKey, Signature, Timestamp};
use issuer::find_issuer;
pub use issuer::{Applied, Issuer, ListRefused, apply_list};

use crate::clock;
use crate::list_numbers::ListNumbers;
use crate::settings::{AuthoritySettings, Settings, SoftwareAuthoritySettings};
use crate::signatures::{self, Held};

/// A record names no camera, so this is all that can be said.
const SINGLE: &str = "Its maker withdrew single cameras by then. It is not proven that this camera was none of them.";

/// The credential that holds an authority's token where its entry names none. The unit imports all
/// that are called so. `None` for an id that can be no file's name.
pub fn token_credential(id: &str) -> Option<String> {
    let usable = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '/' | ':');
    id.chars()
        .all(usable)
        .then(|| format!("birthmark-node.token.{id}"))
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
    /// The list of revoked certificates.
    crl: Mutex<ListTimes>,
    /// The dated list of what was withdrawn.
    feed: Mutex<ListTimes>,
    withdrawn: RwLock<Vec<Withdrawal>>,
    /// Whether its lists could not be fetched when they were last wanted.
    is_silent: AtomicBool,
}

/// When a list was had last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListTimes {
    /// When it was fetched and believed.
    pub fetched: Option<Timestamp>,
    /// When a newer one should have replaced it.
    pub next: Option<Timestamp>,
}

/// What an authority says against some of its cameras.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withdrawal {
    /// Which cameras.
    pub of: Withdrawn,
    /// From when.
    pub from: Timestamp,
    /// Until when; for good if there is none.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// Which cameras were withdrawn, as far as a record can tell: it names a family, and never a
/// camera.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Withdrawn {
    /// All of a family.
    Family(String),
    /// Some of a family, or of any family, known by their firmware.
    Firmware {
        /// The family, if it is one.
        family: Option<String>,
        /// First version.
        from: String,
        /// Last version.
        to: String,
    },
    /// Single cameras, named by their certificates.
    Single,
}

/// All authorities this node knows.
#[derive(Debug)]
pub struct AuthorityBook {
    own: ValidatorId,
    default: Option<Arc<Authority>>,
    by_name: BTreeMap<String, Arc<Authority>>,
    software: BTreeMap<String, SoftwareAuthority>,
    /// Evidence that these authorities carry, found so before.
    checked: CheckedBefore,
    held: Held,
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
    fn read(settings: &SoftwareAuthoritySettings, numbers: &ListNumbers) -> anyhow::Result<Self> {
        let issuers = settings.ca.iter().map(|path| Issuer::read(path));
        let read = Self {
            name: settings.id.clone(),
            issuers: issuers.collect::<Result<_, _>>()?,
            list: settings.revoked.clone(),
        };
        read.read_list(numbers)?;
        Ok(read)
    }

    /// Reads the list again, if there is one.
    pub fn read_list(&self, numbers: &ListNumbers) -> anyhow::Result<Option<Applied>> {
        let Some(path) = &self.list else {
            return Ok(None);
        };
        let named = || format!("the list of revoked certificates {}", path.display());
        let bytes = std::fs::read(path).with_context(named)?;
        apply_list(&self.issuers, &bytes, numbers, clock::now())
            .map(Some)
            .with_context(named)
    }
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
            crl: Mutex::default(),
            feed: Mutex::default(),
            withdrawn: RwLock::default(),
            is_silent: AtomicBool::new(false),
        })
    }

    /// The pinned issuer whose key signed this certificate. Names are not compared: in the field
    /// they do not match.
    pub fn issuer_of(&self, certificate: &CameraCertificate) -> Option<&Issuer> {
        find_issuer(&self.issuers, certificate)
    }

    /// Notes that its list of revoked certificates was fetched and believed.
    pub fn crl_fetched(&self, times: ListTimes) {
        *self.crl.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// When its dated list was had last; `None` if none is configured.
    pub fn feed_times(&self) -> Option<ListTimes> {
        self.settings.revocation_feed.as_ref()?;
        Some(*self.feed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is wrong with its lists, in words for anybody.
    pub fn list_troubles(&self, now: Timestamp) -> Vec<String> {
        let crl = self.settings.revocations.as_ref();
        let crl = crl.map(|_| *self.crl.lock().unwrap_or_else(PoisonError::into_inner));
        let lists = [
            ("list of revoked certificates", crl),
            ("list of what was withdrawn", self.feed_times()),
        ];
        let trouble = |(list, times): (&str, Option<ListTimes>)| {
            let times = times?;
            let what = match times {
                ListTimes { fetched: None, .. } => "was never had",
                ListTimes {
                    next: Some(next), ..
                } if now > next => "is past its date",
                _ => return None,
            };
            Some(format!("the {list} of {} {what}", self.settings.id))
        };
        lists.into_iter().filter_map(trouble).collect()
    }

    /// Notes whether its lists could be fetched.
    pub fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Whether its lists could not be fetched when they were last wanted.
    pub fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    /// Replaces what the authority itself says against its cameras.
    pub fn replace_withdrawn(&self, withdrawn: Vec<Withdrawal>, times: ListTimes) {
        *self
            .withdrawn
            .write()
            .unwrap_or_else(PoisonError::into_inner) = withdrawn;
        *self.feed.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// What the authority itself says against a record that was registered at this time.
    pub fn notice(&self, record: &Record, registered: Timestamp) -> Option<String> {
        let family = record.origin().family.as_str();
        self.withdrawn_at(registered, |withdrawal| match &withdrawal.of {
            Withdrawn::Family(name) if name == family => Some(withdrawal.reason.clone()),
            _ => None,
        })
        .into_iter()
        .next()
    }

    /// Everything that the authority itself says against whole families.
    pub fn notices(&self) -> Vec<Notice> {
        let withdrawn = self
            .withdrawn
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let notice = |withdrawal: &Withdrawal| match &withdrawal.of {
            Withdrawn::Family(family) => Some(Notice {
                authority: self.settings.id.clone(),
                device_family: Some(family.clone()),
                from: withdrawal.from,
                until: withdrawal.until,
                reason: withdrawal.reason.clone(),
            }),
            Withdrawn::Single | Withdrawn::Firmware { .. } => None,
        };
        withdrawn.iter().filter_map(notice).collect()
    }

    /// What it says against some cameras, of which the record's may be one. A record does not name
    /// its camera.
    pub fn suspicions(&self, record: &Record, registered: Timestamp) -> Vec<String> {
        let family = record.origin().family.as_str();
        let mut said = self.withdrawn_at(registered, |withdrawal| match &withdrawal.of {
            Withdrawn::Single => Some(SINGLE.to_owned()),
            Withdrawn::Firmware {
                family: of,
                from,
                to,
            } if of.as_deref().is_none_or(|of| of == family) => {
                let reason = &withdrawal.reason;
                Some(format!(
                    "Its maker withdrew cameras with firmware {from} to {to} ({reason}). It is not proven that this camera was none of \
                     them."
                ))
            }
            _ => None,
        });
        // However many single cameras were withdrawn, one sentence says so.
        said.sort();
        said.dedup();
        said
    }

    fn withdrawn_at(
        &self,
        registered: Timestamp,
        said: impl Fn(&Withdrawal) -> Option<String>,
    ) -> Vec<String> {
        let withdrawn = self
            .withdrawn
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let in_force = withdrawn.iter().filter(|withdrawal| {
            registered >= withdrawal.from
                && withdrawal.until.is_none_or(|until| registered <= until)
        });
        in_force.filter_map(said).collect()
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

fn read_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the verdict key {}", path.display()))?;
    PublicKey::from_pem(&text)
        .with_context(|| format!("{} is no P-256 public key in PEM", path.display()))
}

/// A file of an entry that is missing or wrong ends the program as a wrong setting does: starting
/// again will not help.
fn unusable_files(field: &str, name: &str, error: &anyhow::Error) -> ConfigError {
    ConfigError::field(field, format!("{name:?}: {error:#}"))
}

impl AuthorityBook {
    /// Reads every file the configuration names.
    pub fn read(
        settings: &Settings,
        own: ValidatorId,
        numbers: &ListNumbers,
    ) -> anyhow::Result<Self> {
        let mut by_name = BTreeMap::new();
        for entry in &settings.authorities {
            let authority = Authority::read(entry)
                .map_err(|error| unusable_files("authorities", &entry.id, &error))?;
            by_name.insert(entry.id.clone(), Arc::new(authority));
        }
        let mut software = BTreeMap::new();
        for entry in &settings.software_authorities {
            let authority = SoftwareAuthority::read(entry, numbers)
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
            checked: CheckedBefore::default(),
            held: Held::default(),
        })
    }

    /// Takes the tokens that authorities gave to this validator from the credentials: those that
    /// the configuration names, and else what lies under the authority's name. One that is named
    /// and missing is an error: the authority would answer slowly, and nobody would know why.
    pub fn take_tokens(&self, credentials: &Credentials) -> anyhow::Result<()> {
        for authority in self.by_name.values() {
            let id = &authority.settings.id;
            let named = || format!("authority {id:?}");
            let secret = match &authority.settings.token_credential {
                Some(name) => Some(credentials.secret(name).with_context(named)?),
                None => token_credential(id)
                    .map(|name| credentials.optional(&name))
                    .transpose()
                    .with_context(named)?
                    .flatten(),
            };
            let Some(secret) = secret else {
                continue;
            };
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

    /// Remembers that this key of a camera made this signature.
    pub(crate) fn remember_signature(
        &self,
        key: &PublicKey,
        digest: &Digest,
        signature: &Signature,
    ) {
        self.held.insert(key, digest, signature);
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

    fn signature_holds(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        self.held.verify(key, digest, signature)
    }

    fn checked_before(&self) -> Option<&CheckedBefore> {
        Some(&self.checked)
    }

    fn key_signature_holds(&self, modulus: &RsaBytes, name: &Digest, signature: &RsaBytes) -> bool {
        signatures::verify_name(modulus, name, signature)
    }

    /// Our own word is enough where no signed verdict exists: this node did ask, or checked the
    /// software's certificate, or knows the submission server. Another validator's word never is.
    fn accepts_word(&self, submitter: &ValidatorId, origin: &Origin) -> bool {
        *submitter == self.own
            && (!origin.source.is_camera()
                || self
                    .by_name
                    .get(origin.authority.as_str())
                    .is_some_and(|authority| !authority.signs()))
    }
}
