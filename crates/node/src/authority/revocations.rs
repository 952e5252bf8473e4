//! What authorities have taken back: their lists are fetched again and again, and only believed when their key signed them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_daemon::Shutdown;
use birthmark_protocol::{Signature, Timestamp};
use serde::Deserialize;

use super::AuthorityClient;
use crate::authorities::{Authority, AuthorityBook, apply_list};
use crate::journal;
use crate::settings::NoticeSettings;
use crate::signatures;

/// How often a list is fetched.
const EVERY: Duration = Duration::from_secs(60);
/// How often a file is read.
const FILES_EVERY: Duration = Duration::from_secs(5);

/// What the key of the dated list signs: this, then the list's text.
const LIST_DOMAIN: &str = "birthmark/revocations/v1";

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
        authority.replace_notices(read_feed(authority, &bytes)?);
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

#[derive(Deserialize)]
struct SignedFeed {
    signed: String,
    signature: String,
}

#[derive(Deserialize)]
struct Feed {
    manufacturer_id: String,
    revocations: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    scope: Option<Scope>,
    from: Timestamp,
    #[serde(default)]
    until: Option<Timestamp>,
    reason: String,
}

/// Records name a family and never a camera, so only what concerns a whole family concerns records.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Scope {
    Family {
        family: String,
    },
    #[serde(other)]
    Other,
}

/// What the authority says against whole families, with dates: for answers about records of that time.
pub fn read_feed(authority: &Authority, bytes: &[u8]) -> Result<Vec<NoticeSettings>, String> {
    let list: SignedFeed =
        serde_json::from_slice(bytes).map_err(|error| format!("the dated list: {error}"))?;
    let signature = STANDARD
        .decode(&list.signature)
        .ok()
        .and_then(|bytes| Signature::from_bytes(&bytes.try_into().ok()?).ok());
    let signature = signature.ok_or("the dated list has no readable signature")?;
    let signed = [LIST_DOMAIN.as_bytes(), list.signed.as_bytes()].concat();
    if !authority
        .verdict_keys()
        .iter()
        .any(|key| signatures::verify(key, &signed, &signature))
    {
        return Err("the dated list is not signed by a configured verdict key".into());
    }
    let feed: Feed =
        serde_json::from_str(&list.signed).map_err(|error| format!("the dated list: {error}"))?;
    if feed.manufacturer_id != authority.settings.id {
        return Err("the dated list is another authority's".into());
    }
    let notice = |entry: Entry| match entry.scope? {
        Scope::Family { family } => Some(NoticeSettings {
            authority: feed.manufacturer_id.clone(),
            device_family: Some(family),
            from: entry.from,
            until: entry.until,
            reason: entry.reason,
        }),
        Scope::Other => None,
    };
    Ok(feed.revocations.into_iter().filter_map(notice).collect())
}
