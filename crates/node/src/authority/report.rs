//! What operators see of a lane, and what its journal says.

use std::time::Duration;

use birthmark_daemon::random;

use super::{AskError, Standing};
use crate::journal;

/// What operators see of a lane.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaneReport {
    /// How it has been answering.
    pub standing: Standing,
    /// Its last failure.
    pub last_error: Option<String>,
    /// The same without addresses, for anybody.
    pub trouble: Option<&'static str>,
    /// Questions it has answered since the start.
    pub answered: u64,
}

impl LaneReport {
    /// The authority answered so many questions.
    pub(super) fn answered(&mut self, authority: &str, settled: usize) {
        if self.standing.is_away() {
            log::info!(MESSAGE_ID = journal::AUTHORITY_BACK, AUTHORITY = authority; "the authority answers again");
        }
        self.standing.answered();
        (self.last_error, self.trouble) = (None, None);
        self.answered += settled as u64;
    }

    /// The authority failed. Says how long it is left alone.
    pub(super) fn failed(&mut self, authority: &str, error: &AskError) -> Duration {
        let was_away = self.standing.is_away();
        self.standing.failed();
        let pause = self.standing.pause(random::share());
        let text = error.to_string();
        let is_new = self.last_error.as_ref() != Some(&text);
        if matches!(error, AskError::Forged(_)) && is_new {
            log::error!(MESSAGE_ID = journal::FORGED_VERDICT, AUTHORITY = authority; "{error}; submissions wait, asking again in {pause:?}");
        } else if self.standing.is_away() && !was_away {
            log::warn!(MESSAGE_ID = journal::AUTHORITY_AWAY, AUTHORITY = authority; "{error}; submissions wait, asking again from time to time");
        } else {
            log::debug!(AUTHORITY = authority; "{error}; asking again in {pause:?}");
        }
        self.last_error = Some(text);
        self.trouble = Some(error.in_a_word());
        pause
    }
}
