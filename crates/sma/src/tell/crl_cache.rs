//! Certificate revocation lists that were just made: looking at a million cameras takes a moment.

use std::sync::{Arc, Mutex, PoisonError};

use birthmark_protocol::{KeyId, Timestamp};

use crate::judge::rules::Rules;

/// How old a list that is served may be, if no revocation was pronounced or lifted since.
const LIST_AGE: i64 = 60;

/// The last list of each intermediate.
#[derive(Debug, Default)]
pub struct ListCache(Mutex<Vec<CachedList>>);

/// A list, and what it was made from.
#[derive(Debug, Clone)]
pub struct CachedList {
    pub issuer: KeyId,
    pub rules: Arc<Rules>,
    pub made: Timestamp,
    pub der: Arc<Vec<u8>>,
}

impl ListCache {
    fn lists(&self) -> std::sync::MutexGuard<'_, Vec<CachedList>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of this intermediate, unless it is too old or rests on other revocations.
    pub fn fresh(&self, issuer: KeyId, rules: &Arc<Rules>, now: Timestamp) -> Option<Arc<Vec<u8>>> {
        let lists = self.lists();
        let list = lists.iter().find(|list| list.issuer == issuer)?;
        let fresh =
            Arc::ptr_eq(&list.rules, rules) && (0..LIST_AGE).contains(&now.since(list.made));
        fresh.then(|| Arc::clone(&list.der))
    }

    /// Keeps a list in the place of the intermediate's last one.
    pub fn keep(&self, list: CachedList) {
        let mut lists = self.lists();
        lists.retain(|old| old.issuer != list.issuer);
        lists.push(list);
    }
}
