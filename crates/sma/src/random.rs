//! The system's randomness, and fair draws from it.

use std::collections::BTreeSet;

use birthmark_daemon::random;
use birthmark_protocol::TableId;
use birthmark_protocol::numbers::{TABLES, TABLES_PER_CAMERA};

pub use birthmark_daemon::random::{NoRandomness, bytes};

/// Three distinct tables, in ascending order, every triple equally likely.
pub fn tables() -> Result<[TableId; TABLES_PER_CAMERA], NoRandomness> {
    let mut chosen = BTreeSet::new();
    loop {
        let drawn = random::below(TABLES.into())?.map(i64::from);
        chosen.extend(drawn.and_then(|drawn| TableId::try_from(drawn).ok()));
        if let Ok(tables) = chosen.iter().copied().collect::<Vec<_>>().try_into() {
            return Ok(tables);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tables_are_distinct_and_ascending() {
        for _ in 0..1000 {
            let [a, b, c] = tables().unwrap();
            assert!(a < b && b < c);
        }
    }
}
