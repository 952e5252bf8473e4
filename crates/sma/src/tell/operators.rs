//! Who may do what: bearer tokens with roles, and this machine's administrator.
//!
//! Tokens hold 32 random bytes, so one SHA-256 is enough to store them: there is nothing to guess.

use std::sync::{PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode, header};
use birthmark_http::{ApiError, Peer};
use birthmark_protocol::{Digest, Timestamp};
use subtle::ConstantTimeEq;

use crate::clock;
use crate::keep::store::{OperatorRow, Store};
use crate::random;

/// What a token can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at cameras, statistics and the audit log.
    Read,
    /// Register cameras.
    Provision,
    /// Revoke, and lift revocations.
    Revoke,
    /// Everything about the authority itself. No token has it: only this machine's administrator, through the control socket.
    Administer,
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The name in the audit log.
    pub name: String,
}

/// All tokens.
#[derive(Debug)]
pub struct Operators {
    rows: RwLock<Vec<OperatorRow>>,
}

impl Role {
    /// The roles a token can have.
    pub const OF_TOKENS: [Self; 3] = [Self::Read, Self::Provision, Self::Revoke];

    /// The word in commands and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Provision => "provision",
            Self::Revoke => "revoke",
            Self::Administer => "administer",
        }
    }

    /// Reads a word a token can have.
    pub fn of_token(word: &str) -> Option<Self> {
        Self::OF_TOKENS.into_iter().find(|role| role.name() == word)
    }
}

impl Operators {
    /// Reads all tokens.
    pub async fn open(store: &Store) -> Result<Self, sqlx::Error> {
        Ok(Self {
            rows: RwLock::new(store.operators().await?),
        })
    }

    /// Reads all tokens again, after one was made or withdrawn.
    pub async fn reload(&self, store: &Store) -> Result<(), sqlx::Error> {
        let rows = store.operators().await?;
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(())
    }

    /// Who makes this request, if they may do what needs `role`. `open` says that this machine's users need no token.
    pub fn admit(
        &self,
        role: Role,
        peer: &Peer,
        headers: &HeaderMap,
        open: bool,
    ) -> Result<Operator, ApiError> {
        if let Peer::Unix { uid } = peer {
            return Ok(Operator {
                name: format!("local user {uid}"),
            });
        }
        if role == Role::Administer {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "only this machine's administrator may do this, through the control socket",
            ));
        }
        if let Some(token) = bearer(headers) {
            return self.by_token(token, role, clock::now());
        }
        if open && !self.has_tokens() && peer.is_local() && is_direct(headers) {
            return Ok(Operator {
                name: "loopback".into(),
            });
        }
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "an operator's bearer token is needed",
        ))
    }

    /// Whether a token was ever made. From then on nobody is believed without one, also when the last has expired: a proxy that
    /// says nothing of those it speaks for looks like this machine's own user.
    fn has_tokens(&self) -> bool {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        !rows.is_empty()
    }

    fn by_token(&self, token: &str, role: Role, now: Timestamp) -> Result<Operator, ApiError> {
        let hash = Digest::of(token.as_bytes());
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let row = rows
            .iter()
            .find(|row| row.token_hash.ct_eq(hash.as_bytes()).into());
        let row = row.filter(|row| {
            row.revoked_at.is_none() && row.expires_at.is_none_or(|end| now.unix() < end)
        });
        let Some(row) = row else {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "the token is not known, expired or withdrawn",
            ));
        };
        if !row.roles.split(',').any(|word| word == role.name()) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!("the token does not allow to {}", role.name()),
            ));
        }
        Ok(Operator {
            name: row.name.clone(),
        })
    }
}

/// Draws a token and what is stored of it.
pub fn draw_token() -> Result<(String, Digest), crate::random::NoRandomness> {
    let token = format!("bma_{}", hex::encode(random::bytes::<32>()?));
    let hash = Digest::of(token.as_bytes());
    Ok((token, hash))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether nobody stands between: no proxy forwarded the request, and no web page of another origin made a browser send it.
fn is_direct(headers: &HeaderMap) -> bool {
    let forwarded = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "via",
    ];
    if forwarded.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(
        host,
        |(name, port)| if port.ends_with(']') { host } else { name },
    );
    // A name that somebody else's DNS points here is not this machine's own.
    let own = matches!(name, "localhost" | "[::1]")
        || name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback());
    let origin = text(header::ORIGIN)
        .map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    own && origin.is_none_or(|origin| origin == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn loopback_is_open_only_to_direct_requests() {
        assert!(is_direct(&headers(&[("host", "127.0.0.1:8001")])));
        assert!(is_direct(&headers(&[("host", "[::1]:8001")])));
        assert!(is_direct(&headers(&[
            ("host", "localhost:8001"),
            ("origin", "http://localhost:8001")
        ])));
        assert!(!is_direct(&headers(&[
            ("host", "localhost:8001"),
            ("origin", "https://evil.example")
        ])));
        assert!(!is_direct(&headers(&[("host", "evil.example:8001")])));
        assert!(!is_direct(&headers(&[
            ("host", "localhost"),
            ("x-forwarded-for", "203.0.113.1")
        ])));
        assert!(!is_direct(&headers(&[])));
    }

    fn operators(
        roles: &str,
        expires_at: Option<i64>,
        revoked_at: Option<i64>,
    ) -> (Operators, String) {
        let (token, hash) = draw_token().unwrap();
        let row = OperatorRow {
            name: "anna".into(),
            token_hash: hash.as_bytes().to_vec(),
            roles: roles.into(),
            created_at: 0,
            expires_at,
            revoked_at,
        };
        (
            Operators {
                rows: RwLock::new(vec![row]),
            },
            token,
        )
    }

    #[test]
    fn a_token_allows_its_roles_until_it_ends() {
        let now = Timestamp::from_unix(100);
        let (known, token) = operators("read,revoke", Some(101), None);
        assert_eq!(
            known.by_token(&token, Role::Revoke, now).unwrap().name,
            "anna"
        );
        assert_eq!(
            known
                .by_token(&token, Role::Provision, now)
                .unwrap_err()
                .status(),
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            known
                .by_token("bma_00", Role::Read, now)
                .unwrap_err()
                .status(),
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(
            known
                .by_token(&token, Role::Read, now.plus(1))
                .unwrap_err()
                .status(),
            StatusCode::UNAUTHORIZED
        );
        let (withdrawn, token) = operators("read", None, Some(1));
        assert_eq!(
            withdrawn
                .by_token(&token, Role::Read, now)
                .unwrap_err()
                .status(),
            StatusCode::UNAUTHORIZED
        );
    }

    #[test]
    fn nobody_administers_over_the_network() {
        let (known, token) = operators("read,provision,revoke", None, None);
        let peer = Peer::Tcp {
            remote: "127.0.0.1:5".parse().unwrap(),
            local: "127.0.0.1:8001".parse().unwrap(),
        };
        let with_token = headers(&[
            ("host", "127.0.0.1:8001"),
            ("authorization", &format!("Bearer {token}")),
        ]);
        assert_eq!(
            known
                .admit(Role::Administer, &peer, &with_token, true)
                .unwrap_err()
                .status(),
            StatusCode::FORBIDDEN
        );
        assert!(
            known
                .admit(
                    Role::Administer,
                    &Peer::Unix { uid: 0 },
                    &HeaderMap::new(),
                    false
                )
                .is_ok()
        );
    }
}
