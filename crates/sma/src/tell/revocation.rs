//! Revoking, and what the public is told about it: a CRL, a signed list in JSON, answers about single certificates.

mod crl;
pub mod ocsp;

use std::sync::Arc;

use birthmark_http::ApiError;
use birthmark_protocol::revocations::{Revocation as PublicRevocation, RevocationList};
use birthmark_protocol::{Digest, KeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::authority::Authority;
use crate::clock;
use crate::issue::ca::Issuer;
use crate::judge::cameras::IssuedCertificate;
use crate::judge::rules::{self, Rules, Scope};
use crate::keep::store::RevocationRow;
use crate::tell::crl_cache::CachedList;
use crate::tell::signed_list::{Published, PublishedList};

/// How long the signed list is served without another look at the cameras' certificates.
const LIST_AGE: i64 = 60;
/// For so many seconds a signed list may be used: a day on which this authority cannot be reached is no alarm.
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
    /// Why.
    pub reason: String,
}

impl Authority {
    /// Pronounces a revocation. When this returns, the next question is judged by it.
    pub async fn revoke(&self, request: &RevokeRequest, actor: &str) -> Result<i64, ApiError> {
        rules::check(&request.scope).map_err(|error| ApiError::field(error.field, error.reason))?;
        if request.reason.is_empty()
            || request.reason.len() > 500
            || request.reason.chars().any(char::is_control)
        {
            return Err(ApiError::field(
                "reason",
                "expected 1 to 500 bytes of text without control characters",
            ));
        }
        let now = clock::now();
        let from = request.from.unwrap_or(now.unix());
        if request.until.is_some_and(|until| until <= from) {
            return Err(ApiError::field("until", "does not lie after from"));
        }
        if let Scope::Device { serial } = &request.scope
            && self.store.device(serial).await?.is_none()
        {
            return Err(ApiError::not_found(
                "no camera with this serial is registered",
            ));
        }
        let row = RevocationRow {
            id: 0,
            scope: serde_json::to_string(&request.scope).map_err(ApiError::internal)?,
            from_time: from,
            until_time: request.until,
            reason: request.reason.clone(),
            created_at: now.unix(),
            created_by: actor.to_owned(),
            lifted_at: None,
            lifted_by: None,
        };
        let id = self.store.revoke(&row).await?;
        // If we stop here, the revocation is in the database and holds from the next start on.
        self.reload_revocations()
            .await
            .map_err(ApiError::internal)?;
        self.log_act(actor, "revoke", &format!("revocation {id}: {}", row.scope))
            .await;
        log::warn!("revocation {id} was pronounced");
        Ok(id)
    }

    /// Lifts a revocation.
    pub async fn lift(&self, id: i64, actor: &str) -> Result<(), ApiError> {
        if !self.store.lift(id, actor, clock::now()).await? {
            return Err(ApiError::not_found(
                "no revocation of this number is in force",
            ));
        }
        self.reload_revocations()
            .await
            .map_err(ApiError::internal)?;
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
        let revocations = self.public_revocations().await?;
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
        // The time grows by itself, also over a restart and a restored backup: all that a number has to do.
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

    async fn public_revocations(&self) -> Result<Vec<PublicRevocation>, ApiError> {
        let mut revocations = Vec::new();
        for row in self
            .revocations()
            .iter()
            .filter(|row| row.lifted_at.is_none())
        {
            let scope: Scope = serde_json::from_str(&row.scope).map_err(ApiError::internal)?;
            revocations.push(PublicRevocation {
                id: row.id,
                scope: self.public_scope(scope).await?,
                from: Timestamp::from_unix(row.from_time),
                until: row.until_time.map(Timestamp::from_unix),
                reason: row.reason.clone(),
            });
        }
        Ok(revocations)
    }

    async fn public_scope(&self, scope: Scope) -> Result<Option<Scope>, ApiError> {
        let Scope::Device { serial } = &scope else {
            return Ok(Some(scope));
        };
        let Some(device) = self.store.device(serial).await? else {
            return Ok(None);
        };
        let number = device.certificate_serial.map(hex::encode);
        Ok(number.map(|number| Scope::Certificates {
            first: number.clone(),
            last: number,
        }))
    }

    /// The revocation list of an intermediate, in DER; of the one in use if none is named.
    pub fn crl(&self, issuer: Option<KeyId>) -> Result<Arc<Vec<u8>>, ApiError> {
        let keyring = self.keyring();
        let found = keyring
            .issuers
            .iter()
            .find(|one| issuer.is_none_or(|wanted| one.id() == wanted));
        let issuer = found.ok_or_else(|| ApiError::not_found("no intermediate has this key"))?;
        let (rules, now) = (self.rules(), clock::now());
        if let Some(fresh) = self.lists.fresh(issuer.id(), &rules, now) {
            return Ok(fresh);
        }
        let revoked = self.revoked_certificates(issuer, &rules, now);
        let der = Arc::new(crl::build(issuer, &revoked, now).map_err(ApiError::internal)?);
        self.lists.keep(CachedList {
            issuer: issuer.id(),
            rules,
            made: now,
            der: Arc::clone(&der),
        });
        Ok(der)
    }

    /// Certificates of this intermediate that are revoked now, and since when.
    fn revoked_certificates(
        &self,
        issuer: &Issuer,
        rules: &Rules,
        now: Timestamp,
    ) -> Vec<(IssuedCertificate, Timestamp)> {
        let id = issuer.id();
        self.with_cameras(|cameras| {
            let certified = cameras
                .iter()
                .filter_map(|device| Some((device, device.certificate?)));
            let ours = certified.filter(|(_, certificate)| certificate.issuer == *id.as_bytes());
            ours.filter_map(|(device, certificate)| {
                Some((certificate, rules.covering(device, now)?.since()))
            })
            .collect()
        })
    }
}
