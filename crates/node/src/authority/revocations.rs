//! What authorities have taken back: their lists are fetched again and again, and only believed
//! when their key signed them and none with a higher number was seen before. What was believed is
//! kept, and believed again by the next start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_protocol::Timestamp;
use birthmark_protocol::revocations::{ListError, Revocation, Scope, SignedList};

use super::{AskError, AuthorityClient};
use crate::authorities::{
    Applied, Authority, AuthorityBook, ListRefused, ListTimes, Withdrawal, Withdrawn, apply_list,
};
use crate::list_numbers::ListNumbers;
use crate::store::{Believed, Store, StoreError};
use crate::{clock, journal};

/// How often a list is fetched.
const EVERY: Duration = Duration::from_secs(60);
/// What an answer says where an authority made no reason public.
const UNSAID: &str = "its maker gave no reason in public";
/// How often a file is read.
const FILES_EVERY: Duration = Duration::from_secs(5);

/// Why a list was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It could not be had.
    #[error(transparent)]
    Away(#[from] AskError),
    /// The list of revoked certificates is not believed.
    #[error(transparent)]
    Certificates(#[from] ListRefused),
    /// The dated list is not believed.
    #[error("the dated list: {0}")]
    Feed(#[from] ListError),
    /// Its number could not be remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the revocations of one authority up to date until asked to stop.
pub async fn follow(
    authority: Arc<Authority>,
    client: AuthorityClient,
    numbers: Arc<ListNumbers>,
    store: Store,
    shutdown: Shutdown,
) {
    let mut failing = false;
    loop {
        let fetched = fetch_all(&authority, &client, &numbers, &store).await;
        authority.set_silent(matches!(fetched, Err(FetchError::Away(_))));
        match fetched {
            Ok(()) if failing => {
                log::info!(AUTHORITY = authority.settings.id; "the lists of what is revoked are fetched again");
                failing = false;
            }
            Ok(()) => {}
            Err(reason) => {
                if !failing {
                    log::warn!(MESSAGE_ID = journal::LIST_STALE, AUTHORITY = authority.settings.id; "a list of what is revoked cannot be fetched, the last one stays in force: {reason}");
                }
                failing = true;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// Keeps up to date what software authorities have taken back, from the files their lists lie in.
///
/// Whoever can change such a file can at most keep a newer list away: an older one, or anybody
/// else's, is not believed.
pub async fn follow_files(
    book: Arc<AuthorityBook>,
    numbers: Arc<ListNumbers>,
    store: Store,
    shutdown: Shutdown,
) {
    let mut failing = BTreeSet::new();
    while !shutdown.is_requested() {
        for authority in book.software_authorities() {
            let read = match authority.read_list(&numbers) {
                Ok(Some(applied)) => numbers
                    .remember(&store, &applied.list, applied.number)
                    .await
                    .map_err(anyhow::Error::from),
                Ok(None) => Ok(()),
                Err(reason) => Err(reason),
            };
            match read {
                Ok(()) => {
                    failing.remove(&authority.name);
                }
                Err(reason) => {
                    if failing.insert(authority.name.clone()) {
                        log::warn!(MESSAGE_ID = journal::LIST_STALE, AUTHORITY = authority.name; "a list of what is revoked cannot be read, the last one stays in force: {reason:#}");
                    }
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(FILES_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// Believes again what was believed before this start, as old as it was then: while an authority is
/// away, what it withdrew stays withdrawn, and answers say since when nothing newer is known.
///
/// Whoever can write to the database can make a list look newer than it is, or forget it; nobody
/// can add to one.
pub async fn restore(
    book: &AuthorityBook,
    numbers: &ListNumbers,
    store: &Store,
) -> Result<(), StoreError> {
    let mut places = Vec::new();
    for authority in book.all() {
        let settings = &authority.settings;
        if settings.revocations.is_some() {
            let place = certificates_name(authority);
            let believed = believe_again(store, &place, |bytes, fetched| {
                apply(authority, bytes, numbers, fetched)?;
                Ok(())
            });
            say_if_refused(authority, believed.await?);
            places.push(place);
        }
        if settings.revocation_feed.is_some() {
            let place = feed_name(authority);
            let believed = believe_again(store, &place, |bytes, fetched| {
                let feed = read_feed(authority, bytes, numbers, fetched)?;
                authority.replace_withdrawn(feed.withdrawn, feed.times);
                Ok(())
            });
            say_if_refused(authority, believed.await?);
            places.push(place);
        }
    }
    store.forget_lists_but(&places).await
}

async fn believe_again(
    store: &Store,
    place: &str,
    believe: impl FnOnce(&[u8], Timestamp) -> Result<(), FetchError>,
) -> Result<Result<(), FetchError>, StoreError> {
    let Some(kept) = store.kept_list(place).await? else {
        return Ok(Ok(()));
    };
    // A clock that was set back since must not make a list younger than now.
    Ok(believe(&kept.bytes, kept.fetched.min(clock::now())))
}

/// A list is refused when its key is no longer pinned, and when somebody changed what was kept.
/// Until the next is fetched, answers say that there is none.
fn say_if_refused(authority: &Authority, believed: Result<(), FetchError>) {
    if let Err(reason) = believed {
        log::warn!(MESSAGE_ID = journal::LIST_STALE, AUTHORITY = authority.settings.id; "a list of what is revoked that was kept is not believed, a new one is fetched: {reason}");
    }
}

/// Both lists are fetched, whatever becomes of the other.
async fn fetch_all(
    authority: &Authority,
    client: &AuthorityClient,
    numbers: &ListNumbers,
    store: &Store,
) -> Result<(), FetchError> {
    let certificates = match &authority.settings.revocations {
        Some(address) => keep_certificates(authority, client, address, numbers, store).await,
        None => Ok(()),
    };
    if let Some(address) = &authority.settings.revocation_feed {
        let bytes = client.fetch(address).await?;
        let fetched = clock::now();
        let feed = read_feed(authority, &bytes, numbers, fetched)?;
        let name = feed_name(authority);
        let believed = Believed {
            place: &name,
            list: &name,
            number: feed.number,
            fetched,
        };
        numbers.keep(store, believed, &bytes).await?;
        authority.replace_withdrawn(feed.withdrawn, feed.times);
    }
    certificates
}

async fn keep_certificates(
    authority: &Authority,
    client: &AuthorityClient,
    address: &str,
    numbers: &ListNumbers,
    store: &Store,
) -> Result<(), FetchError> {
    let bytes = client.fetch(address).await?;
    let fetched = clock::now();
    let applied = apply(authority, &bytes, numbers, fetched)?;
    let believed = Believed {
        place: &certificates_name(authority),
        list: &applied.list,
        number: applied.number,
        fetched,
    };
    Ok(numbers.keep(store, believed, &bytes).await?)
}

/// Fetches the list of certificates once.
pub async fn fetch(
    authority: &Authority,
    client: &AuthorityClient,
    address: &str,
    numbers: &ListNumbers,
) -> Result<Applied, FetchError> {
    let bytes = client.fetch(address).await?;
    Ok(apply(authority, &bytes, numbers, clock::now())?)
}

/// Fetches the dated list once; what stands in it.
pub async fn fetch_feed(
    authority: &Authority,
    client: &AuthorityClient,
    address: &str,
    numbers: &ListNumbers,
) -> Result<Feed, FetchError> {
    let bytes = client.fetch(address).await?;
    Ok(read_feed(authority, &bytes, numbers, clock::now())?)
}

fn apply(
    authority: &Authority,
    bytes: &[u8],
    numbers: &ListNumbers,
    fetched: Timestamp,
) -> Result<Applied, ListRefused> {
    let applied = apply_list(&authority.issuers, bytes, numbers, clock::now())?;
    authority.crl_fetched(ListTimes {
        fetched: Some(fetched),
        next: applied.next,
    });
    Ok(applied)
}

/// What the list of certificates is kept under: its own name is its signer's, which is known once
/// it was read.
fn certificates_name(authority: &Authority) -> String {
    format!("certificates/{}", authority.settings.id)
}

fn feed_name(authority: &Authority) -> String {
    format!("feed/{}", authority.settings.id)
}

/// A dated list that is believed.
#[derive(Debug)]
pub struct Feed {
    /// What it says against cameras.
    pub withdrawn: Vec<Withdrawal>,
    /// Its number: a later list has a higher one.
    pub number: u64,
    /// When it was fetched, and when a newer one should be there.
    pub times: ListTimes,
}

/// What the authority says against its cameras, with dates: for answers about records of that time.
fn read_feed(
    authority: &Authority,
    bytes: &[u8],
    numbers: &ListNumbers,
    fetched: Timestamp,
) -> Result<Feed, ListError> {
    let list = SignedList::from_json(bytes)?.open(
        &authority.settings.id,
        authority.verdict_keys(),
        numbers.seen(&feed_name(authority)),
    )?;
    Ok(Feed {
        withdrawn: list.revocations.into_iter().map(withdrawal_of).collect(),
        number: list.number,
        times: ListTimes {
            fetched: Some(fetched),
            next: Some(list.next),
        },
    })
}

/// A record names a family and never a camera: whatever concerns single cameras is said as what it
/// may be.
fn withdrawal_of(entry: Revocation) -> Withdrawal {
    let of = match entry.scope {
        Some(Scope::Family { family }) => Withdrawn::Family(family),
        Some(Scope::Firmware { family, from, to }) => Withdrawn::Firmware { family, from, to },
        Some(Scope::Device { .. } | Scope::Certificates { .. } | Scope::Issued { .. }) | None => {
            Withdrawn::Single
        }
    };
    Withdrawal {
        of,
        from: entry.from,
        until: entry.until,
        reason: match entry.reason {
            none if none.trim().is_empty() => UNSAID.to_owned(),
            said => said,
        },
    }
}

#[cfg(test)]
mod tests {
    use birthmark_protocol::Timestamp;

    use super::*;

    #[test]
    fn a_withdrawal_without_a_public_reason_says_so() {
        let reason = |public: &str| {
            withdrawal_of(Revocation {
                id: 1,
                scope: None,
                from: Timestamp::from_unix(0),
                until: None,
                reason: public.into(),
            })
            .reason
        };
        assert_eq!(reason("stolen"), "stolen");
        assert_eq!(reason(" "), UNSAID);
    }
}
