//! Asking the signer for a signature and a token. Keys and tables never come here.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::varlink::{self, CallError, Peers};
use birthmark_protocol::one_time::batch::{BatchOpening, BatchRequest, OpenedKey};
use birthmark_protocol::{Bundle, CameraToken, Commitment, Digest, Opening, Signature};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A TPM answers in a tenth of a second; nobody waits for one that is busy with something else.
const DEADLINE: Duration = Duration::from_secs(10);

/// What stands behind a photo once it is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The signature over the bundle's digest: base64 of its DER.
    pub signature: String,
    /// Where the key lives, by the signer's word: `tpm` or `software`.
    pub key_store: String,
    /// Whose key it is, and who answers for it.
    #[serde(flatten)]
    pub by: ProvedBy,
}

/// Who answers for a signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProvedBy {
    /// The camera's certificate, which is the same with all its photos.
    Certificate {
        /// Base64 of its DER.
        certificate: String,
        /// A fresh token, bound to the commitment.
        token: CameraToken,
    },
    /// A key that signs this photo alone, and that its authority signed without seeing it.
    OneTimeKey {
        /// The authority.
        authority: String,
        /// The device family.
        device_family: String,
        /// The epoch.
        epoch: u32,
        /// The key, compressed, in hexadecimal.
        one_time_key: String,
        /// The authority's signature over it, base64.
        key_signature: String,
        /// The last second at which validators take the photo, Unix time.
        good_until: i64,
    },
}

/// What happens to a photo when no one-time key is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenOut {
    /// It waits for the next batch, unsigned.
    Wait,
    /// It is signed under the certificate, which ties it to all others that are.
    Certificate,
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
    /// The photographer chose to wait for one-time keys.
    #[error("{0}: the photo is signed when there are new ones")]
    NoOneTimeKeys(String),
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

    /// The last second of the camera's certificate, in Unix time; none before the camera is
    /// provisioned.
    fn certificate_until(&self) -> Answer<'_, Option<i64>>;
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

/// The answer to `SignOnce`.
#[derive(Debug, Deserialize)]
struct SignedOnce {
    bundle_digest: String,
    signature: String,
    one_time_key: String,
    key_signature: String,
    authority: String,
    device_family: String,
    epoch: u32,
    good_until: i64,
    key_store: String,
}

/// How many one-time keys of an epoch there are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EpochStock {
    /// The epoch.
    pub epoch: u32,
    /// When it begins, Unix time.
    pub from: i64,
    /// When it ends, Unix time.
    pub until: i64,
    /// Keys that are made and not signed.
    pub drafts: u64,
    /// Keys that wait for a photo.
    pub ready: u64,
}

#[derive(Debug, Deserialize)]
struct Stock {
    epochs: Vec<EpochStock>,
}

#[derive(Debug, Deserialize)]
struct Made {
    made: u64,
}

#[derive(Debug, Deserialize)]
struct Asked {
    blinded: String,
    signature: String,
    certificate: String,
}

#[derive(Debug, Deserialize)]
struct Answered {
    is_complete: bool,
    opened: Vec<OpenedKey>,
    left: String,
    signature: String,
    certificate: String,
}

#[derive(Debug, Deserialize)]
struct Ready {
    ready: u64,
}

/// The part of the answer to `Status` that matters here.
#[derive(Debug, Deserialize)]
struct KeyStatus {
    device_family: Option<String>,
    certificate_not_after: Option<i64>,
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
    NoOneTimeKeys { reason: String },
    KeyStore { reason: String },
}

