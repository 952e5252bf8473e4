//! What is remembered of lists of what is revoked: the highest number seen of each, so that an
//! older one never replaces a newer one, and the list itself, so that what was withdrawn stays
//! withdrawn over a restart while its authority is away.
//!
//! Lists are public and come from anywhere: a cache, a mirror, somebody on the way. Whoever can
//! send an older one, signed as it is, would bring back what it did not know yet. Whoever can write
//! to the database can forget these numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use birthmark_protocol::Digest;

use crate::store::{Believed, Store, StoreError};

/// The numbers by the name of the list, and which bytes lie in the database.
#[derive(Debug, Default)]
pub struct ListNumbers {
    seen: Mutex<BTreeMap<String, u64>>,
    kept: Mutex<BTreeMap<String, Digest>>,
}

impl ListNumbers {
    /// Those that the database remembers.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let numbers = store.list_numbers().await?;
        Ok(Self {
            seen: Mutex::new(numbers.into_iter().collect()),
            kept: Mutex::default(),
        })
    }

    /// The highest number seen of a list, 0 before the first.
    pub fn seen(&self, list: &str) -> u64 {
        let numbers = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(list).map_or(0, |number| *number)
    }

    /// Remembers a number. If we stop before the commit, the list is read again and remembered
    /// then.
    pub async fn remember(&self, store: &Store, list: &str, number: u64) -> Result<(), StoreError> {
        if number <= self.seen(list) {
            return Ok(());
        }
        store.put_list_number(list, number).await?;
        self.note(list, number);
        Ok(())
    }

    /// Remembers a list that was fetched and believed, with its number. Bytes that lie in the
    /// database are not written again each minute; when they were fetched is.
    pub async fn keep(
        &self,
        store: &Store,
        believed: Believed<'_>,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let digest = Digest::of(bytes);
        let is_kept = self.kept_bytes(believed.place) == Some(digest);
        let written = (!is_kept).then_some(bytes);
        store.keep_list(believed, written).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(believed.place.to_owned(), digest);
        drop(kept);
        self.note(believed.list, believed.number);
        Ok(())
    }

    fn kept_bytes(&self, place: &str) -> Option<Digest> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(place).copied()
    }

    fn note(&self, list: &str, number: u64) {
        let mut numbers = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(list.to_owned(), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreUrl;

    #[tokio::test]
    async fn the_highest_number_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("node.db").display());
        let store = Store::open(&StoreUrl::new(url)).await.unwrap();
        let numbers = ListNumbers::load(&store).await.unwrap();
        assert_eq!(numbers.seen("feed/maker"), 0);
        for number in [7, 9, 8] {
            numbers
                .remember(&store, "feed/maker", number)
                .await
                .unwrap();
        }
        let again = ListNumbers::load(&store).await.unwrap();
        assert_eq!((again.seen("feed/maker"), again.seen("feed/other")), (9, 0));
    }
}
