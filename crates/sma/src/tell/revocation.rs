//! Revoking, and what the public is told about it: a CRL, a signed list in JSON, answers about
//! single certificates.

mod crl;
pub mod ocsp;

use std::sync::Arc;

use axum::body::Bytes;
use birthmark_http::ApiError;
use birthmark_protocol::revocations::{Revocation as PublicRevocation, RevocationList};
use birthmark_protocol::{Digest, KeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::authority::Authority;
use crate::clock;
use crate::issue::ca::Issuer;
use crate::judge::cameras::IssuedCertificate;
use crate::judge::rules::{self, Revocation, Rules, Scope};
use crate::keep::store::RevocationRow;
use crate::tell::signed_list::{Published, PublishedList};

/// How old a list may be, in seconds, if no revocation was pronounced or lifted since.
const LIST_AGE: i64 = 60;
/// For so many seconds a signed list may be used: a day on which this authority cannot be reached
/// is no alarm.
const SIGNED_FOR: i64 = 86_400;

/// A revocation about to be pronounced.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// What it covers.
    pub scope: Scope,
    /// From when, in seconds since 1970; from now on if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Until when; for good if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Why, for the authority's own people: stays in its database.
    pub reason: String,
    /// Why, for everybody: stands in the public list at once, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_reason: Option<String>,
    /// Revoke although no registered camera is covered: a mistyped model would otherwise pass for
    /// one.
    #[serde(default)]
    pub even_if_none: bool,
}

/// A revocation that was pronounced.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Revoked {
    /// Its number.
    pub id: i64,
    /// How many registered cameras it covers.
    pub cameras: usize,
}

impl Authority {
    /// Pronounces a revocation. When this returns, the next question is judged by it.
    pub async fn revoke(&self, request: &RevokeRequest, actor: &str) -> Result<Revoked, ApiError> {
        rules::check(&request.scope).map_err(|error| ApiError::field(error.field, error.reason))?;
        check_reason("reason", &request.reason)?;
        if let Some(reason) = &request.public_reason {
            check_reason("public_reason", reason)?;
        }
        let now = clock::now();
        let from = request.from.unwrap_or_else(|| now.unix());
        if request.until.is_some_and(|until| until <= from) {
            return Err(ApiError::field("until", "does not lie after from"));
        }
        let device = self.device_of(&request.scope).await;
        let device = device.map_err(ApiError::internal)?;
        if matches!(request.scope, Scope::Device { .. }) && device.is_none() {
            return Err(ApiError::not_found(
                "no camera with this serial is registered",
            ));
        }
        let covered = self.with_cameras(|cameras| Rules::covered(&request.scope, device, cameras));
        if covered == 0 && !request.even_if_none {
            return Err(ApiError::conflict(
                "0 registered cameras are covered by this: check the spelling, or say `even_if_none`",
            ));
        }
        let row = RevocationRow {
            id: 0,
            scope: serde_json::to_string(&request.scope).map_err(ApiError::internal)?,
            from_time: from,
            until_time: request.until,
            reason: request.reason.clone(),
            public_reason: request.public_reason.clone(),
            created_at: now.unix(),
            created_by: actor.to_owned(),
            lifted_at: None,
            lifted_by: None,
            mac: Vec::new(),
        };
        let target = row.scope.clone();
        let changing = self.change().await;
        let id = self.store.revoke(&self.vault, row).await?;
        // If we stop here, the revocation is in the database and holds from the next start on.
        self.reload_revocations()
            .await
            .map_err(ApiError::internal)?;
        drop(changing);
        self.log_act(actor, "revoke", &format!("revocation {id}: {target}"))
            .await;
        log::warn!("revocation {id} was pronounced; it covers {covered} cameras");
        let cameras = covered;
        Ok(Revoked { id, cameras })
    }

    /// Lifts a revocation.
    pub async fn lift(&self, id: i64, actor: &str) -> Result<(), ApiError> {
        let changing = self.change().await;
        let lifted = self.store.lift(&self.vault, id, actor, clock::now());
        if !lifted.await? {
            return Err(ApiError::not_found(
                "no revocation of this number is in force",
            ));
        }
        self.reload_revocations()
            .await
            .map_err(ApiError::internal)?;
        drop(changing);
        self.log_act(actor, "lift revocation", &format!("revocation {id}"))
            .await;
        Ok(())
    }

    /// The public list, signed.
    pub async fn signed_list(&self) -> Result<Arc<PublishedList>, ApiError> {
        let mut cached = self.signed_list.0.lock().await;
        let (rules, now) = (self.rules(), clock::now());
        if let Some(last) = &*cached
            && Arc::ptr_eq(&last.rules, &rules)
            && (0..LIST_AGE).contains(&now.since(last.checked))
        {
            return Ok(Arc::clone(&last.list));
        }
        let in_force = self.revocations();
        let in_force = in_force.iter().filter(|one| one.row.lifted_at.is_none());
        let revocations = in_force.map(|one| self.public(one)).collect::<Vec<_>>();
        let key = self.keyring().verdict_key_id().map(|key| key.to_string());
        let last = cached.as_ref().map(|last| &last.list);
        let list = match last {
            Some(list)
                if list.still_says(&revocations, now)
                    && key.as_ref() == Some(&list.list.key_id) =>
            {
                Arc::clone(list)
            }
            _ => {
                Arc::new(self.sign_list(revocations, now, last.map(|list| list.content.number))?)
            }
        };
        *cached = Some(Published {
            list: Arc::clone(&list),
            rules,
            checked: now,
        });
        Ok(list)
    }

