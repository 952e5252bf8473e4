//! Who may do what: bearer tokens with roles, and this machine's administrator.
//!
//! Tokens hold 32 random bytes, so one SHA-256 is enough to store them: there is nothing to guess.
//! Nobody on the network is believed without one; only a rehearsal opens loopback, and says so in
//! its settings.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use axum::http::{HeaderMap, StatusCode, header};
use birthmark_http::{ApiError, Peer};
use birthmark_protocol::{Digest, Timestamp};
use subtle::ConstantTimeEq;
use tokio::sync::{Mutex, MutexGuard};

use crate::keep::rows::{self, Changed};
use crate::keep::store::{OperatorRow, Store};
use crate::keep::vault::Vault;
use crate::{clock, random};

/// What a token can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at cameras, statistics and the audit log.
    Read,
    /// Mark what was unusual as looked at.
    Review,
    /// Register the cameras that the token names, or as many as it says.
    Provision,
    /// Revoke, and lift revocations.
    Revoke,
    /// Ask about cameras as a validator does: many at once, at a validator's rate.
    Validate,
    /// Everything about the authority itself. No token has it: only this machine's administrator,
    /// through the control socket.
    Administer,
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The name in the audit log.
    pub name: String,
    /// How it is known who it is.
    pub proof: Proof,
}

/// How it is known who an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The control socket, which only this machine's administrator can open.
    Socket,
    /// A token.
    Token,
    /// Nothing: a rehearsal believes whoever is on this machine.
    Rehearsal,
}

/// All tokens.
#[derive(Debug)]
pub struct Operators {
    rows: RwLock<Vec<OperatorRow>>,
    /// Held from reading a token's row until its change is stored and read again.
    changing: Mutex<()>,
}

/// The right to enrol one camera, taken from a token while it is registered.
#[derive(Debug)]
pub struct Permit<'a> {
    _changing: MutexGuard<'a, ()>,
    /// The token's row, as it is when the camera is registered.
    pub spent: OperatorRow,
}

/// Why the tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OperatorsError {
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Another program wrote the rows.
    #[error(transparent)]
    Changed(#[from] Changed),
}

impl From<OperatorsError> for ApiError {
    fn from(error: OperatorsError) -> Self {
        match error {
            OperatorsError::Database(error) => error.into(),
            OperatorsError::Changed(error) => Self::internal(error),
        }
    }
}

impl Role {
    /// The roles a token can have.
    pub const OF_TOKENS: [Self; 5] = [
        Self::Read,
        Self::Review,
        Self::Provision,
        Self::Revoke,
        Self::Validate,
    ];

    /// The word in commands and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Review => "review",
            Self::Provision => "provision",
            Self::Revoke => "revoke",
            Self::Validate => "validate",
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
    pub async fn open(store: &Store, vault: &Vault) -> Result<Self, OperatorsError> {
        Ok(Self {
            rows: RwLock::new(load(store, vault).await?),
            changing: Mutex::default(),
        })
    }

    fn rows(&self) -> RwLockReadGuard<'_, Vec<OperatorRow>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a new token, which is believed from now on.
    pub async fn add(
        &self,
        store: &Store,
        vault: &Vault,
        row: &OperatorRow,
    ) -> Result<(), OperatorsError> {
        let _changing = self.changing.lock().await;
        store.add_operator(vault, row).await?;
        self.reload(store, vault).await
    }

    /// Withdraws a token, which is not believed any more; false if none of this name is in force.
    pub async fn withdraw(
        &self,
        store: &Store,
        vault: &Vault,
        name: &str,
        now: Timestamp,
    ) -> Result<bool, OperatorsError> {
        let _changing = self.changing.lock().await;
        let in_force = |row: &&OperatorRow| row.name == name && row.revoked_at.is_none();
        let Some(row) = self.rows().iter().find(in_force).cloned() else {
            return Ok(false);
        };
        store.revoke_operator(vault, &row, now).await?;
        self.reload(store, vault).await?;
        Ok(true)
    }

    /// Reads all tokens again, after one was made or withdrawn.
    async fn reload(&self, store: &Store, vault: &Vault) -> Result<(), OperatorsError> {
        let rows = load(store, vault).await?;
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(())
    }

    /// Who makes this request, if they may do what needs `role`. `open` says that a rehearsal needs
    /// no token from this machine's users.
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
                proof: Proof::Socket,
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
        if open && peer.is_local() && is_direct(headers) {
            return Ok(Operator {
                name: "loopback".into(),
                proof: Proof::Rehearsal,
            });
        }
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "an operator's bearer token is needed",
        ))
    }

    /// The validator whose token a request carries, if it carries one. A token that is not good is
    /// refused: who shows one wants to be told, not to be taken for a stranger.
    pub fn validator(&self, headers: &HeaderMap) -> Option<Result<Operator, ApiError>> {
        let token = bearer(headers)?;
        Some(self.by_token(token, Role::Validate, clock::now()))
    }

    fn by_token(&self, token: &str, role: Role, now: Timestamp) -> Result<Operator, ApiError> {
        let hash = Digest::of(token.as_bytes());
        let rows = self.rows();
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
            proof: Proof::Token,
        })
    }

    /// Takes the right to enrol this camera from the operator's token; none is needed without a
    /// token.
    pub async fn permit(
        &self,
        vault: &Vault,
        operator: &Operator,
        serial: &str,
    ) -> Result<Option<Permit<'_>>, ApiError> {
        if operator.proof != Proof::Token {
            return Ok(None);
        }
        let changing = self.changing.lock().await;
        let row = self
            .rows()
            .iter()
            .find(|row| row.name == operator.name)
            .cloned();
        let mut spent = row.ok_or_else(|| ApiError::internal("a token without a row"))?;
        if !names(&spent, serial)? {
            return Err(forbidden("the token enrols other cameras than this one"));
        }
        if spent.cameras.is_some_and(|cameras| spent.used >= cameras) {
            return Err(forbidden(
                "the token has enrolled as many cameras as it may",
            ));
        }
        spent.used += 1;
        spent.mac = rows::digest(vault, &spent);
        Ok(Some(Permit {
            _changing: changing,
            spent,
        }))
    }

    /// Notes that the camera was registered.
    pub fn spend(&self, permit: Permit<'_>) {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let row = rows.iter_mut().find(|row| row.name == permit.spent.name);
        if let Some(row) = row {
            *row = permit.spent;
        }
    }
}

