//! Rows that say who is believed carry a keyed digest over everything in them.
//!
//! Whoever can write the database, but lacks the vault's credential, can then neither add a camera,
//! an operator or a key nor change one: the authority does not start on such a database. Where the
//! rows are few, a digest over all of them also shows one that was taken away or put back as it was
//! before, a revocation above all. A camera that was taken away is merely unknown. What remains is
//! setting the whole database back to an older state, which no digest inside it can show.

use crate::keep::vault::Vault;

/// A row's content in one canonical form: every field with its length, nothing told apart from
/// empty.
#[derive(Debug)]
pub struct Content(Vec<u8>);

/// A row that was changed by another program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Changed {
    /// One row does not carry the digest of what it says.
    #[error("table `{table}`, {row}: was changed by another program than this")]
    Row {
        /// The table.
        table: &'static str,
        /// Which row.
        row: String,
    },
    /// The rows are not those that were written last.
    #[error("table `{table}`: rows were removed or put back by another program than this")]
    Set {
        /// The table.
        table: &'static str,
    },
}

/// A row that is authenticated.
pub trait Authenticated {
    /// Its table.
    const TABLE: &'static str;

    /// How a person finds it.
    fn name(&self) -> String;

    /// Everything it says.
    fn content(&self) -> Content;

    /// The digest it carries.
    fn mac(&self) -> &[u8];
}

impl Content {
    /// Nothing yet, of this table.
    pub fn of(table: &str) -> Self {
        Self(Vec::new()).bytes(table.as_bytes())
    }

    /// Adds a field.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.optional(Some(bytes))
    }

    /// Adds a field that may be missing.
    pub fn optional(mut self, bytes: Option<&[u8]>) -> Self {
        self.0.push(u8::from(bytes.is_some()));
        let bytes = bytes.unwrap_or(&[]);
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// Adds a number.
    pub fn number(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds a number that may be missing.
    pub fn optional_number(self, number: Option<i64>) -> Self {
        self.optional(
            number
                .map(i64::to_be_bytes)
                .as_ref()
                .map(|bytes| &bytes[..]),
        )
    }

    /// Adds a text that may be missing.
    pub fn optional_text(self, text: Option<&str>) -> Self {
        self.optional(text.map(str::as_bytes))
    }
}

/// The digest that a row carries.
pub fn digest<R: Authenticated>(vault: &Vault, row: &R) -> Vec<u8> {
    vault.row_digest(&row.content().0).to_vec()
}

/// Succeeds when the row says what this program wrote.
pub fn check<R: Authenticated>(vault: &Vault, row: &R) -> Result<(), Changed> {
    use subtle::ConstantTimeEq;
    if digest(vault, row).ct_eq(row.mac()).into() {
        return Ok(());
    }
    let (table, row) = (R::TABLE, row.name());
    Err(Changed::Row { table, row })
}

/// The digest over all rows of a table, in the order of their numbers.
pub fn set_digest(vault: &Vault, table: &str, macs: &[Vec<u8>]) -> Vec<u8> {
    let content = macs.iter().fold(
        Content::of("all rows").bytes(table.as_bytes()),
        |all, mac| all.bytes(mac),
    );
    vault.row_digest(&content.0).to_vec()
}

/// Succeeds when these are all rows of the table, each as it was written last.
pub fn check_set<R: Authenticated>(
    vault: &Vault,
    rows: &[R],
    stored: Option<&[u8]>,
) -> Result<(), Changed> {
    rows.iter().try_for_each(|row| check(vault, row))?;
    let macs: Vec<_> = rows.iter().map(|row| row.mac().to_vec()).collect();
    let fits = match stored {
        Some(stored) => set_digest(vault, R::TABLE, &macs) == stored,
        // Before the first row there is no digest either.
        None => rows.is_empty(),
    };
    fits.then_some(()).ok_or(Changed::Set { table: R::TABLE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Row(Option<&'static str>, i64, Vec<u8>);

    impl Authenticated for Row {
        const TABLE: &'static str = "rows";

        fn name(&self) -> String {
            format!("row {}", self.1)
        }

        fn content(&self) -> Content {
            Content::of(Self::TABLE)
                .optional_text(self.0)
                .number(self.1)
        }

        fn mac(&self) -> &[u8] {
            &self.2
        }
    }

    fn vault() -> Vault {
        Vault::create(b"a test credential", [1; 16]).unwrap().0
    }

    fn row(vault: &Vault, text: Option<&'static str>, number: i64) -> Row {
        let mut row = Row(text, number, Vec::new());
        row.2 = digest(vault, &row);
        row
    }

    #[test]
    fn a_changed_field_is_noticed_and_named() {
        let vault = vault();
        let mut changed = row(&vault, Some("a"), 1);
        assert_eq!(check(&vault, &changed), Ok(()));
        changed.0 = None;
        let error = check(&vault, &changed).unwrap_err().to_string();
        assert!(error.contains("`rows`, row 1"), "{error}");
        let (empty, missing) = (row(&vault, Some(""), 1), row(&vault, None, 1));
        assert_ne!(empty.2, missing.2, "nothing is not an empty text");
    }

    #[test]
    fn a_row_that_was_removed_or_put_back_is_noticed() {
        let vault = vault();
        let rows = [row(&vault, Some("a"), 1), row(&vault, Some("b"), 2)];
        let macs: Vec<_> = rows.iter().map(|row| row.2.clone()).collect();
        let set = set_digest(&vault, "rows", &macs);
        assert_eq!(check_set(&vault, &rows, Some(&set)), Ok(()));
        let gone = Err(Changed::Set { table: "rows" });
        assert_eq!(check_set(&vault, &rows[..1], Some(&set)), gone);
        let older = [row(&vault, Some("as before"), 1), rows[1].clone()];
        assert_eq!(check_set(&vault, &older, Some(&set)), gone);
        assert_eq!(check_set(&vault, &rows, None), gone);
        assert_eq!(check_set::<Row>(&vault, &[], None), Ok(()));
    }
}
