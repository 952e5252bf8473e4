//! What the engine asks for while it works on an event: answered at once, or made an action.

use std::sync::Arc;

use arc_malachitebft_core_consensus::{
    ConsensusMsg, Effect, Input, LivenessMsg, Resumable as _, Resume, SignedConsensusMsg,
};
use arc_malachitebft_core_types as core;
use birthmark_ledger::{SigningError, VoteSigner};
use birthmark_protocol::{Digest, Signature};
use core::{
    CertificateError, PolkaCertificate, Round, RoundCertificate, RoundCertificateType,
    SignedMessage, TimeoutKind,
};

use super::context::{Registry, Signed, number, proposal_out, proposed, vote_out};
use super::events::{Action, Entry, Timer, TimerKind};
use super::translate::{misbehaviours, verify_all};
use crate::message::{Message, Purpose, SignedProposal, SignedVote, VoteBundle};

/// What effects need, apart from the state they come out of.
pub(super) struct Worker<V> {
    pub(super) chain: Digest,
    pub(super) key: Arc<V>,
    pub(super) actions: Vec<Action>,
    pub(super) unsigned: Option<SigningError>,
    /// What the log held when the height was begun again: not written twice.
    pub(super) logged: Vec<Entry>,
}

impl<V: VoteSigner> Worker<V> {
    pub(super) fn effect(&mut self, effect: Effect<Registry>) -> Resume<Registry> {
        match effect {
            Effect::CancelAllTimeouts(r) => {
                self.actions.push(Action::CancelAll);
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.actions.extend(timer_of(timeout).map(Action::Cancel));
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                self.actions.extend(timer_of(timeout).map(Action::Schedule));
                r.resume_with(())
            }
            Effect::StartRound(_, round, proposer, _, r) => {
                self.actions.push(Action::Round {
                    round: number(round),
                    proposer: proposer.0,
                });
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(message, r) => {
                self.publish(match message {
                    SignedConsensusMsg::Vote(vote) => vote_out(&vote).map(Message::Vote),
                    SignedConsensusMsg::Proposal(proposal) => {
                        proposal_out(&proposal, &self.chain).map(Message::Proposal)
                    }
                });
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                self.publish(match message {
                    LivenessMsg::Vote(vote) => vote_out(&vote).map(Message::Vote),
                    LivenessMsg::PolkaCertificate(polka) => self.polka(&polka).map(Message::Votes),
                    LivenessMsg::SkipRoundCertificate(round) => {
                        self.round_change(&round).map(Message::Votes)
                    }
                });
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                self.publish(vote_out(&vote).map(Message::Vote));
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(round, r) => {
                self.publish(self.round_change(&round).map(Message::Votes));
                r.resume_with(())
            }
            Effect::GetValue(_, round, _, r) => {
                self.actions.push(Action::Build {
                    round: number(round),
                });
                r.resume_with(())
            }
            Effect::RestreamProposal(_, _, _, _, block, r) => {
                self.actions.push(Action::Restream(block.0));
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                self.decided(&certificate);
                r.resume_with(())
            }
            Effect::Finalize(_, _, evidence, r) => {
                let misbehaviours = misbehaviours(&evidence, &self.chain);
                self.actions
                    .extend(misbehaviours.into_iter().map(Action::Misbehaved));
                r.resume_with(())
            }
            Effect::SignVote(ballot, r) => match SignedVote::sign(ballot.vote, &*self.key) {
                Ok(vote) => {
                    let signature = Signed(vote.signature.to_bytes());
                    r.resume_with(SignedMessage::new(ballot, signature))
                }
                Err(error) => self.unsigned(error),
            },
            Effect::SignProposal(offered, r) => {
                match SignedProposal::sign(proposed(&offered, &self.chain), &*self.key) {
                    Ok(proposal) => {
                        let signature = Signed(proposal.signature.to_bytes());
                        r.resume_with(SignedMessage::new(offered, signature))
                    }
                    Err(error) => self.unsigned(error),
                }
            }
            Effect::VerifySignature(message, key, r) => {
                let bytes = match &message.message {
                    ConsensusMsg::Vote(ballot) => ballot.vote.signed_bytes(),
                    ConsensusMsg::Proposal(offered) => {
                        proposed(offered, &self.chain).signed_bytes()
                    }
                };
                let signature = Signature::from_bytes(&message.signature.0);
                let holds =
                    signature.is_ok_and(|signature| key.0.verify(&bytes, &signature).is_ok());
                r.resume_with(holds)
            }
            // Made of votes that were each verified when they came. Whoever stores it verifies it
            // again, as receipts are.
            Effect::VerifyCommitCertificate(_, _, _, r) => r.resume_with(Ok(())),
            // Blocks that others decided are taken beside the engine: none is ever given to it.
            Effect::CertVerifiedSyncValue(_, _, r) | Effect::CertRejectedSyncValue(_, _, _, r) => {
                r.resume_with(())
            }
            Effect::VerifyExtendedCommitCertificate(.., r) => {
                r.resume_with(Err(CertificateError::VerificationError(None)))
            }
            Effect::VerifyPolkaCertificate(polka, set, thresholds, r) => {
                let votes: Vec<_> = polka.votes(&self.context()).collect();
                let verified = verify_all(&votes, &set, thresholds.quorum, |_| true);
                r.resume_with(verified.map_err(|error| *error))
            }
            Effect::VerifyRoundCertificate(round, set, thresholds, r) => {
                let votes: Vec<_> = round.votes(&self.context()).collect();
                let verified = match round.cert_type {
                    RoundCertificateType::Skip => {
                        verify_all(&votes, &set, thresholds.honest, |_| true)
                    }
                    RoundCertificateType::Precommit => {
                        verify_all(&votes, &set, thresholds.quorum, |kind| {
                            kind == core::VoteType::Precommit
                        })
                    }
                };
                r.resume_with(verified.map_err(|error| *error))
            }
            Effect::WalAppend(_, input, r) => {
                if let Some(entry) = self.entry(&input)
                    && !self.logged.contains(&entry)
                {
                    self.actions.push(Action::Log(entry));
                }
                r.resume_with(())
            }
            Effect::ExtendVote(.., r) => r.resume_with(None),
            Effect::VerifyVoteExtension(.., r) => r.resume_with(Ok(())),
        }
    }

    fn context(&self) -> Registry {
        Registry { chain: self.chain }
    }

    fn publish(&mut self, message: Option<Message>) {
        self.actions.extend(message.map(Action::Publish));
    }

    /// The engine gives the event up when it is not answered with a signature.
    fn unsigned(&mut self, error: SigningError) -> Resume<Registry> {
        self.unsigned = Some(error);
        Resume::Continue
    }

    fn decided(&mut self, certificate: &core::CommitCertificate<Registry>) {
        let signatures = certificate.commit_signatures.iter().filter_map(|signed| {
            let signature = Signature::from_bytes(&signed.signature.0).ok()?;
            Some((signed.address.0, signature))
        });
        self.actions.push(Action::Decided {
            round: number(certificate.round),
            block: certificate.value_id.0,
            signatures: signatures.collect(),
        });
    }

    fn bundle(
        &self,
        purpose: Purpose,
        votes: impl Iterator<Item = core::SignedVote<Registry>>,
    ) -> Option<VoteBundle> {
        let votes: Option<Vec<_>> = votes.map(|vote| vote_out(&vote)).collect();
        Some(VoteBundle {
            purpose,
            votes: votes?,
        })
    }

    fn polka(&self, polka: &PolkaCertificate<Registry>) -> Option<VoteBundle> {
        self.bundle(Purpose::Polka, polka.votes(&self.context()))
    }

    fn round_change(&self, round: &RoundCertificate<Registry>) -> Option<VoteBundle> {
        let purpose = match round.cert_type {
            RoundCertificateType::Skip => Purpose::Skip,
            RoundCertificateType::Precommit => Purpose::Precommits,
        };
        self.bundle(purpose, round.votes(&self.context()))
    }

    pub(super) fn entry(&self, input: &Input<Registry>) -> Option<Entry> {
        match input {
            Input::Vote(vote) => vote_out(vote).map(Entry::Vote),
            Input::Proposal(proposal) => proposal_out(proposal, &self.chain).map(Entry::Proposal),
            Input::PolkaCertificate(polka) => self.polka(polka).map(Entry::Polka),
            Input::ProposedValue(value, _) => Some(Entry::Judged {
                round: number(value.round),
                proposer: value.proposer.0,
                block: value.value.0,
                is_valid: value.validity.is_valid(),
            }),
            Input::TimeoutElapsed(timeout) => timer_of(*timeout).map(Entry::Timeout),
            Input::StartHeight(..)
            | Input::Propose(_)
            | Input::RoundCertificate(_)
            | Input::SyncValueResponse(_) => None,
        }
    }
}

pub(super) fn timeout_of(timer: Timer) -> core::Timeout {
    let kind = match timer.kind {
        TimerKind::Propose => TimeoutKind::Propose,
        TimerKind::Prevote => TimeoutKind::Prevote,
        TimerKind::Precommit => TimeoutKind::Precommit,
        TimerKind::Rebroadcast => TimeoutKind::Rebroadcast,
    };
    core::Timeout::new(Round::new(timer.round), kind)
}

/// `None` for the timer of a pause after a decision, which is never asked for.
pub(super) fn timer_of(timeout: core::Timeout) -> Option<Timer> {
    let kind = match timeout.kind {
        TimeoutKind::Propose => TimerKind::Propose,
        TimeoutKind::Prevote => TimerKind::Prevote,
        TimeoutKind::Precommit => TimerKind::Precommit,
        TimeoutKind::Rebroadcast => TimerKind::Rebroadcast,
        TimeoutKind::FinalizeHeight(_) => return None,
    };
    Some(Timer {
        kind,
        round: number(timeout.round),
    })
}
