//! An authority as validators and operators' commands see it.

use birthmark_protocol::api::{
    AuthorityHealth, BatchValidation, CredentialAnswer, EpochStatements, EvidenceRequest, Nonce,
    RenewalRequest, Renewed, Validation, ValidatorHealth, VerdictKeys,
};
use birthmark_protocol::authority_request::{Batch, CameraProof, Question};
use birthmark_protocol::one_time::batch::{
    BatchChallenge, BatchOpening, BatchRequest, BatchSignatures,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::answer::Answer;
use crate::error::{CallError, SetupError};
use crate::http::{HttpClient, Options};

/// Asks one authority.
#[derive(Debug, Clone)]
pub struct Authority(HttpClient);

impl Authority {
    /// The authority at `address`.
    pub fn new(address: &str, options: &Options) -> Result<Self, SetupError> {
        HttpClient::new(address, options).map(Self)
    }

    /// The same authority, asked in the name of whoever holds this token.
    pub fn with_token(self, token: Option<Zeroizing<String>>) -> Self {
        Self(self.0.with_token(token))
    }

    /// Its address.
    pub fn address(&self) -> &str {
        self.0.address().as_str()
    }

    /// Whether secrets may travel to it.
    pub fn is_confidential(&self) -> bool {
        self.0.is_confidential()
    }

    /// Asks one question.
    pub async fn validate(&self, question: &Question) -> Result<Validation, CallError> {
        let path = match question.proof {
            CameraProof::Certificate(..) => "validate-cert",
            CameraProof::Token(_) => "validate",
        };
        self.0.post(path, &question.to_json()).await?.json()
    }

    /// Asks up to 1,000 questions at once.
    pub async fn validate_batch(
        &self,
        questions: &[Question],
    ) -> Result<BatchValidation, CallError> {
        let batch = Batch::to_json(questions);
        self.0.post("api/v1/validate/batch", &batch).await?.json()
    }

    /// The keys its verdicts are checked with, as it says.
    pub async fn verdict_keys(&self) -> Result<VerdictKeys, CallError> {
        self.0.get("api/v1/verdict-keys").await?.json()
    }

    /// How it is doing. An authority that is not well says so in a busy answer.
    pub async fn health(&self) -> Result<AuthorityHealth, CallError> {
        self.0.get("health").await?.json()
    }

    /// Succeeds when it answers `/health`, whatever it says there, unless it is a validator that
    /// answers.
    pub async fn reach(&self) -> Result<(), CallError> {
        let body = self.0.get("health").await?.success()?;
        // Authorities of the documents answer in forms of their own; a validator alone names itself
        // so.
        match serde_json::from_slice::<ValidatorHealth>(&body) {
            Ok(ValidatorHealth {
                node_id: Some(name),
                ..
            }) => Err(CallError::nonsense(format!(
                "this is the validator {name}, and no authority"
            ))),
            _ => Ok(()),
        }
    }

    /// A file at an address of its own, such as a list of revoked certificates.
    pub async fn fetch(&self, address: &str) -> Result<Vec<u8>, CallError> {
        let body = self.0.fetch(address).await?.success()?;
        Ok(body.to_vec())
    }

    /// What it states about its epochs; none if it gives no one-time keys.
    pub async fn epochs(&self) -> Result<Option<EpochStatements>, CallError> {
        let answer = self.0.get("api/v1/epochs").await?;
        answer.found()?.map(Answer::json).transpose()
    }

    /// Sends a batch of blinded keys; the challenge that decides on those to open.
    pub async fn begin_batch(&self, request: &BatchRequest) -> Result<BatchChallenge, CallError> {
        self.0.post("api/v1/one-time/begin", request).await?.json()
    }

    /// Opens the keys that were chosen; the signatures of the others.
    pub async fn open_batch(&self, request: &BatchOpening) -> Result<BatchSignatures, CallError> {
        self.0.post("api/v1/one-time/open", request).await?.json()
    }

    /// Begins an attestation; none if this authority trusts no makers of chips.
    pub async fn begin_attestation(&self) -> Result<Option<Nonce>, CallError> {
        let nothing = serde_json::Map::new();
        let answer = self.0.post("api/v1/attestation/begin", &nothing).await?;
        answer.found()?.map(Answer::json).transpose()
    }

    /// Shows a chip's evidence; the credential opens in that chip alone.
    pub async fn attest(&self, evidence: &EvidenceRequest) -> Result<CredentialAnswer, CallError> {
        let answer = self.0.post("api/v1/attestation/evidence", evidence).await?;
        answer.json()
    }

    /// Begins a renewal; none if this authority trusts no makers of chips.
    pub async fn begin_renewal(&self) -> Result<Option<Nonce>, CallError> {
        let nothing = serde_json::Map::new();
        let answer = self.0.post("api/v1/renewal/begin", &nothing).await?;
        answer.found()?.map(Answer::json).transpose()
    }

    /// Shows a chip's evidence for a renewal; the credential opens in that chip alone.
    pub async fn show_for_renewal(
        &self,
        evidence: &EvidenceRequest,
    ) -> Result<CredentialAnswer, CallError> {
        self.0
            .post("api/v1/renewal/evidence", evidence)
            .await?
            .json()
    }

    /// The certificate of the camera whose chip has just proven itself.
    pub async fn renew(&self, request: &RenewalRequest) -> Result<Renewed, CallError> {
        self.0
            .post("api/v1/renewal/certificate", request)
            .await?
            .json()
    }

    /// Registers a camera; the answer holds its secrets as JSON text.
    pub async fn provision(
        &self,
        request: &impl Serialize,
    ) -> Result<Zeroizing<String>, CallError> {
        self.0
            .post("api/v1/devices/provision", request)
            .await?
            .text()
    }
}
