//! The highest number seen of each list of what is revoked: an older list never replaces a newer one, not even after a restart.
//!
//! Lists are public and come from anywhere: a cache, a mirror, somebody on the way. Whoever can send an older one, signed as it
//! is, would bring back what it did not know yet. Whoever can write to the database can forget these numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::store::{Store, StoreError};

/// The numbers, by the name of the list.
#[derive(Debug, Default)]
pub struct ListNumbers(Mutex<BTreeMap<String, u64>>);

impl ListNumbers {
    /// Those that the database remembers.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let numbers = store.list_numbers().await?;
        Ok(Self(Mutex::new(numbers.into_iter().collect())))
    }

    /// The highest number seen of a list, 0 before the first.
    pub fn seen(&self, list: &str) -> u64 {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(list).map_or(0, |number| *number)
    }

    /// Remembers a number. If we stop before the commit, the list is read again and remembered then.
    pub async fn remember(&self, store: &Store, list: &str, number: u64) -> Result<(), StoreError> {
        if number <= self.seen(list) {
            return Ok(());
        }
        store.put_list_number(list, number).await?;
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(list.to_owned(), number);
        Ok(())
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
