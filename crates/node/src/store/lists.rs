//! Lists of what is revoked, as they were last believed, and the highest number seen of each.
//!
//! Whoever can write to the database can forget a number together with its list, and so bring back
//! an older one; nobody can write a list here that its authority did not sign.

use birthmark_protocol::Timestamp;

use super::state::PUT;
use super::{Store, StoreError, on};

/// The highest number of a list, under the list's name.
const NUMBER: &str = "list-number/";
/// The list itself, under the name of what it is fetched for.
const BYTES: &str = "list-bytes/";
/// When it was last fetched and believed.
const FETCHED: &str = "list-fetched/";

/// A list that was believed.
#[derive(Debug)]
pub struct KeptList {
    /// When it was last fetched.
    pub fetched: Timestamp,
    /// As it was fetched. It is checked again before anything of it is believed.
    pub bytes: Vec<u8>,
}

/// What is remembered of a list that was fetched and believed, beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Believed<'a> {
    /// What it is fetched for.
    pub place: &'a str,
    /// The list's own name.
    pub list: &'a str,
    /// Its number.
    pub number: u64,
    /// When it was fetched.
    pub fetched: Timestamp,
}

fn eight_bytes(value: Vec<u8>, what: &str) -> Result<[u8; 8], StoreError> {
    <[u8; 8]>::try_from(value).map_err(|_| StoreError::Corrupt(what.to_owned()))
}

impl Store {
    /// The highest number seen of each list of what is revoked, by the list's name.
    pub async fn list_numbers(&self) -> Result<Vec<(String, u64)>, StoreError> {
        const SQL: &str = "SELECT name, value FROM node_state WHERE name LIKE 'list-number/%'";
        let rows: Vec<(String, Vec<u8>)> =
            on!(&self.read, pool => sqlx::query_as(SQL).fetch_all(pool).await?);
        let number = |(name, value): (String, Vec<u8>)| {
            let list = name.strip_prefix(NUMBER).map(str::to_owned);
            let list = list.ok_or_else(|| StoreError::Corrupt("the name of a list".into()))?;
            let value = eight_bytes(value, "the number of a list")?;
            Ok((list, u64::from_be_bytes(value)))
        };
        rows.into_iter().map(number).collect()
    }

    /// Remembers the highest number seen of a list.
    pub async fn put_list_number(&self, list: &str, number: u64) -> Result<(), StoreError> {
        let name = format!("{NUMBER}{list}");
        on!(&self.write, pool => {
            sqlx::query(PUT).bind(name).bind(number.to_be_bytes().to_vec()).execute(pool).await?;
        });
        Ok(())
    }

    /// Remembers a list with its number: both, or neither if we stop before the commit. A list
    /// without its number could be replaced by an older one, and a number without its list would
    /// keep that list from being believed after a restart. `bytes` is the list, unless the same is
    /// kept already.
    pub async fn keep_list(
        &self,
        believed: Believed<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let mut rows = vec![
            (
                format!("{NUMBER}{}", believed.list),
                believed.number.to_be_bytes().to_vec(),
            ),
            (
                format!("{FETCHED}{}", believed.place),
                believed.fetched.unix().to_be_bytes().to_vec(),
            ),
        ];
        if let Some(bytes) = bytes {
            rows.push((format!("{BYTES}{}", believed.place), bytes.to_vec()));
        }
        on!(&self.write, pool => {
            let mut tx = pool.begin().await?;
            for (name, value) in rows {
                sqlx::query(PUT).bind(name).bind(value).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// The list that was last believed for this place.
    pub async fn kept_list(&self, place: &str) -> Result<Option<KeptList>, StoreError> {
        let bytes = self.state(&format!("{BYTES}{place}")).await?;
        let fetched = self.state(&format!("{FETCHED}{place}")).await?;
        let Some((bytes, fetched)) = bytes.zip(fetched) else {
            return Ok(None);
        };
        let fetched = i64::from_be_bytes(eight_bytes(fetched, "the age of a list")?);
        Ok(Some(KeptList {
            fetched: Timestamp::from_unix(fetched),
            bytes,
        }))
    }

    /// Forgets the lists of every place but these: who is no longer configured leaves nothing
    /// behind. Numbers stay, so that an authority that comes back is not set back.
    pub async fn forget_lists_but(&self, places: &[String]) -> Result<(), StoreError> {
        const SQL: &str = "SELECT name FROM node_state WHERE name LIKE 'list-bytes/%' OR name LIKE 'list-fetched/%'";
        const DELETE: &str = "DELETE FROM node_state WHERE name = $1";
        let names: Vec<String> =
            on!(&self.read, pool => sqlx::query_scalar(SQL).fetch_all(pool).await?);
        let is_wanted = |name: &String| {
            let place = name.split_once('/').map(|(_, place)| place);
            place.is_some_and(|place| places.iter().any(|wanted| wanted == place))
        };
        for name in names.into_iter().filter(|name| !is_wanted(name)) {
            on!(&self.write, pool => {
                sqlx::query(DELETE).bind(name).execute(pool).await?;
            });
        }
        Ok(())
    }
}
