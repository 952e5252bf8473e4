//! `birthmark software-authority`: a small certificate authority for the makers of editing
//! software.
//!
//! Everything lies in one folder: `authority.pem`, `authority.key.pem`, and `authority.crl`, the
//! list of what was taken back. Whoever can read the key can register edits in the name of any
//! software.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthmark_daemon::{clock, durable, random};
use birthmark_protocol::{SoftwareCertificate, SoftwareExtensions};
use clap::{Args, Subcommand};
use der::{Decode as _, DecodePem as _, Encode as _, EncodePem as _};
use p256::ecdsa::SigningKey;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use spki::{EncodePublicKey as _, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder, CrlBuilder};
use x509_cert::certificate::{Rfc5280, TbsCertificate};
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

const CERTIFICATE: &str = "authority.pem";
const KEY: &str = "authority.key.pem";
const LIST: &str = "authority.crl";
const DAY: Duration = Duration::from_secs(86_400);

/// `birthmark software-authority …`
#[derive(Subcommand, Debug)]
pub enum SoftwareAuthorityCommand {
    /// Make a new authority: a key and a certificate that validators pin
    Found(FoundOptions),
    /// Certify a program: a key and a certificate for `birthmark edit`
    Certify(CertifyOptions),
    /// Take a program's certificate back: writes the list validators read
    Revoke(RevokeOptions),
}

/// `birthmark software-authority found`
#[derive(Args, Debug, Clone)]
pub struct FoundOptions {
    /// Where the authority lives; keep it off machines that edit
    pub folder: PathBuf,
    /// Its name, for people
    #[arg(long, value_parser = common_name)]
    pub name: String,
    /// For how many days it is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=10_950))]
    pub days: u32,
}

