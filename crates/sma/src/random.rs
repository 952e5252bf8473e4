//! The system's randomness, the only kind used here.

use std::collections::BTreeSet;

use birthmark_protocol::TableId;
use birthmark_protocol::numbers::{TABLES, TABLES_PER_CAMERA};

/// `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Three distinct tables, in ascending order, every triple equally likely.
pub fn tables() -> Result<[TableId; TABLES_PER_CAMERA], getrandom::Error> {
    let mut chosen = BTreeSet::new();
    loop {
        chosen.insert(table()?);
        if let Ok(tables) = chosen.iter().copied().collect::<Vec<_>>().try_into() {
            return Ok(tables);
        }
    }
}

fn table() -> Result<TableId, getrandom::Error> {
    // The largest multiple of 2,500 that 16 bits hold: above it, some tables would be likelier than others.
    const FAIR: u16 = u16::MAX - u16::MAX % TABLES;
    loop {
        let drawn = u16::from_be_bytes(bytes()?);
        if drawn < FAIR
            && let Ok(table) = TableId::try_from(i64::from(drawn % TABLES))
        {
            return Ok(table);
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