async fn load(store: &Store, vault: &Vault) -> Result<Vec<OperatorRow>, OperatorsError> {
    let rows = store.operators().await?;
    let all = store.row_set("operators").await?;
    rows::check_set(vault, &rows, all.as_deref())?;
    Ok(rows)
}

/// Whether a token enrols this camera, as far as its name goes.
fn names(row: &OperatorRow, serial: &str) -> Result<bool, ApiError> {
    let Some(serials) = &row.serials else {
        return Ok(row.cameras.is_some());
    };
    let serials: Vec<String> = serde_json::from_str(serials).map_err(ApiError::internal)?;
    Ok(serials.iter().any(|named| named == serial))
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, message)
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

/// Whether nobody stands between: no proxy forwarded the request, and no web page of another origin
/// made a browser send it.
pub fn is_direct(headers: &HeaderMap) -> bool {
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
    let Some(host) = text(header::HOST) else {
        return false;
    };
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
            serials: None,
            cameras: Some(2),
            used: 0,
            created_at: 0,
            expires_at,
            revoked_at,
            mac: Vec::new(),
        };
        let operators = Operators {
            rows: RwLock::new(vec![row]),
            changing: Mutex::default(),
        };
        (operators, token)
    }

    #[test]
    fn a_token_allows_its_roles_until_it_ends() {
        let now = Timestamp::from_unix(100);
        let (known, token) = operators("read,revoke", Some(101), None);
        let ask = |token: &str, role, now| {
            known
                .by_token(token, role, now)
                .map_err(|error| error.status())
        };
        assert_eq!(ask(&token, Role::Revoke, now).unwrap().name, "anna");
        let (forbidden, unknown) = (Err(StatusCode::FORBIDDEN), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(ask(&token, Role::Provision, now), forbidden);
        assert_eq!(ask(&token, Role::Review, now), forbidden);
        assert_eq!(ask(&token, Role::Validate, now), forbidden);
        assert_eq!(ask("bma_00", Role::Read, now), unknown);
        assert_eq!(ask(&token, Role::Read, now.plus(1)), unknown);
        let (withdrawn, token) = operators("read", None, Some(1));
        let refused = withdrawn.by_token(&token, Role::Read, now).unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }

    fn tcp() -> Peer {
        Peer::Tcp {
            remote: "127.0.0.1:5".parse().unwrap(),
            local: "127.0.0.1:8001".parse().unwrap(),
        }
    }

    #[test]
    fn nobody_administers_over_the_network() {
        let (known, token) = operators("read,provision,revoke", None, None);
        let with_token = headers(&[
            ("host", "127.0.0.1:8001"),
            ("authorization", &format!("Bearer {token}")),
        ]);
        let refused = known.admit(Role::Administer, &tcp(), &with_token, true);
        assert_eq!(refused.unwrap_err().status(), StatusCode::FORBIDDEN);
        let local = Peer::Unix { uid: 0 };
        let admitted = known.admit(Role::Administer, &local, &HeaderMap::new(), false);
        assert_eq!(admitted.unwrap().proof, Proof::Socket);
    }

    #[test]
    fn loopback_is_believed_in_a_rehearsal_only() {
        let (known, _) = operators("read", None, None);
        let direct = headers(&[("host", "127.0.0.1:8001")]);
        let closed = known.admit(Role::Read, &tcp(), &direct, false);
        assert_eq!(closed.unwrap_err().status(), StatusCode::UNAUTHORIZED);
        let open = known.admit(Role::Read, &tcp(), &direct, true).unwrap();
        assert_eq!(open.proof, Proof::Rehearsal);
    }

    #[tokio::test]
    async fn a_token_enrols_as_many_cameras_as_it_says() {
        let (known, token) = operators("provision", None, None);
        let (vault, _) = Vault::create(b"a test credential", [1; 16]).unwrap();
        let now = Timestamp::from_unix(100);
        let operator = known.by_token(&token, Role::Provision, now).unwrap();
        for serial in ["CAM-1", "CAM-2"] {
            let permit = known.permit(&vault, &operator, serial).await.unwrap();
            known.spend(permit.unwrap());
        }
        let third = known.permit(&vault, &operator, "CAM-3").await;
        assert_eq!(third.unwrap_err().status(), StatusCode::FORBIDDEN);
    }
}
