//! One authority over HTTP: batches where it offers them, one by one where not.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::reasons::in_one_line;
use birthmark_protocol::authority_request::{Batch, CameraProof, Question};
use birthmark_protocol::{Commitment, Digest, SignedVerdict};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::Value;

use crate::authorities::Authority;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// How many single questions may be open at once.
const OPEN: usize = 16;
/// No answer of an authority is larger.
const LARGEST_ANSWER: usize = 8 << 20;

/// Asks one authority.
#[derive(Debug)]
pub struct AuthorityClient {
    http: reqwest::Client,
    base: String,
}

/// What an authority said to one question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What was asked about.
    pub commitment: Commitment,
    /// Whether it vouches.
    pub valid: bool,
    /// Its reason, in its own words.
    pub message: String,
}

/// What an authority said to many questions.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// Its answers; those it left out are asked again.
    pub answers: Vec<Answer>,
    /// Its signature over those that passed.
    pub signed: Option<SignedVerdict>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It did not answer, or is not well. Later it may.
    #[error("the authority does not answer: {0}")]
    Away(String),
    /// It answers, but fails on this.
    #[error("the authority fails on the question: {0}")]
    Stumbled(String),
    /// It answered something that is no answer.
    #[error("the authority's answer makes no sense: {0}")]
    Nonsense(String),
    /// Somebody answered in its name.
    #[error("the authority's answer is forged: {0}")]
    Forged(String),
    /// It will never answer this question.
    #[error("the authority refuses the question: {0}")]
    Question(String),
}

impl AskError {
    /// Whether another question may well be answered: the authority is there, and it is this one that fails.
    pub const fn is_of_the_question(&self) -> bool {
        matches!(
            self,
            Self::Stumbled(_) | Self::Nonsense(_) | Self::Question(_)
        )
    }

    /// For pages anybody may read: without addresses.
    pub const fn in_a_word(&self) -> &'static str {
        match self {
            Self::Away(_) => "does not answer",
            Self::Stumbled(_) => "fails on some questions",
            Self::Nonsense(_) => "answers what is no answer",
            Self::Forged(_) => "an answer in its name was forged",
            Self::Question(_) => "refuses questions",
        }
    }
}

#[derive(Deserialize)]
struct BatchAnswer {
    results: Vec<ItemAnswer>,
    #[serde(default)]
    verdict: Option<String>,
}

#[derive(Deserialize)]
struct ItemAnswer {
    commitment: Option<Digest>,
    valid: Option<bool>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct SingleAnswer {
    valid: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    verdict: Option<String>,
}

impl AuthorityClient {
    /// A client with its own pool of connections.
    pub fn new(authority: &Authority) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(DEADLINE)
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            // An authority is where the configuration says, and nowhere it would send us.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("birthmark-node/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            base: authority.settings.endpoint.trim_end_matches('/').to_owned(),
        })
    }

    /// Asks all of these questions in one request.
    pub async fn ask_batch(&self, questions: &[Question]) -> Result<Verdicts, AskError> {
        let body = self
            .post("/api/v1/validate/batch", &Batch::to_json(questions))
            .await?;
        let answer: BatchAnswer =
            serde_json::from_slice(&body).map_err(|error| AskError::Nonsense(error.to_string()))?;
        let signed = answer.verdict.as_deref().map(read_verdict).transpose()?;
        let in_order = answer.results.len() == questions.len();
        let paired = answer.results.into_iter().enumerate();
        let answers = paired
            .filter_map(|(at, item)| item.into_answer(questions.get(at).filter(|_| in_order)));
        let answers = answers.collect();
        Ok(Verdicts { answers, signed })
    }

    /// Asks one question of an authority that knows no batches.
    pub async fn ask_one(
        &self,
        question: &Question,
    ) -> Result<(Answer, Option<SignedVerdict>), AskError> {
        let path = match question.proof {
            CameraProof::Certificate(..) => "/validate-cert",
            CameraProof::Token(_) => "/validate",
        };
        let body = self.post(path, &question.to_json()).await?;
        let answer: SingleAnswer =
            serde_json::from_slice(&body).map_err(|error| AskError::Nonsense(error.to_string()))?;
        let commitment = question
            .commitment
            .ok_or_else(|| AskError::Question("it names no commitment".into()))?;
        let signed = answer.verdict.as_deref().map(read_verdict).transpose()?;
        Ok((
            Answer {
                commitment,
                valid: answer.valid,
                message: answer.message,
            },
            signed,
        ))
    }

    /// Asks one by one, several at once.
    pub async fn ask_each(
        &self,
        questions: &[Question],
    ) -> Vec<Result<(Answer, Option<SignedVerdict>), AskError>> {
        let mut answers = Vec::with_capacity(questions.len());
        for portion in questions.chunks(OPEN) {
            let mut open = Vec::with_capacity(portion.len());
            for question in portion {
                open.push(self.ask_one(question));
            }
            answers.extend(join_all(open).await);
        }
        answers
    }

    /// Fetches a file of the authority's, such as its list of revoked certificates.
    pub async fn fetch(&self, address: &str) -> Result<Vec<u8>, AskError> {
        let response = self.http.get(address).send().await.map_err(away)?;
        read(response).await
    }

    /// Succeeds when the authority answers at all.
    pub async fn health(&self) -> Result<(), AskError> {
        self.fetch(&format!("{}/health", self.base)).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Vec<u8>, AskError> {
        let response = self
            .http
            .post(format!("{}{path}", self.base))
            .json(body)
            .send()
            .await
            .map_err(away)?;
        read(response).await
    }
}

impl ItemAnswer {
    /// An authority that could not read a question names no commitment; then its place says which it was.
    fn into_answer(self, question: Option<&Question>) -> Option<Answer> {
        let valid = self.valid?;
        let refused = || question.filter(|_| !valid)?.commitment;
        Some(Answer {
            commitment: self.commitment.map(Commitment::from).or_else(refused)?,
            valid,
            message: self.message,
        })
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, AskError> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Err(AskError::Nonsense("the answer is too large".into()));
        }
    }
    match status.as_u16() {
        200..=299 => Ok(body),
        400 | 413 | 422 => Err(AskError::Question(sentence(&body))),
        // A front whose authority is down or busy says these, and so does an authority that is not well.
        429 | 502..=504 => Err(AskError::Away(format!("status {status}"))),
        500..=599 => Err(AskError::Stumbled(format!("status {status}"))),
        _ => Err(AskError::Away(format!("status {status}"))),
    }
}

/// What an error answer says, if it says anything.
fn sentence(body: &[u8]) -> String {
    let detail = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|body| body.get("detail").cloned());
    match detail {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => "no reason given".into(),
    }
}

fn away(error: reqwest::Error) -> AskError {
    AskError::Away(in_one_line(&error))
}

fn read_verdict(text: &str) -> Result<SignedVerdict, AskError> {
    let nonsense =
        |error: &dyn std::fmt::Display| AskError::Nonsense(format!("its verdict: {error}"));
    let bytes = STANDARD.decode(text).map_err(|error| nonsense(&error))?;
    SignedVerdict::decode(&bytes).map_err(|error| nonsense(&error))
}