impl From<Refusal> for SignerError {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::NoOneTimeKeys { reason } = refusal {
            return Self::NoOneTimeKeys(reason);
        }
        Self::Refused(match refusal {
            Refusal::BadInput { field, reason } => format!("{field}: {reason}"),
            Refusal::Busy { reason }
            | Refusal::Late { reason }
            | Refusal::NotAllowed { reason }
            | Refusal::NotProvisioned { reason }
            | Refusal::BadProvisioning { reason }
            | Refusal::NoOneTimeKeys { reason }
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
    async fn status(&mut self) -> zlink::Result<Result<KeyStatus, Refusal>>;
    async fn sign_once(
        &mut self,
        bundle: &str,
        anchor_block: Option<&str>,
    ) -> zlink::Result<Result<SignedOnce, Refusal>>;
    async fn one_time_stock(&mut self) -> zlink::Result<Result<Stock, Refusal>>;
    async fn draft_keys(
        &mut self,
        statement: &str,
        keys: i64,
    ) -> zlink::Result<Result<Made, Refusal>>;
    async fn batch_request(&mut self, epoch: i64) -> zlink::Result<Result<Asked, Refusal>>;
    async fn answer_challenge(
        &mut self,
        epoch: i64,
        challenge: &str,
    ) -> zlink::Result<Result<Answered, Refusal>>;
    async fn take_signatures(
        &mut self,
        epoch: i64,
        challenge: &str,
        signatures: &str,
    ) -> zlink::Result<Result<Ready, Refusal>>;
}

/// The signer behind a Varlink socket.
#[derive(Debug)]
pub struct RemoteSigner {
    path: PathBuf,
    servers: Peers,
    one_time: Option<WhenOut>,
    /// Is told when a photo found no one-time key.
    out_of_keys: Arc<Notify>,
}

impl RemoteSigner {
    /// The signer that one of `servers` serves at `path`.
    pub fn new(path: PathBuf, servers: Peers) -> Self {
        Self {
            path,
            servers,
            one_time: None,
            out_of_keys: Arc::default(),
        }
    }

    /// The same signer, asked for one-time keys first.
    pub fn with_one_time_keys(self, when_out: Option<WhenOut>) -> Self {
        Self {
            one_time: when_out,
            ..self
        }
    }

    /// Is told when a photo found no one-time key.
    pub fn out_of_keys(&self) -> Arc<Notify> {
        Arc::clone(&self.out_of_keys)
    }

    /// Signs as the settings say. The certificate is never used where one-time keys were asked for
    /// and the photographer did not say so beforehand.
    async fn prove_as_chosen(
        &self,
        wanted: ToSign<'_>,
        opening: &Opening,
    ) -> Result<Proof, SignerError> {
        let Some(when_out) = self.one_time else {
            return self.ask(wanted, opening).await;
        };
        let once = self.ask_once(wanted).await;
        if matches!(once, Err(SignerError::NoOneTimeKeys(_))) {
            self.out_of_keys.notify_one();
        }
        match (once, when_out) {
            (Err(SignerError::NoOneTimeKeys(reason)), WhenOut::Certificate) => {
                log::warn!(
                    "{reason}: the photo is signed under the certificate, which ties it to others"
                );
                self.ask(wanted, opening).await
            }
            (outcome, _) => outcome,
        }
    }

    async fn ask_once(&self, wanted: ToSign<'_>) -> Result<Proof, SignerError> {
        let Encoded {
            digest,
            bundle,
            block,
        } = wanted.encoded()?;
        let mut signer = self.connect().await?;
        let call = signer.sign_once(&bundle, block.as_deref());
        let signed = varlink::within(DEADLINE, call).await??;
        if signed.bundle_digest.parse() != Ok(digest) {
            return Err(SignerError::Nonsense("it signed another bundle"));
        }
        Ok(Proof {
            signature: signed.signature,
            key_store: signed.key_store,
            by: ProvedBy::OneTimeKey {
                authority: signed.authority,
                device_family: signed.device_family,
                epoch: signed.epoch,
                one_time_key: signed.one_time_key,
                key_signature: signed.key_signature,
                good_until: signed.good_until,
            },
        })
    }

    async fn connect(&self) -> Result<zlink::Connection<varlink::Bounded>, SignerError> {
        Ok(varlink::connect(&self.path, &self.servers, DEADLINE).await?)
    }

    /// The model, once the camera is provisioned.
    pub async fn family(&self) -> Result<Option<String>, SignerError> {
        let mut signer = self.connect().await?;
        Ok(varlink::within(DEADLINE, signer.status())
            .await??
            .device_family)
    }

    /// How many one-time keys there are, by epoch.
    pub async fn one_time_stock(&self) -> Result<Vec<EpochStock>, SignerError> {
        let mut signer = self.connect().await?;
        Ok(varlink::within(DEADLINE, signer.one_time_stock())
            .await??
            .epochs)
    }

    /// Has some more keys made; how many of the batch there are.
    pub async fn draft_keys(&self, statement: &str, keys: u32) -> Result<u64, SignerError> {
        let mut signer = self.connect().await?;
        let call = signer.draft_keys(statement, keys.into());
        Ok(varlink::within(DEADLINE, call).await??.made)
    }

    /// The batch of an epoch, as it goes to the authority.
    pub async fn batch_request(&self, epoch: u32) -> Result<BatchRequest, SignerError> {
        let mut signer = self.connect().await?;
        let asked = varlink::within(DEADLINE, signer.batch_request(epoch.into())).await??;
        Ok(BatchRequest {
            camera_cert: asked.certificate,
            epoch,
            blinded: asked.blinded,
            signature: asked.signature,
        })
    }

    /// The answer to a challenge; `None` while the chip has not spoken about every key.
    pub async fn answer_challenge(
        &self,
        epoch: u32,
        challenge: &str,
    ) -> Result<Option<BatchOpening>, SignerError> {
        let mut signer = self.connect().await?;
        let call = signer.answer_challenge(epoch.into(), challenge);
        let answered = varlink::within(DEADLINE, call).await??;
        Ok(answered.is_complete.then(|| BatchOpening {
            camera_cert: answered.certificate,
            epoch,
            challenge: challenge.to_owned(),
            opened: answered.opened,
            blinded: answered.left,
            signature: answered.signature,
        }))
    }

    /// Gives the signer its authority's signatures; how many keys of the epoch are ready.
    pub async fn take_signatures(
        &self,
        epoch: u32,
        challenge: &str,
        signatures: &str,
    ) -> Result<u64, SignerError> {
        let mut signer = self.connect().await?;
        let call = signer.take_signatures(epoch.into(), challenge, signatures);
        Ok(varlink::within(DEADLINE, call).await??.ready)
    }

    async fn ask(&self, wanted: ToSign<'_>, opening: &Opening) -> Result<Proof, SignerError> {
        let Encoded {
            digest,
            bundle,
            block,
        } = wanted.encoded()?;
        let commitment = Commitment::new(&digest, opening).to_string();
        let mut signer = self.connect().await?;
        let signed =
            varlink::within(DEADLINE, signer.sign_bundle(&bundle, block.as_deref())).await??;
        let token = varlink::within(DEADLINE, signer.issue_token(&commitment)).await??;
        check(&signed, &digest)?;
        Ok(Proof {
            signature: signed.signature,
            key_store: signed.key_store,
            by: ProvedBy::Certificate {
                certificate: signed.certificate,
                token,
            },
        })
    }

    async fn ask_end(&self) -> Result<Option<i64>, SignerError> {
        let mut signer = self.connect().await?;
        let status = varlink::within(DEADLINE, signer.status()).await??;
        Ok(status.certificate_not_after)
    }
}

impl Signer for RemoteSigner {
    fn prove<'a>(&'a self, wanted: ToSign<'a>, opening: &'a Opening) -> Answer<'a, Proof> {
        Box::pin(self.prove_as_chosen(wanted, opening))
    }

    fn certificate_until(&self) -> Answer<'_, Option<i64>> {
        Box::pin(self.ask_end())
    }
}

/// What is to be signed, as it travels to the signer.
struct Encoded {
    digest: Digest,
    bundle: String,
    block: Option<String>,
}

impl ToSign<'_> {
    fn encoded(&self) -> Result<Encoded, SignerError> {
        let digest = self.bundle.digest(self.anchor_block);
        Ok(Encoded {
            digest: digest
                .map_err(|_| SignerError::Nonsense("the bundle's anchor has no block"))?,
            bundle: STANDARD.encode(self.bundle.encode()),
            block: self.anchor_block.map(Digest::to_hex),
        })
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
