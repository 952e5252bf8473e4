//! Changes of validators, and what this node may take as what it is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use birthmark_http::ApiError;
use birthmark_http::body::Json;
use birthmark_protocol::api::ChangeTaken;

use super::{App, COME_BACK, Shared};
use crate::changes::{ChangeFile, NotTaken};

/// Hands in a change of validators that more than two thirds of them have signed.
///
/// Who hands it in does not matter: the signatures carry it.
#[utoipa::path(post, path = "/api/v1/members/change", tag = "Operation", responses((status = 202, body = ChangeTaken), (status = 400, description = "refused, with a sentence"), (status = 409, description = "another change waits, or this validator decides alone"), (status = 422)))]
pub async fn change(
    State(app): Shared,
    Json(file): Json<ChangeFile>,
) -> Result<Response, ApiError> {
    if app.neighbours.is_none() {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "this validator decides alone: without [network] in its settings nobody can join it",
        ));
    }
    let own = app.registry.genesis().hash();
    if file.chain != own {
        return Err(ApiError::bad_request(format!(
            "the change is for the registry {}, this is {own}",
            file.chain
        )));
    }
    let message = match app.changes.take(&app.registry, file.change).await {
        Ok(true) => "taken: it goes to all validators, and into the next block that may carry it",
        Ok(false) => "it waits here already",
        Err(NotTaken::Store(error)) => return Err(error.into()),
        Err(error @ NotTaken::Another { .. }) => {
            return Err(ApiError::new(StatusCode::CONFLICT, error.to_string()));
        }
        Err(error) => return Err(ApiError::bad_request(error.to_string())),
    };
    let taken = ChangeTaken {
        message: message.into(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(taken)).into_response())
}

impl App {
    /// Whether this node is a validator at the next height.
    pub(super) fn is_validator(&self) -> bool {
        self.registry.tip().validators().get(&self.own).is_some()
    }

    /// Refuses submissions where their photos could not be registered: at a follower, and at a
    /// validator whose key is about to count no longer.
    pub(super) fn check_standing(&self) -> Result<(), ApiError> {
        let tip = self.registry.tip();
        let reason = match tip.validators().get(&self.own) {
            None => "this node follows the registry and takes no submissions",
            Some(_) if self.changes.is_leaving(&tip, &self.own) => {
                "this validator is about to leave or to change its key, and takes no submissions"
            }
            Some(_) => return Ok(()),
        };
        let others = tip.validators().validators().iter();
        let others: Vec<_> = others
            .filter(|other| other.id() != self.own)
            .map(|other| other.name.as_str())
            .collect();
        self.metrics.turned_away.inc();
        Err(ApiError::unavailable(
            format!("{reason}: send them to {}", others.join(" or ")),
            COME_BACK,
        ))
    }
}
