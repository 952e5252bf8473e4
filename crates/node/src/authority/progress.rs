//! What a step of a lane brought about, or why it could not be taken.

use super::AskError;
use super::portion::Portion;
use crate::store::StoreError;

/// Whose fault it is that a step was not taken.
pub(super) enum LaneError {
    Store(StoreError),
    Ask(AskError),
}

impl From<StoreError> for LaneError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AskError> for LaneError {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

/// What one step brought about.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) settled: usize,
    pub(super) set_aside: usize,
    pub(super) ahead: Option<Portion>,
}

impl Progress {
    pub(super) const fn is_nothing(&self) -> bool {
        self.settled == 0 && self.set_aside == 0 && self.ahead.is_none()
    }
}
