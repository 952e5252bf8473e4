//! Puts certificates together so that any X.509 program accepts them.

use std::str::FromStr;
use std::time::Duration;

use birthmark_protocol::Timestamp;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_AD_CA_ISSUERS, ID_AD_OCSP};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use der::asn1::{Ia5String, OctetString};
use der::referenced::OwnedToRef;
use der::{Decode, Encode};
use spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use super::{CaError, PrivateKey};
use crate::settings::Settings;

/// A certificate about to be signed.
#[derive(Debug)]
pub struct Request {
    subject: Name,
    validity: (Timestamp, Timestamp),
    authority: Option<Option<u8>>,
    usage: KeyUsages,
    extensions: Vec<Extension>,
}

/// A subject of ours: the organisation and a name.
pub fn name(settings: &Settings, common_name: &str) -> Result<Name, CaError> {
    // The settings admit no character that means something in this notation.
    Ok(Name::from_str(&format!(
        "CN={common_name},O={}",
        settings.organization()
    ))?)
}

/// A moment as X.509 writes it: none before 1970.
pub fn time(moment: Timestamp) -> Result<Time, der::Error> {
    let seconds = u64::try_from(moment.unix()).map_err(|_| der::ErrorKind::DateTime)?;
    let since = Duration::from_secs(seconds);
    Ok(Time::from(der::DateTime::from_unix_duration(since)?))
}

/// A random serial number: 16 bytes, positive, as long as any program reads.
pub fn certificate_serial() -> Result<[u8; 16], crate::random::NoRandomness> {
    let mut serial: [u8; 16] = crate::random::bytes()?;
    if let Some(first) = serial.first_mut() {
        // The highest bit is the sign; the next one fixes the length.
        *first = *first & 0x7F | 0x40;
    }
    Ok(serial)
}

impl Request {
    /// A certificate that may sign others.
    pub const fn authority(
        subject: Name,
        validity: (Timestamp, Timestamp),
        path: Option<u8>,
    ) -> Self {
        Self {
            subject,
            validity,
            authority: Some(path),
            usage: KeyUsages::KeyCertSign,
            extensions: Vec::new(),
        }
    }

    /// A certificate that may not.
    pub const fn leaf(subject: Name, validity: (Timestamp, Timestamp)) -> Self {
        Self {
            subject,
            validity,
            authority: None,
            usage: KeyUsages::DigitalSignature,
            extensions: Vec::new(),
        }
    }

    /// Is valid only while its issuer is: what begins before it is not believed.
    pub fn cut_to(&mut self, (from, until): (Timestamp, Timestamp)) {
        self.validity.0 = self.validity.0.max(from);
        self.validity.1 = self.validity.1.min(until);
    }

    /// The key of a certificate that may not sign others is used for this alone.
    #[cfg(test)]
    pub const fn usage(&mut self, usage: KeyUsages) {
        self.usage = usage;
    }

    /// Until when the certificate will be valid.
    pub const fn end(&self) -> Timestamp {
        self.validity.1
    }

    /// Says that nobody asks whether this certificate was revoked: it ends soon instead.
    pub fn unchecked(&mut self) -> Result<(), CaError> {
        self.extensions.push(Extension {
            extn_id: ID_PKIX_OCSP_NOCHECK,
            critical: false,
            extn_value: OctetString::new(der::asn1::Null.to_der()?)?,
        });
        Ok(())
    }

    /// Adds finished extensions.
    pub fn add_all(&mut self, extensions: Vec<Extension>) {
        self.extensions.extend(extensions);
    }

    fn add<E: ToExtension<Error = der::Error>>(&mut self, extension: E) -> Result<(), CaError> {
        let extension = extension.to_extension(&self.subject, &self.extensions)?;
        self.extensions.push(extension);
        Ok(())
    }

    /// Adds the only purpose the key may be used for.
    pub fn purpose(&mut self, purpose: ObjectIdentifier) -> Result<(), CaError> {
        self.add(&ExtendedKeyUsage(vec![purpose]))
    }

