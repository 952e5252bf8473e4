//! Between the engine's types and ours: what was judged, bundles of votes and contradictions.

use std::collections::BTreeSet;

use arc_malachitebft_core_consensus::{Input, MisbehaviorEvidence, ProposedValue};
use arc_malachitebft_core_types as core;
use birthmark_ledger::ValidatorId;
use birthmark_protocol::{Digest, Signature};
use core::{
    CertificateError, PolkaCertificate, PolkaSignature, Round, RoundCertificate,
    RoundCertificateType, RoundSignature, ThresholdParam, Validity, ValueOrigin,
};

use super::context::{At, Ballot, BlockId, Member, Registry, Set, Signed, proposal_out, vote_out};
use crate::message::{Purpose, SignedVote, VoteBundle};
use crate::misbehaviour::Misbehaviour;

pub(super) fn judged(
    height: At,
    round: u32,
    proposer: ValidatorId,
    block: Digest,
    is_valid: bool,
) -> Input<Registry> {
    let value = ProposedValue {
        height,
        round: Round::new(round),
        valid_round: Round::Nil,
        proposer: Member(proposer),
        value: BlockId(block),
        validity: Validity::from_bool(is_valid),
    };
    Input::ProposedValue(value, ValueOrigin::Consensus)
}

/// `None` if the votes are not what their purpose says.
pub(super) fn bundle_in(bundle: &VoteBundle) -> Option<Input<Registry>> {
    let first = bundle.votes.first()?.vote;
    let (height, round) = (At(first.height.get()), Round::new(first.round));
    let same =
        |vote: &SignedVote| (vote.vote.height, vote.vote.round) == (first.height, first.round);
    if !bundle.votes.iter().all(same) {
        return None;
    }
    let signed = |vote: &SignedVote| (Member(vote.validator), Signed(vote.signature.to_bytes()));
    let cert_type = match bundle.purpose {
        Purpose::Polka => {
            let is_for_it = |vote: &SignedVote| {
                (vote.vote.kind, vote.vote.block)
                    == (birthmark_ledger::VoteKind::Prevote, first.block)
            };
            if !bundle.votes.iter().all(is_for_it) {
                return None;
            }
            let signatures = bundle.votes.iter().map(|vote| {
                let (member, signature) = signed(vote);
                PolkaSignature::new(member, signature)
            });
            return Some(Input::PolkaCertificate(PolkaCertificate {
                height,
                round,
                value_id: BlockId(first.block?),
                polka_signatures: signatures.collect(),
            }));
        }
        Purpose::Skip => RoundCertificateType::Skip,
        Purpose::Precommits => RoundCertificateType::Precommit,
    };
    let signatures = bundle.votes.iter().map(|vote| {
        use core::Vote as _;
        let (member, signature) = signed(vote);
        let ballot = Ballot::new(vote.vote, vote.validator);
        RoundSignature::new(ballot.vote_type(), *ballot.value(), member, signature)
    });
    Some(Input::RoundCertificate(RoundCertificate {
        height,
        round,
        cert_type,
        round_signatures: signatures.collect(),
    }))
}

/// Succeeds when members enough voted, nobody twice and nobody wrongly.
pub(super) fn verify_all(
    votes: &[core::SignedVote<Registry>],
    set: &Set,
    threshold: ThresholdParam,
    is_allowed: impl Fn(core::VoteType) -> bool,
) -> Result<(), Box<CertificateError<Registry>>> {
    use core::{Validator as _, ValidatorSet as _, Vote as _};
    let mut seen = BTreeSet::new();
    for vote in votes {
        let voter = vote.message.voter;
        if !seen.insert(voter) {
            return Err(Box::new(CertificateError::DuplicateVote(voter)));
        }
        if !is_allowed(vote.message.vote_type()) {
            return Err(Box::new(CertificateError::InvalidVoteType(voter)));
        }
        let member = set
            .get_by_address(&voter)
            .ok_or_else(|| Box::new(CertificateError::UnknownValidator(voter)))?;
        let message = vote.message.vote.signed_bytes();
        let signature = Signature::from_bytes(&vote.signature.0);
        let key = &member.public_key().0;
        if !signature.is_ok_and(|signature| key.verify(&message, &signature).is_ok()) {
            return Err(Box::new(CertificateError::VerificationError(None)));
        }
    }
    let (signed, total) = (seen.len() as u64, set.total_voting_power());
    if threshold.is_met(signed, total) {
        Ok(())
    } else {
        Err(Box::new(CertificateError::NotEnoughVotingPower {
            signed,
            total,
            expected: threshold.min_expected(total),
        }))
    }
}

pub(super) fn misbehaviours(
    evidence: &MisbehaviorEvidence<Registry>,
    chain: &Digest,
) -> Vec<Misbehaviour> {
    let mut found = Vec::new();
    for (_, pairs) in evidence.votes.iter() {
        let pairs = pairs
            .iter()
            .filter_map(|(one, other)| Some((vote_out(one)?, vote_out(other)?)));
        found.extend(pairs.map(|(one, other)| Misbehaviour::Votes(one, other)));
    }
    for (_, pairs) in evidence.proposals.iter() {
        let pairs = pairs.iter().filter_map(|(one, other)| {
            Some((proposal_out(one, chain)?, proposal_out(other, chain)?))
        });
        found.extend(pairs.map(|(one, other)| Misbehaviour::Proposals(one, other)));
    }
    found
}
