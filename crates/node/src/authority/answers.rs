//! An authority's answers, joined to the questions they are about.

use std::collections::BTreeMap;

use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::{Commitment, Proof, SignedVerdict, VerdictItem};

use super::Answer;
use crate::admission::{Asked, Request};
use crate::store::Waiting;

/// One waiting submission and what its authority said.
pub struct Answered {
    /// Its place in the queue.
    pub seq: i64,
    /// What was asked.
    pub request: Request,
    /// What was said.
    pub answer: Outcome,
}

/// What came back.
pub enum Outcome {
    /// The authority vouches.
    Passed(Yes),
    /// It does not.
    Failed(String),
}

/// What an authority says with its yes.
pub struct Yes {
    /// The device's family, as the verdict names it.
    pub(super) family: String,
    /// What the authority judged.
    pub(super) proof: Proof,
    /// Whether it made up the fingerprint of the camera's sensor.
    pub(super) is_made_up: bool,
    /// Whether the verdict beside it covers this.
    pub(super) is_signed: bool,
}

/// One question that is open.
pub(super) struct Open {
    /// The waiting submission.
    pub(super) waiting: Waiting,
    /// What it asks.
    pub(super) request: Request,
    /// What it asks about. No other open question asks about the same.
    pub(super) commitment: Commitment,
}

/// What an authority's answers decide, and what they do not.
pub(super) struct Joined {
    /// Decided.
    pub(super) answered: Vec<Answered>,
    /// A no without a signature, from an authority that signs: somebody else may have said it.
    pub(super) unsigned: Vec<(Open, String)>,
    /// Neither a yes nor a no: these wait on.
    pub(super) left: Vec<Open>,
}

/// Joins the answers of an authority to the questions they are about.
pub(super) fn join(
    open: Vec<Open>,
    answers: Vec<Answer>,
    verdict: Option<&SignedVerdict>,
    must_be_signed: bool,
) -> Joined {
    let answers: BTreeMap<_, _> = answers
        .into_iter()
        .map(|answer| (answer.commitment, answer))
        .collect();
    let items = verdict.map_or(&[][..], |signed| signed.verdict.items());
    let items: BTreeMap<_, _> = items.iter().map(|item| (item.commitment, item)).collect();
    let mut joined = Joined {
        answered: Vec::new(),
        unsigned: Vec::new(),
        left: Vec::new(),
    };
    for open in open {
        let answer = answers.get(&open.commitment);
        let item = items.get(&open.commitment);
        let outcome = match (answer, item) {
            (Some(answer), Some(item)) if !answer.valid && !item.valid => {
                Outcome::Failed(refusal(&answer.message))
            }
            (Some(answer), None) if !answer.valid && !must_be_signed => {
                Outcome::Failed(refusal(&answer.message))
            }
            (Some(answer), _) if !answer.valid => {
                joined.unsigned.push((open, refusal(&answer.message)));
                continue;
            }
            (Some(_), Some(item)) if item.valid && answers_to(item, &open.request) => {
                Outcome::Passed(Yes {
                    family: item.device_family.clone(),
                    proof: item.proof,
                    is_made_up: item.is_made_up,
                    is_signed: true,
                })
            }
            (Some(_), None) if !must_be_signed => Outcome::Passed(unsigned_yes(&open.request)),
            // No answer, or a yes that the signed verdict does not repeat, or that is about another
            // key: not a yes, and not a no.
            _ => {
                joined.left.push(open);
                continue;
            }
        };
        joined.answered.push(open.answered(outcome));
    }
    joined
}

impl Open {
    pub(super) fn answered(self, answer: Outcome) -> Answered {
        Answered {
            seq: self.waiting.seq,
            request: self.request,
            answer,
        }
    }
}

/// Whether a verdict is about what was asked: a token alone, or a certificate by its key.
fn answers_to(item: &VerdictItem, request: &Request) -> bool {
    let asked = match &request.asked {
        Asked::Authority(CameraProof::Certificate(certificate, _)) => {
            Some(certificate.key().digest())
        }
        _ => None,
    };
    item.proof.key() == asked.as_ref()
}

/// The yes of an authority that signs nothing. It names no family; the certificate it issued does.
fn unsigned_yes(request: &Request) -> Yes {
    let (family, proof) = match &request.asked {
        Asked::Authority(CameraProof::Certificate(certificate, _)) => (
            certificate.extensions().device_family.clone(),
            Proof::Certificate {
                key: certificate.key().digest(),
                attested: false,
            },
        ),
        _ => (String::new(), Proof::Token),
    };
    Yes {
        family,
        proof,
        is_made_up: false,
        is_signed: false,
    }
}

impl Yes {
    /// For what nobody is asked about.
    pub(super) const fn not_asked() -> Self {
        Self {
            family: String::new(),
            proof: Proof::Token,
            is_made_up: false,
            is_signed: false,
        }
    }
}

pub(super) fn refusal(message: &str) -> String {
    let message: String = message
        .chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect();
    if message.is_empty() {
        "the authority does not vouch for this camera".into()
    } else {
        format!("the authority does not vouch for this camera: {message}")
    }
}