/// `birthmark software-authority certify`
#[derive(Args, Debug, Clone)]
pub struct CertifyOptions {
    /// The authority's folder
    pub folder: PathBuf,
    /// Where the certificate and the key go, as editor.pem and editor.key.pem
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Who makes the software
    #[arg(long)]
    pub developer: String,
    /// Where its makers can be asked; nothing is ever fetched from there
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// The program
    #[arg(long, value_parser = common_name)]
    pub application: String,
    /// Its version
    #[arg(long, value_name = "VERSION")]
    pub software_version: String,
    /// For how many days it is valid
    #[arg(long, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

/// `birthmark software-authority revoke`
#[derive(Args, Debug, Clone)]
pub struct RevokeOptions {
    /// The authority's folder
    pub folder: PathBuf,
    /// The certificate to take back
    pub certificate: PathBuf,
}

/// Runs the command.
pub fn run(command: &SoftwareAuthorityCommand) -> anyhow::Result<ExitCode> {
    match command {
        SoftwareAuthorityCommand::Found(options) => found(options)?,
        SoftwareAuthorityCommand::Certify(options) => certify(options)?,
        SoftwareAuthorityCommand::Revoke(options) => revoke(options)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A name that means nothing special in the notation of X.509 subjects.
fn common_name(text: &str) -> Result<String, String> {
    let is_plain = |character: char| character.is_alphanumeric() || " .-_()".contains(character);
    match (1..=64).contains(&text.chars().count()) && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("1 to 64 letters, digits, spaces and . - _ ( ) are allowed".into()),
    }
}

fn found(options: &FoundOptions) -> anyhow::Result<()> {
    std::fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot make {}", options.folder.display()))?;
    let key = draw_key()?;
    let subject = Name::from_str(&format!("CN={}", options.name))?;
    let profile = Profile {
        subject: subject.clone(),
        issuer: subject,
        is_authority: true,
    };
    let certificate = issue(profile, &key, &key, options.days, Vec::new())?;
    write_new(&options.folder.join(KEY), &pem_of(&key)?, durable::PRIVATE)?;
    let place = options.folder.join(CERTIFICATE);
    write_new(
        &place,
        certificate.to_pem(LineEnding::LF)?.as_bytes(),
        durable::PUBLIC,
    )?;
    write_list(&options.folder.join(LIST), &certificate, &key, Vec::new())?;
    println!(
        "validators name this file in [[software_authorities]]: {}",
        place.display()
    );
    Ok(())
}

fn certify(options: &CertifyOptions) -> anyhow::Result<()> {
    let (authority, authority_key) = read_authority(&options.folder)?;
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot make {}", options.out.display()))?;
    let extensions = SoftwareExtensions {
        developer: options.developer.clone(),
        endpoint: options.endpoint.clone(),
        application: options.application.clone(),
        version: options.software_version.clone(),
    };
    let profile = Profile {
        subject: Name::from_str(&format!("CN={}", options.application))?,
        issuer: authority.tbs_certificate().subject().clone(),
        is_authority: false,
    };
    let key = draw_key()?;
    let written = extensions.write()?;
    let certificate = issue(profile, &key, &authority_key, options.days, written)?;
    // What no validator would read is not handed out.
    SoftwareCertificate::from_der(&certificate.to_der()?)?;
    write_new(
        &options.out.join("editor.key.pem"),
        &pem_of(&key)?,
        durable::PRIVATE,
    )?;
    let place = options.out.join("editor.pem");
    write_new(
        &place,
        certificate.to_pem(LineEnding::LF)?.as_bytes(),
        durable::PUBLIC,
    )?;
    println!(
        "{} {} is certified: {}",
        extensions.application,
        extensions.version,
        place.display()
    );
    Ok(())
}

fn revoke(options: &RevokeOptions) -> anyhow::Result<()> {
    let (authority, key) = read_authority(&options.folder)?;
    let bytes = std::fs::read(&options.certificate)
        .with_context(|| format!("cannot read {}", options.certificate.display()))?;
    let certificate = SoftwareCertificate::from_pem_or_der(&bytes)?;
    let spki = authority
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()?;
    let issuer = birthmark_protocol::PublicKey::from_spki_der(&spki)?;
    ensure!(
        certificate.verify_issuer(&issuer).is_ok(),
        "{} was not issued by this authority",
        options.certificate.display()
    );
    let place = options.folder.join(LIST);
    let mut revoked = read_list(&place)?;
    let serial_number = SerialNumber::new(certificate.serial())?;
    if revoked
        .iter()
        .all(|entry| entry.serial_number != serial_number)
    {
        revoked.push(RevokedCert {
            serial_number,
            revocation_date: time(now()?)?,
            crl_entry_extensions: None,
        });
    }
    write_list(&place, &authority, &key, revoked)?;
    println!(
        "validators read this file as `revoked`: {}",
        place.display()
    );
    Ok(())
}

/// Replaced in one step: a list cut short would take nothing back.
fn write_list(
    place: &Path,
    authority: &Certificate,
    key: &SigningKey,
    revoked: Vec<RevokedCert<Rfc5280>>,
) -> anyhow::Result<()> {
    // The time is a number that only grows, which is all a list's number has to do.
    let number = CrlNumber::try_from(now()?.as_secs())?;
    let mut builder =
        CrlBuilder::<Rfc5280>::new_with_this_update(authority, number, time(now()?)?)?;
    if !revoked.is_empty() {
        // An empty list of certificates must be absent altogether.
        builder = builder.with_certificates(revoked.into_iter());
    }
    let list = builder.build::<_, p256::ecdsa::DerSignature>(key)?;
    durable::replace(place, &list.to_der()?, durable::PUBLIC)
        .with_context(|| format!("cannot write {}", place.display()))
}

fn read_list(place: &Path) -> anyhow::Result<Vec<RevokedCert<Rfc5280>>> {
    if !place.exists() {
        return Ok(Vec::new());
    }
    let list = CertificateList::<Rfc5280>::from_der(&std::fs::read(place)?)
        .with_context(|| format!("{} is damaged", place.display()))?;
    Ok(list.tbs_cert_list.revoked_certificates.unwrap_or_default())
}

fn read_authority(folder: &Path) -> anyhow::Result<(Certificate, SigningKey)> {
    let read = |name: &str| {
        let place = folder.join(name);
        std::fs::read_to_string(&place)
            .map(Zeroizing::new)
            .with_context(|| format!("cannot read {}", place.display()))
    };
    let certificate = Certificate::from_pem(read(CERTIFICATE)?.as_bytes())
        .with_context(|| format!("{CERTIFICATE} is no certificate"))?;
    let key = SigningKey::from_pkcs8_pem(&read(KEY)?)
        .map_err(|_| anyhow::anyhow!("{KEY} is no P-256 key in PKCS#8 PEM"))?;
    Ok((certificate, key))
}

fn draw_key() -> anyhow::Result<SigningKey> {
    loop {
        let bytes = Zeroizing::new(random::bytes::<32>()?);
        // Fewer than one in four billion draws is no scalar of the curve.
        if let Ok(key) = SigningKey::from_slice(bytes.as_slice()) {
            return Ok(key);
        }
    }
}

fn pem_of(key: &SigningKey) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .context("the key cannot be written")?;
    Ok(Zeroizing::new(pem.as_bytes().to_vec()))
}

fn write_new(place: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    durable::create(place, content, mode).with_context(|| {
        format!(
            "cannot make {}; what exists is never overwritten",
            place.display()
        )
    })
}

fn now() -> anyhow::Result<Duration> {
    let seconds = u64::try_from(clock::seconds()).context("the clock stands before 1970")?;
    Ok(Duration::from_secs(seconds))
}

fn time(since: Duration) -> Result<Time, der::Error> {
    Ok(Time::from(der::DateTime::from_unix_duration(since)?))
}

fn issue(
    profile: Profile,
    key: &SigningKey,
    issuer: &SigningKey,
    days: u32,
    extensions: Vec<Extension>,
) -> anyhow::Result<Certificate> {
    let mut serial: [u8; 16] = random::bytes()?;
    // The highest bit is the sign; the next one fixes the length.
    serial[0] = serial[0] & 0x7F | 0x40;
    let start = now()?.saturating_sub(DAY);
    let validity = Validity::new(time(start)?, time(now()? + DAY * days)?);
    let spki = key.verifying_key().to_public_key_der()?;
    let spki = SubjectPublicKeyInfoOwned::from_der(spki.as_bytes())?;
    let mut builder =
        CertificateBuilder::new(profile, SerialNumber::new(&serial)?, validity, spki)?;
    for extension in extensions {
        builder.add_extension(extension)?;
    }
    Ok(builder.build::<_, p256::ecdsa::DerSignature>(issuer)?)
}

struct Profile {
    subject: Name,
    issuer: Name,
    is_authority: bool,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        spki: SubjectPublicKeyInfoRef<'_>,
        issuer_spki: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let constraints = BasicConstraints {
            ca: self.is_authority,
            path_len_constraint: self.is_authority.then_some(0),
        };
        let usage = match self.is_authority {
            true => KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            false => KeyUsages::DigitalSignature.into(),
        };
        let (subject, none) = (tbs.subject(), &[][..]);
        Ok(vec![
            constraints.to_extension(subject, none)?,
            KeyUsage(usage).to_extension(subject, none)?,
            SubjectKeyIdentifier::try_from(spki)?.to_extension(subject, none)?,
            AuthorityKeyIdentifier::try_from(issuer_spki)?.to_extension(subject, none)?,
        ])
    }
}
