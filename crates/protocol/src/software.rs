//! Certificates of editing software: X.509 with four extensions under an arc of their own.
//!
//! They look like a camera's, so that one institution can issue both; they can never be taken for
//! one, because no extension of the one stands in the other.

use const_oid::ObjectIdentifier;
use der::Encode;
use der::asn1::Utf8StringRef;
use x509_cert::ext::Extension;

use crate::certificate::{CertificateError, Leaf, LeafExtensions, Slot};
use crate::public_key::PublicKey;

/// The arc of the software extensions.
pub const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.60000.2");

/// What a software certificate says beyond X.509.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SoftwareExtensions {
    /// Who makes the software.
    pub developer: String,
    /// Where its makers can be asked. Nothing is ever fetched from there.
    pub endpoint: String,
    /// The application.
    pub application: String,
    /// Its version.
    pub version: String,
}

/// The certificate of editing software.
pub type SoftwareCertificate = Leaf<SoftwareExtensions>;

const fn slot(number: u32, name: &'static str) -> Slot {
    Slot {
        arc: ARC,
        number,
        name,
    }
}

const DEVELOPER: Slot = slot(1, "developer");
const ENDPOINT: Slot = slot(2, "endpoint");
const APPLICATION: Slot = slot(3, "application");
const VERSION: Slot = slot(4, "version");

impl LeafExtensions for SoftwareExtensions {
    type Key = PublicKey;

    fn read(extensions: &[Extension]) -> Result<Self, CertificateError> {
        let read = Self {
            developer: DEVELOPER.text(extensions)?,
            endpoint: ENDPOINT.text(extensions)?,
            application: APPLICATION.text(extensions)?,
            version: VERSION.text(extensions)?,
        };
        if read.name().len() > 255 {
            return Err(APPLICATION.wrong("with the version it is longer than 255 bytes"));
        }
        Ok(read)
    }

    fn read_key(spki_der: &[u8]) -> Result<PublicKey, CertificateError> {
        Ok(PublicKey::from_spki_der(spki_der)?)
    }
}

impl SoftwareExtensions {
    /// Writes the four extensions, not critical, in DER.
    pub fn write(&self) -> Result<Vec<Extension>, CertificateError> {
        [
            (DEVELOPER, &self.developer),
            (ENDPOINT, &self.endpoint),
            (APPLICATION, &self.application),
            (VERSION, &self.version),
        ]
        .into_iter()
        .map(|(slot, text)| slot.extension(Utf8StringRef::new(text).and_then(|text| text.to_der())))
        .collect()
    }

    /// The application and its version: what answers about an edit call it.
    pub fn name(&self) -> String {
        format!("{} {}", self.application, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions() -> SoftwareExtensions {
        SoftwareExtensions {
            developer: "Example Developers".into(),
            endpoint: "https://editor.example/birthmark".into(),
            application: "Example Editor".into(),
            version: "1.0".into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = extensions().write().unwrap();
        assert_eq!(SoftwareExtensions::read(&written), Ok(extensions()));
        assert_eq!(extensions().name(), "Example Editor 1.0");
    }

    #[test]
    fn a_missing_a_repeated_and_a_wrong_extension_are_named() {
        let good = extensions().write().unwrap();
        for (position, name) in ["developer", "endpoint", "application", "version"]
            .into_iter()
            .enumerate()
        {
            let mut without = good.clone();
            without.remove(position);
            let missing = CertificateError::Missing(name);
            assert_eq!(SoftwareExtensions::read(&without), Err(missing));
            let mut twice = good.clone();
            twice.push(good[position].clone());
            let repeated = CertificateError::Repeated(name);
            assert_eq!(SoftwareExtensions::read(&twice), Err(repeated));
        }
        for wrong in ["", "two\nlines", &"x".repeat(256)] {
            let mut extensions = extensions();
            extensions.developer = wrong.into();
            let error = SoftwareExtensions::read(&extensions.write().unwrap()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("extension developer is malformed")
            );
        }
        let mut long = extensions();
        long.application = "x".repeat(252);
        assert!(SoftwareExtensions::read(&long.write().unwrap()).is_err());
    }

    #[test]
    fn no_camera_certificate_is_one() {
        for camera in [
            &include_bytes!("../tests/fixtures/test-camera-der.der")[..],
            include_bytes!("../tests/fixtures/test-camera-raw.der"),
        ] {
            let error = SoftwareCertificate::from_der(camera).unwrap_err();
            assert_eq!(error, CertificateError::Missing("developer"));
        }
    }
}
