//! A portion of what waits for one authority: asked about in one request, answered under one
//! verdict.

use birthmark_protocol::SignedVerdict;
use birthmark_protocol::authority_request::Question;

use super::answers::{Joined, Open, join};
use super::{AskError, Verdicts};
use crate::authorities::Authority;
use crate::signatures;

/// How many questions go into one request.
pub(super) const BATCH: usize = 500;

/// A portion that the authority has answered, and that is not settled yet. It is in memory alone:
/// if we stop here, all of it still waits, and is asked about again.
pub(super) struct Portion {
    pub(super) joined: Joined,
    pub(super) verdict: Option<SignedVerdict>,
    /// Behind which place of the queue more waits; only known if as many as fit were waiting.
    pub(super) more_behind: Option<i64>,
}

impl Portion {
    /// Joins what the authority said to what it was asked about.
    pub(super) fn answered(
        authority: &Authority,
        open: Vec<Open>,
        verdicts: Verdicts,
    ) -> Result<Self, AskError> {
        let verdict = genuine(authority, verdicts.signed)?;
        let last = open.last().filter(|_| open.len() == BATCH);
        let more_behind = last.map(|open| open.waiting.seq);
        let (answers, signs) = (verdicts.answers, authority.signs());
        Ok(Self {
            joined: join(open, answers, verdict.as_ref(), signs),
            verdict,
            more_behind,
        })
    }
}

/// What an authority is asked about these.
pub(super) fn questions(authority: &Authority, open: &[Open]) -> Vec<Question> {
    open.iter()
        .filter_map(|open| open.request.question(&authority.settings.id))
        .collect()
}

/// The verdict of an authority that signs; one that is not its own is a forgery of the whole
/// answer.
fn genuine(
    authority: &Authority,
    verdict: Option<SignedVerdict>,
) -> Result<Option<SignedVerdict>, AskError> {
    let Some(verdict) = verdict.filter(|_| authority.signs()) else {
        return Ok(None);
    };
    if is_genuine(authority, &verdict) {
        return Ok(Some(verdict));
    }
    let name = verdict.verdict.manufacturer();
    Err(AskError::Forged(format!(
        "its verdict, as {name:?}, is not signed by a configured key of {:?}",
        authority.settings.id
    )))
}

pub(super) fn is_genuine(authority: &Authority, verdict: &SignedVerdict) -> bool {
    let digest = verdict.verdict.digest();
    let holds = |key| signatures::verify_digest(key, &digest, &verdict.signature);
    verdict.verdict.manufacturer() == authority.settings.id
        && authority.verdict_keys().iter().any(holds)
}
