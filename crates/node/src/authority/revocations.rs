//! What authorities have taken back: their lists are fetched again and again, and only believed when their key signed them.

use std::sync::Arc;
use std::time::Duration;

use birthmark_daemon::Shutdown;
use birthmark_protocol::Signature;
use const_oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::{Decode as _, Encode as _};
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;

use super::AuthorityClient;
use crate::authorities::{Authority, Issuer};
use crate::signatures;

/// How often a list is fetched.
const EVERY: Duration = Duration::from_secs(60);

/// Keeps the revocations of one authority up to date until asked to stop.
pub async fn follow(authority: Arc<Authority>, client: AuthorityClient, shutdown: Shutdown) {
    let Some(address) = authority.settings.revocations.clone() else {
        return;
    };
    let mut failing = false;
    loop {
        match fetch(&authority, &client, &address).await {
            Ok(count) if failing => {
                log::info!(AUTHORITY = authority.settings.id; "the list of {count} revoked certificates is fetched again")
            }
            Ok(_) => {}
            Err(reason) if !failing => {
                log::warn!(AUTHORITY = authority.settings.id; "the list of revoked certificates cannot be fetched, the last one stays in force: {reason}");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.requested() => return,
        }
        failing = authority
            .revocations_age()
            .is_none_or(|age| age > EVERY * 3);
    }
}

/// Fetches the list once; how many certificates stand on it.
pub async fn fetch(
    authority: &Authority,
    client: &AuthorityClient,
    address: &str,
) -> Result<usize, String> {
    let bytes = client
        .fetch(address)
        .await
        .map_err(|error| error.to_string())?;
    let count = apply(&authority.issuers, &bytes)?;
    authority.revocations_fetched();
    Ok(count)
}

/// Takes a list (DER) if one of the issuers signed it.
pub fn apply(issuers: &[Issuer], bytes: &[u8]) -> Result<usize, String> {
    let list = CertificateList::<Rfc5280>::from_der(bytes)
        .map_err(|error| format!("not a revocation list: {error}"))?;
    if list.signature_algorithm.oid != ECDSA_WITH_SHA_256 {
        return Err("the list is not signed with ecdsa-with-SHA256".into());
    }
    let tbs = list
        .tbs_cert_list
        .to_der()
        .map_err(|error| error.to_string())?;
    let signature = Signature::from_der(list.signature.as_bytes().unwrap_or_default())
        .map_err(|error| error.to_string())?;
    let signed = |issuer: &&Issuer| signatures::verify(&issuer.certificate.key, &tbs, &signature);
    let issuer = issuers
        .iter()
        .find(signed)
        .ok_or("the list is not signed by a pinned key")?;
    let revoked = list.tbs_cert_list.revoked_certificates.unwrap_or_default();
    Ok(issuer.replace_revoked(
        revoked
            .iter()
            .map(|entry| entry.serial_number.as_bytes().to_vec()),
    ))
}
