//! What authorities have taken back: their lists are fetched again and again, and only believed when their key signed them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_protocol::revocations::{ListError, Revocation, Scope, SignedList};

use super::AuthorityClient;
use crate::authorities::{Authority, AuthorityBook, apply_list};
use crate::journal;
use crate::settings::NoticeSettings;

/// How often a list is fetched.
const EVERY: Duration = Duration::from_secs(60);
/// How often a file is read.
const FILES_EVERY: Duration = Duration::from_secs(5);

/// Lists have higher numbers.
const NEVER_SEEN: u64 = 0;

/// Keeps the revocations of one authority up to date until asked to stop.
pub async fn follow(authority: Arc<Authority>, client: AuthorityClient, shutdown: Shutdown) {
    let mut failing = false;
    loop {
        match fetch_all(&authority, &client).await {
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
/// Whoever can change such a file can at most bring back an older list: a list of anybody else's is not believed.
pub async fn follow_files(book: Arc<AuthorityBook>, shutdown: Shutdown) {
    let mut failing = BTreeSet::new();
    while !shutdown.is_requested() {
        tokio::select! {
            () = tokio::time::sleep(FILES_EVERY) => {}
            () = shutdown.requested() => return,
        }
        for authority in book.software_authorities() {
            match authority.read_list() {
                Ok(_) => {
                    failing.remove(&authority.name);
                }
                Err(reason) => {
                    if failing.insert(authority.name.clone()) {
                        log::warn!(MESSAGE_ID = journal::LIST_STALE, AUTHORITY = authority.name; "a list of what is revoked cannot be read, the last one stays in force: {reason:#}");
                    }
                }
            }
        }
    }
}

async fn fetch_all(authority: &Authority, client: &AuthorityClient) -> Result<(), String> {
    if let Some(address) = &authority.settings.revocations {
        fetch(authority, client, address).await?;
    }
    if let Some(address) = &authority.settings.revocation_feed {
        let bytes = client
            .fetch(address)
            .await
            .map_err(|error| error.to_string())?;
        let notices =
            read_feed(authority, &bytes).map_err(|error| format!("the dated list: {error}"))?;
        authority.replace_notices(notices);
    }
    Ok(())
}

/// Fetches the list of certificates once; how many certificates stand on it.
pub async fn fetch(
    authority: &Authority,
    client: &AuthorityClient,
    address: &str,
) -> Result<usize, String> {
    let bytes = client
        .fetch(address)
        .await
        .map_err(|error| error.to_string())?;
    let count = apply_list(&authority.issuers, &bytes)?;
    authority.revocations_fetched();
    Ok(count)
}

/// What the authority says against whole families, with dates: for answers about records of that time. Records name a
/// family and never a camera, so only what concerns a whole family concerns records.
pub fn read_feed(authority: &Authority, bytes: &[u8]) -> Result<Vec<NoticeSettings>, ListError> {
    let list = SignedList::from_json(bytes)?.open(
        &authority.settings.id,
        authority.verdict_keys(),
        NEVER_SEEN,
    )?;
    let notice = |entry: Revocation| match entry.scope? {
        Scope::Family { family } => Some(NoticeSettings {
            authority: list.manufacturer_id.clone(),
            device_family: Some(family),
            from: entry.from,
            until: entry.until,
            reason: entry.reason,
        }),
        _ => None,
    };
    Ok(list.revocations.into_iter().filter_map(notice).collect())
}
