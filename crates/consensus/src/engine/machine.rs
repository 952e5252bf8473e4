//! One height at a time through the engine's rules: events in, actions out, in the order in which
//! they must be done.

use std::sync::Arc;

use arc_malachitebft_core_consensus::{
    ConsensusMsg, Effect, Error, Input, LivenessMsg, LocallyProposedValue, Params, Resumable as _,
    Resume, SignedConsensusMsg, State, process,
};
use arc_malachitebft_core_types as core;
use birthmark_ledger::{Height, SigningError, ValidatorId, ValidatorSet, VoteSigner};
use birthmark_protocol::{Digest, Signature};
use core::{
    CertificateError, PolkaCertificate, Round, RoundCertificate, RoundCertificateType,
    SignedMessage, ThresholdParams, TimeoutKind, ValuePayload, VoteExtensionPolicy,
};

use super::context::{
    At, BlockId, Member, Registry, Set, Signed, number, proposal_in, proposal_out, proposed,
    vote_in, vote_out,
};
use super::translate::{bundle_in, judged, misbehaviours, verify_all};
use crate::message::{Message, Purpose, SignedProposal, SignedVote, VoteBundle};
use crate::misbehaviour::Misbehaviour;

/// How many later heights are listened to before they begin here.
const HEIGHTS_AHEAD: usize = 4;
/// How many messages of one later height are kept.
const MESSAGES_AHEAD: usize = 1000;

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimerKind {
    /// The proposal did not come.
    Propose,
    /// The first votes did not agree.
    Prevote,
    /// The second votes did not agree.
    Precommit,
    /// Say again what was said in this round.
    Rebroadcast,
}

/// When something did not happen in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timer {
    pub kind: TimerKind,
    pub round: u32,
}

/// What a crash must not make us forget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A vote, ours or another's.
    Vote(SignedVote),
    /// A proposal, by its hash.
    Proposal(SignedProposal),
    /// A polka.
    Polka(VoteBundle),
    /// How a proposed block was judged.
    Judged {
        round: u32,
        proposer: ValidatorId,
        block: Digest,
        is_valid: bool,
    },
    /// A timer that ran out.
    Timeout(Timer),
    /// A proposed block with its evidence. The engine does not see it.
    Body(Arc<[u8]>),
}

/// What happens to the machine.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Vote(SignedVote),
    Proposal(SignedProposal),
    Votes(VoteBundle),
    /// A proposed block was judged.
    Judged {
        round: u32,
        proposer: ValidatorId,
        block: Digest,
        is_valid: bool,
    },
    /// The block to propose in this round, if it still runs.
    Propose {
        round: u32,
        block: Digest,
    },
    Timeout(Timer),
}

/// What must be done, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Write this down; it must be on the disk before anything after it is sent.
    Log(Entry),
    /// Send this to all.
    Publish(Message),
    /// Send the block again.
    Restream(Digest),
    Schedule(Timer),
    Cancel(Timer),
    CancelAll,
    /// Make a block for this round.
    Build {
        round: u32,
    },
    /// A round began.
    Round {
        round: u32,
        proposer: ValidatorId,
    },
    /// More than two thirds precommitted this block.
    Decided {
        round: u32,
        block: Digest,
        signatures: Vec<(ValidatorId, Signature)>,
    },
    /// A member said two things where one is allowed.
    Misbehaved(Misbehaviour),
}

/// Why an event was not processed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MachineError {
    /// The key did not sign; the height can be begun again from its log.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Going on could contradict what was signed before.
    #[error("{0}")]
    Unsafe(String),
    /// The engine gave up on this event; the height can be begun again from its log.
    #[error("{0}")]
    Engine(String),
}

/// The engine's state.
pub(crate) struct Machine<V> {
    state: State<Registry>,
    own: ValidatorId,
    worker: Worker<V>,
}

/// What effects need, apart from the state they come out of.
struct Worker<V> {
    chain: Digest,
    key: Arc<V>,
    actions: Vec<Action>,
    unsigned: Option<SigningError>,
    /// What the log held when the height was begun again: not written twice.
    logged: Vec<Entry>,
}

