//! From an authority's answers to a signed transaction in the pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use birthmark_consensus::{Evidence, Vouching};
use birthmark_ledger::{Label, Origin, Record, Source, Transaction, VoteKey};
use birthmark_protocol::{Assurance, Commitment, Digest, SignedVerdict};
use tokio::sync::Notify;

use super::Answer;
use crate::admission::{Admission, Asked, Request};
use crate::clock;
use crate::store::{Decision, Pooled, ReceiptId, Reserved, Settled, Store, StoreError, Waiting};

/// One waiting submission and what its authority said.
pub struct Answered {
    /// The submission.
    pub waiting: Waiting,
    /// What was asked.
    pub request: Request,
    /// What was said.
    pub answer: Outcome,
}

/// What came back.
pub enum Outcome {
    /// The authority vouches: the device family and what it can attest.
    Passed {
        /// The device's family, as the verdict names it.
        family: String,
        /// What the authority itself vouches for.
        assurance: Assurance,
        /// Whether the verdict beside it covers this.
        is_signed: bool,
    },
    /// It does not.
    Failed(String),
}

/// Settles answered submissions.
pub struct Settler {
    store: Store,
    admission: Arc<Admission>,
    key: Arc<VoteKey>,
    chain: Digest,
    pooled: Arc<Notify>,
}

struct Passed {
    id: ReceiptId,
    record: Record,
    vouching: Vouching,
}

impl Settler {
    /// A settler that signs with the validator's key and tells `pooled` of each new transaction.
    pub fn new(
        store: Store,
        admission: Arc<Admission>,
        key: Arc<VoteKey>,
        chain: Digest,
        pooled: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            admission,
            key,
            chain,
            pooled,
        }
    }

    /// The store behind it.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Settles the answered submissions of one authority, `verdict` covering those that passed.
    pub async fn settle(
        &self,
        authority: &Label,
        answered: Vec<Answered>,
        verdict: Option<SignedVerdict>,
    ) -> Result<(), StoreError> {
        if answered.is_empty() {
            return Ok(());
        }
        let owners = self.reserve(&answered).await?;
        let queue: Vec<_> = answered
            .iter()
            .map(|answered| answered.waiting.seq)
            .collect();
        let (mut passed, mut decisions) = (Vec::new(), Vec::new());
        for answered in answered {
            match self.judge(authority, answered, &owners)? {
                Ok(one) => passed.push(one),
                Err(decision) => decisions.push(decision),
            }
        }
        let placed = passed.iter().zip(0..).map(|(one, place)| Decision {
            id: one.id,
            settled: Settled::Placed(place),
        });
        // The placed ones first: another of the same batch may share their fate.
        let decisions: Vec<_> = placed.chain(decisions).collect();
        let pooled = self.seal(passed, verdict)?;
        self.store
            .settle(&decisions, &queue, pooled.as_ref(), clock::now())
            .await?;
        self.admission.decided(queue.len() as u64);
        if pooled.is_some() {
            self.pooled.notify_one();
        }
        Ok(())
    }

    async fn reserve(&self, answered: &[Answered]) -> Result<Reserved, StoreError> {
        let passed = answered
            .iter()
            .filter(|answered| matches!(answered.answer, Outcome::Passed { .. }));
        let (mut claims, mut tokens) = (BTreeMap::new(), BTreeMap::new());
        for Answered {
            waiting, request, ..
        } in passed
        {
            claims.entry(request.claim.clone()).or_insert(waiting.id);
            if let Some(token) = &request.token {
                tokens.entry(token.clone()).or_insert(waiting.id);
            }
        }
        let claims: Vec<_> = claims.into_iter().collect();
        let tokens: Vec<_> = tokens.into_iter().collect();
        self.store.reserve(&claims, &tokens).await
    }

    /// A submission that becomes a record, or what else becomes of it.
    fn judge(
        &self,
        authority: &Label,
        answered: Answered,
        owners: &Reserved,
    ) -> Result<Result<Passed, Decision>, StoreError> {
        let Answered {
            waiting: Waiting { id, .. },
            request,
            answer,
        } = answered;
        let decided = |settled| Ok(Err(Decision { id, settled }));
        let (family, assurance, is_signed) = match answer {
            Outcome::Failed(reason) => return decided(Settled::Rejected(reason)),
            Outcome::Passed {
                family,
                assurance,
                is_signed,
            } => (family, assurance, is_signed),
        };
        if let Some(owner) = owners
            .claims
            .get(&request.claim)
            .filter(|owner| **owner != id)
        {
            return decided(Settled::SameAs(*owner));
        }
        let spent = request
            .token
            .as_ref()
            .and_then(|token| owners.tokens.get(token));
        if spent.is_some_and(|owner| *owner != id) {
            return decided(Settled::Rejected(
                "the camera token was already used for another photo".into(),
            ));
        }
        match record_of(&request, authority, &family, assurance)? {
            Ok(record) => {
                let vouching = match is_signed {
                    true => Vouching::Verdict {
                        verdict: 0,
                        opening: request.opening()?,
                    },
                    false => Vouching::Word,
                };
                Ok(Ok(Passed {
                    id,
                    record,
                    vouching,
                }))
            }
            Err(reason) => decided(Settled::Rejected(reason)),
        }
    }

    fn seal(
        &self,
        passed: Vec<Passed>,
        verdict: Option<SignedVerdict>,
    ) -> Result<Option<Pooled>, StoreError> {
        if passed.is_empty() {
            return Ok(None);
        }
        let records = u32::try_from(passed.len()).unwrap_or(u32::MAX);
        let (all, vouching): (Vec<_>, Vec<_>) = passed
            .into_iter()
            .map(|one| (one.record, one.vouching))
            .unzip();
        let needs_verdict = vouching
            .iter()
            .any(|vouching| matches!(vouching, Vouching::Verdict { .. }));
        let verdicts = verdict.filter(|_| needs_verdict).into_iter().collect();
        let transaction = Transaction::sign(&self.chain, all, &*self.key).map_err(|error| {
            StoreError::Corrupt(format!("a transaction cannot be made: {error}"))
        })?;
        Ok(Some(Pooled {
            hash: transaction.hash(),
            records,
            since_ms: clock::now_millis().millis(),
            body: transaction.encode(),
            evidence: Evidence { verdicts, vouching }.encode(),
        }))
    }
}

