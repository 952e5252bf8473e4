//! The door in front of a service: calls of users who are not allowed are answered
//! `PermissionDenied`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::task::TaskTracker;
use zlink::service::{HandleResult, MethodReply, Service};
use zlink::varlink_service::Error as ServiceError;
use zlink::{Call, Connection};

use super::bounded::Bounded;
use super::peers::Peers;
use super::understood::{Malformed, Understood};

/// A service for allowed callers only.
#[derive(Debug, Clone)]
pub(super) struct Guarded<S> {
    pub(super) service: S,
    pub(super) peers: Arc<Peers>,
    /// The calls being answered.
    pub(super) calls: TaskTracker,
}

/// An error reply: the service's own, or ours.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Refusal<E> {
    Denied(ServiceError<'static>),
    Own(E),
}

impl<S: Service<Bounded>> Service<Bounded> for Guarded<S> {
    type MethodCall<'de> = Understood<S::MethodCall<'de>>;
    type ReplyParams<'ser>
        = S::ReplyParams<'ser>
    where
        Self: 'ser;
    type ReplyStreamParams = S::ReplyStreamParams;
    type ReplyStreamError = S::ReplyStreamError;
    type ReplyStream = S::ReplyStream;
    type ReplyError<'ser>
        = Refusal<S::ReplyError<'ser>>
    where
        Self: 'ser;
    type Upgrade = S::Upgrade;

    async fn handle<'ser>(
        &'ser mut self,
        call: &'ser Call<Self::MethodCall<'_>>,
        connection: &mut Connection<Bounded>,
        fds: Vec<OwnedFd>,
    ) -> HandleResult<
        Self::ReplyParams<'ser>,
        Self::ReplyStream,
        Self::ReplyError<'ser>,
        Self::Upgrade,
    > {
        let _running = self.calls.token();
        if !admitted(&self.peers, connection).await {
            return refusal(ServiceError::PermissionDenied);
        }
        let fitting = match call.method() {
            Understood::Call(fitting) => fitting.with_flags_of(call),
            Understood::Malformed(malformed) => return refusal(invalid_parameter::<S>(malformed)),
        };
        let Some(call) = fitting else {
            return refusal(ServiceError::PermissionDenied);
        };
        let (reply, fds) = self.service.handle(call, connection, fds).await;
        let reply = match reply {
            MethodReply::Single(reply) => MethodReply::Single(reply),
            MethodReply::Error(error) => MethodReply::Error(Refusal::Own(error)),
            MethodReply::Multi(stream) => MethodReply::Multi(stream),
            MethodReply::Upgrade(reply, upgrade) => MethodReply::Upgrade(reply, upgrade),
            // A kind of reply this version of `zlink` does not have.
            _ => return refusal(ServiceError::PermissionDenied),
        };
        (reply, fds)
    }
}

fn refusal<P, T, E, U>(error: ServiceError<'static>) -> HandleResult<P, T, Refusal<E>, U> {
    (MethodReply::Error(Refusal::Denied(error)), Vec::new())
}

fn invalid_parameter<S: Service<Bounded>>(malformed: &Malformed) -> ServiceError<'static> {
    let parameter =
        malformed.culprit(|call| serde_json::from_str::<S::MethodCall<'_>>(call).is_ok());
    ServiceError::InvalidParameter {
        parameter: parameter.into(),
    }
}

async fn admitted(peers: &Peers, connection: &mut Connection<Bounded>) -> bool {
    match connection.peer_credentials().await {
        Ok(peer) => {
            let user = peer.unix_user_id().as_raw();
            let admitted = peers.contain(user);
            if !admitted {
                log::warn!(PEER_UID = user; "refused a call of user {user}, who is not allowed");
            }
            admitted
        }
        Err(error) => {
            log::warn!("refused a call of an unknown user: {error}");
            false
        }
    }
}
