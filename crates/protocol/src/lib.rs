//! What travels between cameras, authorities, validators and the people who check a photo.
//!
//! This crate does no I/O, reads no clock and draws no randomness: time, nonces and openings are
//! arguments. Every outside byte is adversarial; it becomes a type that cannot be wrong, or an
//! error that names the field.

pub mod api;
pub mod attestation;
pub mod authority_request;
pub mod bundle;
pub mod bytes;
pub mod certificate;
pub mod commitment;
pub mod derivation;
pub mod digest;
pub mod disclosure;
pub mod edit;
pub mod gps;
pub mod image_data;
pub mod json;
pub mod nuc;
pub mod numbers;
pub mod one_time;
pub mod pem;
pub mod public_key;
pub mod python_json;
pub mod request;
pub mod revocations;
pub mod software;
pub mod source;
pub mod submission;
pub mod token;
pub mod token_claim;
pub mod verdict;

mod hexadecimal;

pub use bundle::{AnchorError, Bundle, BundleError, Capture, ImageClaim, PixelSource};
pub use certificate::{CameraCertificate, CameraExtensions, CertificateError, DeviceKey};
pub use commitment::{Commitment, Opening};
pub use derivation::{DerivationProfile, MasterKey, NucHash, TableKey};
pub use digest::{Digest, DigestError, DigestRole};
pub use disclosure::{Disclosure, DisclosureError};
pub use edit::{Edit, EditClaims, EditSubmission};
pub use numbers::{KeyIndex, ModificationLevel, OutOfRange, TableId, Timestamp};
pub use public_key::{KeyId, PublicKey, Signature, SignatureError};
pub use software::{SoftwareCertificate, SoftwareExtensions};
pub use source::Source;
pub use token::{CameraToken, OpenedBy, OpenedToken, SealedNuc, TokenFormatError};
pub use verdict::{Assurance, Proof, SignedVerdict, Verdict, VerdictError, VerdictItem};