impl<V: VoteSigner> Machine<V> {
    /// A machine that stands before `height`.
    pub(crate) fn new(chain: Digest, key: Arc<V>, height: Height, set: &ValidatorSet) -> Self {
        let own = ValidatorId::of(&key.public_key());
        let params = Params {
            address: Member(own),
            threshold_params: ThresholdParams::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let (context, at) = (Registry { chain }, At(height.get()));
        let state = State::new(
            context,
            at,
            Set::of(set),
            params,
            HEIGHTS_AHEAD,
            MESSAGES_AHEAD,
        );
        Self {
            state,
            own,
            worker: Worker {
                chain,
                key,
                actions: Vec::new(),
                unsigned: None,
                logged: Vec::new(),
            },
        }
    }

    /// Whose key it signs with.
    pub(crate) const fn own(&self) -> &ValidatorId {
        &self.own
    }

    /// The round that runs; `None` before the height begins.
    pub(crate) fn round(&self) -> Option<u32> {
        self.state.round().as_u32()
    }

    /// Whether a block of ours is still wanted for this round.
    pub(crate) fn wants_proposal(&self, round: u32) -> bool {
        self.round() == Some(round) && self.state.driver.step_is_propose()
    }

    /// Whether it has been this validator's turn at this height.
    pub(crate) fn had_a_turn(&self, validator: &ValidatorId) -> bool {
        let height = self.state.height();
        let rounds = 0..=self.round().unwrap_or_default();
        let mut turns = rounds.map(|round| self.state.get_proposer(height, Round::new(round)));
        turns.any(|proposer| proposer.0 == *validator)
    }

    /// Begins a height. With what its log holds, it goes on where it was when the program stopped:
    /// what was signed then is sent again as it was, and nothing else is signed in its place.
    /// `votes` is whether we may vote at this height.
    pub(crate) fn start(
        &mut self,
        height: Height,
        set: &ValidatorSet,
        votes: bool,
        logged: Vec<Entry>,
    ) -> Result<Vec<Action>, MachineError> {
        self.state.params.enabled = votes;
        let inputs: Vec<_> = logged
            .iter()
            .filter_map(|entry| self.input_of(entry, height))
            .collect();
        let is_restart = !logged.is_empty();
        self.worker.logged = logged;
        if is_restart {
            self.state.index_wal_entries(&inputs);
        }
        let start = Input::StartHeight(
            At(height.get()),
            Set::of(set),
            is_restart,
            None,
            VoteExtensionPolicy::Disabled,
        );
        let mut outcome = self.process(start);
        for input in inputs {
            outcome = outcome.and_then(|()| self.process(input));
        }
        self.state.reset_entries_index();
        self.worker.logged.clear();
        outcome.map(|()| std::mem::take(&mut self.worker.actions))
    }

    /// Takes an event. Actions that came before an error are returned with the next success and
    /// must not be lost: the caller begins the height again after an error.
    pub(crate) fn handle(&mut self, event: Event) -> Result<Vec<Action>, MachineError> {
        let height = At(birthmark_height(&self.state));
        let input = match event {
            Event::Vote(vote) => Input::Vote(vote_in(&vote)),
            Event::Proposal(proposal) => Input::Proposal(proposal_in(&proposal)),
            Event::Votes(votes) => match bundle_in(&votes) {
                Some(input) => input,
                None => return Ok(Vec::new()),
            },
            Event::Judged {
                round,
                proposer,
                block,
                is_valid,
            } => judged(height, round, proposer, block, is_valid),
            Event::Propose { round, block } => Input::Propose(LocallyProposedValue::new(
                height,
                Round::new(round),
                BlockId(block),
            )),
            Event::Timeout(timer) => Input::TimeoutElapsed(timeout_of(timer)),
        };
        self.process(input)?;
        Ok(std::mem::take(&mut self.worker.actions))
    }

    fn input_of(&self, entry: &Entry, height: Height) -> Option<Input<Registry>> {
        let at = At(height.get());
        Some(match entry {
            Entry::Vote(vote) => Input::Vote(vote_in(vote)),
            Entry::Proposal(proposal) => Input::Proposal(proposal_in(proposal)),
            Entry::Polka(votes) => bundle_in(votes)?,
            Entry::Judged {
                round,
                proposer,
                block,
                is_valid,
            } => judged(at, *round, *proposer, *block, *is_valid),
            Entry::Timeout(timer) => Input::TimeoutElapsed(timeout_of(*timer)),
            Entry::Body(_) => return None,
        })
    }

    fn process(&mut self, input: Input<Registry>) -> Result<(), MachineError> {
        let Self { state, worker, .. } = self;
        let outcome: Result<(), Error<Registry>> = process!(
            input: input,
            state: state,
            metrics: &(),
            with: effect => Ok::<_, MachineError>(worker.effect(effect))
        );
        let unsigned = worker.unsigned.take();
        match (unsigned, outcome) {
            (Some(error), _) => {
                worker.actions.clear();
                Err(MachineError::Signing(error))
            }
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => {
                worker.actions.clear();
                Err(match &error {
                    Error::ReplayDivergence(..) | Error::WalCorrupted(_) => {
                        MachineError::Unsafe(error.to_string())
                    }
                    _ => MachineError::Engine(error.to_string()),
                })
            }
        }
    }
}

fn birthmark_height(state: &State<Registry>) -> u64 {
    state.height().0
}

impl<V: VoteSigner> Worker<V> {
    fn effect(&mut self, effect: Effect<Registry>) -> Resume<Registry> {
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

    fn entry(&self, input: &Input<Registry>) -> Option<Entry> {
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

fn timeout_of(timer: Timer) -> core::Timeout {
    let kind = match timer.kind {
        TimerKind::Propose => TimeoutKind::Propose,
        TimerKind::Prevote => TimeoutKind::Prevote,
        TimerKind::Precommit => TimeoutKind::Precommit,
        TimerKind::Rebroadcast => TimeoutKind::Rebroadcast,
    };
    core::Timeout::new(Round::new(timer.round), kind)
}

/// `None` for the timer of a pause after a decision, which is never asked for.
fn timer_of(timeout: core::Timeout) -> Option<Timer> {
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
