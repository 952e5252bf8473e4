//! Revoking, and what the public is told about it: a CRL, a signed list in JSON, answers about single certificates.

mod crl;
pub mod ocsp;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::ApiError;
use birthmark_protocol::{Digest, KeyId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::authority::Authority;
use crate::clock;
use crate::issue::ca::Issuer;
use crate::judge::cameras::IssuedCertificate;
use crate::judge::rules::{Rules, Scope};
use crate::keep::store::RevocationRow;
use crate::tell::crl_cache::CachedList;

/// What the key signs: this, then the text.
pub const LIST_DOMAIN: &str = "birthmark/revocations/v1";

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

/// A revocation as the public sees it: a camera appears by its certificate, never by the maker's number.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicRevocation {
    /// Its number.
    pub id: i64,
    /// What it covers; none for a camera without a certificate.
    pub scope: Option<Scope>,
    /// From when.
    pub from: i64,
    /// Until when; for good if null.
    pub until: Option<i64>,
    /// Why.
    pub reason: String,
}

/// The content of the signed list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicList {
    /// Whose list this is.
    pub manufacturer_id: String,
    /// All revocations that were not lifted, oldest first.
    pub revocations: Vec<PublicRevocation>,
}

/// The signed list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SignedList {
    /// The list as JSON text: exactly what was signed.
    pub signed: String,
    /// `r ‖ s` in base64, over SHA-256 of `birthmark/revocations/v1` and the text.
    pub signature: String,
    /// Which verdict key signed.
    pub key_id: String,
    /// The entity tag.
    #[serde(skip)]
    pub etag: String,
}

impl Authority {
    /// Pronounces a revocation. When this returns, the next question is judged by it.
    pub async fn revoke(&self, request: &RevokeRequest, actor: &str) -> Result<i64, ApiError> {
        request
            .scope
            .check()
            .map_err(|error| ApiError::field(error.field, error.reason))?;
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
    pub async fn signed_list(&self) -> Result<SignedList, ApiError> {
        let mut revocations = Vec::new();
        for row in self
            .revocations()
            .iter()
            .filter(|row| row.lifted_at.is_none())
        {
            let scope: Scope = serde_json::from_str(&row.scope).map_err(ApiError::internal)?;
            let scope = self.public_scope(scope).await?;
            revocations.push(PublicRevocation {
                id: row.id,
                scope,
                from: row.from_time,
                until: row.until_time,
                reason: row.reason.clone(),
            });
        }
        let list = PublicList {
            manufacturer_id: self.settings.manufacturer_id.clone(),
            revocations,
        };
        let signed = serde_json::to_string(&list).map_err(ApiError::internal)?;
        let keyring = self.keyring();
        let signature = keyring.sign_bytes(&[LIST_DOMAIN.as_bytes(), signed.as_bytes()].concat());
        let (signature, key) = signature
            .zip(keyring.verdict_key_id())
            .ok_or_else(|| ApiError::internal("the list could not be signed"))?;
        let etag = format!("\"{}-{key}\"", Digest::of(signed.as_bytes()));
        Ok(SignedList {
            signed,
            signature: STANDARD.encode(signature.to_bytes()),
            key_id: key.to_string(),
            etag,
        })
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
