//! Every way a camera submits a photo, read into one admitted form.
//!
//! Reading proves nothing yet: the node checks [`SignedClaims`] and the certificate's issuer, and
//! asks the authority. What reading does guarantee is that the claims hold together, that whatever
//! signature can be checked comes with the certificate to check it under, and that there is
//! something to ask an authority about.

mod ours;
mod parse;
mod signed_text;

use crate::bundle::{AnchorError, Bundle};
use crate::certificate::CameraCertificate;
use crate::commitment::Opening;
use crate::digest::Digest;
use crate::numbers::Timestamp;
use crate::public_key::{Signature, SignatureError};
use crate::request::RequestError;
use crate::token::CameraToken;
use crate::token_claim::TokenClaim;

pub(crate) use ours::OurClaims;
pub use ours::{Anchor, NotOurs, OurSubmission};
pub use parse::RegisteredHash;
pub(crate) use parse::{our_claims, read_signature};
pub use signed_text::{SignedForm, SignedText, certificate_lines, hash_and_time, python_text};

/// How many bytes a submission may have.
pub const MAX_SUBMISSION: usize = 64 * 1024;

/// The addresses a submission may come to, each with its own shapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmissionRoute {
    /// `/api/v1/submit`: structured token, two hashes, or packed token.
    Submit,
    /// `/api/v1/submit-legacy`: packed token.
    Legacy,
    /// `/api/v1/submit-cert`: camera certificate.
    Certificate,
}

impl SubmissionRoute {
    /// The byte validators name the address by among themselves.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Submit => 0,
            Self::Legacy => 1,
            Self::Certificate => 2,
        }
    }

    /// The address behind a byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Submit),
            1 => Some(Self::Legacy),
            2 => Some(Self::Certificate),
            _ => None,
        }
    }
}

/// A photo somebody wants registered.
#[derive(Clone, Debug)]
pub struct Submission {
    /// All that is claimed about the photo.
    pub bundle: Bundle,
    /// The hash of the block at the bundle's anchor, as the camera has it. Given exactly when there
    /// is an anchor; whether the registry has that block is not checked here.
    pub anchor_block: Option<Digest>,
    /// Who vouches for the claims.
    pub camera: Camera,
    /// The authority the request names beside the certificate.
    pub named_authority: Option<NamedAuthority>,
}

/// How a camera proves itself.
#[derive(Clone, Debug)]
pub enum Camera {
    /// By a token only the authority can open. The signature is checked if the camera's certificate
    /// came along.
    Token {
        /// What the authority is asked about.
        token: TokenClaim,
        /// What the camera signed.
        signed: Option<SignedClaims>,
    },
    /// By its certificate, and if it is one of ours by a fresh token as well.
    Certificate {
        /// What the camera signed.
        signed: SignedClaims,
        /// A token for this photo alone.
        fresh: Option<FreshToken>,
    },
}

/// A token that is bound to one photo, and what opens the commitment it is bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FreshToken {
    /// The token.
    pub token: CameraToken,
    /// Drawn by the camera.
    pub opening: Opening,
}

/// A signature, the certificate of the key that made it, and the texts it may have been made over.
#[derive(Clone, Debug)]
pub struct SignedClaims {
    /// The camera's certificate. Its issuer is not checked here.
    pub certificate: CameraCertificate,
    /// Made by the certificate's key, if it holds.
    pub signature: Signature,
    /// Each of them names all that was claimed. Tried in order.
    pub texts: Vec<SignedText>,
}

/// An authority as a camera names it. Believed only if the node's own configuration says the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedAuthority {
    /// The authority's name.
    pub id: String,
    /// Where it would be asked.
    pub endpoint: String,
}

impl Submission {
    /// Reads the body of a request that came to `route`.
    pub fn parse(route: SubmissionRoute, body: &[u8]) -> Result<Self, RequestError> {
        parse::parse(route, body)
    }

    /// When the camera says the photo was taken.
    pub const fn time(&self) -> Timestamp {
        self.bundle.time()
    }

    /// What a camera of ours signs, and what every commitment hides.
    pub fn bundle_digest(&self) -> Result<Digest, AnchorError> {
        self.bundle.digest(self.anchor_block.as_ref())
    }

    /// The authority to ask: as the request names it, or as the certificate does. Neither is to be
    /// believed by itself.
    pub fn authority(&self) -> Option<NamedAuthority> {
        let from_certificate = || {
            let extensions = self.camera.signed()?.certificate.extensions();
            Some(NamedAuthority {
                id: extensions.manufacturer_id.clone(),
                endpoint: extensions.ma_endpoint.clone(),
            })
        };
        self.named_authority.clone().or_else(from_certificate)
    }
}

impl Camera {
    /// What was signed, if it can be checked.
    pub const fn signed(&self) -> Option<&SignedClaims> {
        match self {
            Self::Token { signed, .. } => signed.as_ref(),
            Self::Certificate { signed, .. } => Some(signed),
        }
    }

    /// The token for this photo alone, from cameras of ours.
    pub const fn fresh(&self) -> Option<&FreshToken> {
        match self {
            Self::Token { .. } => None,
            Self::Certificate { fresh, .. } => fresh.as_ref(),
        }
    }

    /// The fingerprint of the token that this photo spends. The token inside a certificate is the
    /// same for all its photos.
    pub fn spends(&self) -> Option<Digest> {
        match self {
            Self::Token { token, .. } => Some(token.fingerprint()),
            Self::Certificate { fresh, .. } => {
                fresh.as_ref().map(|fresh| fresh.token.sealed.fingerprint())
            }
        }
    }
}

impl SignedClaims {
    /// Succeeds with the form of the text that the certificate's key signed.
    pub fn verify(&self) -> Result<SignedForm, SignatureError> {
        let key = self.certificate.key().p256().ok_or(SignatureError::Key)?;
        let holds = |text: &&SignedText| key.verify_digest(&text.digest, &self.signature).is_ok();
        self.texts
            .iter()
            .find(holds)
            .map(|text| text.form)
            .ok_or(SignatureError::Mismatch)
    }
}

#[cfg(test)]
mod tests;
