//! The user on the other end of a socket, as the kernel reports it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::users;

/// A user in a configuration file: by name or by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum User {
    /// The number.
    Id(u32),
    /// The name, looked up as the machine looks up its users.
    Name(String),
}

/// Why a list of users could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No such name.
    #[error("there is no user named `{0}`")]
    Unknown(String),
}

/// The users allowed on the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(Allowed);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Anyone,
    Users(BTreeSet<u32>),
}

impl Peers {
    /// Whoever the permissions of the socket file let through.
    pub fn anyone() -> Self {
        Self(Allowed::Anyone)
    }

    /// The users with these numbers and nobody else, not even root unless it is listed.
    pub fn ids(ids: impl IntoIterator<Item = u32>) -> Self {
        Self(Allowed::Users(ids.into_iter().collect()))
    }

    /// The user this process runs as.
    pub fn same_user() -> Self {
        Self::ids([rustix::process::geteuid().as_raw()])
    }

    /// These users and nobody else. A name that does not exist is an error: it would silently lock
    /// somebody out.
    pub fn users(users: &[User]) -> Result<Self, PeerError> {
        let ids: Result<BTreeSet<u32>, PeerError> = users.iter().map(resolve).collect();
        Ok(Self(Allowed::Users(ids?)))
    }

    /// These users as well.
    pub fn or(self, other: Peers) -> Self {
        match (self.0, other.0) {
            (Allowed::Users(mut ours), Allowed::Users(theirs)) => {
                ours.extend(theirs);
                Self(Allowed::Users(ours))
            }
            _ => Self::anyone(),
        }
    }

    /// Whether the user with this number is among them.
    pub fn contain(&self, id: u32) -> bool {
        match &self.0 {
            Allowed::Anyone => true,
            Allowed::Users(ids) => ids.contains(&id),
        }
    }
}

fn resolve(user: &User) -> Result<u32, PeerError> {
    match user {
        User::Id(id) => Ok(*id),
        User::Name(name) => users::id_of(name).ok_or_else(|| PeerError::Unknown(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers() {
        assert_eq!(resolve(&User::Name("root".into())).expect("known"), 0);
        assert_eq!(resolve(&User::Id(5)).expect("given"), 5);
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let refused = resolve(&User::Name("no-such-user".into()));
        assert!(matches!(refused, Err(PeerError::Unknown(name)) if name == "no-such-user"));
    }

    #[test]
    fn root_is_a_user_like_any_other() {
        let peers = Peers::ids([971]);
        assert!(peers.contain(971));
        assert!(!peers.contain(0));
        assert!(peers.or(Peers::ids([0])).contain(0));
        assert!(Peers::anyone().contain(12));
    }
}