    /// Says under which policy the certificate was issued.
    pub fn policy(&mut self, policy: ObjectIdentifier) -> Result<(), CaError> {
        self.add(&CertificatePolicies(vec![PolicyInformation {
            policy_identifier: policy,
            policy_qualifiers: None,
        }]))
    }

    /// Says where the revocation list, the responder and the issuer's certificate are.
    pub fn point_to(&mut self, url: &str) -> Result<(), CaError> {
        let at = |path: &str| {
            Ia5String::new(&format!("{url}{path}")).map(GeneralName::UniformResourceIdentifier)
        };
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![at("/crl")?])),
            reasons: None,
            crl_issuer: None,
        };
        self.add(&CrlDistributionPoints(vec![point]))?;
        let access = |method, path| -> Result<_, der::Error> {
            Ok(AccessDescription {
                access_method: method,
                access_location: at(path)?,
            })
        };
        self.add(&AuthorityInfoAccessSyntax(vec![
            access(ID_AD_OCSP, "/ocsp")?,
            access(ID_AD_CA_ISSUERS, "/ca/intermediate.der")?,
        ]))
    }

    /// Signs; `issuer` is the issuer's certificate, none for a root.
    pub fn sign(
        self,
        spki_der: &[u8],
        key: &PrivateKey,
        issuer_name: &Name,
        issuer: Option<&Certificate>,
    ) -> Result<Vec<u8>, CaError> {
        let spki = SubjectPublicKeyInfoOwned::from_der(spki_der)?;
        let serial = SerialNumber::new(&certificate_serial().map_err(super::KeyError::from)?)?;
        let validity = Validity::new(time(self.validity.0)?, time(self.validity.1)?);
        let profile = Profile {
            subject: self.subject,
            issuer: issuer_name.clone(),
            authority: self.authority,
            usage: self.usage,
            issuer_key: issuer_key_id(issuer)?,
        };
        let mut builder = CertificateBuilder::new(profile, serial, validity, spki)?;
        for extension in self.extensions {
            builder.add_extension(extension)?;
        }
        let certificate = builder.build::<_, p256::ecdsa::DerSignature>(key.signer())?;
        Ok(certificate.to_der()?)
    }
}

/// How certificates and lists name the key that signed them: as the signer's own certificate does.
pub fn authority_key(signer: &Certificate) -> Result<AuthorityKeyIdentifier, CaError> {
    let key_identifier = match issuer_key_id(Some(signer))? {
        Some(identifier) => identifier,
        None => {
            let spki = signer.tbs_certificate().subject_public_key_info();
            SubjectKeyIdentifier::try_from(spki.owned_to_ref())?.0
        }
    };
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(key_identifier),
        ..Default::default()
    })
}

/// The identifier the issuer's own certificate gives its key, which imported ones may compute
/// differently.
fn issuer_key_id(issuer: Option<&Certificate>) -> Result<Option<OctetString>, CaError> {
    let Some(issuer) = issuer else {
        return Ok(None);
    };
    let found = issuer
        .tbs_certificate()
        .get_extension::<SubjectKeyIdentifier>()?;
    Ok(found.map(|(_, identifier)| identifier.0))
}

struct Profile {
    subject: Name,
    issuer: Name,
    authority: Option<Option<u8>>,
    usage: KeyUsages,
    issuer_key: Option<OctetString>,
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
        let authority_key = match &self.issuer_key {
            Some(key) => AuthorityKeyIdentifier {
                key_identifier: Some(key.clone()),
                ..Default::default()
            },
            None => AuthorityKeyIdentifier::try_from(issuer_spki)?,
        };
        let constraints = BasicConstraints {
            ca: self.authority.is_some(),
            path_len_constraint: self.authority.flatten(),
        };
        let usage = match self.authority {
            Some(_) => KeyUsages::KeyCertSign | KeyUsages::CRLSign | KeyUsages::DigitalSignature,
            None => self.usage.into(),
        };
        let (subject, none) = (tbs.subject(), &[][..]);
        Ok(vec![
            constraints.to_extension(subject, none)?,
            KeyUsage(usage).to_extension(subject, none)?,
            SubjectKeyIdentifier::try_from(spki)?.to_extension(subject, none)?,
            authority_key.to_extension(subject, none)?,
        ])
    }
}
