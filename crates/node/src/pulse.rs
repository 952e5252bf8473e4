//! Whether the node can do its work: looked at every few seconds by the node itself, so that a
//! question about it costs nothing however many ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What keeps the node from its work. Each is a sentence for anybody; the journal has the cause.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Troubles>);

#[derive(Debug, Default)]
struct Troubles {
    database: Option<&'static str>,
    blocks: Option<&'static str>,
}

impl Pulse {
    /// What the last look at the database found.
    pub fn set_database(&self, trouble: Option<&'static str>) {
        self.troubles().database = trouble;
    }

    /// What the last attempt at a block found.
    pub fn set_blocks(&self, trouble: Option<&'static str>) {
        self.troubles().blocks = trouble;
    }

    /// What keeps the node from its work, if anything does.
    pub fn trouble(&self) -> Option<&'static str> {
        let troubles = self.troubles();
        troubles.database.or(troubles.blocks)
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_until_it_is_over_and_hides_no_other() {
        let pulse = Pulse::default();
        assert_eq!(pulse.trouble(), None);
        pulse.set_blocks(Some("no block can be made"));
        pulse.set_database(Some("the database cannot be written to"));
        assert_eq!(pulse.trouble(), Some("the database cannot be written to"));
        pulse.set_database(None);
        assert_eq!(pulse.trouble(), Some("no block can be made"));
        pulse.set_blocks(None);
        assert_eq!(pulse.trouble(), None);
    }
}
