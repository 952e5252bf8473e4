//! Asking the signer for a signature and a token. Keys and tables never come here.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::varlink::{self, CallError, Peers};
use birthmark_protocol::gps::GpsSalt;
use birthmark_protocol::{Bundle, CameraToken, Commitment, Digest, Opening, Signature};
use serde::{Deserialize, Serialize};

/// A TPM answers in a tenth of a second; one that is busy with something else gets the time a photographer would wait.
const DEADLINE: Duration = Duration::from_secs(10);

/// What stands behind a photo once it is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The camera's certificate: base64 of its DER.
    pub certificate: String,
    /// The signature over the bundle's digest: base64 of its DER.
    pub signature: String,
    /// Where the key lives, by the signer's word: `tpm` or `software`.
    pub key_store: String,
    /// A fresh token, bound to the commitment.
    pub token: CameraToken,
}

/// Why there is no proof yet.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The call did not get through.
    #[error("the signer cannot be asked: {0}")]
    Call(#[from] CallError),
    /// The signer said no.
    #[error("the signer refuses: {0}")]
    Refused(String),
    /// The answer does not belong to the question.
    #[error("the signer answers nonsense: {0}")]
    Nonsense(&'static str),
}

/// What a signature is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    /// The claims.
    pub bundle: &'a Bundle,
    /// The hash of the block they are anchored to, if they are to one.
    pub anchor_block: Option<&'a Digest>,
}

/// Somebody who signs bundles. The daemon's is across a socket; tests have their own.
pub trait Signer: Send + Sync {
    /// Signs `bundle` and seals a token for its commitment under `opening`.
    fn prove<'a>(&'a self, wanted: ToSign<'a>, opening: &'a Opening) -> Answer<'a, Proof>;

    /// The salt that hides the place of the photo with this raw digest.
    fn salt<'a>(&'a self, raw: &'a Digest) -> Answer<'a, GpsSalt>;
}

/// What a signer answers, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SignerError>> + Send + 'a>>;

/// The answer to `SignBundle`.
#[derive(Debug, Deserialize)]
struct Signed {
    bundle_digest: String,
    signature: String,
    key_store: String,
    certificate: String,
}

/// The answer to `GpsSalt`.
#[derive(Debug, Deserialize)]
struct Salted {
    salt: String,
}

/// What the signer says when it says no. Each comes with a sentence.
#[derive(Debug, zlink::ReplyError)]
#[zlink(interface = "org.birthmark.Signer")]
enum Refusal {
    Busy { reason: String },
    Late { reason: String },
    NotAllowed { reason: String },
    BadInput { field: String, reason: String },
    NotProvisioned { reason: String },
    BadProvisioning { reason: String },
    KeyStore { reason: String },
}

impl From<Refusal> for SignerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(match refusal {
            Refusal::BadInput { field, reason } => format!("{field}: {reason}"),
            Refusal::Busy { reason }
            | Refusal::Late { reason }
            | Refusal::NotAllowed { reason }
            | Refusal::NotProvisioned { reason }
            | Refusal::BadProvisioning { reason }
            | Refusal::KeyStore { reason } => reason,
        })
    }
}

#[zlink::proxy("org.birthmark.Signer")]
trait SignerCalls {
    async fn sign_bundle(
        &mut self,
        bundle: &str,
        anchor_block: Option<&str>,
    ) -> zlink::Result<Result<Signed, Refusal>>;
    async fn issue_token(
        &mut self,
        commitment: &str,
    ) -> zlink::Result<Result<CameraToken, Refusal>>;
    async fn gps_salt(&mut self, image: &str) -> zlink::Result<Result<Salted, Refusal>>;
}

/// The signer behind a Varlink socket.
#[derive(Debug)]
pub struct RemoteSigner {
    path: PathBuf,
    servers: Peers,
}

impl RemoteSigner {
    /// The signer that one of `servers` serves at `path`.
    pub fn new(path: PathBuf, servers: Peers) -> Self {
        Self { path, servers }
    }

    async fn ask(&self, wanted: ToSign<'_>, opening: &Opening) -> Result<Proof, SignerError> {
        let ToSign {
            bundle,
            anchor_block,
        } = wanted;
        let digest = bundle
            .digest(anchor_block)
            .map_err(|_| SignerError::Nonsense("the bundle's anchor has no block"))?;
        let block = anchor_block.map(Digest::to_hex);
        let commitment = Commitment::new(&digest, opening).to_string();
        let encoded = STANDARD.encode(bundle.encode());
        let mut signer = varlink::connect(&self.path, &self.servers, DEADLINE).await?;
        let signed =
            varlink::within(DEADLINE, signer.sign_bundle(&encoded, block.as_deref())).await??;
        let token = varlink::within(DEADLINE, signer.issue_token(&commitment)).await??;
        check(&signed, &digest)?;
        Ok(Proof {
            certificate: signed.certificate,
            signature: signed.signature,
            key_store: signed.key_store,
            token,
        })
    }

    async fn ask_salt(&self, raw: &Digest) -> Result<GpsSalt, SignerError> {
        let mut signer = varlink::connect(&self.path, &self.servers, DEADLINE).await?;
        let salted = varlink::within(DEADLINE, signer.gps_salt(&raw.to_hex())).await??;
        GpsSalt::from_hex(&salted.salt)
            .map_err(|_| SignerError::Nonsense("the salt is not 64 hexadecimal characters"))
    }
}

impl Signer for RemoteSigner {
    fn prove<'a>(&'a self, wanted: ToSign<'a>, opening: &'a Opening) -> Answer<'a, Proof> {
        Box::pin(self.ask(wanted, opening))
    }

    fn salt<'a>(&'a self, raw: &'a Digest) -> Answer<'a, GpsSalt> {
        Box::pin(self.ask_salt(raw))
    }
}

/// A proof that the node would refuse must not be queued as one.
fn check(signed: &Signed, digest: &Digest) -> Result<(), SignerError> {
    if signed.bundle_digest.parse() != Ok(*digest) {
        return Err(SignerError::Nonsense("it signed another bundle"));
    }
    let decode = |text: &str, what| {
        STANDARD
            .decode(text)
            .map_err(|_| SignerError::Nonsense(what))
    };
    let signature = decode(&signed.signature, "the signature is not base64")?;
    let certificate = decode(&signed.certificate, "the certificate is not base64")?;
    if certificate.is_empty() {
        return Err(SignerError::Nonsense("there is no certificate"));
    }
    Signature::from_der(&signature)
        .map(|_| ())
        .map_err(|_| SignerError::Nonsense("the signature is not DER"))
}
