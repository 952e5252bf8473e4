//! From an authority's answers to a signed transaction in the pool.

use std::sync::Arc;

use birthmark_consensus::{CameraSigned, Evidence, RequestBody, Vouching};
use birthmark_ledger::{Label, Origin, Record, Source, Transaction, VoteKey};
use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::one_time::OneTimeProof;
use birthmark_protocol::{Digest, Opening, SignedVerdict};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::answers::{Answered, Outcome, Yes};
use crate::admission::{Admission, Asked, CheckedSignature, Request};
use crate::clock;
use crate::row_keys::RowKeys;
use crate::store::{
    Decision, Kind, Owners, Pooled, ReceiptId, Settled, Settlement, Store, StoreError, Wanted,
};

/// Settles answered submissions.
pub struct Settler {
    store: Store,
    rows: Arc<RowKeys>,
    admission: Arc<Admission>,
    key: Arc<VoteKey>,
    chain: Digest,
    pooled: Arc<Notify>,
}

/// A submission that can become a record.
struct Candidate {
    id: ReceiptId,
    record: Record,
    backing: Backing,
    claims: Vec<Vec<u8>>,
    token: Option<Vec<u8>>,
}

/// What stands behind a record.
enum Backing {
    /// Only this validator's word.
    Word,
    /// A one-time key.
    OneTime(Box<OneTimeProof>),
    /// A signed verdict.
    Verdict {
        /// Leads from the record to the verdict.
        opening: Opening,
        /// What the camera signed, where a certificate was judged.
        proof: Option<CameraChecked>,
    },
}

/// A camera's certificate, in DER, and its signature that holds.
struct CameraChecked {
    certificate: Vec<u8>,
    signature: CheckedSignature,
}

/// What the answer about one submission leads to, as far as the answer goes.
enum Judged {
    /// A record, unless somebody else owns what it needs.
    Candidate(Box<Candidate>),
    /// A refusal, with its reason.
    Refused(Decision),
}

