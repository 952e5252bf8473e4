//! Calling the signer, in the protocol's types.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::varlink::{Bounded, CallError, Peers, connect, within};
use birthmark_protocol::attestation::{Credential, Evidence};
use birthmark_protocol::gps::GpsSalt;
use birthmark_protocol::one_time::batch::{BatchOpening, BatchRequest, OpenedKey};
use birthmark_protocol::one_time::{OneTimeProof, OneTimeSubmission};
use birthmark_protocol::token::SealedNuc;
use birthmark_protocol::{
    Bundle, CameraToken, Commitment, Digest, KeyIndex, PublicKey, Signature, TableId,
};
use zeroize::Zeroizing;
use zlink::Connection;

use crate::messages::{
    ActivateReply, AnswerChallengeReply, AttestReply, BatchRequestReply, DraftKeysReply,
    EnrolReply, EpochStock, GpsSaltReply, IssueTokenReply, KeyStoreKind, OneTimeStockReply,
    ProvisionReply, RenewReply, ResealReply, SelfTestReply, SignBundleReply, SignOnceReply,
    SignerRefusal, StatusReply, TakeSignaturesReply,
};

/// How long one call may take: longer than the signer's own deadline, which has the better
/// sentence.
const DEADLINE: Duration = Duration::from_secs(30);

/// The calls as they travel.
#[zlink::proxy("org.birthmark.Signer")]
pub trait SignerCalls {
    /// Signs a bundle.
    async fn sign_bundle(
        &mut self,
        bundle: &str,
        anchor_block: Option<&str>,
    ) -> zlink::Result<Result<SignBundleReply, SignerRefusal>>;
    /// Issues a token.
    async fn issue_token(
        &mut self,
        commitment: &str,
    ) -> zlink::Result<Result<IssueTokenReply, SignerRefusal>>;
    /// Makes one-time keys.
    async fn draft_keys(
        &mut self,
        statement: &str,
        keys: i64,
    ) -> zlink::Result<Result<DraftKeysReply, SignerRefusal>>;
    /// Puts a batch together.
    async fn batch_request(
        &mut self,
        epoch: i64,
    ) -> zlink::Result<Result<BatchRequestReply, SignerRefusal>>;
    /// Opens the keys that a challenge chose.
    async fn answer_challenge(
        &mut self,
        epoch: i64,
        challenge: &str,
    ) -> zlink::Result<Result<AnswerChallengeReply, SignerRefusal>>;
    /// Takes an authority's signatures.
    async fn take_signatures(
        &mut self,
        epoch: i64,
        challenge: &str,
        signatures: &str,
    ) -> zlink::Result<Result<TakeSignaturesReply, SignerRefusal>>;
    /// Signs a bundle with a one-time key.
    async fn sign_once(
        &mut self,
        bundle: &str,
        anchor_block: Option<&str>,
    ) -> zlink::Result<Result<SignOnceReply, SignerRefusal>>;
    /// Asks how many one-time keys there are.
    async fn one_time_stock(&mut self) -> zlink::Result<Result<OneTimeStockReply, SignerRefusal>>;
    /// Derives a salt.
    async fn gps_salt(&mut self, image: &str)
    -> zlink::Result<Result<GpsSaltReply, SignerRefusal>>;
    /// Asks how the keys are.
    async fn status(&mut self) -> zlink::Result<Result<StatusReply, SignerRefusal>>;
    /// Tests the key store.
    async fn self_test(&mut self) -> zlink::Result<Result<SelfTestReply, SignerRefusal>>;
    /// Makes or finds the key.
    async fn enrol(&mut self, again: bool) -> zlink::Result<Result<EnrolReply, SignerRefusal>>;
    /// Has the chip speak about the key.
    async fn attest(&mut self, nonce: &str) -> zlink::Result<Result<AttestReply, SignerRefusal>>;
    /// Opens a credential.
    async fn activate(
        &mut self,
        blob: &str,
        encrypted_seed: &str,
    ) -> zlink::Result<Result<ActivateReply, SignerRefusal>>;
    /// Takes over a provisioning file.
    async fn provision(
        &mut self,
        provisioning: &str,
    ) -> zlink::Result<Result<ProvisionReply, SignerRefusal>>;
    /// Takes over a renewed certificate.
    async fn renew(
        &mut self,
        certificate: &str,
        chain: &str,
    ) -> zlink::Result<Result<RenewReply, SignerRefusal>>;
    /// Seals the secrets anew.
    async fn reseal(&mut self) -> zlink::Result<Result<ResealReply, SignerRefusal>>;
}