/// The record of a submission that was vouched for, or why there can be none.
fn record_of(
    request: &Request,
    authority: &Label,
    family: &str,
    assurance: Assurance,
) -> Result<Result<Record, String>, StoreError> {
    let bundle = request.bundle()?;
    let label =
        |text: &str| Label::new(text).map_err(|error| StoreError::Corrupt(error.to_string()));
    // What others call a device is theirs to choose: a name no record can hold is refused, and holds nobody else up.
    let named = match &request.asked {
        Asked::Authority(_) => Label::new(family),
        Asked::Software { family, .. } => Label::new(family),
        Asked::Server { .. } => Label::new(""),
    };
    let family = match named {
        Ok(family) => family,
        Err(error) => {
            return Ok(Err(format!(
                "the name of the device cannot be registered: {error}"
            )));
        }
    };
    let (origin, original) = match &request.asked {
        Asked::Authority(_) => {
            let source = Source::camera(match (request.signed, assurance) {
                (false, _) => Assurance::Token,
                (true, Assurance::Attested) => Assurance::Attested,
                (true, _) => Assurance::Certificate,
            });
            (
                Origin {
                    source,
                    authority: authority.clone(),
                    family,
                },
                None,
            )
        }
        Asked::Software {
            authority,
            original,
            ..
        } => {
            let origin = Origin {
                source: Source::Software,
                authority: label(authority)?,
                family,
            };
            (origin, Some(*original))
        }
        Asked::Server { name, original } => (
            Origin {
                source: Source::Server,
                authority: label(name)?,
                family,
            },
            *original,
        ),
    };
    Ok(Record::with_original(bundle, original, origin).map_err(|error| error.to_string()))
}

/// Joins the answers of an authority to the submissions they are about. Those without an answer are left out: they wait on.
pub(super) fn join(
    asked: Vec<(Waiting, Request, Commitment)>,
    answers: Vec<Answer>,
    verdict: Option<&SignedVerdict>,
    must_be_signed: bool,
) -> Vec<Answered> {
    let answers: BTreeMap<_, _> = answers
        .into_iter()
        .map(|answer| (answer.commitment, answer))
        .collect();
    let items = verdict
        .map(|signed| signed.verdict.items())
        .unwrap_or_default();
    let items: BTreeMap<_, _> = items.iter().map(|item| (item.commitment, item)).collect();
    let mut joined = Vec::new();
    for (waiting, request, commitment) in asked {
        let outcome = match (answers.get(&commitment), items.get(&commitment)) {
            (Some(answer), _) if !answer.valid => Outcome::Failed(reason(&answer.message)),
            (Some(_), Some(item)) if item.valid => Outcome::Passed {
                family: item.device_family.clone(),
                assurance: item.assurance,
                is_signed: true,
            },
            (Some(_), None) if !must_be_signed => Outcome::Passed {
                family: claimed_family(&request),
                assurance: Assurance::Token,
                is_signed: false,
            },
            // No answer, or a yes that the signed verdict does not repeat: not a yes, and not a no.
            _ => continue,
        };
        joined.push(Answered {
            waiting,
            request,
            answer: outcome,
        });
    }
    joined
}

/// An authority that signs nothing names no family; the certificate it issued does.
fn claimed_family(request: &Request) -> String {
    use base64::Engine as _;
    let Asked::Authority(question) = &request.asked else {
        return String::new();
    };
    let text = question
        .get("camera_cert")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let der = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap_or_default();
    let certificate = birthmark_protocol::CameraCertificate::from_der(&der);
    certificate
        .map(|certificate| certificate.extensions().device_family.clone())
        .unwrap_or_default()
}

fn reason(message: &str) -> String {
    let message: String = message
        .chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect();
    match message.is_empty() {
        true => "the authority does not vouch for this camera".into(),
        false => format!("the authority does not vouch for this camera: {message}"),
    }
}