impl Settler {
    /// A settler that signs with the validator's key and tells `pooled` of each new transaction.
    pub fn new(
        store: Store,
        rows: Arc<RowKeys>,
        admission: Arc<Admission>,
        key: Arc<VoteKey>,
        chain: Digest,
        pooled: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            rows,
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

    /// What seals and reads waiting rows.
    pub fn rows(&self) -> &RowKeys {
        &self.rows
    }

    /// Notes that a submission that could not be read waits no longer.
    pub fn forgotten(&self, authority: &str, kind: Kind) {
        self.admission.room().remove(authority, kind);
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
        let queue: Vec<_> = answered.iter().map(|answered| answered.seq).collect();
        let kinds: Vec<_> = answered
            .iter()
            .map(|answered| answered.request.kind())
            .collect();
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        for answered in answered {
            match judge(authority, answered)? {
                Judged::Candidate(candidate) => candidates.push(*candidate),
                Judged::Refused(decision) => refused.push(decision),
            }
        }
        let claims = candidates.iter().flat_map(|one| &one.claims);
        let tokens = candidates.iter().filter_map(|one| one.token.as_ref());
        let wanted = Wanted {
            claims: claims.cloned().collect(),
            tokens: tokens.cloned().collect(),
        };
        let mut is_pooled = false;
        let settled = self.store.settle(&wanted, &queue, clock::now(), |owners| {
            let settlement = self.place(candidates, refused, owners, verdict)?;
            is_pooled = settlement.pooled.is_some();
            Ok(settlement)
        });
        settled.await?;
        for kind in kinds {
            self.admission.room().remove(authority.as_str(), kind);
        }
        if is_pooled {
            self.pooled.notify_one();
        }
        Ok(())
    }

    /// Decides who is placed. Only who is placed takes anything: a claim that outlived its refusal
    /// would answer every later attempt with that refusal.
    fn place(
        &self,
        candidates: Vec<Candidate>,
        refused: Vec<Decision>,
        owners: &Owners,
        verdict: Option<SignedVerdict>,
    ) -> Result<Settlement, StoreError> {
        let mut placed = Settlement::default();
        let (mut claims, mut tokens) = (owners.claims.clone(), owners.tokens.clone());
        let (mut passed, mut others) = (Vec::new(), refused);
        for candidate in candidates {
            let id = candidate.id;
            let first = candidate.claims.iter().find_map(|claim| claims.get(claim));
            let spent = candidate.token.as_ref().and_then(|token| tokens.get(token));
            let settled = match (first, spent) {
                (Some(owner), _) if *owner != id => Settled::SameAs(*owner),
                (_, Some(owner)) if *owner != id => {
                    Settled::Rejected("the camera token was already used for another photo".into())
                }
                _ => {
                    let own = |key: &Vec<u8>| (key.clone(), id);
                    placed.claims.extend(candidate.claims.iter().map(own));
                    placed.tokens.extend(candidate.token.iter().map(own));
                    claims.extend(candidate.claims.iter().map(own));
                    tokens.extend(candidate.token.iter().map(own));
                    passed.push(candidate);
                    continue;
                }
            };
            others.push(Decision { id, settled });
        }
        let places = passed.iter().zip(0..).map(|(one, place)| Decision {
            id: one.id,
            settled: Settled::Placed(place),
        });
        placed.decisions = places.chain(others).collect();
        placed.pooled = self.seal(passed, verdict)?;
        Ok(placed)
    }

    fn seal(
        &self,
        passed: Vec<Candidate>,
        verdict: Option<SignedVerdict>,
    ) -> Result<Option<Pooled>, StoreError> {
        if passed.is_empty() {
            return Ok(None);
        }
        let records = u32::try_from(passed.len())
            .map_err(|_| StoreError::Corrupt("more records than a transaction holds".into()))?;
        let (all, evidence) = evidence_of(passed, verdict)?;
        let transaction = Transaction::sign(&self.chain, all, &*self.key).map_err(|error| {
            StoreError::Corrupt(format!("a transaction cannot be made: {error}"))
        })?;
        let hash = transaction.hash();
        let evidence = Zeroizing::new(evidence.encode());
        Ok(Some(Pooled {
            hash,
            submitter: *transaction.submitter(),
            records,
            since_ms: clock::now_millis().millis(),
            body: transaction.encode(),
            evidence: self.rows.seal(hash.as_bytes(), &evidence)?,
        }))
    }
}

/// The records, and what carries them. A certificate that several photos share is written once.
fn evidence_of(
    passed: Vec<Candidate>,
    verdict: Option<SignedVerdict>,
) -> Result<(Vec<Record>, Evidence), StoreError> {
    let mut evidence = Evidence::default();
    let mut records = Vec::with_capacity(passed.len());
    for candidate in passed {
        let vouching = match candidate.backing {
            Backing::Word => Vouching::Word,
            Backing::OneTime(proof) => Vouching::OneTime(proof),
            Backing::Verdict { opening, proof } => Vouching::Verdict {
                verdict: 0,
                opening,
                signed: camera_signed(&mut evidence.certificates, proof)?,
            },
        };
        evidence.vouching.push(vouching);
        records.push(candidate.record);
    }
    let is_verdict = |vouching: &Vouching| matches!(vouching, Vouching::Verdict { .. });
    if evidence.vouching.iter().any(is_verdict) {
        evidence.verdicts.extend(verdict);
    }
    Ok((records, evidence))
}

/// What the camera signed, in the form voters check; `certificates` are those of the batch so far.
fn camera_signed(
    certificates: &mut Vec<Vec<u8>>,
    proof: Option<CameraChecked>,
) -> Result<CameraSigned, StoreError> {
    let Some(CameraChecked {
        certificate,
        signature,
    }) = proof
    else {
        return Ok(CameraSigned::Nothing);
    };
    // A batch has few cameras more often than many, and at most a thousand.
    let known = certificates.iter().position(|known| *known == certificate);
    let place = known.unwrap_or(certificates.len());
    let position = u16::try_from(place)
        .map_err(|_| StoreError::Corrupt("more certificates than a transaction has".into()))?;
    let signed = match signature {
        CheckedSignature::Bundle(signature) => CameraSigned::Bundle {
            certificate: position,
            signature,
        },
        CheckedSignature::Request { route, body } => CameraSigned::Request {
            route,
            body: RequestBody::without(body, position, &certificate),
        },
    };
    if known.is_none() {
        certificates.push(certificate);
    }
    Ok(signed)
}

/// A submission that can become a record, or why it never will.
fn judge(authority: &Label, answered: Answered) -> Result<Judged, StoreError> {
    let Answered {
        request, answer, ..
    } = answered;
    let id = request.id;
    let refused = |reason| {
        Judged::Refused(Decision {
            id,
            settled: Settled::Rejected(reason),
        })
    };
    let yes = match answer {
        Outcome::Failed(reason) => return Ok(refused(reason)),
        Outcome::Passed(yes) => yes,
    };
    let Request {
        bundle,
        opening,
        signed,
        claims,
        token,
        asked,
        ..
    } = request;
    let origin = match origin_of(&asked, authority, &yes)? {
        Ok(origin) => origin,
        Err(reason) => return Ok(refused(reason)),
    };
    let original = match &asked {
        Asked::Authority(_) | Asked::OneTime(_) => None,
        Asked::Software { original, .. } => Some(*original),
        Asked::Server { original, .. } => *original,
    };
    let record = match &asked {
        Asked::OneTime(one_time) => Record::one_time(bundle, origin, one_time.spent),
        _ => Record::with_original(bundle, original, origin),
    };
    let record = match record {
        Ok(record) => record,
        Err(error) => return Ok(refused(error.to_string())),
    };
    let backing = match (asked, yes.is_signed) {
        (Asked::OneTime(one_time), _) => Backing::OneTime(Box::new(one_time.proof)),
        (asked, true) => Backing::Verdict {
            opening,
            proof: checked_of(asked, signed),
        },
        (_, false) => Backing::Word,
    };
    Ok(Judged::Candidate(Box::new(Candidate {
        id,
        record,
        backing,
        claims,
        token,
    })))
}

fn checked_of(asked: Asked, signed: Option<CheckedSignature>) -> Option<CameraChecked> {
    let Asked::Authority(CameraProof::Certificate(certificate, _)) = asked else {
        return None;
    };
    Some(CameraChecked {
        certificate: certificate.der().to_vec(),
        signature: signed?,
    })
}

/// Who answers for a record, or why nobody can.
fn origin_of(
    asked: &Asked,
    authority: &Label,
    yes: &Yes,
) -> Result<Result<Origin, String>, StoreError> {
    let label =
        |text: &str| Label::new(text).map_err(|error| StoreError::Corrupt(error.to_string()));
    // What others call a device is theirs to choose: a name no record can hold is refused, and
    // holds nobody else up.
    let named = match asked {
        Asked::Authority(_) => Label::new(&yes.family),
        Asked::OneTime(one_time) => Label::new(&one_time.family),
        Asked::Software { family, .. } => Label::new(family),
        Asked::Server { .. } => Label::new(""),
    };
    let family = match named {
        Ok(family) => family,
        Err(error) => {
            let reason = format!("the name of the device cannot be registered: {error}");
            return Ok(Err(reason));
        }
    };
    let (source, authority) = match asked {
        Asked::Authority(_) => {
            let source = Source::camera(yes.proof.assurance());
            (source, authority.clone())
        }
        Asked::OneTime(one_time) => (Source::CameraOneTime, label(&one_time.authority)?),
        Asked::Software { authority, .. } => (Source::Software, label(authority)?),
        Asked::Server { name, .. } => (Source::Server, label(name)?),
    };
    let made_up_fingerprint = match asked {
        Asked::OneTime(one_time) => one_time.is_made_up,
        _ => yes.is_made_up,
    };
    Ok(Ok(Origin {
        source,
        authority,
        family,
        made_up_fingerprint,
    }))
}