/// Why a call to the signer brought nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum SignerCallError {
    /// The call itself failed.
    #[error("signer: {0}")]
    Call(#[from] CallError),
    /// The signer said no.
    #[error("signer: {0}")]
    Refused(#[from] SignerRefusal),
    /// The signer answered something it never should.
    #[error("the signer's answer is unusable: {0}")]
    Answer(&'static str),
}

/// A signature by the camera, checked to be over the bundle that was sent.
#[derive(Clone, Debug)]
pub struct SignedBundle {
    /// The bundle's digest.
    pub digest: Digest,
    /// The camera's signature over it.
    pub signature: Signature,
    /// The camera's certificate, DER.
    pub certificate: Vec<u8>,
    /// Where the key lives.
    pub key_store: KeyStoreKind,
}

/// A connection to the signer.
#[derive(Debug)]
pub struct SignerClient {
    connection: Connection<Bounded>,
    deadline: Duration,
}

impl SignerClient {
    /// Connects to the signer's socket. Any user may serve it: the caller trusts the path.
    pub async fn connect(path: &Path) -> Result<Self, SignerCallError> {
        Self::connect_to(path, &Peers::anyone()).await
    }

    /// Connects to the signer's socket, which one of `servers` must have opened.
    pub async fn connect_to(path: &Path, servers: &Peers) -> Result<Self, SignerCallError> {
        let connection = connect(path, servers, DEADLINE).await?;
        Ok(Self {
            connection,
            deadline: DEADLINE,
        })
    }

    /// The same connection with another deadline per call.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Has a bundle signed. `anchor_block` is the hash of the block at its anchor.
    pub async fn sign_bundle(
        &mut self,
        bundle: &Bundle,
        anchor_block: Option<&Digest>,
    ) -> Result<SignedBundle, SignerCallError> {
        let text = STANDARD.encode(bundle.encode());
        let block = anchor_block.map(Digest::to_hex);
        let call = self.connection.sign_bundle(&text, block.as_deref());
        let reply = within(self.deadline, call).await??;
        let digest = bundle
            .digest(anchor_block)
            .map_err(|_| SignerCallError::Answer("it signed a bundle without its anchor"))?;
        if reply.bundle_digest.parse() != Ok(digest) {
            return Err(SignerCallError::Answer(
                "it signed another digest than the bundle's",
            ));
        }
        let signature = Signature::from_der(&base64("signature", &reply.signature)?)
            .map_err(|_| SignerCallError::Answer("the signature is malformed"))?;
        let certificate = base64("certificate", &reply.certificate)?;
        Ok(SignedBundle {
            digest,
            signature,
            certificate,
            key_store: reply.key_store,
        })
    }

    /// Has a token issued for one photo.
    pub async fn issue_token(
        &mut self,
        commitment: &Commitment,
    ) -> Result<CameraToken, SignerCallError> {
        let text = commitment.digest().to_hex();
        let reply = within(self.deadline, self.connection.issue_token(&text)).await??;
        let sealed = SealedNuc {
            ciphertext: bytes("ciphertext", &reply.ciphertext)?,
            nonce: bytes("nonce", &reply.nonce)?,
            tag: bytes("tag", &reply.auth_tag)?,
        };
        let table = TableId::try_from(reply.table_id)
            .map_err(|_| SignerCallError::Answer("no such table"))?;
        let index = KeyIndex::try_from(reply.key_index)
            .map_err(|_| SignerCallError::Answer("no such key index"))?;
        Ok(CameraToken {
            sealed,
            table,
            index,
        })
    }

    /// Has some more one-time keys made; how many of the batch there are. Ask again until all are.
    pub async fn draft_keys(
        &mut self,
        statement: &[u8],
        keys: usize,
    ) -> Result<usize, SignerCallError> {
        let text = STANDARD.encode(statement);
        let keys = i64::try_from(keys).map_err(|_| SignerCallError::Answer("too many keys"))?;
        let reply = within(self.deadline, self.connection.draft_keys(&text, keys)).await??;
        usize::try_from(reply.made).map_err(|_| SignerCallError::Answer("no number of keys"))
    }

    /// The batch of an epoch, as it goes to the authority.
    pub async fn batch_request(&mut self, epoch: u32) -> Result<BatchRequest, SignerCallError> {
        let call = self.connection.batch_request(epoch.into());
        let reply = within(self.deadline, call).await??;
        Ok(BatchRequest {
            camera_cert: reply.certificate,
            epoch,
            blinded: reply.blinded,
            signature: reply.signature,
        })
    }

    /// The answer to a challenge; `None` while the chip has not spoken about every key: ask again.
    pub async fn answer_challenge(
        &mut self,
        epoch: u32,
        challenge: &str,
    ) -> Result<Option<BatchOpening>, SignerCallError> {
        let call = self.connection.answer_challenge(epoch.into(), challenge);
        let reply = within(self.deadline, call).await??;
        if !reply.is_complete {
            return Ok(None);
        }
        let opened = reply.opened.into_iter().map(|one| OpenedKey {
            seed: one.seed,
            public: one.public,
            statement: one.statement,
            signature: one.signature,
        });
        Ok(Some(BatchOpening {
            camera_cert: reply.certificate,
            epoch,
            challenge: challenge.to_owned(),
            opened: opened.collect(),
            blinded: reply.left,
            signature: reply.signature,
        }))
    }

    /// Gives the signer its authority's signatures, in base64; how many keys of the epoch are
    /// ready.
    pub async fn take_signatures(
        &mut self,
        epoch: u32,
        challenge: &str,
        signatures: &str,
    ) -> Result<usize, SignerCallError> {
        let call = self
            .connection
            .take_signatures(epoch.into(), challenge, signatures);
        let reply = within(self.deadline, call).await??;
        usize::try_from(reply.ready).map_err(|_| SignerCallError::Answer("no number of keys"))
    }

    /// Has a bundle signed with a key that signs nothing else: the submission that goes to a
    /// validator.
    pub async fn sign_once(
        &mut self,
        bundle: &Bundle,
        anchor_block: Option<&Digest>,
    ) -> Result<OneTimeSubmission, SignerCallError> {
        let text = STANDARD.encode(bundle.encode());
        let block = anchor_block.map(Digest::to_hex);
        let call = self.connection.sign_once(&text, block.as_deref());
        let reply = within(self.deadline, call).await??;
        let malformed = SignerCallError::Answer("the one-time key is malformed");
        let key = PublicKey::from_sec1(&bytes::<33>("one-time key", &reply.one_time_key)?);
        let key_signature = base64("the authority's signature", &reply.key_signature)?;
        let signature = Signature::from_der(&base64("signature", &reply.signature)?)
            .map_err(|_| SignerCallError::Answer("the signature is malformed"))?;
        let (Ok(key), Ok(key_signature)) = (key, key_signature.try_into()) else {
            return Err(malformed);
        };
        let submission = OneTimeSubmission {
            bundle: bundle.clone(),
            anchor_block: anchor_block.copied(),
            authority: reply.authority,
            family: reply.device_family,
            epoch: u32::try_from(reply.epoch).map_err(|_| malformed)?,
            proof: OneTimeProof {
                key,
                key_signature,
                signature,
            },
        };
        let digest = submission.bundle_digest();
        if digest.ok().as_ref().map(Digest::to_hex) != Some(reply.bundle_digest) {
            return Err(SignerCallError::Answer(
                "it signed another digest than the bundle's",
            ));
        }
        Ok(submission)
    }

    /// How many one-time keys there are, by epoch.
    pub async fn one_time_stock(&mut self) -> Result<Vec<EpochStock>, SignerCallError> {
        let reply = within(self.deadline, self.connection.one_time_stock()).await??;
        Ok(reply.epochs)
    }

    /// Derives the salt that hides the place of the photo with this raw digest.
    pub async fn gps_salt(&mut self, raw: &Digest) -> Result<GpsSalt, SignerCallError> {
        let text = raw.to_hex();
        let reply = within(self.deadline, self.connection.gps_salt(&text)).await??;
        GpsSalt::from_hex(&reply.salt).map_err(|_| SignerCallError::Answer("the salt is malformed"))
    }

    /// Asks how the camera's keys are.
    pub async fn status(&mut self) -> Result<StatusReply, SignerCallError> {
        Ok(within(self.deadline, self.connection.status()).await??)
    }

    /// Tests the key store thoroughly.
    pub async fn self_test(&mut self) -> Result<(), SignerCallError> {
        within(self.deadline, self.connection.self_test()).await??;
        Ok(())
    }

    /// Makes the camera's key, or finds it; `again` destroys everything of an earlier camera first.
    pub async fn enrol(
        &mut self,
        again: bool,
    ) -> Result<(PublicKey, KeyStoreKind), SignerCallError> {
        let reply = within(self.deadline, self.connection.enrol(again)).await??;
        let key = PublicKey::from_pem(&reply.public_key)
            .map_err(|_| SignerCallError::Answer("the public key is malformed"))?;
        Ok((key, reply.key_store))
    }

    /// Has the chip speak about the camera's key.
    pub async fn attest(&mut self, nonce: &[u8; 32]) -> Result<Evidence, SignerCallError> {
        let text = hex::encode(nonce);
        let reply = within(self.deadline, self.connection.attest(&text)).await??;
        let certificate = reply
            .endorsement_certificate
            .map(|text| base64("certificate", &text))
            .transpose()?;
        Ok(Evidence {
            endorsement_certificate: certificate,
            endorsement_key: base64("endorsement key", &reply.endorsement_key)?,
            attestation_key: base64("attestation key", &reply.attestation_key)?,
            signing_key: base64("signing key", &reply.signing_key)?,
            statement: base64("statement", &reply.statement)?,
            signature: base64("signature", &reply.signature)?,
        })
    }

    /// Opens a credential that an authority made for this camera's chip.
    pub async fn activate(
        &mut self,
        credential: &Credential,
    ) -> Result<Zeroizing<Vec<u8>>, SignerCallError> {
        let (blob, seed) = (
            STANDARD.encode(&credential.blob),
            STANDARD.encode(&credential.encrypted_seed),
        );
        let reply = within(self.deadline, self.connection.activate(&blob, &seed)).await??;
        let secret = Zeroizing::new(reply.secret);
        hex::decode(secret.as_str())
            .map(Zeroizing::new)
            .map_err(|_| SignerCallError::Answer("the secret is malformed"))
    }

    /// Gives the signer a provisioning file's JSON text. The caller destroys the clear copy when
    /// this succeeds.
    pub async fn provision(
        &mut self,
        provisioning: &str,
    ) -> Result<ProvisionReply, SignerCallError> {
        Ok(within(self.deadline, self.connection.provision(provisioning)).await??)
    }

    /// Gives the signer a new certificate for its key, with its issuers' certificates, all in PEM.
    pub async fn renew(
        &mut self,
        certificate: &str,
        chain: &str,
    ) -> Result<RenewReply, SignerCallError> {
        Ok(within(self.deadline, self.connection.renew(certificate, chain)).await??)
    }

    /// Seals the secrets anew, to the measurements of now.
    pub async fn reseal(&mut self) -> Result<ResealReply, SignerCallError> {
        Ok(within(self.deadline, self.connection.reseal()).await??)
    }
}

fn base64(what: &'static str, text: &str) -> Result<Vec<u8>, SignerCallError> {
    STANDARD
        .decode(text)
        .map_err(|_| SignerCallError::Answer(what))
}

fn bytes<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], SignerCallError> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).map_err(|_| SignerCallError::Answer(what))?;
    Ok(out)
}
