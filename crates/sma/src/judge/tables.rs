//! The key tables: 2,500 master keys, each behind a thousand derived keys.

use birthmark_protocol::numbers::TABLES;
use birthmark_protocol::{MasterKey, TableId};

use crate::keep::vault::{Vault, VaultError};

/// All master keys, by table.
pub struct KeyTables(Vec<MasterKey>);

impl std::fmt::Debug for KeyTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyTables({})", self.0.len())
    }
}

/// Why the tables are not usable.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not all are there.
    #[error("the database has {0} key tables, not {TABLES}")]
    Count(usize),
    /// One was changed.
    #[error("key table {0}: {1}")]
    Sealed(i64, VaultError),
}

fn label(table: i64) -> String {
    format!("table {table}")
}

/// Every table, in order.
pub fn all() -> impl Iterator<Item = TableId> {
    (0..i64::from(TABLES)).filter_map(|number| TableId::try_from(number).ok())
}

/// Seals the master key of a table.
pub fn seal(vault: &Vault, table: TableId, key: &MasterKey) -> Result<Vec<u8>, VaultError> {
    vault.seal(&label(table.into()), key.expose())
}

impl KeyTables {
    /// Opens all tables as the database has them, in order.
    pub fn open(vault: &Vault, rows: &[(i64, Vec<u8>)]) -> Result<Self, TableError> {
        if rows.len() != usize::from(TABLES) {
            return Err(TableError::Count(rows.len()));
        }
        let keys = rows.iter().zip(all()).map(|((number, sealed), table)| {
            if *number != i64::from(table) {
                return Err(TableError::Count(rows.len()));
            }
            let key = vault
                .unseal32(&label(*number), sealed)
                .map_err(|error| TableError::Sealed(*number, error))?;
            Ok(MasterKey::from_bytes(*key))
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The master key of a table. Every table has one, which opening made sure of.
    pub fn get(&self, table: TableId) -> Option<&MasterKey> {
        self.0.get(usize::from(table.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Swapped rows would give a camera's tokens another camera's key; a row of another label
    /// does not open.
    #[test]
    fn tables_open_only_whole_in_order_and_as_they_were_sealed() {
        let (vault, _) = Vault::create(b"a test credential", [1; 16]).unwrap();
        let sealed = |table: TableId| {
            let key = MasterKey::from_bytes([u8::try_from(table.get() % 251).unwrap(); 32]);
            (i64::from(table), seal(&vault, table, &key).unwrap())
        };
        let mut rows: Vec<_> = all().map(sealed).collect();
        let opened = KeyTables::open(&vault, &rows).unwrap();
        let last = all().last().unwrap();
        assert_eq!(opened.get(last).unwrap().expose(), &[240; 32]);
        assert_eq!(format!("{opened:?}"), "KeyTables(2500)");

        let refused = |rows: &[(i64, Vec<u8>)]| KeyTables::open(&vault, rows).unwrap_err();
        assert!(matches!(refused(&rows[1..]), TableError::Count(2499)));
        rows.swap(3, 4);
        assert!(matches!(refused(&rows), TableError::Count(2500)));
        (rows[3].0, rows[4].0) = (3, 4);
        let swapped = refused(&rows).to_string();
        assert!(swapped.contains("key table 3"), "{swapped}");
    }
}