    fn sign_list(
        &self,
        revocations: Vec<PublicRevocation>,
        now: Timestamp,
        last: Option<u64>,
    ) -> Result<PublishedList, ApiError> {
        // The time grows by itself, also over a restart and a restored backup: all that a number
        // has to do.
        let millis =
            u64::try_from(birthmark_daemon::clock::millis()).map_err(ApiError::internal)?;
        let content = RevocationList {
            manufacturer_id: self.settings.manufacturer_id.clone(),
            number: last.map_or(millis, |last| millis.max(last + 1)),
            issued_at: now,
            next: now.plus(SIGNED_FOR),
            revocations,
        };
        let keyring = self.keyring();
        let unsigned = || ApiError::internal("the list could not be signed");
        let key = keyring.verdict_key_id().ok_or_else(unsigned)?;
        let list = content
            .sign(key, |bytes| keyring.sign_bytes(bytes))
            .map_err(ApiError::internal)?
            .ok_or_else(unsigned)?;
        Ok(PublishedList {
            etag: format!("\"{}-{key}\"", Digest::of(list.signed.as_bytes())),
            list,
            content,
        })
    }

    fn public(&self, revocation: &Revocation) -> PublicRevocation {
        let row = &revocation.row;
        PublicRevocation {
            id: row.id,
            scope: self.public_scope(revocation),
            from: Timestamp::from_unix(row.from_time),
            until: row.until_time.map(Timestamp::from_unix),
            reason: row.public_reason.iter().cloned().collect(),
        }
    }

    /// A camera stands in public under its certificate's number; one without a certificate is not
    /// named.
    fn public_scope(&self, revocation: &Revocation) -> Option<Scope> {
        if !matches!(revocation.scope, Scope::Device { .. }) {
            return Some(revocation.scope.clone());
        }
        let number = self.with_cameras(|cameras| {
            let certificate = cameras.by_id(revocation.device?)?.certificate?;
            Some(hex::encode(certificate.serial_bytes()))
        })?;
        Some(Scope::Certificates {
            first: number.clone(),
            last: number,
        })
    }

    /// The revocation list of an intermediate, in DER; of the one in use if none is named.
    pub async fn crl(self: &Arc<Self>, issuer: Option<KeyId>) -> Result<Bytes, ApiError> {
        let wanted = issuer.unwrap_or_else(|| self.keyring().issuer.id());
        let make = async || {
            let authority = Arc::clone(self);
            // Looking at a million cameras takes a moment.
            let made = tokio::task::spawn_blocking(move || authority.make_crls()).await;
            made.map_err(ApiError::internal)?
        };
        let generation = self.generation();
        let made = self
            .lists
            .crls
            .get(generation, LIST_AGE, clock::now(), make);
        let made = made.await?;
        let found = made.iter().find(|(id, _)| *id == wanted);
        found
            .map(|(_, der)| der.clone())
            .ok_or_else(|| ApiError::not_found("no intermediate has this key"))
    }

    fn make_crls(&self) -> Result<Vec<(KeyId, Bytes)>, ApiError> {
        let (keyring, rules, now) = (self.keyring(), self.rules(), clock::now());
        let lists = keyring.issuers.iter().map(|issuer| {
            let distrusted = keyring.distrusted(issuer.id(), now);
            let revoked = self.revoked_certificates(issuer, &rules, distrusted, now);
            let der = crl::build(issuer, &revoked, now).map_err(ApiError::internal)?;
            Ok((issuer.id(), der.into()))
        });
        lists.collect()
    }

    /// Certificates of this intermediate that are revoked now, and since when: all of them if
    /// somebody else may have its key.
    fn revoked_certificates(
        &self,
        issuer: &Issuer,
        rules: &Rules,
        distrusted: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<(IssuedCertificate, Timestamp)> {
        let id = issuer.id();
        self.with_cameras(|cameras| {
            let certified = cameras
                .iter()
                .flat_map(|device| device.certificates().map(move |issued| (device, *issued)));
            let ours = certified.filter(|(_, certificate)| certificate.issuer == id);
            let revoked = ours.filter_map(|(device, certificate)| {
                let window = rules.covering(device, now);
                let since = window.map(|window| window.since()).or(distrusted)?;
                Some((certificate, since))
            });
            revoked.collect()
        })
    }
}

fn check_reason(field: &str, reason: &str) -> Result<(), ApiError> {
    let plain = (1..=500).contains(&reason.len()) && !reason.chars().any(char::is_control);
    plain.then_some(()).ok_or_else(|| {
        ApiError::field(
            field,
            "expected 1 to 500 bytes of text without control characters",
        )
    })
}
