//! One authority over HTTP: batches where it offers them, one by one where not.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_client::{self as client, CallError, Options};
use birthmark_protocol::api::{BatchItem, EpochStatements};
use birthmark_protocol::authority_request::Question;
use birthmark_protocol::{Commitment, SignedVerdict};
use futures_util::future::join_all;
use zeroize::Zeroizing;

use crate::authorities::Authority;
use crate::settings::AuthoritySettings;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// How many single questions may be open at once.
const OPEN: usize = 16;
/// No answer of an authority is larger.
const LARGEST_ANSWER: usize = 8 << 20;

/// Asks one authority.
#[derive(Debug)]
pub struct AuthorityClient(client::Authority);

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
    /// It does not know this validator: batches it answers only to those that it gave a token.
    #[error("the authority does not know this validator: {0}")]
    Token(String),
}

impl AskError {
    /// Whether another question may well be answered: the authority is there, and it is this one
    /// that fails.
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
            Self::Token(_) => "does not know this validator",
        }
    }
}

impl From<CallError> for AskError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused {
                status: 400 | 413 | 422,
                reason,
            } => Self::Question(reason),
            CallError::Refused {
                status: 401 | 403,
                reason,
            } => Self::Token(reason),
            CallError::Nonsense(reason) => Self::Nonsense(reason),
            // A front whose authority is down or busy says these, and so does an authority that is
            // not well.
            CallError::Busy {
                status: 429 | 502..=504,
                ..
            } => Self::Away(error.to_string()),
            CallError::Busy {
                status: 500..=599, ..
            } => Self::Stumbled(error.to_string()),
            error => Self::Away(error.to_string()),
        }
    }
}

impl AuthorityClient {
    /// A client with its own pool of connections.
    pub fn new(authority: &Authority) -> anyhow::Result<Self> {
        let token = authority.token().map(|secret| secret.text());
        let token = token
            .transpose()?
            .map(|text| Zeroizing::new(text.to_owned()));
        Self::with_token(&authority.settings, token)
    }

    /// The same for an authority that is not read yet, in the name of whoever holds this token.
    pub fn with_token(
        settings: &AuthoritySettings,
        token: Option<Zeroizing<String>>,
    ) -> anyhow::Result<Self> {
        let options = Options {
            user_agent: concat!("birthmark-node/", env!("CARGO_PKG_VERSION")),
            timeout: DEADLINE,
            largest_answer: LARGEST_ANSWER,
            ..Options::default()
        };
        let client = client::Authority::new(&settings.endpoint, &options)?;
        Ok(Self(client.with_token(token)))
    }

    /// Whether nobody between can change what it says: over TLS, or on this machine.
    pub fn is_confidential(&self) -> bool {
        self.0.is_confidential()
    }

    /// Asks all of these questions in one request.
    pub async fn ask_batch(&self, questions: &[Question]) -> Result<Verdicts, AskError> {
        let answer = self.0.validate_batch(questions).await?;
        let signed = answer.verdict.as_deref().map(read_verdict).transpose()?;
        let in_order = answer.results.len() == questions.len();
        let paired = answer.results.into_iter().enumerate();
        let answers =
            paired.filter_map(|(at, item)| answer_to(item, questions.get(at).filter(|_| in_order)));
        let answers = answers.collect();
        Ok(Verdicts { answers, signed })
    }

    /// Asks one question of an authority that knows no batches.
    pub async fn ask_one(
        &self,
        question: &Question,
    ) -> Result<(Answer, Option<SignedVerdict>), AskError> {
        let answer = self.0.validate(question).await?;
        let commitment = question
            .commitment
            .ok_or_else(|| AskError::Question("it names no commitment".into()))?;
        let signed = answer.verdict.as_deref().map(read_verdict).transpose()?;
        Ok((
            Answer {
                commitment,
                valid: answer.valid,
                message: answer.message.into_owned(),
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
        Ok(self.0.fetch(address).await?)
    }

    /// What it states about its epochs; none if it gives no one-time keys.
    pub async fn epochs(&self) -> Result<Option<EpochStatements>, AskError> {
        Ok(self.0.epochs().await?)
    }

    /// Succeeds when the authority answers at all.
    pub async fn health(&self) -> Result<(), AskError> {
        Ok(self.0.reach().await?)
    }
}

/// An authority that could not read a question names no commitment; then its place says which it
/// was.
fn answer_to(item: BatchItem, question: Option<&Question>) -> Option<Answer> {
    let refused = || question.filter(|_| !item.valid)?.commitment;
    Some(Answer {
        commitment: item.commitment.map(Commitment::from).or_else(refused)?,
        valid: item.valid,
        message: item.message.into_owned(),
    })
}

fn read_verdict(text: &str) -> Result<SignedVerdict, AskError> {
    let nonsense =
        |error: &dyn std::fmt::Display| AskError::Nonsense(format!("its verdict: {error}"));
    let bytes = STANDARD.decode(text).map_err(|error| nonsense(&error))?;
    SignedVerdict::decode(&bytes).map_err(|error| nonsense(&error))
}
