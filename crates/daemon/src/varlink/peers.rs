//! Who is on the other end of a socket, by the kernel's word.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A user in a configuration file: by name or by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum User {
    /// The number.
    Id(u32),
    /// The name, looked up in `/etc/passwd`.
    Name(String),
}

/// Why a list of users could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No such name.
    #[error("there is no user named `{0}`")]
    Unknown(String),
    /// The user database is unreadable.
    #[error("cannot look up user names: {0}")]
    Unreadable(#[from] std::io::Error),
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

    /// These users and nobody else. A name that does not exist is an error: it would silently lock somebody out.
    pub fn users(users: &[User]) -> Result<Self, PeerError> {
        let database = std::fs::read_to_string("/etc/passwd")?;
        let ids: Result<BTreeSet<u32>, PeerError> =
            users.iter().map(|user| resolve(user, &database)).collect();
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

fn resolve(user: &User, database: &str) -> Result<u32, PeerError> {
    let name = match user {
        User::Id(id) => return Ok(*id),
        User::Name(name) => name,
    };
    database
        .lines()
        .find_map(|line| id_of(line, name))
        .ok_or_else(|| PeerError::Unknown(name.clone()))
}

fn id_of(line: &str, name: &str) -> Option<u32> {
    let mut fields = line.split(':');
    if fields.next() != Some(name) {
        return None;
    }
    fields.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = "root:x:0:0:root:/root:/bin/sh\ncamera:x:971:971::/:/sbin/nologin\n";

    #[test]
    fn names_become_numbers() {
        let camera = User::Name("camera".into());
        assert_eq!(resolve(&camera, DATABASE).expect("known"), 971);
        assert_eq!(resolve(&User::Id(5), DATABASE).expect("given"), 5);
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let refused = resolve(&User::Name("cam".into()), DATABASE);
        assert!(matches!(refused, Err(PeerError::Unknown(name)) if name == "cam"));
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
