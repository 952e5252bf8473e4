//! One height at a time through the engine's rules: events in, actions out, in the order in which
//! they must be done.

use std::sync::Arc;

use arc_malachitebft_core_consensus::{Error, Input, LocallyProposedValue, Params, State, process};
use arc_malachitebft_core_types as core;
use birthmark_ledger::{Height, ValidatorId, ValidatorSet, VoteSigner};
use birthmark_protocol::Digest;
use core::{Round, ThresholdParams, ValuePayload, VoteExtensionPolicy};

use super::context::{At, BlockId, Member, Registry, Set, proposal_in, vote_in};
use super::effects::{Worker, timeout_of};
use super::events::{Action, Entry, Event, MachineError};
use super::translate::{bundle_in, judged};

/// How many later heights are listened to before they begin here.
const HEIGHTS_AHEAD: usize = 4;
/// How many messages of one later height are kept.
const MESSAGES_AHEAD: usize = 1000;

/// The engine's state.
pub(crate) struct Machine<V> {
    state: State<Registry>,
    own: ValidatorId,
    worker: Worker<V>,
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
